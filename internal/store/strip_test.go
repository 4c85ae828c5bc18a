package store

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
)

func TestWhatNobodyReadsOfAnObjectIsDroppedOnArrival(t *testing.T) {
	full := metav1.ObjectMeta{
		Namespace: "shop", Name: "deploy", UID: "uid", CreationTimestamp: metav1.NewTime(issued),
		Annotations: map[string]string{"a": "b"}, Labels: map[string]string{"a": "b"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}, OwnerReferences: []metav1.OwnerReference{{Name: "n"}}, Finalizers: []string{"f"},
	}
	read := metav1.ObjectMeta{Namespace: "shop", Name: "deploy", UID: "uid", CreationTimestamp: metav1.NewTime(issued)}
	revocations := revocationTarget(New(Options{Opener: mint.Default().Opener(), Clock: clocktesting.NewFakePassiveClock(issued)}), true, revocation.Of, func() {})
	got, err := revocations.Transformer()(&v1alpha1.TokenRevocation{ObjectMeta: full, Spec: v1alpha1.TokenRevocationSpec{RevocationSpec: v1alpha1.RevocationSpec{All: true}}})
	if err != nil {
		t.Fatal(err)
	}
	want := &v1alpha1.TokenRevocation{ObjectMeta: read, Spec: v1alpha1.TokenRevocationSpec{RevocationSpec: v1alpha1.RevocationSpec{All: true}}}
	if !equality.Semantic.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	metadata := &metav1.PartialObjectMetadata{ObjectMeta: full}
	if strip(metadata); !equality.Semantic.DeepEqual(metadata.ObjectMeta, read) {
		t.Errorf("got %v", metadata)
	}
}
