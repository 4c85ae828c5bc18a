package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/server"
)

// journal is a log that is read while it is written.
type journal struct {
	mu      sync.Mutex
	content bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.content.Write(line)
}

// failures are the lines about connections that failed, of this level.
func (j *journal) failures(t *testing.T, level slog.Level) (failures []map[string]string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range bytes.Lines(j.content.Bytes()) {
		var fields map[string]string
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if fields["msg"] == "a connection failed" && fields["level"] == level.String() {
			failures = append(failures, fields)
		}
	}
	return failures
}

// webhooks is a listener for clients of the authority that have this name.
func webhooks(t *testing.T, ca authority, name string) (address string, log *journal) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.crt")
	write(t, file, ca.pem())
	clients, err := server.NewClientCA(file, []string{name}, clocktesting.NewFakePassiveClock(start()))
	if err != nil {
		t.Fatal(err)
	}
	log = &journal{}
	handler := slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})
	s, err := server.ListenHTTPS(t.Context(), "test", "127.0.0.1:0", clients.TLS(&serving{pair: ca.pair(t, "server")}), http.HandlerFunc(ok), logr.FromSlogHandler(handler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Address(), log
}

func TestACertificateThatIsRefusedIsAWarning(t *testing.T) {
	ca, stranger := newAuthority(t, "ca"), newAuthority(t, "stranger")
	for name, test := range map[string]struct {
		roots        *x509.CertPool
		certificates []tls.Certificate
		why, hint    string
	}{
		"of another name":             {ca.pool(), []tls.Certificate{ca.pair(t, "somebody")}, `client certificate of "somebody" is not of those that are let in: ["kube-apiserver"]`, "--client-name"},
		"of another authority":        {ca.pool(), []tls.Certificate{stranger.pair(t, "kube-apiserver")}, "certificate", "--client-ca-file"},
		"none":                        {ca.pool(), nil, "client didn't provide a certificate", "--client-ca-file"},
		"ours, which is not believed": {stranger.pool(), nil, "bad certificate", "--tls-cert-file"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			address, log := webhooks(t, ca, "kube-apiserver")
			if _, err := get(t, "https://"+address, &tls.Config{RootCAs: test.roots, Certificates: test.certificates, MinVersion: tls.VersionTLS12}); err == nil {
				t.Fatal("it was let in")
			}
			g.Eventually(func() []map[string]string { return log.failures(t, slog.LevelWarn) }).Should(gomega.ConsistOf(gomega.And(
				gomega.HaveKeyWithValue("why", gomega.ContainSubstring(test.why)), gomega.HaveKeyWithValue("hint", gomega.ContainSubstring(test.hint)),
			)))
		})
	}
}

func TestWarningsOfCertificatesAreNoFlood(t *testing.T) {
	const tries = 20
	g := gomega.NewWithT(t)
	ca := newAuthority(t, "ca")
	address, log := webhooks(t, ca, "kube-apiserver")
	for range tries {
		_, _ = get(t, "https://"+address, &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12})
	}
	g.Eventually(func() int { return len(log.failures(t, slog.LevelWarn)) + len(log.failures(t, slog.LevelDebug)) }).Should(gomega.Equal(tries))
	if warnings := len(log.failures(t, slog.LevelWarn)); warnings < 5 || warnings >= tries/2 {
		t.Errorf("%d warnings of %d failures", warnings, tries)
	}
}

func TestWhoKnocksOnlyIsNoWarning(t *testing.T) {
	g := gomega.NewWithT(t)
	address, log := webhooks(t, newAuthority(t, "ca"), "kube-apiserver")
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if _, err := io.Copy(connection, strings.NewReader("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	g.Eventually(func() int { return len(log.failures(t, slog.LevelDebug)) }).Should(gomega.Equal(1))
	if warnings := log.failures(t, slog.LevelWarn); len(warnings) != 0 {
		t.Errorf("%v", warnings)
	}
}
