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

var _ = Describe("A revision", func() {
	It("that was restored into the Secret from a backup is replaced, whatever became of its record", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "720h", TTLAfterFinished: "0s"})
		p := w.start(0)
		p.restWithin(ctx, 0)
		backup := w.secret(ctx, w.key.Name)
		deleteSecrets(ctx, w)
		p.rest(ctx)
		w.clock.SetTime(w.clock.Now().Add(48 * time.Hour)) // past the overlap
		p.restWithin(ctx, 0)
		second := w.currentToken(ctx, w.key.Name)

		w.meddle(ctx, func(s *corev1.Secret) { s.Data, s.Annotations = backup.Data, backup.Annotations })
		p.restWithin(ctx, 0)
		delivers(ctx, w)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(3))
		Expect(w.verify(ctx, second)).To(Succeed(), "the overlap keeps the one before")
		w.consistent(ctx)
	})

	It("is never used twice, also when it reached no Secret and its record is gone", func(ctx context.Context) {
		w := newWorld(ctx)
		theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: w.key.Name, Namespace: w.namespace}, StringData: map[string]string{"token": "theirs"}}
		Expect(admin.Create(ctx, theirs, client.FieldOwner("their-tool"))).To(Succeed())
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		_, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(w.records(ctx)).To(HaveLen(1))
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(1))

		for _, r := range w.records(ctx) {
			Expect(admin.Delete(ctx, &r)).To(Succeed())
		}
		Expect(admin.Delete(ctx, theirs)).To(Succeed())
		w.settled(ctx)
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
		p.rest(ctx)
		delivers(ctx, w)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(2))
	})

	DescribeTable("follows whatever somebody writes into the Secret's annotation",
		func(ctx context.Context, written string, next int64) {
			w := newWorld(ctx)
			w.declare(ctx, v1alpha1.AccessTokenSpec{})
			p := w.start(0)
			p.restWithin(ctx, 0)
			w.meddle(ctx, func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationRevision] = written })
			p.restWithin(ctx, 0)
			delivers(ctx, w)
			Expect(w.token(ctx).Status.Revision).To(Equal(next))
			w.consistent(ctx)
			state(v1alpha1.StateSuspended)(ctx, w)
			p.restWithin(ctx, 0)
			Expect(secretsOf(ctx, w.namespace)).To(BeEmpty())
		},
		Entry("a higher one", "1000", int64(1001)),
		Entry("the highest that is believed", "1048577", int64(1048578)),
		Entry("one above that", "1048578", int64(2)),
		Entry("the highest that policy compares", "9007199254740992", int64(2)),
		Entry("one above that", "9007199254740993", int64(2)),
		Entry("more than a number holds", "99999999999999999999", int64(2)),
		Entry("none", "0", int64(2)),
		Entry("one that is negative", "-5", int64(2)),
		Entry("what is no number", "soon", int64(2)),
	)
})
