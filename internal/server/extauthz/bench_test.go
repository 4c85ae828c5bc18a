package extauthz

import (
	"context"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/cputime"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
)

// constant answers OK to everything.
type constant struct {
	authv3.UnimplementedAuthorizationServer
}

func (constant) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{Status: &rpcstatus.Status{}}, nil
}

func benchService(b *testing.B) (service *Service, token string) {
	b.Helper()
	index := mint.NewIndex(b)
	token = index.Issue("shop", "bench", now, mint.Scopes("read:shop"))
	return New(index.Decider(clocktesting.NewFakePassiveClock(now)), options), token
}

// BenchmarkServed asks by the generated client, over TCP without TLS, a service
// that answers OK and ours. Their ratio is what a decision and its longer answer
// cost, also to the client.
func BenchmarkServed(b *testing.B) {
	service, token := benchService(b)
	for _, c := range []struct {
		name    string
		service authv3.AuthorizationServer
		token   string
	}{{"floor", constant{}, token}, {"allowed", service, token}, {"refused", service, "x"}} {
		b.Run(c.name, func(b *testing.B) {
			client, request := dialService(b, c.service), check("any", bearer(c.token))
			b.ReportAllocs()
			defer cputime.Report(b)()
			for b.Loop() {
				if _, err := client.Check(b.Context(), request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCheck is the service alone.
func BenchmarkCheck(b *testing.B) {
	service, token := benchService(b)
	request := check("any", bearer(token))
	b.ReportAllocs()
	for b.Loop() {
		response, err := service.Check(b.Context(), request)
		if err != nil || seen(response) != 200 {
			b.Fatal(response, err)
		}
	}
}
