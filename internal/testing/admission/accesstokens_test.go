package admission_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

var _ = Describe("Who created an AccessToken", func() {
	creator := func(ctx SpecContext, name string) string {
		GinkgoHelper()
		token := accessToken(name, "")
		Expect(admin().Get(ctx, client.ObjectKeyFromObject(token), token)).To(Succeed())
		annotations := token.GetAnnotations()
		return annotations[v1alpha1.AnnotationCreatedBy] + "/" + annotations[v1alpha1.AnnotationCreatedByUID]
	}
	claiming := func(name, user string) *unstructured.Unstructured {
		token := accessToken(name, "")
		token.SetAnnotations(map[string]string{v1alpha1.AnnotationCreatedBy: user, v1alpha1.AnnotationCreatedByUID: "1"})
		return token
	}
	bobWithUID := rest.ImpersonationConfig{UserName: bob, UID: "b-1", Groups: []string{"system:authenticated"}}

	It("is what is written on it, whatever its manifest says", func(ctx SpecContext) {
		Expect(as(bob).Create(ctx, accessToken("created", ""))).To(Succeed())
		applied := client.ApplyConfigurationFromUnstructured(claiming("applied", "root"))
		claimed := asUser(bobWithUID).Create(ctx, claiming("claimed", "root"))
		forced := as(bob).Apply(ctx, applied, client.FieldOwner("kubectl"))
		if !stamped(ctx) {
			Expect(creator(ctx, "created")).To(Equal("/"))
			Expect(claimed).To(beForbiddenBy("accesstoken-creator", "annotation accesstoken.dev/created-by says who creates the object: write bob, or leave it out"))
			Expect(forced).To(beForbiddenBy("accesstoken-creator"))
			return
		}
		Expect(creator(ctx, "created")).To(Equal("bob/"))
		Expect(claimed).NotTo(HaveOccurred())
		Expect(creator(ctx, "claimed")).To(Equal("bob/b-1"))
		Expect(forced).NotTo(HaveOccurred())
		Expect(creator(ctx, "applied")).To(Equal("bob/"))
	})

	It("does not get before the schema's own words about a wrong type", func(ctx SpecContext) {
		for spec, message := range map[string]string{
			"{maxAge: 3600}":               `spec.maxAge: Invalid value: "integer": spec.maxAge in body must be of type string`,
			"{scopes: deploy}":             `spec.scopes: Invalid value: "string": spec.scopes in body must be of type array`,
			"{rotation: {interval: [1h]}}": `spec.rotation.interval: Invalid value: "array": spec.rotation.interval in body must be of type string`,
		} {
			err := as(bob).Create(ctx, accessToken("wrong", spec))
			Expect(err).To(MatchError(And(ContainSubstring(message), Not(ContainSubstring("policy")))))
		}
	})

	It("has no UID where the authenticator gives none", func(ctx SpecContext) {
		Expect(as(bob).Create(ctx, accessToken("created", ""))).To(Succeed())
		token := accessToken("created", "")
		Expect(as(bob).Get(ctx, client.ObjectKeyFromObject(token), token)).To(Succeed())
		Expect(token.GetAnnotations()).NotTo(HaveKey(v1alpha1.AnnotationCreatedByUID))
	})

	DescribeTable("stays", func(ctx SpecContext, edit func(SpecContext) error) {
		Expect(as(bob).Create(ctx, accessToken("ci", ""))).To(Succeed())
		before := creator(ctx, "ci")
		err := edit(ctx)
		if stamped(ctx) {
			Expect(err).NotTo(HaveOccurred(), "what was there is put back, so that every manifest applies")
		} else {
			Expect(err).To(Or(Succeed(), beForbiddenBy("accesstoken-creator")))
		}
		Expect(creator(ctx, "ci")).To(Equal(before))
	},
		Entry("when somebody writes another name", func(ctx SpecContext) error {
			return as(eve).Patch(ctx, accessToken("ci", ""), annotate(v1alpha1.AnnotationCreatedBy, eve))
		}),
		Entry("when somebody writes another UID", func(ctx SpecContext) error {
			return as(eve).Patch(ctx, accessToken("ci", ""), annotate(v1alpha1.AnnotationCreatedByUID, "1"))
		}),
		Entry("when somebody takes it away", func(ctx SpecContext) error {
			return as(eve).Patch(ctx, accessToken("ci", ""), merge(object{"metadata": object{"annotations": nil}}))
		}),
		Entry("when somebody replaces it with a manifest that lacks it", func(ctx SpecContext) error {
			live := accessToken("ci", "")
			Expect(as(eve).Get(ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
			replaced := accessToken("ci", "{description: replaced}")
			replaced.SetResourceVersion(live.GetResourceVersion())
			return as(eve).Update(ctx, replaced)
		}),
		Entry("when somebody applies an exported manifest with force", func(ctx SpecContext) error {
			return as(eve).Apply(ctx, client.ApplyConfigurationFromUnstructured(claiming("ci", eve)), client.FieldOwner("flux"), client.ForceOwnership)
		}),
		Entry("when somebody writes it by the status", func(ctx SpecContext) error {
			return as(eve).Status().Patch(ctx, accessToken("ci", ""), annotate(v1alpha1.AnnotationCreatedBy, eve))
		}),
	)

	It("cannot be claimed where nothing is written", func(ctx SpecContext) {
		// Only the checking half of the policy is on clusters before 1.36.
		switchStampOff(ctx)
		Eventually(ctx, func() error { return as(bob).Create(ctx, claiming("ci", eve), client.DryRunAll) }).
			Should(beForbiddenBy("accesstoken-creator", "annotation accesstoken.dev/created-by says who creates the object: write bob, or leave it out"))

		Expect(as(bob).Create(ctx, accessToken("absent", ""))).To(Succeed())
		Expect(creator(ctx, "absent")).To(Equal("/"))
		Expect(asUser(bobWithUID).Create(ctx, claiming("own", bob))).
			To(beForbiddenBy("accesstoken-creator", "annotation accesstoken.dev/created-by-uid says which UID bob has: write b-1, or leave it out"))
		Expect(as(bob).Create(ctx, claiming("own", bob))).
			To(beForbiddenBy("accesstoken-creator", "annotation accesstoken.dev/created-by-uid says which UID bob has: none, leave it out"))
		grouped := accessToken("grouped", "")
		grouped.SetAnnotations(map[string]string{v1alpha1.AnnotationCreatedBy: bob, v1alpha1.AnnotationCreatedByGroups: "system:masters"})
		ops := rest.ImpersonationConfig{UserName: bob, Groups: []string{"devs, ops", "system:authenticated"}}
		Expect(asUser(ops).Create(ctx, grouped)).
			To(beForbiddenBy("accesstoken-creator", "annotation accesstoken.dev/created-by-groups says which groups bob is in: write devs%2C ops,system:authenticated, or leave it out"))
		grouped.SetAnnotations(map[string]string{v1alpha1.AnnotationCreatedBy: bob, v1alpha1.AnnotationCreatedByGroups: "devs%2C ops,system:authenticated"})
		Expect(asUser(ops).Create(ctx, grouped, client.DryRunAll)).To(Succeed(), "what it says to write is taken")
		for i := range 300 {
			ops.Groups = append(ops.Groups, "a group of many "+strconv.Itoa(i))
		}
		Expect(asUser(ops).Create(ctx, grouped)).To(beForbiddenBy("accesstoken-creator", "say who creates the object, and these say another"))
		own := accessToken("own", "")
		own.SetAnnotations(map[string]string{v1alpha1.AnnotationCreatedBy: bob, v1alpha1.AnnotationCreatedByUID: "b-1"})
		Expect(asUser(bobWithUID).Create(ctx, own)).To(Succeed())

		for _, name := range []string{"absent", "own"} {
			Expect(as(eve).Patch(ctx, accessToken(name, ""), annotate(v1alpha1.AnnotationCreatedBy, eve))).
				To(beForbiddenBy("accesstoken-creator", "eve cannot change them, leave them as they are"))
			Expect(as(eve).Patch(ctx, accessToken(name, ""), annotate(v1alpha1.AnnotationCreatedByUID, "1"))).
				To(beForbiddenBy("accesstoken-creator"))
		}
		Expect(as(eve).Patch(ctx, accessToken("own", ""), merge(object{"metadata": object{"annotations": nil}}))).
			To(beForbiddenBy("accesstoken-creator"))
		Expect(as(eve).Patch(ctx, accessToken("own", ""), merge(object{"spec": object{"description": "edited"}}))).To(Succeed())
	})
})

func stampBinding() *unstructured.Unstructured {
	binding := &unstructured.Unstructured{}
	binding.SetAPIVersion("admissionregistration.k8s.io/v1")
	binding.SetKind("MutatingAdmissionPolicyBinding")
	binding.SetName("accesstoken-creator-stamp.accesstoken.dev")
	return binding
}

// stamped is whether the creator of an AccessToken is written on it, as it is
// from Kubernetes 1.36 on.
func stamped(ctx context.Context) bool {
	GinkgoHelper()
	err := admin().Get(ctx, client.ObjectKeyFromObject(stampBinding()), stampBinding())
	if meta.IsNoMatchError(err) {
		return false
	}
	Expect(err).NotTo(HaveOccurred())
	return true
}

// waitForStamp returns when the creator is written.
func waitForStamp(ctx context.Context) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		token := accessToken("probe", "")
		g.Expect(as(bob).Create(ctx, token, client.DryRunAll)).To(Succeed())
		g.Expect(token.GetAnnotations()).To(HaveKey(v1alpha1.AnnotationCreatedBy))
	}).Should(Succeed())
}

// switchStampOff makes this cluster one before 1.36, until the test ends.
func switchStampOff(ctx context.Context) {
	GinkgoHelper()
	if !stamped(ctx) {
		return
	}
	binding := stampBinding()
	Expect(admin().Get(ctx, client.ObjectKeyFromObject(binding), binding)).To(Succeed())
	Expect(admin().Delete(ctx, binding)).To(Succeed())
	binding.SetResourceVersion("")
	DeferCleanup(func(ctx SpecContext) {
		Expect(admin().Create(ctx, binding)).To(Succeed())
		waitForStamp(ctx)
	})
}

var _ = Describe("A token without an end", func() {
	grantNever := func(ctx SpecContext) {
		GinkgoHelper()
		role := &rbacv1.Role{}
		Expect(admin().Get(ctx, client.ObjectKey{Namespace: namespace, Name: bob}, role)).To(Succeed())
		role.Rules[0].Verbs = append(role.Rules[0].Verbs, v1alpha1.VerbIssueWithoutExpiry)
		Expect(admin().Update(ctx, role)).To(Succeed())
	}

	It("takes a right of its own", func(ctx SpecContext) {
		create := func() error { return as(bob).Create(ctx, accessToken("ci", `{maxAge: Never}`)) }
		Expect(create()).To(beForbiddenBy("accesstoken-without-expiry",
			"spec.maxAge: Never takes the verb issue-without-expiry on accesstokens, which bob lacks in namespace "+namespace,
			"give an age such as 8760h, or ask for the right"))
		grantNever(ctx)
		Eventually(ctx, create).Should(Succeed())
	})

	It("takes that right when an age is taken away, and not for another edit", func(ctx SpecContext) {
		Expect(as(bob).Create(ctx, accessToken("ci", `{maxAge: 720h}`))).To(Succeed())
		never := merge(object{"spec": object{"maxAge": "Never"}})
		Expect(as(bob).Patch(ctx, accessToken("ci", ""), never)).To(beForbiddenBy("accesstoken-without-expiry"))
		Expect(admin().Patch(ctx, accessToken("ci", ""), never)).To(Succeed())
		Expect(as(bob).Patch(ctx, accessToken("ci", ""), merge(object{"spec": object{"description": "edited"}}))).To(Succeed())
		Expect(as(bob).Patch(ctx, accessToken("ci", ""), merge(object{"spec": object{"maxAge": "720h"}}))).To(Succeed())
		Expect(as(bob).Patch(ctx, accessToken("ci", ""), never)).To(beForbiddenBy("accesstoken-without-expiry"))
	})
})

var _ = Describe("A reserved scope", func() {
	create := func(ctx context.Context, user string) error {
		return as(user).Create(ctx, accessToken("ci", `{scopes: [deploy:shop, "accesstoken.dev:introspect"]}`))
	}

	It("takes a right of its own, to that scope", func(ctx SpecContext) {
		Expect(create(ctx, bob)).To(beForbiddenBy("accesstoken-reserved-scopes",
			"spec.scopes: bob asked for accesstoken.dev:introspect, which takes the verb use on scopes of each such name in namespace "+namespace,
			"use another scope, or ask for the right"))
		allow(ctx, "other", rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: []string{"scopes"}, ResourceNames: []string{"accesstoken.dev:other"}, Verbs: []string{v1alpha1.VerbUse}})
		Eventually(ctx, func() bool {
			return mayNamed(ctx, bob, v1alpha1.VerbUse, "scopes", "", "accesstoken.dev:other", namespace)
		}).Should(BeTrue())
		Expect(create(ctx, bob)).To(beForbiddenBy("accesstoken-reserved-scopes"))
		allow(ctx, "introspect", rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: []string{"scopes"}, ResourceNames: []string{v1alpha1.ScopeIntrospect}, Verbs: []string{v1alpha1.VerbUse}})
		Eventually(ctx, func() error { return create(ctx, bob) }).Should(Succeed())
	})

	It("is one of as many as fit into a token", func(ctx SpecContext) {
		var scopes []string
		for n := range 9 {
			scopes = append(scopes, fmt.Sprintf("%q", v1alpha1.ReservedScopePrefix+"scope-"+strconv.Itoa(n)))
		}
		Expect(admin().Create(ctx, accessToken("ci", "{scopes: ["+strings.Join(scopes[:8], ",")+"]}"))).To(Succeed())
		Expect(admin().Create(ctx, accessToken("more", "{scopes: ["+strings.Join(scopes, ",")+"]}"))).
			To(beForbiddenBy("accesstoken-reserved-scopes", "at most 8 scopes"))
		Expect(as(bob).Create(ctx, accessToken("bobs", "{scopes: ["+strings.Join(scopes[:8], ",")+"]}"))).To(beForbiddenBy("accesstoken-reserved-scopes"))
	})

	It("is not in the rights of an editor of the namespace", func(ctx SpecContext) {
		Expect(mayNamed(ctx, bob, v1alpha1.VerbUse, "scopes", "", v1alpha1.ScopeIntrospect, namespace)).To(BeFalse())
	})

	It("is no scope that looks like it", func(ctx SpecContext) {
		Expect(as(bob).Create(ctx, accessToken("ci", `{scopes: [accesstoken.dev, "x:accesstoken.dev:y", "accesstoken.device:z"]}`))).To(Succeed())
	})
})

var _ = Describe("A request that carries an access token", func() {
	DescribeTable("writes no AccessToken", func(ctx SpecContext, token rest.ImpersonationConfig) {
		const policy, message = "accesstoken-made-by-token", "bob signed in with an access token, and a token cannot write AccessTokens: use another credential"
		Expect(as(bob).Create(ctx, accessToken("ci", ""))).To(Succeed())
		Expect(asUser(token).Create(ctx, accessToken("other", ""))).To(beForbiddenBy(policy, message))
		Expect(asUser(token).Patch(ctx, accessToken("ci", ""), merge(object{"spec": object{"description": "edited"}}))).To(beForbiddenBy(policy, message))
		Expect(asUser(token).Delete(ctx, accessToken("ci", ""))).To(beForbiddenBy(policy, message))
		Expect(asUser(token).DeleteAllOf(ctx, accessToken("", ""), client.InNamespace(namespace))).NotTo(Succeed())
		Expect(asUser(token).Get(ctx, client.ObjectKey{Namespace: namespace, Name: "ci"}, accessToken("ci", ""))).To(Succeed())
	},
		Entry("by its group", rest.ImpersonationConfig{UserName: bob, Groups: []string{"system:authenticated", v1alpha1.GroupAccessTokens}}),
		Entry("by its token ID", rest.ImpersonationConfig{UserName: bob, Groups: []string{"system:authenticated"}, Extra: map[string][]string{v1alpha1.AnnotationTokenID: {"abcdefgh234567ab"}}}),
	)

	It("is told from one that carries another credential with extras", func(ctx SpecContext) {
		other := rest.ImpersonationConfig{UserName: bob, Groups: []string{"system:authenticated", "accesstokens-readers"}, Extra: map[string][]string{"example.com/session": {"1"}}}
		Expect(asUser(other).Create(ctx, accessToken("ci", ""))).To(Succeed())
	})
})

var _ = Describe("A request to rotate", func() {
	const key = v1alpha1.AnnotationRotateRequestedAt

	DescribeTable("is taken", func(ctx SpecContext, value string) {
		Expect(as(bob).Create(ctx, accessToken("ci", ""))).To(Succeed())
		Expect(as(bob).Patch(ctx, accessToken("ci", ""), annotate(key, value))).To(Succeed())
		_, err := v1alpha1.Timestamp(value).Parse()
		Expect(err).NotTo(HaveOccurred(), "what policy takes, the operator reads")
	},
		Entry("in seconds", "2026-11-24T09:00:00Z"),
		Entry("in microseconds", "2026-11-24T09:00:00.123456Z"),
	)

	DescribeTable("is refused when it is no instant", func(ctx SpecContext, value string) {
		message := `bob set annotation accesstoken.dev/rotate-requested-at to "` + value + `", which is not an instant in UTC such as 2026-11-24T09:00:00Z: use "$(date -u +%Y-%m-%dT%H:%M:%SZ)"`
		Expect(as(bob).Create(ctx, accessToken("ci", ""))).To(Succeed())
		Expect(as(bob).Patch(ctx, accessToken("ci", ""), annotate(key, value))).To(beForbiddenBy("accesstoken-rotate-requested-at", message))
		created := accessToken("other", "")
		created.SetAnnotations(map[string]string{key: value})
		Expect(as(bob).Create(ctx, created)).To(beForbiddenBy("accesstoken-rotate-requested-at", message))
	},
		Entry("a word", "now"),
		Entry("nothing", ""),
		Entry("in another zone", "2026-11-24T09:00:00+02:00"),
		Entry("on a day that does not exist", "2026-02-30T09:00:00Z"),
		Entry("at an hour that does not exist", "2026-02-20T25:00:00Z"),
		Entry("far too long", strings.Repeat("9", 1000)),
	)

	It("that was taken before blocks no other edit", func(ctx SpecContext) {
		Expect(as(bob).Create(ctx, accessToken("ci", ""))).To(Succeed())
		Expect(as(bob).Patch(ctx, accessToken("ci", ""), annotate(key, "2026-11-24T09:00:00Z"))).To(Succeed())
		Expect(as(bob).Patch(ctx, accessToken("ci", ""), merge(object{"spec": object{"description": "edited"}}))).To(Succeed())
		Expect(as(bob).Patch(ctx, accessToken("ci", ""), merge(object{"metadata": object{"annotations": object{key: nil}}}))).To(Succeed())
	})
})
