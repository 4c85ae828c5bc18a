package line

import (
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/rest"

	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// Line is a TCP proxy between a client and the API server that can fail.
type Line struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	isCut bool
	calls []*call
}

// T is what is needed of a *testing.T.
type T interface {
	testenv.T
	Cleanup(f func())
}

// call is one connection over the line.
type call struct {
	ends   [2]net.Conn
	silent atomic.Bool
}

// New makes a line that works, and ends it with the test.
func New(t T) *Line {
	t.Helper()
	server, err := url.Parse(testenv.Config(t).Host)
	if err != nil {
		t.Fatalf("%v", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	l := &Line{listener: listener, server: server.Host}
	var serving sync.WaitGroup
	serving.Go(func() { l.serve(t.Context()) })
	t.Cleanup(func() {
		_ = listener.Close()
		l.Cut()
		serving.Wait()
	})
	return l
}

// URL is where the API server is, for those who reach it over the line. Its
// certificate is good there.
func (l *Line) URL() string { return "https://" + l.listener.Addr().String() }

// Config is that of an administrator who reaches the API server over the line,
// with connections of its own.
func (l *Line) Config(t T) *rest.Config {
	t.Helper()
	config := rest.CopyConfig(testenv.Config(t))
	config.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, l.listener.Addr().String())
	}
	return config
}

func (l *Line) serve(ctx context.Context) {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		c := &call{ends: [2]net.Conn{client, server}}
		l.mu.Lock()
		l.calls = append(l.calls, c)
		if l.isCut {
			c.hangUp()
		}
		l.mu.Unlock()
		go c.forward(client, server)
		go c.forward(server, client)
	}
}

// forward passes on what one end says, until the call goes silent: then what it
// says is lost, and the connections stay.
func (c *call) forward(from, to net.Conn) {
	defer c.hangUp()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if c.silent.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (c *call) hangUp() {
	for _, end := range c.ends {
		_ = end.Close()
	}
}

// Silence makes the calls that there are go silent. New ones go through.
func (l *Line) Silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.calls {
		c.silent.Store(true)
	}
}

// Cut ends all calls, and lets none through any more.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for _, c := range l.calls {
		c.hangUp()
	}
}

// Mend lets calls through again.
func (l *Line) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}
