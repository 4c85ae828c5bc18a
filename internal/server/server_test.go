package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/server"
)

// authority signs certificates for a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	certificate, key := sign(t, template, nil)
	return authority{certificate, key}
}

func sign(t *testing.T, template *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotAfter = big.NewInt(1), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// pair is a certificate for localhost, as a server or as a client of this name.
func (a authority) pair(t *testing.T, name string) tls.Certificate {
	t.Helper()
	certificate, key := sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, &a)
	return tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key, Leaf: certificate}
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// serving is a certificate that can be exchanged, as one that is read from files.
type serving struct {
	mu   sync.Mutex
	pair tls.Certificate
}

func (s *serving) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &s.pair, nil
}

func (s *serving) exchange(pair tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pair = pair
}

// started runs a listener until the test ends, and returns how to stop it
// before.
func started(t *testing.T, config *tls.Config, handler http.HandlerFunc, logged func(string)) (url string, stop func() error) {
	t.Helper()
	log := funcr.New(func(_, args string) { logged(args) }, funcr.Options{Verbosity: 10})
	s, err := server.ListenHTTPS(t.Context(), "test", "127.0.0.1:0", config, handler, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Start(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	return "https://" + s.Address(), stop
}

// answer is what a server was seen to say.
type answer struct {
	status int
	header http.Header
	server string // the common name of its certificate
	body   string
}

func get(t *testing.T, url string, config *tls.Config, header ...string) (answer, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, response.TLS.PeerCertificates[0].Subject.CommonName, string(body)}, err
}

// start is the time of every clock here.
func start() time.Time { return clock.RealClock{}.Now() }

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

func quiet(string) {}

func TestAnExchangedCertificateIsServedAtOnce(t *testing.T) {
	ca := newAuthority(t, "ca")
	certificates := &serving{pair: ca.pair(t, "before")}
	url, _ := started(t, server.ServingTLS(certificates), ok, quiet)
	for _, name := range []string{"before", "after"} {
		certificates.exchange(ca.pair(t, name))
		got, err := get(t, url, &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12})
		if err != nil || got.server != name {
			t.Errorf("served with %q (%v), want %q", got.server, err, name)
		}
	}
}

func TestTLSBefore12IsRefused(t *testing.T) {
	ca := newAuthority(t, "ca")
	url, _ := started(t, server.ServingTLS(&serving{pair: ca.pair(t, "server")}), ok, quiet)
	for version, accepted := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		_, err := get(t, url, &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS10, MaxVersion: version})
		if (err == nil) != accepted {
			t.Errorf("%s: %v, want accepted %v", tls.VersionName(version), err, accepted)
		}
	}
}

func TestWebhooksAreForClientsOfTheAuthorityOnly(t *testing.T) {
	ca, stranger := newAuthority(t, "ca"), newAuthority(t, "stranger")
	file := filepath.Join(t.TempDir(), "ca.crt")
	write(t, file, ca.pem())
	clients, err := server.NewClientCA(file, []string{"kube-apiserver"}, clocktesting.NewFakePassiveClock(start()))
	if err != nil {
		t.Fatal(err)
	}
	url, _ := started(t, clients.TLS(&serving{pair: ca.pair(t, "server")}), ok, quiet)
	for name, c := range map[string]struct {
		certificates []tls.Certificate
		accepted     bool
	}{
		"without a certificate":      {},
		"of another authority":       {certificates: []tls.Certificate{stranger.pair(t, "kube-apiserver")}},
		"of the authority by a name": {certificates: []tls.Certificate{ca.pair(t, "somebody")}},
		"kube-apiserver":             {certificates: []tls.Certificate{ca.pair(t, "kube-apiserver")}, accepted: true},
	} {
		_, err := get(t, url, &tls.Config{RootCAs: ca.pool(), Certificates: c.certificates, MinVersion: tls.VersionTLS12})
		if (err == nil) != c.accepted {
			t.Errorf("%s: %v, want accepted %v", name, err, c.accepted)
		}
	}
}

func TestAClientAuthorityIsReadAnewWhenItChanges(t *testing.T) {
	before, after, now := newAuthority(t, "before"), newAuthority(t, "after"), start()
	file := filepath.Join(t.TempDir(), "ca.crt")
	write(t, file, before.pem())
	c := clocktesting.NewFakePassiveClock(now)
	clients, err := server.NewClientCA(file, nil, c)
	if err != nil {
		t.Fatal(err)
	}
	url, _ := started(t, clients.TLS(&serving{pair: before.pair(t, "server")}), ok, quiet)
	accepted := func(client authority) bool {
		_, err := get(t, url, &tls.Config{RootCAs: before.pool(), Certificates: []tls.Certificate{client.pair(t, "client")}, MinVersion: tls.VersionTLS12})
		return err == nil
	}
	for _, step := range []struct {
		what          string
		content       []byte
		before, after bool
	}{
		{"as it was", nil, true, false},
		{"exchanged", after.pem(), false, true},
		{"spoilt, which leaves what was read before", []byte("no certificate"), false, true},
	} {
		if step.content != nil {
			write(t, file, step.content)
			now = now.Add(time.Minute)
			if err := os.Chtimes(file, now, now); err != nil {
				t.Fatal(err)
			}
			c.SetTime(now)
		}
		if accepted(before) != step.before || accepted(after) != step.after {
			t.Errorf("%s: accepted %v, %v", step.what, accepted(before), accepted(after))
		}
	}
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAClientAuthorityThatHoldsNothingIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.crt")
	write(t, file, []byte("no certificate"))
	for path, want := range map[string]string{file: "holds no certificate in PEM", file + ".absent": "no such file"} {
		if _, err := server.NewClientCA(path, nil, clocktesting.NewFakePassiveClock(start())); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestAFaultIsA500AndQuotesNothing(t *testing.T) {
	ca := newAuthority(t, "ca")
	var mu sync.Mutex
	var lines []string
	url, _ := started(t, server.ServingTLS(&serving{pair: ca.pair(t, "server")}), func(_ http.ResponseWriter, r *http.Request) {
		panic("a fault about " + r.Header.Get("Authorization"))
	}, func(line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	})
	got, err := get(t, url, &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12}, "Authorization", "Bearer planted-needle")
	if err != nil || got.status != http.StatusInternalServerError || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("answered %d with %v (%v)", got.status, got.header, err)
	}
	mu.Lock()
	defer mu.Unlock()
	all := strings.Join(lines, "\n") + got.body
	if !strings.Contains(all, "panicked") {
		t.Errorf("the fault is not logged: %s", all)
	}
	if strings.Contains(all, "planted-needle") {
		t.Errorf("the fault quotes the request: %s", all)
	}
}

func TestRequestsUnderWayComeToTheirEnd(t *testing.T) {
	ca := newAuthority(t, "ca")
	entered, leave := make(chan struct{}), make(chan struct{})
	url, stop := started(t, server.ServingTLS(&serving{pair: ca.pair(t, "server")}), func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		_, _ = io.WriteString(w, "done")
	}, quiet)
	config := &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12}
	answered := make(chan string, 1)
	go func() {
		got, err := get(t, url, config)
		if err != nil {
			answered <- err.Error()
			return
		}
		answered <- got.body
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for { // the listener is closed before the request ends
		connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "https://"))
		if err != nil {
			break
		}
		_ = connection.Close()
	}
	close(leave)
	if got := <-answered; got != "done" {
		t.Errorf("the request under way ended with %q", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestAnAddressThatIsTakenIsKnownAtOnce(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	ca := newAuthority(t, "ca")
	_, err = server.ListenHTTPS(t.Context(), "test", taken.Addr().String(), server.ServingTLS(&serving{pair: ca.pair(t, "server")}), http.HandlerFunc(ok), funcr.New(func(string, string) {}, funcr.Options{}))
	if err == nil || !strings.Contains(err.Error(), "listen for test") {
		t.Errorf("listening where somebody listens: %v", err)
	}
}
