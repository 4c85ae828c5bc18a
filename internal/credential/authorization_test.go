package credential_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/credential"
)

const (
	ours  = "kat_tmg4q6xlfs536ssw_xQ7mB2vTnK9cLr4WfZ0sYd3HjGp8uEaR6iNoCkV1tXy2OZfLG"
	other = "kat_tmg4q6xlfs536ssw_xQ7mB2vTnK9cLr4WfZ0sYd3HjGp8uEaR6iNoCkV1tXy2OZfLH" // another checksum
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestATokenIsTakenOutOfOneHeaderOnly(t *testing.T) {
	both := []credential.Scheme{credential.Bearer, credential.Basic}
	for name, c := range map[string]struct {
		values   []string
		accepted []credential.Scheme
		token    string
		err      error
	}{
		"Bearer":                            {[]string{"Bearer " + ours}, both, ours, nil},
		"Bearer in lower case":              {[]string{"bearer " + ours}, both, ours, nil},
		"Bearer after more spaces":          {[]string{"Bearer   " + ours + " "}, both, ours, nil},
		"whatever is presented":             {[]string{"Bearer abc"}, both, "abc", nil},
		"Basic":                             {[]string{basic("any", ours)}, both, ours, nil},
		"Basic in upper case":               {[]string{"BASIC" + basic("any", ours)[5:]}, both, ours, nil},
		"Basic without a user":              {[]string{basic("", ours)}, both, ours, nil},
		"Basic with a colon in the token":   {[]string{basic("any", "a:b")}, both, "a:b", nil},
		"no header":                         {nil, both, "", credential.ErrMissing},
		"an empty header":                   {[]string{""}, both, "", credential.ErrMissing},
		"a blank header":                    {[]string{" \t"}, both, "", credential.ErrMissing},
		"two headers":                       {[]string{"Bearer " + ours, "Bearer " + ours}, both, "", credential.ErrAmbiguous},
		"an empty header and another":       {[]string{"", "Bearer " + ours}, both, "", credential.ErrAmbiguous},
		"two in one":                        {[]string{"Bearer " + ours + ", Bearer x"}, both, "", credential.ErrAmbiguous},
		"a comma":                           {[]string{"Bearer " + ours + ","}, both, "", credential.ErrAmbiguous},
		"Bearer where Basic is wanted":      {[]string{"Bearer " + ours}, []credential.Scheme{credential.Basic}, "", credential.ErrScheme},
		"Basic where Bearer is wanted":      {[]string{basic("any", ours)}, []credential.Scheme{credential.Bearer}, "", credential.ErrScheme},
		"any scheme where none is accepted": {[]string{"Bearer " + ours}, nil, "", credential.ErrScheme},
		"another scheme":                    {[]string{"Digest " + ours}, both, "", credential.ErrScheme},
		"a scheme that begins alike":        {[]string{"Bearer2 " + ours}, both, "", credential.ErrScheme},
		"no scheme":                         {[]string{ours}, both, "", credential.ErrScheme},
		"a tab for a space":                 {[]string{"Bearer\t" + ours}, both, "", credential.ErrScheme},
		"a space before":                    {[]string{" Bearer " + ours}, both, "", credential.ErrScheme},
		"Bearer alone":                      {[]string{"Bearer"}, both, "", credential.ErrMalformed},
		"Bearer and spaces":                 {[]string{"Bearer   "}, both, "", credential.ErrMalformed},
		"two words":                         {[]string{"Bearer " + ours + " x"}, both, "", credential.ErrMalformed},
		"a line break":                      {[]string{"Bearer " + ours + "\nx"}, both, "", credential.ErrMalformed},
		"Basic alone":                       {[]string{"Basic"}, both, "", credential.ErrMalformed},
		"Basic without a colon":             {[]string{"Basic " + base64.StdEncoding.EncodeToString([]byte(ours))}, both, "", credential.ErrMalformed},
		"Basic without a password":          {[]string{basic("any", "")}, both, "", credential.ErrMalformed},
		"Basic with a space in the token":   {[]string{basic("any", "a b")}, both, "", credential.ErrMalformed},
		"Basic that is no base64":           {[]string{"Basic !"}, both, "", credential.ErrMalformed},
		"Basic in base64 for URLs":          {[]string{"Basic " + base64.URLEncoding.EncodeToString([]byte("\xff\xff:a"))}, both, "", credential.ErrMalformed},
		"Basic with a line break within":    {[]string{"Basic " + basic("any", ours)[6:20] + "\r\n" + basic("any", ours)[20:]}, both, "", credential.ErrMalformed},
		"a header that is just not long":    {[]string{"Bearer " + strings.Repeat("a", 4096-7)}, both, strings.Repeat("a", 4096-7), nil},
		"a header that is too long":         {[]string{"Bearer " + strings.Repeat("a", 4097-7)}, both, "", credential.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := credential.FromAuthorization(c.values, c.accepted...)
			if token != c.token || err != c.err {
				t.Errorf("%q, error %v, want %q, error %v", token, err, c.token, c.err)
			}
		})
	}
}

func TestATokenWhereItMustNotBeIsFound(t *testing.T) {
	var all strings.Builder
	for i := range len(ours) {
		fmt.Fprintf(&all, "%%%02x", ours[i])
	}
	allEscaped := all.String()
	for name, c := range map[string]struct {
		query   string
		cookies []string
		found   bool
	}{
		"nothing":                                {"", nil, false},
		"a query without a token":                {"a=b&c=%20%zz&kat_=1", []string{"a=b", "kat_x=y"}, false},
		"a token in the query":                   {"access_token=" + ours, nil, true},
		"a token for a name":                     {ours + "=a", nil, true},
		"a token within other text":              {"a=xx" + ours + "yy&b=c", nil, true},
		"a token after what looks like one":      {"a=" + other + "&b=kat_" + ours, nil, true},
		"a mistyped token":                       {"a=" + other, []string{"a=" + other}, false},
		"a token cut short":                      {"a=" + ours[:69], nil, false},
		"a token with one character escaped":     {"a=kat%5f" + ours[4:], nil, true},
		"a token with all characters escaped":    {"a=" + allEscaped, nil, true},
		"the same in upper case":                 {"a=" + strings.ToUpper(allEscaped), nil, true},
		"an escaped token after a wrong escape":  {"x=%&y=%z1&a=" + allEscaped, nil, true},
		"an escaped token before a wrong escape": {"a=" + allEscaped + "&x=%f", nil, true},
		"a token in the second cookie":           {"", []string{"a=b", "session=" + ours + "; c=d"}, true},
		"an escaped token in a cookie":           {"", []string{"session=" + url.QueryEscape(ours[:3]) + "%5F" + ours[4:]}, true},
	} {
		t.Run(name, func(t *testing.T) {
			err := credential.CheckPlacement(c.query, c.cookies)
			if errors.Is(err, credential.ErrMisplaced) != c.found || !c.found && err != nil {
				t.Errorf("error %v, want found %v", err, c.found)
			}
		})
	}
}

func TestNoErrorHoldsWhatWasPresented(t *testing.T) {
	for _, values := range [][]string{{"Digest " + ours}, {"Bearer " + ours, ours}, {"Basic " + ours}, {"Bearer " + ours + " x"}} {
		_, err := credential.FromAuthorization(values, credential.Bearer, credential.Basic)
		if err == nil || strings.Contains(err.Error(), ours) || strings.Contains(err.Error(), ours[21:40]) {
			t.Errorf("error %v", err)
		}
	}
}

// FuzzFromAuthorization: no value makes it panic, a token that is returned is one
// word, and an error is one of the package's and comes alone.
func FuzzFromAuthorization(f *testing.F) {
	for _, value := range []string{"", "Bearer " + ours, basic("any", ours), "basic !", "Bearer a, b", "Basic YTpi\r\nYQ==", "Digest x"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, err := credential.FromAuthorization([]string{value}, credential.Bearer, credential.Basic)
		switch err {
		case nil:
			if token == "" || strings.ContainsAny(token, " \t\r\n") {
				t.Errorf("%q of %q", token, value)
			}
		case credential.ErrMissing, credential.ErrAmbiguous, credential.ErrScheme, credential.ErrMalformed:
			if token != "" {
				t.Errorf("%q beside %v", token, err)
			}
		default:
			t.Errorf("unknown error %v", err)
		}
	})
}

// FuzzCheckPlacement: whatever is before and after it, and however it is escaped,
// a token is found; and where there is no kat_, none is.
func FuzzCheckPlacement(f *testing.F) {
	f.Add("a=", "&b=c", uint64(0))
	f.Add("%", "%2", uint64(1)<<63|5)
	f.Add("kat_", "kat_", ^uint64(0))
	f.Add("%25", "", uint64(3))
	f.Fuzz(func(t *testing.T, before, after string, escaped uint64) {
		var text strings.Builder
		for i := range len(ours) {
			if escaped>>(i%64)&1 == 1 {
				fmt.Fprintf(&text, "%%%02X", ours[i])
				continue
			}
			text.WriteByte(ours[i])
		}
		if strings.HasSuffix(before, "%") || len(before) > 1 && before[len(before)-2] == '%' {
			before += "&" // or else it would escape the token's first characters
		}
		if err := credential.CheckPlacement(before+text.String()+after, nil); !errors.Is(err, credential.ErrMisplaced) {
			t.Errorf("not found in the query %q", before+text.String()+after)
		}
		if err := credential.CheckPlacement("", []string{"a", before + text.String() + after}); !errors.Is(err, credential.ErrMisplaced) {
			t.Errorf("not found in the cookie %q", before+text.String()+after)
		}
		if none := before + after; !strings.ContainsAny(none, "%_") && credential.CheckPlacement(none, nil) != nil {
			t.Errorf("found in %q", none)
		}
	})
}
