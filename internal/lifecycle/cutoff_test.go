package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

// cutOff has a revocation void the first token, that long ago.
func cutOff(ago time.Duration, reissue bool) func(*lifecycle.State) {
	return func(s *lifecycle.State) {
		revoke(v1alpha1.EndReasonCutOff)(s)
		status := &s.Records[0].Object.Status
		status.RevokedAt, status.RevokedBy, status.Reissue = v1alpha1.NewTimestamp(now.Add(-ago)), "TokenRevocation/leak", reissue
	}
}

func TestWhatARevocationVoidsComesBackOnlyWhenAsked(t *testing.T) {
	spec := v1alpha1.AccessTokenSpec{MaxAge: "240h", Rotation: &v1alpha1.Rotation{Interval: "24h"}}
	given := func(change func(*lifecycle.State)) *situation {
		return declared(t, spec).recorded(1, 2*day, 10*day).published(1).but(change)
	}
	requested := func(s *lifecycle.State) { s.Plan = mustPlan(t, spec, now.Add(-time.Minute)) }
	void := func(s *lifecycle.State) { s.Records[0].Void = errVoid }
	for name, test := range map[string]struct {
		given *situation
		want  string
	}{
		"at once, but not in the second of the cut": {given(cutOff(time.Second, true)), "nothing"},
		"soon, where the revocation asks for it":    {given(cutOff(2*time.Second, true)), "issue 2: CutOff"},
		"not by an interval that has passed":        {given(cutOff(time.Hour, false)), "withdraw deploy"},
		"not again and again":                       {given(cutOff(time.Hour, false)).but(noSecret), "nothing"},
		"by request":                                {given(cutOff(time.Hour, false)).but(noSecret).but(requested), "issue 2: Requested"},
		"not because its key is gone":               {given(cutOff(time.Hour, false)).but(noSecret).but(void), "nothing"},
		"not for one that was replaced before":      {given(cutOff(time.Hour, true)).recorded(2, time.Hour, 10*day).published(2), "nothing"},
		"but the Secret does not wait for what cannot": {given(cutOff(time.Hour, true)).but(func(s *lifecycle.State) {
			s.Failure.NotBefore, s.Failure.Message = now.Add(time.Hour), "exceeded quota"
		}), "withdraw deploy"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := describe(lifecycle.Next(test.given.State)); got != test.want {
				t.Errorf("next action: %s, want %s", got, test.want)
			}
		})
	}
	if at, ok := lifecycle.NextLook(given(cutOff(time.Second, true)).State); !ok || !at.Equal(now.Add(time.Second)) {
		t.Errorf("looked at again at %s, %v, want in a second", at, ok)
	}
}

func TestTheStatusNamesWhatVoidsATokenAndTheWayBack(t *testing.T) {
	spec := v1alpha1.AccessTokenSpec{MaxAge: "240h", Rotation: &v1alpha1.Rotation{Interval: "24h"}}
	given := func(reissue bool, requested time.Time) lifecycle.State {
		s := declared(t, spec).recorded(1, day/2, 10*day).published(1).but(cutOff(time.Minute, reissue)).but(noSecret)
		s.Plan = mustPlan(t, spec, requested)
		return s.State
	}
	tomorrow := now.Add(day)
	for name, test := range map[string]struct {
		given        lifecycle.State
		ready, valid metav1.ConditionStatus
		reason       string
		stalled      bool
		says         string
	}{
		"until a person asks": {given(false, time.Time{}), "False", "False", "CutOff", true,
			"token token-1 was revoked by TokenRevocation/leak: request a new one with the annotation accesstoken.dev/rotate-requested-at, or delete this AccessToken"},
		"when one has asked for later": {given(false, tomorrow), "False", "False", "CutOff", false,
			"token token-1 was revoked by TokenRevocation/leak; the next one is issued at 2026-11-25T09:00:01Z"},
		"while a new one is on its way": {given(true, time.Time{}), "Unknown", "False", "Issuing", false,
			"token token-1 was revoked by TokenRevocation/leak, a new one is on its way"},
	} {
		t.Run(name, func(t *testing.T) {
			status := lifecycle.Summarize(test.given, nil)
			for kind, want := range map[string]metav1.ConditionStatus{"Ready": test.ready, "Valid": test.valid} {
				got := meta.FindStatusCondition(status.Conditions, kind)
				if got.Status != want || got.Reason != test.reason || !strings.HasSuffix(got.Message, test.says) {
					t.Errorf("%s: %+v", kind, got)
				}
			}
			if got := meta.IsStatusConditionTrue(status.Conditions, "Stalled"); got != test.stalled {
				t.Errorf("stalled: %v", got)
			}
			if status.EndedAt != v1alpha1.NewTimestamp(now.Add(-time.Minute)) || status.ExpiresAt != "" || len(status.Tokens) > 0 {
				t.Errorf("ended at %s, expires at %s, %d tokens", status.EndedAt, status.ExpiresAt, len(status.Tokens))
			}
		})
	}
}
