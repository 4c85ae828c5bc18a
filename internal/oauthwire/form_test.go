package oauthwire

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

func post(t *testing.T, body string) *http.Request {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/introspect", strings.NewReader(body))
	r.Header.Set("Content-Type", formType)
	return r
}

func TestParametersComeFromTheBody(t *testing.T) {
	r := post(t, "token=a%2Bb+c&empty=&client_ip=10.0.0.1")
	r.Header.Set("Content-Type", "Application/X-WWW-Form-URLencoded; charset=UTF-8")
	form, problem := ReadForm(httptest.NewRecorder(), r, DefaultMostBody)
	if problem != nil {
		t.Fatal(problem.Description)
	}
	if value, ok := form.Get("token"); value != "a+b c" || !ok {
		t.Errorf("token = %q, %t", value, ok)
	}
	for _, absent := range []string{"empty", "other"} {
		if value, ok := form.Get(absent); ok {
			t.Errorf("%s = %q, want it absent: RFC 6749 section 3.2", absent, value)
		}
	}
}

func TestWhiteSpaceAroundATokenIsNoPartOfIt(t *testing.T) {
	for sent, want := range map[string]string{
		"kat_a": "kat_a", "kat_a%0A": "kat_a", "kat_a%0D%0A": "kat_a", "+%09kat_a+": "kat_a", "kat_a%0A%0A": "kat_a",
		"kat_a+b": "kat_a b", "kat_a%C2%A0": "kat_a\u00a0",
	} {
		form, problem := ReadForm(httptest.NewRecorder(), post(t, "token="+sent), DefaultMostBody)
		if problem != nil {
			t.Fatal(problem.Description)
		}
		if got, problem := form.Token(); problem != nil || got != want {
			t.Errorf("%s: token = %q, %v, want %q", sent, got, problem, want)
		}
	}
	for _, sent := range []string{"", "token=", "token=%0A", "token=+%09%0D%0A", "Token=kat_a"} {
		form, problem := ReadForm(httptest.NewRecorder(), post(t, sent), DefaultMostBody)
		if problem != nil {
			t.Fatal(problem.Description)
		}
		if got, problem := form.Token(); problem == nil || problem.Status != http.StatusBadRequest || problem.Code != CodeInvalidRequest {
			t.Errorf("%q: token = %q, %v, want invalid_request", sent, got, problem)
		}
	}
}

// secret must not come back in an answer.
const secret = "topsecret"

func TestWhatCouldBeReadInTwoWaysIsRefused(t *testing.T) {
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	presented := mint(t)
	for name, test := range map[string]struct {
		body   string
		change func(*http.Request)
		status int
	}{
		"GET":                                   {"", func(r *http.Request) { r.Method = http.MethodGet }, 405},
		"PUT":                                   {"token=" + secret, func(r *http.Request) { r.Method = http.MethodPut }, 405},
		"a method in lower case":                {"token=" + secret, func(r *http.Request) { r.Method = "post" }, 405},
		"a parameter in the query":              {"token=" + secret, func(r *http.Request) { r.URL.RawQuery = "token=" + secret }, 400},
		"another parameter in the query":        {"token=" + secret, func(r *http.Request) { r.URL.RawQuery = "x=" + secret }, 400},
		"an empty query":                        {"token=" + secret, func(r *http.Request) { r.URL.ForceQuery = true }, 400},
		"a token in a cookie":                   {"token=" + secret, header("Cookie", "a=b; t="+presented), 400},
		"a parameter twice":                     {"token=" + secret + "&token=" + secret, nil, 400},
		"a parameter twice, once without value": {"token=" + secret + "&token=", nil, 400},
		"a parameter twice, once encoded":       {"token=" + secret + "&%74oken=" + secret, nil, 400},
		"an unknown parameter twice":            {"token=a&x=" + secret + "&x=b", nil, 400},
		"a semicolon":                           {"token=" + secret + ";client_ip=b", nil, 400},
		"a broken escape":                       {"token=%" + secret, nil, 400},
		"JSON":                                  {`{"token":"` + secret + `"}`, header("Content-Type", "application/json"), 415},
		"multipart":                             {"token=" + secret, header("Content-Type", "multipart/form-data; boundary=a"), 415},
		"no content type":                       {"token=" + secret, func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		"two content types":                     {"token=" + secret, header("Content-Type", formType, formType), 415},
		"two content types in one":              {"token=" + secret, header("Content-Type", formType+", text/plain"), 415},
		"another charset":                       {"token=" + secret, header("Content-Type", formType+"; charset=utf-16"), 415},
		"a strange parameter of the type":       {"token=" + secret, header("Content-Type", formType+"; boundary=a"), 415},
		"compressed":                            {"token=" + secret, header("Content-Encoding", "gzip"), 415},
		"too large":                             {"token=" + strings.Repeat(secret, DefaultMostBody), nil, 413},
		"too large without a length":            {"token=" + strings.Repeat(secret, DefaultMostBody), func(r *http.Request) { r.ContentLength = -1 }, 413},
		"cut off": {"", func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("token="+secret), iotest.ErrReader(errors.New(secret))))
		}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			r := post(t, test.body)
			if test.change != nil {
				test.change(r)
			}
			w := httptest.NewRecorder()
			_, problem := ReadForm(w, r, DefaultMostBody)
			if problem == nil {
				t.Fatal("it was taken")
			}
			WriteProblem(w, problem)
			if w.Code != test.status {
				t.Errorf("status = %d, want %d", w.Code, test.status)
			}
			if (w.Code == http.StatusMethodNotAllowed) != (w.Header().Get("Allow") == http.MethodPost) {
				t.Errorf("Allow = %q", w.Header().Get("Allow"))
			}
			if body := w.Body.String(); strings.Contains(body, secret) || strings.Contains(body, presented) {
				t.Errorf("the answer quotes the request: %s", body)
			}
			if !describable.MatchString(problem.Description) {
				t.Errorf("error_description %q has characters that RFC 6749 section 5.2 does not allow", problem.Description)
			}
		})
	}
}

var describable = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]+$`)

func TestTheLimitIsTheLastByteThatIsTaken(t *testing.T) {
	body := "token=" + strings.Repeat("a", 94)
	if _, problem := ReadForm(httptest.NewRecorder(), post(t, body), 100); problem != nil {
		t.Errorf("100 bytes of 100: %s", problem.Description)
	}
	if _, problem := ReadForm(httptest.NewRecorder(), post(t, body+"a"), 100); problem == nil {
		t.Error("101 bytes of 100 were taken")
	}
}

func mint(t *testing.T) string {
	t.Helper()
	plaintext, err := token.Generate(token.DeclaredID("uid", 1), strings.NewReader(strings.Repeat("0123456789abcdef", 64)))
	if err != nil {
		t.Fatal(err)
	}
	return plaintext.Reveal()
}
