package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/accesstoken"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/key"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/tokenrecord"
	"github.com/accesstoken-dev/accesstoken-operator/internal/canary"
	"github.com/accesstoken-dev/accesstoken-operator/internal/clockoffset"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
)

const leaseName = "accesstoken-manager"

// run builds the parts, connects them and runs them until the context ends.
func run(ctx context.Context, o options, log logr.Logger) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("build scheme: %w", err)
		}
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("read cluster address and credentials: %w", err)
	}
	meter := clockoffset.New(clock.RealClock{})
	cfg.Wrap(meter.Wrap)
	cfg.UserAgent = "accesstoken-manager/" + version()
	cfg.QPS = -1 // the API server's priority and fairness limits better than a client can

	mgr, err := ctrl.NewManager(cfg, managerOptions(o, scheme, log))
	if err != nil {
		return fmt.Errorf("build manager: %w", err)
	}
	live, err := client.New(cfg, client.Options{Scheme: scheme, HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("build client: %w", err)
	}
	clusterID, err := readClusterID(ctx, live)
	if err != nil {
		return err
	}
	if err := index.Setup(ctx, mgr.GetFieldIndexer()); err != nil {
		return err //nolint:wrapcheck // the package says what it did
	}
	ring, reopen, err := setUpKeys(mgr, cfg, live, o, log)
	if err != nil {
		return err
	}
	if err := setUpControllers(mgr, live, ring, reopen, clusterID, o); err != nil {
		return err
	}
	if err := setUpChecks(mgr, live, ring, meter, log); err != nil {
		return err
	}
	log.Info("starting", "version", version(), "namespace", o.namespace, "workers", o.workers)
	return mgr.Start(ctx) //nolint:wrapcheck // the manager says what ended
}

func managerOptions(o options, scheme *runtime.Scheme, log logr.Logger) ctrl.Options {
	readYourWrites := true
	m := ctrl.Options{
		Scheme: scheme,
		Logger: log,
		Cache:  cacheOptions(),
		Client: client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: &readYourWrites}},
		Metrics: metricsserver.Options{
			BindAddress: o.metricsAddress, SecureServing: o.metricsSecure,
		},
		HealthProbeBindAddress:  o.healthAddress,
		PprofBindAddress:        o.pprofAddress,
		LeaderElection:          o.leaderElect,
		LeaderElectionID:        leaseName,
		LeaderElectionNamespace: o.namespace,
		// The process ends when it stops leading, so that the next leader need
		// not wait for the Lease to run out.
		LeaderElectionReleaseOnCancel: true,
	}
	if o.metricsSecure {
		m.Metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	return m
}

// cacheOptions keep memory small: Secrets are watched as metadata only, and
// only those that the operator labelled; of the rest, what nobody reads is
// dropped on arrival. The managedFields of Secrets stay: they show who wrote
// what.
func cacheOptions() cache.Options {
	labelled, err := labels.NewRequirement(v1alpha1.LabelAccessToken, selection.Exists, nil)
	if err != nil {
		panic(err) // the label is a constant
	}
	return cache.Options{ByObject: map[client.Object]cache.ByObject{
		&corev1.Secret{}:        {Label: labels.NewSelector().Add(*labelled)},
		&v1alpha1.AccessToken{}: {Transform: dropUnread},
		&v1alpha1.TokenRecord{}: {Transform: dropUnread},
	}}
}

func dropUnread(object any) (any, error) {
	if metadata, ok := object.(client.Object); ok {
		metadata.SetManagedFields(nil)
		delete(metadata.GetAnnotations(), corev1.LastAppliedConfigAnnotation)
	}
	return object, nil
}

// readClusterID is what seals records to this cluster.
func readClusterID(ctx context.Context, live client.Reader) (string, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := live.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, namespace); err != nil {
		return "", fmt.Errorf("read the UID of namespace %s, which records are sealed to: %w", metav1.NamespaceSystem, err)
	}
	return string(namespace.UID), nil
}

// setUpKeys watches the key Secret with a cache of its own, the only one that
// holds the content of a Secret.
func setUpKeys(mgr ctrl.Manager, cfg *rest.Config, live client.Client, o options, log logr.Logger) (*keys.Ring, <-chan event.TypedGenericEvent[accesstoken.Reopen], error) {
	secrets, err := cluster.New(cfg, func(c *cluster.Options) {
		c.Scheme = mgr.GetScheme()
		c.Cache.ByObject = map[client.Object]cache.ByObject{&corev1.Secret{}: {
			Namespaces: map[string]cache.Config{o.namespace: {}},
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
		Live: live, Namespace: o.namespace, MaxAge: o.keyMaxAge, Ring: keys.NewRing(),
		Clock: clock.RealClock{}, Random: rand.Reader,
		Recorder: mgr.GetEventRecorder(key.Name), Log: log.WithName(key.Name),
		Reopen: func() {
			select {
			case reopen <- event.TypedGenericEvent[accesstoken.Reopen]{}:
			default: // one is waiting already
			}
		},
	}
	informer, err := secrets.GetCache().GetInformer(context.Background(), &corev1.Secret{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, nil, fmt.Errorf("watch the key Secret: %w", err)
	}
	if _, err := informer.AddEventHandler(observer(keeper)); err != nil {
		return nil, nil, fmt.Errorf("watch the key Secret: %w", err)
	}
	if err := (&key.Reconciler{Keeper: keeper}).SetupWithManager(mgr, secrets.GetCache()); err != nil {
		return nil, nil, err //nolint:wrapcheck // it says which controller
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

func setUpControllers(mgr ctrl.Manager, live client.Client, ring *keys.Ring, reopen <-chan event.TypedGenericEvent[accesstoken.Reopen], clusterID string, o options) error {
	counters, err := metrics.NewLifecycle(ctrlmetrics.Registry)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	tokens := accesstoken.New(accesstoken.Options{
		Client: mgr.GetClient(), Live: live, Keys: ring, ClusterID: clusterID,
		Recorder: mgr.GetEventRecorder(accesstoken.Name), Metrics: counters,
		Random: rand.Reader, Clock: clock.RealClock{},
	})
	if err := tokens.SetupWithManager(mgr, o.workers, reopen); err != nil {
		return err //nolint:wrapcheck // it says which controller
	}
	records := &tokenrecord.Reconciler{Client: mgr.GetClient(), Live: live, Retention: o.retention, Clock: clock.RealClock{}}
	if err := records.SetupWithManager(mgr); err != nil {
		return err //nolint:wrapcheck // it says which controller
	}
	return ctrlmetrics.Registry.Register(metrics.NewTokens(mgr.GetCache())) //nolint:wrapcheck // it names the metric
}

func setUpChecks(mgr ctrl.Manager, live client.Client, ring *keys.Ring, meter *clockoffset.Meter, log logr.Logger) error {
	policies := canary.New(live, clock.RealClock{}, log.WithName("canary"))
	if err := mgr.Add(policies); err != nil {
		return fmt.Errorf("add the canary: %w", err)
	}
	if err := errors.Join(ctrlmetrics.Registry.Register(meter.Collector()), ctrlmetrics.Registry.Register(ring.Collector())); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	for name, check := range map[string]healthz.Checker{"policies": policies.Check, "keys": ring.Check, "clock": meter.Check} {
		if err := mgr.AddReadyzCheck(name, check); err != nil {
			return fmt.Errorf("add readiness check %s: %w", name, err)
		}
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("add health check: %w", err)
	}
	return nil
}
