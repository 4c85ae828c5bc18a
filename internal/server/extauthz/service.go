package extauthz

import (
	"context"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc/peer"

	"github.com/accesstoken-dev/accesstoken-operator/internal/gateway"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// PolicyExtension is the context extension that names the policy.
const PolicyExtension = "policy"

// Options are what gateways are answered by.
type Options = gateway.Options

// Service answers checks.
type Service struct {
	authv3.UnimplementedAuthorizationServer
	guard *gateway.Guard
	log   logr.Logger
}

// New makes a Service that goes by the verifier. Listen serves it.
func New(verifier verify.Verifier, options Options) *Service {
	return &Service{guard: gateway.New(verifier, options), log: options.Log}
}

// Check implements authv3.AuthorizationServer. It answers whatever comes, and
// never with an error of gRPC: on such a one Envoy lets the request pass where
// failure_mode_allow is set.
func (s *Service) Check(ctx context.Context, check *authv3.CheckRequest) (response *authv3.CheckResponse, _ error) {
	defer func() {
		if fault := recover(); fault != nil {
			// What the fault says may quote the request, so it is not logged.
			s.log.Error(fmt.Errorf("a check panicked with a %T", fault), "answered with 503", "stack", string(debug.Stack()))
			response = denied(gateway.Answer{Result: gateway.Unchecked})
		}
	}()
	request := decode(check)
	request.Peer = peerOf(ctx)
	answer := s.guard.Check(ctx, &request)
	if answer.Result != gateway.Allowed {
		return denied(answer), nil
	}
	return allowed(answer, check.GetAttributes().GetRequest().GetHttp()), nil
}

// decode reads what Envoy tells of a request.
func decode(check *authv3.CheckRequest) gateway.Request {
	attributes := check.GetAttributes()
	http := attributes.GetRequest().GetHttp()
	request := gateway.Request{
		Protocol: verify.ProtocolExtAuthz,
		Policy:   attributes.GetContextExtensions()[PolicyExtension],
		Target:   http.GetPath(),
		Query:    http.GetQuery(),
		Unclear:  http.GetPath() == "" || http.GetMethod() == "",
		Host:     http.GetHost(),
		Method:   http.GetMethod(),
	}
	for name, value := range headers(http) {
		switch name {
		case "authorization":
			request.Authorization = append(request.Authorization, value)
		case "cookie":
			request.Cookies = append(request.Cookies, value)
		case "x-forwarded-for":
			request.ForwardedFor = append(request.ForwardedFor, value)
		case "user-agent":
			request.UserAgent = value
		}
	}
	// Who sent the request to Envoy is the nearest hop. With use_remote_address
	// Envoy has written it into x-forwarded-for as well: it then counts twice, which
	// changes nothing.
	request.ForwardedFor = append(request.ForwardedFor, attributes.GetSource().GetAddress().GetSocketAddress().GetAddress())
	return request
}

// headers yields the headers of a request, names in lower case: repeated ones
// joined by commas, or as they are where Envoy is set to encode_raw_headers.
func headers(http *authv3.AttributeContext_HttpRequest) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for name, value := range http.GetHeaders() {
			if !yield(strings.ToLower(name), value) {
				return
			}
		}
		for _, header := range http.GetHeaderMap().GetHeaders() {
			value := header.GetValue()
			if raw := header.GetRawValue(); len(raw) > 0 {
				value = string(raw)
			}
			if !yield(strings.ToLower(header.GetKey()), value) {
				return
			}
		}
	}
}

// peerOf returns the address of Envoy.
func peerOf(ctx context.Context) netip.Addr {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return netip.Addr{}
	}
	address, ok := p.Addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return address.AddrPort().Addr()
}
