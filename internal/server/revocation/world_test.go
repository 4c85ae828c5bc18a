package revocation_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

const (
	patience = 20 * time.Second
	often    = 50 * time.Millisecond
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m))
}

// world is a namespace with records in it, and an endpoint that has seen them,
// with the rights that it needs and no more. It sees a change when a test says so.
type world struct {
	*testing.T
	admin     client.Client
	namespace string
	clock     *clocktesting.FakePassiveClock
	decider   *verify.Decider
	index     *mint.Index
	options   revocation.Options
	requests  atomic.Int64              // to the API server
	before    func(r *http.Request)     // is called before each of them; may be nil
	fail      func(*http.Request) error // may be nil
	revoked   atomic.Int64
	reasons   chan verify.Reason // of what was tried in vain
	failures  atomic.Int64
	log       bytes.Buffer
}

// tried is told of each try, and checks what that says of the request.
func (w *world) tried(request verify.Request, verdict verify.Verdict, err error) {
	if request.Protocol != verify.ProtocolRevocation || !request.Probe || request.Path != "/revoke" || !request.ClientIP.IsValid() {
		w.Errorf("told of %+v", request)
	}
	switch {
	case err != nil:
		w.failures.Add(1)
		if strings.Contains(err.Error(), request.Token) {
			w.Errorf("the error holds the token: %v", err)
		}
	case verdict.Active():
		w.revoked.Add(1)
	default:
		w.reasons <- verdict.Reason
	}
}

// expectReasons checks why there was nothing to revoke, since the last time.
func (w *world) expectReasons(want ...verify.Reason) {
	w.Helper()
	var got []verify.Reason
	for len(w.reasons) > 0 {
		got = append(got, <-w.reasons)
	}
	if !slices.Equal(got, want) {
		w.Errorf("told of %q, want %q", got, want)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, admin: objects.ClientFor(t, testenv.Config(t)), namespace: testenv.Namespace(t), reasons: make(chan verify.Reason, 100)}
	at := &corev1.Namespace{}
	w.must(w.admin.Get(t.Context(), client.ObjectKey{Name: w.namespace}, at))
	w.clock = clocktesting.NewFakePassiveClock(at.CreationTimestamp.Time)
	w.index = mint.NewIndex(t)
	w.decider = w.index.Decider(w.clock)
	w.options = revocation.Options{
		Verifier: w.decider, Client: w.client(), Clock: w.clock, Settle: time.Millisecond,
		Tried: w.tried,
		Log:   funcr.New(func(_, line string) { w.log.WriteString(line + "\n") }, funcr.Options{}),
	}
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// client is that of an account with the rights that Options.Client names.
func (w *world) client() client.Client {
	w.Helper()
	name := w.namespace + "-verifier"
	w.must(w.admin.Create(w.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "verifier"}}))
	w.must(w.admin.Create(w.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{v1alpha1.Group}, Resources: []string{"tokenrecords"}, Verbs: []string{"get", v1alpha1.VerbIssue}},
		{APIGroups: []string{v1alpha1.Group}, Resources: []string{"tokenrecords/status"}, Verbs: []string{"patch"}},
	}}))
	w.must(w.admin.Create(w.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: "verifier"}},
	}))
	config, err := testenv.ControlPlane(w).ServiceAccountConfig(w.Context(), w.namespace, "verifier")
	w.must(err)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			w.requests.Add(1)
			if w.before != nil {
				w.before(r)
			}
			if w.fail != nil {
				if err := w.fail(r); err != nil {
					return nil, err
				}
			}
			return next.RoundTrip(r)
		})
	})
	ours := objects.ClientFor(w.T, config)
	w.must(wait.PollUntilContextTimeout(w.Context(), often, patience, true, func(ctx context.Context) (bool, error) {
		err := ours.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: token.DeclaredID("none", 1)}, &v1alpha1.TokenRecord{})
		return client.IgnoreNotFound(err) == nil, nil // RBAC takes a moment
	}))
	return ours
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// issue makes an AccessToken and a token of it with a record, and shows them to
// the endpoint.
func (w *world) issue(name string, changes ...func(*v1alpha1.TokenRecord)) (text string, rec *v1alpha1.TokenRecord) {
	w.Helper()
	owner := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	w.must(w.admin.Create(w.Context(), owner))
	rec, text = mint.Default().Declared(w, owner, w.clock.Now(), changes...)
	rec.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AccessToken", Name: name, UID: owner.UID}}
	w.must(w.admin.Create(w.Context(), rec))
	w.index.Put(rec)
	return text, rec
}

// change writes the status of a record, unseen by the endpoint.
func (w *world) change(rec *v1alpha1.TokenRecord, change func(*v1alpha1.TokenRecordStatus)) {
	w.Helper()
	live := w.read(rec)
	change(&live.Status)
	w.must(w.admin.Status().Update(context.WithoutCancel(w.Context()), live))
}

func (w *world) read(rec *v1alpha1.TokenRecord) *v1alpha1.TokenRecord {
	w.Helper()
	live := &v1alpha1.TokenRecord{}
	w.must(w.admin.Get(context.WithoutCancel(w.Context()), client.ObjectKeyFromObject(rec), live))
	return live
}

func (w *world) see(rec *v1alpha1.TokenRecord) { w.index.Put(w.read(rec)) }

func (w *world) revoke(presented string, extra ...string) *httptest.ResponseRecorder {
	w.Helper()
	handler, err := revocation.New(w.options)
	w.must(err)
	form := url.Values{"token": {presented}}
	for i := 0; i < len(extra); i += 2 {
		form.Set(extra[i], extra[i+1])
	}
	r := httptest.NewRequestWithContext(w.Context(), http.MethodPost, "/revoke", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	if answer := recorder.Body.String(); strings.Contains(answer, presented) || strings.Contains(w.log.String(), presented) {
		w.Errorf("the token is in the answer or the log: %s\n%s", answer, w.log.String())
	}
	return recorder
}

// succeeds wants the one answer of success.
func (w *world) succeeds(recorder *httptest.ResponseRecorder) {
	w.Helper()
	if recorder.Code != http.StatusOK || recorder.Body.Len() != 0 || recorder.Header().Get("Cache-Control") != "no-store" {
		w.Errorf("answer: %d %v %s", recorder.Code, recorder.Header(), recorder.Body)
	}
}

// ended wants the record's end, and by whom.
func (w *world) ended(rec *v1alpha1.TokenRecord, reason v1alpha1.EndReason) {
	w.Helper()
	status := w.read(rec).Status
	if status.RevokedAt == "" || status.Reason != reason {
		w.Errorf("status = %+v, want it revoked with the reason %s", status, reason)
	}
}
