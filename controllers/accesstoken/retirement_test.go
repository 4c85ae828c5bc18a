package accesstoken_test

import (
	"context"
	"errors"
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
		Entry("for the driver of a volume", func(secret string) corev1.PodSpec {
			return podWith(func(spec *corev1.PodSpec) {
				spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
					Driver: "csi.example.com", NodePublishSecretRef: &corev1.LocalObjectReference{Name: secret},
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

// reads counts what is read from the API server to decide about retirement, and fails
// it on demand.
type reads struct {
	client.Client
	pods, trackings int
	fails           bool
}

var errUnreadable = errors.New("cannot be read: injected")

// readBy puts reads between a process and the API server.
func readBy(p *process) *reads {
	r := &reads{Client: live}
	p.reconciler.Live = r
	return r
}

func (r *reads) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if key.Name == lastused.TrackingName {
		if r.trackings++; r.fails {
			return errUnreadable
		}
	}
	return r.Client.Get(ctx, key, object, options...)
}

func (r *reads) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, ok := list.(*corev1.PodList); ok {
		if r.pods++; r.fails {
			return errUnreadable
		}
	}
	return r.Client.List(ctx, list, options...)
}

var _ = Describe("Retirement that cannot be judged", Serial, func() {
	It("delays no revocation and no rotation, while the ConfigMap of verifiers cannot be read", func(ctx context.Context) {
		w, p, text := retiring(ctx, "")
		reading := readBy(p)
		reading.fails = true
		w.clock.SetTime(w.clock.Now().Add(13 * time.Hour))
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeNumerically("~", time.Minute, time.Second))
		Expect(w.currentToken(ctx, w.key.Name)).NotTo(Equal(text), "it was rotated all the same")

		state(v1alpha1.StateRevoked)(ctx, w)
		w.clock.SetTime(w.clock.Now().Add(2 * time.Minute))
		_, err = p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonRevoked)
		for _, record := range w.records(ctx) {
			Expect(record.Status.RevokedAt).NotTo(BeEmpty())
		}
	})

	It("takes nothing back, and delays no revocation, while Pods cannot be listed", func(ctx context.Context) {
		w, p, _ := retiring(ctx, "")
		trackUses(ctx, w.clock.Now())
		p.after(ctx, 47*time.Hour)
		reading := readBy(p)
		reading.fails = true
		w.clock.SetTime(w.clock.Now().Add(2 * time.Hour))
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeNumerically("~", time.Minute, time.Second))
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)

		state(v1alpha1.StateRevoked)(ctx, w)
		_, err = p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonRevoked)
	})

	It("asks once a minute at most whether uses are noted, and lists Pods once an hour for a token that one mounts", func(ctx context.Context) {
		w, _, _ := retiring(ctx, "")
		p := w.start(0)
		reading := readBy(p)
		for range 20 {
			w.clock.SetTime(w.clock.Now().Add(2 * time.Second))
			_, err := p.reconcile(ctx)
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(reading.trackings).To(Equal(1))

		trackUses(ctx, w.clock.Now())
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "consumer", Namespace: w.namespace}, Spec: podWith(func(spec *corev1.PodSpec) {
			spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: w.key.Name}}
		})}
		Expect(admin.Create(ctx, pod)).To(Succeed())
		p.after(ctx, 49*time.Hour)
		Expect(reading.pods).To(BeNumerically(">=", 1))
		before := reading.pods
		for range 20 {
			w.clock.SetTime(w.clock.Now().Add(2 * time.Second))
			_, err := p.reconcile(ctx)
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(reading.pods).To(Equal(before))
	})
})

func podWith(change func(*corev1.PodSpec)) corev1.PodSpec {
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "ci", Image: "registry.example.com/ci:1"}}}
	change(&spec)
	return spec
}
