package objects

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// How long is waited, on a machine that is busy with other test binaries, and how
// often is looked meanwhile.
const (
	soon  = 20 * time.Second
	later = time.Minute
	often = 50 * time.Millisecond
)

// KeySecret is the Secret that holds the operator's keys.
var KeySecret = client.ObjectKey{Namespace: operator.Namespace, Name: keys.SecretName}

// TokenPattern finds tokens in any text.
var TokenPattern = regexp.MustCompile(token.Pattern)

// theAdmin is made once, since each client asks the API server for its resources.
var theAdmin client.WithWatch

// Client has every right and no cache.
func Client(t testenv.T) client.WithWatch {
	t.Helper()
	if theAdmin != nil {
		return theAdmin
	}
	admin := ClientFor(t, testenv.Config(t))
	// Discovery shows a new kind a moment after it is served.
	gomega.NewWithT(t).Eventually(func() error {
		return admin.List(t.Context(), &v1alpha1.AccessTokenList{}, client.Limit(1))
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
	theAdmin = admin
	return admin
}

// ClientFor has the rights of a configuration, no cache and no limit on how often
// it asks.
func ClientFor(t testenv.T, config *rest.Config) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatalf("%v", err)
	}
	config = rest.CopyConfig(config)
	config.QPS = -1
	made, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return made
}

// Declare creates an AccessToken.
func Declare(t testenv.T, namespace, name string, spec v1alpha1.AccessTokenSpec) client.ObjectKey {
	t.Helper()
	at := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec}
	if err := Client(t).Create(t.Context(), at); err != nil {
		t.Fatalf("%v", err)
	}
	return client.ObjectKeyFromObject(at)
}

// DeclareMany creates n AccessTokens, many at a time: PREFIX-0 and so on.
func DeclareMany(t testenv.T, namespace, prefix string, n int, spec v1alpha1.AccessTokenSpec) {
	t.Helper()
	admin := Client(t)
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
		t.Fatalf("%v", err)
	}
}

// Raise lets a namespace have that many tokens.
func Raise(t testenv.T, namespace string, tokens int32) {
	t.Helper()
	Limit(t, namespace, v1alpha1.PolicyQuota{Tokens: &tokens})
}

// Limit makes a policy for one namespace, or changes it.
func Limit(t testenv.T, namespace string, limits v1alpha1.PolicyQuota) {
	t.Helper()
	admin := Client(t)
	p := &v1alpha1.AccessTokenPolicy{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	_, err := controllerutil.CreateOrUpdate(t.Context(), admin, p, func() error {
		p.Spec = v1alpha1.AccessTokenPolicySpec{
			NamespaceSelector: &v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{corev1.LabelMetadataName: v1alpha1.LabelValue(namespace)}},
			Quota:             &limits,
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// Edit changes an AccessToken; the manager writes its status meanwhile, so it may
// take more than one try.
func Edit(t testenv.T, key client.ObjectKey, change func(*v1alpha1.AccessToken)) {
	t.Helper()
	admin := Client(t)
	gomega.NewWithT(t).Eventually(func() error {
		at := &v1alpha1.AccessToken{}
		if err := admin.Get(t.Context(), key, at); err != nil {
			return err
		}
		change(at)
		return admin.Update(t.Context(), at)
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
}

// CreateOnce creates an object unless it is there, also while the test ends.
func CreateOnce(t testenv.T, object client.Object) {
	t.Helper()
	if err := Client(t).Create(context.WithoutCancel(t.Context()), object); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatalf("%v", err)
	}
}

// AccessToken is one as it is now.
func AccessToken(t testenv.T, key client.ObjectKey) *v1alpha1.AccessToken {
	t.Helper()
	at := &v1alpha1.AccessToken{}
	if err := Client(t).Get(t.Context(), key, at); err != nil {
		t.Fatalf("%v", err)
	}
	return at
}

// AccessTokens are all of them.
func AccessTokens(t testenv.T, options ...client.ListOption) map[client.ObjectKey]v1alpha1.AccessToken {
	t.Helper()
	list := &v1alpha1.AccessTokenList{}
	if err := Client(t).List(t.Context(), list, options...); err != nil {
		t.Fatalf("%v", err)
	}
	found := map[client.ObjectKey]v1alpha1.AccessToken{}
	for _, at := range list.Items {
		found[client.ObjectKeyFromObject(&at)] = at
	}
	return found
}

// Secret is one as it is now.
func Secret(t testenv.T, key client.ObjectKey) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	if err := Client(t).Get(t.Context(), key, secret); err != nil {
		t.Fatalf("%v", err)
	}
	return secret
}

// Records are the TokenRecords.
func Records(t testenv.T, options ...client.ListOption) []v1alpha1.TokenRecord {
	t.Helper()
	list := &v1alpha1.TokenRecordList{}
	if err := Client(t).List(t.Context(), list, options...); err != nil {
		t.Fatalf("%v", err)
	}
	return list.Items
}

// Reason is what the condition Ready says of the object as it is now.
func Reason(at v1alpha1.AccessToken) string {
	if ready := meta.FindStatusCondition(at.Status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.ObservedGeneration == at.Generation {
		return ready.Reason
	}
	return ""
}

// AwaitReason waits until an AccessToken says so.
func AwaitReason(t testenv.T, key client.ObjectKey, want string) *v1alpha1.AccessToken {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() string { return Reason(*AccessToken(t, key)) }).
		WithTimeout(soon).WithPolling(often).Should(gomega.Equal(want), "AccessToken %s", key)
	return AccessToken(t, key)
}

// AwaitAll waits until every AccessToken says so.
func AwaitAll(t testenv.T, want string, options ...client.ListOption) {
	t.Helper()
	AwaitAllWithin(t, later, want, options...)
}

// AwaitAllWithin is AwaitAll with a patience of its own.
func AwaitAllWithin(t testenv.T, patience time.Duration, want string, options ...client.ListOption) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() map[client.ObjectKey]string {
		others := map[client.ObjectKey]string{}
		for key, at := range AccessTokens(t, options...) {
			if reason := Reason(at); reason != want {
				others[key] = reason
			}
		}
		return others
	}).WithTimeout(patience).WithPolling(5 * often).Should(gomega.BeEmpty())
}

// TokensIn finds every token in a Secret.
func TokensIn(secret *corev1.Secret) []string {
	found := map[string]bool{}
	for _, value := range secret.Data {
		for _, text := range TokenPattern.FindAllString(string(value), -1) {
			found[text] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
