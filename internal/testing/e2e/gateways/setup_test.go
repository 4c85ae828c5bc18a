//go:build e2e

package gateways

import (
	"bytes"
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
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/forwardauth"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

const (
	patience = 30 * time.Second
	poll     = 20 * time.Millisecond

	// Clients have an address of their own, since the gateways' is trusted.
	client   = "127.0.0.2"
	stranger = "127.0.0.3"

	site         = "shop.example.com"
	verifierName = "accesstoken-verifier.accesstoken-system.svc"
)

var wall clock.PassiveClock = clock.RealClock{}

// setup is a shop, a gateway before it, and the verifier that the gateway asks.
type setup struct {
	name   string
	folder string
	port   string // of the gateway

	verifier *httptest.Server
	shop     *httptest.Server
	stale    atomic.Bool // the verifier cannot check
	output   output      // of the gateway

	unlimited, scoped, deployer, networked, other string

	mu   sync.Mutex
	seen []*http.Request // by the shop
	body string          // of the last one
}

// gateways are those that are tested, by the name of their file.
var gateways = map[string]func(t *testing.T, s *setup) *exec.Cmd{
	"nginx": func(t *testing.T, s *setup) *exec.Cmd {
		s.write(t, "nginx.conf", "daemon off; master_process off; error_log stderr; pid "+s.folder+"/pid;\n"+s.file(t, "nginx.conf",
			"http {", "http {\n client_body_temp_path "+s.folder+"/a; proxy_temp_path "+s.folder+"/b; fastcgi_temp_path "+s.folder+"/c; uwsgi_temp_path "+s.folder+"/d; scgi_temp_path "+s.folder+"/e;",
			"listen 443 ssl", "listen "+s.port+" ssl",
			"server "+verifierName+":443", "server "+s.verifier.Listener.Addr().String(),
			"shop.shop.svc:8080", s.shop.Listener.Addr().String(),
			"/etc/nginx/", s.folder+"/", "/var/log/nginx/", s.folder+"/"))
		return exec.Command("nginx", "-p", s.folder, "-c", filepath.Join(s.folder, "nginx.conf"))
	},
	"caddy": func(t *testing.T, s *setup) *exec.Cmd {
		s.write(t, "Caddyfile", s.file(t, "Caddyfile",
			"\n{\n", "\n{\n\tadmin off\n\tauto_https disable_redirects\n",
			"https://"+site, "https://"+site+":"+s.port,
			// The name of the certificate is not one that resolves here.
			"https://"+verifierName+":443", "https://"+s.verifier.Listener.Addr().String(),
			"shop.shop.svc:8080", s.shop.Listener.Addr().String(),
			"/etc/caddy/", s.folder+"/"))
		return exec.Command("caddy", "run", "--config", filepath.Join(s.folder, "Caddyfile"), "--adapter", "caddyfile")
	},
}

// each runs a test behind each gateway.
func each(t *testing.T, test func(t *testing.T, s *setup)) {
	t.Helper()
	for name := range gateways {
		t.Run(name, func(t *testing.T) { test(t, start(t, name)) })
	}
}

func start(t *testing.T, name string) *setup {
	t.Helper()
	s := &setup{name: name, folder: t.TempDir(), port: freePort(t)}
	index := mint.NewIndex(t)
	s.unlimited = index.Issue("shop", "unlimited", wall.Now())
	s.scoped = index.Issue("shop", "scoped", wall.Now(), mint.Scopes("read:shop"))
	s.deployer = index.Issue("shop", "deployer", wall.Now(), mint.Scopes("read:shop", "deploy:shop"))
	s.networked = index.Issue("shop", "networked", wall.Now(), mint.Networks(client+"/32"))
	s.other = index.Issue("shop", "other", wall.Now(), mint.Audiences("billing-api"))
	s.serve(t, index.Decider(wall))
	s.run(t)
	return s
}

// serve starts the verifier and the shop.
func (s *setup) serve(t *testing.T, verifier verify.Verifier) {
	t.Helper()
	configuration, err := config.Load(filepath.Join(root(t), "config", "gateways", "verifier.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	handler := forwardauth.New(verify.Func(func(ctx context.Context, request verify.Request) (verify.Verdict, error) {
		if s.stale.Load() {
			return verify.Verdict{}, verify.ErrStale
		}
		return verifier.Verify(ctx, request)
	}), forwardauth.Options{Policies: configuration.Policies, TrustedProxies: configuration.Networks()})
	ca := newAuthority(t)
	s.verifier = httptest.NewUnstartedServer(handler)
	s.verifier.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ca.pair(t, verifierName)}}
	s.verifier.StartTLS()
	t.Cleanup(s.verifier.Close)
	s.shop = httptest.NewServer(s.sell(t))
	t.Cleanup(s.shop.Close)
	s.write(t, "verifier-ca.crt", string(ca.certificate))
	if err := os.Mkdir(filepath.Join(s.folder, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	certificate, key := ca.issue(t, site)
	s.write(t, "tls/tls.crt", string(certificate))
	s.write(t, "tls/tls.key", string(key))
}

// sell is the shop: it notes what it sees, and has a git repository.
func (s *setup) sell(t *testing.T) http.Handler {
	t.Helper()
	execPath, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/git/", &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"), Root: "/git",
		Env: []string{"GIT_PROJECT_ROOT=" + s.folder, "GIT_HTTP_EXPORT_ALL=1"},
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen, s.body = append(s.seen, r), string(body)
		if err != nil {
			s.body = err.Error()
		}
		_, _ = io.WriteString(w, "sold")
	})
	return mux
}

// last returns what the shop saw of the last request, and forgets all.
func (s *setup) last() (request *http.Request, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.seen, s.body = nil, "" }()
	if len(s.seen) == 0 {
		return nil, ""
	}
	return s.seen[len(s.seen)-1], s.body
}

// run starts the gateway and waits until it answers.
func (s *setup) run(t *testing.T) {
	t.Helper()
	cmd := gateways[s.name](t, s)
	cmd.Stdout, cmd.Stderr = &s.output, &s.output
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.folder, "XDG_DATA_HOME=" + s.folder, "XDG_CONFIG_HOME=" + s.folder}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		logged := s.logged(t)
		for _, secret := range []string{s.unlimited, s.scoped, s.deployer, s.networked, s.other} {
			if strings.Contains(logged, secret) || strings.Contains(logged, secret[21:]) {
				t.Errorf("%s logged a token", s.name)
			}
		}
		if t.Failed() {
			t.Logf("%s:\n%s", s.name, logged)
		}
	})
	err := wait.PollUntilContextTimeout(t.Context(), poll, patience, true, func(ctx context.Context) (bool, error) {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+s.port)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return true, connection.Close()
	})
	if err != nil {
		t.Fatalf("%s does not answer: %v", s.name, err)
	}
}

// output can be read while a program writes it.
type output struct {
	mu      sync.Mutex
	content bytes.Buffer
}

func (o *output) Write(part []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.content.Write(part)
}

// logged is all that the gateway wrote. Caddy writes of requests to its output.
func (s *setup) logged(t *testing.T) string {
	t.Helper()
	var requests []byte
	if s.name == "nginx" {
		var err error
		if requests, err = os.ReadFile(filepath.Join(s.folder, "access.log")); err != nil {
			t.Error(err)
		}
	}
	s.output.mu.Lock()
	defer s.output.mu.Unlock()
	return s.output.content.String() + string(requests)
}

// file reads an example and replaces what differs here. Each text has to be in
// it, so that an example that changes is noticed.
func (s *setup) file(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root(t), "config", "gateways", name))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !bytes.Contains(content, []byte(pairs[i])) {
			t.Fatalf("%s has no %q", name, pairs[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(string(content))
}

func (s *setup) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.folder, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func root(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// authority issues certificates for this test.
type authority struct {
	certificate []byte // PEM
	parsed      *x509.Certificate
	key         *ecdsa.PrivateKey
	serial      int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: wall.Now().Add(-time.Hour), NotAfter: wall.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), parsed: parsed, key: key, serial: 1}
}

// issue returns a certificate for a name and 127.0.0.1, and its key, in PEM.
func (a *authority) issue(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.serial++
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: wall.Now().Add(-time.Hour), NotAfter: wall.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.parsed, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

func (a *authority) pair(t *testing.T, name string) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(a.issue(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// answer is what curl got.
type answer struct {
	status  int
	headers http.Header
	body    string
}

// curl asks the gateway for a path from an address, with further arguments.
func (s *setup) curl(t *testing.T, from, path string, arguments ...string) answer {
	t.Helper()
	arguments = append([]string{
		"-sS", "--interface", from, "--cacert", filepath.Join(s.folder, "verifier-ca.crt"), "--resolve", site + ":" + s.port + ":127.0.0.1",
		"-D", "-", "-w", "\n%{http_code}", "--max-time", "20",
	}, append(arguments, "https://"+site+":"+s.port+path)...)
	output, err := s.program(t, "curl", arguments...)
	if err != nil {
		t.Fatalf("curl %v: %v\n%s", arguments, err, output)
	}
	end := strings.LastIndexByte(output, '\n')
	status, err := strconv.Atoi(output[end+1:])
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: status, headers: http.Header{}}
	head, body, _ := strings.Cut(strings.ReplaceAll(output[:end], "\r\n", "\n"), "\n\n")
	for strings.HasPrefix(body, "HTTP/") { // after an answer of 100
		head, body, _ = strings.Cut(body, "\n\n")
	}
	a.body = body
	for _, line := range strings.Split(head, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			a.headers.Add(name, value)
		}
	}
	return a
}

// program runs a client with the test's folder as its home.
func (s *setup) program(t *testing.T, name string, arguments ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.folder, "GIT_SSL_CAINFO=" + filepath.Join(s.folder, "verifier-ca.crt"),
		"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=e2e", "GIT_AUTHOR_EMAIL=e2e@example.com",
		"GIT_COMMITTER_NAME=e2e", "GIT_COMMITTER_EMAIL=e2e@example.com",
	}
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func bearer(token string) []string { return []string{"-H", "Authorization: Bearer " + token} }
