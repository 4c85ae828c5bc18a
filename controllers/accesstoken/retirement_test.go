package accesstoken_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lastused"
)

// trackUses writes down that uses are noted since then, until the spec ends.
func trackUses(ctx context.Context, since time.Time) {
	GinkgoHelper()
	Expect(lastused.BeginTracking(ctx, admin, operator.Namespace, since)).To(Succeed())
	DeferCleanup(func(ctx context.Context) {
		Expect(admin.Delete(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operator.Namespace, Name: lastused.TrackingName}})).To(Succeed())
	})
}

// retiring is a world in which a policy takes back what nobody uses for two days,
// and a token that was just issued.
func retiring(ctx context.Context, ttl v1alpha1.Duration) (w *world, p *process, text string) {
	GinkgoHelper()
	w = newWorld(ctx)
	w.limit(ctx, v1alpha1.AccessTokenPolicySpec{Retirement: &v1alpha1.PolicyRetirement{UnusedFor: "48h"}})
	w.declare(ctx, v1alpha1.AccessTokenSpec{MaxAge: "8760h", Rotation: &v1alpha1.Rotation{Interval: "12h"}, TTLAfterFinished: ttl})
	p = w.start(0)
	p.restWithin(ctx, 0)
	return w, p, w.currentToken(ctx, w.key.Name)
}

// after steps the clock, with a pass at each moment that is due.
func (p *process) after(ctx context.Context, span time.Duration) {
	GinkgoHelper()
	end := p.clock.Now().Add(span)
	p.restWithin(ctx, span)
	p.clock.SetTime(end)
	p.restWithin(ctx, 0)
}

var _ = Describe("A token that nobody uses", Serial, func() {
	It("is taken back after a while, though it was rotated meanwhile, and is had again on request", func(ctx context.Context) {
		w, p, first := retiring(ctx, "")
		trackUses(ctx, w.clock.Now())
		p.after(ctx, 47*time.Hour)
		text := w.currentToken(ctx, w.key.Name)
		Expect(text).NotTo(Equal(first), "it is rotated as before")
		p.after(ctx, time.Hour+time.Second)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnused, v1alpha1.AnnotationRotateRequestedAt)
		Expect(w.verify(ctx, text)).NotTo(Succeed())
		Expect(secretsOf(ctx, w.namespace)).To(BeEmpty())
		records := len(w.records(ctx))
		p.after(ctx, 24*time.Hour)
		Expect(w.records(ctx)).To(HaveLen(records), "no rotation brings it back")
		Expect(w.token(ctx).Status.EndedAt).To(BeEmpty(), "it may be had again")
		Expect(w.token(ctx).Status.NextRotationAt).To(BeEmpty(), "none is to come")

		w.requestRotation(ctx)
		p.restWithin(ctx, 0)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		p.after(ctx, 47*time.Hour)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		w.consistent(ctx)
	})

	It("counts as finished after the same time again, and is deleted if it is to be", func(ctx context.Context) {
		w, p, _ := retiring(ctx, "24h")
		trackUses(ctx, w.clock.Now())
		p.after(ctx, 96*time.Hour+2*time.Second)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRetired)
		Expect(w.token(ctx).Status.EndedAt).NotTo(BeEmpty())
		w.seen(ctx)
		p.after(ctx, 120*time.Hour)
		Expect(apierrors.IsNotFound(admin.Get(ctx, w.key, &v1alpha1.AccessToken{}))).To(BeTrue())
	})

	It("stays while somebody uses it", func(ctx context.Context) {
		w, p, _ := retiring(ctx, "")
		trackUses(ctx, w.clock.Now())
		p.after(ctx, 47*time.Hour)
		w.use(ctx, w.currentToken(ctx, w.key.Name))
		p.after(ctx, 47*time.Hour)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		p.after(ctx, 2*time.Hour)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnused)
	})

	It("is not taken for one that was just issued after a long while without", func(ctx context.Context) {
		w, p, _ := retiring(ctx, "")
		trackUses(ctx, w.clock.Now())
		w.edit(ctx, func(token *v1alpha1.AccessToken) { token.Spec.State = v1alpha1.StateSuspended })
		p.after(ctx, 72*time.Hour)
		w.edit(ctx, func(token *v1alpha1.AccessToken) { token.Spec.State = v1alpha1.StateActive })
		p.after(ctx, 47*time.Hour)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		p.after(ctx, 2*time.Hour)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnused)
	})

	It("stays while nobody notes uses, and for as long again once somebody does", func(ctx context.Context) {
		w, p, _ := retiring(ctx, "")
		p.after(ctx, 100*time.Hour)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		trackUses(ctx, w.clock.Now())
		p.after(ctx, 47*time.Hour)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		p.after(ctx, 2*time.Hour)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnused)
	})

	DescribeTable("stays while a Pod refers to its Secret", func(ctx context.Context, spec func(secret string) corev1.PodSpec) {
		w, p, _ := retiring(ctx, "")
		trackUses(ctx, w.clock.Now())
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "consumer", Namespace: w.namespace}, Spec: spec(w.key.Name)}
		Expect(admin.Create(ctx, pod)).To(Succeed())
		p.after(ctx, 50*time.Hour)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
		Expect(admin.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
		p.after(ctx, 2*time.Hour)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnused)
	},
		Entry("as a volume", func(secret string) corev1.PodSpec {
			return podWith(func(spec *corev1.PodSpec) {
				spec.Volumes = []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}}}
			})
		}),
		Entry("in a projected volume", func(secret string) corev1.PodSpec {
			return podWith(func(spec *corev1.PodSpec) {
				spec.Volumes = []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}},
				}}}}}
			})
		}),
		Entry("to pull images", func(secret string) corev1.PodSpec {
			return podWith(func(spec *corev1.PodSpec) { spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: secret}} })
		}),
		Entry("in one variable", func(secret string) corev1.PodSpec {
			return podWith(func(spec *corev1.PodSpec) {
				spec.Containers[0].Env = []corev1.EnvVar{{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
					Key: "token", LocalObjectReference: corev1.LocalObjectReference{Name: secret},
				}}}}
			})
		}),
		Entry("in the whole environment", func(secret string) corev1.PodSpec {
			return podWith(func(spec *corev1.PodSpec) {
				spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}}}
			})
		}),
	)
})

func podWith(change func(*corev1.PodSpec)) corev1.PodSpec {
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "ci", Image: "registry.example.com/ci:1"}}}
	change(&spec)
	return spec
}
