package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// What these tests do all the time.
var (
	adminClient    = objects.Client
	declare        = objects.Declare
	declareMany    = objects.DeclareMany
	edit           = objects.Edit
	createOnce     = objects.CreateOnce
	tokenOf        = objects.AccessToken
	allTokens      = objects.AccessTokens
	secretOf       = objects.Secret
	recordsOf      = objects.Records
	reason         = objects.Reason
	awaitReason    = objects.AwaitReason
	awaitAll       = objects.AwaitAll
	awaitAllWithin = objects.AwaitAllWithin
	tokensIn       = objects.TokensIn

	keySecretKey = objects.KeySecret
	tokenPattern = objects.TokenPattern
)

func kubectl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return testenv.ControlPlane(t).Kubectl(t.Context(), args...)
}

// secretVersions names every Secret of a namespace, or of all, with its
// resourceVersion.
func secretVersions(t *testing.T, options ...client.ListOption) map[string]string {
	t.Helper()
	list := &corev1.SecretList{}
	if err := adminClient(t).List(t.Context(), list, options...); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, s := range list.Items {
		found[s.Namespace+"/"+s.Name] = s.ResourceVersion
	}
	return found
}

// keyring holds the keys of a key Secret as the verifier would.
type keyring map[string][]byte

func (k keyring) Key(id string) (record.Key, bool) {
	material, ok := k[id]
	if !ok || len(material) != len(record.Key{}) {
		return record.Key{}, false
	}
	return record.Key(material), true
}

// verify says why the token in a Secret would be refused; nil when it is good.
func verify(ctx context.Context, admin client.Client, key client.ObjectKey) error {
	secret, keySecret, system := &corev1.Secret{}, &corev1.Secret{}, &corev1.Namespace{}
	if err := errors.Join(admin.Get(ctx, key, secret), admin.Get(ctx, keySecretKey, keySecret),
		admin.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system)); err != nil {
		return err
	}
	texts := tokensIn(secret)
	if len(texts) != 1 {
		return fmt.Errorf("Secret %s holds %d tokens", key, len(texts))
	}
	presented, err := token.Parse(texts[0])
	if err != nil {
		return err
	}
	object := &v1alpha1.TokenRecord{}
	if err := admin.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: presented.ID()}, object); err != nil {
		return err
	}
	sealed, err := record.Opener{Keys: keyring(keySecret.Data), ClusterID: string(system.UID)}.Open(object)
	if err != nil {
		return err
	}
	if !sealed.Verify(presented.SecretDigest()) {
		return fmt.Errorf("token %s does not fit its record", presented.ID())
	}
	return nil
}
