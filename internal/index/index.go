package index

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// KindAccessToken is the kind that controls Secrets and records.
const KindAccessToken = "AccessToken"

const (
	// RecordAccessTokenUID finds the records of one AccessToken by its UID. The
	// API server knows it as a field selector too.
	RecordAccessTokenUID = "spec.accessTokenUID"

	// RecordSubject finds the records of tokens that act as one user, by its name. The
	// API server knows it as a field selector too.
	RecordSubject = "spec.subject.name"

	// RevocationNamespace finds the ClusterTokenRevocations that are limited to one
	// namespace; with an empty value, those that are not. The API server knows it as a
	// field selector too.
	RevocationNamespace = "spec.namespace"

	// TokenServiceAccount finds the AccessTokens that act as one service account of
	// their namespace, by its name.
	TokenServiceAccount = "spec.subject.name"

	// SecretController finds the Secrets (as metadata) that one AccessToken
	// controls, by its UID.
	SecretController = "metadata.ownerReferences.uid" //nolint:gosec // a field path
)

// Setup registers every index.
func Setup(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &v1alpha1.TokenRecord{}, RecordAccessTokenUID, recordAccessTokenUID); err != nil {
		return fmt.Errorf("index records by AccessToken: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.TokenRecord{}, RecordSubject, recordSubject); err != nil {
		return fmt.Errorf("index records by subject: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.ClusterTokenRevocation{}, RevocationNamespace, revocationNamespace); err != nil {
		return fmt.Errorf("index ClusterTokenRevocations by namespace: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.AccessToken{}, TokenServiceAccount, tokenServiceAccount); err != nil {
		return fmt.Errorf("index AccessTokens by service account: %w", err)
	}
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	if err := indexer.IndexField(ctx, secret, SecretController, secretController); err != nil {
		return fmt.Errorf("index Secrets by controller: %w", err)
	}
	return nil
}

func recordAccessTokenUID(object client.Object) []string {
	record, ok := object.(*v1alpha1.TokenRecord)
	if !ok || record.Spec.AccessTokenUID == "" {
		return nil
	}
	return []string{record.Spec.AccessTokenUID}
}

func recordSubject(object client.Object) []string {
	record, ok := object.(*v1alpha1.TokenRecord)
	if !ok || record.Spec.Subject.Name == "" {
		return nil
	}
	return []string{record.Spec.Subject.Name}
}

func revocationNamespace(object client.Object) []string {
	revocation, ok := object.(*v1alpha1.ClusterTokenRevocation)
	if !ok {
		return nil
	}
	return []string{revocation.Spec.Namespace}
}

func tokenServiceAccount(object client.Object) []string {
	token, ok := object.(*v1alpha1.AccessToken)
	if !ok || token.Spec.Subject == nil || token.Spec.Subject.Kind != v1alpha1.SubjectKindServiceAccount {
		return nil
	}
	return []string{token.Spec.Subject.Name}
}

func secretController(object client.Object) []string {
	owner := metav1.GetControllerOf(object)
	if owner == nil || owner.Kind != KindAccessToken || owner.APIVersion != v1alpha1.GroupVersion.String() {
		return nil
	}
	return []string{string(owner.UID)}
}
