package lifecycle_test

import (
	"testing"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

// TestTheNextRotationIsToldWhileOneIsToCome holds what people and alerts read: a
// moment that has passed means that the operator is late.
func TestTheNextRotationIsToldWhileOneIsToCome(t *testing.T) {
	daily := v1alpha1.AccessTokenSpec{MaxAge: "240h", Rotation: &v1alpha1.Rotation{Interval: "24h"}}
	const tomorrow, noted = v1alpha1.Timestamp("2026-11-25T08:59:00Z"), v1alpha1.Timestamp("2026-11-24T08:59:00Z")
	account := func(uid string, reissue bool) func(*lifecycle.State) {
		return func(s *lifecycle.State) {
			for i := range s.Records {
				s.Records[i].Object.Spec.Subject = v1alpha1.Subject{Kind: v1alpha1.SubjectKindServiceAccount, UID: "before"}
			}
			s.Subject = &lifecycle.Subject{Kind: v1alpha1.SubjectKindServiceAccount, Name: "deployer", UID: uid, Reissue: reissue}
		}
	}
	for name, test := range map[string]struct {
		change func(*lifecycle.State)
		want   v1alpha1.Timestamp
	}{
		"in good order":                                {func(*lifecycle.State) {}, tomorrow},
		"taken back":                                   {func(s *lifecycle.State) { s.Token.Spec.State = v1alpha1.StateSuspended }, ""},
		"not allowed by a policy":                      {func(s *lifecycle.State) { s.Violation = &lifecycle.Violation{Message: "too long"} }, ""},
		"ended by a policy":                            {func(s *lifecycle.State) { s.Violation = &lifecycle.Violation{End: true} }, ""},
		"of a service account that is there":           {account("before", false), tomorrow},
		"of a service account that is gone":            {account("", false), ""},
		"of one that is gone, to be issued anew":       {account("", true), ""},
		"of one that was made again":                   {account("after", false), ""},
		"of a creator who lost the right":              {func(s *lifecycle.State) { s.Refusal = &lifecycle.Refusal{} }, ""},
		"in a Secret of somebody else":                 {func(s *lifecycle.State) { s.Secrets[0].Holder = lifecycle.HolderReleased }, ""},
		"taken back unused":                            {revoke(v1alpha1.EndReasonUnused), ""},
		"taken back unused, whose record is gone":      {func(s *lifecycle.State) { s.Records = nil; s.Token.Status.EndReason = v1alpha1.EndReasonUnused }, ""},
		"voided by a revocation":                       {revoke(v1alpha1.EndReasonCutOff), ""},
		"voided by a revocation, whose record is gone": {func(s *lifecycle.State) { s.Records = nil; s.Token.Status.EndReason = v1alpha1.EndReasonCutOff }, ""},
		"taken back unused, asked for": {func(s *lifecycle.State) {
			revoke(v1alpha1.EndReasonUnused)(s)
			s.Plan = mustPlan(t, daily, now.Add(-time.Second))
		}, v1alpha1.NewTimestamp(now)},
	} {
		t.Run(name, func(t *testing.T) {
			s := declared(t, daily).recorded(1, time.Minute, 10*day).published(1).but(test.change)
			s.Token.Status.NextRotationAt = noted
			if got := lifecycle.Summarize(s.State, nil).NextRotationAt; got != test.want {
				t.Errorf("next rotation at %q, want %q", got, test.want)
			}
		})
	}
}

// TestARetiredTokenIsFinishedThoughItWasRotated has it free its place in the quota.
func TestARetiredTokenIsFinishedThoughItWasRotated(t *testing.T) {
	spec := v1alpha1.AccessTokenSpec{MaxAge: "240h", Rotation: &v1alpha1.Rotation{Interval: "24h"}}
	s := declared(t, spec).recorded(1, 4*day, 10*day).published(1).but(revoke(v1alpha1.EndReasonUnused)).but(noSecret)
	s.Records[0].Object.Status.RevokedAt = v1alpha1.NewTimestamp(now.Add(-2 * day))
	s.Retirement = &lifecycle.Retirement{UnusedFor: 2 * day}
	s.Token.Status = lifecycle.Summarize(s.State, nil)
	if !lifecycle.Finished(s.Token) {
		t.Errorf("not finished: %+v", s.Token.Status)
	}
}
