package extauthz

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"k8s.io/utils/clock"
)

// Limits of every connection.
const (
	connectionTimeout = 10 * time.Second
	idlePing          = time.Minute
	idlePingTimeout   = 10 * time.Second
	leastPing         = 10 * time.Second
	// connectionAge has gateways connect anew, so that replicas that were added
	// later get their share.
	connectionAge = 30 * time.Minute
	maxStreams    = 1000
	// maxMessage is far more than the headers that Envoy takes by default (60 KiB)
	// with all that it says of them. Bodies are not asked for.
	maxMessage    = 1 << 20
	maxHeaderList = 16 << 10

	drain         = 10 * time.Second
	readyInterval = time.Second
)

// Server serves a Service over gRPC with TLS, and the standard health service
// beside it.
type Server struct {
	listener net.Listener
	grpc     *grpc.Server
	health   *health.Server
	ready    func() error
	clock    clock.WithTicker
}

// Listen takes the address, so that one that cannot be had is known at once.
// Start serves. The health service says what ready says, within a second.
func Listen(ctx context.Context, address string, config *tls.Config, service authv3.AuthorizationServer, ready func() error, clock clock.WithTicker) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for ext_authz: %w", err)
	}
	s := &Server{
		listener: listener, grpc: newGRPC(grpc.Creds(credentials.NewTLS(config))),
		health: health.NewServer(), ready: ready, clock: clock,
	}
	authv3.RegisterAuthorizationServer(s.grpc, service)
	healthv1.RegisterHealthServer(s.grpc, s.health)
	return s, nil
}

func newGRPC(options ...grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append([]grpc.ServerOption{
		grpc.ConnectionTimeout(connectionTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: idlePing, Timeout: idlePingTimeout, MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: drain,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: leastPing, PermitWithoutStream: true}),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaderList),
	}, options...)...)
}

// Address is where it listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica
// answers.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until the context ends, and then lets checks that are under way
// come to their end.
func (s *Server) Start(ctx context.Context) error {
	ticker := s.clock.NewTicker(readyInterval)
	defer ticker.Stop()
	s.tellHealth()
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(s.listener) }()
	for {
		select {
		case err := <-served:
			return fmt.Errorf("serve ext_authz: %w", err)
		case <-ticker.C():
			s.tellHealth()
		case <-ctx.Done():
			s.end()
			return nil
		}
	}
}

// tellHealth says of both names by which Envoy may ask whether answers can be
// had.
func (s *Server) tellHealth() {
	status := healthv1.HealthCheckResponse_SERVING
	if s.ready() != nil {
		status = healthv1.HealthCheckResponse_NOT_SERVING
	}
	for _, name := range []string{"", authv3.Authorization_ServiceDesc.ServiceName} {
		s.health.SetServingStatus(name, status)
	}
}

// end gives what is under way some time, and then cuts it off.
func (s *Server) end() {
	s.health.Shutdown()
	ended := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(ended)
	}()
	timer := s.clock.NewTimer(drain)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C():
		s.grpc.Stop()
		<-ended
	}
}
