package accesstoken_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// succeed deletes the AccessToken and declares another one of its name, once
// garbage collection has taken all of the first.
func (w *world) succeed(ctx context.Context) {
	GinkgoHelper()
	deleteToken(ctx, w)
	Eventually(func() error { return InterceptGomegaFailure(func() { nothingLeft(ctx, w) }) }).WithTimeout(patience).Should(Succeed())
	w.settled(ctx)
	w.declare(ctx, rotating())
}

var _ = Describe("An AccessToken that is made again under its name", func() {
	It("keeps its Secret from a manager that still sees the one before", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		before := w.token(ctx)
		w.succeed(ctx)
		w.start(1).restWithin(ctx, 0)
		w.settled(ctx)
		text, secret := w.currentToken(ctx, w.key.Name), w.secret(ctx, w.key.Name)

		late := w.start(0)
		late.client.lagging = before
		_, err := late.reconciler.Reconcile(ctx, request(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(w.secret(ctx, w.key.Name).UID).To(Equal(secret.UID))
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(text))
		Expect(w.verify(ctx, text)).To(Succeed())
	})

	It("is served with the patience that nobody has used up", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, rotating())
		p := w.start(0)
		p.restWithin(ctx, 0)
		for range 4 {
			w.meddle(ctx, func(s *corev1.Secret) { s.Data["token"] = []byte("mine") })
			p.restWithin(ctx, 10*time.Second)
		}
		w.succeed(ctx)
		p.restWithin(ctx, 0)
		w.meddle(ctx, func(s *corev1.Secret) { s.Data["token"] = []byte("mine") })
		p.restWithin(ctx, 0)
		delivers(ctx, w)
	})
})

var _ = It("The cache keeps no content of a Secret that somebody applied from a file", func(ctx context.Context) {
	w := newWorld(ctx)
	w.declare(ctx, v1alpha1.AccessTokenSpec{})
	w.start(0).restWithin(ctx, 0)
	w.meddle(ctx, func(s *corev1.Secret) {
		s.Annotations = with(s.Annotations, corev1.LastAppliedConfigAnnotation, `{"data":{"token":"bWluZQ=="}}`)
	})
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	Expect(replicas[0].Get(ctx, w.key, metadata)).To(Succeed())
	Expect(metadata.Annotations).To(HaveKey(v1alpha1.AnnotationTokenID))
	Expect(metadata.Annotations).NotTo(HaveKey(corev1.LastAppliedConfigAnnotation))
	Expect(metadata.ManagedFields).NotTo(BeEmpty(), "they tell who wrote what")
})
