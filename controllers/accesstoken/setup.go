package accesstoken

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
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
	return &Reconciler{
		Options: options,
		// The first pass, not the construction: a standby begins to act when it
		// becomes the leader.
		startedAt: sync.OnceValue(func() time.Time { return options.Clock.Now() }),
		repairs:   &repairs{newStreaks()},
		conflicts: &conflicts{newStreaks()},
		failures:  &failures{newStreaks()},
		overtaken: &overtaken{newStreaks()},
	}
}

// SetupWithManager registers the controller: its watches, and how many objects
// it works on at once. Whatever comes over reopen makes every object be looked
// at again.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, workers int, reopen <-chan event.TypedGenericEvent[Reopen]) error {
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	owner := handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), &v1alpha1.AccessToken{}, handler.OnlyControllerOwner())
	err := ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		For(&v1alpha1.AccessToken{}, builder.WithPredicates(declared())).
		WatchesMetadata(secret, owner, builder.WithPredicates(notOnCreate())).
		Watches(&v1alpha1.TokenRecord{}, handler.EnqueueRequestsFromMapFunc(recordOwner), builder.WithPredicates(notOnCreate())).
		WatchesRawSource(source.Channel(reopen, handler.TypedFuncs[Reopen, reconcile.Request]{GenericFunc: r.enqueueAll})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller %s: %w", Name, err)
	}
	return nil
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

// declared lets pass what a person changed: the spec, or an annotation. The
// operator's own status writes wake nobody.
func declared() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
}

// notOnCreate keeps back the creation of records and Secrets, which is this
// operator's own doing. At start-up the AccessTokens themselves bring all work.
func notOnCreate() predicate.Funcs {
	return predicate.Funcs{CreateFunc: func(event.CreateEvent) bool { return false }}
}

// recordOwner is the AccessToken that a record was issued for.
func recordOwner(_ context.Context, object client.Object) []reconcile.Request {
	record, ok := object.(*v1alpha1.TokenRecord)
	if !ok || record.Spec.AccessTokenName == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: record.Namespace, Name: record.Spec.AccessTokenName}}}
}
