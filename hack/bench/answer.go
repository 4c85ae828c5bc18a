package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/accesstoken-dev/accesstoken-operator/hack/bench/load"
	"github.com/accesstoken-dev/accesstoken-operator/internal/caller"
	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/extauthz"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/forwardauth"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/introspection"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/tokenreview"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// answerCommand is the first argument by which this program answers requests,
// instead of measuring.
const answerCommand = "answer"

// answering is what a process that answers tells of itself, in one line.
type answering struct {
	Address       string  `json:"address"`
	BytesPerToken float64 `json:"bytesPerToken"`
}

// answer serves a protocol, or its floor, over a synthetic index on one
// processor, until its standard input ends.
func answer(arguments []string) error {
	var (
		protocol  string
		tokens    int
		processor int
		certFile  string
		keyFile   string
	)
	flags := flag.NewFlagSet(answerCommand, flag.ContinueOnError)
	flags.StringVar(&protocol, "protocol", "", "what to answer")
	flags.IntVar(&tokens, "tokens", 0, "how many tokens are known")
	flags.IntVar(&processor, "processor", 0, "where to run")
	flags.StringVar(&certFile, "cert", "", "serving certificate")
	flags.StringVar(&keyFile, "key", "", "its key")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if err := load.Pin(processor); err != nil {
		return err
	}
	runtime.GOMAXPROCS(1)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return fmt.Errorf("serving certificate: %w", err)
	}
	before := heap()
	index, err := syntheticStore(tokens)
	if err != nil {
		return err
	}
	told := answering{BytesPerToken: float64(heap()-before) / float64(max(tokens, 1))}
	decider := &verify.Decider{
		Index: index, Fresh: func(time.Time) error { return nil }, Clock: clock.RealClock{}, DefaultAudience: "accesstoken.dev",
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	part, err := answerer(ctx, protocol, decider, certificate{&pair})
	if err != nil {
		return err
	}
	told.Address = part.Address()
	go func() { ended <- part.Start(ctx) }()
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	cancel()
	return errors.Join(err, <-ended)
}

// heap is what is in use after what is not was freed.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc) //nolint:gosec // far below
}

type certificate struct{ pair *tls.Certificate }

func (c certificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.pair, nil
}

type listener interface {
	Start(ctx context.Context) error
	Address() string
}

const benchPolicy = "shop"

var policies = []config.Policy{{Name: benchPolicy, Audience: syntheticAudience, Scopes: []string{"deploy:shop"}, Schemes: []config.Scheme{config.SchemeBearer}}}

// answerer is the listener of a protocol or a floor.
func answerer(ctx context.Context, protocol string, decider *verify.Decider, cert certificate) (listener, error) {
	if protocol == extAuthz || protocol == extAuthz+floorSuffix {
		return grpcAnswerer(ctx, protocol, decider, cert)
	}
	var handler http.Handler
	switch protocol {
	case forwardAuth:
		handler = forwardauth.New(decider, forwardauth.Options{Policies: policies})
	case tokenReview:
		handler = tokenreview.New(decider, tokenreview.Options{
			DefaultAudience: decider.DefaultAudience,
			Kubernetes:      config.Kubernetes{Audiences: []string{"https://kubernetes.default.svc"}, Scopes: config.ScopesEnforced},
		})
	case introspect:
		var err error
		if handler, err = introspector(decider); err != nil {
			return nil, err
		}
	default:
		if !strings.HasSuffix(protocol, floorSuffix) {
			return nil, fmt.Errorf("-protocol: %q is none of %q", protocol, protocols)
		}
		handler = http.HandlerFunc(constant)
	}
	return server.ListenHTTPS(ctx, protocol, "127.0.0.1:0", server.ServingTLS(cert), handler, logr.Discard())
}

// constant is the floor of every protocol over HTTP: it reads what was sent, and
// answers with as much as the protocol would.
func constant(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.Method == http.MethodPost {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(constantBody)
		return
	}
	w.WriteHeader(http.StatusOK)
}

var constantBody = slices.Repeat([]byte("0123456789abcdef"), 32)

// introspector answers callers who show a token of ours.
func introspector(decider *verify.Decider) (http.Handler, error) {
	unasked, err := kubernetes.NewForConfig(&rest.Config{Host: "https://127.0.0.1:1"})
	if err != nil {
		return nil, err
	}
	callers, err := caller.New(caller.Options{Verifier: decider, Kubernetes: unasked, DefaultTokenAudience: decider.DefaultAudience})
	if err != nil {
		return nil, err
	}
	return introspection.New(introspection.Options{Verifier: decider, Peek: decider, Callers: callers})
}

func grpcAnswerer(ctx context.Context, protocol string, decider *verify.Decider, cert certificate) (listener, error) {
	var service authv3.AuthorizationServer = extauthz.New(decider, extauthz.Options{Policies: policies})
	if protocol == extAuthz+floorSuffix {
		service = constantService{}
	}
	return extauthz.Listen(ctx, "127.0.0.1:0", server.ServingTLS(cert, "h2"), service, func() error { return nil }, clock.RealClock{})
}

// constantService is the floor of ext_authz.
type constantService struct {
	authv3.UnimplementedAuthorizationServer
}

func (constantService) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{Status: &rpcstatus.Status{Code: int32(codes.OK)}}, nil
}
