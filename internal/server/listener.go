package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"

	"github.com/accesstoken-dev/accesstoken-operator/internal/untrusted"
)

// Limits of every connection. Requests are small, and nobody who asks has reason
// to be slow.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10

	// mostPath is what is logged of a path, in bytes.
	mostPath = 256
)

// Drain is how long requests that are under way may take once the program ends.
const Drain = 10 * time.Second

// HTTPS serves a handler over TLS, HTTP/1.1 and HTTP/2.
type HTTPS struct {
	name     string
	listener net.Listener
	server   *http.Server
	log      logr.Logger
}

// ListenHTTPS takes the address, so that one that cannot be had is known at
// once. Start serves.
func ListenHTTPS(ctx context.Context, name, address string, config *tls.Config, handler http.Handler, log logr.Logger) (*HTTPS, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", name, err)
	}
	config = config.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	log = log.WithName(name)
	return &HTTPS{
		name: name, listener: listener, log: log,
		server: &http.Server{
			Handler:           guard(handler, log),
			TLSConfig:         config,
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          newErrorLog(log),
		},
	}, nil
}

// Address is where it listens.
func (s *HTTPS) Address() string { return s.listener.Addr().String() }

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica
// answers.
func (s *HTTPS) NeedLeaderElection() bool { return false }

// Start serves until the context ends, and then lets requests that are under way
// come to their end.
func (s *HTTPS) Start(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.server.ServeTLS(s.listener, "", "") }()
	s.log.Info("listening", "address", s.Address())
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", s.name, err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), Drain)
	defer cancel()
	if err := s.server.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("end %s in order: %w", s.name, err), s.server.Close())
	}
	return nil
}

// guard stands before every handler: no answer may be cached, and a fault of
// ours is a 500 and a log line, never an answer about a token.
func guard(next http.Handler, log logr.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		defer func() {
			switch fault := recover(); fault {
			case nil:
			case http.ErrAbortHandler:
				panic(fault)
			default:
				// What the fault says may quote the request, so it is not logged.
				log.Error(fmt.Errorf("a handler panicked with a %T", fault), "answered with 500", "path", untrusted.Text(r.URL.Path, mostPath), "stack", string(debug.Stack()))
				http.Error(w, "internal error", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
