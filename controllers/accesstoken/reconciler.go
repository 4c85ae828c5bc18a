package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delegation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
	"github.com/accesstoken-dev/accesstoken-operator/internal/quota"
)

// FieldManager is the name under which the operator owns fields.
const FieldManager = "accesstoken-manager"

// maxActions bounds the actions of one pass. Each action is one step towards
// rest, and no state needs nearly as many; what is left waits for the next
// pass.
const maxActions = 16

// keyRetry is how soon a pass that found no keys loaded yet is repeated, on the
// first start of an installation.
const keyRetry = 200 * time.Millisecond

// usualPriority is that of an edit. Without it an object would keep the low
// priority of the list at start-up for as long as nobody edits it, and would
// starve while others keep the workers busy.
const usualPriority = 0

// Options are what a Reconciler is made of.
type Options struct {
	// Client reads from a cache that shows its own writes
	// (EnableReadYourWritesConsistency), and writes.
	Client client.Client
	// Live goes to the API server without a cache.
	Live client.Client
	// Keys seal and open records.
	Keys *keys.Ring
	// ClusterID is the UID of the namespace kube-system.
	ClusterID string
	// Cluster is the API server that a Kubeconfig may be for.
	Cluster delivery.Cluster
	// GoodOnceTolerance is how far a record's creation may lie from its issue;
	// zero means record.GoodOnceTolerance.
	GoodOnceTolerance time.Duration
	// Waits are given to other writers; zero means lifecycle.DefaultWaits.
	Waits lifecycle.Waits
	// Namespace is the operator's own.
	Namespace string
	// PolicySettle is how long before an AccessToken that takes a right the admission
	// policies have to be there; zero means delegation.DefaultSettle.
	PolicySettle time.Duration
	// Times say how long a grant of a place counts; zero means
	// quota.DefaultTimes.
	Times quota.Times
	// Fence is shared with whoever gives places away in this process; nil means
	// that nobody does.
	Fence *quota.Fence
	// Term is that in which this process leads, for AnnotationLeader; nil means that
	// there is no leader election.
	Term func() string
	// Recorder announces what happened; it may drop.
	Recorder events.EventRecorder
	// Metrics count what happened.
	Metrics *metrics.Lifecycle
	// Audit tells who got and lost which token; nil tells nobody.
	Audit *audit.Log
	// Random is where tokens come from: crypto/rand.Reader but in tests.
	Random io.Reader
	// Clock tells the time; its first reading is when the operator started.
	Clock clock.PassiveClock
}

// Reconciler reconciles AccessTokens. It is safe for concurrent use with
// different objects.
type Reconciler struct {
	Options
	startedAt func() time.Time
	repairs   *repairs
	conflicts *conflicts
	failures  *failures
	overtaken *overtaken
	awaited   *awaited
	statuses  *statuses
	creators  *delegation.Checker
	ledgers   *ledgers

	tracking   *tracking
	mounted    *mounted
	podSecrets *podSecrets
}

// +kubebuilder:rbac:groups=accesstoken.dev,resources=accesstokens,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=accesstoken.dev,resources=accesstokens/status,verbs=patch
// +kubebuilder:rbac:groups=accesstoken.dev,resources=accesstokenquotas,verbs=get;list;watch
// +kubebuilder:rbac:groups=accesstoken.dev,resources=tokenrecords,verbs=get;list;watch;create;issue
// +kubebuilder:rbac:groups=accesstoken.dev,resources=tokenrecords/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=serviceaccounts;namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=list
// +kubebuilder:rbac:groups=accesstoken.dev,resources=accesstokenpolicies,verbs=get;list;watch
// Create on accesstokens is for dry runs that policy has to refuse.
// +kubebuilder:rbac:groups=accesstoken.dev,resources=accesstokens,verbs=create
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,resourceNames=accesstoken-subject.accesstoken.dev;accesstoken-creator.accesstoken.dev;accesstoken-reserved-scopes.accesstoken.dev;accesstoken-without-expiry.accesstoken.dev,verbs=get
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile brings one AccessToken a pass nearer to what it declares.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	token := &v1alpha1.AccessToken{}
	if err := r.Client.Get(ctx, req.NamespacedName, token); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !token.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // owner references clean up
	}
	if r.statuses.succeeds(req.NamespacedName, token.UID) {
		r.forget(req.NamespacedName) // its patience was for another object
	}
	switch r.Keys.Status() {
	case keys.StatusUnknown:
		return ctrl.Result{RequeueAfter: keyRetry}, nil
	case keys.StatusLost:
		if !lifecycle.TakenBack(token) { // which needs no key
			return ctrl.Result{}, r.writeStatus(ctx, token, lifecycle.KeyLost(token, r.Clock.Now()))
		}
	case keys.StatusLoaded:
	}

	pass := &pass{Reconciler: r, token: token}
	defer pass.announce()
	state, err := pass.run(ctx, r.Clock.Now())
	if state != nil && !errors.Is(err, errGone) && !errors.Is(err, errStale) && !apierrors.HasStatusCause(err, namespaceTerminating) {
		if statusErr := pass.persist(ctx, state, err); statusErr != nil {
			err = statusUnwritten(statusErr, err)
		}
	}
	return r.settle(pass, state, err)
}

// statusUnwritten joins what kept a status from being written with what ended the
// pass before, if anything did. That is text here: whatever its class, the write
// has to be retried.
func statusUnwritten(statusErr, passErr error) error {
	if passErr == nil {
		return fmt.Errorf("write status: %w", statusErr)
	}
	return fmt.Errorf("write status (the pass ended with: %s): %w", passErr.Error(), statusErr)
}

// persist writes the status once, and notes what it announces.
func (p *pass) persist(ctx context.Context, state *lifecycle.State, passErr error) error {
	if until, quiet := p.quietly(state); quiet && passErr == nil {
		p.recheck = until
		return nil
	}
	before := p.token.Status
	status := lifecycle.Summarize(*state, p.effectiveAge)
	if passErr != nil && !superseded(passErr) {
		lifecycle.Trouble(&status, p.token.Generation, state.Now, explain(passErr))
	}
	if err := p.writeStatus(ctx, p.token, status); err != nil {
		return err
	}
	p.noteTransition(*state, before, status)
	return nil
}

// superseded says that a pass ended because what it had observed was no longer
// so: nothing is wrong, and the next pass sees more.
func superseded(err error) bool {
	return apierrors.IsConflict(err) || errors.Is(err, errStale) || errors.Is(err, errNotLeading)
}

// settle says what becomes of the object after a pass.
func (r *Reconciler) settle(pass *pass, state *lifecycle.State, err error) (ctrl.Result, error) {
	switch {
	case errors.Is(err, errGone), apierrors.HasStatusCause(err, namespaceTerminating):
		return ctrl.Result{}, nil // nothing is issued, and nothing is kept, on the way out
	case superseded(err):
		return ctrl.Result{RequeueAfter: r.overtaken.note(pass.key()), Priority: new(usualPriority)}, nil
	case err != nil:
		return ctrl.Result{Priority: new(usualPriority)}, err
	}
	r.overtaken.forget(pass.key())
	return r.lookAgain(pass, *state), nil
}

// lookAgain is when the object is looked at next without a watch saying so.
func (r *Reconciler) lookAgain(pass *pass, state lifecycle.State) ctrl.Result {
	at, ok := lifecycle.NextLook(state)
	if pass.recheck.After(state.Now) && (!ok || pass.recheck.Before(at)) {
		at, ok = pass.recheck, true
	}
	if !ok {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: max(at.Sub(r.Clock.Now()), time.Millisecond), Priority: new(usualPriority)}
}

// writeStatus persists a status that differs from the one observed. The
// resourceVersion goes with it: a writer that was overtaken writes nothing.
func (r *Reconciler) writeStatus(ctx context.Context, token *v1alpha1.AccessToken, status v1alpha1.AccessTokenStatus) error {
	if equality.Semantic.DeepEqual(token.Status, status) {
		return nil
	}
	before := token.DeepCopy()
	token.Status = status
	r.statuses.writing(token)
	return r.Client.Status().Patch(ctx, token, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(FieldManager))
}

// forget drops what is remembered of an object that is gone.
func (r *Reconciler) forget(key client.ObjectKey) {
	r.repairs.forget(key)
	r.conflicts.forget(key)
	r.failures.forget(key)
	r.overtaken.forget(key)
	r.awaited.forget(key)
	r.mounted.forget(key)
	r.statuses.forget(key)
}
