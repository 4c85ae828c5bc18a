package tokenrevocation

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
)

// Name names the controller, its queue, its logger and its metrics.
const Name = "tokenrevocation"

// FieldManager is whom the API server notes as the writer.
const FieldManager = "accesstoken-manager"

// conflictRetry is how soon a pass is repeated that somebody else's write met.
const conflictRetry = 50 * time.Millisecond

// Reconciler reconciles both kinds of revocation.
type Reconciler struct {
	// Client reads from a cache that shows its own writes, and writes.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Recorder announces what was revoked; it may drop.
	Recorder events.EventRecorder
	// Metrics count what was ended.
	Metrics *metrics.Lifecycle
	// Audit tells who lost which token; nil tells nobody.
	Audit *audit.Log
	Clock clock.PassiveClock

	most int // revocation.MostOfNamespace, but in tests
}

// +kubebuilder:rbac:groups=accesstoken.dev,resources=tokenrevocations,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=accesstoken.dev,resources=clustertokenrevocations,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=accesstoken.dev,resources=tokenrevocations/status;clustertokenrevocations/status,verbs=patch
// +kubebuilder:rbac:groups=accesstoken.dev,resources=tokenrecords,verbs=get;list;watch;issue
// +kubebuilder:rbac:groups=accesstoken.dev,resources=tokenrecords/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile brings one revocation to where its end does no harm. Each write can be
// repeated: after a crash between any two of them the next pass does the rest.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	order, err := r.read(ctx, req.NamespacedName)
	if err != nil || order == nil || !order.object.GetDeletionTimestamp().IsZero() {
		return ctrl.Result{}, err
	}
	result, err := r.reconcile(ctx, order, r.Clock.Now())
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	}
	return result, err
}

func (r *Reconciler) reconcile(ctx context.Context, o *order, now time.Time) (ctrl.Result, error) {
	if o.invalid != nil {
		return ctrl.Result{}, r.report(ctx, o, tally{}, now)
	}
	// First what the namespace cannot undo, then what counts for ever, and only then
	// the word that it is done: from that on whoever made it may delete it.
	if err := r.protect(ctx, o); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.begin(ctx, o, now); err != nil {
		return ctrl.Result{}, err
	}
	counted, err := r.cutOff(ctx, o, now)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.report(ctx, o, counted, now); err != nil {
		return ctrl.Result{}, err
	}
	return r.cleanUp(ctx, o, counted, now)
}

// tally is what became of the records that a revocation names.
type tally struct {
	matching int      // there are, whatever became of them
	missing  []string // IDs that it names and that none has
	revoked  int64    // by this one
	reissued int64    // AccessTokens that have a later one
}

// begin says that it is under way, so that a long pass is seen.
func (r *Reconciler) begin(ctx context.Context, o *order, now time.Time) error {
	if meta.FindStatusCondition(o.status.Conditions, v1alpha1.ConditionReady) != nil {
		return nil
	}
	return r.write(ctx, o, func(status *v1alpha1.RevocationStatus) {
		status.EffectiveBefore = v1alpha1.NewTimestamp(o.revocation.Before)
		o.condition(status, now, metav1.ConditionUnknown, v1alpha1.ReasonRevoking,
			"verifiers refuse what it names; it is being written into the records")
	})
}

// report says that it is done, and what it came to.
func (r *Reconciler) report(ctx context.Context, o *order, counted tally, now time.Time) error {
	if o.invalid != nil {
		return r.write(ctx, o, func(status *v1alpha1.RevocationStatus) {
			o.condition(status, now, metav1.ConditionFalse, v1alpha1.ReasonSpecInvalid, o.invalid.Error()+": delete it and create another one")
		})
	}
	done := o.outcome(counted)
	was := meta.FindStatusCondition(o.status.Conditions, v1alpha1.ConditionReady)
	known := was != nil && was.Status == metav1.ConditionTrue
	if known && !o.more(counted, was.Reason) {
		done.reason, done.message = was.Reason, was.Message
	}
	err := r.write(ctx, o, func(status *v1alpha1.RevocationStatus) {
		status.EffectiveBefore = v1alpha1.NewTimestamp(o.revocation.Before)
		status.Revoked = raised(status.Revoked, counted.revoked)
		if o.revocation.Reissue {
			status.Reissued = raised(status.Reissued, counted.reissued)
		}
		o.condition(status, now, metav1.ConditionTrue, done.reason, done.message)
	})
	if err == nil && !known {
		r.Recorder.Eventf(o.object, nil, done.eventType, done.reason, "Revoke", "%s", done.note)
	}
	return err
}

// raised is a count that never falls: the records that it was counted by go.
func raised(known *int64, counted int64) *int64 {
	if known != nil && *known >= counted {
		return known
	}
	return &counted
}

// write persists a status that differs from the one observed.
func (r *Reconciler) write(ctx context.Context, o *order, change func(*v1alpha1.RevocationStatus)) error {
	before, ok := o.object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("copy of %T is no object", o.object)
	}
	known := o.status.DeepCopy()
	change(o.status)
	o.status.ObservedGeneration = o.object.GetGeneration()
	if equality.Semantic.DeepEqual(known, o.status) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, o.object, patch, client.FieldOwner(FieldManager)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("write status of %s: %w", o.revocation.Ref, err))
	}
	return nil
}

func (o *order) condition(status *v1alpha1.RevocationStatus, now time.Time, value metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: value, Reason: reason, Message: message,
		ObservedGeneration: o.object.GetGeneration(), LastTransitionTime: metav1.NewTime(now),
	})
}
