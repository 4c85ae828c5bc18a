package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// theAdmin is made once, since each client asks the API server for its resources.
var theAdmin client.WithWatch

// adminClient has every right and no cache.
func adminClient(t *testing.T) client.WithWatch {
	t.Helper()
	if theAdmin != nil {
		return theAdmin
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	admin, err := client.NewWithWatch(testenv.Config(t), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	// Discovery shows a new kind a moment after it is served.
	gomega.NewWithT(t).Eventually(func() error {
		return admin.List(t.Context(), &v1alpha1.AccessTokenList{}, client.Limit(1))
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
	theAdmin = admin
	return admin
}

func kubectl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return testenv.ControlPlane(t).Kubectl(t.Context(), args...)
}

// declare creates an AccessToken.
func declare(t *testing.T, namespace, name string, spec v1alpha1.AccessTokenSpec) client.ObjectKey {
	t.Helper()
	at := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec}
	if err := adminClient(t).Create(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	return client.ObjectKeyFromObject(at)
}

// declareMany creates n AccessTokens, many at a time.
func declareMany(t *testing.T, namespace, prefix string, n int, spec v1alpha1.AccessTokenSpec) {
	t.Helper()
	admin := adminClient(t)
	failures := make([]error, n)
	var group sync.WaitGroup
	places := make(chan struct{}, 16)
	for i := range n {
		places <- struct{}{}
		group.Go(func() {
			at := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s-%d", prefix, i)}, Spec: spec}
			failures[i] = admin.Create(t.Context(), at)
			<-places
		})
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
}

// edit changes an AccessToken; the manager writes its status meanwhile, so it
// may take more than one try.
func edit(t *testing.T, key client.ObjectKey, change func(*v1alpha1.AccessToken)) {
	t.Helper()
	admin := adminClient(t)
	gomega.NewWithT(t).Eventually(func() error {
		at := &v1alpha1.AccessToken{}
		if err := admin.Get(t.Context(), key, at); err != nil {
			return err
		}
		change(at)
		return admin.Update(t.Context(), at)
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
}

func tokenOf(t *testing.T, key client.ObjectKey) *v1alpha1.AccessToken {
	t.Helper()
	at := &v1alpha1.AccessToken{}
	if err := adminClient(t).Get(t.Context(), key, at); err != nil {
		t.Fatal(err)
	}
	return at
}

func allTokens(t *testing.T, options ...client.ListOption) map[client.ObjectKey]v1alpha1.AccessToken {
	t.Helper()
	list := &v1alpha1.AccessTokenList{}
	if err := adminClient(t).List(t.Context(), list, options...); err != nil {
		t.Fatal(err)
	}
	found := map[client.ObjectKey]v1alpha1.AccessToken{}
	for _, at := range list.Items {
		found[client.ObjectKeyFromObject(&at)] = at
	}
	return found
}

func secretOf(t *testing.T, key client.ObjectKey) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	if err := adminClient(t).Get(t.Context(), key, secret); err != nil {
		t.Fatal(err)
	}
	return secret
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

func recordsOf(t *testing.T, options ...client.ListOption) []v1alpha1.TokenRecord {
	t.Helper()
	list := &v1alpha1.TokenRecordList{}
	if err := adminClient(t).List(t.Context(), list, options...); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

var keySecretKey = client.ObjectKey{Namespace: operator.Namespace, Name: keys.SecretName}

// reason is what the condition Ready says of the object as it is now.
func reason(at v1alpha1.AccessToken) string {
	if ready := meta.FindStatusCondition(at.Status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.ObservedGeneration == at.Generation {
		return ready.Reason
	}
	return ""
}

func awaitReason(t *testing.T, key client.ObjectKey, want string) *v1alpha1.AccessToken {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() string { return reason(*tokenOf(t, key)) }).
		WithTimeout(soon).WithPolling(often).Should(gomega.Equal(want), "AccessToken %s", key)
	return tokenOf(t, key)
}

// awaitAll waits until every AccessToken of a namespace says so.
func awaitAll(t *testing.T, want string, options ...client.ListOption) {
	t.Helper()
	awaitAllWithin(t, later, want, options...)
}

func awaitAllWithin(t *testing.T, patience time.Duration, want string, options ...client.ListOption) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() map[client.ObjectKey]string {
		others := map[client.ObjectKey]string{}
		for key, at := range allTokens(t, options...) {
			if reason(at) != want {
				others[key] = reason(at)
			}
		}
		return others
	}).WithTimeout(patience).WithPolling(5 * often).Should(gomega.BeEmpty())
}

// tokenPattern finds tokens in any text.
var tokenPattern = regexp.MustCompile(token.Pattern)

// tokensIn finds every token in a Secret.
func tokensIn(secret *corev1.Secret) []string {
	found := map[string]bool{}
	for _, value := range secret.Data {
		for _, text := range tokenPattern.FindAllString(string(value), -1) {
			found[text] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
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
