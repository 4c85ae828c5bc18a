package accesstoken_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

var _ = Describe("A status that is not the operator's", func() {
	for name, patch := range map[string]string{
		"emptied":  `{"status":null}`,
		"edited":   `{"status":{"tokenID":"aaaaaaaaaaaaaaaa","expiresAt":"2030-01-01T00:00:00Z","secretName":"other","tokens":[]}}`,
		"stripped": `{"status":{"conditions":[]}}`,
	} {
		It("because somebody "+name+" it is written anew, with no new token", func(ctx context.Context) {
			w := newWorld(ctx)
			w.declare(ctx, rotating())
			p := w.startWatched(ctx, 0)
			p.attend(ctx, 0, func() { delivers(ctx, w) })
			first := w.currentToken(ctx, w.key.Name)
			p.attend(ctx, time.Hour, func() { Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2)) })
			second, before := w.currentToken(ctx, w.key.Name), w.token(ctx).Status

			Expect(admin.Status().Patch(ctx, w.token(ctx), client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
			p.attend(ctx, horizon, func() {
				after := w.token(ctx).Status
				for i := range after.Conditions { // when they came about is lost
					after.Conditions[i].LastTransitionTime = before.Conditions[i].LastTransitionTime
				}
				Expect(after).To(Equal(before))
			})
			Expect(w.currentToken(ctx, w.key.Name)).To(Equal(second))
			Expect(w.verify(ctx, first)).To(Succeed(), "its overlap goes on")
			w.consistent(ctx)
		})
	}

	It("is all that wakes it of statuses: its own do not", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		p := w.startWatched(ctx, 0)
		p.attend(ctx, 0, func() { delivers(ctx, w) })
		issued := w.clock.Now()
		w.edit(ctx, func(at *v1alpha1.AccessToken) { at.Spec.Description = "seen after all that came before" })
		Eventually(p.queue.take).WithTimeout(patience).Should(BeTrue())
		_, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		w.seen(ctx)
		Consistently(func() bool { at, ok := p.queue.next(); return ok && !at.After(issued) }).Should(BeFalse())
	})
})
