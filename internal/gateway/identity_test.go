package gateway

import (
	"net/url"
	"strings"
	"testing"
	"unicode"

	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func TestWhatIsSaidOfATokenCannotEndItsHeader(t *testing.T) {
	for item, want := range map[string]string{
		"":                                    "-",
		"-":                                   "%2D",
		"--":                                  "--",
		"accesstoken:shop:deploy":             "accesstoken:shop:deploy",
		"system:serviceaccount:shop:deployer": "system:serviceaccount:shop:deployer",
		"jane@example.com":                    "jane@example.com",
		"CN=jane doe, O=shop":                 "CN=jane%20doe%2C%20O=shop",
		"100%":                                "100%25",
		"%2D":                                 "%252D",
		"a\r\nX-Admin: 1":                     "a%0D%0AX-Admin:%201",
		"a\x00b\x7f":                          "a%00b%7F",
		"jürgen":                              "j%C3%BCrgen",
		"\xff":                                "%FF",
	} {
		if got := one(item); got != want {
			t.Errorf("%q is written %q, want %q", item, got, want)
		}
	}
}

func TestListsAreWrittenSoThatTheyCanBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		items []string
		want  string
	}{
		"absent":           {nil, "-"},
		"one":              {[]string{"accesstokens"}, "accesstokens"},
		"two":              {[]string{"accesstokens", "accesstokens:shop"}, "accesstokens,accesstokens:shop"},
		"with separators":  {[]string{"a,b", "c d"}, "a%2Cb,c%20d"},
		"a lone hyphen":    {[]string{"-"}, "%2D"},
		"a header's end":   {[]string{"a", "b\r\n\r\n"}, "a,b%0D%0A%0D%0A"},
		"not of this code": {[]string{"ä", "\xff", "x"}, "%C3%A4,%FF,x"},
	} {
		list, ok := verify.NewList(c.items)
		if !ok {
			t.Fatalf("%s: no list", name)
		}
		if got := joined(list, ','); got != c.want {
			t.Errorf("%s: %q is written %q, want %q", name, c.items, got, c.want)
		}
	}
}

func TestIdentityAllocatesOneTextForEachList(t *testing.T) {
	list, ok := verify.NewList([]string{"accesstokens", "accesstokens:shop"})
	if !ok {
		t.Fatal("no list")
	}
	if n := testing.AllocsPerRun(100, func() { joined(list, ',') }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzIdentity: a value of a header is never empty, holds nothing that ends or
// splits it, and tells the item.
func FuzzIdentity(f *testing.F) {
	for _, seed := range []string{"", "-", "a,b", "100%", "\r\n", "ä", "\xff\x00", "%41"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, item string) {
		written := one(item)
		if written == "" || strings.ContainsFunc(written, func(r rune) bool { return r <= ' ' || r > unicode.MaxASCII-1 || r == ',' }) {
			t.Fatalf("%q is written %q", item, written)
		}
		if read, err := url.PathUnescape(written); item != "" && (err != nil || read != item || written == Absent) {
			t.Errorf("%q is written %q and read %q, %v", item, written, read, err)
		}
	})
}
