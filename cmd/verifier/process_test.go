package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/child"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// How long tests wait, and how often they look.
const (
	soon   = child.Soon
	later  = child.Later
	aWhile = child.AWhile
	often  = 20 * time.Millisecond
)

// configuration is that of all verifiers here.
const configuration = `
apiVersion: config.accesstoken.dev/v1alpha1
kind: VerifierConfiguration
trustedProxies: [127.0.0.1]
policies:
- name: shop
  schemes: [Bearer, Basic]
audit: {accepted: All}
`

// startManager runs a manager until the test ends.
func startManager(t *testing.T) {
	t.Helper()
	m, err := operator.Start(t.Context(), testenv.ControlPlane(t), operator.Options{
		Program: managerProgram, Args: []string{"--log-level=DEBUG"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Errorf("stop the manager: %v", err)
		}
	})
}

// process is a running verifier.
type process struct {
	*operator.Verifier
	client   *http.Client // a gateway's, or a service's
	webhooks *http.Client // kube-apiserver's
}

// startVerifier runs a verifier until the test ends: this test binary. The name is
// empty for the one that kube-apiserver asks. A later argument wins, also over
// the configuration.
func startVerifier(t *testing.T, name string, args ...string) *process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(asVerifier, "1")
	started, err := operator.StartVerifier(t.Context(), testenv.ControlPlane(t), operator.VerifierOptions{
		Name: name, Program: program, Config: configuration, Args: append([]string{"--log-level=DEBUG"}, args...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := started.Stop(); err != nil {
			t.Errorf("stop the verifier: %v", err)
		}
	})
	return &process{Verifier: started, client: trusting(t, nil), webhooks: trusting(t, apiServerCertificate(t))}
}

// trusting is a client that trusts the authority of the verifiers' certificates,
// and shows one of its own if there is one.
func trusting(t *testing.T, own *tls.Certificate) *http.Client {
	t.Helper()
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority(t)}
	if own != nil {
		config.Certificates = []tls.Certificate{*own}
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: soon}
}

func authority(t *testing.T) *x509.CertPool {
	t.Helper()
	content, err := os.ReadFile(testenv.ControlPlane(t).Verifier().ClientCAFile)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(content) {
		t.Fatalf("authority of the verifiers' certificates: %v", err)
	}
	return pool
}

// apiServerCertificate is what kube-apiserver shows to verifiers.
func apiServerCertificate(t *testing.T) *tls.Certificate {
	t.Helper()
	folder := testenv.ControlPlane(t).Dir() + "/verifier/"
	certificate, err := tls.LoadX509KeyPair(folder+"client.crt", folder+"client.key")
	if err != nil {
		t.Fatal(err)
	}
	return &certificate
}

// kill ends the process as a crash does, without a word to anybody.
func (v *process) kill(t *testing.T) {
	t.Helper()
	child.Kill(t, v.Process)
}

// probe asks a health endpoint; status is 0 while nobody answers.
func (v *process) probe(t *testing.T, path string) (status int, body string) {
	t.Helper()
	return child.Get(t, http.DefaultClient, v.HealthURL()+path, "")
}

// metrics are those of the verifier, in the text format of Prometheus.
func (v *process) metrics(t *testing.T) string {
	t.Helper()
	status, text := child.Get(t, http.DefaultClient, v.MetricsURL(), "")
	if status != http.StatusOK {
		t.Fatalf("metrics: %d %s", status, text)
	}
	return text
}

// logged is what the verifier wrote so far.
func (v *process) logged(t *testing.T) string {
	t.Helper()
	return string(child.Logged(t, v.Process, 0))
}

// nobody is the path of a kubeconfig that leads to the API server without any
// credential.
func nobody(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := rest.AnonymousClientConfig(testenv.Config(t))
	if err := controlplane.WriteKubeconfig(config, path); err != nil {
		t.Fatal(err)
	}
	return path
}
