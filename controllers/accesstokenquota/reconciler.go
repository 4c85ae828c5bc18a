package accesstokenquota

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/policy"
	"github.com/accesstoken-dev/accesstoken-operator/internal/quota"
)

// Name names the controller, its queue, its logger and its metrics.
const Name = "accesstokenquota"

// fieldManager is the name under which the operator owns fields.
const fieldManager = "accesstoken-manager"

const (
	// overtakenRetry is how soon a ledger is settled again that somebody else
	// wrote meanwhile: about when the watch shows what.
	overtakenRetry = 50 * time.Millisecond

	// mostDoubtful is how many are looked at again one by one. Of more, the whole
	// namespace is read again, which costs less.
	mostDoubtful = 32

	// doubtRetry is how soon one is looked at again that the cache shows otherwise
	// than it is.
	doubtRetry = time.Second
)

// Options are what a Reconciler is made of.
type Options struct {
	// Client reads from a cache that shows its own writes
	// (EnableReadYourWritesConsistency), and writes.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Times say how long a grant counts; zero means quota.DefaultTimes.
	Times quota.Times
	// Fence is shared with whoever issues in this process; nil means that nobody
	// does.
	Fence *quota.Fence
	// Recorder announces what happened; it may drop.
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
}

// Reconciler settles ledgers. It is safe for concurrent use with different
// namespaces.
type Reconciler struct {
	Options
	memory *memory
}

// New makes a reconciler.
func New(options Options) *Reconciler {
	if options.Times == (quota.Times{}) {
		options.Times = quota.DefaultTimes()
	}
	if options.Fence == nil {
		options.Fence = quota.NewFence()
	}
	return &Reconciler{Options: options, memory: newMemory()}
}

// +kubebuilder:rbac:groups=accesstoken.dev,resources=accesstokens;tokenrecords;accesstokenpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=accesstoken.dev,resources=accesstokenquotas,verbs=get;list;watch;create
// +kubebuilder:rbac:groups=accesstoken.dev,resources=accesstokenquotas/status,verbs=update
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile settles the ledger of one namespace.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	namespace := namespaceMetadata()
	err := r.Client.Get(ctx, client.ObjectKey{Name: req.Namespace}, namespace)
	if apierrors.IsNotFound(err) {
		r.memory.forget(req.Namespace)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("read namespace %s: %w", req.Namespace, err)
	}
	r.memory.meet(req.Namespace, namespace.UID)
	if !namespace.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	limits, err := r.limits(ctx, namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	look, err := r.settle(ctx, req.Namespace, quota.Terms{Times: r.Times, Limits: limits, Now: r.Clock.Now()})
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return ctrl.Result{}, nil
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return ctrl.Result{RequeueAfter: overtakenRetry}, nil // another manager was faster
	case err != nil:
		return ctrl.Result{}, err
	case look.IsZero():
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(look.Sub(r.Clock.Now()), time.Millisecond)}, nil
}

// limits are those of the policies that select a namespace.
func (r *Reconciler) limits(ctx context.Context, namespace *metav1.PartialObjectMetadata) (policy.Quota, error) {
	list := &v1alpha1.AccessTokenPolicyList{}
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return policy.Quota{}, fmt.Errorf("list AccessTokenPolicies: %w", err)
	}
	policies := make([]*v1alpha1.AccessTokenPolicy, len(list.Items))
	for i := range list.Items {
		policies[i] = &list.Items[i]
	}
	return policy.QuotaOf(policy.Selecting(policies, namespace.Labels)), nil
}

// settle brings the ledger up to date by one write, and says when to look again.
func (r *Reconciler) settle(ctx context.Context, namespace string, terms quota.Terms) (time.Time, error) {
	ledger := &v1alpha1.AccessTokenQuota{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.AccessTokenQuotaName}, ledger)
	if client.IgnoreNotFound(err) != nil {
		return time.Time{}, fmt.Errorf("read AccessTokenQuota of namespace %s: %w", namespace, err)
	}
	if err != nil || blank(ledger.Status) {
		return r.rebuild(ctx, namespace, ledger, terms)
	}
	r.memory.noteLedger(namespace)
	if rest := r.memory.restsUntil(namespace); terms.Now.Before(rest) {
		return rest, nil
	}
	claims, err := r.claims(ctx, r.Client, namespace, terms.Now)
	if err != nil {
		return time.Time{}, err
	}
	doubtful := quota.Doubtful(ledger.Status, claims)
	if len(doubtful) == 0 {
		return r.write(ctx, ledger, claims, terms)
	}
	return r.settleClosely(ctx, ledger, claims, doubtful, terms)
}

// settleClosely settles a ledger after a closer look at some.
func (r *Reconciler) settleClosely(ctx context.Context, ledger *v1alpha1.AccessTokenQuota, claims []quota.Claim, doubtful []quota.Ref, terms quota.Terms) (time.Time, error) {
	defer r.Fence.Free(ledger.Namespace)()
	claims, lagging, err := r.lookCloser(ctx, ledger.Namespace, claims, doubtful, terms.Now)
	if err != nil {
		return time.Time{}, err
	}
	look, err := r.write(ctx, ledger, claims, terms)
	if retry := terms.Now.Add(doubtRetry); lagging && (look.IsZero() || retry.Before(look)) {
		look = retry
	}
	return look, err
}

// write settles the ledger and writes it if that changed it. The resourceVersion
// goes with it: what was decided about another ledger is not written.
func (r *Reconciler) write(ctx context.Context, ledger *v1alpha1.AccessTokenQuota, claims []quota.Claim, terms quota.Terms) (time.Time, error) {
	next, change := quota.Settle(ledger.Status, claims, terms)
	if equality.Semantic.DeepEqual(ledger.Status, next) {
		r.memory.keepHolders(ledger.Namespace, next)
		return change.Look, nil
	}
	ledger.Status = next
	if err := r.Client.Status().Update(ctx, ledger, client.FieldOwner(fieldManager)); err != nil {
		return time.Time{}, fmt.Errorf("write AccessTokenQuota of namespace %s: %w", ledger.Namespace, err)
	}
	r.memory.keepHolders(ledger.Namespace, next)
	r.memory.noteWrite(ledger.Namespace, terms.Now.Add(time.Duration(next.Used)*r.Times.Rest))
	ctrl.LoggerFrom(ctx).V(1).Info("settled", "granted", change.Granted, "taken", change.Taken, "freed", change.Freed, "waiting", change.Waiting)
	return change.Look, nil
}

// blank says that nobody wrote the ledger yet, or somebody emptied it.
func blank(ledger v1alpha1.AccessTokenQuotaStatus) bool {
	return equality.Semantic.DeepEqual(ledger, v1alpha1.AccessTokenQuotaStatus{})
}
