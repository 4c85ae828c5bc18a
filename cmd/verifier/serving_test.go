package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/accesstoken-dev/accesstoken-operator/internal/server/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/tokenreview"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

func host(t *testing.T, address string) string {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Host
}

func TestProbesSayWhatIsChecked(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "probes")
	status, body := v.probe(t, "/healthz")
	g.Expect(status).To(gomega.Equal(http.StatusOK), body)
	status, body = v.probe(t, "/readyz?verbose")
	g.Expect(status).To(gomega.Equal(http.StatusOK), body)
	for _, check := range []string{"store", "keys", "clock"} {
		g.Expect(body).To(gomega.ContainSubstring("[+]" + check + " ok"))
	}
}

func TestAnExchangedCertificateIsServed(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	at := testenv.ControlPlane(t).Verifier()
	folder := t.TempDir()
	certificate, key := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	for from, to := range map[string]string{at.CertFile: certificate, at.KeyFile: key} {
		content, err := os.ReadFile(from)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(os.WriteFile(to, content, 0o600)).To(gomega.Succeed())
	}
	v := startVerifier(t, "certificate", "--tls-cert-file="+certificate, "--tls-private-key-file="+key)
	everywhere := []string{host(t, v.URL()), host(t, v.WebhooksURL()), v.ExtAuthzAddress()}
	for _, address := range everywhere {
		g.Expect(served(t, address).Issuer.CommonName).To(gomega.Equal("accesstoken control plane"), address)
	}
	exchange(t, certificate, key)
	for _, address := range everywhere {
		g.Eventually(func() int64 { return served(t, address).SerialNumber.Int64() }).
			WithTimeout(soon).WithPolling(5*often).Should(gomega.BeEquivalentTo(exchanged), address)
	}
}

// exchanged is the serial number of the certificate that comes second.
const exchanged = 4711

// exchange puts a certificate in the place of another one.
func exchange(t *testing.T, certificate, key string) {
	t.Helper()
	g := gomega.NewWithT(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	template := &x509.Certificate{SerialNumber: big.NewInt(exchanged), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	keyDER, err := x509.MarshalECPrivateKey(private)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600)).To(gomega.Succeed())
	g.Expect(os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)).To(gomega.Succeed())
}

// served is the certificate that an address shows, also to a client that shows
// none.
func served(t *testing.T, address string) *x509.Certificate {
	t.Helper()
	var shown *x509.Certificate
	dialer := tls.Dialer{Config: &tls.Config{
		NextProtos: []string{"h2"}, InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			shown = state.PeerCertificates[0]
			return nil
		},
	}}
	connection, err := dialer.DialContext(t.Context(), "tcp", address)
	if err == nil {
		_ = connection.Close()
	}
	if shown == nil {
		t.Fatalf("%s shows no certificate: %v", address, err)
	}
	return shown
}

func TestWebhooksAreForTheClientsThatAreNamed(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	review := func(v *process, client *http.Client) error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.WebhooksURL()+tokenreview.Path, strings.NewReader("{}"))
		g.Expect(err).NotTo(gomega.HaveOccurred())
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		return err
	}
	named := startVerifier(t, "client-named", "--client-name=other", "--client-name=kube-apiserver")
	g.Expect(review(named, named.webhooks)).To(gomega.Succeed())
	g.Expect(review(named, named.client)).To(gomega.MatchError(gomega.ContainSubstring("tls: ")), "without a certificate")
	other := startVerifier(t, "client-other", "--client-name=other")
	g.Expect(review(other, other.webhooks)).To(gomega.MatchError(gomega.ContainSubstring("tls: ")), "another name")
	// The client learns of it before the log does.
	g.Eventually(func() string { return other.logged(t) }).WithTimeout(soon).WithPolling(often).
		Should(gomega.ContainSubstring(`client certificate of \"kube-apiserver\" is not of those that are let in`))
}

func TestWhatIsNotWantedIsNotServed(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "part", "--webhook-bind-address=0", "--ext-authz-bind-address=0", "--client-ca-file=", "--metrics-bind-address=0")
	g.Expect(v.use(t, "no token")).To(gomega.Equal(http.StatusUnauthorized))
	for _, address := range []string{host(t, v.WebhooksURL()), v.ExtAuthzAddress(), host(t, v.MetricsURL())} {
		_, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		g.Expect(err).To(gomega.MatchError(syscall.ECONNREFUSED), address)
	}
}

func TestAVerifierThatIsAskedToEndAnswersWhatWasBegun(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "drain")
	dialer := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority(t)}}
	connection, err := dialer.DialContext(t.Context(), "tcp", host(t, v.URL()))
	g.Expect(err).NotTo(gomega.HaveOccurred())
	defer func() { _ = connection.Close() }()
	const body = "token=none"
	_, err = io.WriteString(connection, "POST "+revocation.Path+" HTTP/1.1\r\nHost: verifier\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	reader := bufio.NewReader(connection)
	line, err := reader.ReadString('\n')
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(line).To(gomega.HavePrefix("HTTP/1.1 100"), "it waits for the form")
	_, err = reader.ReadString('\n')
	g.Expect(err).NotTo(gomega.HaveOccurred())

	g.Expect(syscall.Kill(v.PID(), syscall.SIGTERM)).To(gomega.Succeed())
	g.Eventually(func() error {
		other, err := new(net.Dialer).DialContext(t.Context(), "tcp", host(t, v.URL()))
		if err == nil {
			_ = other.Close()
		}
		return err
	}).WithTimeout(soon).WithPolling(often).Should(gomega.MatchError(syscall.ECONNREFUSED), "nothing new is taken")
	_, err = io.WriteString(connection, body)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	response, err := http.ReadResponse(reader, nil)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(response.Body.Close()).To(gomega.Succeed())
	g.Expect(response.StatusCode).To(gomega.Equal(http.StatusOK))
	g.Eventually(v.Done()).WithTimeout(soon).Should(gomega.BeClosed())
	g.Expect(v.Err()).To(gomega.MatchError(gomega.ContainSubstring("(exit status 0)")))
}
