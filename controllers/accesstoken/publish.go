package accesstoken

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
	tokenformat "github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

const (
	// publishTries bounds how often one token is offered to a Secret that
	// somebody else keeps writing.
	publishTries = 5
	// leaderPolicy compares the term of a record with the Lease.
	leaderPolicy = "accesstoken-leader." + v1alpha1.Group
)

// errNotLeading says that the API server knows of another manager that leads. For
// the one that just took over, it soon will not.
var errNotLeading = errors.New("another manager leads")

// errOvertaken says that another writer published this revision or a later one.
var errOvertaken = errors.New("another writer published first")

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

// publish puts the token into the wanted Secret: created when there is none,
// replaced when it is as observed. After a conflict the Secret is read again
// and the same token offered again, so that one due moment makes one token. The
// Secret that it returns is the one that was found or written.
func (p *pass) publish(ctx context.Context, state *lifecycle.State, object *v1alpha1.TokenRecord, plaintext tokenformat.Plaintext) (lifecycle.Secret, error) {
	var observed *lifecycle.Secret
	for i := range state.Secrets {
		if state.Secrets[i].Name == state.Template.Name {
			observed = &state.Secrets[i]
		}
	}
	for try := 1; ; try++ {
		written, err := p.offer(ctx, state, observed, object, plaintext)
		if err == nil {
			return written, nil
		}
		if !apierrors.IsConflict(err) {
			return lifecycle.Secret{}, fmt.Errorf("publish token %s in Secret %s/%s: %w", object.Name, object.Namespace, state.Template.Name, err)
		}
		p.Metrics.PublishConflict()
		if err := p.stillDeclared(ctx, object); err != nil {
			return lifecycle.Secret{}, err
		}
		found, readErr := p.readSecret(ctx, p.Live.Get, state.Template.Name)
		if readErr != nil {
			return lifecycle.Secret{}, readErr
		}
		if found != nil {
			if over, outcome := judge(*found, object); over {
				return *found, outcome
			}
		}
		if try == publishTries {
			return lifecycle.Secret{}, fmt.Errorf("publish token %s in Secret %s/%s: %w", object.Name, object.Namespace, state.Template.Name, err)
		}
		observed = found
	}
}

// stillDeclared reads the AccessToken again, from the API server: a Secret that
// is not as it was observed may have been taken away since the spec wants no
// token any more. errStale says that it is another one than this pass is about.
func (p *pass) stillDeclared(ctx context.Context, object *v1alpha1.TokenRecord) error {
	live := &v1alpha1.AccessToken{}
	if err := p.Live.Get(ctx, p.key(), live); apierrors.IsNotFound(err) {
		return errStale
	} else if err != nil {
		return fmt.Errorf("re-read AccessToken %s to publish token %s: %w", p.key(), object.Name, err)
	}
	if live.UID != p.token.UID || live.Generation != p.token.Generation || !live.DeletionTimestamp.IsZero() {
		return errStale
	}
	return nil
}

// judge says whether a Secret that was found after a conflict leaves nothing
// more to offer. One that carries this very token does: only the writer that
// made its record knows the token, so an earlier attempt had arrived, though
// its answer did not.
func judge(found lifecycle.Secret, object *v1alpha1.TokenRecord) (over bool, outcome error) {
	switch {
	case found.Ours() && found.TokenID == object.Name:
		return true, nil
	case found.Holder == lifecycle.HolderForeign, found.Holder == lifecycle.HolderReleased:
		return true, errForeign
	case found.Holder == lifecycle.HolderSelf && found.Revision >= object.Spec.Revision:
		return true, errOvertaken
	}
	return false, nil
}

// errForeign says that the wanted Secret belongs to somebody else.
var errForeign = errors.New("the Secret belongs to somebody else")

// offer writes the token once, with what was observed as precondition.
func (p *pass) offer(ctx context.Context, state *lifecycle.State, observed *lifecycle.Secret, object *v1alpha1.TokenRecord, plaintext tokenformat.Plaintext) (lifecycle.Secret, error) {
	must := absent
	if observed != nil && (observed.Holder == lifecycle.HolderPredecessor || observed.Outranks) {
		// The one that seems to be a predecessor may be a successor, if it is this
		// pass that is late.
		if err := p.stillDeclared(ctx, object); err != nil {
			return lifecycle.Secret{}, err
		}
		if err := p.deleteSecret(ctx, *observed); err != nil {
			return lifecycle.Secret{}, err
		}
	} else if observed != nil {
		must = asObserved(*observed)
	}
	content := secretContent{
		template: state.Template, templateHash: state.TemplateHash, revision: object.Spec.Revision,
		tokenID: object.Name, data: delivery.Data(state.Template, delivery.Token{
			ID: object.Name, Plaintext: plaintext.Reveal(), Name: p.token.Name, Namespace: p.token.Namespace,
		}, p.Cluster),
	}
	written, err := p.applySecret(ctx, content, must)
	return written, redact(err, plaintext.Reveal(), content.data)
}

// precondition is what a Secret has to be like for a write by server-side apply.
// The UID is part of it: with the resourceVersion of an object that is gone
// alone, apply would create it again.
type precondition struct {
	uid             types.UID
	resourceVersion string
}

// absent is the resourceVersion with which server-side apply creates an object,
// and conflicts with one that exists.
var absent = precondition{resourceVersion: "1"}

func asObserved(secret lifecycle.Secret) precondition {
	return precondition{uid: secret.UID, resourceVersion: secret.ResourceVersion}
}

// secretContent is what the operator owns in a Secret.
type secretContent struct {
	template     v1alpha1.SecretTemplate
	templateHash string
	revision     int64
	tokenID      string
	data         map[string][]byte
}

// applySecret writes by server-side apply.
func (p *pass) applySecret(ctx context.Context, content secretContent, must precondition) (lifecycle.Secret, error) {
	owner := ownerReference(p.token)
	secret := corev1ac.Secret(content.template.Name, p.token.Namespace).
		WithResourceVersion(must.resourceVersion).
		WithLabels(delivery.Labels(content.template, p.token.Name)).
		WithAnnotations(delivery.Annotations(content.template)).
		WithAnnotations(map[string]string{
			v1alpha1.AnnotationRevision:     strconv.FormatInt(content.revision, 10),
			v1alpha1.AnnotationFormat:       string(content.template.Format),
			v1alpha1.AnnotationTokenID:      content.tokenID,
			v1alpha1.AnnotationTemplateHash: content.templateHash,
		}).
		WithOwnerReferences(metav1ac.OwnerReference().WithAPIVersion(owner.APIVersion).WithKind(owner.Kind).
			WithName(owner.Name).WithUID(owner.UID).WithController(true)).
		WithType(delivery.SecretType(content.template.Format)).
		WithData(content.data)
	if must.uid != "" {
		secret.WithUID(must.uid)
	}
	body, err := json.Marshal(secret)
	if err != nil {
		return lifecycle.Secret{}, fmt.Errorf("encode Secret: %w", err)
	}
	return p.patchSecret(ctx, content.template.Name, client.RawPatch(types.ApplyPatchType, body), client.ForceOwnership)
}

// withdraw takes the token out of a Secret. One that holds nothing of anybody
// else goes altogether, as does one whose content cannot be changed.
func (p *pass) withdraw(ctx context.Context, state *lifecycle.State, secret lifecycle.Secret) error {
	if secret.Shared {
		emptied, err := p.empty(ctx, secret)
		switch {
		case err == nil && emptied.Withdrawable():
			// Said once more, it would change as little.
			return fmt.Errorf("withdraw token %s from Secret %s/%s: it is still there", secret.TokenID, p.token.Namespace, secret.Name)
		case err == nil:
			state.Secrets = withSecret(state.Secrets, emptied)
			p.happened(withdrawn(secret))
			return nil
		case !apierrors.IsInvalid(err):
			return fmt.Errorf("withdraw token %s from Secret %s/%s: %w", secret.TokenID, p.token.Namespace, secret.Name, err)
		}
	}
	if err := p.deleteSecret(ctx, secret); err != nil {
		return err
	}
	state.Secrets = withoutSecret(state.Secrets, secret.Name)
	p.happened(withdrawn(secret))
	return nil
}

// empty removes what the operator wrote of a token, by merge patch: apply would
// leave a key behind that somebody else applied with the same value.
func (p *pass) empty(ctx context.Context, secret lifecycle.Secret) (lifecycle.Secret, error) {
	annotations := delivery.Changes(nil, nil, slices.Concat(secret.OwnAnnotations, []string{v1alpha1.AnnotationTokenID, v1alpha1.AnnotationTemplateHash}))
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{
			"uid": secret.UID, "resourceVersion": secret.ResourceVersion,
			"annotations": annotations, "labels": delivery.Changes(nil, nil, secret.OwnLabels),
		},
		"data": delivery.Emptied(secret.Keys),
	})
	if err != nil {
		return lifecycle.Secret{}, fmt.Errorf("encode Secret: %w", err)
	}
	return p.patchSecret(ctx, secret.Name, client.RawPatch(types.MergePatchType, body))
}

// relabel makes labels and annotations be as declared. Apply would need the token
// too, which is not kept.
func (p *pass) relabel(ctx context.Context, state *lifecycle.State, secret lifecycle.Secret) error {
	if !state.Edited() {
		p.repairing(state)
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": secret.UID, "resourceVersion": secret.ResourceVersion,
		"labels": secret.Labels, "annotations": secret.Annotations,
	}})
	if err != nil {
		return fmt.Errorf("encode Secret: %w", err)
	}
	labelled, err := p.patchSecret(ctx, secret.Name, client.RawPatch(types.MergePatchType, body))
	if err != nil {
		return fmt.Errorf("label Secret %s/%s: %w", p.token.Namespace, secret.Name, err)
	}
	state.Secrets = withSecret(state.Secrets, labelled)
	if !state.Edited() {
		p.happened(relabelled(labelled))
	}
	return nil
}

// patchSecret writes, and asks for metadata only in return, so that no content
// of others comes back.
func (p *pass) patchSecret(ctx context.Context, name string, patch client.Patch, options ...client.PatchOption) (lifecycle.Secret, error) {
	metadata := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: p.token.Namespace}}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	if err := p.Client.Patch(ctx, metadata, patch, append(options, client.FieldOwner(FieldManager))...); err != nil {
		return lifecycle.Secret{}, err
	}
	return p.describeSecret(metadata), nil
}

func (p *pass) deleteSecret(ctx context.Context, secret lifecycle.Secret) error {
	metadata := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: secret.Name, Namespace: p.token.Namespace, UID: secret.UID}}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err := p.Client.Delete(ctx, metadata, uidPrecondition(secret.UID, secret.ResourceVersion))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Secret %s/%s: %w", p.token.Namespace, secret.Name, err)
	}
	return nil
}

func withSecret(secrets []lifecycle.Secret, secret lifecycle.Secret) []lifecycle.Secret {
	return append(withoutSecret(secrets, secret.Name), secret)
}

func withoutSecret(secrets []lifecycle.Secret, name string) []lifecycle.Secret {
	var rest []lifecycle.Secret
	for _, secret := range secrets {
		if secret.Name != name {
			rest = append(rest, secret)
		}
	}
	return rest
}
