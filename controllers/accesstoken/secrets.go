package accesstoken

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

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
