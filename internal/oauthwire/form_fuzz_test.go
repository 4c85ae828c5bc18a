package oauthwire

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzReadForm reads what anybody may send. What is taken has to be what a strict
// reader finds, and what is refused must not be quoted.
func FuzzReadForm(f *testing.F) {
	for _, seed := range []string{
		"", "&", "=", "token", "token=", "token=a", "token=a&token=a", "token=a&token", "token=a&&client_ip=10.0.0.1",
		"token=a;client_ip=b", "token=%", "token=%zz", "token=%00", "token=%C0%AF", "token=a+b", "%74oken=a", "token=a&%74oken=b",
		"token[]=a", "Token=a&token=b", "token=a%26token%3Db", "\xff=\xfe", "token=" + strings.Repeat("a", 300),
	} {
		f.Add(formType, seed)
	}
	f.Add("application/json", `{"token":"a"}`)
	f.Add(formType+"; charset=utf-8", "token=a")
	f.Add(formType+"; charset=utf-16", "token=a")
	f.Add("", "token=a")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		const most = 256
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		form, problem := ReadForm(httptest.NewRecorder(), r, most)
		if problem != nil {
			if problem.Status < 400 || problem.Status >= 500 || problem.Code != CodeInvalidRequest {
				t.Fatalf("refused with %d %s", problem.Status, problem.Code)
			}
			return
		}
		if len(body) > most {
			t.Fatalf("%d bytes were taken, of at most %d", len(body), most)
		}
		sent, err := url.ParseQuery(body)
		if err != nil {
			t.Fatalf("a form was taken that cannot be decoded: %v", err)
		}
		for name, values := range sent {
			got, ok := form.Get(name)
			if len(values) != 1 || got != values[0] || ok != (got != "") {
				t.Fatalf("parameter %q = %q, %t of %q", name, got, ok, values)
			}
		}
	})
}
