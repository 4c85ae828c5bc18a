package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/clockoffset"
	"github.com/accesstoken-dev/accesstoken-operator/internal/cluster"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lastused"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// program is the parts of a running verifier.
type program struct {
	options
	log     logr.Logger
	manager ctrl.Manager
	config  *rest.Config
	// live reads and writes the API server without a cache.
	live      client.Client
	meter     *clockoffset.Meter
	ring      *keys.Ring
	freshness *store.Freshness
	store     *store.Store
	watches   *store.Watches
	announce  announcements
	answers   *metrics.Verification
	uses      *lastused.Recorder
	audit     *audit.Log
	decider   *verify.Decider
	// verifier is the decider with all that stands around it.
	verifier verify.Verifier
	served   *certwatcher.CertWatcher
}

// run builds the parts, connects them and runs them until the context ends.
func run(ctx context.Context, o options, log logr.Logger) error {
	p := &program{options: o, log: log, meter: clockoffset.New(clock.RealClock{})}
	for _, build := range []func(context.Context) error{p.reach, p.read, p.observe, p.surround, p.serve} {
		if err := build(ctx); err != nil {
			return err
		}
	}
	log.Info("starting", "version", version(), "namespace", o.namespace)
	return p.run(ctx)
}

// run runs until the context ends. What begins first ends last: uses are written
// when the last request has been answered, and the watches tell until then what
// others wrote.
func (p *program) run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	stopWatches := begin(ctx, fail, func(ctx context.Context) error { return p.watches.Run(ctx, p.config) })
	stopUses := begin(ctx, fail, p.uses.Start)
	err := p.manager.Start(ctx)
	return errors.Join(err, stopUses(), stopWatches(), p.audit.Close())
}

// begin runs a part beside the others, and not only until the context ends but
// until stop is called. A part that fails ends all others.
func begin(ctx context.Context, fail context.CancelCauseFunc, part func(context.Context) error) (stop func() error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() {
		err := part(own)
		if err != nil {
			fail(err)
		}
		ended <- err
	}()
	return func() error {
		cancel()
		return <-ended
	}
}

// reach builds what goes to the API server.
func (p *program) reach(context.Context) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("build scheme: %w", err)
		}
	}
	if err := noticeSilence(); err != nil {
		return err
	}
	var err error
	if p.config, err = cluster.Config(p.kubeconfig); err != nil {
		return err
	}
	p.config.Wrap(p.meter.Wrap)
	p.config.UserAgent = "accesstoken-verifier/" + version()
	p.config.QPS = -1 // what is written has a budget of its own
	options := ctrl.Options{
		Scheme:                 scheme,
		Logger:                 p.log,
		Metrics:                metricsserver.Options{BindAddress: p.metricsAddress, SecureServing: p.metricsSecure},
		HealthProbeBindAddress: p.healthAddress,
		PprofBindAddress:       p.pprofAddress,
		LeaderElection:         false, // every replica answers
	}
	if p.metricsSecure {
		options.Metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	if p.manager, err = ctrl.NewManager(p.config, options); err != nil {
		return fmt.Errorf("build the program: %w", err)
	}
	if p.live, err = client.New(p.config, client.Options{Scheme: scheme, HTTPClient: p.manager.GetHTTPClient()}); err != nil {
		return fmt.Errorf("build client: %w", err)
	}
	return nil
}

// noticeSilence has client-go ask a silent connection for a sign of life after
// 4 s and give it up after 3 s more, so that one that is half open is noticed
// within 8 s. There is no other way to tell it than the environment.
func noticeSilence() error {
	for name, seconds := range map[string]string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "4", "HTTP2_PING_TIMEOUT_SECONDS": "3"} {
		if _, set := os.LookupEnv(name); set {
			continue
		}
		if err := os.Setenv(name, seconds); err != nil {
			return fmt.Errorf("set the time-outs of silent connections: %w", err)
		}
	}
	return nil
}

// read builds the read model, what feeds it, and the decision over it.
func (p *program) read(ctx context.Context) error {
	var err error
	if p.answers, err = metrics.NewVerification(ctrlmetrics.Registry); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	clusterID, err := cluster.ID(ctx, p.live)
	if err != nil {
		return err
	}
	relist := make(chan struct{}, 1)
	p.announce = announcer(p.manager.GetEventRecorder(recorderName), p.log)
	p.ring, p.freshness = keys.NewRing(), &store.Freshness{}
	p.store = store.New(store.Options{
		Opener:  record.Opener{Keys: p.ring, ClusterID: clusterID},
		Clock:   clock.RealClock{},
		Refused: p.announce.refused,
		Ended:   func(at time.Time) { p.answers.Ended(at, clock.RealClock{}.Now()) },
		Relist: func() {
			select {
			case relist <- struct{}{}:
			default: // one is waiting already
			}
		},
	})
	keeper := &keys.Keeper{Ring: p.ring, Namespace: p.namespace, Log: p.log.WithName("keys"), Reopen: func() {}}
	p.watches = &store.Watches{
		Store: p.store, KeyNamespace: p.namespace, Freshness: p.freshness, Clock: clock.RealClock{}, Relist: relist,
		Keys: func(secret *corev1.Secret) {
			keeper.Observe(secret)
			p.store.KeysChanged()
		},
	}
	p.decider = &verify.Decider{
		Index: p.store, Fresh: p.fresh, Clock: clock.RealClock{}, DefaultAudience: p.configuration.DefaultAudience,
	}
	return nil
}

// fresh says whether the read model can be trusted.
func (p *program) fresh(now time.Time) error {
	if p.ring.Status() != keys.StatusLoaded {
		return verify.ErrNotReady
	}
	return p.freshness.Check(now, p.maxStaleness)
}

// observe adds metrics and probes.
func (p *program) observe(context.Context) error {
	p.uses = lastused.New(lastused.Options{
		Index: p.store, Writer: lastused.NewWriter(p.live), Clock: clock.RealClock{}, WritesPerSecond: p.writesPerSecond,
		Observe: p.answers.UseWritten, Log: p.log.WithName("uses"),
	})
	for _, collector := range []prometheus.Collector{p.meter.Collector(), p.ring.Collector(), p.state()} {
		if err := ctrlmetrics.Registry.Register(collector); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	ready := func(*http.Request) error { return p.fresh(clock.RealClock{}.Now()) }
	for name, check := range map[string]healthz.Checker{"store": ready, "keys": p.ring.Check, "clock": p.meter.Check} {
		if err := p.manager.AddReadyzCheck(name, check); err != nil {
			return fmt.Errorf("add readiness check %s: %w", name, err)
		}
	}
	if err := p.manager.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("add health check: %w", err)
	}
	return nil
}

func (p *program) state() prometheus.Collector {
	return metrics.NewVerifierState(metrics.VerifierState{
		Tokens: p.store.Len, Refused: p.store.Refused,
		Staleness:   func() (time.Duration, bool) { return p.freshness.Staleness(clock.RealClock{}.Now()) },
		UsesPending: p.uses.Pending, UsesOverdue: p.uses.Overdue,
	})
}

// surround puts around the decision what notes, writes down and counts.
func (p *program) surround(context.Context) error {
	lost, err := metrics.NewAudit(ctrlmetrics.Registry)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	reopen := make(chan os.Signal, 1)
	signal.Notify(reopen, syscall.SIGHUP)
	p.audit, err = audit.Open(audit.Options{
		Path: p.configuration.Audit.Path, Reopen: reopen, Clock: clock.RealClock{}, Lost: lost, Errors: p.log.WithName("audit"),
	})
	if err != nil {
		return err
	}
	noted := p.uses.Around(p.decider)
	written := p.audit.Around(noted, p.configuration.Audit.Accepted)
	p.verifier = p.answers.Around(written, clock.RealClock{})
	return nil
}

func (p *program) add(part manager.Runnable) error {
	if err := p.manager.Add(part); err != nil {
		return fmt.Errorf("add a part: %w", err)
	}
	return nil
}
