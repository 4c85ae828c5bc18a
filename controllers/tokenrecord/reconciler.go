package tokenrecord

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
)

// Name names the controller, its queue, its logger and its metrics.
const Name = "tokenrecord"

// DefaultRetention is how long an ended record is kept, with the reason of its
// end.
const DefaultRetention = 7 * 24 * time.Hour

// orphanGrace is how long garbage collection has the first go at a record
// without an AccessToken, and how long the watch of AccessTokens may lag behind
// that of records.
const orphanGrace = 10 * time.Second

// Reconciler deletes records of no more use.
type Reconciler struct {
	// Client reads from a cache, and deletes.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Retention is how long an ended record is kept.
	Retention time.Duration
	Clock     clock.PassiveClock
}

// +kubebuilder:rbac:groups=accesstoken.dev,resources=accesstokens,verbs=get;list;watch
// +kubebuilder:rbac:groups=accesstoken.dev,resources=tokenrecords,verbs=get;list;watch;delete

// Reconcile deletes one record when its time has come.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	object := &v1alpha1.TokenRecord{}
	if err := r.Client.Get(ctx, req.NamespacedName, object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !object.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	now := r.Clock.Now()
	owned, err := r.owned(ctx, r.Client, object)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !owned {
		if due := object.CreationTimestamp.Add(orphanGrace); now.Before(due) {
			return ctrl.Result{RequeueAfter: due.Sub(now)}, nil
		}
		return ctrl.Result{}, r.delete(ctx, object, now)
	}
	due, ok := r.deletionDue(object)
	switch {
	case !ok:
		return ctrl.Result{}, nil
	case now.Before(due):
		return ctrl.Result{RequeueAfter: due.Sub(now)}, nil
	}
	return ctrl.Result{}, r.delete(ctx, object, now)
}

// owned says whether the AccessToken that a record was issued for lives. A
// record that nobody declared has none to live by.
func (r *Reconciler) owned(ctx context.Context, reader client.Reader, object *v1alpha1.TokenRecord) (bool, error) {
	if object.Spec.Origin != v1alpha1.OriginDeclared {
		return true, nil
	}
	token := &v1alpha1.AccessToken{}
	key := types.NamespacedName{Namespace: object.Namespace, Name: object.Spec.AccessTokenName}
	if err := reader.Get(ctx, key, token); apierrors.IsNotFound(err) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("read AccessToken %s of record %s: %w", key, object.Name, err)
	}
	return string(token.UID) == object.Spec.AccessTokenUID, nil
}

// deletionDue is when an ended record is deleted; ok is false for one that does
// not end, or whose end cannot be read: when in doubt, keep.
func (r *Reconciler) deletionDue(object *v1alpha1.TokenRecord) (time.Time, bool) {
	end, ends, err := record.Ends(object)
	if err != nil || !ends {
		return time.Time{}, false
	}
	return end.Add(r.Retention), true
}

// delete reads the record and its AccessToken again, decides again, and deletes
// only what it read.
func (r *Reconciler) delete(ctx context.Context, cached *v1alpha1.TokenRecord, now time.Time) error {
	live := &v1alpha1.TokenRecord{}
	key := client.ObjectKeyFromObject(cached)
	if err := r.Live.Get(ctx, key, live); err != nil {
		return client.IgnoreNotFound(err)
	}
	if live.UID != cached.UID {
		return nil
	}
	owned, err := r.owned(ctx, r.Live, live)
	if err != nil {
		return err
	}
	if due, ok := r.deletionDue(live); owned && (!ok || now.Before(due)) {
		return nil
	}
	preconditions := client.Preconditions{UID: &live.UID, ResourceVersion: &live.ResourceVersion}
	if err := r.Client.Delete(ctx, live, preconditions); client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete record %s: %w", key, err)
	}
	return nil
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		For(&v1alpha1.TokenRecord{}).
		Watches(&v1alpha1.AccessToken{}, handler.Funcs{DeleteFunc: r.enqueueOrphans}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller %s: %w", Name, err)
	}
	return nil
}

// enqueueOrphans looks at the records of a deleted AccessToken after garbage
// collection had its go.
func (r *Reconciler) enqueueOrphans(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	list := &v1alpha1.TokenRecordList{}
	err := r.Client.List(ctx, list, client.InNamespace(e.Object.GetNamespace()), client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency,
		client.MatchingFields{index.RecordAccessTokenUID: string(e.Object.GetUID())})
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list records of a deleted AccessToken", "accessToken", client.ObjectKeyFromObject(e.Object))
		return
	}
	for i := range list.Items {
		queue.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])}, orphanGrace)
	}
}
