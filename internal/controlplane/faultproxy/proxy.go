package faultproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// share is that of the writes that go wrong.
const share = 0.1

// Fault is what becomes of a write that goes wrong.
type Fault string

// The faults. Of a write that was refused nothing was done, and the manager
// knows; of all others it cannot know.
const (
	Refused        Fault = "409, not forwarded"
	DoneButRefused Fault = "409, though done"
	DoneButFailed  Fault = "500, though done"
	DoneButCut     Fault = "connection cut, though done"
	Cut            Fault = "connection cut, not forwarded"
)

// faults are drawn evenly, so half of those that go wrong are plain conflicts.
var faults = []Fault{Refused, Refused, Refused, Refused, DoneButRefused, DoneButFailed, DoneButCut, Cut}

// Proxy stands between the manager and the API server. It adds the manager's
// credentials, since the manager sends none over plain HTTP.
type Proxy struct {
	// URL is where the manager finds it.
	URL string

	active  atomic.Bool
	forward http.RoundTripper
	server  *http.Server

	mu     sync.Mutex
	random *rand.Rand
	counts map[Fault]int
}

// Start listens on a free loopback port and forwards with the rights of config.
// Nothing goes wrong until SetActive. The seed says which writes do, in the order
// in which they come.
func Start(ctx context.Context, config *rest.Config, seed uint64) (*Proxy, error) {
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("address of the API server: %w", err)
	}
	forward, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("transport to the API server: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	p := &Proxy{
		URL: "http://" + listener.Addr().String(), forward: forward,
		random: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // repeatable on purpose
		counts: map[Fault]int{},
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     p,
		FlushInterval: -1, // watches
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	p.server = &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = p.server.Serve(listener) }()
	return p, nil
}

// Close ends the proxy and every connection through it.
func (p *Proxy) Close() error { return p.server.Close() }

// SetActive says whether writes go wrong from now on.
func (p *Proxy) SetActive(active bool) { p.active.Store(active) }

// Counts are the writes that went wrong so far, by how.
func (p *Proxy) Counts() map[Fault]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// RoundTrip forwards a request, or has it go wrong.
func (p *Proxy) RoundTrip(request *http.Request) (*http.Response, error) {
	what, wrong := p.draw(request)
	if !wrong {
		return p.forward.RoundTrip(request)
	}
	if what != Refused && what != Cut {
		response, err := p.forward.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	switch what {
	case Refused, DoneButRefused:
		return answer(request, http.StatusConflict, metav1.StatusReasonConflict), nil
	case DoneButFailed:
		return answer(request, http.StatusInternalServerError, metav1.StatusReasonInternalError), nil
	case DoneButCut, Cut:
	}
	return nil, errors.New(string(what))
}

func (p *Proxy) draw(request *http.Request) (Fault, bool) {
	if !p.active.Load() || !faulty(request) {
		return "", false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.random.Float64() >= share {
		return "", false
	}
	what := faults[p.random.IntN(len(faults))]
	p.counts[what]++
	return what, true
}

// faulty says whether a request is one of those that may go wrong: the writes
// that a token is issued by.
func faulty(request *http.Request) bool {
	if request.Method != http.MethodPost && request.Method != http.MethodPatch {
		return false
	}
	path := request.URL.Path
	return strings.Contains(path, "/secrets") || strings.Contains(path, "/tokenrecords") ||
		(strings.Contains(path, "/accesstokens/") && strings.HasSuffix(path, "/status"))
}

func answer(request *http.Request, code int, reason metav1.StatusReason) *http.Response {
	body, err := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Reason: reason, Code: int32(code), Message: "made up by the fault proxy", //nolint:gosec // an HTTP status
	})
	if err != nil {
		body = nil
	}
	return &http.Response{
		StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)),
		Body: io.NopCloser(strings.NewReader(string(body))),
	}
}
