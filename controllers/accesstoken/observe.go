package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	"github.com/accesstoken-dev/accesstoken-operator/internal/policy"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
	tokenformat "github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

const (
	// maxRevision is the highest revision that policy compares by.
	maxRevision = 1 << 53

	// revisionLead is how far above the status a revision is believed of an
	// annotation, which anybody who may edit the Secret can write. A status that
	// could not be written is never that far behind.
	revisionLead = 1 << 20
)

// observe gathers what the decisions of this pass depend on.
func (p *pass) observe(ctx context.Context, now time.Time) (*lifecycle.State, error) {
	p.template = delivery.Template(p.token)
	p.templateHash = delivery.TemplateHash(p.template)
	state := &lifecycle.State{
		Token:     p.token,
		Template:  p.template,
		Repairs:   p.Reconciler.repairs.observe(p.key(), now),
		Failure:   p.Reconciler.failures.observe(p.key(), p.token.Generation),
		Now:       now,
		StartedAt: p.startedAt(),
		Waits:     p.Waits,
		Published: map[string]bool{},

		TemplateHash: p.templateHash,
	}
	if err := p.plan(ctx, state); err != nil {
		return nil, err
	}
	var err error
	if state.Secrets, err = p.observeSecrets(ctx, state.Template.Name); err != nil {
		return nil, err
	}
	if state.Records, err = p.observeRecords(ctx, state); err != nil {
		return nil, err
	}
	p.observePublished(state)
	if err := p.confirmEnds(ctx, state); err != nil {
		return nil, err
	}
	if !lifecycle.TakenBack(p.token) { // which waits for nothing that may fail to be read
		if err := p.observeSubject(ctx, state); err != nil {
			return nil, err
		}
	}
	p.confirmUnused(ctx, state)
	if !state.Needed() {
		// What failed is wanted no more, or has arrived although its answer had not.
		p.Reconciler.failures.forget(p.key())
		state.Failure = lifecycle.Failure{}
	}
	return state, nil
}

// plan reads what the spec asks for, and what policies say to that.
func (p *pass) plan(ctx context.Context, state *lifecycle.State) error {
	selecting, err := p.selectingPolicies(ctx)
	if err != nil {
		return err
	}
	state.Violation = checkLimits(selecting, p.token)
	p.observeRetirement(ctx, state, selecting)
	filled, source := policy.WithDefaults(selecting, p.token)
	plan, err := schedule.NewPlan(filled)
	state.Plan = plan
	if err != nil && !errors.As(err, &state.PlanError) {
		return fmt.Errorf("read spec: %w", err)
	}
	if _, effective, err := schedule.EffectiveMaxAge(filled.Spec.MaxAge, filled.Spec.ExtendWhenUsed); err == nil {
		effective.Source = source
		p.effectiveAge = &effective
	}
	return nil
}

// confirmEnds reads those records again from the API server that ended for want
// of use, as far as the cache shows.
func (p *pass) confirmEnds(ctx context.Context, state *lifecycle.State) error {
	for _, r := range slices.Clone(state.Records) {
		if !state.Unconfirmed(r) {
			continue
		}
		key := client.ObjectKeyFromObject(r.Object)
		object := &v1alpha1.TokenRecord{}
		err := p.Live.Get(ctx, key, object)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read record %s again before its end: %w", key, err)
		}
		state.Records = withoutRecord(state.Records, key.Name)
		if err == nil {
			state.Records = append(state.Records, p.open(object))
		}
	}
	return nil
}

// observePublished notes every token that the status, a Secret or its own end
// shows to have been published.
func (p *pass) observePublished(state *lifecycle.State) {
	state.Published[p.token.Status.TokenID] = true
	for _, issued := range p.token.Status.Tokens {
		state.Published[issued.ID] = true
	}
	for _, r := range state.Records {
		if reason := r.Object.Status.Reason; reason == v1alpha1.EndReasonSuperseded || reason == v1alpha1.EndReasonShortened {
			state.Published[r.Object.Name] = true
		}
	}
	for _, secret := range state.Secrets {
		state.Published[secret.TokenID] = true
	}
}

// observeSecrets reads the metadata of the wanted Secret, and of others that
// this object controls: after spec.secret.name changed there is an earlier one.
func (p *pass) observeSecrets(ctx context.Context, wanted string) ([]lifecycle.Secret, error) {
	owned := &metav1.PartialObjectMetadataList{}
	owned.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	// The list need not show this process's last writes: the names that it
	// yields are each read again so that they do.
	err := p.Client.List(ctx, owned, client.InNamespace(p.token.Namespace), client.DisableReadYourWritesConsistency,
		client.MatchingFields{index.SecretController: string(p.token.UID)})
	if err != nil {
		return nil, fmt.Errorf("list Secrets of AccessToken %s: %w", p.key(), err)
	}
	names := []string{wanted}
	for i := range owned.Items {
		if name := owned.Items[i].Name; name != wanted {
			names = append(names, name)
		}
	}
	var secrets []lifecycle.Secret
	for _, name := range names {
		secret, err := p.readSecret(ctx, p.Client.Get, name)
		if secret == nil && err == nil && name == wanted && p.unseen(name) {
			secret, err = p.readSecret(ctx, p.Live.Get, name)
		}
		if err != nil {
			return nil, err
		}
		if secret != nil {
			secrets = append(secrets, *secret)
		}
	}
	return secrets, nil
}

// unseen says that a Secret which the cache does not show may be there without
// the label that the cache selects by: one of somebody else's that was in the way
// before, or before a restart, or one that is to hold the token.
func (p *pass) unseen(name string) bool {
	ready := meta.FindStatusCondition(p.token.Status.Conditions, v1alpha1.ConditionReady)
	return p.Reconciler.conflicts.known(p.key()) || p.token.Status.SecretName == name ||
		ready != nil && ready.Reason == v1alpha1.ReasonSecretConflict
}

type getFunc func(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error

func (p *pass) readSecret(ctx context.Context, read getFunc, name string) (*lifecycle.Secret, error) {
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	key := client.ObjectKey{Namespace: p.token.Namespace, Name: name}
	if err := read(ctx, key, metadata); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read metadata of Secret %s: %w", key, err)
	}
	secret := p.describeSecret(metadata)
	return &secret, nil
}

// describeSecret tells what a Secret's metadata shows of it.
func (p *pass) describeSecret(metadata *metav1.PartialObjectMetadata) lifecycle.Secret {
	secret := lifecycle.Secret{
		Name:            metadata.Name,
		UID:             metadata.UID,
		ResourceVersion: metadata.ResourceVersion,
		Holder:          holder(metadata, p.token),
		Format:          v1alpha1.SecretFormat(metadata.Annotations[v1alpha1.AnnotationFormat]),
		TemplateHash:    metadata.Annotations[v1alpha1.AnnotationTemplateHash],
		Keys:            delivery.OwnedData(metadata.ManagedFields, FieldManager),
		Shared:          delivery.OthersHold(metadata.ManagedFields, FieldManager),
		Writers:         delivery.Foreign(metadata.ManagedFields, FieldManager),
	}
	p.describeMetadata(&secret, metadata)
	if revision, err := strconv.ParseInt(metadata.Annotations[v1alpha1.AnnotationRevision], 10, 64); err == nil && revision > 0 && revision <= maxRevision {
		secret.Outranks = revision > max(p.token.Status.Revision, p.issuing)+revisionLead
		if !secret.Outranks {
			secret.Revision = revision
		}
	}
	// The token in it is the one that its revision stands for, or somebody
	// changed one of the two.
	id := tokenformat.DeclaredID(string(p.token.UID), secret.Revision)
	if metadata.Annotations[v1alpha1.AnnotationTokenID] == id && delivery.OwnsAnnotations(metadata.ManagedFields, FieldManager, identityAnnotations) {
		secret.TokenID = id
	}
	secret.Intact = secret.TokenID != "" &&
		delivery.OwnsData(metadata.ManagedFields, FieldManager, p.keysOf(secret)) &&
		delivery.OwnsAnnotations(metadata.ManagedFields, FieldManager, contentAnnotations)
	if secret.Holder == lifecycle.HolderForeign && secret.Intact {
		secret.Holder = lifecycle.HolderReleased
	}
	if owner := metav1.GetControllerOf(metadata); owner != nil {
		secret.Owner = owner.Kind + " " + owner.Name
	}
	return secret
}

// describeMetadata tells what of the labels and annotations is not as declared. One
// that holds no token is to have none of the template's.
func (p *pass) describeMetadata(secret *lifecycle.Secret, metadata *metav1.PartialObjectMetadata) {
	labels, annotations := delivery.OwnedMetadata(metadata.ManagedFields, FieldManager)
	secret.OwnLabels, secret.OwnAnnotations = delivery.Free(labels), delivery.Free(annotations)
	tpl := p.template
	if metadata.Annotations[v1alpha1.AnnotationTokenID] == "" {
		tpl = v1alpha1.SecretTemplate{}
	}
	secret.Labels = delivery.Changes(metadata.Labels, delivery.Labels(tpl, p.token.Name), secret.OwnLabels)
	secret.Annotations = delivery.Changes(metadata.Annotations, delivery.Annotations(tpl), secret.OwnAnnotations)
	secret.Unlabelled = len(secret.Labels)+len(secret.Annotations) > 0
}

// keysOf are the keys that were written into a Secret, as far as is known: those
// of its data only where it was rendered from what is declared now. Where it was
// not, it is rendered anew in any case.
func (p *pass) keysOf(secret lifecycle.Secret) []string {
	if secret.TemplateHash == p.templateHash {
		tpl := p.template
		tpl.Format = secret.Format
		return delivery.AllKeys(tpl)
	}
	return delivery.Keys(secret.Format)
}

var (
	// identityAnnotations say which token is in a Secret.
	identityAnnotations = []string{v1alpha1.AnnotationRevision, v1alpha1.AnnotationTokenID}

	// contentAnnotations say how it was put there.
	contentAnnotations = []string{v1alpha1.AnnotationFormat, v1alpha1.AnnotationTemplateHash}
)

func holder(metadata *metav1.PartialObjectMetadata, token *v1alpha1.AccessToken) lifecycle.Holder {
	owner := metav1.GetControllerOf(metadata)
	switch {
	case owner == nil, owner.Kind != index.KindAccessToken, owner.APIVersion != v1alpha1.GroupVersion.String():
		return lifecycle.HolderForeign
	case owner.UID == token.UID:
		return lifecycle.HolderSelf
	case owner.Name == token.Name:
		return lifecycle.HolderPredecessor
	}
	return lifecycle.HolderForeign
}

// observeRecords reads and opens the records of this object's UID. Names that
// the Secret and the status speak of, and the next one, are read even when the
// list lags behind.
func (p *pass) observeRecords(ctx context.Context, state *lifecycle.State) ([]lifecycle.Record, error) {
	list := &v1alpha1.TokenRecordList{}
	err := p.Client.List(ctx, list, client.InNamespace(p.token.Namespace), client.DisableReadYourWritesConsistency,
		client.UnsafeDisableDeepCopy, client.MatchingFields{index.RecordAccessTokenUID: string(p.token.UID)})
	if err != nil {
		return nil, fmt.Errorf("list records of AccessToken %s: %w", p.key(), err)
	}
	names := map[string]bool{}
	if id := p.token.Status.TokenID; id != "" {
		names[id] = true
	}
	highest := p.token.Status.Revision
	for i := range list.Items {
		names[list.Items[i].Name] = true
		highest = max(highest, list.Items[i].Spec.Revision)
	}
	for _, secret := range state.Secrets {
		if secret.Ours() {
			highest = max(highest, secret.Revision)
		}
	}
	if highest > 0 {
		names[tokenformat.DeclaredID(string(p.token.UID), highest)] = true
	}
	names[tokenformat.DeclaredID(string(p.token.UID), highest+1)] = true

	var records []lifecycle.Record
	for name := range names {
		object := &v1alpha1.TokenRecord{}
		key := client.ObjectKey{Namespace: p.token.Namespace, Name: name}
		if err := p.Client.Get(ctx, key, object); apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read record %s: %w", key, err)
		}
		if object.Spec.AccessTokenUID == string(p.token.UID) {
			records = append(records, p.open(object))
		}
	}
	return records, nil
}

func (p *pass) open(object *v1alpha1.TokenRecord) lifecycle.Record {
	opener := record.Opener{Keys: p.Keys, ClusterID: p.ClusterID, Tolerance: p.GoodOnceTolerance}
	_, err := opener.Open(object)
	return lifecycle.NewRecord(object, err)
}
