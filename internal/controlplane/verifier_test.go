package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

func TestKubeAPIServerAsksTheVerifierAboutTokensAndOnlyThem(t *testing.T) {
	listener := listen(t, 0)
	t.Cleanup(func() { _ = listener.Close() })
	cp := start(t, Options{Verifier: &Verifier{Address: listener.Addr().String()}})
	var others atomic.Int64
	serveVerifier(t, listener, cp.Verifier(), map[string]http.HandlerFunc{
		"/tokenreview": func(w http.ResponseWriter, r *http.Request) {
			review := decode[authenticationv1.TokenReview](t, r)
			review.Status.Authenticated = review.Spec.Token == "a-token"
			review.Status.User = authenticationv1.UserInfo{Username: "accesstoken:ci:deploy", Groups: []string{"accesstokens"}}
			review.Status.Audiences = review.Spec.Audiences
			encode(t, w, review)
		},
		"/accessreview": func(w http.ResponseWriter, r *http.Request) {
			review := decode[authorizationv1.SubjectAccessReview](t, r)
			if review.Spec.User != "accesstoken:ci:deploy" {
				others.Add(1)
			}
			if attributes := review.Spec.ResourceAttributes; attributes != nil && attributes.Resource == "configmaps" {
				review.Status = authorizationv1.SubjectAccessReviewStatus{Denied: true, Reason: "no scope covers this"}
			}
			encode(t, w, review)
		},
	})
	holder := client(t, withToken(cp.Config(), "a-token"))
	who, err := holder.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || who.Status.UserInfo.Username != "accesstoken:ci:deploy" {
		t.Errorf("the token's user = %v, %v, want the one that the verifier named", who, err)
	}
	_, err = holder.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "no scope covers this") {
		t.Errorf("list of ConfigMaps = %v, want forbidden for the verifier's reason", err)
	}
	if _, err := client(t, cp.Config()).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("list of ConfigMaps by an administrator: %v", err)
	}
	if others.Load() != 0 {
		t.Errorf("the verifier was asked %d times about requests without a token", others.Load())
	}
}

func TestTheVerifierKeepsItsAddressWhileItIsFree(t *testing.T) {
	dir := t.TempDir()
	first := &ControlPlane{dir: dir, options: Options{Verifier: &Verifier{}}}
	if err := first.chooseVerifierAddress(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := &ControlPlane{dir: dir, options: Options{Verifier: &Verifier{}}}
	if err := second.chooseVerifierAddress(t.Context()); err != nil || second.verifierAddress != first.verifierAddress {
		t.Errorf("address at the second start = %q, %v, want %q again", second.verifierAddress, err, first.verifierAddress)
	}
	blocker, err := new(net.ListenConfig).Listen(t.Context(), "tcp", first.verifierAddress)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blocker.Close() }()
	if err := second.chooseVerifierAddress(t.Context()); err != nil || second.verifierAddress == first.verifierAddress {
		t.Errorf("address while another program has it = %q, %v, want another one", second.verifierAddress, err)
	}
}

func TestNothingIsLeftToReplaceInTheFilesForKubeAPIServer(t *testing.T) {
	dir := t.TempDir()
	p, err := newPKI(filepath.Join(dir, "pki"), clock.RealClock{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	cp := &ControlPlane{dir: dir, pki: p, options: Options{Verifier: &Verifier{Address: "127.0.0.1:1234"}}}
	if err := cp.prepareVerifier(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range apiServerFiles {
		content := read(t, filepath.Join(dir, verifierFolder, name))
		for line := range strings.Lines(content) {
			if !strings.HasPrefix(line, "#") && (strings.Contains(line, templateAddress) || strings.Contains(line, templateFolder)) {
				t.Errorf("%s still says %q", name, strings.TrimSpace(line))
			}
		}
		if !strings.Contains(content, dir) {
			t.Errorf("%s does not name the state folder", name)
		}
	}
}

// withToken is a caller that has nothing but a token.
func withToken(admin *rest.Config, token string) *rest.Config {
	config := rest.AnonymousClientConfig(admin)
	config.BearerToken = token
	return config
}

// serveVerifier serves over mutual TLS until the test ends.
func serveVerifier(t *testing.T, listener net.Listener, at VerifierEndpoint, handlers map[string]http.HandlerFunc) {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(at.CertFile, at.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	authority, err := os.ReadFile(at.ClientCAFile)
	if err != nil || !clients.AppendCertsFromPEM(authority) {
		t.Fatalf("authority of kube-apiserver's client certificate: %v", err)
	}
	mux := http.NewServeMux()
	for path, handler := range handlers {
		mux.HandleFunc(path, handler)
	}
	server := httptest.NewUnstartedServer(mux)
	_ = server.Listener.Close()
	server.Listener = listener
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}
	server.StartTLS()
	t.Cleanup(server.Close)
}

func decode[T any](t *testing.T, r *http.Request) *T {
	t.Helper()
	object := new(T)
	if err := json.NewDecoder(r.Body).Decode(object); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("request of kube-apiserver: %v", err)
	}
	return object
}

func encode(t *testing.T, w http.ResponseWriter, object any) {
	t.Helper()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(object); err != nil {
		t.Errorf("answer to kube-apiserver: %v", err)
	}
}
