package introspection_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/caller"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/introspection"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

const (
	billing = "https://billing.example.com"
	stock   = "stock"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m))
}

// world is an endpoint, tokens of all kinds an hour after their issue, and what
// the verifier was asked.
type world struct {
	handler http.Handler
	texts   map[string]string
	records map[string]*v1alpha1.TokenRecord
	clock   *clocktesting.FakePassiveClock
	index   *mint.Index
	options introspection.Options
	asked   []verify.Request // without Peek
	wrong   error            // what the verifier fails with
}

// newWorld makes an endpoint whose callers are holders of tokens: nobody answers
// for service accounts.
func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, &rest.Config{Host: "127.0.0.1:1"})
}

func newWorldAt(t *testing.T, config *rest.Config) *world {
	t.Helper()
	w := &world{
		texts: map[string]string{}, records: map[string]*v1alpha1.TokenRecord{},
		clock: clocktesting.NewFakePassiveClock(noon.Add(time.Hour)),
	}
	ask := mint.Scopes(v1alpha1.ScopeIntrospect)
	for name, changes := range map[string][]func(*v1alpha1.TokenRecord){
		"caller":       {mint.Audiences(caller.DefaultAudience, billing), ask},
		"plain-caller": {mint.Audiences(caller.DefaultAudience, billing)},
		"full":         {mint.Audiences(stock, billing), mint.Scopes("deploy:shop", "read:stock"), mint.Aging(24 * time.Hour)},
		"plain":        {mint.Audiences(billing)},
		"sliding":      {mint.Audiences(billing), mint.Sliding(2*time.Hour, 48*time.Hour)},
		"networked":    {mint.Audiences(billing), mint.Networks("10.0.0.0/8")},
		"elsewhere":    {mint.Audiences(stock)},
		"default":      nil,
		"cluster":      {mint.Audiences("kubernetes")},
		"other-caller": {mint.Audiences(caller.DefaultAudience, stock), ask},
		"expired":      {mint.Audiences(billing), mint.Aging(time.Minute)},
		"revoked": {mint.Audiences(billing), func(rec *v1alpha1.TokenRecord) {
			rec.Status.RevokedAt = v1alpha1.NewTimestamp(noon.Add(time.Minute))
		}},
		"future": {mint.Audiences(billing), func(rec *v1alpha1.TokenRecord) {
			rec.CreationTimestamp.Time = noon.Add(2 * time.Hour)
			rec.Spec.IssuedAt = v1alpha1.NewTimestamp(noon.Add(2 * time.Hour))
		}},
	} {
		w.records[name], w.texts[name] = mint.Record(t, "shop", name, noon, append(changes, mint.OwnedBy("uid-of-"+name))...)
	}
	w.index = mint.NewIndex(t, slices.Collect(maps.Values(w.records))...)
	decider := w.index.Decider(w.clock)
	w.texts["unknown"] = mint.Unissued(t, token.DeclaredID("of nobody", 1))
	w.texts["wrong-secret"] = mint.Unissued(t, token.DeclaredID("uid-of-full", 1))

	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	callers, err := caller.New(caller.Options{Verifier: decider, Kubernetes: clients, DefaultTokenAudience: mint.DefaultAudience, Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	w.options = introspection.Options{
		Peek: decider, Callers: callers, Issuer: "https://tokens.example.com", Clock: w.clock,
		Verifier: verify.Func(func(ctx context.Context, request verify.Request) (verify.Verdict, error) {
			w.asked = append(w.asked, request)
			if w.wrong != nil {
				return verify.Verdict{}, w.wrong
			}
			return decider.Verify(ctx, request)
		}),
	}
	w.build(t)
	return w
}

func (w *world) build(t *testing.T) {
	t.Helper()
	var err error
	if w.handler, err = introspection.New(w.options); err != nil {
		t.Fatal(err)
	}
}

func (w *world) introspect(t *testing.T, credential, presented string) *httptest.ResponseRecorder {
	t.Helper()
	body := url.Values{"token": {presented}}.Encode()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/introspect", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+credential)
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	return recorder
}

const inactive = "{\"active\":false}\n"

func TestWhateverIsWrongWithATokenTheAnswerIsTheSame(t *testing.T) {
	w := newWorld(t)
	active := w.introspect(t, w.texts["caller"], w.texts["full"])
	if active.Code != http.StatusOK || !strings.HasPrefix(active.Body.String(), `{"active":true,`) {
		t.Fatalf("a good token: %d %s", active.Code, active.Body)
	}
	like := dump(w.introspect(t, w.texts["caller"], w.texts["unknown"]))
	if !strings.HasSuffix(like, "\n\n"+inactive) {
		t.Fatalf("an unknown token: %s", like)
	}
	w.texts["malformed"] = "Bearer " + w.texts["full"]
	w.texts["mistyped"] = w.texts["full"][:len(w.texts["full"])-1] + "~"
	w.texts["huge"] = strings.Repeat("a", 8000)
	for _, name := range []string{
		"unknown", "wrong-secret", "malformed", "mistyped", "huge", "expired", "revoked", "future", "networked",
		"elsewhere", "default", "cluster", "other-caller",
	} {
		if got := dump(w.introspect(t, w.texts["caller"], w.texts[name])); got != like {
			t.Errorf("%s: %s", name, got)
		}
	}
	w.index.Delete(w.records["full"])
	if got := dump(w.introspect(t, w.texts["caller"], w.texts["full"])); got != like {
		t.Errorf("deleted: %s", got)
	}
}

func TestATokenOutOfAFileIsFoundInSpiteOfItsNewline(t *testing.T) {
	w := newWorld(t)
	for _, around := range [][2]string{{"", "\n"}, {"", "\r\n"}, {" \t", " "}} {
		got := w.introspect(t, w.texts["caller"], around[0]+w.texts["full"]+around[1])
		if got.Code != http.StatusOK || !strings.HasPrefix(got.Body.String(), `{"active":true,`) {
			t.Errorf("%q around it: %s", around, dump(got))
		}
	}
	for _, none := range []string{"\n", " \r\n"} {
		if got := w.introspect(t, w.texts["caller"], none); got.Code != http.StatusBadRequest {
			t.Errorf("%q: %s", none, dump(got))
		}
	}
}

func TestAQuestionIsAskedOnceAndIsAUse(t *testing.T) {
	w := newWorld(t)
	for name, audiences := range map[string]int{"full": 1, "elsewhere": 0, "expired": 0, "unknown": 0} {
		w.asked = nil
		w.introspect(t, w.texts["caller"], w.texts[name])
		if len(w.asked) != 1 || w.asked[0].Probe || w.asked[0].Protocol != verify.ProtocolIntrospection || len(w.asked[0].Audiences) != audiences {
			t.Errorf("%s: %d questions", name, len(w.asked))
		}
		// Those of the caller's request say nothing of the request that carried the token.
		if asked := w.asked[0]; asked.Host+asked.Path+asked.Method+asked.UserAgent != "" {
			t.Errorf("%s: %s %s %s %s", name, asked.Method, asked.Host, asked.Path, asked.UserAgent)
		}
		if asker := w.asked[0].Asker; asker != "accesstoken:shop:caller" {
			t.Errorf("%s: asked by %q, want the caller", name, asker)
		}
	}
}

func TestAVerifierThatCannotCheckIsNeitherYesNorNo(t *testing.T) {
	for _, cause := range []error{verify.ErrNotReady, verify.ErrStale, errors.New("another")} {
		w := newWorld(t)
		w.wrong = cause
		for _, name := range []string{"full", "unknown"} {
			unavailable(t, w.introspect(t, w.texts["caller"], w.texts[name]))
		}
		w.wrong = nil
		w.options.Peek = verify.Func(func(context.Context, verify.Request) (verify.Verdict, error) { return verify.Verdict{}, cause })
		w.build(t)
		unavailable(t, w.introspect(t, w.texts["caller"], w.texts["full"]))
	}
}

func TestAnAPIServerThatIsAwayIsNeitherYesNorNo(t *testing.T) {
	w := newWorld(t)
	unavailable(t, w.introspect(t, "a.b.c", w.texts["full"]))
}

func unavailable(t *testing.T, recorder *httptest.ResponseRecorder) {
	t.Helper()
	if recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") == "" || strings.Contains(recorder.Body.String(), "active") {
		t.Errorf("answer: %s", dump(recorder))
	}
}

func TestOptionsThatLackSomethingAreRefused(t *testing.T) {
	w := newWorld(t)
	for _, change := range []func(*introspection.Options){
		func(o *introspection.Options) { o.Verifier = nil },
		func(o *introspection.Options) { o.Peek = nil },
		func(o *introspection.Options) { o.Callers = nil },
	} {
		options := w.options
		change(&options)
		if _, err := introspection.New(options); err == nil {
			t.Error("New takes them")
		}
	}
}
