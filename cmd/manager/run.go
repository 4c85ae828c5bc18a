package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlcluster "sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/accesstoken"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/key"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/canary"
	"github.com/accesstoken-dev/accesstoken-operator/internal/clockoffset"
	"github.com/accesstoken-dev/accesstoken-operator/internal/cluster"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delegation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/leadership"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
	"github.com/accesstoken-dev/accesstoken-operator/internal/program"
	"github.com/accesstoken-dev/accesstoken-operator/internal/recorder"
)

// run opens the audit log, and closes it when all that writes to it has ended.
func run(ctx context.Context, o options, log logr.Logger) error {
	if o.auditLog == "" {
		return runWith(ctx, o, nil, log)
	}
	auditLog, err := program.OpenAuditLog(o.auditLog, ctrlmetrics.Registry, log) //nolint:contextcheck // it outlives the context, until what writes to it has ended
	if err != nil {
		return fmt.Errorf("--audit-log: %w", err)
	}
	return errors.Join(runWith(ctx, o, auditLog, log), auditLog.Close())
}

// runWith builds the parts, connects them and runs them until the context ends.
func runWith(ctx context.Context, o options, auditLog *audit.Log, log logr.Logger) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("build scheme: %w", err)
		}
	}
	cfg, err := cluster.Config(o.Kubeconfig)
	if err != nil {
		return err
	}
	meter := clockoffset.New(clock.RealClock{})
	cfg.Wrap(meter.Wrap)
	cfg.UserAgent = "accesstoken-manager/" + program.Version()
	cfg.QPS = -1 // the API server's priority and fairness limits better than a client can

	var lock *leadership.Lock
	if o.leaderElect {
		if lock, err = leadership.NewLock(cfg, o.Namespace); err != nil {
			return err
		}
	}
	mgr, err := ctrl.NewManager(cfg, managerOptions(o, lock, scheme, log))
	if err != nil {
		return fmt.Errorf("build manager: %w", err)
	}
	live, err := client.New(cfg, client.Options{Scheme: scheme, HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("build client: %w", err)
	}
	clusterID, err := cluster.ID(ctx, live)
	if err != nil {
		return err
	}
	if err := index.Setup(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	ring, reopen, err := setUpKeys(ctx, mgr, cfg, live, o, log)
	if err != nil {
		return err
	}
	host, authority, err := cluster.Authority(cfg)
	if err != nil {
		return err
	}
	err = setUpControllers(mgr, controllers.Options{
		Live: live, Keys: ring, Reopen: reopen, ClusterID: clusterID, Cluster: delivery.Cluster{Host: host, Authority: authority}, Namespace: o.Namespace,
		Workers: o.workers, Retention: o.retention, Audit: auditLog, Clock: clock.RealClock{}, Term: term(lock),
	})
	if err != nil {
		return err
	}
	if err := setUpChecks(mgr, live, ring, meter, o.Namespace, log); err != nil {
		return err
	}
	log.Info("starting", "version", program.Version(), "namespace", o.Namespace, "workers", o.workers)
	return mgr.Start(ctx)
}

// term is what tells in which term this process leads, if leaders are elected.
func term(lock *leadership.Lock) func() string {
	if lock == nil {
		return nil
	}
	return lock.Term
}

func managerOptions(o options, lock *leadership.Lock, scheme *runtime.Scheme, log logr.Logger) ctrl.Options {
	m := ctrl.Options{
		Scheme: scheme,
		Logger: log,
		Cache:  controllers.CacheOptions(),
		Client: controllers.ClientOptions(),
		Metrics: metricsserver.Options{
			BindAddress: o.MetricsAddress, SecureServing: o.MetricsSecure,
		},
		HealthProbeBindAddress: o.HealthAddress,
		PprofBindAddress:       o.PprofAddress,
		// The process ends when it stops leading, so that the next leader need
		// not wait for the Lease to run out.
		LeaderElectionReleaseOnCancel: true,
	}
	if lock != nil {
		m.LeaderElection, m.LeaderElectionResourceLockInterface = true, lock
	}
	if o.MetricsSecure {
		m.Metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	return m
}

// setUpKeys watches the key Secret with a cache of its own, the only one that
// holds the content of a Secret.
func setUpKeys(ctx context.Context, mgr ctrl.Manager, cfg *rest.Config, live client.Client, o options, log logr.Logger) (*keys.Ring, <-chan event.TypedGenericEvent[accesstoken.Reopen], error) {
	secrets, err := ctrlcluster.New(cfg, func(c *ctrlcluster.Options) {
		c.Scheme = mgr.GetScheme()
		c.Cache.ByObject = map[client.Object]cache.ByObject{&corev1.Secret{}: {
			Namespaces: map[string]cache.Config{o.Namespace: {}},
			Field:      fields.OneTermEqualSelector("metadata.name", keys.SecretName),
		}}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("build the cache of the key Secret: %w", err)
	}
	if err := mgr.Add(secrets); err != nil {
		return nil, nil, fmt.Errorf("add the cache of the key Secret: %w", err)
	}
	reopen := make(chan event.TypedGenericEvent[accesstoken.Reopen], 1)
	keeper := &keys.Keeper{
		Live: live, Namespace: o.Namespace, MaxAge: o.keyMaxAge, Ring: keys.NewRing(),
		Clock: clock.RealClock{}, Random: rand.Reader,
		Recorder: recorder.Cut(mgr.GetEventRecorder(key.Name)), Log: log.WithName(key.Name),
		Reopen: func() {
			select {
			case reopen <- event.TypedGenericEvent[accesstoken.Reopen]{}:
			default: // one is waiting already
			}
		},
	}
	informer, err := secrets.GetCache().GetInformer(ctx, &corev1.Secret{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, nil, fmt.Errorf("watch the key Secret: %w", err)
	}
	if _, err := informer.AddEventHandler(observer(keeper)); err != nil {
		return nil, nil, fmt.Errorf("watch the key Secret: %w", err)
	}
	if err := (&key.Reconciler{Keeper: keeper}).SetupWithManager(mgr, secrets.GetCache()); err != nil {
		return nil, nil, err
	}
	return keeper.Ring, reopen, nil
}

// observer takes the key Secret into the ring in every replica, leader or not.
func observer(keeper *keys.Keeper) toolscache.ResourceEventHandlerFuncs {
	take := func(object any) {
		if secret, ok := object.(*corev1.Secret); ok {
			keeper.Observe(secret)
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    take,
		UpdateFunc: func(_, object any) { take(object) },
		DeleteFunc: func(any) { keeper.Observe(nil) },
	}
}

// setUpControllers registers the controllers, with metrics.
func setUpControllers(mgr ctrl.Manager, o controllers.Options) (err error) {
	if o.Metrics, err = metrics.NewLifecycle(ctrlmetrics.Registry); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	for _, collector := range []prometheus.Collector{metrics.NewTokens(mgr.GetCache()), metrics.NewQuotas(mgr.GetCache())} {
		if err := ctrlmetrics.Registry.Register(collector); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return controllers.Setup(mgr, o)
}

func setUpChecks(mgr ctrl.Manager, live client.Client, ring *keys.Ring, meter *clockoffset.Meter, namespace string, log logr.Logger) error {
	policies := canary.New(live, namespace, clock.RealClock{}, log.WithName("canary"))
	if err := mgr.Add(policies); err != nil {
		return fmt.Errorf("add the canary: %w", err)
	}
	lookout := &delegation.Lookout{
		Checker: &delegation.Checker{Live: live, Namespace: namespace, Clock: clock.RealClock{}},
		Clock:   clock.RealClock{}, Log: log.WithName("lookout"),
	}
	if err := mgr.Add(lookout); err != nil {
		return fmt.Errorf("add the lookout for admission policies: %w", err)
	}
	if err := errors.Join(ctrlmetrics.Registry.Register(meter.Collector()), ctrlmetrics.Registry.Register(ring.Collector())); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	checks := map[string]healthz.Checker{"policies": policies.Check, "keys": ring.Check, "clock": meter.Check}
	for name, check := range checks {
		if err := mgr.AddReadyzCheck(name, check); err != nil {
			return fmt.Errorf("add readiness check %s: %w", name, err)
		}
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("add health check: %w", err)
	}
	told := maps.Clone(checks)
	told["keys"] = func(*http.Request) error {
		if err := ring.Check(nil); err != nil {
			return fmt.Errorf("%w (looked for as %s/%s, where --namespace says)", err, namespace, keys.SecretName)
		}
		return nil
	}
	readiness := &program.Readiness{Check: func() error { return failing(told) }, Clock: clock.RealClock{}, Log: log.WithName("readiness")}
	if err := mgr.Add(readiness); err != nil {
		return fmt.Errorf("add what tells of readiness: %w", err)
	}
	return nil
}

// failing says of each check that fails why it does.
func failing(checks map[string]healthz.Checker) error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		if err := checks[name](nil); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(problems...)
}
