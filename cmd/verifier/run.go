package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
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
	"github.com/accesstoken-dev/accesstoken-operator/internal/program"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/recorder"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// verifier is the parts of a running verifier.
type verifier struct {
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
	// unverified counts requests that carry no token, or carry it wrongly.
	unverified func(verify.Protocol, error)
	decider    *verify.Decider
	// around is the decider with all that stands around it.
	around verify.Verifier
	served *certwatcher.CertWatcher
}

// run builds the parts, connects them and runs them until the context ends.
func run(ctx context.Context, o options, log logr.Logger) error {
	v := &verifier{options: o, log: log, meter: clockoffset.New(clock.RealClock{})}
	for _, build := range []func(context.Context) error{v.reach, v.read, v.observe, v.surround, v.serve} {
		if err := build(ctx); err != nil {
			return err
		}
	}
	log.Info("starting", "version", program.Version(), "namespace", o.Namespace)
	return v.run(ctx)
}

// run runs until the context ends. What begins first ends last: uses are written
// when the last request has been answered, and the watches tell until then what
// others wrote.
func (v *verifier) run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	stopWatches := begin(ctx, fail, func(ctx context.Context) error { return v.watches.Run(ctx, v.config) })
	stopUses := begin(ctx, fail, v.uses.Start)
	err := v.manager.Start(ctx)
	return errors.Join(err, stopUses(), stopWatches(), v.audit.Close())
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
func (v *verifier) reach(context.Context) error {
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
	if v.config, err = cluster.Config(v.Kubeconfig); err != nil {
		return err
	}
	v.config.Wrap(v.meter.Wrap)
	v.config.UserAgent = "accesstoken-verifier/" + program.Version()
	v.config.QPS = -1 // what is written has a budget of its own
	options := ctrl.Options{
		Scheme:                 scheme,
		Logger:                 v.log,
		Metrics:                metricsserver.Options{BindAddress: v.MetricsAddress, SecureServing: v.MetricsSecure},
		HealthProbeBindAddress: v.HealthAddress,
		PprofBindAddress:       v.PprofAddress,
		LeaderElection:         false, // every replica answers
	}
	if v.MetricsSecure {
		options.Metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	if v.manager, err = ctrl.NewManager(v.config, options); err != nil {
		return fmt.Errorf("build the program: %w", err)
	}
	if v.live, err = client.New(v.config, client.Options{Scheme: scheme, HTTPClient: v.manager.GetHTTPClient()}); err != nil {
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
func (v *verifier) read(ctx context.Context) error {
	var err error
	if v.answers, err = metrics.NewVerification(ctrlmetrics.Registry); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	clusterID, err := cluster.ID(ctx, v.live)
	if err != nil {
		return err
	}
	relist := make(chan struct{}, 1)
	v.announce = announcer(recorder.Cut(v.manager.GetEventRecorder(recorderName)), v.log)
	v.ring, v.freshness = keys.NewRing(), &store.Freshness{}
	v.store = store.New(store.Options{
		Opener:  record.Opener{Keys: v.ring, ClusterID: clusterID},
		Clock:   clock.RealClock{},
		Refused: v.announce.refused,
		Ended:   func(at time.Time) { v.answers.Ended(at, clock.RealClock{}.Now()) },
		Relist: func() {
			select {
			case relist <- struct{}{}:
			default: // one is waiting already
			}
		},
	})
	keeper := &keys.Keeper{Ring: v.ring, Namespace: v.Namespace, Log: v.log.WithName("keys"), Reopen: func() {}}
	v.watches = &store.Watches{
		Store: v.store, KeyNamespace: v.Namespace, Freshness: v.freshness, Clock: clock.RealClock{}, Relist: relist,
		Keys: func(secret *corev1.Secret) {
			keeper.Observe(secret)
			v.store.KeysChanged()
		},
	}
	v.decider = &verify.Decider{
		Index: v.store, Fresh: v.fresh, Clock: clock.RealClock{}, DefaultAudience: v.configuration.DefaultAudience,
		Complete: v.store.Complete,
	}
	return nil
}

// fresh says whether the read model can be trusted, and the clock by which ends
// are decided.
func (v *verifier) fresh(now time.Time) error {
	offset, measured := v.meter.Offset()
	if v.ring.Status() != keys.StatusLoaded || !measured || offset.Abs() > clockoffset.Limit {
		return verify.ErrNotReady
	}
	return v.freshness.Check(now, v.maxStaleness)
}

// ready says whether clients should be sent here.
func (v *verifier) ready() error {
	if !v.store.Complete() {
		return verify.ErrNotReady
	}
	return v.fresh(clock.RealClock{}.Now())
}

// observe adds metrics and probes, and begins to note uses.
func (v *verifier) observe(ctx context.Context) error {
	if err := lastused.BeginTracking(ctx, v.live, v.Namespace, clock.RealClock{}.Now()); err != nil {
		v.log.Error(err, "since when uses are noted is not written down, so no policy takes back what nobody uses")
	}
	v.uses = lastused.New(lastused.Options{
		Index: v.store, Writer: lastused.NewWriter(v.live), Clock: clock.RealClock{}, WritesPerSecond: v.writesPerSecond,
		Observe: v.answers.UseWritten, Log: v.log.WithName("uses"),
	})
	for _, collector := range []prometheus.Collector{v.meter.Collector(), v.ring.Collector(), v.state()} {
		if err := ctrlmetrics.Registry.Register(collector); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	ready := func(*http.Request) error { return v.ready() }
	for name, check := range map[string]healthz.Checker{"store": ready, "keys": v.ring.Check, "clock": v.meter.Check} {
		if err := v.manager.AddReadyzCheck(name, check); err != nil {
			return fmt.Errorf("add readiness check %s: %w", name, err)
		}
	}
	if err := v.manager.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("add health check: %w", err)
	}
	return v.add(&program.Readiness{
		Check: v.unready, Meanwhile: "every answer is: could not check", Clock: clock.RealClock{}, Log: v.log.WithName("readiness"),
	})
}

func (v *verifier) state() prometheus.Collector {
	return metrics.NewVerifierState(metrics.VerifierState{
		Tokens: v.store.Len, Refused: v.store.Refused,
		Staleness:   func() (time.Duration, bool) { return v.freshness.Staleness(clock.RealClock{}.Now()) },
		UsesPending: v.uses.Pending, UsesOverdue: v.uses.Overdue,
	})
}

// surround puts around the decision what notes, writes down and counts.
func (v *verifier) surround(context.Context) error {
	var err error
	if v.audit, err = program.OpenAuditLog(v.configuration.Audit.Path, ctrlmetrics.Registry, v.log); err != nil { //nolint:contextcheck // it is closed when the last answer was given
		return fmt.Errorf("audit.path in the configuration: %w", err)
	}
	if v.unverified, err = metrics.NewUnverified(ctrlmetrics.Registry); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	noted := v.uses.Around(v.decider)
	written := v.audit.Around(noted, v.configuration.Audit.Accepted)
	v.around = v.answers.Around(written, clock.RealClock{})
	return nil
}

func (v *verifier) add(part manager.Runnable) error {
	if err := v.manager.Add(part); err != nil {
		return fmt.Errorf("add a part: %w", err)
	}
	return nil
}
