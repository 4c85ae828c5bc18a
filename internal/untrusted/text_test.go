package untrusted_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/untrusted"
)

const id = "abcdefghijklmnop"

func someToken(t testing.TB) string {
	t.Helper()
	plaintext, err := token.Generate(id, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return plaintext.Reveal()
}

// someJWT is of the form of one; nobody signed it.
const someJWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQifQ.AAAA-BBBB_CCCC"

func TestTextIsMadeFit(t *testing.T) {
	presented := someToken(t)
	for name, test := range map[string]struct {
		text string
		most int
		want string
	}{
		"plain text stays":                          {"git/2.47.3 (linux)", 256, "git/2.47.3 (linux)"},
		"nothing stays nothing":                     {"", 256, ""},
		"long text is cut":                          {"abcdef", 3, "abc"},
		"a character is not cut in two":             {"aäöü", 4, "aä"},
		"letters of all scripts stay":               {"Müller/1 日本", 256, "Müller/1 日本"},
		"line ends go":                              {"one\r\ntwo", 256, "onetwo"},
		"escape sequences lose their escape":        {"\x1b[31mred", 256, "[31mred"},
		"NUL and DEL go":                            {"a\x00b\x7fc", 256, "abc"},
		"C1 controls go":                            {"a\u009bc", 256, "ac"},
		"the text direction cannot be turned":       {"a\u202eb\u2066c", 256, "abc"},
		"line and paragraph separators go":          {"a\u2028b\u2029c", 256, "abc"},
		"what is no UTF-8 goes":                     {"a\xff\xfeb", 256, "ab"},
		"a token loses its secret":                  {"x " + presented + " y", 256, "x kat_" + id + "_[redacted] y"},
		"a token glued to other text too":           {"pre" + presented + "post", 256, "prekat_" + id + "_[redacted]"},
		"a token with a control character in it":    {presented[:30] + "\x00" + presented[30:], 256, "kat_" + id + "_[redacted]"},
		"a token that was cut":                      {presented[:40], 256, "kat_" + id + "_[redacted]"},
		"a token that the cut leaves a part of":     {strings.Repeat("u", 20) + presented, 45, strings.Repeat("u", 20) + "kat_" + id + "_[red"},
		"an ID alone says nothing":                  {"kat_" + id, 256, "kat_" + id},
		"a JWT goes":                                {"x " + someJWT + " y", 256, "x eyJ[redacted] y"},
		"a JWT that was cut goes":                   {someJWT[:30], 256, "eyJ[redacted]"},
		"a JWT in a path goes":                      {"/files/" + someJWT + "/1", 256, "/files/eyJ[redacted]/1"},
		"a JWT that is not kept in whole goes":      {someJWT, 12, "eyJ[redacted"},
		"what begins as a JWT does and ends stays":  {"eyJack/1.0", 256, "eyJack/1.0"},
		"what is cut off is made room for by junk ": {strings.Repeat("\x01", 6) + "abc", 3, "abc"},
	} {
		if got := untrusted.Text(test.text, test.most); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestAnyTextIsMadeFit(t *testing.T) {
	presented := someToken(t)
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "with a token") {
			at := rapid.IntRange(0, len(text)).Draw(t, "at")
			text = text[:at] + presented + text[at:]
		}
		most := rapid.IntRange(0, 300).Draw(t, "most")
		got := untrusted.Text(text, most)
		if len(got) > most || !utf8.ValidString(got) {
			t.Fatalf("%d bytes of %q", len(got), got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q has %U", got, r)
			}
		}
		if token.In(got) || strings.Contains(got, presented[21:25]) {
			t.Fatalf("%q has a token", got)
		}
		if again := untrusted.Text(got, most); again != got {
			t.Fatalf("%q becomes %q", got, again)
		}
	})
}

func TestFitTextCostsNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _ = untrusted.Text("git/2.47.3", 256) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
