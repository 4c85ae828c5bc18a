package tokenreview

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

const (
	namespace    = "ci"
	apiAudience  = "https://kubernetes.default.svc"
	ownAudience  = "accesstoken.dev"
	neverIssued  = "kat_aaaaaaaaaaaaaaaa_0000000000000000000000000000000000000000000"
	foreignToken = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6ZGVmYXVsdDpkZWZhdWx0In0.c2lnbmF0dXJl"
)

// world is a handler with tokens that it knows.
type world struct {
	handler http.Handler
	decider *verify.Decider
	clock   *clocktesting.FakePassiveClock
	index   *mint.Index
	asked   []verify.Request
	down    error // what the verifier answers instead
	refused []refusal
	mute    bool // nobody can be told of refusals
}

type refusal struct {
	name   string
	why    verify.Reason
	wanted string
}

// newWorld makes a handler as these options say; what they leave out is filled
// in.
func newWorld(tb testing.TB, options Options) *world {
	tb.Helper()
	now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	w := &world{clock: clocktesting.NewFakePassiveClock(now), index: mint.NewIndex(tb)}
	w.decider = &verify.Decider{Index: w.index, Clock: w.clock, DefaultAudience: ownAudience, Fresh: func(time.Time) error { return w.down }}
	options.DefaultAudience, options.Clock = ownAudience, w.clock
	if options.Kubernetes.Audiences == nil {
		options.Kubernetes.Audiences = []string{apiAudience}
	}
	if options.Refused == nil {
		options.Refused = func(t *verify.Token, why verify.Reason, wanted []string) bool {
			w.refused = append(w.refused, refusal{t.Name(), why, strings.Join(wanted, ",")})
			return !w.mute
		}
	}
	w.handler = New(verify.Func(func(ctx context.Context, request verify.Request) (verify.Verdict, error) {
		w.asked = append(w.asked, request)
		return w.decider.Verify(ctx, request)
	}), options)
	return w
}

// enforced is how kube-apiserver is answered when it asks about scopes too.
func enforced() Options { return Options{Kubernetes: config.Kubernetes{Scopes: config.ScopesEnforced}} }

// issue makes a token known and returns its text.
func (w *world) issue(tb testing.TB, name string, change ...func(*v1alpha1.TokenRecord)) string {
	tb.Helper()
	return w.index.Issue(namespace, name, w.clock.Now(), change...)
}

// uidOf is the UID of the AccessToken of this name.
func uidOf(name string) string { return string(mint.UID(namespace, name)) }

func idOf(name string) string { return token.DeclaredID(uidOf(name), 1) }

// ask sends a review and returns its status.
func (w *world) ask(t *testing.T, text string, requested ...string) authenticationv1.TokenReviewStatus {
	t.Helper()
	review := authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: text, Audiences: requested}}
	review.SetGroupVersionKind(kind)
	body, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	response := w.send(http.MethodPost, "application/json", strings.NewReader(string(body)))
	if response.Code != http.StatusOK {
		t.Fatalf("answered %d: %s", response.Code, response.Body)
	}
	if strings.Contains(response.Body.String(), text) {
		t.Errorf("the answer holds the token: %s", response.Body)
	}
	var answered authenticationv1.TokenReview
	if err := json.Unmarshal(response.Body.Bytes(), &answered); err != nil {
		t.Fatal(err)
	}
	if answered.GroupVersionKind() != kind {
		t.Errorf("the answer is a %v, want a %v", answered.GroupVersionKind(), kind)
	}
	return answered.Status
}

func (w *world) send(method, contentType string, body io.Reader) *httptest.ResponseRecorder {
	request := httptest.NewRequestWithContext(context.Background(), method, Path, body)
	request.Header.Set("Content-Type", contentType)
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, request)
	return recorder
}

// askRaw is ask for texts that may be a part of any answer.
func (w *world) askRaw(t *testing.T, text string, requested ...string) authenticationv1.TokenReviewStatus {
	t.Helper()
	if text == "" {
		return w.ask(t, "\x00", requested...)
	}
	return w.ask(t, text, requested...)
}
