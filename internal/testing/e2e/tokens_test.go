//go:build e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// declare makes an AccessToken in a namespace of its own and returns it Ready.
func declare(t *testing.T, spec v1alpha1.AccessTokenSpec) *v1alpha1.AccessToken {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	if err := cluster.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	at := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "consumer"}, Spec: spec}
	if err := cluster.Create(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	await(t, at, "is Ready", func() bool {
		return meta.IsStatusConditionTrue(at.Status.Conditions, v1alpha1.ConditionReady)
	})
	return at
}

// requestRotation asks for a new token as a person does, and waits for it.
func requestRotation(t *testing.T, at *v1alpha1.AccessToken) {
	t.Helper()
	before, revision := at.DeepCopy(), at.Status.Revision
	at.SetAnnotations(map[string]string{
		v1alpha1.AnnotationRotateRequestedAt: wall.Now().UTC().Format(time.RFC3339),
	})
	if err := cluster.Patch(t.Context(), at, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	await(t, at, "has the next revision", func() bool { return at.Status.Revision == revision+1 })
}

func revoke(t *testing.T, at *v1alpha1.AccessToken) {
	t.Helper()
	before := at.DeepCopy()
	at.Spec.State = v1alpha1.StateRevoked
	if err := cluster.Patch(t.Context(), at, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	await(t, at, "is not Valid", func() bool {
		return meta.IsStatusConditionFalse(at.Status.Conditions, v1alpha1.ConditionValid)
	})
}

// mountSecret writes the Secret's keys as files into a folder, as a pod sees
// them, and returns the folder.
func mountSecret(t *testing.T, at *v1alpha1.AccessToken) string {
	t.Helper()
	secret := &corev1.Secret{}
	if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(at), secret); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for key, value := range secret.Data {
		if err := os.WriteFile(filepath.Join(folder, key), value, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func content(t *testing.T, folder, key string) string {
	t.Helper()
	value, err := os.ReadFile(filepath.Join(folder, key))
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

// await reads at again until it is as wanted.
func await(t *testing.T, at *v1alpha1.AccessToken, what string, wanted func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), pollInterval, patience, true, func(ctx context.Context) (bool, error) {
		if err := cluster.Get(ctx, client.ObjectKeyFromObject(at), at); err != nil {
			return false, err
		}
		return wanted(), nil
	})
	if err != nil {
		t.Fatalf("AccessToken %s/%s never %s: %v; status %+v", at.Namespace, at.Name, what, err, at.Status)
	}
}
