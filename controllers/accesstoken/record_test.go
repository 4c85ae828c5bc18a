package accesstoken_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
)

var _ = Describe("A record", func() {
	It("says what was issued, to whom, and who declared it", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{
			MaxAge: "24h", Scopes: []string{"deploy:shop"}, Audiences: []string{"kubernetes"}, AllowedCIDRs: []v1alpha1.CIDR{"10.0.0.0/8"},
		})
		w.start(0).restWithin(ctx, 0)
		at := w.token(ctx)
		r := w.records(ctx)[at.Status.TokenID]
		Expect(r.Spec.Subject).To(Equal(v1alpha1.Subject{
			Kind: v1alpha1.SubjectKindAccessToken, Name: "accesstoken:" + w.namespace + ":deploy", UID: string(at.UID),
			Groups: []string{"accesstokens", "accesstokens:" + w.namespace},
		}))
		Expect(r.Spec.Scopes).To(Equal(at.Spec.Scopes))
		Expect(r.Spec.Audiences).To(Equal(at.Spec.Audiences))
		Expect(r.Spec.AllowedCIDRs).To(Equal(at.Spec.AllowedCIDRs))
		Expect(r.Spec.NotAfter).To(Equal(at.Status.ExpiresAt))
		Expect(r.Spec.Creator).NotTo(BeNil())
		Expect(r.Spec.Creator.Username).To(Equal(at.Annotations[v1alpha1.AnnotationCreatedBy]))
		Expect(metav1.IsControlledBy(&r, at)).To(BeTrue())
	})

	It("that was deleted by hand is followed by the next revision at once", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		p := w.start(0)
		p.restWithin(ctx, 0)
		first := w.currentToken(ctx, w.key.Name)
		for _, r := range w.records(ctx) {
			Expect(admin.Delete(ctx, &r)).To(Succeed())
		}
		w.settled(ctx)
		p.restWithin(ctx, 0)
		Expect(w.verify(ctx, first)).NotTo(Succeed())
		delivers(ctx, w)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
		Expect(w.happened(v1alpha1.ReasonRecordLost)).To(HaveLen(1))
	})

	It("that was restored from a backup verifies nothing and is replaced", func(ctx context.Context) {
		w := newWorld(ctx)
		w.tolerance = 0 // that of a running operator
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "720h"})
		w.clock.SetTime(w.clock.Now().Add(-time.Hour)) // an hour ago, as a backup sees it
		w.tolerance = anyTime
		w.start(0).restWithin(ctx, 0)
		text := w.currentToken(ctx, w.key.Name)
		Expect(w.verify(ctx, text)).To(Succeed())

		By("opening it as a running operator does, the creation an hour after the issue")
		w.clock.SetTime(w.clock.Now().Add(time.Hour))
		w.tolerance = 0
		Expect(w.verify(ctx, text)).To(MatchError(record.ErrReplayed))
		p := w.start(0)
		p.restWithin(ctx, 0)
		delivers(ctx, w)
		Expect(w.verify(ctx, text)).NotTo(Succeed())
		Expect(w.happened(v1alpha1.ReasonRecordLost)).To(HaveLen(1))
	})

	It("sealed with a key that was dropped is void, and re-issued; others stay", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "720h"})
		p := w.start(0)
		p.restWithin(ctx, 0)
		first := w.currentToken(ctx, w.key.Name)

		By("adding a key, which changes nothing for the token")
		w.giveKey(ctx, "20260201t000000z-second")
		p.restWithin(ctx, 0)
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(first))

		By("dropping the first one")
		key, _ := w.ring.Key("20260201t000000z-second")
		w.keeper.Observe(&corev1.Secret{Data: map[string][]byte{"20260201t000000z-second": key[:]}})
		Expect(w.verify(ctx, first)).To(MatchError(record.ErrKeyUnknown))
		p.restWithin(ctx, 0)
		delivers(ctx, w)
		Expect(w.records(ctx)[w.token(ctx).Status.TokenID].Spec.KeyID).To(Equal("20260201t000000z-second"))
	})

	It("cannot be told valid or not while the keys are lost", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "720h"})
		p := w.start(0)
		p.restWithin(ctx, 0)
		text := w.currentToken(ctx, w.key.Name)
		id := w.ring.IDs()[0]
		key, _ := w.ring.Key(id)
		w.keeper.Observe(nil)
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonKeyLost, "backup")
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionUnknown, v1alpha1.ReasonKeyLost)
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(text), "nothing is touched")

		By("healing when the key is back")
		w.keeper.Observe(&corev1.Secret{Data: map[string][]byte{id: key[:]}})
		p.restWithin(ctx, 0)
		delivers(ctx, w)
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(text))
	})

	It("is ended on request also while the keys are lost", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "720h"})
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.keeper.Observe(nil)
		p.restWithin(ctx, 0)
		state(v1alpha1.StateRevoked)(ctx, w)
		p.restWithin(ctx, 0)
		withdrawnFor(v1alpha1.ReasonRevoked)(ctx, w)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonRevoked)
		for _, r := range w.records(ctx) {
			Expect(r.Status.Reason).To(Equal(v1alpha1.EndReasonRevoked))
		}
	})
})

var _ = Describe("A status", func() {
	It("is written once by an issue, and not again while nothing changes", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		p := w.start(0)
		p.restWithin(ctx, 0)
		Expect(p.client.written()).To(Equal([]string{"create TokenRecord", "patch Secret", "patch status of AccessToken"}))
		version := w.token(ctx).ResourceVersion
		for range 5 {
			p.restWithin(ctx, 0)
			w.clock.SetTime(w.clock.Now().Add(time.Minute))
		}
		Expect(w.token(ctx).ResourceVersion).To(Equal(version))
	})

	It("follows an edit of the description without a new token", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.Description = "what it is for" })
		p.restWithin(ctx, 0)
		at := w.token(ctx)
		Expect(at.Status.ObservedGeneration).To(Equal(at.Generation))
		Expect(at.Status.Revision).To(BeEquivalentTo(1))
	})

	It("says where the age came from", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		p.restWithin(ctx, 0)
		Expect(*w.token(ctx).Status.MaxAge).To(Equal(v1alpha1.EffectiveMaxAge{Value: "2160h", Source: v1alpha1.MaxAgeSourceDefault}))
	})

	It("stalls on a rotation that the default age makes impossible, and says what to do", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{Rotation: &v1alpha1.Rotation{Interval: "2160h"}})
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRotationInvalid, "spec.rotation.interval")
		w.shows(ctx, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonRotationInvalid)
		Expect(w.records(ctx)).To(BeEmpty())
		Expect(w.happened(v1alpha1.ReasonRotationInvalid)).To(HaveLen(1))

		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.Rotation.Interval = "1000h" })
		p.restWithin(ctx, 0)
		delivers(ctx, w)
	})

	It("stalls on a date that never comes", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{Rotation: &v1alpha1.Rotation{Schedule: "0 0 31 2 *"}})
		w.start(0).restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonScheduleInvalid, "spec.rotation.schedule")
	})

	It("keeps counting down while the spec cannot be used", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "24h"})
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.Rotation = &v1alpha1.Rotation{Schedule: "0 0 31 2 *"} })
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		w.clock.SetTime(w.clock.Now().Add(24 * time.Hour))
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionFalse, v1alpha1.ReasonScheduleInvalid)
		Expect(secretsOf(ctx, w.namespace)).To(BeEmpty())
	})
})
