package accesstoken_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delegation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const subjectPolicy = "accesstoken-subject.accesstoken.dev"

// person is a client of a user who may edit AccessTokens in the namespace, as the
// shipped role lets them.
func (w *world) person(ctx context.Context, name string, groups ...string) client.Client {
	GinkgoHelper()
	config := rest.CopyConfig(testenv.Config(GinkgoT()))
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: append(groups, "system:authenticated")}
	as, err := client.New(config, client.Options{Scheme: admin.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	w.bind(ctx, name, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "accesstoken-editor"})
	return as
}

func (w *world) bind(ctx context.Context, name string, subject rbacv1.Subject, role rbacv1.RoleRef) {
	GinkgoHelper()
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace}, Subjects: []rbacv1.Subject{subject}, RoleRef: role}
	Expect(admin.Create(ctx, binding)).To(Succeed())
}

// mayMakeTokensOf lets a user or a group make tokens of a service account, by
// name; taken away with the Role that it returns.
func (w *world) mayMakeTokensOf(ctx context.Context, kind, name, account string) *rbacv1.Role {
	GinkgoHelper()
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "tokens-of-" + account, Namespace: w.namespace},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{account}, Verbs: []string{"create"}}},
	}
	Expect(admin.Create(ctx, role)).To(Succeed())
	w.bind(ctx, role.Name, rbacv1.Subject{Kind: kind, APIGroup: rbacv1.GroupName, Name: name}, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name})
	return role
}

func (w *world) account(ctx context.Context, name string) *corev1.ServiceAccount {
	GinkgoHelper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace}}
	Expect(admin.Create(ctx, account)).To(Succeed())
	return account
}

// noAccount deletes a service account and waits until the replicas see it.
func (w *world) noAccount(ctx context.Context, account *corev1.ServiceAccount) {
	GinkgoHelper()
	Expect(admin.Delete(ctx, account)).To(Succeed())
	for _, replica := range replicas {
		metadata := &metav1.PartialObjectMetadata{}
		metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
		Eventually(func() bool {
			return apierrors.IsNotFound(replica.Get(ctx, client.ObjectKeyFromObject(account), metadata))
		}).WithTimeout(patience).Should(BeTrue())
	}
}

func (w *world) actingAs(account string) *v1alpha1.AccessToken {
	return &v1alpha1.AccessToken{
		ObjectMeta: metav1.ObjectMeta{Name: w.key.Name, Namespace: w.namespace},
		Spec:       v1alpha1.AccessTokenSpec{MaxAge: "1h", Subject: &v1alpha1.TokenSubject{Kind: v1alpha1.SubjectKindServiceAccount, Name: account}},
	}
}

// declareAs creates an AccessToken as a person, once RBAC lets them.
func (w *world) declareAs(ctx context.Context, person client.Client, token *v1alpha1.AccessToken) {
	GinkgoHelper()
	Eventually(func() error { return person.Create(ctx, token.DeepCopy()) }).WithTimeout(patience).Should(Succeed())
	w.seen(ctx)
}

// requestRotation asks for a new token, as an administrator.
func (w *world) requestRotation(ctx context.Context) {
	GinkgoHelper()
	w.clock.SetTime(w.clock.Now().Add(2 * time.Second))
	w.edit(ctx, func(token *v1alpha1.AccessToken) {
		token.Annotations[v1alpha1.AnnotationRotateRequestedAt] = string(v1alpha1.NewTimestamp(w.clock.Now().Add(-time.Second)))
	})
}

var _ = Describe("A token that acts as a service account", func() {
	It("is issued for whoever may make tokens of that account, and is bound to its UID", func(ctx context.Context) {
		w := newWorld(ctx)
		account := w.account(ctx, "deployer")
		alice := w.person(ctx, "alice")
		w.mayMakeTokensOf(ctx, rbacv1.UserKind, "alice", "deployer")
		w.declareAs(ctx, alice, w.actingAs("deployer"))
		w.start(0).rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		text := w.currentToken(ctx, w.key.Name)
		Expect(w.verify(ctx, text)).To(Succeed())
		spec := w.record(ctx, text).Spec
		Expect(spec.Subject).To(Equal(v1alpha1.Subject{
			Kind: v1alpha1.SubjectKindServiceAccount, Name: "system:serviceaccount:" + w.namespace + ":deployer", UID: string(account.UID),
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + w.namespace},
		}))
		stamped, _ := delegation.CreatorOf(w.token(ctx))
		Expect(stamped.GroupsDigest).To(HaveLen(64))
		Expect(spec.Creator).To(Equal(&v1alpha1.Creator{Username: "alice", Checked: v1alpha1.CreatorCheckAdmission, GroupsDigest: stamped.GroupsDigest}))
		Expect(w.token(ctx).Status.SubjectUID).To(Equal(string(account.UID)))
	})

	It("cannot be declared by whoever may not make tokens of that account", func(ctx context.Context) {
		w := newWorld(ctx)
		w.account(ctx, "deployer")
		w.account(ctx, "builder")
		mallory := w.person(ctx, "mallory")
		w.mayMakeTokensOf(ctx, rbacv1.UserKind, "mallory", "builder")
		w.declareAs(ctx, mallory, w.actingAs("builder"))

		err := mallory.Create(ctx, func() *v1alpha1.AccessToken { t := w.actingAs("deployer"); t.Name = "other"; return t }())
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		Expect(err).To(MatchError(ContainSubstring("mallory may not create tokens for service account deployer in namespace " + w.namespace)))
	})

	It("cannot be sent to another Secret by whoever may not make tokens of that account", func(ctx context.Context) {
		w := newWorld(ctx)
		w.account(ctx, "deployer")
		w.declareAs(ctx, admin, w.actingAs("deployer"))
		mallory := w.person(ctx, "mallory")
		Eventually(func() error { return mallory.Get(ctx, w.key, &v1alpha1.AccessToken{}) }).WithTimeout(patience).Should(Succeed())

		token := w.token(ctx)
		token.Spec.Description = "what it is called is free"
		Expect(mallory.Update(ctx, token)).To(Succeed())
		token.Spec.Secret = &v1alpha1.SecretTemplate{Name: "mallorys"}
		Expect(apierrors.IsForbidden(mallory.Update(ctx, token))).To(BeTrue())
		token = w.token(ctx)
		token.Spec.Subject = nil
		Expect(apierrors.IsInvalid(mallory.Update(ctx, token))).To(BeTrue())
		token = w.token(ctx)
		token.Spec.Subject.OnRecreate = v1alpha1.OnRecreateReissue
		Expect(apierrors.IsForbidden(mallory.Update(ctx, token))).To(BeTrue())
	})

	It("waits for an account that is not there yet", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declareAs(ctx, admin, w.actingAs("deployer"))
		p := w.start(0)
		p.rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSubjectNotFound, "no service account deployer")
		Expect(w.records(ctx)).To(BeEmpty())
		w.account(ctx, "deployer")
		p.rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	})

	It("ends with its account, and stays ended though another one gets the name", func(ctx context.Context) {
		w := newWorld(ctx)
		account := w.account(ctx, "deployer")
		token := w.actingAs("deployer")
		token.Spec.Rotation = &v1alpha1.Rotation{Interval: "30m"}
		w.declareAs(ctx, admin, token)
		p := w.start(0)
		p.rest(ctx)
		text := w.currentToken(ctx, w.key.Name)
		Expect(w.token(ctx).Status.NextRotationAt).NotTo(BeEmpty())

		w.noAccount(ctx, account)
		p.rest(ctx)
		Expect(w.verify(ctx, text)).NotTo(Succeed())
		Expect(w.record(ctx, text).Status.Reason).To(Equal(v1alpha1.EndReasonSubjectGone))
		Expect(secretsOf(ctx, w.namespace)).To(BeEmpty())
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSubjectGone, "was deleted", "set spec.subject.onRecreate to Reissue")
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionFalse, v1alpha1.ReasonSubjectGone)
		Expect(w.token(ctx).Status.EndedAt).NotTo(BeEmpty())
		Expect(w.token(ctx).Status.NextRotationAt).To(BeEmpty(), "none is to come")
		p.rest(ctx)
		Expect(w.happened(v1alpha1.ReasonSubjectGone)).To(ConsistOf(ContainSubstring("Warning SubjectGone ended token %s: service account deployer was deleted", idOf([]byte(text)))), "it is told once")

		w.account(ctx, "deployer")
		p.rest(ctx)
		w.shows(ctx, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSubjectGone, "deleted and made again", "onRecreate")
		Expect(w.records(ctx)).To(HaveLen(1), "nothing is issued for the new account")

		w.edit(ctx, func(token *v1alpha1.AccessToken) { token.Spec.Subject.OnRecreate = v1alpha1.OnRecreateReissue })
		p.rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		w.consistent(ctx)
	})

	It("is issued anew for an account that was made again, if it is to be", func(ctx context.Context) {
		w := newWorld(ctx)
		before := w.account(ctx, "deployer")
		token := w.actingAs("deployer")
		token.Spec.Subject.OnRecreate = v1alpha1.OnRecreateReissue
		w.declareAs(ctx, admin, token)
		p := w.start(0)
		p.rest(ctx)
		old := w.currentToken(ctx, w.key.Name)
		w.noAccount(ctx, before)
		p.rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSubjectGone, "create the service account again, and a new token is issued")
		Expect(w.happened(v1alpha1.ReasonSubjectGone)).To(ConsistOf(ContainSubstring("Warning SubjectGone ended token %s", idOf([]byte(old)))))
		after := w.account(ctx, "deployer")
		p.rest(ctx)
		Expect(w.verify(ctx, old)).NotTo(Succeed(), "the old one ends at once, without overlap")
		text := w.currentToken(ctx, w.key.Name)
		Expect(w.verify(ctx, text)).To(Succeed())
		Expect(w.record(ctx, text).Spec.Subject.UID).To(Equal(string(after.UID)))
		Expect(w.happened(v1alpha1.ReasonSubjectRecreated)).To(HaveLen(1))
		w.consistent(ctx)
	})

	It("is not rotated once its creator has lost the right, and is when they have it back", func(ctx context.Context) {
		w := newWorld(ctx)
		w.account(ctx, "deployer")
		alice := w.person(ctx, "alice", "release, 100%")
		role := w.mayMakeTokensOf(ctx, rbacv1.GroupKind, "release, 100%", "deployer")
		w.declareAs(ctx, alice, w.actingAs("deployer"))
		Expect(w.token(ctx).Annotations[v1alpha1.AnnotationCreatedByGroups]).To(ContainSubstring("release%2C 100%25"))
		p := w.start(0)
		p.rest(ctx)
		w.requestRotation(ctx)
		p.rest(ctx)
		text := w.currentToken(ctx, w.key.Name)
		Expect(w.record(ctx, text).Spec.Revision).To(BeEquivalentTo(2), "the group still gives the right")
		Expect(w.record(ctx, text).Spec.Creator.Checked).To(Equal(v1alpha1.CreatorCheckAccessReview))

		Expect(admin.Delete(ctx, role)).To(Succeed())
		w.requestRotation(ctx)
		Eventually(func(g Gomega) {
			_, err := p.reconcile(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCreatorLostRight, "alice", "serviceaccounts/token deployer")
		}).WithTimeout(patience).Should(Succeed())
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(text))
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionTrue, v1alpha1.ReasonIssued)

		role.ResourceVersion = ""
		Expect(admin.Create(ctx, role)).To(Succeed())
		Eventually(func(g Gomega) {
			_, err := p.reconcile(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(w.currentToken(ctx, w.key.Name)).NotTo(Equal(text))
		}).WithTimeout(patience).Should(Succeed())
	})
})

var _ = Describe("The proof of a creator's right", func() {
	It("is asked for anew when the records of earlier tokens were deleted", func(ctx context.Context) {
		w := newWorld(ctx)
		w.account(ctx, "deployer")
		alice := w.person(ctx, "alice")
		role := w.mayMakeTokensOf(ctx, rbacv1.UserKind, "alice", "deployer")
		w.declareAs(ctx, alice, w.actingAs("deployer"))
		p := w.start(0)
		p.rest(ctx)
		Expect(admin.Delete(ctx, role)).To(Succeed())
		Eventually(func() error {
			return alice.Create(ctx, func() *v1alpha1.AccessToken { t := w.actingAs("deployer"); t.Name = "other"; return t }(), client.DryRunAll)
		}).WithTimeout(patience).ShouldNot(Succeed())
		Expect(admin.DeleteAllOf(ctx, &v1alpha1.TokenRecord{}, client.InNamespace(w.namespace))).To(Succeed())
		w.settled(ctx)
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCreatorLostRight, "alice")
		Expect(w.records(ctx)).To(BeEmpty())
	})

	It("is found under a policy that refuses what the canary lacks", func(ctx context.Context) {
		w := newWorld(ctx)
		w.account(ctx, "deployer")
		w.limit(ctx, v1alpha1.AccessTokenPolicySpec{RequireDescription: true, Scopes: &v1alpha1.PolicyScopes{Allowed: []string{"deploy:*"}}})
		token := w.actingAs("deployer")
		token.Spec.Description, token.Spec.Scopes = "Deploys the shop", []string{"deploy:shop"}
		w.declareAs(ctx, admin, token)
		w.start(0).rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	})
})

// policyObjects are the policy and its binding.
func policyObjects(ctx context.Context) (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding) {
	GinkgoHelper()
	policy, binding := &admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}
	Expect(admin.Get(ctx, client.ObjectKey{Name: subjectPolicy}, policy)).To(Succeed())
	Expect(admin.Get(ctx, client.ObjectKey{Name: subjectPolicy}, binding)).To(Succeed())
	policy.ResourceVersion, binding.ResourceVersion = "", ""
	return policy, binding
}

// policySettled waits until the policy refuses again, and then until what is created is
// created in a later second than the policy was.
func policySettled(ctx context.Context, namespace string, also ...metav1.Time) {
	GinkgoHelper()
	policy, binding := policyObjects(ctx)
	Eventually(func(g Gomega) {
		canary := &v1alpha1.AccessToken{
			ObjectMeta: metav1.ObjectMeta{Name: "canary", Namespace: namespace, Annotations: map[string]string{v1alpha1.AnnotationCanary: "true"}},
			Spec:       v1alpha1.AccessTokenSpec{Subject: &v1alpha1.TokenSubject{Kind: v1alpha1.SubjectKindServiceAccount, Name: "canary"}},
		}
		g.Expect(apierrors.IsForbidden(admin.Create(ctx, canary, client.DryRunAll))).To(BeTrue())
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: namespace}}
		g.Expect(admin.Create(ctx, probe, client.DryRunAll)).To(Succeed())
		for _, written := range append(also, policy.CreationTimestamp, binding.CreationTimestamp) {
			g.Expect(probe.CreationTimestamp.Time.After(written.Add(time.Second))).To(BeTrue())
		}
	}).WithTimeout(patience).Should(Succeed())
}

var _ = Describe("No proof, no issue", Serial, func() {
	// gap puts the policy out of force, has mallory declare a token of an account
	// that is not hers, and puts the policy back in force.
	gap := func(ctx context.Context, w *world, open, closeAgain func()) {
		GinkgoHelper()
		w.account(ctx, "deployer")
		mallory := w.person(ctx, "mallory")
		open()
		w.declareAs(ctx, mallory, w.actingAs("deployer"))
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCreatorUnchecked, subjectPolicy)
		Expect(w.records(ctx)).To(BeEmpty())

		closeAgain()
		policySettled(ctx, w.namespace)
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCreatorUnchecked, "too late for this AccessToken")
		Expect(w.records(ctx)).To(BeEmpty(), "what was declared meanwhile is not issued")
		Expect(secretsOf(ctx, w.namespace)).To(BeEmpty())
	}

	It("holds while the policy is deleted, and for what was declared meanwhile", func(ctx context.Context) {
		w := newWorld(ctx)
		policy, _ := policyObjects(ctx)
		// The second in which it comes back has to be another one.
		w.policySettle = time.Second
		gap(ctx, w, func() { Expect(admin.Delete(ctx, policy.DeepCopy())).To(Succeed()) },
			func() { Expect(admin.Create(ctx, policy)).To(Succeed()) })
	})

	It("holds while the binding is narrowed, and for what was declared meanwhile", func(ctx context.Context) {
		w := newWorld(ctx)
		w.policySettle = time.Second
		_, binding := policyObjects(ctx)
		DeferCleanup(func(ctx context.Context) { // made anew, it counts at once
			Expect(admin.Delete(ctx, binding.DeepCopy())).To(Succeed())
			Expect(admin.Create(ctx, binding)).To(Succeed())
			policySettled(ctx, w.namespace)
		})
		set := func(change func(*admissionv1.ValidatingAdmissionPolicyBinding)) func() {
			return func() {
				_, current := policyObjects(ctx)
				before := current.DeepCopy()
				change(current)
				Expect(admin.Patch(ctx, current, client.MergeFrom(before))).To(Succeed())
			}
		}
		narrow := set(func(b *admissionv1.ValidatingAdmissionPolicyBinding) {
			b.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"none": "has-this"}}}
		})
		gap(ctx, w, narrow, set(func(b *admissionv1.ValidatingAdmissionPolicyBinding) { b.Spec = binding.Spec }))
	})

	It("holds for what was declared just after the policies", func(ctx context.Context) {
		w := newWorld(ctx)
		w.policySettle = 24 * time.Hour
		w.account(ctx, "deployer")
		w.declareAs(ctx, admin, w.actingAs("deployer"))
		w.start(0).restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCreatorUnchecked, "too late for this AccessToken")
		Expect(w.records(ctx)).To(BeEmpty())
	})

	It("holds for a creator whose groups were changed while nothing guarded them", func(ctx context.Context) {
		w := newWorld(ctx)
		w.account(ctx, "deployer")
		alice := w.person(ctx, "alice", "release")
		role := w.mayMakeTokensOf(ctx, rbacv1.GroupKind, "release", "deployer")
		w.declareAs(ctx, alice, w.actingAs("deployer"))
		p := w.start(0)
		p.rest(ctx)
		Expect(admin.Delete(ctx, role)).To(Succeed())

		guard := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "accesstoken-creator.accesstoken.dev"}}
		stamp := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "accesstoken-creator-stamp.accesstoken.dev"}}
		for _, binding := range []client.Object{guard, stamp} {
			Expect(admin.Get(ctx, client.ObjectKeyFromObject(binding), binding)).To(Succeed())
			Expect(admin.Delete(ctx, binding)).To(Succeed())
			binding.SetResourceVersion("")
		}
		Eventually(func(g Gomega) {
			token := w.token(ctx)
			token.Annotations[v1alpha1.AnnotationCreatedByGroups] = "system:masters"
			g.Expect(admin.Update(ctx, token)).To(Succeed())
			g.Expect(w.token(ctx).Annotations[v1alpha1.AnnotationCreatedByGroups]).To(Equal("system:masters"))
		}).WithTimeout(patience).Should(Succeed())
		for _, binding := range []client.Object{guard, stamp} {
			Expect(admin.Create(ctx, binding)).To(Succeed())
		}
		DeferCleanup(func(ctx context.Context) { policySettled(ctx, w.namespace, guard.CreationTimestamp) })
		w.requestRotation(ctx)
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCreatorLostRight, "alice")
		Expect(w.records(ctx)).To(HaveLen(1))
	})

	It("does not touch a token that is its own principal", func(ctx context.Context) {
		w := newWorld(ctx)
		policy, _ := policyObjects(ctx)
		Expect(admin.Delete(ctx, policy.DeepCopy())).To(Succeed())
		DeferCleanup(func(ctx context.Context) {
			Expect(admin.Create(ctx, policy)).To(Succeed())
			policySettled(ctx, w.namespace)
		})
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "1h"})
		w.start(0).rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	})
})
