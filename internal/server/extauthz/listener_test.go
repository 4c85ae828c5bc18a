package extauthz

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	grpcstatus "google.golang.org/grpc/status"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func grpcCode(err error) codes.Code { return grpcstatus.Code(err) }

// running is a Server that runs.
type running struct {
	connection *grpc.ClientConn
	clock      *clocktesting.FakeClock
	notReady   atomic.Bool
	stop       context.CancelFunc
	ended      chan error
}

func start(t *testing.T, verifier verify.Verifier) *running {
	t.Helper()
	certificate, roots := certificate(t)
	r := &running{clock: clocktesting.NewFakeClock(now), ended: make(chan error, 1)}
	ready := func() error {
		if r.notReady.Load() {
			return errors.New("not ready")
		}
		return nil
	}
	server, err := Listen(t.Context(), "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}},
		New(verifier, options), ready, r.clock)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() { r.ended <- server.Start(ctx) }()
	transport := credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: "example.com"})
	if r.connection, err = grpc.NewClient(server.Address(), grpc.WithTransportCredentials(transport)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.connection.Close()
		stop()
	})
	return r
}

// certificate borrows the one of httptest.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return server.TLS.Certificates[0], roots
}

func TestServesOverTLSAndEndsInOrder(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := start(t, verify.Func(func(context.Context, verify.Request) (verify.Verdict, error) {
		close(entered)
		<-leave
		return verify.Verdict{Reason: verify.ReasonUnknown}, nil
	}))
	answered := make(chan *authv3.CheckResponse, 1)
	go func() {
		response, err := authv3.NewAuthorizationClient(r.connection).Check(t.Context(), check("any", bearer("x")))
		if err != nil {
			t.Error(err)
		}
		answered <- response
	}()
	<-entered
	r.stop()
	close(leave)
	if response := <-answered; seen(response) != 401 {
		t.Errorf("status %d of a check that was under way at the end", seen(response))
	}
	if err := <-r.ended; err != nil {
		t.Errorf("ends with %v", err)
	}
}

func TestTheEndDoesNotWaitForEver(t *testing.T) {
	entered := make(chan struct{})
	r := start(t, verify.Func(func(ctx context.Context, _ verify.Request) (verify.Verdict, error) {
		close(entered)
		<-ctx.Done()
		return verify.Verdict{}, ctx.Err()
	}))
	failed := make(chan error, 1)
	go func() {
		_, err := authv3.NewAuthorizationClient(r.connection).Check(t.Context(), check("any", bearer("x")))
		failed <- err
	}()
	<-entered
	r.stop()
	for ended := false; !ended; { // the timer of the end may not be there yet
		select {
		case err := <-r.ended:
			ended = true
			if err != nil {
				t.Errorf("ends with %v", err)
			}
		default:
			r.clock.Step(drain)
			runtime.Gosched()
		}
	}
	if err := <-failed; err == nil {
		t.Error("a check was answered after it was cut off")
	}
}

func TestHealthIsWhetherAnswersCanBeHad(t *testing.T) {
	r := start(t, mint.NewIndex(t).Decider(clocktesting.NewFakePassiveClock(now)))
	client := healthv1.NewHealthClient(r.connection)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, service := range []string{"", "envoy.service.auth.v3.Authorization"} {
		watch, err := client.Watch(ctx, &healthv1.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		expect := func(want healthv1.HealthCheckResponse_ServingStatus) {
			t.Helper()
			got, err := watch.Recv()
			if err != nil || got.GetStatus() != want {
				t.Fatalf("%q: %v, %v, want %v", service, got, err, want)
			}
		}
		expect(healthv1.HealthCheckResponse_SERVING)
		r.notReady.Store(true)
		r.clock.Step(readyInterval)
		expect(healthv1.HealthCheckResponse_NOT_SERVING)
		r.notReady.Store(false)
		r.clock.Step(readyInterval)
		expect(healthv1.HealthCheckResponse_SERVING)
	}
	if _, err := client.Check(ctx, &healthv1.HealthCheckRequest{Service: "other"}); grpcCode(err) != codes.NotFound {
		t.Errorf("health of another service: %v", err)
	}
}

func TestOldTLSAndNoTLSAreRefused(t *testing.T) {
	r := start(t, mint.NewIndex(t).Decider(clocktesting.NewFakePassiveClock(now)))
	old := &tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}}
	if connection, err := old.DialContext(t.Context(), "tcp", r.connection.Target()); err == nil {
		_ = connection.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

func TestAnAddressThatIsTakenIsAnErrorAtOnce(t *testing.T) {
	r := start(t, mint.NewIndex(t).Decider(clocktesting.NewFakePassiveClock(now)))
	if _, err := Listen(t.Context(), r.connection.Target(), &tls.Config{MinVersion: tls.VersionTLS12}, nil, nil, r.clock); err == nil {
		t.Error("no error")
	}
}
