package accesstoken_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

var _ = Describe("Rotation", func() {
	It("keeps old and new good together for the overlap, and then only the new", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		p := w.start(0)
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		first := w.currentToken(ctx, w.key.Name)
		due := w.clock.Now().Add(time.Hour)
		Expect(w.token(ctx).Status.NextRotationAt).To(Equal(v1alpha1.NewTimestamp(due)))
		Expect(result.RequeueAfter).To(Equal(time.Hour), "it looks again when the rotation is due")
		Expect(result.Priority).To(HaveValue(BeZero()), "as urgent as an edit, also after the first look at start-up")

		By("doing nothing a moment before")
		w.clock.SetTime(due.Add(-time.Nanosecond))
		_, err = p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(first))

		By("rotating at the moment")
		w.clock.SetTime(due)
		_, err = p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		second := w.currentToken(ctx, w.key.Name)
		Expect(second).NotTo(Equal(first))
		Expect(w.verify(ctx, first)).To(Succeed())
		Expect(w.verify(ctx, second)).To(Succeed())
		tokens := w.token(ctx).Status.Tokens
		Expect(tokens).To(HaveLen(2))
		Expect(tokens[0].Revision).To(BeEquivalentTo(2))
		Expect(tokens[1].ExpiresAt).To(Equal(v1alpha1.NewTimestamp(due.Add(10 * time.Minute))))
		Expect(w.happened(v1alpha1.ReasonRotated)).To(HaveLen(1))

		By("ending the old one with the overlap, whether or not the operator is there")
		w.clock.SetTime(due.Add(10*time.Minute - time.Nanosecond))
		Expect(w.verify(ctx, first)).To(Succeed())
		w.clock.SetTime(due.Add(10 * time.Minute))
		Expect(w.verify(ctx, first)).NotTo(Succeed())
		p.restWithin(ctx, 0)
		Expect(w.token(ctx).Status.Tokens).To(HaveLen(1))
		w.consistent(ctx)
	})

	It("that fell due again and again while the operator was away happens once", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "2160h", Rotation: &v1alpha1.Rotation{Interval: "24h", Overlap: "1h"}})
		w.start(0).restWithin(ctx, 0)
		w.clock.SetTime(w.clock.Now().Add(10*24*time.Hour + time.Minute))
		w.start(0).restWithin(ctx, 10*time.Minute)
		at := w.token(ctx)
		Expect(at.Status.Revision).To(BeEquivalentTo(2))
		issued, err := at.Status.IssuedAt.Parse()
		Expect(err).NotTo(HaveOccurred())
		Expect(at.Status.NextRotationAt).To(Equal(v1alpha1.NewTimestamp(issued.Add(24 * time.Hour))))
	})

	It("that fell due while the operator was away is spread over five minutes", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "2160h", Rotation: &v1alpha1.Rotation{Interval: "24h"}})
		w.start(0).restWithin(ctx, 0)
		w.clock.SetTime(w.clock.Now().Add(25 * time.Hour))
		back := w.clock.Now()
		p := w.start(0)
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		planned, err := w.token(ctx).Status.NextRotationAt.Parse()
		Expect(err).NotTo(HaveOccurred())
		Expect(planned).To(BeTemporally(">=", back.Add(-time.Second)))
		Expect(planned).To(BeTemporally("<=", back.Add(5*time.Minute)))
		Expect(result.RequeueAfter).To(BeNumerically("<=", 5*time.Minute))
		p.restWithin(ctx, 5*time.Minute)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
	})

	It("on request in the second of issue makes one new token a second later", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.edit(ctx, func(at *v1alpha1.AccessToken) {
			at.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: string(at.Status.IssuedAt)}
		})
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(Equal(time.Second))
		p.restWithin(ctx, time.Hour)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
		w.consistent(ctx)
	})

	DescribeTable("on request", func(ctx context.Context, request func(*v1alpha1.AccessToken, v1alpha1.Timestamp), later time.Duration) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "720h"})
		p := w.start(0)
		p.restWithin(ctx, 0)
		first := w.currentToken(ctx, w.key.Name)

		By("waiting for an instant that is still to come")
		due := w.clock.Now().Add(time.Minute)
		w.edit(ctx, func(at *v1alpha1.AccessToken) { request(at, v1alpha1.NewTimestamp(due.Add(-later))) })
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(first))
		Expect(result.RequeueAfter).To(Equal(time.Minute))

		By("rotating once when it comes")
		w.clock.SetTime(due)
		p.restWithin(ctx, 0)
		Expect(w.currentToken(ctx, w.key.Name)).NotTo(Equal(first))
		Expect(w.verify(ctx, first)).To(Succeed(), "a request has the ordinary overlap")
		w.clock.SetTime(due.Add(time.Hour))
		p.restWithin(ctx, 0)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))

		By("doing nothing when Git puts an earlier request back")
		w.edit(ctx, func(at *v1alpha1.AccessToken) { request(at, v1alpha1.NewTimestamp(due.Add(-time.Minute))) })
		p.restWithin(ctx, 0)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
	},
		Entry("by the annotation", func(at *v1alpha1.AccessToken, instant v1alpha1.Timestamp) {
			at.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: string(instant)}
		}, time.Second),
		Entry("by the spec", func(at *v1alpha1.AccessToken, instant v1alpha1.Timestamp) {
			at.Spec.Rotation = &v1alpha1.Rotation{NotIssuedBefore: instant}
		}, time.Duration(0)),
	)

	It("by schedule is done in its time zone", func(ctx context.Context) {
		w := newWorld(ctx)
		w.clock.SetTime(time.Date(2026, 12, 1, 0, 30, 0, 0, time.UTC))
		w.declare(ctx, v1alpha1.AccessTokenSpec{Rotation: &v1alpha1.Rotation{Schedule: "0 3 * * *", TimeZone: "Europe/Helsinki"}})
		p := w.start(0)
		p.restWithin(ctx, 0)
		Expect(w.token(ctx).Status.NextRotationAt).To(BeEquivalentTo("2026-12-01T01:00:00Z"))
		p.restWithin(ctx, time.Hour)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
		Expect(w.token(ctx).Status.NextRotationAt).To(BeEquivalentTo("2026-12-02T01:00:00Z"))
	})

	It("by a schedule that comes after the end says so from the start", func(ctx context.Context) {
		w := newWorld(ctx)
		w.clock.SetTime(time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC))
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "1h", Rotation: &v1alpha1.Rotation{Schedule: "@monthly"}})
		p := w.start(0)
		p.restWithin(ctx, 0)
		delivers(ctx, w)
		w.shows(ctx, v1alpha1.ConditionExpiring, metav1.ConditionTrue, v1alpha1.ReasonScheduleSparse, "2026-11-24T10:00:00Z", "2026-12-01T00:00:00Z")
		Expect(w.happened(v1alpha1.ReasonScheduleSparse)).To(HaveLen(1))

		By("being gone when there is none any more")
		p.restWithin(ctx, time.Hour)
		w.lacks(ctx, v1alpha1.ConditionExpiring)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonExpired, "2026-12-01T00:00:00Z")
		w.lacks(ctx, v1alpha1.ConditionStalled)

		By("not being said of a schedule that comes before")
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.Rotation.Schedule = "*/30 * * * *" })
		p.restWithin(ctx, 0)
		delivers(ctx, w)
		w.lacks(ctx, v1alpha1.ConditionExpiring)
	})

	It("a third time within the overlap ends the oldest at once", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "720h", Rotation: &v1alpha1.Rotation{Overlap: "24h"}})
		p := w.start(0)
		p.restWithin(ctx, 0)
		tokens := []string{w.currentToken(ctx, w.key.Name)}
		for range 2 {
			w.clock.SetTime(w.clock.Now().Add(time.Minute))
			w.edit(ctx, func(at *v1alpha1.AccessToken) {
				at.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: string(v1alpha1.NewTimestamp(w.clock.Now()))}
			})
			p.restWithin(ctx, time.Second)
			tokens = append(tokens, w.currentToken(ctx, w.key.Name))
		}
		Expect(w.verify(ctx, tokens[0])).NotTo(Succeed())
		Expect(w.verify(ctx, tokens[1])).To(Succeed())
		Expect(w.verify(ctx, tokens[2])).To(Succeed())
	})

	It("without an overlap ends the old token at once", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "720h", Rotation: &v1alpha1.Rotation{Interval: "24h", Overlap: "0s"}})
		p := w.start(0)
		p.restWithin(ctx, 0)
		first := w.currentToken(ctx, w.key.Name)
		w.clock.SetTime(w.clock.Now().Add(24 * time.Hour))
		p.restWithin(ctx, 0)
		Expect(w.verify(ctx, first)).NotTo(Succeed())
		delivers(ctx, w)
	})
})
