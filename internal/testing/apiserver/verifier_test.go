package apiserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/accessreview"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/tokenreview"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

const (
	patience     = 30 * time.Second
	pollInterval = 50 * time.Millisecond
)

// tokenCacheTTL is kube-apiserver's own for what a verifier said of a token.
const tokenCacheTTL = controlplane.DefaultTokenCacheTTL

// secondCache is that which no flag changes.
const secondCache = 10 * time.Second

// the is the verifier that all tests use.
var the *verifier

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	the = newVerifier(ctx, listener)
	return testenv.RunWith(m, controlplane.Options{Verifier: &controlplane.Verifier{Address: listener.Addr().String()}})
}

// verifier answers kube-apiserver from a store of its own.
type verifier struct {
	ctx       context.Context //nolint:containedctx // that of the whole test binary
	address   string
	store     *store.Store
	freshness store.Freshness
	handler   http.Handler
	once      sync.Once

	mu       sync.Mutex
	listener net.Listener
	server   *http.Server
	refused  map[string][]string // audiences wanted, by the name of the AccessToken
}

// mappings are what scopes cover in all tests.
var mappings = []config.ScopeMapping{
	{Scope: "read:pods", Rules: []config.Rule{{Verbs: []string{"get", "list"}, APIGroups: []string{""}, Resources: []string{"pods"}}}},
	{Scope: "all", Rules: []config.Rule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}},
	{Scope: "read:secrets", Rules: []config.Rule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"secrets"}}}},
}

func newVerifier(ctx context.Context, listener net.Listener) *verifier {
	v := &verifier{ctx: ctx, address: listener.Addr().String(), listener: listener, refused: map[string][]string{}}
	v.store = store.New(store.Options{Opener: mint.Default().Opener(), Clock: clock.RealClock{}})
	decider := &verify.Decider{
		Index: v.store, Clock: clock.RealClock{}, DefaultAudience: "accesstoken.dev",
		Fresh: func(now time.Time) error { return v.freshness.Check(now, store.DefaultMaxStaleness) },
	}
	kubernetes := config.Kubernetes{
		Audiences: []string{"https://kubernetes.default.svc"}, Scopes: config.ScopesEnforced, ScopeMappings: mappings,
	}
	mux := http.NewServeMux()
	mux.Handle(tokenreview.Path, tokenreview.New(decider, tokenreview.Options{
		DefaultAudience: decider.DefaultAudience, Kubernetes: kubernetes, Refused: v.tokenRefused, Clock: clock.RealClock{},
	}))
	mux.Handle(accessreview.Path, accessreview.New(accessreview.Options{ScopeMappings: mappings}))
	v.handler = mux
	return v
}

func (v *verifier) tokenRefused(t *verify.Token, _ verify.Reason, wanted []string) (told bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused[t.Name()] = append(v.refused[t.Name()], strings.Join(wanted, ","))
	return true
}

func (v *verifier) refusedFor(name string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.refused[name]
}

// ready starts what feeds the store, and the server, unless they run.
func (v *verifier) ready(t *testing.T) {
	t.Helper()
	config := testenv.Config(t)
	v.once.Do(func() {
		watches := &store.Watches{
			Store: v.store, Keys: func(*corev1.Secret) {}, KeyNamespace: operator.Namespace,
			Freshness: &v.freshness, Clock: clock.RealClock{}, Relist: make(chan struct{}),
		}
		go func() { _ = watches.Run(v.ctx, config) }()
		v.serve(t)
	})
	eventually(t, func() error { return v.freshness.Check(clock.RealClock{}.Now(), time.Hour) })
}

// serve listens, again after stop.
func (v *verifier) serve(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.listener == nil {
		var err error
		if v.listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", v.address); err != nil {
			t.Fatal(err)
		}
	}
	at := testenv.ControlPlane(t).Verifier()
	certificate, err := tls.LoadX509KeyPair(at.CertFile, at.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(at.ClientCAFile)
	clients := x509.NewCertPool()
	if err != nil || !clients.AppendCertsFromPEM(authority) {
		t.Fatalf("authority of kube-apiserver's client certificate: %v", err)
	}
	server := &http.Server{
		Handler: v.handler, ReadHeaderTimeout: patience,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
		},
	}
	listener := v.listener
	v.server = server
	go func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
}

// stop ends the server and all its connections.
func (v *verifier) stop(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.server.Close(); err != nil {
		t.Fatal(err)
	}
	v.listener = nil
}

// eventually polls until check returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), pollInterval, patience, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%v: %v", err, last)
	}
}

var always = metav1.ListOptions{}
