package accesstoken_test

import (
	"context"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// readable checks that the status, whatever it says, says the same to kstatus,
// by which Flux, Argo CD and kubectl wait judge, as it does to a person.
func (w *world) readable(ctx context.Context) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AccessToken"))
	if err := admin.Get(ctx, w.key, object); err != nil {
		return // deleted, as it was to be
	}
	at := w.token(ctx)
	if len(at.Status.Conditions) == 0 {
		return // nothing was written yet
	}
	result, err := status.Compute(object)
	Expect(err).NotTo(HaveOccurred())
	want := status.InProgressStatus
	switch {
	case at.Status.ObservedGeneration != at.Generation:
		Expect(result.Status).To(Equal(want), "an edit that was not looked at yet")
		return
	case meta.IsStatusConditionTrue(at.Status.Conditions, v1alpha1.ConditionStalled):
		want = status.FailedStatus
	case meta.IsStatusConditionTrue(at.Status.Conditions, v1alpha1.ConditionReady):
		want = status.CurrentStatus
	}
	Expect(result.Status).To(Equal(want), "kstatus reads %s: %s", result.Status, result.Message)
	for _, condition := range at.Status.Conditions {
		Expect(condition.ObservedGeneration).To(Equal(at.Generation), "condition %s is about an earlier generation", condition.Type)
		if condition.Type == v1alpha1.ConditionStalled || condition.Type == v1alpha1.ConditionExpiring {
			Expect(condition.Status).To(Equal(metav1.ConditionTrue), "%s is present only while true", condition.Type)
		}
	}
}

// shows checks the status, the reason and, where given, words of the message of
// a condition.
func (w *world) shows(ctx context.Context, kind string, value metav1.ConditionStatus, reason string, words ...string) {
	GinkgoHelper()
	condition := meta.FindStatusCondition(w.token(ctx).Status.Conditions, kind)
	Expect(condition).NotTo(BeNil(), "there is no condition "+kind)
	Expect(condition.Status).To(Equal(value), "%s: %s", condition.Reason, condition.Message)
	Expect(condition.Reason).To(Equal(reason), condition.Message)
	for _, word := range words {
		Expect(condition.Message).To(ContainSubstring(word))
	}
}

// lacks checks that a condition is absent.
func (w *world) lacks(ctx context.Context, kind string) {
	GinkgoHelper()
	Expect(meta.FindStatusCondition(w.token(ctx).Status.Conditions, kind)).To(BeNil())
}
