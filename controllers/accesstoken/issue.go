package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
	tokenformat "github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// leaderPolicy compares the term of a record with the Lease.
const leaderPolicy = "accesstoken-leader." + v1alpha1.Group

// errNotLeading says that the API server knows of another manager that leads. For
// the one that just took over, it soon will not.
var errNotLeading = errors.New("another manager leads")

// issue makes a revision: the record first, so that a token in a Secret is
// already good, then the Secret. A crash in between leaves a record that nobody
// holds a token for; it ends by itself, and the next revision takes its place.
func (p *pass) issue(ctx context.Context, state *lifecycle.State, a lifecycle.Issue) error {
	if a.Cause.Repair() {
		p.repairing(state)
	}
	p.issuing = a.Revision
	plaintext, object, err := p.newRecord(state, a.Revision)
	if err != nil {
		return err
	}
	if err := p.createRecord(ctx, state, object); err != nil {
		if errors.Is(err, errNoPlace) {
			state.Place = lifecycle.Place{}
			return nil
		}
		if apierrors.IsAlreadyExists(err) {
			return p.awaitOther(ctx, state, object.Name)
		}
		err = fmt.Errorf("create record %s: %w", client.ObjectKeyFromObject(object), err)
		if outOfTerm(err) {
			return errors.Join(errNotLeading, err)
		}
		if refused(err) {
			p.failed(state, err)
			return nil
		}
		return err
	}
	issued := lifecycle.NewRecord(object, nil)
	secret, err := p.publish(ctx, state, object, plaintext)
	if err == nil {
		state.Records = append(state.Records, issued)
		state.Secrets = withSecret(state.Secrets, secret)
		state.Published[object.Name] = true
		state.Failure = lifecycle.Failure{}
		p.Reconciler.failures.forget(p.key())
		p.happened(published(a, object, secret.Name, p.token.Status.TokenID))
		return nil
	}
	return p.unpublished(ctx, state, issued, secret, err)
}

// awaitOther folds in a record that another writer, or a crashed self, made: it
// counts as in flight, and the next revision waits for it.
func (p *pass) awaitOther(ctx context.Context, state *lifecycle.State, name string) error {
	object := &v1alpha1.TokenRecord{}
	key := client.ObjectKey{Namespace: p.token.Namespace, Name: name}
	if err := p.Live.Get(ctx, key, object); err != nil {
		return fmt.Errorf("read record %s of another writer: %w", key, err)
	}
	if object.Spec.AccessTokenUID != string(p.token.UID) {
		return fmt.Errorf("record %s belongs to another AccessToken", key)
	}
	state.Records = append(withoutRecord(state.Records, name), p.open(object))
	return nil
}

// unpublished ends a record whose token certainly reached no Secret. Where that
// is not certain, as after a time-out, the record stays for the next pass to
// judge.
func (p *pass) unpublished(ctx context.Context, state *lifecycle.State, issued lifecycle.Record, secret lifecycle.Secret, cause error) error {
	state.Records = append(state.Records, issued)
	if secret.Name != "" {
		state.Secrets = withSecret(state.Secrets, secret)
	}
	unpublished := lifecycle.EndRecord{Record: issued, RevokedAt: state.Now, Reason: v1alpha1.EndReasonUnpublished}
	switch {
	case errors.Is(cause, errForeign), errors.Is(cause, errOvertaken): // the state now shows what is there: decide anew
	case errors.Is(cause, errStale):
		return errors.Join(p.endRecord(ctx, state, unpublished), cause)
	case refused(cause), apierrors.IsConflict(cause):
		p.failed(state, cause)
	default:
		if !apierrors.HasStatusCause(cause, namespaceTerminating) {
			p.failed(state, cause)
		}
		return cause
	}
	return p.endRecord(ctx, state, unpublished)
}

// refused says that the API server will refuse the same again until somebody
// changes something: a quota, a policy, a namespace that is not on its way out.
func refused(err error) bool {
	return (apierrors.IsForbidden(err) || apierrors.IsInvalid(err)) && !apierrors.HasStatusCause(err, namespaceTerminating)
}

// outOfTerm says that policy refused a record because of its term. Which policy
// refused a write, the API server tells by the message alone.
func outOfTerm(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "'"+leaderPolicy+"'")
}

// failed notes that an issue went wrong, so that it is tried again ever more
// slowly, since each try costs a record, and that the status says so meanwhile.
func (p *pass) failed(state *lifecycle.State, cause error) {
	p.Reconciler.failures.note(p.key(), state.Now, p.token.Generation, explain(cause))
	state.Failure = p.Reconciler.failures.observe(p.key(), p.token.Generation)
}

// repairing counts a repair, so that the next ones come ever more slowly.
func (p *pass) repairing(state *lifecycle.State) {
	p.Reconciler.repairs.note(p.key(), state.Now, writers(state))
	state.Repairs = p.Reconciler.repairs.observe(p.key(), state.Now)
}

// writers are those who wrote into the wanted Secret besides the operator.
func writers(state *lifecycle.State) []string {
	for _, secret := range state.Secrets {
		if secret.Name == state.Template.Name {
			return secret.Writers
		}
	}
	return nil
}

// newRecord makes the token of a revision and its sealed record.
func (p *pass) newRecord(state *lifecycle.State, revision int64) (tokenformat.Plaintext, *v1alpha1.TokenRecord, error) {
	id := tokenformat.DeclaredID(string(p.token.UID), revision)
	plaintext, err := tokenformat.Generate(id, p.Random)
	if err != nil {
		return plaintext, nil, fmt.Errorf("generate token %s: %w", id, err)
	}
	object := &v1alpha1.TokenRecord{
		ObjectMeta: metav1.ObjectMeta{
			Name: id, Namespace: p.token.Namespace,
			Labels:          map[string]string{v1alpha1.LabelAccessToken: p.token.Name},
			OwnerReferences: []metav1.OwnerReference{ownerReference(p.token)},
			Annotations:     p.term(),
		},
		Spec: v1alpha1.TokenRecordSpec{
			AccessTokenName: p.token.Name,
			AccessTokenUID:  string(p.token.UID),
			Revision:        revision,
			Origin:          v1alpha1.OriginDeclared,
			Subject:         subjectOf(p.token, state),
			Scopes:          p.token.Spec.Scopes,
			Audiences:       p.token.Spec.Audiences,
			AllowedCIDRs:    p.token.Spec.AllowedCIDRs,
			IssuedAt:        v1alpha1.NewTimestamp(state.Now),
			Creator:         p.creator(state),
		},
	}
	limitAge(&object.Spec, state.Plan, state.Now)
	keyID, key, ok := p.Keys.Current()
	if !ok {
		return plaintext, nil, errors.New("there is no key to seal a record with")
	}
	if err := record.Seal(object, keyID, key, p.ClusterID, plaintext.SecretDigest()); err != nil {
		return plaintext, nil, fmt.Errorf("seal record %s: %w", id, err)
	}
	return plaintext, object, nil
}

// term is the annotation that says in which term this process leads.
func (p *pass) term() map[string]string {
	if p.Term == nil {
		return nil
	}
	return map[string]string{v1alpha1.AnnotationLeader: p.Term()}
}

// limitAge writes a maximum age, whether use extends it, and the last moment,
// which no use moves.
func limitAge(spec *v1alpha1.TokenRecordSpec, plan schedule.Plan, now time.Time) {
	if plan.MaxAge.Never {
		return
	}
	seconds := int64(plan.MaxAge.Duration / time.Second)
	spec.MaxAgeSeconds = &seconds
	spec.ExtendWhenUsed = plan.ExtendWhenUsed
	spec.NotAfter = v1alpha1.NewTimestamp(now.Truncate(time.Second).Add(plan.MaxLifetime.Truncate(time.Second)))
}

// ownPrincipal is the identity of a token that acts as itself.
func ownPrincipal(token *v1alpha1.AccessToken) v1alpha1.Subject {
	return v1alpha1.Subject{
		Kind:   v1alpha1.SubjectKindAccessToken,
		Name:   v1alpha1.PrincipalPrefix + token.Namespace + ":" + token.Name,
		UID:    string(token.UID),
		Groups: []string{v1alpha1.GroupAccessTokens, v1alpha1.GroupAccessTokens + ":" + token.Namespace},
	}
}

func ownerReference(token *v1alpha1.AccessToken) metav1.OwnerReference {
	controller := true
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: index.KindAccessToken,
		Name: token.Name, UID: token.UID, Controller: &controller,
	}
}
