package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

// TestATokenThatWasTakenBackUntilAskedStaysSoWithoutItsRecord has nobody bring it
// back by deleting the record, whatever else there was to say of it meanwhile.
func TestATokenThatWasTakenBackUntilAskedStaysSoWithoutItsRecord(t *testing.T) {
	spec := v1alpha1.AccessTokenSpec{MaxAge: "240h", Rotation: &v1alpha1.Rotation{Interval: "24h"}}
	gone := func(s *lifecycle.State) { s.Records = nil }
	for name, test := range map[string]struct {
		taken   v1alpha1.EndReason
		mask    func(*lifecycle.State)
		lost    func(*lifecycle.State)
		ready   string
		message string
	}{
		"unused":                           {v1alpha1.EndReasonUnused, nil, gone, v1alpha1.ReasonUnused, "nobody used the token for as long as"},
		"unused, and void":                 {v1alpha1.EndReasonUnused, nil, func(s *lifecycle.State) { s.Records[0].Void = errVoid }, v1alpha1.ReasonUnused, "nobody used the token for as long as"},
		"unused, under a policy meanwhile": {v1alpha1.EndReasonUnused, func(s *lifecycle.State) { s.Violation = &lifecycle.Violation{} }, gone, v1alpha1.ReasonUnused, "was taken back since nobody used it, and its record is gone"},
		"cut off":                          {v1alpha1.EndReasonCutOff, nil, gone, v1alpha1.ReasonCutOff, "was revoked by"},
		"cut off, and void":                {v1alpha1.EndReasonCutOff, nil, func(s *lifecycle.State) { s.Records[0].Void = errVoid }, v1alpha1.ReasonCutOff, "was revoked by"},
		"cut off, in conflict meanwhile": {v1alpha1.EndReasonCutOff, func(s *lifecycle.State) {
			s.Secrets = []lifecycle.Secret{{Name: s.Template.Name, Holder: lifecycle.HolderForeign}}
		}, gone, v1alpha1.ReasonCutOff, "was taken back by a revocation, and its record is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			s := declared(t, spec).recorded(1, 2*day, 10*day).published(1).but(revoke(test.taken)).but(noSecret)
			s.Token.Status = lifecycle.Summarize(s.State, nil)
			if test.mask != nil {
				secrets := s.Secrets
				test.mask(&s.State)
				s.Token.Status = lifecycle.Summarize(s.State, nil)
				s.Violation, s.Secrets = nil, secrets
			}
			test.lost(&s.State)
			if got := describe(lifecycle.Next(s.State)); got != "nothing" {
				t.Errorf("next action: %s, want nothing", got)
			}
			status := lifecycle.Summarize(s.State, nil)
			if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready.Reason != test.ready || !strings.Contains(ready.Message, test.message) {
				t.Errorf("Ready says %s: %s", ready.Reason, ready.Message)
			}
			if status.EndReason != test.taken {
				t.Errorf("status.endReason is %q, want %q", status.EndReason, test.taken)
			}
			s.Token.Status = status
			s.Plan = mustPlan(t, spec, now.Add(-time.Minute))
			if got := describe(lifecycle.Next(s.State)); got != "issue 2: Requested" {
				t.Errorf("next action after a request: %s", got)
			}
		})
	}
}
