package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

// namespaceTerminating is the cause that the API server gives when it refuses a
// create in a namespace that is being deleted.
const namespaceTerminating = corev1.NamespaceTerminatingCause

var (
	// errGone ends a pass whose object was deleted by it.
	errGone = errors.New("the AccessToken was deleted")
	// errStale ends a pass that decided about a state that is no more.
	errStale = errors.New("the AccessToken changed meanwhile")
	// errNoPlace ends an issue whose place was given away.
	errNoPlace = errors.New("the AccessToken holds no place any more")
)

// pass is one reconcile of one object: what was observed, and what was done.
type pass struct {
	*Reconciler
	token        *v1alpha1.AccessToken
	template     v1alpha1.SecretTemplate // of the Secret, with its defaults filled in
	templateHash string
	effectiveAge *v1alpha1.EffectiveMaxAge
	happenings   []happening
	recheck      time.Time
	checked      v1alpha1.CreatorCheck // how the right to what is declared was proved
	issuing      int64                 // the revision issued last in this pass, which the status lacks
	placed       bool                  // the place was looked up
}

func (p *pass) key() client.ObjectKey { return client.ObjectKeyFromObject(p.token) }

// run observes, then acts until there is nothing to do. The State that it
// returns is what the status is to say, also beside an error; it is nil when
// nothing could be observed.
func (p *pass) run(ctx context.Context, now time.Time) (*lifecycle.State, error) {
	state, err := p.observe(ctx, now)
	if err != nil {
		return nil, err
	}
	for range maxActions {
		if err := p.observePlace(ctx, state); err != nil {
			return state, err
		}
		if err := p.proveCreator(ctx, state); err != nil {
			return state, err
		}
		action := lifecycle.Next(*state)
		if action == nil {
			break
		}
		if err := p.perform(ctx, state, action); err != nil {
			return state, err
		}
	}
	if !state.Refused() {
		p.Reconciler.failures.forget(p.key())
	}
	if state.Conflict() {
		p.recheck = p.Reconciler.conflicts.note(p.key(), now)
	} else {
		p.Reconciler.conflicts.forget(p.key())
	}
	return state, nil
}

// perform does one action and folds its outcome into the state.
func (p *pass) perform(ctx context.Context, state *lifecycle.State, action lifecycle.Action) error {
	switch a := action.(type) {
	case lifecycle.Issue:
		return p.issue(ctx, state, a)
	case lifecycle.EndRecord:
		return p.endRecord(ctx, state, a)
	case lifecycle.CapAge:
		return p.capAge(ctx, state, a)
	case lifecycle.WithdrawSecret:
		return p.withdraw(ctx, state, a.Secret)
	case lifecycle.LabelSecret:
		return p.relabel(ctx, state, a.Secret)
	case lifecycle.DeleteToken:
		return p.deleteToken(ctx)
	}
	return fmt.Errorf("unknown action %T", action)
}

func (p *pass) endRecord(ctx context.Context, state *lifecycle.State, a lifecycle.EndRecord) error {
	return p.patchRecord(ctx, state, a.Record, func(status *v1alpha1.TokenRecordStatus) {
		if !a.RevokedAt.IsZero() {
			status.RevokedAt = v1alpha1.NewTimestamp(a.RevokedAt)
		}
		if !a.ExpiresAt.IsZero() {
			status.ExpiresAt = v1alpha1.NewTimestamp(a.ExpiresAt)
		}
		status.Reason = a.Reason
	}, func() { p.happened(ended(a)) })
}

func (p *pass) capAge(ctx context.Context, state *lifecycle.State, a lifecycle.CapAge) error {
	seconds := int64(a.MaxAge / time.Second)
	return p.patchRecord(ctx, state, a.Record, func(status *v1alpha1.TokenRecordStatus) {
		status.MaxAgeSeconds = &seconds
	}, func() { p.happened(capped(a)) })
}

// patchRecord takes power from a record. The resourceVersion goes with the
// patch, so that what was decided about another state is not written.
func (p *pass) patchRecord(ctx context.Context, state *lifecycle.State, r lifecycle.Record, change func(*v1alpha1.TokenRecordStatus), done func()) error {
	object := r.Object.DeepCopy()
	change(&object.Status)
	patch := client.MergeFromWithOptions(r.Object, client.MergeFromWithOptimisticLock{})
	err := p.Client.Status().Patch(ctx, object, patch, client.FieldOwner(FieldManager))
	if apierrors.IsNotFound(err) {
		state.Records = withoutRecord(state.Records, r.Object.Name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("end record %s: %w", client.ObjectKeyFromObject(object), err)
	}
	for i := range state.Records {
		if state.Records[i].Object.Name == object.Name {
			state.Records[i].Object = object
		}
	}
	done()
	return nil
}

func withoutRecord(records []lifecycle.Record, name string) []lifecycle.Record {
	var rest []lifecycle.Record
	for _, r := range records {
		if r.Object.Name != name {
			rest = append(rest, r)
		}
	}
	return rest
}

// deleteToken deletes the AccessToken after its ttlAfterFinished: re-read, so
// that an edit that the cache has not seen counts.
func (p *pass) deleteToken(ctx context.Context) error {
	live := &v1alpha1.AccessToken{}
	if err := p.Live.Get(ctx, p.key(), live); err != nil {
		if apierrors.IsNotFound(err) {
			return errGone
		}
		return fmt.Errorf("re-read AccessToken %s before its deletion: %w", p.key(), err)
	}
	if live.UID != p.token.UID || live.ResourceVersion != p.token.ResourceVersion {
		return errStale
	}
	preconditions := client.Preconditions{UID: &live.UID, ResourceVersion: &live.ResourceVersion}
	if err := p.Client.Delete(ctx, live, preconditions, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete finished AccessToken %s: %w", p.key(), err)
	}
	p.happened(deletedFinished())
	p.announce()
	return errGone
}

func uidPrecondition(uid types.UID, resourceVersion string) client.Preconditions {
	preconditions := client.Preconditions{UID: &uid}
	if resourceVersion != "" {
		preconditions.ResourceVersion = &resourceVersion
	}
	return preconditions
}
