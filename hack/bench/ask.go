package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"github.com/accesstoken-dev/accesstoken-operator/hack/bench/load"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/extauthz"
)

// askCommand is the first argument by which this program asks a process that
// answers, instead of measuring.
const askCommand = "ask"

// What is measured, and the end of the name of its floor.
const (
	forwardAuth = "forward auth"
	introspect  = "introspection"
	tokenReview = "TokenReview"
	extAuthz    = "ext_authz"

	floorSuffix = " floor"
)

var protocols = []string{forwardAuth, introspect, tokenReview, extAuthz}

// asked bounds how many different tokens a run presents: they are made before
// it, and a million take long.
const asked = 50_000

// ask presents tokens at random for a while, on one processor, and prints what it
// saw.
func ask(arguments []string) error {
	var (
		a        asking
		caFile   string
		duration time.Duration
		process  int
	)
	flags := flag.NewFlagSet(askCommand, flag.ContinueOnError)
	flags.StringVar(&a.protocol, "protocol", "", "what to ask")
	flags.StringVar(&a.address, "address", "", "whom to ask")
	flags.IntVar(&a.tokens, "tokens", 0, "how many tokens are known there")
	flags.IntVar(&a.connections, "connections", 1, "how many connections ask at once")
	flags.StringVar(&caFile, "ca", "", "whom to trust")
	flags.DurationVar(&duration, "for", time.Second, "how long to ask")
	flags.IntVar(&process, "processor", 0, "where to run")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if err := load.Pin(process); err != nil {
		return err
	}
	content, err := os.ReadFile(caFile)
	if err != nil {
		return fmt.Errorf("authority of the server: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return fmt.Errorf("%s holds no certificate", caFile)
	}
	a.tls = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	if err := a.prepare(); err != nil {
		return err
	}
	result, err := a.run(context.Background(), duration)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// asking is one run of load.
type asking struct {
	protocol, address   string
	tokens, connections int
	tls                 *tls.Config
	requests            [][]byte
	checks              []*authv3.CheckRequest
}

// prepare makes the requests: each presents another token, in an order that
// neither caches nor branches foresee.
func (a *asking) prepare() error {
	caller, err := syntheticToken(introspectorIndex)
	if err != nil {
		return err
	}
	n := min(asked, a.tokens)
	for k := range n {
		// A stride that is odd and not a divisor visits tokens all over the index.
		i := (k*2_654_435_761 + 12345) % a.tokens
		made, err := syntheticToken(i)
		if err != nil {
			return err
		}
		switch {
		case isProtocol(a.protocol, extAuthz):
			a.checks = append(a.checks, checkRequest(made.Reveal()))
		case isProtocol(a.protocol, forwardAuth):
			a.requests = append(a.requests, get(made.Reveal()))
		case isProtocol(a.protocol, introspect):
			a.requests = append(a.requests, post("/introspect", "application/x-www-form-urlencoded",
				"token="+url.QueryEscape(made.Reveal()), "Authorization: Bearer "+caller.Reveal()+"\r\n"))
		case isProtocol(a.protocol, tokenReview):
			a.requests = append(a.requests, post("/tokenreview", "application/json",
				`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","metadata":{},"spec":{"token":"`+made.Reveal()+
					`","audiences":["https://kubernetes.default.svc"]},"status":{"user":{}}}`, ""))
		default:
			return fmt.Errorf("-protocol: %q is none of %q", a.protocol, protocols)
		}
	}
	return nil
}

func isProtocol(name, protocol string) bool { return name == protocol || name == protocol+floorSuffix }

func get(token string) []byte {
	return []byte("GET /auth/nginx/" + benchPolicy + " HTTP/1.1\r\nHost: verifier\r\nX-Original-URI: /cart?item=1\r\nX-Original-Method: GET\r\n" +
		"User-Agent: bench\r\nAuthorization: Bearer " + token + "\r\n\r\n")
}

func post(path, contentType, body, header string) []byte {
	return []byte("POST " + path + " HTTP/1.1\r\nHost: verifier\r\nContent-Type: " + contentType + "\r\nUser-Agent: bench\r\n" + header +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

func checkRequest(token string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: map[string]string{extauthz.PolicyExtension: benchPolicy},
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: "203.0.113.9"},
		}}},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Path: "/cart?item=1", Host: "shop.example.com", Scheme: "https", Protocol: "HTTP/2",
			Headers: map[string]string{
				":authority": "shop.example.com", ":method": "GET", ":path": "/cart?item=1", ":scheme": "https",
				"authorization": "Bearer " + token, "user-agent": "bench", "accept": "*/*", "x-request-id": "0f1e2d3c-4b5a-4697-8877-665544332211",
			},
		}},
	}}
}

func (a *asking) run(ctx context.Context, duration time.Duration) (load.Result, error) {
	if isProtocol(a.protocol, extAuthz) {
		return a.runGRPC(ctx, duration)
	}
	var next atomic.Uint64
	return load.HTTP{
		Address: a.address, TLS: a.tls, Connections: a.connections, Status: "HTTP/1.1 200",
		Request: func(int, int) []byte { return a.requests[next.Add(1)%uint64(len(a.requests))] },
	}.Run(ctx, duration)
}

// runGRPC asks over one connection, with as many streams at once as there would
// be connections.
func (a *asking) runGRPC(ctx context.Context, duration time.Duration) (load.Result, error) {
	connection, err := grpc.NewClient(a.address, grpc.WithTransportCredentials(credentials.NewTLS(a.tls)))
	if err != nil {
		return load.Result{}, fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = connection.Close() }()
	client := authv3.NewAuthorizationClient(connection)
	if _, err := client.Check(ctx, a.checks[0]); err != nil { // the connection is made at the first call
		return load.Result{}, fmt.Errorf("check: %w", err)
	}
	var (
		next   atomic.Uint64
		mu     sync.Mutex
		total  load.Result
		failed []error
		group  sync.WaitGroup
	)
	start := time.Now()
	for range a.connections {
		group.Go(func() {
			var own []time.Duration
			n := 0
			var err error
			for ; time.Since(start) < duration && err == nil; n++ {
				began := time.Now()
				var response *authv3.CheckResponse
				response, err = client.Check(ctx, a.checks[next.Add(1)%uint64(len(a.checks))])
				if err == nil && codes.Code(response.GetStatus().GetCode()) != codes.OK { //nolint:gosec // a gRPC code
					err = fmt.Errorf("denied: %v", response.GetStatus())
				}
				own = append(own, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			total.Requests += n
			total.Took = append(total.Took, own...)
			failed = append(failed, err)
		})
	}
	group.Wait()
	total.Elapsed = time.Since(start)
	return total, errors.Join(failed...)
}
