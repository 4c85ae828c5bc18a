package accesstoken_test

import (
	"context"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// use notes a use of a token now, as a verifier does.
func (w *world) use(ctx context.Context, text string) {
	GinkgoHelper()
	w.writeUse(ctx, text)
	w.settled(ctx)
}

func (w *world) writeUse(ctx context.Context, text string) {
	GinkgoHelper()
	w.patchRecord(ctx, text, func(status *v1alpha1.TokenRecordStatus) {
		status.LastUsedAt = v1alpha1.NewTimestamp(w.clock.Now())
	})
}

// patchRecord changes the status of a token's record.
func (w *world) patchRecord(ctx context.Context, text string, change func(*v1alpha1.TokenRecordStatus)) {
	GinkgoHelper()
	object := w.record(ctx, text)
	before := object.DeepCopy()
	change(&object.Status)
	Expect(admin.Status().Patch(ctx, object, client.MergeFrom(before))).To(Succeed())
}

func (w *world) record(ctx context.Context, text string) *v1alpha1.TokenRecord {
	GinkgoHelper()
	presented, err := token.Parse(text)
	Expect(err).NotTo(HaveOccurred())
	object := &v1alpha1.TokenRecord{}
	Expect(admin.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: presented.ID()}, object)).To(Succeed())
	return object
}

// countingReader counts what is read past the cache.
type countingReader struct {
	client.Client
	reads atomic.Int64
}

func (r *countingReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	r.reads.Add(1)
	return r.Client.Get(ctx, key, object, options...)
}

// startCounting starts a process whose live reads are counted.
func (w *world) startCounting(replica int) (*process, *countingReader) {
	p := w.start(replica)
	reader := &countingReader{Client: p.reconciler.Live}
	p.reconciler.Live = reader
	return p, reader
}

var _ = Describe("A token that use extends", func() {
	It("is sealed with its last moment, and lives as long as it is used up to that", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "1h", ExtendWhenUsed: true, MaxLifetime: "3h"})
		p := w.start(0)
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(Equal(time.Hour), "it looks again when the token ends unused")
		issued := w.clock.Now()
		text := w.currentToken(ctx, w.key.Name)
		spec := w.record(ctx, text).Spec
		Expect(spec.ExtendWhenUsed).To(BeTrue())
		Expect(*spec.MaxAgeSeconds).To(BeEquivalentTo(3600))
		Expect(spec.NotAfter).To(Equal(v1alpha1.NewTimestamp(issued.Add(3 * time.Hour))))
		Expect(w.token(ctx).Status.ExpiresAt).To(Equal(v1alpha1.NewTimestamp(issued.Add(time.Hour))))

		for range 3 {
			w.clock.SetTime(w.clock.Now().Add(50 * time.Minute))
			w.use(ctx, text)
			p.restWithin(ctx, 0)
			Expect(w.verify(ctx, text)).To(Succeed())
			w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		}
		Expect(w.token(ctx).Status.ExpiresAt).To(Equal(spec.NotAfter), "no use leads past it")

		w.clock.SetTime(issued.Add(3*time.Hour - time.Second))
		w.use(ctx, text)
		w.clock.SetTime(issued.Add(3 * time.Hour))
		p.restWithin(ctx, 0)
		Expect(w.verify(ctx, text)).NotTo(Succeed())
		w.shows(ctx, v1alpha1.ConditionValid, metav1.ConditionFalse, v1alpha1.ReasonExpired)
		Expect(secretsOf(ctx, w.namespace)).To(BeEmpty())
	})

	It("lives 30 days from its last use by default, and 120 in all", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{ExtendWhenUsed: true})
		w.start(0).restWithin(ctx, 0)
		at := w.token(ctx)
		Expect(*at.Status.MaxAge).To(Equal(v1alpha1.EffectiveMaxAge{Value: "720h", Source: v1alpha1.MaxAgeSourceDefault}))
		spec := w.record(ctx, w.currentToken(ctx, w.key.Name)).Spec
		Expect(*spec.MaxAgeSeconds).To(BeEquivalentTo(720 * 3600))
		Expect(spec.NotAfter).To(Equal(v1alpha1.NewTimestamp(w.clock.Now().Add(2880 * time.Hour))))
	})

	It("ends for want of use, says so, and comes back on request only", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "1h", ExtendWhenUsed: true, Rotation: &v1alpha1.Rotation{Interval: "3h"}})
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.clock.SetTime(w.clock.Now().Add(30 * time.Minute))
		w.use(ctx, w.currentToken(ctx, w.key.Name))
		p.restWithin(ctx, 0)
		w.clock.SetTime(w.clock.Now().Add(time.Hour))
		p.restWithin(ctx, 5*time.Hour)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonExpired, "nobody used it", v1alpha1.AnnotationRotateRequestedAt)
		w.shows(ctx, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonExpired)
		Expect(w.token(ctx).Status.NextRotationAt).To(BeEmpty())
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(1))

		w.edit(ctx, func(at *v1alpha1.AccessToken) {
			at.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: string(v1alpha1.NewTimestamp(w.clock.Now()))}
		})
		p.restWithin(ctx, time.Second)
		delivers(ctx, w)
	})

	It("is not ended by a cache that does not show its last use", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "1h", ExtendWhenUsed: true})
		w.start(0).restWithin(ctx, 0)
		text := w.currentToken(ctx, w.key.Name)
		w.seen(ctx)

		By("stopping the watches of a replica before the token is used")
		watching, stop := context.WithCancel(ctx)
		DeferCleanup(stop)
		stale, _ := startReplica(watching, testenv.ManagerConfig(GinkgoT()), admin.Scheme())
		Expect(stale.Get(ctx, w.key, &v1alpha1.AccessToken{})).To(Succeed())
		Expect(versions(ctx, stale, w.namespace)).To(Equal(versions(ctx, admin, w.namespace)))
		stop()
		w.clock.SetTime(w.clock.Now().Add(59 * time.Minute))
		w.writeUse(ctx, text)

		By("looking at the end that it still sees")
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
		p, reads := w.startCounting(0)
		p.client.Client = stale
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		cached := &v1alpha1.TokenRecord{}
		Expect(stale.Get(ctx, client.ObjectKeyFromObject(w.record(ctx, text)), cached)).To(Succeed())
		Expect(cached.Status.LastUsedAt).To(BeEmpty(), "the cache is not stale, so this proves nothing")
		Expect(reads.reads.Load()).To(BeEquivalentTo(1))
		Expect(result.RequeueAfter).To(Equal(59 * time.Minute))
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(text))
		Expect(w.token(ctx).Status.EndedAt).To(BeEmpty())
		Expect(w.token(ctx).Status.ExpiresAt).To(Equal(v1alpha1.NewTimestamp(w.clock.Now().Add(59 * time.Minute))))
	}, SpecTimeout(time.Minute))

	It("is read once from the API server when it ends, and never again", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "1h", ExtendWhenUsed: true})
		p, reads := w.startCounting(0)
		p.restWithin(ctx, 0)
		w.clock.SetTime(w.clock.Now().Add(time.Hour - time.Nanosecond))
		p.restWithin(ctx, 0)
		Expect(reads.reads.Load()).To(BeZero())
		w.clock.SetTime(w.clock.Now().Add(time.Nanosecond))
		p.restWithin(ctx, 0)
		Expect(w.token(ctx).Status.EndedAt).NotTo(BeEmpty())
		Expect(reads.reads.Load()).To(BeEquivalentTo(1))

		By("starting anew")
		p, reads = w.startCounting(1)
		w.seen(ctx)
		w.settled(ctx)
		p.restWithin(ctx, 0)
		Expect(reads.reads.Load()).To(BeZero())
		Expect(p.client.written()).To(BeEmpty())
	})

	It("has its use told by the status, which is not written each time", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{ExtendWhenUsed: true})
		p := w.start(0)
		p.restWithin(ctx, 0)
		text := w.currentToken(ctx, w.key.Name)
		w.use(ctx, text)
		p.restWithin(ctx, 0)
		first := v1alpha1.NewTimestamp(w.clock.Now())
		Expect(w.token(ctx).Status.LastUsedAt).To(Equal(first))
		version := w.token(ctx).ResourceVersion
		for range 5 {
			w.clock.SetTime(w.clock.Now().Add(10 * time.Minute))
			w.use(ctx, text)
			p.restWithin(ctx, 0)
		}
		Expect(w.token(ctx).ResourceVersion).To(Equal(version), "fifty minutes of use wrote a status")
		w.clock.SetTime(w.clock.Now().Add(10*time.Minute + time.Second))
		w.use(ctx, text)
		p.restWithin(ctx, 0)
		status := w.token(ctx).Status
		Expect(status.LastUsedAt).To(Equal(v1alpha1.NewTimestamp(w.clock.Now())))
		Expect(status.ExpiresAt).To(Equal(v1alpha1.NewTimestamp(w.clock.Now().Add(720 * time.Hour))))
		Expect(status.Tokens[0].ExpiresAt).To(Equal(status.ExpiresAt))

		By("not forgetting it at a rotation")
		w.edit(ctx, func(at *v1alpha1.AccessToken) {
			at.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: string(v1alpha1.NewTimestamp(w.clock.Now()))}
		})
		p.restWithin(ctx, time.Second)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
		Expect(w.token(ctx).Status.LastUsedAt).To(Equal(status.LastUsedAt))

		By("telling of the old token while both are good, whose end no use moves any more")
		w.clock.SetTime(w.clock.Now().Add(2 * time.Hour))
		w.use(ctx, text)
		p.restWithin(ctx, 0)
		at := w.token(ctx)
		Expect(at.Status.LastUsedAt).To(Equal(v1alpha1.NewTimestamp(w.clock.Now())))
		Expect(at.Status.Tokens[1].ExpiresAt).To(Equal(v1alpha1.NewTimestamp(w.clock.Now().Add(22 * time.Hour))))
		w.clock.SetTime(w.clock.Now().Add(22 * time.Hour))
		Expect(w.verify(ctx, text)).NotTo(Succeed())
	})

	It("ends sooner when maxLifetime shrinks or extendWhenUsed goes, and not later when they come back", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "24h", ExtendWhenUsed: true, MaxLifetime: "96h"})
		p := w.start(0)
		p.restWithin(ctx, 0)
		issued := w.clock.Now()
		text := w.currentToken(ctx, w.key.Name)
		endsAt := func(age time.Duration) {
			GinkgoHelper()
			w.settled(ctx)
			p.restWithin(ctx, 0)
			status := w.record(ctx, text).Status
			Expect(status.ExpiresAt).To(Equal(v1alpha1.NewTimestamp(issued.Add(age))))
			Expect(status.Reason).To(Equal(v1alpha1.EndReasonShortened))
		}
		w.clock.SetTime(issued.Add(20 * time.Hour))
		w.use(ctx, text)
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.MaxLifetime = "72h" })
		endsAt(72 * time.Hour)
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.MaxLifetime = "200h" })
		endsAt(72 * time.Hour)
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.ExtendWhenUsed, at.Spec.MaxLifetime = false, "" })
		endsAt(24 * time.Hour)
		Expect(w.token(ctx).Status.ExpiresAt).To(Equal(v1alpha1.NewTimestamp(issued.Add(24 * time.Hour))))
		Expect(w.happened("LifetimeShortened")).To(HaveLen(2))
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.ExtendWhenUsed = true })
		endsAt(24 * time.Hour)

		w.use(ctx, text)
		w.clock.SetTime(issued.Add(24 * time.Hour))
		Expect(w.verify(ctx, text)).NotTo(Succeed())
	})

	It("ends at once when extendWhenUsed goes after its maxAge", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "1h", ExtendWhenUsed: true})
		p := w.start(0)
		p.restWithin(ctx, 0)
		text := w.currentToken(ctx, w.key.Name)
		for range 2 {
			w.clock.SetTime(w.clock.Now().Add(50 * time.Minute))
			w.use(ctx, text)
		}
		Expect(w.verify(ctx, text)).To(Succeed())
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.ExtendWhenUsed = false })
		p.restWithin(ctx, 0)
		Expect(w.verify(ctx, text)).NotTo(Succeed())
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonExpired)
		Expect(w.token(ctx).Status.EndedAt).To(Equal(v1alpha1.NewTimestamp(w.clock.Now())))
		Expect(secretsOf(ctx, w.namespace)).To(BeEmpty())
	})

	It("has a shorter maxAge count from its last use", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "24h", ExtendWhenUsed: true, MaxLifetime: "96h"})
		p := w.start(0)
		p.restWithin(ctx, 0)
		text := w.currentToken(ctx, w.key.Name)
		w.clock.SetTime(w.clock.Now().Add(20 * time.Hour))
		w.use(ctx, text)
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.MaxAge = "2h" })
		p.restWithin(ctx, 0)
		Expect(*w.record(ctx, text).Status.MaxAgeSeconds).To(BeEquivalentTo(7200))
		Expect(w.token(ctx).Status.ExpiresAt).To(Equal(v1alpha1.NewTimestamp(w.clock.Now().Add(2 * time.Hour))))
		Expect(w.happened("MaxAgeLowered")).To(ConsistOf(ContainSubstring("ends when nobody uses it for 2h0m0s")))
	})

	It("has the default of maxLifetime follow a shorter maxAge", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "24h", ExtendWhenUsed: true})
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.MaxAge = "2h" })
		p.restWithin(ctx, 0)
		status := w.record(ctx, w.currentToken(ctx, w.key.Name)).Status
		Expect(*status.MaxAgeSeconds).To(BeEquivalentTo(7200))
		Expect(status.ExpiresAt).To(Equal(v1alpha1.NewTimestamp(w.clock.Now().Add(8 * time.Hour))))
	})

	It("is the next one where extendWhenUsed is set on a live token", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		p.restWithin(ctx, 0)
		text := w.currentToken(ctx, w.key.Name)
		issued := w.clock.Now()
		w.clock.SetTime(issued.Add(1000 * time.Hour))
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.ExtendWhenUsed = true })
		p.restWithin(ctx, 0)
		Expect(w.record(ctx, text).Status).To(BeZero(), "its 90 days stay, though the default is now 30 days after the last use")
		w.use(ctx, text)
		w.clock.SetTime(issued.Add(2160 * time.Hour))
		Expect(w.verify(ctx, text)).NotTo(Succeed())
	})

	It("stalls where maxLifetime is shorter than the default age", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{ExtendWhenUsed: true, MaxLifetime: "24h"})
		w.start(0).restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSpecInvalid, "spec.maxLifetime", "720h")
		Expect(w.records(ctx)).To(BeEmpty())
	})
})

var _ = Describe("A token that its holder revoked", func() {
	It("is replaced at once, without overlap and with a warning", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		p := w.start(0)
		p.restWithin(ctx, 0)
		text := w.currentToken(ctx, w.key.Name)
		w.patchRecord(ctx, text, func(status *v1alpha1.TokenRecordStatus) {
			status.RevokedAt, status.Reason = v1alpha1.NewTimestamp(w.clock.Now()), v1alpha1.EndReasonRevokedByHolder
		})
		w.settled(ctx)
		p.restWithin(ctx, 0)
		Expect(w.verify(ctx, text)).NotTo(Succeed())
		delivers(ctx, w)
		at := w.token(ctx)
		Expect(at.Status.Revision).To(BeEquivalentTo(2))
		Expect(at.Status.Tokens).To(HaveLen(1))
		revoked := w.record(ctx, text)
		Expect(revoked.Status.Reason).To(Equal(v1alpha1.EndReasonRevokedByHolder))
		Expect(w.happened(v1alpha1.ReasonRevokedByHolder)).To(ConsistOf(And(
			HavePrefix("Warning"), ContainSubstring("token "+revoked.Name+" was revoked by its holder"), ContainSubstring(at.Status.TokenID),
		)))
		w.consistent(ctx)
	})

	It("is replaced ever more slowly where a holder does nothing else", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		p.restWithin(ctx, 0)
		for _, wait := range []time.Duration{0, time.Second, 2 * time.Second} {
			text := w.currentToken(ctx, w.key.Name)
			w.patchRecord(ctx, text, func(status *v1alpha1.TokenRecordStatus) {
				status.RevokedAt, status.Reason = v1alpha1.NewTimestamp(w.clock.Now()), v1alpha1.EndReasonRevokedByHolder
			})
			w.settled(ctx)
			if wait > 0 {
				result, err := p.reconcile(ctx)
				Expect(err).NotTo(HaveOccurred())
				Expect(result.RequeueAfter).To(Equal(wait))
				Expect(w.currentToken(ctx, w.key.Name)).To(Equal(text))
			}
			p.restWithin(ctx, wait)
			Expect(w.currentToken(ctx, w.key.Name)).NotTo(Equal(text))
		}
	})
})
