package admission_test

import (
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/policy"
)

// limit makes an AccessTokenPolicy that selects the namespace of this test only,
// and waits until it holds. The spec is YAML.
func limit(ctx SpecContext, name, spec string) *v1alpha1.AccessTokenPolicy {
	GinkgoHelper()
	limits := &v1alpha1.AccessTokenPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: namespace + "-" + name}, Spec: parse[v1alpha1.AccessTokenPolicySpec](spec),
	}
	limits.Spec.NamespaceSelector = &v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{corev1.LabelMetadataName: v1alpha1.LabelValue(namespace)}}
	// It holds once what it refuses is refused: of this it refuses everything.
	probe := limits.DeepCopy()
	probe.Spec.Subjects = &v1alpha1.PolicySubjects{Kinds: []v1alpha1.SubjectKind{v1alpha1.SubjectKindUser}}
	Expect(admin().Create(ctx, probe)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(admin().Delete(ctx, probe)).To(Succeed()) })
	create := func() error {
		return admin().Create(ctx, accessToken("probe", "{description: probe}"), client.DryRunAll)
	}
	Eventually(ctx, create).Should(beForbiddenBy("accesstoken-limits", probe.Name))
	probe.Spec = limits.Spec
	Expect(admin().Update(ctx, probe)).To(Succeed())
	Eventually(ctx, func() string {
		if err := create(); err != nil {
			return err.Error()
		}
		return ""
	}).ShouldNot(ContainSubstring("is not among the allowed User"))
	return probe
}

// numbered lists n texts that end in so many x.
func numbered(prefix string, n, x int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = prefix + strconv.Itoa(i) + strings.Repeat("x", x)
	}
	return strings.Join(items, ", ")
}

var _ = Describe("An AccessTokenPolicy", func() {
	const policyName = "accesstoken-limits"

	DescribeTable("is kept by what is declared, and says the same in admission and in the manager", func(ctx SpecContext, spec string, tokens map[string]string) {
		limits := limit(ctx, "limits", spec)
		for token, want := range tokens {
			object := accessToken("ci", token)
			err := admin().Create(ctx, object, client.DryRunAll)
			checked := policy.Check([]*v1alpha1.AccessTokenPolicy{limits}, &v1alpha1.AccessToken{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace}, Spec: parse[v1alpha1.AccessTokenSpec](token),
			})
			if want == "" {
				Expect(err).NotTo(HaveOccurred(), token)
				Expect(checked).To(BeNil(), token)
				continue
			}
			Expect(err).To(beForbiddenBy(policyName, want, "by AccessTokenPolicy "+limits.Name+" in namespace "+namespace), token)
			Expect(checked).NotTo(BeNil(), token)
			Expect(checked.Message).To(HavePrefix(want), token)
			Expect(err.Error()).To(HaveSuffix("denied request: "+checked.Message), "the same words: %s", token)
		}
	},
		Entry("that asks for a description", `{requireDescription: true}`, map[string]string{
			`{}`: "spec.description: is required", `{description: ""}`: "spec.description: is required to say what the token is for", `{description: " \t"}`: "spec.description: is required", `{description: " x"}`: "",
		}),
		Entry("that limits the age", `{maxAge: {max: 48h}}`, map[string]string{
			`{}`: "", `{maxAge: 48h}`: "", `{maxAge: 47h59m60s}`: "", `{maxAge: 48h1s}`: "spec.maxAge: 48h1s is longer than the 48h that is allowed",
			`{maxAge: Never}`: "spec.maxAge: Never is longer than the 48h", `{maxAge: 24h, extendWhenUsed: true}`: "",
			`{maxAge: 24h, extendWhenUsed: true, maxLifetime: 48h}`: "", `{maxAge: 24h, extendWhenUsed: true, maxLifetime: 49h}`: "spec.maxLifetime: 49h is longer than the 48h",
		}),
		Entry("that limits the time between rotations", `{rotation: {maxInterval: 48h}}`, map[string]string{
			`{rotation: {interval: 48h}}`: "", `{rotation: {interval: 49h}}`: "spec.rotation.interval: 49h is longer than the 48h that is allowed",
			`{}`: "spec.rotation: has to replace the token every 48h or sooner", `{maxAge: 48h}`: "", `{maxAge: 49h}`: "spec.rotation: has to",
			`{maxAge: Never}`: "spec.rotation: has to", `{maxAge: Never, rotation: {interval: 24h}}`: "", `{rotation: {}}`: "spec.rotation: has to",
			`{rotation: {schedule: "@daily"}}`: "", `{maxAge: 24h, extendWhenUsed: true}`: "spec.rotation: has to", `{maxAge: 72h, rotation: {interval: Auto}}`: "", `{maxAge: 73h, rotation: {interval: Auto}}`: "spec.rotation: has to",
			`{rotation: {interval: Auto}}`:                                                      "spec.rotation: has to",
			`{maxAge: 24h, extendWhenUsed: true, maxLifetime: 48h}`:                             "",
			`{maxAge: 24h, extendWhenUsed: true, maxLifetime: 49h}`:                             "spec.rotation: has to",
			`{maxAge: 24h, extendWhenUsed: true, maxLifetime: 72h, rotation: {interval: Auto}}`: "",
		}),
		Entry("that limits the time between rotations, under a default age of its own", `{maxAge: {default: 24h}, rotation: {maxInterval: 48h}}`, map[string]string{
			`{}`: "", `{rotation: {interval: Auto}}`: "", `{maxAge: 49h}`: "spec.rotation: has to",
		}),
		Entry("that limits scopes", `{scopes: {allowed: ["deploy:*", read]}}`, map[string]string{
			`{}`: "spec.scopes: are required, from among the allowed deploy:*, read, by", `{scopes: [read]}`: "", `{scopes: ["deploy:shop", "deploy:"]}`: "",
			`{scopes: [read, write]}`: "spec.scopes: write is not among the allowed deploy:*, read, by", `{scopes: ["deploy"]}`: "spec.scopes: deploy is not", `{scopes: ["read:x"]}`: "spec.scopes: read:x is not",
			`{scopes: [admin, "deploy:x", write]}`: "spec.scopes: admin, write are not among the allowed deploy:*, read, by",
		}),
		Entry("that limits audiences", `{audiences: {allowed: ["https://*", kubernetes]}}`, map[string]string{
			`{}`: "", `{audiences: [kubernetes]}`: "", `{audiences: ["https://shop.example.com"]}`: "", `{audiences: [kubernetes, billing]}`: "spec.audiences: billing is not among the allowed https://*, kubernetes, by",
			`{audiences: ["ftp://x", kubernetes, billing]}`: "spec.audiences: ftp://x, billing are not among",
		}),
		Entry("that limits subjects", `{subjects: {kinds: [AccessToken, User], users: [alice]}}`, map[string]string{
			`{}`: "", `{subject: {kind: ServiceAccount, name: deployer}}`: "spec.subject.kind: ServiceAccount is not among the allowed AccessToken, User, by",
			`{maxAge: 24h, subject: {kind: User, name: alice}}`: "", `{maxAge: 24h, subject: {kind: User, name: bob}}`: "spec.subject.name: user bob is not among the allowed",
		}),
		Entry("that is not kept in several ways at once", `{requireDescription: true, maxAge: {max: 48h}, rotation: {maxInterval: 24h}, scopes: {allowed: [read]}, audiences: {allowed: [kubernetes]}, subjects: {kinds: [AccessToken, User], users: [alice]}}`, map[string]string{
			`{maxAge: Never, audiences: ["ftp://x"], scopes: [write]}`: "spec.description: is required to say what the token is for; spec.maxAge: Never is longer than the 48h that is allowed; spec.rotation: has to replace the token every 24h or sooner (set spec.rotation.interval, or a maxAge that is short enough); " +
				"spec.scopes: write is not among the allowed read; spec.audiences: ftp://x is not among the allowed kubernetes, by",
			`{description: x, maxAge: 24h, extendWhenUsed: true, maxLifetime: 96h, rotation: {interval: 25h}, scopes: [read], subject: {kind: User, name: bob}}`: "spec.maxLifetime: 96h is longer than the 48h that is allowed; spec.rotation.interval: 25h is longer than the 24h that is allowed; spec.subject.name: user bob is not among the allowed, by",
			`{description: x, maxAge: 24h, scopes: [read], subject: {kind: ServiceAccount, name: builder}}`:                                                      "spec.subject.kind: ServiceAccount is not among the allowed AccessToken, User, by",
			`{description: x, maxAge: 24h, scopes: [read]}`: "",
		}),
		Entry("of which a message names but some", `{scopes: {allowed: [`+numbered("s", 64, 100)+`]}, audiences: {allowed: [`+numbered("a", 9, 2)+`]}}`, map[string]string{
			`{scopes: [` + numbered("t", 64, 100) + `], audiences: [` + numbered("b", 10, 1) + `]}`: "spec.scopes: t0",
			`{scopes: [` + numbered("s", 64, 100) + `], audiences: [` + numbered("b", 10, 1) + `]}`: "spec.audiences: b0x, b1x, b2x, b3x, b4x, b5x, b6x, b7x and 2 more are not among the allowed a0xx, a1xx, a2xx, a3xx, a4xx, a5xx, a6xx, a7xx and 1 more, by",
		}),
		Entry("that limits nothing", `{}`, map[string]string{`{}`: "", `{maxAge: Never}`: "", `{scopes: [x]}`: ""}),
	)

	It("is kept also where it says more than a message holds", func(ctx SpecContext) {
		limit(ctx, "long", `{scopes: {allowed: [`+numbered("s", 64, 120)+`]}, audiences: {allowed: [`+numbered("a", 64, 250)+`]}}`)
		create := func(scope, audience string) error {
			return admin().Create(ctx, accessToken("ci", `{scopes: [`+numbered(scope, 64, 120)+`], audiences: [`+numbered(audience, 16, 250)+`]}`), client.DryRunAll)
		}
		Expect(create("s", "a")).To(Succeed())
		Expect(create("t", "b")).To(beForbiddenBy(policyName, "does not allow all of these scopes and audiences"))
	})

	It("blocks no edit of what it does not look at, when it comes later", func(ctx SpecContext) {
		Expect(admin().Create(ctx, accessToken("ci", `{maxAge: 720h, scopes: [write]}`))).To(Succeed())
		limit(ctx, "later", `{maxAge: {max: 48h}, scopes: {allowed: [read]}, requireDescription: true, rotation: {maxInterval: 24h}}`)
		patch := func(spec object) error { return as(bob).Patch(ctx, accessToken("ci", ""), merge(object{"spec": spec})) }
		Expect(patch(object{"state": "Suspended"})).To(Succeed())
		Expect(patch(object{"description": "edited"})).To(Succeed())
		Expect(patch(object{"description": nil})).To(beForbiddenBy(policyName, "spec.description: is required"))
		Expect(patch(object{"maxAge": "96h"})).To(beForbiddenBy(policyName, "spec.maxAge: 96h"))
		Expect(patch(object{"maxAge": "24h"})).To(Succeed())
	})

	It("is one of several, of which the strictest holds", func(ctx SpecContext) {
		limit(ctx, "lax", `{maxAge: {max: 720h}}`)
		limit(ctx, "strict", `{maxAge: {max: 24h}}`)
		Expect(as(bob).Create(ctx, accessToken("ci", `{maxAge: 48h}`))).To(beForbiddenBy(policyName, "AccessTokenPolicy "+namespace+"-strict"))
		Expect(as(bob).Create(ctx, accessToken("ci", `{maxAge: 24h}`))).To(Succeed())
	})

	DescribeTable("selects namespaces by their labels", func(ctx SpecContext, selector string, selected bool) {
		labelled := &corev1.Namespace{}
		Expect(admin().Get(ctx, client.ObjectKey{Name: namespace}, labelled)).To(Succeed())
		labelled.Labels["team"] = "shop"
		Expect(admin().Update(ctx, labelled)).To(Succeed())
		// Both are there at once, so that the second tells when the first is read.
		limits := &v1alpha1.AccessTokenPolicy{ObjectMeta: metav1.ObjectMeta{Name: namespace + "-a"}, Spec: parse[v1alpha1.AccessTokenPolicySpec](`{maxAge: {max: 24h}, namespaceSelector: ` + selector + `}`)}
		only := parse[v1alpha1.NamespaceRequirement](`{key: kubernetes.io/metadata.name, operator: In, values: [` + namespace + `]}`)
		limits.Spec.NamespaceSelector.MatchExpressions = append(limits.Spec.NamespaceSelector.MatchExpressions, only)
		Expect(admin().Create(ctx, limits)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin().Delete(ctx, limits)).To(Succeed()) })
		limit(ctx, "b", `{}`)
		err := as(bob).Create(ctx, accessToken("ci", `{maxAge: 48h}`))
		chosen := policy.Selecting([]*v1alpha1.AccessTokenPolicy{limits}, labelled.Labels)
		if selected {
			Expect(err).To(beForbiddenBy(policyName))
			Expect(chosen).To(HaveLen(1))
			return
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(chosen).To(BeEmpty())
	},
		Entry("a label", `{matchLabels: {team: shop}}`, true),
		Entry("a label of another value", `{matchLabels: {team: bank}}`, false),
		Entry("a value among some", `{matchExpressions: [{key: team, operator: In, values: [bank, shop]}]}`, true),
		Entry("a value not among some", `{matchExpressions: [{key: team, operator: NotIn, values: [shop]}]}`, false),
		Entry("no such label, not among some", `{matchExpressions: [{key: region, operator: NotIn, values: [eu]}]}`, true),
		Entry("a label whatever its value", `{matchExpressions: [{key: team, operator: Exists}]}`, true),
		Entry("no label", `{matchExpressions: [{key: team, operator: DoesNotExist}]}`, false),
	)
})
