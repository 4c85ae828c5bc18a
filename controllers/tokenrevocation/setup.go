package tokenrevocation

import (
	"context"
	"fmt"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	fresh := builder.WithPredicates(predicate.GenerationChangedPredicate{}) // its own status writes wake nobody
	err := ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		WithOptions(controller.Options{MaxConcurrentReconciles: 2}).
		Watches(&v1alpha1.TokenRevocation{}, &handler.EnqueueRequestForObject{}, fresh).
		Watches(&v1alpha1.TokenRevocation{}, handler.Funcs{DeleteFunc: enqueueCopy}).
		Watches(&v1alpha1.ClusterTokenRevocation{}, &handler.EnqueueRequestForObject{}, fresh).
		Watches(&v1alpha1.ClusterTokenRevocation{}, handler.Funcs{DeleteFunc: enqueueOriginal}).
		Watches(&v1alpha1.TokenRecord{}, handler.Funcs{CreateFunc: r.recordCreated}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller %s: %w", Name, err)
	}
	return nil
}

// enqueueCopy has the copy looked at of a TokenRevocation that is gone.
func enqueueCopy(_ context.Context, e event.DeleteEvent, q queue) {
	q.Add(reconcile.Request{NamespacedName: client.ObjectKey{Name: copyName(e.Object)}})
}

// enqueueOriginal has a copy made again that somebody deleted.
func enqueueOriginal(_ context.Context, e event.DeleteEvent, q queue) {
	if original := originalOf(e.Object); original != (revocation.Ref{}) && original.Name != everyName {
		q.Add(reconcile.Request{NamespacedName: client.ObjectKey(original)})
	}
}

// recordCreated wakes the revocations that a new record is of concern to: it may be
// void, where the watch of records is behind that of revocations, and it may come
// in the place of one that is. At start-up every revocation is looked at anyway.
func (r *Reconciler) recordCreated(ctx context.Context, e event.CreateEvent, q queue) {
	created, ok := e.Object.(*v1alpha1.TokenRecord)
	if !ok || e.IsInInitialList {
		return
	}
	concerned := append(r.replacedBy(ctx, created), created)
	for _, each := range r.revocations(ctx, created.Namespace) {
		for i, rec := range concerned {
			if (each.Reissue || i == len(concerned)-1) && each.Matches(rec) {
				q.Add(reconcile.Request{NamespacedName: client.ObjectKey(each.Ref)})
				break
			}
		}
	}
}

// replacedBy are the void records of the same AccessToken that ask for a new token.
func (r *Reconciler) replacedBy(ctx context.Context, created *v1alpha1.TokenRecord) (records []*v1alpha1.TokenRecord) {
	if created.Spec.AccessTokenUID == "" || created.Spec.Revision < 2 {
		return nil
	}
	list := &v1alpha1.TokenRecordList{}
	err := r.Client.List(ctx, list, client.InNamespace(created.Namespace), client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency,
		client.MatchingFields{index.RecordAccessTokenUID: created.Spec.AccessTokenUID})
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list records beside a new one", "record", client.ObjectKeyFromObject(created))
		return nil
	}
	for i := range list.Items {
		if rec := &list.Items[i]; rec.Status.Reason == v1alpha1.EndReasonCutOff && rec.Status.Reissue {
			records = append(records, rec)
		}
	}
	return records
}

// revocations are those that may mean a token of a namespace, as the cache shows them.
func (r *Reconciler) revocations(ctx context.Context, namespace string) (all []revocation.Revocation) {
	list := func(list client.ObjectList, within client.ListOption) {
		if err := r.Client.List(ctx, list, within, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "list revocations to compare a new record with")
		}
	}
	own := &v1alpha1.TokenRevocationList{}
	list(own, client.InNamespace(namespace))
	for i := range own.Items {
		if each, err := revocation.Of(&own.Items[i]); err == nil {
			all = append(all, each)
		}
	}
	for _, limit := range []string{namespace, ""} {
		wide := &v1alpha1.ClusterTokenRevocationList{}
		list(wide, client.MatchingFields{index.RevocationNamespace: limit})
		for i := range wide.Items {
			if each, err := revocation.OfCluster(&wide.Items[i]); err == nil {
				all = append(all, each)
			}
		}
	}
	return all
}
