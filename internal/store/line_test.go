package store_test

import (
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// line is a TCP proxy between a client and the API server that can fail.
type line struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	isCut bool
	calls []*call
}

// call is one connection over the line.
type call struct {
	ends   [2]net.Conn
	silent atomic.Bool
}

func newLine(t *testing.T) *line {
	t.Helper()
	server, err := url.Parse(testenv.Config(t).Host)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, server: server.Host}
	var serving sync.WaitGroup
	serving.Go(func() { l.serve(t.Context()) })
	t.Cleanup(func() {
		_ = listener.Close()
		l.cut()
		serving.Wait()
	})
	return l
}

// config is that of an administrator who reaches the API server over the line,
// with connections of its own.
func (l *line) config(t *testing.T) *rest.Config {
	t.Helper()
	config := rest.CopyConfig(testenv.Config(t))
	config.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, l.listener.Addr().String())
	}
	return config
}

func (l *line) serve(ctx context.Context) {
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

// silence makes the calls that there are go silent. New ones go through.
func (l *line) silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.calls {
		c.silent.Store(true)
	}
}

// cut ends all calls, and lets none through any more.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for _, c := range l.calls {
		c.hangUp()
	}
}

// mend lets calls through again.
func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}
