package accesstoken_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

var _ = Describe("The end", func() {
	It("comes at the moment, takes the Secret along and keeps the record", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "1h"})
		p := w.start(0)
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(Equal(time.Hour))
		text := w.currentToken(ctx, w.key.Name)
		end := w.clock.Now().Add(time.Hour)

		w.clock.SetTime(end.Add(-time.Nanosecond))
		Expect(w.verify(ctx, text)).To(Succeed())
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionTrue, v1alpha1.ReasonIssued)

		w.clock.SetTime(end)
		Expect(w.verify(ctx, text)).NotTo(Succeed())
		result, err = p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeZero(), "nothing is due any more")
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionFalse, v1alpha1.ReasonExpired)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonExpired, string(v1alpha1.NewTimestamp(end)))
		w.shows(ctx, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonExpired)
		Expect(secretsOf(ctx, w.namespace)).To(BeEmpty())
		Expect(w.records(ctx)).To(HaveLen(1))
		Expect(w.token(ctx).Status.EndedAt).To(Equal(v1alpha1.NewTimestamp(end)))
		Expect(w.happened(v1alpha1.ReasonExpired)).To(HaveLen(1))

		By("staying so when the record is cleaned up")
		for _, r := range w.records(ctx) {
			Expect(admin.Delete(ctx, &r)).To(Succeed())
		}
		w.settled(ctx)
		p.rest(ctx)
		Expect(w.records(ctx)).To(BeEmpty())
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionFalse, v1alpha1.ReasonExpired)

		By("bringing a new token on request")
		w.edit(ctx, func(at *v1alpha1.AccessToken) {
			at.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: string(v1alpha1.NewTimestamp(w.clock.Now()))}
		})
		p.rest(ctx)
		delivers(ctx, w)
		w.lacks(ctx, v1alpha1.ConditionStalled)
		Expect(w.token(ctx).Status.EndedAt).To(BeEmpty())
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2), "a name is never used twice")
	})

	It("never comes for a token without an age", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: v1alpha1.MaxAgeNever})
		p := w.start(0)
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeZero())
		Expect(w.token(ctx).Status.ExpiresAt).To(BeEmpty())
		text := w.currentToken(ctx, w.key.Name)
		w.clock.SetTime(w.clock.Now().Add(20 * 365 * 24 * time.Hour))
		p.restWithin(ctx, 0)
		Expect(w.verify(ctx, text)).To(Succeed())

		By("coming when an age is set after all")
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.MaxAge = "24h" })
		p.restWithin(ctx, 0)
		Expect(w.verify(ctx, text)).NotTo(Succeed())
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionFalse, v1alpha1.ReasonExpired)
	})

	DescribeTable("by spec.state takes the token back, and Active brings a new one",
		func(ctx context.Context, wanted v1alpha1.State, reason string) {
			w := newWorld(ctx)
			w.declare(ctx, rotating())
			p := w.start(0)
			p.restWithin(ctx, 0)
			first := w.currentToken(ctx, w.key.Name)
			w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.State = wanted })
			p.rest(ctx)
			Expect(w.verify(ctx, first)).NotTo(Succeed())
			withdrawnFor(reason)(ctx, w)
			w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, reason)
			w.lacks(ctx, v1alpha1.ConditionStalled)
			for _, r := range w.records(ctx) {
				Expect(r.Status.Reason).To(BeEquivalentTo(reason))
			}
			Expect(w.token(ctx).Status.NextRotationAt).To(BeEmpty())

			w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateActive })
			p.rest(ctx)
			delivers(ctx, w)
			Expect(w.verify(ctx, first)).NotTo(Succeed())
			Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
			w.consistent(ctx)
		},
		Entry("Suspended", v1alpha1.StateSuspended, v1alpha1.ReasonSuspended),
		Entry("Revoked", v1alpha1.StateRevoked, v1alpha1.ReasonRevoked),
	)

	It("before any beginning issues nothing", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{State: v1alpha1.StateRevoked})
		w.start(0).rest(ctx)
		Expect(w.records(ctx)).To(BeEmpty())
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonRevoked)
	})

	It("is followed by the deletion of the object where that was asked for", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{State: v1alpha1.StateActive, MaxAge: "1h", TTLAfterFinished: "30m"})
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.clock.SetTime(w.clock.Now().Add(time.Hour))
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(Equal(30 * time.Minute))
		w.clock.SetTime(w.clock.Now().Add(30*time.Minute - time.Nanosecond))
		p.restWithin(ctx, 0)
		Expect(w.token(ctx).DeletionTimestamp).To(BeNil())
		w.clock.SetTime(w.clock.Now().Add(time.Nanosecond))
		p.restWithin(ctx, 0)
		Expect(apierrors.IsNotFound(admin.Get(ctx, w.key, &v1alpha1.AccessToken{}))).To(BeTrue())
		Expect(w.happened("TTLExpired")).To(HaveLen(1))
	})

	It("is announced at 30, 7 and 1 days, once each", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "2160h"})
		p := w.start(0)
		p.restWithin(ctx, 0)
		end := w.clock.Now().Add(2160 * time.Hour)
		w.lacks(ctx, v1alpha1.ConditionExpiring)
		for _, notice := range []struct {
			left time.Duration
			name string
		}{{30 * 24 * time.Hour, "30d"}, {7 * 24 * time.Hour, "7d"}, {24 * time.Hour, "1d"}} {
			By("a moment before, saying nothing new")
			w.clock.SetTime(end.Add(-notice.left - time.Nanosecond))
			result, err := p.reconcile(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(w.happened(v1alpha1.ReasonExpiring)).To(BeEmpty())

			By("saying so at " + notice.name)
			w.clock.SetTime(w.clock.Now().Add(result.RequeueAfter))
			for range 3 {
				_, err = p.reconcile(ctx)
				Expect(err).NotTo(HaveOccurred())
			}
			Expect(w.happened(v1alpha1.ReasonExpiring)).To(HaveLen(1))
			Expect(w.token(ctx).Status.ExpiryNotice).To(Equal(notice.name))
			w.shows(ctx, v1alpha1.ConditionExpiring, metav1.ConditionTrue, v1alpha1.ReasonExpiring, notice.name, "spec.rotation")
		}
		w.clock.SetTime(end)
		p.restWithin(ctx, 0)
		w.lacks(ctx, v1alpha1.ConditionExpiring)
	})

	It("is not announced where a rotation comes before it", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "2160h", Rotation: &v1alpha1.Rotation{Interval: "2159h"}})
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.clock.SetTime(w.clock.Now().Add(2158 * time.Hour))
		p.restWithin(ctx, 0)
		w.lacks(ctx, v1alpha1.ConditionExpiring)
	})

	It("comes sooner when maxAge shrinks, and not later when it grows", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "24h"})
		p := w.start(0)
		p.restWithin(ctx, 0)
		issued := w.clock.Now()
		expires := func(age time.Duration) {
			p.restWithin(ctx, 0)
			Expect(w.token(ctx).Status.ExpiresAt).To(Equal(v1alpha1.NewTimestamp(issued.Add(age))))
		}
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.MaxAge = "12h" })
		expires(12 * time.Hour)
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.MaxAge = "48h" })
		expires(12 * time.Hour)
		Expect(w.happened("MaxAgeLowered")).To(HaveLen(1))
	})
})
