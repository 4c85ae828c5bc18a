package controlplane

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const refuseNamed = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: refuse-named}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]}
  validations: [{expression: "object.metadata.name != 'refused'", reason: Forbidden}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: refuse-named}
spec: {policyName: refuse-named, validationActions: [Deny]}
`

func TestWaitRefusedReturnsWhenThePolicyBinds(t *testing.T) {
	if _, err := shared.kubectl(t.Context(), strings.NewReader(refuseNamed), "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if err := WaitRefused(ctx, probe(t, "refused")); err != nil {
		t.Errorf("WaitRefused() = %v", err)
	}
	if err := probe(t, "accepted")(t.Context()); err != nil {
		t.Errorf("another name = %v, want accepted", err)
	}
}

func TestWaitRefusedSaysWhatTheProbeDid(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := WaitRefused(ctx, probe(t, "accepted"))
	if err == nil || !strings.Contains(err.Error(), "it was accepted") {
		t.Errorf("WaitRefused() = %v, want that the probe was accepted", err)
	}
}

func probe(t *testing.T, name string) func(context.Context) error {
	t.Helper()
	configMaps := client(t, shared.Config()).CoreV1().ConfigMaps(metav1.NamespaceDefault)
	return func(ctx context.Context) error {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := configMaps.Create(ctx, object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
}
