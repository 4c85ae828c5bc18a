package accessreview

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
)

func ask(t *testing.T, handler http.Handler, contentType string, body []byte) (*httptest.ResponseRecorder, authorizationv1.SubjectAccessReview) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, bytes.NewReader(body))
	request.Header.Set("Content-Type", contentType)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	var review authorizationv1.SubjectAccessReview
	if recorder.Code == http.StatusOK {
		if err := json.Unmarshal(recorder.Body.Bytes(), &review); err != nil {
			t.Fatalf("answer %s: %v", recorder.Body, err)
		}
	}
	return recorder, review
}

func encode(tb testing.TB, spec *authorizationv1.SubjectAccessReviewSpec) []byte {
	tb.Helper()
	review := authorizationv1.SubjectAccessReview{Spec: *spec}
	review.SetGroupVersionKind(kind)
	body, err := json.Marshal(review)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func TestTheAnswerIsDeniedOrNoOpinion(t *testing.T) {
	handler := New(Options{ScopeMappings: mappings})
	for name, c := range map[string]struct {
		spec   *authorizationv1.SubjectAccessReviewSpec
		denied bool
	}{
		"in scope":     {spec: by(on("get", "", "pods", "shop"), "read:pods")},
		"out of scope": {spec: by(on("delete", "", "pods", "shop"), "read:pods"), denied: true},
	} {
		recorder, review := ask(t, handler, "application/json", encode(t, c.spec))
		if recorder.Code != http.StatusOK || review.GroupVersionKind() != kind {
			t.Errorf("%s: answered %d with a %v", name, recorder.Code, review.GroupVersionKind())
		}
		if status := review.Status; status.Allowed || status.Denied != c.denied || (status.Reason != "") != c.denied || status.EvaluationError != "" {
			t.Errorf("%s: status = %+v, want denied %v", name, status, c.denied)
		}
		if recorder.Header().Get("Content-Type") != "application/json" || recorder.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers = %v", name, recorder.Header())
		}
	}
}

func TestADenialTellsWhichTokenLacksAScopeForWhat(t *testing.T) {
	var told []Denial
	handler := New(Options{ScopeMappings: mappings, Denied: func(d Denial) { told = append(told, d) }})
	resource := func(verb, group, version, resource, namespace, name string) *authorizationv1.SubjectAccessReviewSpec {
		spec := on(verb, group, resource, namespace, name)
		spec.ResourceAttributes.Version = version
		return by(spec, "read:pods")
	}
	for path, spec := range map[string]*authorizationv1.SubjectAccessReviewSpec{
		"/api/v1/namespaces/shop/pods/web":                     resource("delete", "", "v1", "pods", "shop", "web"),
		"/api/v1/namespaces/shop/pods/web/exec":                resource("create", "", "v1", "pods/exec", "shop", "web"),
		"/api/v1/namespaces/shop":                              resource("delete", "", "v1", "namespaces", "shop", "shop"),
		"/api/v1/secrets":                                      resource("list", "", "v1", "secrets", "", ""),
		"/apis/apps/v1/namespaces/shop/deployments":            resource("create", "apps", "v1", "deployments", "shop", ""),
		"/apis/apps/*/deployments":                             resource("list", "apps", "", "deployments", "", ""),
		"/apis/*/*/*":                                          resource("*", "*", "*", "*", "", ""),
		"/apis/rbac.authorization.k8s.io/v1/clusterroles/edit": resource("bind", "rbac.authorization.k8s.io", "v1", "clusterroles", "", "edit"),
		"/metrics/slis":                                        by(path("get", "/metrics/slis"), "read:pods"),
	} {
		told = nil
		ask(t, handler, "application/json", encode(t, spec))
		verb := "get"
		if spec.ResourceAttributes != nil {
			verb = spec.ResourceAttributes.Verb
		}
		want := []Denial{{
			TokenID: "aaaaaaaaaaaaaaaa", Namespace: "ci", Name: "deploy", User: "accesstoken:ci:deploy", Scopes: []string{"read:pods"},
			Verb: verb, Path: path,
		}}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("%s of %s (-want +got):\n%s", verb, path, diff)
		}
	}

	told = nil
	ask(t, handler, "application/json", encode(t, by(on("get", "", "pods", "shop"), "read:pods")))
	if len(told) > 0 {
		t.Errorf("told of what is not denied: %v", told)
	}
	impersonated := by(on("impersonate", "", "users", ""))
	impersonated.Extra = nil
	ask(t, handler, "application/json", encode(t, impersonated))
	if want := []Denial{{User: "accesstoken:ci:deploy", Verb: "impersonate", Path: "/api/*/users"}}; !cmp.Equal(want, told) {
		t.Errorf("told of one without a token: %v, want %v", told, want)
	}
}

func TestWhatIsNoRequestIsA400(t *testing.T) {
	handler := New(Options{ScopeMappings: mappings})
	const head = `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview",`
	for name, body := range map[string]string{
		"empty":                    ``,
		"no JSON":                  `{"planted`,
		"no spec":                  head + `"status":{}}`,
		"about nothing":            head + `"spec":{"user":"planted"}}`,
		"about two things":         head + `"spec":{"resourceAttributes":{"verb":"get"},"nonResourceAttributes":{"verb":"get","path":"/"}}}`,
		"without a verb":           head + `"spec":{"resourceAttributes":{"resource":"planted"}}}`,
		"a path without a verb":    head + `"spec":{"nonResourceAttributes":{"path":"/planted"}}}`,
		"an extra of another type": head + `"spec":{"extra":{"accesstoken.dev/scopes":"planted"},"resourceAttributes":{"verb":"get"}}}`,
		"of another version":       strings.Replace(head, "/v1", "/v1beta1", 1) + `"spec":{"resourceAttributes":{"verb":"get"}}}`,
	} {
		recorder, _ := ask(t, handler, "application/json", []byte(body))
		if recorder.Code != http.StatusBadRequest || strings.Contains(recorder.Body.String(), "planted") {
			t.Errorf("%s: answered %d: %s", name, recorder.Code, recorder.Body)
		}
	}
	if recorder, _ := ask(t, handler, "text/plain", nil); recorder.Code != http.StatusUnsupportedMediaType {
		t.Errorf("another content type: answered %d", recorder.Code)
	}
}

// FuzzNoRequestIsAllowed holds for whatever is sent, and what is denied stays
// denied when nothing is mapped any more.
func FuzzNoRequestIsAllowed(f *testing.F) {
	for _, spec := range []*authorizationv1.SubjectAccessReviewSpec{
		by(on("get", "", "pods", "shop"), "read:pods"), by(on("delete", "", "pods", "shop"), "read:pods"),
		by(on("get", "", "secrets", "shop")), by(path("get", "/api"), "health"), on("*", "*", "*", ""),
	} {
		f.Add(encode(f, spec))
	}
	f.Add([]byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"extra":{"accesstoken.dev/scopes":null},"resourceAttributes":{"verb":"\u0000"}}}`))
	f.Add([]byte(`null`))
	mapped, unmapped := New(Options{ScopeMappings: mappings}), New(Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		recorder, review := ask(t, mapped, "application/json", body)
		bare, less := ask(t, unmapped, "application/json", body)
		if recorder.Code != bare.Code || recorder.Code != http.StatusOK && recorder.Code != http.StatusBadRequest {
			t.Fatalf("%q: answered %d, and %d without mappings", body, recorder.Code, bare.Code)
		}
		if review.Status.Allowed || less.Status.Allowed {
			t.Errorf("%q: allowed", body)
		}
		if review.Status.Denied && !less.Status.Denied {
			t.Errorf("%q: denied only because something is mapped: %s", body, review.Status.Reason)
		}
	})
}

// BenchmarkReview measures the handler without a network.
func BenchmarkReview(b *testing.B) {
	handler := New(Options{ScopeMappings: mappings})
	for name, spec := range map[string]*authorizationv1.SubjectAccessReviewSpec{
		"in scope":     by(on("get", "", "pods", "shop"), "read:pods"),
		"out of scope": by(on("delete", "", "pods", "shop"), "read:pods"),
	} {
		b.Run(name, func(b *testing.B) {
			body := encode(b, spec)
			reader := bytes.NewReader(body)
			request := &http.Request{
				Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}},
				ContentLength: int64(len(body)), Body: io.NopCloser(reader),
			}
			answer := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(body)
				handler.ServeHTTP(answer, request)
			}
		})
	}
}

// discard is a response that nobody reads.
type discard struct{ header http.Header }

// Header implements http.ResponseWriter.
func (d discard) Header() http.Header { return d.header }

// Write implements http.ResponseWriter.
func (d discard) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (d discard) WriteHeader(int) {}
