package accesstoken

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delegation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	"github.com/accesstoken-dev/accesstoken-operator/internal/quota"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
)

// Name names the controller, its queue, its logger and its metrics.
const Name = "accesstoken"

// New makes a reconciler.
func New(options Options) *Reconciler {
	if options.GoodOnceTolerance == 0 {
		options.GoodOnceTolerance = record.GoodOnceTolerance
	}
	if options.Waits == (lifecycle.Waits{}) {
		options.Waits = lifecycle.DefaultWaits()
	}
	if options.Times == (quota.Times{}) {
		options.Times = quota.DefaultTimes()
	}
	if options.Fence == nil {
		options.Fence = quota.NewFence()
	}
	return &Reconciler{
		Options: options,
		// The first pass, not the construction: a standby begins to act when it
		// becomes the leader.
		startedAt: sync.OnceValue(func() time.Time { return options.Clock.Now() }),
		repairs:   &repairs{newStreaks()},
		conflicts: &conflicts{newStreaks()},
		failures:  &failures{newStreaks()},
		overtaken: &overtaken{newStreaks()},
		awaited:   &awaited{newStreaks()},
		statuses:  newStatuses(),
		ledgers:   newLedgers(),

		tracking:   &tracking{},
		mounted:    &mounted{newStreaks()},
		podSecrets: &podSecrets{known: map[string]referred{}},
		creators:   &delegation.Checker{Live: options.Live, Namespace: options.Namespace, Clock: options.Clock, Settle: options.PolicySettle},
	}
}

// SetupWithManager registers the controller: what wakes it, and how many objects
// it works on at once. Whatever comes over reopen makes every object be looked
// at again.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, workers int, reopen <-chan event.TypedGenericEvent[Reopen]) error {
	controlled := ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		WithLogConstructor(logConstructor(mgr)).
		WatchesRawSource(source.Channel(reopen, handler.TypedFuncs[Reopen, reconcile.Request]{GenericFunc: r.enqueueAll})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers})
	for _, watch := range r.watches(mgr.GetCache()) {
		controlled = controlled.WatchesRawSource(watch)
	}
	if err := controlled.Complete(r); err != nil {
		return fmt.Errorf("set up controller %s: %w", Name, err)
	}
	return nil
}

// watches are the objects that wake the controller.
func (r *Reconciler) watches(informers cache.Cache) []source.Source {
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return []source.Source{
		source.Kind[client.Object](informers, &v1alpha1.AccessToken{}, &handler.EnqueueRequestForObject{}, r.declared()),
		source.Kind[client.Object](informers, secret, r.belonging(secretOwner)),
		source.Kind[client.Object](informers, &v1alpha1.TokenRecord{}, r.belonging(recordOwner)),
		source.Kind[client.Object](informers, serviceAccount(), r.actingAs()),
		source.Kind[client.Object](informers, &v1alpha1.AccessTokenPolicy{}, r.limited(everywhere), predicate.GenerationChangedPredicate{}),
		source.Kind[client.Object](informers, namespaceMetadata(), r.limited(inside), predicate.LabelChangedPredicate{}),
		source.Kind[client.Object](informers, &v1alpha1.AccessTokenQuota{}, r.places()),
	}
}

// logConstructor names the AccessToken that a line is about.
func logConstructor(mgr ctrl.Manager) func(*reconcile.Request) logr.Logger {
	return func(request *reconcile.Request) logr.Logger {
		logger := mgr.GetLogger().WithValues("controller", Name)
		if request == nil {
			return logger
		}
		return logger.WithValues("AccessToken", klog.KRef(request.Namespace, request.Name), "namespace", request.Namespace, "name", request.Name)
	}
}

// Reopen says that every record has to be opened anew.
type Reopen struct{}

func (r *Reconciler) enqueueAll(ctx context.Context, _ event.TypedGenericEvent[Reopen], queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	list := &v1alpha1.AccessTokenList{}
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		log.FromContext(ctx).Error(err, "list AccessTokens to look at them again")
		return
	}
	for i := range list.Items {
		queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
}

// declared lets pass what a person changed: the spec, an annotation, or a status,
// which is the operator's. Its own status writes wake nobody.
func (r *Reconciler) declared() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, r.statuses.foreign())
}

// ownerOf names the AccessToken that an object belongs to; it is empty where
// there is none.
type ownerOf func(client.Object) reconcile.Request

// belonging wakes the AccessToken that a Secret or record belongs to, when that
// changes or goes.
func (r *Reconciler) belonging(owner ownerOf) handler.EventHandler {
	enqueue := func(object client.Object, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		if request := owner(object); request.Name != "" {
			queue.Add(request)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			// At start-up the AccessTokens themselves bring all work.
			if request := owner(e.Object); request.Name != "" && !e.IsInInitialList {
				queue.AddAfter(request, r.untilCreationCounts(ctx, request.NamespacedName))
			}
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			enqueue(e.ObjectOld, queue)
			enqueue(e.ObjectNew, queue)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			enqueue(e.Object, queue)
		},
	}
}

// untilCreationCounts is when a record or Secret that appeared is looked at. It
// mostly is this operator's own doing, in a pass that goes on. But a manager
// that lost its lead may have slept over an edit: at once where the spec wants
// no token any more, else when whoever made it had the time to finish.
func (r *Reconciler) untilCreationCounts(ctx context.Context, key client.ObjectKey) time.Duration {
	token := &v1alpha1.AccessToken{}
	err := r.Client.Get(ctx, key, token, client.DisableReadYourWritesConsistency)
	if err == nil && lifecycle.TakenBack(token) {
		return 0
	}
	return r.Waits.InFlight
}

// recordOwner is the AccessToken that a record was issued for.
func recordOwner(object client.Object) reconcile.Request {
	record, ok := object.(*v1alpha1.TokenRecord)
	if !ok {
		return reconcile.Request{}
	}
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: record.Namespace, Name: record.Spec.AccessTokenName}}
}

// secretOwner is the AccessToken that controls a Secret.
func secretOwner(object client.Object) reconcile.Request {
	owner := metav1.GetControllerOf(object)
	if owner == nil || owner.Kind != index.KindAccessToken || owner.APIVersion != v1alpha1.GroupVersion.String() {
		return reconcile.Request{}
	}
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: owner.Name}}
}
