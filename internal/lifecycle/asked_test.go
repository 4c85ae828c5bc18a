package lifecycle_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

// TestATokenThatWasTakenBackUntilAskedStaysSoWithoutItsRecord has nobody bring it
// back by deleting the record.
func TestATokenThatWasTakenBackUntilAskedStaysSoWithoutItsRecord(t *testing.T) {
	spec := v1alpha1.AccessTokenSpec{MaxAge: "240h", Rotation: &v1alpha1.Rotation{Interval: "24h"}}
	for _, reason := range []string{v1alpha1.ReasonUnused, v1alpha1.ReasonRetired, v1alpha1.ReasonCutOff} {
		t.Run(reason, func(t *testing.T) {
			s := declared(t, spec).recorded(1, 2*day, 10*day).published(1).but(noSecret)
			s.Records = nil
			s.Token.Status.EndedAt = v1alpha1.NewTimestamp(now.Add(-time.Hour))
			s.Token.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: "why"}}
			if got := describe(lifecycle.Next(s.State)); got != "nothing" {
				t.Errorf("next action: %s, want nothing", got)
			}
			status := lifecycle.Summarize(s.State, nil)
			if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready.Reason != reason || ready.Message != "why" {
				t.Errorf("Ready says %s: %s", ready.Reason, ready.Message)
			}
			s.Plan = mustPlan(t, spec, now.Add(-time.Minute))
			if got := describe(lifecycle.Next(s.State)); got != "issue 2: Requested" {
				t.Errorf("next action after a request: %s", got)
			}
		})
	}
}
