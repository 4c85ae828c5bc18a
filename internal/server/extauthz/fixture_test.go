package extauthz

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

var options = Options{
	Policies: []config.Policy{
		{Name: "any", Audience: mint.DefaultAudience, Schemes: []config.Scheme{config.SchemeBearer}},
		{Name: "deploy", Audience: mint.DefaultAudience, Scopes: []string{"deploy:shop"}, Schemes: []config.Scheme{config.SchemeBearer, config.SchemeBasic}},
	},
	TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8")},
}

// fixture is a client of a server over some tokens.
type fixture struct {
	authv3.AuthorizationClient
	spy                                   *mint.Spy
	unlimited, scoped, networked, strange string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	index := mint.NewIndex(t)
	f := &fixture{
		unlimited: index.Issue("shop", "unlimited", now),
		scoped:    index.Issue("shop", "scoped", now, mint.Scopes("deploy:shop", "read:shop")),
		networked: index.Issue("shop", "networked", now, mint.Scopes("read:shop"), mint.Networks("198.51.100.0/24")),
		strange:   index.Issue("shop", "strange", now, mint.User("jürgen\r\nX-Admin: yes\xff", "a,b", "\xfe")),
	}
	f.spy = &mint.Spy{Verifier: index.Decider(clocktesting.NewFakePassiveClock(now))}
	f.AuthorizationClient = dial(t, f.spy)
	return f
}

// dial serves a verifier over TCP, without TLS, and returns a client of it.
func dial(tb testing.TB, verifier verify.Verifier) authv3.AuthorizationClient {
	tb.Helper()
	return dialService(tb, New(verifier, options))
}

func dialService(tb testing.TB, service authv3.AuthorizationServer) authv3.AuthorizationClient {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := newGRPC()
	authv3.RegisterAuthorizationServer(server, service)
	go func() { _ = server.Serve(listener) }() // ends by Stop
	tb.Cleanup(server.Stop)
	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = connection.Close() })
	return authv3.NewAuthorizationClient(connection)
}

// check is what Envoy tells of a POST from 198.51.100.9.
func check(policy string, headers map[string]string) *authv3.CheckRequest {
	all := map[string]string{
		":authority": "shop.example.com", ":method": "POST", ":path": "/orders?page=2", ":scheme": "https",
		"user-agent": "curl/8", "x-request-id": "b7a0c9a6-52a1-4b7c-9c0b-0c8c3c8f0d5e", "x-forwarded-proto": "https",
	}
	for name, value := range headers {
		all[name] = value
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: socket("198.51.100.9")},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "POST", Path: "/orders?page=2", Host: "shop.example.com", Scheme: "https", Protocol: "HTTP/2", Headers: all,
		}},
		ContextExtensions: map[string]string{PolicyExtension: policy},
	}}
}

func socket(address string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 4711},
	}}}
}

func bearer(token string) map[string]string {
	return map[string]string{"authorization": "Bearer " + token}
}

func basic(user, password string) map[string]string {
	return map[string]string{"authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}
}

// seen is the HTTP status that a client of Envoy sees.
func seen(response *authv3.CheckResponse) int {
	if response.GetStatus().GetCode() == int32(codes.OK) {
		return http.StatusOK
	}
	return int(response.GetDeniedResponse().GetStatus().GetCode())
}

// sent are headers of an answer, in the way that Envoy sets them.
func sent(t *testing.T, options []*corev3.HeaderValueOption) map[string]string {
	t.Helper()
	headers := map[string]string{}
	for _, option := range options {
		if option.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			t.Errorf("%s is appended to the client's", option.GetHeader().GetKey())
		}
		if option.GetHeader().GetValue() == "" || strings.ToLower(option.GetHeader().GetKey()) != option.GetHeader().GetKey() {
			t.Errorf("header %q: %q", option.GetHeader().GetKey(), option.GetHeader().GetValue())
		}
		headers[option.GetHeader().GetKey()] = option.GetHeader().GetValue()
	}
	return headers
}
