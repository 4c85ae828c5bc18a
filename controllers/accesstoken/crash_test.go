package accesstoken_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// A sequence is something that an operator does in several writes.
type sequence struct {
	name string
	spec v1alpha1.AccessTokenSpec
	// trigger brings about that there is something to do, to a token at rest;
	// nil means that the first issue is the sequence.
	trigger func(context.Context, *world)
	// tokens is how many ever reach a Secret: one moment that is due makes one,
	// whatever happens on the way.
	tokens int
	// publishes says that a token is put into a Secret on the way.
	publishes bool
	// outcome is what has to hold at rest after the sequence, whatever happened
	// on the way.
	outcome func(context.Context, *world)
}

// mostWrites is more than any sequence takes.
const mostWrites = 12

func rotating() v1alpha1.AccessTokenSpec {
	return v1alpha1.AccessTokenSpec{MaxAge: "24h", Rotation: &v1alpha1.Rotation{Interval: "1h", Overlap: "10m"}}
}

func state(wanted v1alpha1.State) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.State = wanted })
	}
}

func pass(span time.Duration) func(context.Context, *world) {
	return func(_ context.Context, w *world) { w.clock.SetTime(w.clock.Now().Add(span)) }
}

// cutOff writes into the records what a revocation does.
func cutOff(reissue bool) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		for _, rec := range w.records(ctx) {
			rec.Status.RevokedAt, rec.Status.Reason = v1alpha1.NewTimestamp(w.clock.Now()), v1alpha1.EndReasonCutOff
			rec.Status.RevokedBy, rec.Status.Reissue = "ClusterTokenRevocation/leak", reissue
			Expect(admin.Status().Update(ctx, &rec)).To(Succeed())
		}
		w.settled(ctx)
	}
}

func delivers(ctx context.Context, w *world) {
	at := w.token(ctx)
	Expect(meta.IsStatusConditionTrue(at.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue(), "Ready: %+v", at.Status.Conditions)
	Expect(w.verify(ctx, w.currentToken(ctx, w.key.Name))).To(Succeed())
	Expect(at.Status.Tokens).NotTo(BeEmpty())
	Expect(at.Status.Tokens[0].ID).To(Equal(at.Status.TokenID))
}

func withdrawnFor(reason string) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		at := w.token(ctx)
		valid := meta.FindStatusCondition(at.Status.Conditions, v1alpha1.ConditionValid)
		Expect(valid).NotTo(BeNil())
		Expect(valid.Reason).To(Equal(reason))
		Expect(at.Status.EndedAt).NotTo(BeEmpty())
		Expect(at.Status.ExpiresAt == "").To(Equal(reason != v1alpha1.ReasonExpired), "what was taken back expires no more")
		Expect(secretsOf(ctx, w.namespace)).To(BeEmpty())
		for _, r := range w.records(ctx) {
			Expect(w.good(&r)).NotTo(Succeed())
		}
	}
}

func sequences() []sequence {
	return []sequence{
		{name: "issue", tokens: 1, publishes: true, spec: rotating(), outcome: delivers},
		{name: "rotate", tokens: 2, publishes: true, spec: rotating(), trigger: pass(time.Hour), outcome: func(ctx context.Context, w *world) {
			delivers(ctx, w)
			Expect(w.token(ctx).Status.Revision).To(BeNumerically(">=", 2))
		}},
		{name: "rotate a second time within the overlap", tokens: 2, spec: v1alpha1.AccessTokenSpec{MaxAge: "24h", Rotation: &v1alpha1.Rotation{Overlap: "20h"}},
			trigger: func(ctx context.Context, w *world) {
				for range 2 {
					w.clock.SetTime(w.clock.Now().Add(time.Hour))
					w.edit(ctx, func(at *v1alpha1.AccessToken) {
						at.Spec.Rotation.NotIssuedBefore = v1alpha1.NewTimestamp(w.clock.Now())
					})
				}
			}, outcome: delivers},
		{name: "expire", tokens: 1, spec: v1alpha1.AccessTokenSpec{MaxAge: "1h"}, trigger: pass(time.Hour), outcome: withdrawnFor(v1alpha1.ReasonExpired)},
		{name: "suspend", tokens: 1, spec: rotating(), trigger: state(v1alpha1.StateSuspended), outcome: withdrawnFor(v1alpha1.ReasonSuspended)},
		{name: "revoke", tokens: 1, spec: rotating(), trigger: state(v1alpha1.StateRevoked), outcome: withdrawnFor(v1alpha1.ReasonRevoked)},
		{name: "replace what a revocation voids", tokens: 2, publishes: true, spec: rotating(), trigger: cutOff(true), outcome: delivers},
		{name: "withdraw what a revocation voids", tokens: 1, spec: rotating(), trigger: cutOff(false), outcome: withdrawnFor(v1alpha1.ReasonCutOff)},
		{name: "rename the Secret", tokens: 2, publishes: true, spec: rotating(), trigger: func(ctx context.Context, w *world) {
			w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.Secret = &v1alpha1.SecretTemplate{Name: "elsewhere"} })
		}, outcome: func(ctx context.Context, w *world) {
			Expect(w.verify(ctx, w.currentToken(ctx, "elsewhere"))).To(Succeed())
			Expect(secretsOf(ctx, w.namespace)).To(HaveLen(1))
		}},
		{name: "shorten maxAge", tokens: 1, spec: rotating(), trigger: func(ctx context.Context, w *world) {
			w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.MaxAge = "2h" })
		}, outcome: func(ctx context.Context, w *world) {
			delivers(ctx, w)
			at := w.token(ctx)
			issued, err := at.Status.IssuedAt.Parse()
			Expect(err).NotTo(HaveOccurred())
			Expect(at.Status.ExpiresAt).To(Equal(v1alpha1.NewTimestamp(issued.Add(2 * time.Hour))))
		}},
		{name: "delete after its time", tokens: 1, spec: v1alpha1.AccessTokenSpec{MaxAge: "1h", TTLAfterFinished: "0s"}, trigger: pass(time.Hour),
			outcome: func(ctx context.Context, w *world) {
				list := &v1alpha1.AccessTokenList{}
				Expect(admin.List(ctx, list)).To(Succeed())
				for _, at := range list.Items {
					Expect(at.Namespace).NotTo(Equal(w.namespace))
				}
			}},
	}
}

// prepare brings a world to where the sequence begins.
func prepare(ctx context.Context, s sequence) *world {
	w := newWorld(ctx)
	w.declare(ctx, s.spec)
	if s.trigger != nil {
		w.start(0).restWithin(ctx, 0)
		Expect(w.held).To(HaveLen(1))
		w.settled(ctx)
		s.trigger(ctx, w)
	}
	return w
}

// finish lets a fresh process bring the world to rest and checks it.
func finish(ctx context.Context, w *world, s sequence, replica int) {
	w.settled(ctx)
	w.seenOrGone(ctx)
	w.start(replica).rest(ctx)
	s.holds(ctx, w)
}

// holds checks what has to hold at rest.
func (s sequence) holds(ctx context.Context, w *world) {
	GinkgoHelper()
	s.outcome(ctx, w)
	w.consistent(ctx)
	Expect(w.held).To(HaveLen(s.tokens), "tokens that reached a Secret")
}

var _ = Describe("A sequence of writes", func() {
	for _, s := range sequences() {
		Describe("to "+s.name, func() {
			It("comes to its end when the process stops before or after any write", func(ctx context.Context) {
				for _, stop := range []struct {
					when string
					at   func(int) fault
				}{{"before", stopBefore}, {"after", stopAfter}} {
					for nth := 1; nth <= mostWrites; nth++ {
						By(fmt.Sprintf("stopping %s write %d", stop.when, nth))
						w := prepare(ctx, s)
						first := w.start(0)
						first.client.set(stop.at(nth))
						first.restWithin(ctx, 0)
						finish(ctx, w, s, 0)
						if len(first.client.written()) < nth {
							Expect(nth).To(BeNumerically(">", 1), "the sequence wrote nothing")
							break
						}
						Expect(nth).To(BeNumerically("<", mostWrites))
					}
				}
			})

			DescribeTable("comes to its end when any write is answered with a conflict", func(ctx context.Context, conflict func(int) fault) {
				for nth := 1; nth <= mostWrites; nth++ {
					By(fmt.Sprintf("conflicting with write %d", nth))
					w := prepare(ctx, s)
					p := w.start(0)
					p.client.set(conflict(nth))
					p.rest(ctx)
					w.settled(ctx)
					p.rest(ctx)
					if len(p.client.written()) < nth {
						break
					}
					s.holds(ctx, w)
				}
			},
				Entry("and was not done", conflictOn),
				Entry("though an earlier attempt of it was done", conflictAfter),
			)

			It("leaves nothing when the process stops after any write and a person deletes the AccessToken", func(ctx context.Context) {
				for nth := 1; nth <= mostWrites; nth++ {
					By(fmt.Sprintf("deleting after write %d", nth))
					w := prepare(ctx, s)
					first := w.start(0)
					first.client.set(stopAfter(nth))
					first.restWithin(ctx, 0)
					deleteToken(ctx, w)
					w.startWatched(ctx, 1).attend(ctx, horizon, func() { nothingLeft(ctx, w) })
					if len(first.client.written()) < nth {
						break
					}
					Expect(nth).To(BeNumerically("<", mostWrites))
				}
			})

			It("comes to its end when a second manager takes over before any write, and the first wakes up later", func(ctx context.Context) {
				s.takenOver(ctx, func(context.Context, *world) {}, s.holds)
			})
		})
	}
})

// takenOver lets a manager pause before each of its writes in turn, while a
// second one takes over and something happens. When the first wakes up, the
// second does no more than its watches make it do.
func (s sequence) takenOver(ctx context.Context, meanwhile func(context.Context, *world), holds func(context.Context, *world)) {
	GinkgoHelper()
	for nth := 1; nth <= mostWrites; nth++ {
		By(fmt.Sprintf("pausing before write %d", nth))
		w := prepare(ctx, s)
		wake := w.start(0).sleepBefore(ctx, nth)
		if wake == nil {
			Expect(nth).To(BeNumerically(">", 1), "the sequence wrote nothing")
			return
		}
		second := w.startWatched(ctx, 1)
		second.attend(ctx, 0, func() {})
		meanwhile(ctx, w)
		second.attend(ctx, horizon, func() { holds(ctx, w) })
		wake()
		second.attend(ctx, horizon, func() { holds(ctx, w) })
	}
	Fail("the sequence has no end")
}

// sleepBefore begins a pass that sleeps before its nth write, until it is told
// to wake up and finish; nil when the pass is over before.
func (p *process) sleepBefore(ctx context.Context, nth int) (wake func()) {
	p.grant(ctx)
	reached, resume, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	p.client.set(pauseBefore(nth, reached, resume))
	go func() {
		defer GinkgoRecover()
		defer close(done)
		// What a pass of a manager that was overtaken answers does not matter,
		// only what it leaves behind.
		_, _ = p.reconciler.Reconcile(ctx, request(p.world))
	}()
	select {
	case <-reached:
	case <-done:
		return nil
	}
	return func() {
		close(resume)
		<-done
		p.note(ctx)
	}
}

var _ = It("Stopped processes write nothing more", func(ctx context.Context) {
	w := newWorld(ctx)
	w.declare(ctx, rotating())
	p := w.start(0)
	p.client.set(stopBefore(1))
	_, err := p.reconcile(ctx)
	Expect(errors.Is(err, errStopped)).To(BeTrue())
	Expect(w.records(ctx)).To(BeEmpty())
})
