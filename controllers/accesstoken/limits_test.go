package accesstoken_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// limit writes the AccessTokenPolicy of this namespace, and waits until the
// replicas see it. It goes with the spec.
func (w *world) limit(ctx context.Context, spec v1alpha1.AccessTokenPolicySpec) {
	GinkgoHelper()
	spec.NamespaceSelector = &v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{corev1.LabelMetadataName: v1alpha1.LabelValue(w.namespace)}}
	limits := &v1alpha1.AccessTokenPolicy{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	if err := admin.Get(ctx, client.ObjectKeyFromObject(limits), limits); err != nil {
		limits.Spec = spec
		Expect(admin.Create(ctx, limits)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(admin.Delete(ctx, limits)).To(Succeed()) })
	} else {
		limits.Spec = spec
		Expect(admin.Update(ctx, limits)).To(Succeed())
	}
	for _, replica := range replicas {
		Eventually(func(g Gomega) {
			seen := &v1alpha1.AccessTokenPolicy{}
			g.Expect(replica.Get(ctx, client.ObjectKeyFromObject(limits), seen)).To(Succeed())
			g.Expect(seen.Generation).To(Equal(limits.Generation))
			namespace := &metav1.PartialObjectMetadata{}
			namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
			g.Expect(replica.Get(ctx, client.ObjectKey{Name: w.namespace}, namespace)).To(Succeed())
		}).WithTimeout(patience).Should(Succeed())
	}
}

var _ = Describe("A token that a policy does not allow", func() {
	It("lives on until its end, and no other follows until it is allowed again", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "48h"})
		p := w.start(0)
		p.rest(ctx)
		text := w.currentToken(ctx, w.key.Name)
		w.limit(ctx, v1alpha1.AccessTokenPolicySpec{MaxAge: &v1alpha1.PolicyMaxAge{Max: "24h"}})
		w.clock.SetTime(w.clock.Now().Add(2 * time.Second))
		w.edit(ctx, func(token *v1alpha1.AccessToken) {
			token.Annotations[v1alpha1.AnnotationRotateRequestedAt] = string(v1alpha1.NewTimestamp(w.clock.Now().Add(-time.Second)))
		})
		p.rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPolicyViolation,
			"spec.maxAge: 48h is longer than the 24h that is allowed, by AccessTokenPolicy "+w.namespace)
		w.shows(ctx, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonPolicyViolation)
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		Expect(w.verify(ctx, text)).To(Succeed())
		Expect(w.records(ctx)).To(HaveLen(1))

		w.limit(ctx, v1alpha1.AccessTokenPolicySpec{MaxAge: &v1alpha1.PolicyMaxAge{Max: "72h"}})
		p.rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		Expect(w.currentToken(ctx, w.key.Name)).NotTo(Equal(text), "the rotation that was asked for is done")
	})

	It("is one whose schedule lets more time pass than may, which admission cannot see", func(ctx context.Context) {
		w := newWorld(ctx)
		w.limit(ctx, v1alpha1.AccessTokenPolicySpec{Rotation: &v1alpha1.PolicyRotation{MaxInterval: "168h"}})
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "720h", Rotation: &v1alpha1.Rotation{Schedule: "0 0 1 1 *"}})
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPolicyViolation,
			"spec.rotation.schedule: 0 0 1 1 * has times that are 8784h apart, which is longer than the 168h that is allowed, by AccessTokenPolicy "+w.namespace)
		Expect(w.records(ctx)).To(BeEmpty())

		w.edit(ctx, func(token *v1alpha1.AccessToken) { token.Spec.Rotation.Schedule = "0 3 * * 1" })
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	})

	It("is ended where the policy says so, and issued anew once it is allowed", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "48h", Rotation: &v1alpha1.Rotation{Interval: "12h"}})
		p := w.start(0)
		p.rest(ctx)
		text := w.currentToken(ctx, w.key.Name)
		Expect(w.token(ctx).Status.NextRotationAt).NotTo(BeEmpty())
		w.requestRotation(ctx)
		p.rest(ctx)
		old, text := text, w.currentToken(ctx, w.key.Name)
		Expect(w.verify(ctx, old)).To(Succeed(), "the one before overlaps")
		w.limit(ctx, v1alpha1.AccessTokenPolicySpec{RequireDescription: true})
		p.rest(ctx)
		Expect(w.happened(v1alpha1.ReasonPolicyViolation)).To(ConsistOf(Not(ContainSubstring("ended"))))
		w.limit(ctx, v1alpha1.AccessTokenPolicySpec{RequireDescription: true, OnViolation: v1alpha1.OnViolationEnd})
		p.rest(ctx)
		Expect(w.verify(ctx, old)).NotTo(Succeed())
		Expect(w.verify(ctx, text)).NotTo(Succeed())
		Expect(w.record(ctx, text).Status.Reason).To(Equal(v1alpha1.EndReasonPolicyViolation))
		Expect(secretsOf(ctx, w.namespace)).To(BeEmpty())
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPolicyViolation, "spec.description: is required")
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionFalse, v1alpha1.ReasonPolicyViolation)
		Expect(w.token(ctx).Status.NextRotationAt).To(BeEmpty(), "none is to come")

		p.rest(ctx)
		Expect(w.happened(v1alpha1.ReasonPolicyViolation)).To(ConsistOf(And(
			HavePrefix("Warning PolicyViolation ended token %s and token %s: spec.description: is required to say what the token is for, by AccessTokenPolicy", idOf([]byte(text)), idOf([]byte(old))),
			ContainSubstring("a new one is issued once the spec or the policy allows it"))), "it is told once")

		w.edit(ctx, func(token *v1alpha1.AccessToken) { token.Spec.Description = "Deploys the shop" })
		p.rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		w.consistent(ctx)
	})

	It("is issued with the age that a policy sets, where it names none", func(ctx context.Context) {
		w := newWorld(ctx)
		w.limit(ctx, v1alpha1.AccessTokenPolicySpec{MaxAge: &v1alpha1.PolicyMaxAge{Default: "36h"}})
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		p.rest(ctx)
		Expect(w.token(ctx).Status.MaxAge).To(Equal(&v1alpha1.EffectiveMaxAge{Value: "36h", Source: v1alpha1.MaxAgeSourcePolicy}))
		Expect(*w.record(ctx, w.currentToken(ctx, w.key.Name)).Spec.MaxAgeSeconds).To(BeEquivalentTo(36 * 3600))
		Expect(w.token(ctx).Spec.MaxAge).To(BeEmpty(), "the spec stays as it was written")

		w.limit(ctx, v1alpha1.AccessTokenPolicySpec{MaxAge: &v1alpha1.PolicyMaxAge{Default: "12h"}})
		p.rest(ctx)
		Expect(*w.record(ctx, w.currentToken(ctx, w.key.Name)).Status.MaxAgeSeconds).To(BeEquivalentTo(12*3600), "a shorter one binds at once")
	})

	It("is that of a user whom no policy names", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "24h", Subject: &v1alpha1.TokenSubject{Kind: v1alpha1.SubjectKindUser, Name: "alice", Groups: []string{"devs"}}})
		p := w.start(0)
		p.rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPolicyViolation, "no AccessTokenPolicy allows user alice")
		Expect(w.records(ctx)).To(BeEmpty())

		w.limit(ctx, v1alpha1.AccessTokenPolicySpec{Subjects: &v1alpha1.PolicySubjects{Users: []string{"alice"}}})
		p.rest(ctx)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		spec := w.record(ctx, w.currentToken(ctx, w.key.Name)).Spec
		Expect(spec.Subject).To(Equal(v1alpha1.Subject{Kind: v1alpha1.SubjectKindUser, Name: "alice", Groups: []string{"devs"}}))
		Expect(spec.Creator.Checked).To(Equal(v1alpha1.CreatorCheckAdmission))
	})
})
