package caller_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/accesstoken-dev/accesstoken-operator/internal/caller"
	"github.com/accesstoken-dev/accesstoken-operator/internal/oauthwire"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

const (
	billing = "https://billing.example.com"
	stock   = "stock"

	patience = 40 * time.Second // the API server itself remembers a good token for 10 s
	often    = 50 * time.Millisecond
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m))
}

// world is one namespace, and Callers that ask the API server with the rights
// that they need and no more.
type world struct {
	*testing.T
	admin     kubernetes.Interface
	namespace string
	clock     *clocktesting.FakePassiveClock
	callers   *caller.Callers
	away      atomic.Bool  // nothing reaches the API server
	asked     atomic.Int64 // requests to the API server
	log       bytes.Buffer

	// distort changes what the API server says of a token. Nil changes nothing.
	distort func(*authenticationv1.TokenReviewStatus)
}

func newWorld(t *testing.T, verifier verify.Verifier) *world {
	t.Helper()
	admin, err := kubernetes.NewForConfig(testenv.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, admin: admin, namespace: testenv.Namespace(t), clock: clocktesting.NewFakePassiveClock(noon)}
	w.account("verifier")
	w.grant("verifier",
		rbacv1.PolicyRule{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"}},
		rbacv1.PolicyRule{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}},
	)
	config, err := testenv.ControlPlane(t).ServiceAccountConfig(t.Context(), w.namespace, "verifier")
	if err != nil {
		t.Fatal(err)
	}
	config.ContentType = "application/json" // which distort can read
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			w.asked.Add(1)
			if w.away.Load() {
				// As a proxy might, it quotes what it was sent.
				body := new(bytes.Buffer)
				_, _ = body.ReadFrom(r.Body)
				return nil, errors.New("the API server is away: " + body.String())
			}
			answer, err := next.RoundTrip(r)
			if err == nil && w.distort != nil && strings.HasSuffix(r.URL.Path, "/tokenreviews") {
				err = w.rewrite(answer)
			}
			return answer, err
		})
	})
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if verifier == nil {
		verifier = mint.NewIndex(t).Decider(w.clock)
	}
	w.callers, err = caller.New(caller.Options{
		Verifier: verifier, Kubernetes: clients, DefaultTokenAudience: mint.DefaultAudience, Clock: w.clock,
		Log: funcr.New(func(_, line string) { w.log.WriteString(line + "\n") }, funcr.Options{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) rewrite(answer *http.Response) error {
	review := &authenticationv1.TokenReview{}
	if err := json.NewDecoder(answer.Body).Decode(review); err != nil {
		return err
	}
	w.distort(&review.Status)
	changed, err := json.Marshal(review)
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(changed)), int64(len(changed))
	answer.Header.Set("Content-Length", strconv.Itoa(len(changed)))
	return err
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *world) account(name string) {
	w.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := w.admin.CoreV1().ServiceAccounts(w.namespace).Create(w.Context(), account, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
}

// grant gives an account rights in the whole cluster, under its own name.
func (w *world) grant(account string, rules ...rbacv1.PolicyRule) {
	w.Helper()
	name := w.namespace + "-" + account
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
	if _, err := w.admin.RbacV1().ClusterRoles().Create(w.Context(), role, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: account}},
	}
	if _, err := w.admin.RbacV1().ClusterRoleBindings().Create(w.Context(), binding, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
}

func mayAsk() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{"accesstoken.dev"}, Resources: []string{"introspections"}, Verbs: []string{"create"}}
}

func mayAskFor(audiences ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{"accesstoken.dev"}, Resources: []string{"audiences"}, Verbs: []string{"introspect"}, ResourceNames: audiences}
}

// token asks the API server for a token of an account, for an audience or, with
// none, for the API server itself.
func (w *world) token(account string, audiences ...string) string {
	w.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	answer, err := w.admin.CoreV1().ServiceAccounts(w.namespace).CreateToken(w.Context(), account, request, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return answer.Status.Token
}

func (w *world) present(authorization ...string) (*caller.Caller, *oauthwire.Problem) {
	w.Helper()
	r := httptest.NewRequestWithContext(w.Context(), http.MethodPost, "/introspect", nil)
	r.Header["Authorization"] = authorization
	return w.callers.Authenticate(r)
}

func bearer(credential string) string { return "Bearer " + credential }

// basic is how an OAuth client sends its password: encoded as in a form, and as
// oauth4webapi does it, more than is needed.
func basic(credential string) string {
	escaped := strings.NewReplacer(".", "%2E", "_", "%5F", "-", "%2D").Replace(url.QueryEscape(credential))
	return basicOf("a%3Ab:" + escaped)
}

func basicOf(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }

// await presents again until the status is as wanted, and lets the clock pass by
// as much as a remembered no holds.
func (w *world) await(authorization string, status int) {
	w.Helper()
	var last int
	err := wait.PollUntilContextTimeout(w.Context(), often, patience, true, func(context.Context) (bool, error) {
		w.clock.SetTime(w.clock.Now().Add(caller.DefaultKeepYes))
		last = w.status(authorization)
		return last == status, nil
	})
	if err != nil {
		w.Fatalf("status = %d, want %d", last, status)
	}
}

// status is 200 for a caller who got in.
func (w *world) status(authorization ...string) int {
	w.Helper()
	_, problem := w.present(authorization...)
	if problem == nil {
		return http.StatusOK
	}
	return problem.Status
}
