package accesstoken_test

import (
	"context"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

const (
	expiryPolicy = "accesstoken-without-expiry.accesstoken.dev"
	scopesPolicy = "accesstoken-reserved-scopes.accesstoken.dev"
	stampBinding = "accesstoken-creator-stamp.accesstoken.dev"
)

func endless() v1alpha1.AccessTokenSpec {
	return v1alpha1.AccessTokenSpec{MaxAge: v1alpha1.MaxAgeNever}
}

func introspecting() v1alpha1.AccessTokenSpec {
	return v1alpha1.AccessTokenSpec{MaxAge: "1h", Scopes: []string{"deploy:shop", v1alpha1.ScopeIntrospect}}
}

func (w *world) of(spec v1alpha1.AccessTokenSpec) *v1alpha1.AccessToken {
	return &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Name: w.key.Name, Namespace: w.namespace}, Spec: spec}
}

// tries is whether a person could declare this now.
func (w *world) tries(ctx context.Context, person client.Client, spec v1alpha1.AccessTokenSpec) func() error {
	return func() error {
		token := w.of(spec)
		token.Name = "tried"
		return person.Create(context.WithoutCancel(ctx), token, client.DryRunAll)
	}
}

// may gives a user a right in the namespace, until the Role that it returns goes.
func (w *world) may(ctx context.Context, user string, rule rbacv1.PolicyRule) *rbacv1.Role {
	GinkgoHelper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "more-" + user, Namespace: w.namespace}, Rules: []rbacv1.PolicyRule{rule}}
	Expect(admin.Create(ctx, role)).To(Succeed())
	w.bind(ctx, role.Name, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name})
	return role
}

// unbind puts a policy out of force, as whoever tries what it refuses sees, until
// the function that it returns is called.
func unbind(ctx context.Context, w *world, policy string, tries func() error) (again func()) {
	GinkgoHelper()
	Eventually(tries).WithTimeout(patience).Should(MatchError(ContainSubstring(policy)))
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
	Expect(admin.Get(ctx, client.ObjectKey{Name: policy}, binding)).To(Succeed())
	Expect(admin.Delete(ctx, binding)).To(Succeed())
	again = sync.OnceFunc(func() {
		GinkgoHelper()
		ctx := context.WithoutCancel(ctx) // that of a cleanup, too
		anew := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: policy}, Spec: binding.Spec}
		Expect(admin.Create(ctx, anew)).To(Succeed())
		Eventually(tries).WithTimeout(patience).Should(MatchError(ContainSubstring(policy)))
		w.createsAfter(ctx, anew.CreationTimestamp)
	})
	DeferCleanup(again)
	Eventually(tries).WithTimeout(patience).Should(Succeed())
	return again
}

// declareUnstamped creates an AccessToken while nothing stamps who does, until the
// spec ends.
func (w *world) declareUnstamped(ctx context.Context, token *v1alpha1.AccessToken) {
	GinkgoHelper()
	stamp := &admissionv1.MutatingAdmissionPolicyBinding{}
	Expect(admin.Get(ctx, client.ObjectKey{Name: stampBinding}, stamp)).To(Succeed())
	Expect(admin.Delete(ctx, stamp)).To(Succeed())
	DeferCleanup(func(ctx context.Context) {
		stamp.ResourceVersion = ""
		Expect(admin.Create(ctx, stamp)).To(Succeed())
		Eventually(func() map[string]string {
			token := w.of(v1alpha1.AccessTokenSpec{})
			token.Name = "tried"
			Expect(admin.Create(ctx, token, client.DryRunAll)).To(Succeed())
			return token.Annotations
		}).WithTimeout(patience).Should(HaveKey(v1alpha1.AnnotationCreatedBy))
	})
	Eventually(func(g Gomega) {
		token := token.DeepCopy()
		g.Expect(admin.Create(ctx, token)).To(Succeed())
		if token.Annotations[v1alpha1.AnnotationCreatedBy] != "" {
			g.Expect(admin.Delete(ctx, token)).To(Succeed())
		}
		g.Expect(token.Annotations).NotTo(HaveKey(v1alpha1.AnnotationCreatedBy))
	}).WithTimeout(patience).Should(Succeed())
	w.seen(ctx)
}

// createsAfter waits until what is created is created in a later second.
func (w *world) createsAfter(ctx context.Context, moment metav1.Time) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: w.namespace}}
		g.Expect(admin.Create(ctx, probe, client.DryRunAll)).To(Succeed())
		g.Expect(probe.CreationTimestamp.Time.After(moment.Add(time.Second))).To(BeTrue())
	}).WithTimeout(patience).Should(Succeed())
}

var _ = Describe("A token without expiry or with a reserved scope", func() {
	useIntrospect := rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: []string{"scopes"}, ResourceNames: []string{v1alpha1.ScopeIntrospect}, Verbs: []string{v1alpha1.VerbUse}}
	withoutExpiry := rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: []string{"accesstokens"}, Verbs: []string{v1alpha1.VerbIssueWithoutExpiry}}

	DescribeTable("is not issued once its creator has lost the right, and is when they have it back",
		func(ctx context.Context, spec v1alpha1.AccessTokenSpec, rule rbacv1.PolicyRule, lacks string) {
			w := newWorld(ctx)
			alice := w.person(ctx, "alice", "devs")
			role := w.may(ctx, "alice", rule)
			w.declareAs(ctx, alice, w.of(spec))
			p := w.start(0)
			p.rest(ctx)
			first := w.record(ctx, w.currentToken(ctx, w.key.Name)).Spec
			Expect(first.Creator.Checked).To(Equal(v1alpha1.CreatorCheckAdmission))
			Expect(first.Creator.GroupsDigest).To(HaveLen(64))
			w.requestRotation(ctx)
			p.rest(ctx)
			text := w.currentToken(ctx, w.key.Name)
			Expect(w.record(ctx, text).Spec.Revision).To(BeEquivalentTo(2))
			Expect(w.record(ctx, text).Spec.Creator.Checked).To(Equal(v1alpha1.CreatorCheckAccessReview))

			Expect(admin.Delete(ctx, role)).To(Succeed())
			Eventually(w.tries(ctx, alice, spec)).WithTimeout(patience).ShouldNot(Succeed())
			w.requestRotation(ctx)
			p.restWithin(ctx, 0)
			w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCreatorLostRight, "alice, who created this AccessToken, may not ", lacks, "give the right back")
			Expect(w.currentToken(ctx, w.key.Name)).To(Equal(text))
			w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionTrue, v1alpha1.ReasonIssued)

			role.ResourceVersion = ""
			Expect(admin.Create(ctx, role)).To(Succeed())
			Eventually(w.tries(ctx, alice, spec)).WithTimeout(patience).Should(Succeed())
			p.restWithin(ctx, 2*time.Minute)
			Expect(w.currentToken(ctx, w.key.Name)).NotTo(Equal(text))
		},
		Entry("to Never", endless(), withoutExpiry, "have a token without expiry (verb issue-without-expiry on accesstokens)"),
		Entry("to the scope", introspecting(), useIntrospect, "give it scopes that begin with accesstoken.dev: (verb use on scopes accesstoken.dev:introspect)"),
	)

	It("is issued to who set Never while the policy asked", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "1h"})
		p := w.start(0)
		p.rest(ctx)
		w.edit(ctx, func(token *v1alpha1.AccessToken) { token.Spec.MaxAge = v1alpha1.MaxAgeNever })
		w.requestRotation(ctx)
		p.rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		Expect(w.record(ctx, w.currentToken(ctx, w.key.Name)).Spec.MaxAgeSeconds).To(BeNil())
	})

	It("takes the right of its creator too, when somebody else sets Never", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declareAs(ctx, w.person(ctx, "alice"), w.of(v1alpha1.AccessTokenSpec{MaxAge: "1h"}))
		p := w.start(0)
		p.rest(ctx)
		w.edit(ctx, func(token *v1alpha1.AccessToken) { token.Spec.MaxAge = v1alpha1.MaxAgeNever })
		w.requestRotation(ctx)
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCreatorLostRight, "alice")
	})
})

// refusesNeverOf has somebody set Never while nothing asks for the right, and checks
// that the token which is there stays.
func (p *process) refusesNeverOf(ctx context.Context, user client.Client) (text string) {
	GinkgoHelper()
	text = p.currentToken(ctx, p.world.key.Name)
	again := unbind(ctx, p.world, expiryPolicy, p.tries(ctx, user, endless()))
	token := p.token(ctx)
	token.Spec.MaxAge = v1alpha1.MaxAgeNever
	Expect(user.Update(ctx, token)).To(Succeed())
	again()
	p.requestRotation(ctx)
	p.restWithin(ctx, 0)
	p.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCreatorUnchecked, "give spec.maxAge an age such as 8760h, or delete and create it again")
	Expect(p.currentToken(ctx, p.world.key.Name)).To(Equal(text))
	return text
}

var _ = Describe("No proof, no token without expiry or with a reserved scope", Serial, func() {
	DescribeTable("holds while a policy is out of force, and for what was declared meanwhile", func(ctx context.Context, policy string, spec v1alpha1.AccessTokenSpec) {
		w := newWorld(ctx)
		mallory := w.person(ctx, "mallory")
		again := unbind(ctx, w, policy, w.tries(ctx, mallory, spec))
		w.declareAs(ctx, mallory, w.of(spec))
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCreatorUnchecked, policy+" or its binding is missing")
		Expect(w.records(ctx)).To(BeEmpty())

		again()
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCreatorUnchecked, "too late for this AccessToken", "create it again")
		w.shows(ctx, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonCreatorUnchecked)
		Expect(w.records(ctx)).To(BeEmpty(), "what was declared meanwhile is not issued")
		Expect(secretsOf(ctx, w.namespace)).To(BeEmpty())
	},
		Entry("which asks who has Never", expiryPolicy, endless()),
		Entry("which asks who names the scope", scopesPolicy, introspecting()),
	)

	It("holds for Never that was set on an AccessToken meanwhile", func(ctx context.Context) {
		w := newWorld(ctx)
		mallory := w.person(ctx, "mallory")
		w.declareAs(ctx, mallory, w.of(v1alpha1.AccessTokenSpec{MaxAge: "1h"}))
		p := w.start(0)
		p.rest(ctx)
		text := p.refusesNeverOf(ctx, mallory)

		w.edit(ctx, func(token *v1alpha1.AccessToken) { token.Spec.MaxAge = "2h" })
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		Expect(w.currentToken(ctx, w.key.Name)).NotTo(Equal(text), "an age takes no proof")
	})

	It("holds for Never that was set again meanwhile, after somebody who may had given it up", func(ctx context.Context) {
		w := newWorld(ctx)
		alice, mallory := w.person(ctx, "alice"), w.person(ctx, "mallory")
		w.may(ctx, "alice", rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: []string{"accesstokens"}, Verbs: []string{v1alpha1.VerbIssueWithoutExpiry}})
		Eventually(w.tries(ctx, alice, endless())).WithTimeout(patience).Should(Succeed())
		w.declareAs(ctx, alice, w.of(endless()))
		p := w.start(0)
		p.rest(ctx)
		w.edit(ctx, func(token *v1alpha1.AccessToken) { token.Spec.MaxAge = "1h" })
		p.restWithin(ctx, 0)
		p.refusesNeverOf(ctx, mallory)
	})

	It("lets a token go on that was issued before a policy was made again", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, endless())
		p := w.start(0)
		p.rest(ctx)
		unbind(ctx, w, expiryPolicy, w.tries(ctx, w.person(ctx, "mallory"), endless()))()
		w.requestRotation(ctx)
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
	})

	It("is content with the policies where nobody wrote down who created it", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declareUnstamped(ctx, w.of(endless()))
		p := w.start(0)
		p.rest(ctx)
		Expect(w.record(ctx, w.currentToken(ctx, w.key.Name)).Spec.Creator).To(BeNil())
		w.clock.SetTime(w.clock.Now().Add(2 * time.Second))
		w.edit(ctx, func(token *v1alpha1.AccessToken) {
			token.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: string(v1alpha1.NewTimestamp(w.clock.Now().Add(-time.Second)))}
		})
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
	})

	It("asks nothing about a subject where nobody wrote down who created it", func(ctx context.Context) {
		w := newWorld(ctx)
		w.account(ctx, "deployer")
		w.declareUnstamped(ctx, w.actingAs("deployer"))
		// With the policy away, whoever looks at policies first says so.
		unbind(ctx, w, subjectPolicy, w.tries(ctx, w.person(ctx, "mallory"), w.actingAs("deployer").Spec))
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCreatorUnchecked, "it is not known who created this AccessToken")
		Expect(w.records(ctx)).To(BeEmpty())
	})
})
