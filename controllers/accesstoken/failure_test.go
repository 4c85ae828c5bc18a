package accesstoken_test

import (
	"context"
	"errors"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// failSecrets answers every write of a Secret with an error, without writing.
func (p *process) failSecrets(failure error) {
	p.client.set(func(_ int, _ string, write func() error) error {
		if written := p.client.written(); written[len(written)-1] == "patch Secret" {
			return failure
		}
		return write()
	})
}

// fillQuota refuses every Secret as a ResourceQuota does.
func fillQuota(p *process) {
	p.failSecrets(apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, p.key.Name, errors.New("exceeded quota: none")))
}

// keepTrying reconciles for a span as a work queue would: when asked to, and a
// second after an error.
func (p *process) keepTrying(ctx context.Context, span time.Duration) {
	for end := p.clock.Now().Add(span); p.clock.Now().Before(end); {
		result, err := p.reconcile(ctx)
		wait := result.RequeueAfter
		if err != nil {
			wait = time.Second
		}
		Expect(wait).NotTo(BeZero(), "nobody looks again")
		p.clock.SetTime(p.clock.Now().Add(wait))
	}
}

var _ = Describe("An issue whose Secret write fails", func() {
	It("is tried ever more slowly, whatever the error", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		p.failSecrets(apierrors.NewInternalError(errors.New("failed calling webhook")))
		p.keepTrying(ctx, 15*time.Minute)
		Expect(len(w.records(ctx))).To(BeNumerically("<=", 10))
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWriteFailed, "failed calling webhook")
		Expect(w.happened(v1alpha1.ReasonWriteFailed)).To(HaveLen(1))

		By("trying again by itself, and forgetting what was wrong")
		p.client.set(nil)
		p.restWithin(ctx, 15*time.Minute)
		delivers(ctx, w)
		w.consistent(ctx)
	})

	It("is no longer complained of once it is not wanted any more", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		p.restWithin(ctx, 0)
		first := w.currentToken(ctx, w.key.Name)
		fillQuota(p)
		w.edit(ctx, func(at *v1alpha1.AccessToken) {
			at.Annotations = with(at.Annotations, v1alpha1.AnnotationRotateRequestedAt, string(v1alpha1.NewTimestamp(w.clock.Now().Add(time.Minute))))
		})
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
		p.keepTrying(ctx, 10*time.Second)
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWriteFailed, "exceeded quota")

		w.edit(ctx, func(at *v1alpha1.AccessToken) { delete(at.Annotations, v1alpha1.AnnotationRotateRequestedAt) })
		p.restWithin(ctx, 0)
		delivers(ctx, w)
		Expect(w.currentToken(ctx, w.key.Name)).To(Equal(first))

		By("beginning with patience anew at the next need")
		w.edit(ctx, func(at *v1alpha1.AccessToken) {
			at.Annotations = with(at.Annotations, v1alpha1.AnnotationRotateRequestedAt, string(v1alpha1.NewTimestamp(w.clock.Now())))
		})
		w.clock.SetTime(w.clock.Now().Add(time.Second))
		result, err := p.reconcile(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(Equal(time.Second))
	})

	It("counts as done when only the answer was lost", func(ctx context.Context) {
		w := newWorld(ctx)
		w.declare(ctx, v1alpha1.AccessTokenSpec{})
		p := w.start(0)
		p.client.set(func(n int, _ string, write func() error) error {
			err := write()
			if err == nil && n == 2 {
				return apierrors.NewInternalError(errors.New("the answer was lost"))
			}
			return err
		})
		result, err := p.reconcile(ctx)
		Expect(err).To(MatchError(ContainSubstring("the answer was lost")))
		Expect(result.Priority).To(HaveValue(BeZero()), "as urgent as an edit")
		w.shows(ctx, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWriteFailed)
		w.settled(ctx)
		p.restWithin(ctx, 0)
		delivers(ctx, w)
		Expect(w.token(ctx).Status.Revision).To(BeEquivalentTo(1))
	})
})
