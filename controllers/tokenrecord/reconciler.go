package tokenrecord

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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

const (
	// settledAfter is how long an ended record stays at least: longer than any
	// writer still counts on one that it has seen live, or on the name being
	// taken.
	settledAfter = 10 * time.Minute

	// mostEnded bounds how many ended records of one AccessToken are kept beyond
	// settledAfter, the latest ones: so nothing that makes tokens again and again
	// fills the store.
	mostEnded = 100
)

// orphanGrace is how long garbage collection has the first go at a record
// without an AccessToken, and how long the watch of AccessTokens may lag behind
// that of records.
const orphanGrace = 10 * time.Second

// cutOffRetry is how soon a record is looked at again by which it is known that a
// person has to ask for the next token.
const cutOffRetry = time.Hour

// unnotedRetry is how soon a record is looked at again that the status of its
// AccessToken still builds on.
const unnotedRetry = 10 * time.Second

// Reconciler deletes records of no more use.
type Reconciler struct {
	// Client reads from a cache, and deletes.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Retention is how long an ended record is kept, unless it reached no Secret
	// or a hundred later ones of its AccessToken have ended.
	Retention time.Duration
	Clock     clock.PassiveClock
}

// +kubebuilder:rbac:groups=accesstoken.dev,resources=accesstokens,verbs=get;list;watch
// +kubebuilder:rbac:groups=accesstoken.dev,resources=tokenrecords,verbs=get;list;watch;delete

// Reconcile deletes one record when its time has come, and earlier ones of the
// same AccessToken that are too many.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	object := &v1alpha1.TokenRecord{}
	if err := r.Client.Get(ctx, req.NamespacedName, object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !object.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	now := r.Clock.Now()
	if err := r.thinOut(ctx, object, now); err != nil {
		return ctrl.Result{}, err
	}
	kept := r.kept(object)
	cached, err := r.judge(ctx, r.Client, object, kept)
	if err != nil {
		return ctrl.Result{}, err
	}
	if cached.orphan {
		cached.due, cached.ends = object.CreationTimestamp.Add(orphanGrace), true
	}
	if wait, over := cached.over(now); !over {
		return wait, nil
	}
	return r.delete(ctx, object, now, kept)
}

// thinOut deletes the earliest ended records of an AccessToken beyond mostEnded.
// Whatever makes one more record, or ends one, wakes the controller for it, and
// so for those before it.
func (r *Reconciler) thinOut(ctx context.Context, object *v1alpha1.TokenRecord, now time.Time) error {
	if object.Spec.Origin != v1alpha1.OriginDeclared || object.Spec.AccessTokenUID == "" {
		return nil
	}
	list := &v1alpha1.TokenRecordList{}
	err := r.Client.List(ctx, list, client.InNamespace(object.Namespace), client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency,
		client.MatchingFields{index.RecordAccessTokenUID: object.Spec.AccessTokenUID})
	if err != nil {
		return fmt.Errorf("list records beside %s: %w", client.ObjectKeyFromObject(object), err)
	}
	if len(list.Items) <= mostEnded {
		return nil
	}
	var over []*v1alpha1.TokenRecord
	for i := range list.Items {
		if item := &list.Items[i]; record.Ended(item, now) {
			over = append(over, item)
		}
	}
	slices.SortFunc(over, func(a, b *v1alpha1.TokenRecord) int { return cmp.Compare(b.Spec.Revision, a.Spec.Revision) })
	for _, excess := range over[min(len(over), mostEnded):] {
		due, ends := deletionDue(excess, now, r.atMost(settledAfter))
		if !ends || now.Before(due) || !excess.DeletionTimestamp.IsZero() {
			continue
		}
		if _, err := r.delete(ctx, excess, now, r.atMost(settledAfter)); err != nil {
			return err
		}
	}
	return nil
}

// kept is how long a record is kept after its end. One that reached no Secret
// tells nobody anything.
func (r *Reconciler) kept(object *v1alpha1.TokenRecord) time.Duration {
	if object.Status.RevokedAt != "" && object.Status.Reason == v1alpha1.EndReasonUnpublished {
		return r.atMost(settledAfter)
	}
	return r.Retention
}

func (r *Reconciler) atMost(kept time.Duration) time.Duration { return min(kept, r.Retention) }

// judgement is what becomes of one record.
type judgement struct {
	// orphan: its AccessToken is gone. It is of no more use.
	orphan bool
	// needed is how soon to look again, since its AccessToken still goes by it; zero
	// when it does not.
	needed time.Duration
	// due is when it is deleted; ends is false for one that stays.
	due  time.Time
	ends bool
}

// over says that the record is to be deleted now, or when to look again.
func (j judgement) over(now time.Time) (wait ctrl.Result, over bool) {
	switch {
	case !j.ends:
		return ctrl.Result{}, false
	case now.Before(j.due):
		return ctrl.Result{RequeueAfter: j.due.Sub(now)}, false
	case j.needed > 0:
		return ctrl.Result{RequeueAfter: j.needed}, false
	}
	return ctrl.Result{}, true
}

// judge reads the AccessToken that a record was issued for, and decides about
// one that is kept that long after its end. An orphan is due at once.
func (r *Reconciler) judge(ctx context.Context, reader client.Reader, object *v1alpha1.TokenRecord, kept time.Duration) (judgement, error) {
	token, declared, err := declaredBy(ctx, reader, object)
	if err != nil {
		return judgement{}, err
	}
	if declared && token == nil {
		return judgement{orphan: true, ends: true}, nil
	}
	due, ends := deletionDue(object, r.Clock.Now(), kept)
	judged := judgement{due: due, ends: ends}
	switch {
	case !declared:
	case buildsOn(token, object):
		judged.needed = unnotedRetry
	case token.Status.TokenID == object.Name && (object.Status.Reason == v1alpha1.EndReasonCutOff || object.Status.Reason == v1alpha1.EndReasonUnused):
		// Without it the token would be replaced, though nobody asked for that.
		judged.needed = cutOffRetry
	}
	return judged, nil
}

// declaredBy returns the AccessToken that a record was issued for; nil when it is
// gone, or another one has its name. Declared is false for a record that does not
// say which it is: that has none to live by.
func declaredBy(ctx context.Context, reader client.Reader, object *v1alpha1.TokenRecord) (token *v1alpha1.AccessToken, declared bool, err error) {
	if object.Spec.Origin != v1alpha1.OriginDeclared || object.Spec.AccessTokenName == "" || object.Spec.AccessTokenUID == "" {
		return nil, false, nil
	}
	token = &v1alpha1.AccessToken{}
	key := types.NamespacedName{Namespace: object.Namespace, Name: object.Spec.AccessTokenName}
	if err := reader.Get(ctx, key, token); apierrors.IsNotFound(err) {
		return nil, true, nil
	} else if err != nil {
		return nil, true, fmt.Errorf("read AccessToken %s of record %s: %w", key, object.Name, err)
	}
	if string(token.UID) != object.Spec.AccessTokenUID {
		return nil, true, nil
	}
	return token, true, nil
}

// buildsOn says that a status names the record's token as the current one and
// not yet its end. Deleted before its end is noted, the record would look as if
// somebody had deleted it, and the token that ended would be replaced: after a
// long absence of the operator, both are due at once. It also says that the
// status does not know of the revision yet, which would be given once more.
func buildsOn(token *v1alpha1.AccessToken, object *v1alpha1.TokenRecord) bool {
	return token.Status.TokenID == object.Name && token.Status.EndedAt == "" || token.Status.Revision < object.Spec.Revision
}

// deletionDue is when an ended record is deleted; ok is false for one that does
// not end, or whose end cannot be read: when in doubt, keep.
func deletionDue(object *v1alpha1.TokenRecord, now time.Time, kept time.Duration) (time.Time, bool) {
	end, ends, err := record.Ends(object, now)
	if err != nil || !ends {
		return time.Time{}, false
	}
	return end.Add(kept), true
}

// delete reads the record and its AccessToken again, decides again, and deletes
// only what it read. A record that it keeps is looked at again when it is due.
func (r *Reconciler) delete(ctx context.Context, cached *v1alpha1.TokenRecord, now time.Time, kept time.Duration) (ctrl.Result, error) {
	live := &v1alpha1.TokenRecord{}
	key := client.ObjectKeyFromObject(cached)
	if err := r.Live.Get(ctx, key, live); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if live.UID != cached.UID {
		return ctrl.Result{}, nil // the watch brings the other one
	}
	judged, err := r.judge(ctx, r.Live, live, kept)
	if err != nil {
		return ctrl.Result{}, err
	}
	if wait, over := judged.over(now); !over {
		return wait, nil
	}
	preconditions := client.Preconditions{UID: &live.UID, ResourceVersion: &live.ResourceVersion}
	err = r.Client.Delete(ctx, live, preconditions)
	if apierrors.IsConflict(err) {
		return ctrl.Result{}, nil // the watch brings what it became
	}
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("delete record %s: %w", key, err)
	}
	return ctrl.Result{}, nil
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		For(&v1alpha1.TokenRecord{}).
		Watches(&v1alpha1.AccessToken{}, handler.Funcs{DeleteFunc: r.tokenDeleted, UpdateFunc: r.tokenReplaced}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller %s: %w", Name, err)
	}
	return nil
}

func (r *Reconciler) tokenDeleted(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	r.enqueueOrphans(ctx, e.Object, queue)
}

// tokenReplaced notices a deletion that the watch missed: it shows an AccessToken
// that was made again under the same name as a change of the one before.
func (r *Reconciler) tokenReplaced(ctx context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	if e.ObjectOld.GetUID() != e.ObjectNew.GetUID() {
		r.enqueueOrphans(ctx, e.ObjectOld, queue)
	}
}

// enqueueOrphans looks at the records of an AccessToken that is gone, after
// garbage collection had its go.
func (r *Reconciler) enqueueOrphans(ctx context.Context, gone client.Object, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	list := &v1alpha1.TokenRecordList{}
	err := r.Client.List(ctx, list, client.InNamespace(gone.GetNamespace()), client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency,
		client.MatchingFields{index.RecordAccessTokenUID: string(gone.GetUID())})
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list records of a deleted AccessToken", "accessToken", client.ObjectKeyFromObject(gone))
		return
	}
	for i := range list.Items {
		queue.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])}, orphanGrace)
	}
}
