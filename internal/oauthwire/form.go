package oauthwire

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/internal/credential"
)

// DefaultMostBody is how many bytes a form may have where an endpoint says
// nothing else: many times what a token and an address need.
const DefaultMostBody = 8 << 10

const formType = "application/x-www-form-urlencoded"

// Form is the parameters of a request, each of which was sent once.
type Form struct{ values url.Values }

// Get returns a parameter. One without a value counts as absent (RFC 6749
// section 3.2).
func (f Form) Get(parameter string) (value string, ok bool) {
	value = f.values.Get(parameter)
	return value, value != ""
}

// whiteSpace is that of ASCII. No token has any of it.
const whiteSpace = " \t\r\n\v\f"

// Token returns the parameter token, without white space around it: files and
// pasted lines end in a newline, and a token that is not recognized for it would
// seem to be revoked (RFC 7009 section 2.2). The Problem says that it is missing.
func (f Form) Token() (string, *Problem) {
	value := strings.Trim(f.values.Get(ParameterToken), whiteSpace)
	if value == "" {
		return "", Invalid("the parameter " + ParameterToken + " is missing")
	}
	return value, nil
}

// ReadForm reads the form of a request, of at most as many bytes: by POST only,
// from the body only, in one encoding, with no parameter twice. The Problem never
// quotes what was sent.
func ReadForm(w http.ResponseWriter, r *http.Request, most int64) (Form, *Problem) {
	if problem := CheckMethod(r); problem != nil {
		return Form{}, problem
	}
	if problem := checkPlacement(r); problem != nil {
		return Form{}, problem
	}
	if problem := checkEncoding(r.Header); problem != nil {
		return Form{}, problem
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return Form{}, invalid(http.StatusRequestEntityTooLarge, "the form is too large: send the parameters of this endpoint only")
	}
	if err != nil {
		return Form{}, Invalid("the form ended early: send the whole of it")
	}
	return parseForm(string(body))
}

// CheckMethod refuses other methods than POST.
func CheckMethod(r *http.Request) *Problem {
	if r.Method == http.MethodPost {
		return nil
	}
	problem := invalid(http.StatusMethodNotAllowed, "use POST, with the parameters as a form in the body")
	problem.Header = http.Header{"Allow": {http.MethodPost}}
	return problem
}

// checkPlacement refuses parameters in the query string, and tokens in cookies.
func checkPlacement(r *http.Request) *Problem {
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return Invalid("there is a query string, which ends up in logs: send the parameters as a form in the body")
	}
	if err := credential.CheckPlacement("", r.Header.Values("Cookie")); err != nil {
		return Invalid("a token is in a cookie: send it as a parameter of the form")
	}
	return nil
}

func checkEncoding(header http.Header) *Problem {
	refusal := invalid(http.StatusUnsupportedMediaType, "send the parameters as Content-Type: "+formType+", in UTF-8, without Content-Encoding")
	types := header.Values("Content-Type")
	if len(types) != 1 || len(header.Values("Content-Encoding")) > 0 {
		return refusal
	}
	kind, parameters, err := mime.ParseMediaType(types[0])
	if err != nil || kind != formType {
		return refusal
	}
	for name, value := range parameters {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return refusal
		}
	}
	return nil
}

// parseForm decodes a body. A parameter that is there twice is refused, whatever
// its name (RFC 6749 section 3.2): of two, a proxy may have looked at the other.
func parseForm(body string) (Form, *Problem) {
	values, err := url.ParseQuery(body)
	if err != nil { // it would quote the body
		return Form{}, Invalid("the form is malformed: encode it as " + formType)
	}
	for _, each := range values {
		if len(each) > 1 {
			return Form{}, Invalid("a parameter is repeated: send each once")
		}
	}
	return Form{values: values}, nil
}
