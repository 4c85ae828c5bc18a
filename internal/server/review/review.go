package review

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// MaxBody is how many bytes a request may have: many times what a token, or what
// is known of a user, takes.
const MaxBody = 256 << 10

// request is the part of a review that is asked.
type request[Spec any] struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       *Spec  `json:"spec"`
}

// answer is the part of a review that is answered.
type answer[Status any] struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Status     Status `json:"status"`
}

// malformed is a request that is no review.
type malformed struct {
	code    int
	message string
}

// Error implements error. It quotes nothing of the body.
func (m *malformed) Error() string { return m.message }

// Read returns what a review of this kind asks. It reports false after it
// answered a request that is none, with a 4xx that says what is wrong: 405, 413,
// 415 or 400.
func Read[Spec any](w http.ResponseWriter, r *http.Request, kind schema.GroupVersionKind) (*Spec, bool) {
	spec, err := read[Spec](w, r, kind)
	if err == nil {
		return spec, true
	}
	code := http.StatusBadRequest
	if bad, ok := errors.AsType[*malformed](err); ok {
		code = bad.code
	}
	if code == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, err.Error(), code)
	return nil, false
}

func read[Spec any](w http.ResponseWriter, r *http.Request, kind schema.GroupVersionKind) (*Spec, error) {
	if r.Method != http.MethodPost {
		return nil, &malformed{http.StatusMethodNotAllowed, "a review is asked for with POST"}
	}
	if !isJSON(r.Header.Get("Content-Type")) {
		return nil, &malformed{http.StatusUnsupportedMediaType, "the content type has to be application/json"}
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	return decode[Spec](body, kind)
}

func isJSON(contentType string) bool {
	if contentType == "application/json" { // spares the parser
		return true
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == "application/json"
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLarge := &malformed{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", MaxBody)}
	if r.ContentLength > MaxBody {
		return nil, tooLarge
	}
	if r.ContentLength > 0 { // the usual case, without growing
		body := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		return body, unreadable(err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge
	}
	return body, unreadable(err)
}

// unreadable is an error that quotes nothing.
func unreadable(err error) error {
	if err == nil {
		return nil
	}
	return &malformed{http.StatusBadRequest, "the body ends before its time"}
}

// decode reads a review of this kind from JSON, in which names have one case and
// stand once: what two readers could take for different requests is none.
func decode[Spec any](body []byte, kind schema.GroupVersionKind) (*Spec, error) {
	var asked request[Spec]
	if err := jsonv2.Unmarshal(body, &asked); err != nil {
		return nil, &malformed{http.StatusBadRequest, describe(err)}
	}
	if asked.Kind != kind.Kind || asked.APIVersion != kind.GroupVersion().String() {
		return nil, &malformed{http.StatusBadRequest, fmt.Sprintf("only kind %s of apiVersion %s is answered here", kind.Kind, kind.GroupVersion())}
	}
	if asked.Spec == nil {
		return nil, &malformed{http.StatusBadRequest, "spec is missing"}
	}
	return asked.Spec, nil
}

// describe says where JSON is wrong, and quotes nothing of it.
func describe(err error) string {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Sprintf("the body is no JSON: see byte %d", syntax.ByteOffset)
	}
	return "the body is no review: a field has a value of the wrong type"
}

// Encode makes an answer.
func Encode[Status any](kind schema.GroupVersionKind, status Status) ([]byte, error) {
	return json.Marshal(answer[Status]{Kind: kind.Kind, APIVersion: kind.GroupVersion().String(), Status: status})
}

// Values of headers, made once.
var (
	contentTypeJSON = []string{"application/json"}
	noStore         = []string{"no-store"}
)

// Write sends an answer.
func Write(w http.ResponseWriter, body []byte) {
	header := w.Header()
	header["Content-Type"], header["Cache-Control"] = contentTypeJSON, noStore
	_, _ = w.Write(body) // whoever asked is gone, or learns it by itself
}
