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

// idle checks that nothing is left to do, and that looking again writes nothing.
func (p *process) idle(ctx context.Context) {
	GinkgoHelper()
	p.client.set(nil)
	for range 2 {
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeZero())
	}
	Expect(p.client.written()).To(BeEmpty())
}

// exported applies the Secret as a tool does that was given it as a manifest,
// with a label of its own.
func (w *world) exported(ctx context.Context) {
	GinkgoHelper()
	secret := w.secret(ctx, w.key.Name)
	manifest := &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Name: secret.Name, Namespace: secret.Namespace, Labels: with(secret.Labels, "team", "shop"),
			Annotations: secret.Annotations, OwnerReferences: secret.OwnerReferences,
		},
		Data: secret.Data, Type: secret.Type,
	}
	Expect(admin.Patch(ctx, manifest, client.Apply, client.FieldOwner("gitops"))).To(Succeed()) //nolint:staticcheck // an export is typed
	w.settled(ctx)
}

var _ = Describe("A token that is taken back", func() {
	DescribeTable("is out of a Secret that others share, once and for all, when",
		func(ctx context.Context, template *v1alpha1.SecretTemplate, before, after func(context.Context, *world)) {
			w := newWorld(ctx)
			w.declare(ctx, v1alpha1.AccessTokenSpec{Secret: template})
			p := w.start(0)
			p.restWithin(ctx, 0)
			w.meddle(ctx, func(s *corev1.Secret) { s.Labels["team"] = "shop" })
			before(ctx, w)
			state(v1alpha1.StateSuspended)(ctx, w)
			p.restWithin(ctx, 0)
			after(ctx, w)
			p.idle(ctx)
			secret := w.secret(ctx, w.key.Name)
			Expect(tokensIn(*secret)).To(BeEmpty())
			Expect(secret.Labels).To(HaveKeyWithValue("team", "shop"))
			w.consistent(ctx)
		},
		Entry("somebody writes a token ID into the emptied Secret", nil, nothing, func(ctx context.Context, w *world) {
			w.meddle(ctx, func(s *corev1.Secret) { s.Annotations = with(s.Annotations, v1alpha1.AnnotationTokenID, "anything") })
		}),
		Entry("somebody applied the Secret with the same content", nil, func(ctx context.Context, w *world) { w.exported(ctx) }, nothing),
		Entry("somebody applied a Secret whose type demands a key", &v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatBasicAuth},
			func(ctx context.Context, w *world) { w.exported(ctx) }, nothing),
		Entry("somebody garbled the format of one whose type demands a key", &v1alpha1.SecretTemplate{Format: v1alpha1.SecretFormatBasicAuth},
			func(ctx context.Context, w *world) {
				w.meddle(ctx, func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationFormat] = "Opaque" })
			}, nothing),
	)

	It("takes along a Secret whose content nobody can change", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		p.restWithin(ctx, 0)
		w.meddle(ctx, func(s *corev1.Secret) { s.Labels["team"], s.Immutable = "shop", new(true) })
		state(v1alpha1.StateRevoked)(ctx, w)
		p.restWithin(ctx, 0)
		withdrawnFor(v1alpha1.ReasonRevoked)(ctx, w)
		p.idle(ctx)
	})
})

func nothing(context.Context, *world) {}

var _ = It("A token that a revocation voids is not had again by deleting its record behind a Secret of somebody else", func(ctx context.Context) {
	w := newWorld(ctx)
	w.declare(ctx, rotating())
	p := w.start(0)
	p.restWithin(ctx, 0)
	w.settled(ctx)
	cutOff(false)(ctx, w)
	p.restWithin(ctx, time.Minute)
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: w.key.Name, Namespace: w.namespace, Labels: map[string]string{v1alpha1.LabelAccessToken: w.key.Name}}}
	Expect(admin.Create(ctx, foreign)).To(Succeed())
	w.settled(ctx)
	p.restWithin(ctx, 0)
	w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict)

	Expect(admin.DeleteAllOf(ctx, &v1alpha1.TokenRecord{}, client.InNamespace(w.namespace))).To(Succeed())
	Expect(admin.Delete(ctx, foreign)).To(Succeed())
	w.settled(ctx)
	p.rest(ctx)
	w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCutOff, v1alpha1.AnnotationRotateRequestedAt)
	Expect(w.records(ctx)).To(BeEmpty())
	Expect(w.token(ctx).Status.EndReason).To(Equal(v1alpha1.EndReasonCutOff))
})
