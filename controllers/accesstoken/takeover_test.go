package accesstoken_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

var _ = Describe("A manager that sleeps before a write", func() {
	for _, s := range sequences() {
		if !s.publishes {
			continue
		}
		DescribeTable("and wakes up, having begun to "+s.name+", undoes nothing of what happened meanwhile:",
			func(ctx context.Context, meanwhile, holds func(context.Context, *world)) {
				s.takenOver(ctx, meanwhile, func(ctx context.Context, w *world) {
					holds(ctx, w)
					w.consistent(ctx)
				})
			},
			Entry("a suspension", state(v1alpha1.StateSuspended), withdrawnFor(v1alpha1.ReasonSuspended)),
			Entry("a revocation", state(v1alpha1.StateRevoked), withdrawnFor(v1alpha1.ReasonRevoked)),
			Entry("the deletion of the AccessToken", deleteToken, nothingLeft),
			Entry("the deletion of the Secrets", deleteSecrets, func(ctx context.Context, w *world) {
				Expect(secretsOf(ctx, w.namespace)).To(HaveLen(1))
			}),
		)
	}
})

var _ = DescribeTable("A manager that sleeps over a suspension brings no token back, though nobody else is awake any more, when it slept",
	func(ctx context.Context, nth int) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		w.start(0).restWithin(ctx, 0)
		w.settled(ctx)
		w.clock.SetTime(w.clock.Now().Add(time.Hour))
		wake := w.start(0).sleepBefore(ctx, nth)
		state(v1alpha1.StateSuspended)(ctx, w)
		w.start(1).rest(ctx)
		wake()
		withdrawnFor(v1alpha1.ReasonSuspended)(ctx, w)
		w.consistent(ctx)
	},
	Entry("before it made the record", 1),
	Entry("before it wrote the Secret", 2),
)

func deleteToken(ctx context.Context, w *world) {
	GinkgoHelper()
	object := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.key.Name}}
	Expect(client.IgnoreNotFound(admin.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground)))).To(Succeed())
	w.seenOrGone(ctx)
}

func deleteSecrets(ctx context.Context, w *world) {
	for _, secret := range secretsOf(ctx, w.namespace) {
		Expect(client.IgnoreNotFound(admin.Delete(ctx, &secret))).To(Succeed())
	}
	w.settled(ctx)
}

// nothingLeft checks that garbage collection finds all that was made.
func nothingLeft(ctx context.Context, w *world) {
	Expect(secretsOf(ctx, w.namespace)).To(BeEmpty())
	Expect(w.records(ctx)).To(BeEmpty())
}
