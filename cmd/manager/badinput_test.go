package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
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

// badInput is one object for each field that people write as text, which the
// schema or a policy refuses today.
var badInput = map[string]struct {
	object   v1alpha1.AccessToken
	reason   string
	mentions []string
}{
	"age":                   {of(v1alpha1.AccessTokenSpec{MaxAge: "soon"}), v1alpha1.ReasonSpecInvalid, []string{"spec.maxAge", `"soon"`}},
	"lifetime":              {of(v1alpha1.AccessTokenSpec{ExtendWhenUsed: true, MaxLifetime: "ages"}), v1alpha1.ReasonSpecInvalid, []string{"spec.maxLifetime", `"ages"`}},
	"endless":               {of(v1alpha1.AccessTokenSpec{MaxAge: v1alpha1.MaxAgeNever, ExtendWhenUsed: true}), v1alpha1.ReasonSpecInvalid, []string{"spec.extendWhenUsed", "Never"}},
	"ttl":                   {of(v1alpha1.AccessTokenSpec{TTLAfterFinished: "-5m"}), v1alpha1.ReasonSpecInvalid, []string{"spec.ttlAfterFinished", `"-5m"`}},
	"scope":                 {of(v1alpha1.AccessTokenSpec{Scopes: []string{"read", "write all"}}), v1alpha1.ReasonSpecInvalid, []string{"spec.scopes[1]", `"write all"`}},
	"audience":              {of(v1alpha1.AccessTokenSpec{Audiences: []string{strings.Repeat("a", 257)}}), v1alpha1.ReasonSpecInvalid, []string{"spec.audiences[0]", "256"}},
	"network":               {of(v1alpha1.AccessTokenSpec{AllowedCIDRs: []v1alpha1.CIDR{"FD00::/8"}}), v1alpha1.ReasonSpecInvalid, []string{"spec.allowedCIDRs[0]", "lower case"}},
	"state":                 {of(v1alpha1.AccessTokenSpec{State: "Paused"}), v1alpha1.ReasonSpecInvalid, []string{"spec.state", `"Paused"`}},
	"interval":              {rotated(v1alpha1.Rotation{Interval: "weekly"}), v1alpha1.ReasonSpecInvalid, []string{"spec.rotation.interval", `"weekly"`}},
	"long":                  {rotated(v1alpha1.Rotation{Interval: "2161h"}), v1alpha1.ReasonRotationInvalid, []string{"spec.rotation.interval", "2160h"}},
	"schedule":              {rotated(v1alpha1.Rotation{Schedule: "whenever"}), v1alpha1.ReasonScheduleInvalid, []string{"spec.rotation.schedule", "whenever"}},
	"zone":                  {rotated(v1alpha1.Rotation{Schedule: "@daily", TimeZone: "Middle Earth"}), v1alpha1.ReasonScheduleInvalid, []string{"spec.rotation.timeZone", "Middle Earth"}},
	"overlap":               {rotated(v1alpha1.Rotation{Overlap: "a bit"}), v1alpha1.ReasonSpecInvalid, []string{"spec.rotation.overlap", `"a bit"`}},
	"instant":               {rotated(v1alpha1.Rotation{NotIssuedBefore: "tomorrow"}), v1alpha1.ReasonSpecInvalid, []string{"spec.rotation.notIssuedBefore", `"tomorrow"`}},
	"annotation":            {requested("now"), v1alpha1.ReasonSpecInvalid, []string{"metadata.annotations[accesstoken.dev/rotate-requested-at]", `"now"`}},
	"secret":                {delivered(v1alpha1.SecretTemplate{Name: "My_Secret"}), v1alpha1.ReasonSpecInvalid, []string{"spec.secret.name", `"My_Secret"`}},
	"format":                {delivered(v1alpha1.SecretTemplate{Format: "Envelope"}), v1alpha1.ReasonSpecInvalid, []string{"spec.secret.format", `"Envelope"`}},
	"hostless":              {delivered(v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatNetrc}), v1alpha1.ReasonSpecInvalid, []string{"spec.secret.servers", "git.example.com"}},
	"host":                  {delivered(v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatNetrc, Servers: []string{"a\nmachine b"}}), v1alpha1.ReasonSpecInvalid, []string{"spec.secret.servers[0]", `"a\nmachine b"`}},
	strings.Repeat("n", 64): {of(v1alpha1.AccessTokenSpec{}), v1alpha1.ReasonSpecInvalid, []string{"metadata.name", "63"}},
}

func of(spec v1alpha1.AccessTokenSpec) v1alpha1.AccessToken { return v1alpha1.AccessToken{Spec: spec} }

func rotated(rotation v1alpha1.Rotation) v1alpha1.AccessToken {
	return of(v1alpha1.AccessTokenSpec{Rotation: &rotation})
}

func delivered(secret v1alpha1.SecretTemplate) v1alpha1.AccessToken {
	return of(v1alpha1.AccessTokenSpec{Secret: &secret})
}

func requested(at string) v1alpha1.AccessToken {
	return v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationRotateRequestedAt: at}}}
}

// TestOlderThanTheSchema stores what the schema refuses today, as an object
// written before it had the rule.
func TestOlderThanTheSchema(t *testing.T) {
	g := gomega.NewWithT(t)
	m := readyManager(t)
	namespace := testenv.Namespace(t)
	beside := declare(t, namespace, "beside", v1alpha1.AccessTokenSpec{})
	withoutRules(t, func() {
		for name, b := range badInput {
			storeUnchecked(t, namespace, name, b.object)
		}
	})
	for name, b := range badInput {
		at := awaitReason(t, client.ObjectKey{Namespace: namespace, Name: name}, b.reason)
		stalled := meta.FindStatusCondition(at.Status.Conditions, v1alpha1.ConditionStalled)
		g.Expect(stalled).NotTo(gomega.BeNil(), name)
		g.Expect(stalled.Status).To(gomega.Equal(metav1.ConditionTrue), name)
		for _, word := range b.mentions {
			g.Expect(stalled.Message).To(gomega.ContainSubstring(word), name)
		}
	}
	for _, r := range recordsOf(t, client.InNamespace(namespace)) {
		g.Expect(r.Spec.AccessTokenName).To(gomega.Equal(beside.Name), "nothing is issued of what cannot be used")
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

// withoutRules takes the rules out of the schema of AccessTokens for a while, and
// the policy over the annotation that asks for a rotation out of force.
func withoutRules(t *testing.T, while func()) {
	t.Helper()
	g := gomega.NewWithT(t)
	admin := adminClient(t)
	binding := &unstructured.Unstructured{}
	binding.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"})
	g.Expect(admin.Get(t.Context(), client.ObjectKey{Name: "accesstoken-rotate-requested-at.accesstoken.dev"}, binding)).To(gomega.Succeed())
	definition := &unstructured.Unstructured{}
	definition.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	key := client.ObjectKey{Name: "accesstokens." + v1alpha1.Group}
	g.Expect(admin.Get(t.Context(), key, definition)).To(gomega.Succeed())
	asItWas := definition.DeepCopy()
	restore := func(ctx context.Context) error {
		spec, err := json.Marshal(map[string]any{"spec": asItWas.Object["spec"]})
		if err != nil {
			return err
		}
		bound := binding.DeepCopy()
		bound.SetResourceVersion("")
		bound.SetUID("")
		err = admin.Create(ctx, bound)
		return errors.Join(client.IgnoreAlreadyExists(err), admin.Patch(ctx, definition, client.RawPatch(types.MergePatchType, spec)))
	}
	t.Cleanup(func() { _ = restore(context.WithoutCancel(t.Context())) }) // also for the tests to come
	g.Expect(withoutValidations(definition.Object["spec"])).To(gomega.BeNumerically(">", 10), "rules taken out")
	g.Expect(admin.Update(t.Context(), definition)).To(gomega.Succeed())
	g.Expect(admin.Delete(t.Context(), binding.DeepCopy())).To(gomega.Succeed())
	while()
	g.Expect(restore(t.Context())).To(gomega.Succeed())
	for _, probe := range []v1alpha1.AccessToken{of(v1alpha1.AccessTokenSpec{MaxAge: "soon"}), requested("now")} {
		g.Eventually(func() error {
			probe.Namespace, probe.Name = metav1.NamespaceDefault, "probe"
			return admin.Create(t.Context(), probe.DeepCopy(), client.DryRunAll)
		}).WithTimeout(soon).WithPolling(often).Should(gomega.MatchError(gomega.Or(
			gomega.ContainSubstring("must be a duration"), gomega.ContainSubstring("which is not an instant in UTC"))))
	}
}

// validations are the keywords of a schema by which values are refused. None is
// the name of a field of ours.
var validations = []string{"x-kubernetes-validations", "enum", "maxLength", "minLength", "maxItems", "minItems", "pattern"}

// withoutValidations removes every rule over values below a part of a schema, and
// counts those in CEL.
func withoutValidations(part any) (removed int) {
	switch p := part.(type) {
	case map[string]any:
		if rules, ok := p["x-kubernetes-validations"].([]any); ok {
			removed += len(rules)
		}
		for _, keyword := range validations {
			delete(p, keyword)
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

// storeUnchecked creates an object that would be refused, once the API server no
// longer does.
func storeUnchecked(t *testing.T, namespace, name string, object v1alpha1.AccessToken) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() error {
		at := object.DeepCopy()
		at.Namespace, at.Name = namespace, name
		return adminClient(t).Create(t.Context(), at)
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
}
