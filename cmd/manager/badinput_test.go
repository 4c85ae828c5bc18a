package main

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// TestOlderThanTheSchema stores what the schema refuses today, as an object
// written before it had the rule.
func TestOlderThanTheSchema(t *testing.T) {
	g := gomega.NewWithT(t)
	m := readyManager(t)
	namespace := testenv.Namespace(t)
	bad := map[string]struct {
		spec     v1alpha1.AccessTokenSpec
		reason   string
		mentions []string
	}{
		"age":      {v1alpha1.AccessTokenSpec{MaxAge: "soon"}, v1alpha1.ReasonSpecInvalid, []string{"spec.maxAge", `"soon"`}},
		"instant":  {v1alpha1.AccessTokenSpec{Rotation: &v1alpha1.Rotation{NotIssuedBefore: "tomorrow"}}, v1alpha1.ReasonSpecInvalid, []string{"spec.rotation.notIssuedBefore", `"tomorrow"`}},
		"schedule": {v1alpha1.AccessTokenSpec{Rotation: &v1alpha1.Rotation{Schedule: "whenever"}}, v1alpha1.ReasonScheduleInvalid, []string{"spec.rotation.schedule", "whenever"}},
		"ttl":      {v1alpha1.AccessTokenSpec{TTLAfterFinished: "-5m"}, v1alpha1.ReasonSpecInvalid, []string{"spec.ttlAfterFinished", `"-5m"`}},
	}
	beside := declare(t, namespace, "beside", v1alpha1.AccessTokenSpec{})
	withoutRules(t, func() {
		for name, b := range bad {
			storeUnchecked(t, namespace, name, b.spec)
		}
	})
	for name, b := range bad {
		at := awaitReason(t, client.ObjectKey{Namespace: namespace, Name: name}, b.reason)
		stalled := meta.FindStatusCondition(at.Status.Conditions, v1alpha1.ConditionStalled)
		g.Expect(stalled).NotTo(gomega.BeNil(), name)
		g.Expect(stalled.Status).To(gomega.Equal(metav1.ConditionTrue), name)
		for _, word := range b.mentions {
			g.Expect(stalled.Message).To(gomega.ContainSubstring(word), name)
		}
	}
	awaitReason(t, beside, v1alpha1.ReasonIssued)
	awaitReason(t, declare(t, namespace, "afterwards", v1alpha1.AccessTokenSpec{}), v1alpha1.ReasonIssued)
	g.Expect(allTokens(t)).To(gomega.HaveKey(client.ObjectKey{Namespace: namespace, Name: "age"}), "typed clients list them")
	output, err := kubectl(t, "get", "accesstokens", "-A", "-o", "wide")
	g.Expect(err).NotTo(gomega.HaveOccurred(), output)
	g.Expect(output).To(gomega.MatchRegexp(namespace + ` +age +False +SpecInvalid`))
	g.Expect(m.errorsLogged(t, 0)).To(gomega.BeEmpty())

	edit(t, client.ObjectKey{Namespace: namespace, Name: "age"}, func(at *v1alpha1.AccessToken) { at.Spec.MaxAge = "1h" })
	awaitReason(t, client.ObjectKey{Namespace: namespace, Name: "age"}, v1alpha1.ReasonIssued)
}

// withoutRules takes the rules out of the schema of AccessTokens for a while.
func withoutRules(t *testing.T, while func()) {
	t.Helper()
	g := gomega.NewWithT(t)
	admin := adminClient(t)
	definition := &unstructured.Unstructured{}
	definition.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	key := client.ObjectKey{Name: "accesstokens." + v1alpha1.Group}
	g.Expect(admin.Get(t.Context(), key, definition)).To(gomega.Succeed())
	asItWas := definition.DeepCopy()
	g.Expect(withoutValidations(definition.Object["spec"])).To(gomega.BeNumerically(">", 10), "rules taken out")
	g.Expect(admin.Update(t.Context(), definition)).To(gomega.Succeed())
	restore := func(ctx context.Context) error {
		spec, err := json.Marshal(map[string]any{"spec": asItWas.Object["spec"]})
		if err != nil {
			return err
		}
		return admin.Patch(ctx, definition, client.RawPatch(types.MergePatchType, spec))
	}
	t.Cleanup(func() { _ = restore(context.WithoutCancel(t.Context())) }) // also for the tests to come
	while()
	g.Expect(restore(t.Context())).To(gomega.Succeed())
	g.Eventually(func() error {
		probe := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "probe"}, Spec: v1alpha1.AccessTokenSpec{MaxAge: "soon"}}
		return admin.Create(t.Context(), probe, client.DryRunAll)
	}).WithTimeout(soon).WithPolling(often).Should(gomega.MatchError(gomega.ContainSubstring("must be a duration")))
}

// withoutValidations removes every CEL rule below a part of a schema, and counts
// them.
func withoutValidations(part any) (removed int) {
	switch p := part.(type) {
	case map[string]any:
		if rules, ok := p["x-kubernetes-validations"].([]any); ok {
			removed += len(rules)
			delete(p, "x-kubernetes-validations")
		}
		for _, value := range p {
			removed += withoutValidations(value)
		}
	case []any:
		for _, value := range p {
			removed += withoutValidations(value)
		}
	}
	return removed
}

// storeUnchecked creates an object that the schema would refuse, once the API
// server no longer applies it.
func storeUnchecked(t *testing.T, namespace, name string, spec v1alpha1.AccessTokenSpec) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() error {
		at := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec}
		return adminClient(t).Create(t.Context(), at)
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
}
