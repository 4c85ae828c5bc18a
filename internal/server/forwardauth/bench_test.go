package forwardauth_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/server/forwardauth"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/cputime"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
)

// BenchmarkServed sends one request after the other over one connection, by a
// client that does next to nothing, to a handler that answers a constant and to
// ours. Their ratio is what a decision costs.
func BenchmarkServed(b *testing.B) {
	handler, token := benchHandler(b)
	good := strings.Join(append(nginx("any", bearer(token)), "Host: shop.example.com", "User-Agent: curl/8", "Accept: */*", "", ""), "\r\n")
	bad := strings.Replace(good, "Bearer kat_", "Bearer kat-", 1)
	constant := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	for _, c := range []struct {
		name    string
		handler http.Handler
		request string
	}{{"floor", constant, good}, {"allowed", handler, good}, {"refused", handler, bad}} {
		b.Run(c.name, func(b *testing.B) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			connection, err := new(net.Dialer).DialContext(b.Context(), "tcp", server.Listener.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = connection.Close() }()
			request, answer := []byte(c.request), make([]byte, 4096)
			b.ReportAllocs()
			defer cputime.Report(b)()
			for b.Loop() {
				if _, err := connection.Write(request); err != nil {
					b.Fatal(err)
				}
				if n, err := connection.Read(answer); err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 ")) {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHandler is the handler alone.
func BenchmarkHandler(b *testing.B) {
	handler, token := benchHandler(b)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/auth/nginx/any", nil)
	r.RemoteAddr = "127.0.0.1:4711"
	for _, line := range nginx("any", bearer(token))[1:] {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		if handler.ServeHTTP(w, r); w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}

func benchHandler(b *testing.B) (handler http.Handler, token string) {
	b.Helper()
	index := mint.NewIndex(b)
	token = index.Issue("shop", "bench", now, mint.Scopes("read:shop"))
	return forwardauth.New(index.Decider(clocktesting.NewFakePassiveClock(now)), options), token
}

// discard takes an answer and keeps the status.
type discard struct {
	io.Writer
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
