package index

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

func TestRecordAccessTokenUID(t *testing.T) {
	for name, test := range map[string]struct {
		object client.Object
		want   []string
	}{
		"a declared record":               {&v1alpha1.TokenRecord{Spec: v1alpha1.TokenRecordSpec{AccessTokenUID: "uid"}}, []string{"uid"}},
		"a record of no AccessToken":      {&v1alpha1.TokenRecord{}, nil},
		"what is no record":               {&v1alpha1.AccessToken{}, nil},
		"not its owner, whom one can cut": {&v1alpha1.TokenRecord{ObjectMeta: metav1.ObjectMeta{OwnerReferences: owners("AccessToken", v1alpha1.GroupVersion.String(), true)}}, nil},
	} {
		if got := recordAccessTokenUID(test.object); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q; want %q", name, got, test.want)
		}
	}
}

func TestRecordSubject(t *testing.T) {
	for name, test := range map[string]struct {
		object client.Object
		want   []string
	}{
		"a record":        {&v1alpha1.TokenRecord{Spec: v1alpha1.TokenRecordSpec{Subject: v1alpha1.Subject{Name: "maria"}}}, []string{"maria"}},
		"one of nobody":   {&v1alpha1.TokenRecord{}, nil},
		"what is no such": {&v1alpha1.AccessToken{Spec: v1alpha1.AccessTokenSpec{Subject: &v1alpha1.TokenSubject{Name: "maria"}}}, nil},
	} {
		if got := recordSubject(test.object); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q; want %q", name, got, test.want)
		}
	}
}

func TestRevocationNamespace(t *testing.T) {
	limited := v1alpha1.ClusterTokenRevocationSpec{Namespace: "shop"}
	for name, test := range map[string]struct {
		object client.Object
		want   []string
	}{
		"one that is limited":   {&v1alpha1.ClusterTokenRevocation{Spec: limited}, []string{"shop"}},
		"one of the cluster":    {&v1alpha1.ClusterTokenRevocation{}, []string{""}},
		"one of the other kind": {&v1alpha1.TokenRevocation{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}}, nil},
	} {
		if got := revocationNamespace(test.object); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q; want %q", name, got, test.want)
		}
	}
}

func TestSecretController(t *testing.T) {
	ours := v1alpha1.GroupVersion.String()
	for name, test := range map[string]struct {
		owners []metav1.OwnerReference
		want   []string
	}{
		"controlled by an AccessToken":      {owners("AccessToken", ours, true), []string{"uid"}},
		"owned, not controlled":             {owners("AccessToken", ours, false), nil},
		"controlled by another kind":        {owners("TokenRecord", ours, true), nil},
		"controlled by a kind of that name": {owners("AccessToken", "example.com/v1alpha1", true), nil},
		"nobody's":                          {nil, nil},
		"owned by many, one controls":       {append(owners("Deployment", "apps/v1", false), owners("AccessToken", ours, true)...), []string{"uid"}},
	} {
		for _, object := range []client.Object{&corev1.Secret{}, &metav1.PartialObjectMetadata{}} {
			object.SetOwnerReferences(test.owners)
			if got := secretController(object); !slices.Equal(got, test.want) {
				t.Errorf("%s (%T): %q; want %q", name, object, got, test.want)
			}
		}
	}
}

func owners(kind, version string, controls bool) []metav1.OwnerReference {
	return []metav1.OwnerReference{{Kind: kind, APIVersion: version, Name: "name", UID: "uid", Controller: ptr.To(controls)}}
}
