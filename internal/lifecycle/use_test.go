package lifecycle_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"pgregory.net/rapid"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
)

// extended adds a good record of a token that use extends by idle each time, up
// to a lifetime from its issue that long ago.
func (s *situation) extended(revision int64, ago, idle, lifetime time.Duration) *situation {
	s.recorded(revision, ago, idle)
	spec := &s.Records[len(s.Records)-1].Object.Spec
	spec.ExtendWhenUsed, spec.NotAfter = true, v1alpha1.NewTimestamp(now.Add(lifetime-ago))
	return s
}

// used notes a last use of the record added last; one of less than nothing ago is
// still to come.
func (s *situation) used(ago time.Duration) *situation {
	s.Records[len(s.Records)-1].Object.Status.LastUsedAt = v1alpha1.NewTimestamp(now.Add(-ago))
	return s
}

func TestNextOfTokensThatUseExtends(t *testing.T) {
	used := v1alpha1.AccessTokenSpec{MaxAge: "240h", ExtendWhenUsed: true} // 40 days at most
	unused := v1alpha1.AccessTokenSpec{MaxAge: "240h"}
	late := v1alpha1.AccessTokenSpec{MaxAge: "240h", ExtendWhenUsed: true, Rotation: &v1alpha1.Rotation{Interval: "480h", Overlap: "24h"}}
	for name, test := range map[string]struct {
		given *situation
		want  string
	}{
		"A token in use is left alone after its age": {
			declared(t, used).extended(1, 30*day, 10*day, 40*day).used(time.Hour).published(1), "nothing"},
		"A token that nobody used for its age is taken out of its Secret": {
			declared(t, used).extended(1, 30*day, 10*day, 40*day).used(10 * day).published(1), "withdraw deploy"},
		"A token in use ends at its hard end all the same": {
			declared(t, used).extended(1, 40*day, 10*day, 40*day).used(0).published(1), "withdraw deploy"},
		"A shorter maxAge binds a token in use": {
			declared(t, used).extended(1, day, 20*day, 40*day).used(0).published(1), "cap token-1 at 240h0m0s"},
		"A shorter maxLifetime brings the hard end forward": {
			declared(t, used).extended(1, day, 10*day, 80*day).used(0).published(1), "end token-1 in 936h0m0s: Shortened"},
		"A shorter maxLifetime that is over ends the token now": {
			declared(t, used).extended(1, 50*day, 10*day, 80*day).used(0).published(1), "end token-1 in 0s: Shortened"},
		"A longer maxLifetime leaves the live token as it is": {
			declared(t, used).extended(1, day, 10*day, 20*day).used(0).published(1), "nothing"},
		"Without extendWhenUsed maxAge counts from the issue": {
			declared(t, unused).extended(1, 3*day, 10*day, 40*day).used(0).published(1), "end token-1 in 168h0m0s: Shortened"},
		"Without extendWhenUsed a token that is older than maxAge ends now": {
			declared(t, unused).extended(1, 11*day, 10*day, 40*day).used(0).published(1), "end token-1 in 0s: Shortened"},
		"Without extendWhenUsed no token gains life": {
			declared(t, unused).extended(1, 3*day, 2*day, 5*day).used(0).published(1), "nothing"},
		"With extendWhenUsed a token from before keeps the age that it has": {
			declared(t, used).recorded(1, day, 30*day).published(1), "nothing"},
		"With extendWhenUsed a token from before lives no longer than one in use": {
			declared(t, used).recorded(1, day, 90*day).published(1), "cap token-1 at 960h0m0s"},
		"A token in use is rotated at its interval": {
			declared(t, late).extended(1, 20*day, 10*day, 40*day).used(0).published(1), "issue 2: Interval"},
		"A token that ended for want of use is not replaced at its interval": {
			declared(t, late).extended(1, 20*day, 10*day, 40*day).used(15 * day).published(1).but(noSecret), "nothing"},
		"A token that ended for want of use is not replaced at its interval when its record is gone": {
			declared(t, late).extended(1, 20*day, 10*day, 40*day).used(15 * day).published(1).but(noSecret).but(func(s *lifecycle.State) {
				s.Token.Status.ExpiresAt = v1alpha1.NewTimestamp(now.Add(-5 * day))
				s.Token.Status.EndedAt, s.Records = s.Token.Status.ExpiresAt, nil
			}), "nothing"},
		"A shorter lifetime than the interval replaces a token in its own time": {
			declared(t, late).extended(1, 8*day, 10*day, 12*day).used(0).published(1), "issue 2: Interval"},
		"A token that ended for want of use is replaced on request": {
			declared(t, late).extended(1, 20*day, 10*day, 40*day).used(15 * day).published(1).but(noSecret).but(func(s *lifecycle.State) {
				s.Plan = mustPlan(t, late, now.Add(-time.Second))
			}), "issue 2: Requested"},
		"A token that ended for want of use while its rotation was overdue is rotated": {
			declared(t, late).extended(1, 31*day, 10*day, 40*day).used(10 * day).published(1), "issue 2: Interval"},
		"The token before gets the end of the overlap, though unused it would end sooner": {
			declared(t, late).extended(1, 20*day, 10*day, 40*day).used(10*day-time.Hour).extended(2, 0, 10*day, 40*day).published(1).published(2),
			"end token-1 in 24h0m0s: Superseded"},
		"The end of an overlap is given once": {
			declared(t, late).extended(1, 20*day, 10*day, 40*day).used(0).extended(2, 0, 10*day, 40*day).published(1).published(2).but(func(s *lifecycle.State) {
				s.Records[0].Object.Status.ExpiresAt = v1alpha1.NewTimestamp(now.Add(day))
			}), "nothing"},
		"A token that its holder revoked is replaced at once": {
			declared(t, used).extended(1, day, 10*day, 40*day).used(0).published(1).but(revoke(v1alpha1.EndReasonRevokedByHolder)), "issue 2: RevokedByHolder"},
		"A token before, that its holder revoked, is not replaced": {
			declared(t, used).extended(1, day, 10*day, 40*day).extended(2, time.Hour, 10*day, 40*day).published(1).published(2).but(revoke(v1alpha1.EndReasonRevokedByHolder)), "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, describe(lifecycle.Next(test.given.State))); diff != "" {
				t.Errorf("next action (-want +got):\n%s", diff)
			}
		})
	}
}

func noSecret(s *lifecycle.State) { s.Secrets = nil }

func TestAnIssueNamesTheTokenThatItReplaces(t *testing.T) {
	spec := v1alpha1.AccessTokenSpec{MaxAge: "240h"}
	first, _ := lifecycle.Next(declared(t, spec).State).(lifecycle.Issue)
	second, _ := lifecycle.Next(declared(t, spec).recorded(1, day, 10*day).published(1).but(revoke(v1alpha1.EndReasonRevokedByHolder)).State).(lifecycle.Issue)
	if first.Replaces != "" || second.Replaces != id(1) {
		t.Errorf("replaced are %q and %q, want none and %q", first.Replaces, second.Replaces, id(1))
	}
}

func TestAnEndForWantOfUseIsToBeConfirmedUntilTheStatusSaysSo(t *testing.T) {
	spec := v1alpha1.AccessTokenSpec{MaxAge: "240h", ExtendWhenUsed: true}
	idle := func() *situation {
		return declared(t, spec).extended(1, 30*day, 10*day, 40*day).used(10 * day).published(1)
	}
	for name, test := range map[string]struct {
		given *situation
		want  bool
	}{
		"as the cache shows it":            {idle(), true},
		"when the status says that it did": {idle().but(func(s *lifecycle.State) { s.Token.Status.EndedAt = v1alpha1.NewTimestamp(now) }), false},
		"not before it ended":              {declared(t, spec).extended(1, 30*day, 10*day, 40*day).used(10*day - time.Second).published(1), false},
		"not at the hard end":              {declared(t, spec).extended(1, 40*day, 10*day, 40*day).used(day).published(1), false},
		"not for a token of a fixed age":   {declared(t, spec).recorded(1, 10*day, 10*day).published(1), false},
		"not for a record that is void":    {idle().but(func(s *lifecycle.State) { s.Records[0].Void = errVoid }), false},
		"not for one that was revoked":     {idle().but(revoke(v1alpha1.EndReasonRevoked)), false},
		"when no status names it yet":      {idle().but(func(s *lifecycle.State) { s.Token.Status = v1alpha1.AccessTokenStatus{} }), true},
		"in an overlap that the status shows": {idle().but(func(s *lifecycle.State) {
			s.Token.Status = v1alpha1.AccessTokenStatus{TokenID: id(2), Revision: 2, Tokens: []v1alpha1.IssuedToken{{ID: id(2)}, {ID: id(1)}}}
		}), true},
		"not after an overlap": {idle().but(func(s *lifecycle.State) {
			s.Token.Status = v1alpha1.AccessTokenStatus{TokenID: id(2), Revision: 2, Tokens: []v1alpha1.IssuedToken{{ID: id(2)}}}
		}), false},
	} {
		if got := test.given.Unconfirmed(test.given.Records[0]); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestNoticesFollowUse(t *testing.T) {
	for name, test := range map[string]struct {
		given  *situation
		notice string
		words  string
	}{
		"none while it is in use, though 30 days are left": {extendedBy(t, 30*day, 50*day, 0), "", ""},
		"seven days before it ends unused":                 {extendedBy(t, 30*day, 50*day, 23*day), "7d", "unless it is used before: use it"},
		"none in the first half of the time unused":        {extendedBy(t, 10*day, 15*day, 4*day), "", ""},
		"30 days before the hard end, however it is used":  {extendedBy(t, 30*day, 90*day, 0), "30d", "no rotation comes before: set spec.rotation"},
	} {
		status := lifecycle.Summarize(test.given.State, nil)
		if status.ExpiryNotice != test.notice {
			t.Errorf("%s: notice %q, want %q", name, status.ExpiryNotice, test.notice)
		}
		condition := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionExpiring)
		if (condition != nil) != (test.words != "") || condition != nil && !strings.Contains(condition.Message, test.words) {
			t.Errorf("%s: condition %+v, want one that says %q", name, condition, test.words)
		}
	}
}

// extendedBy is a token that was issued and used that long ago, and lives four
// times its age at most.
func extendedBy(t *testing.T, idle, issued, used time.Duration) *situation {
	t.Helper()
	spec := v1alpha1.AccessTokenSpec{MaxAge: v1alpha1.MaxAge(idle.String()), ExtendWhenUsed: true}
	return declared(t, spec).extended(1, issued, idle, 4*idle).used(used).published(1).but(func(s *lifecycle.State) { s.Token.Status.ExpiresAt = "" })
}

// TestTheStatusFollowsUseInSteps: whatever the uses, the end that a status shows
// is never later than the true one, and off by no more than an hour or a quarter
// of the age; the last use is off by less than an hour and never goes back.
func TestTheStatusFollowsUseInSteps(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		idle := rapid.SampledFrom([]time.Duration{10 * time.Minute, time.Hour, 30 * day}).Draw(rt, "idle")
		s := extendedBy(t, idle, 0, 0)
		var shownUse time.Time
		for range rapid.IntRange(1, 40).Draw(rt, "uses") {
			s.Now = s.Now.Add(time.Duration(rapid.Int64Range(0, int64(idle)).Draw(rt, "pause")))
			s.Records[0].Object.Status.LastUsedAt = v1alpha1.NewTimestamp(s.Now)
			s.Token.Status = lifecycle.Summarize(s.State, nil)

			hard := now.Add(4 * idle)
			end := s.Now.Truncate(time.Second).Add(idle)
			if hard.Before(end) {
				end = hard
			}
			shown, err := s.Token.Status.ExpiresAt.Parse()
			if off := end.Sub(shown); err != nil || off < 0 || off > min(time.Hour, idle/4) {
				rt.Fatalf("the end is %v and shown as %v (%v)", end, shown, err)
			}
			if s.Now.Before(end) && s.Token.Status.Tokens[0].ExpiresAt != s.Token.Status.ExpiresAt {
				rt.Fatalf("the end is shown as %s and %s", s.Token.Status.ExpiresAt, s.Token.Status.Tokens[0].ExpiresAt)
			}
			use, err := s.Token.Status.LastUsedAt.Parse()
			if err != nil || use.Before(shownUse) || use.After(s.Now) || s.Now.Truncate(time.Second).Sub(use) >= time.Hour {
				rt.Fatalf("used at %v, shown is %v after %v (%v)", s.Now, use, shownUse, err)
			}
			shownUse = use
		}
	})
}

func TestUseAllDayChangesTheStatusOnceAnHour(t *testing.T) {
	s := extendedBy(t, 30*day, 0, 0)
	changes := 0
	for range 144 {
		s.Now = s.Now.Add(10 * time.Minute)
		s.Records[0].Object.Status.LastUsedAt = v1alpha1.NewTimestamp(s.Now)
		status := lifecycle.Summarize(s.State, nil)
		if !cmp.Equal(status, s.Token.Status) {
			changes++
		}
		s.Token.Status = status
	}
	if changes > 2*24 || changes < 24 {
		t.Errorf("the status changed %d times in a day, want once an hour for the use and once for the end", changes)
	}
}

func TestTheEndOfATokenIsShownAsItIs(t *testing.T) {
	s := extendedBy(t, 30*day, 0, 0)
	s.Token.Status = lifecycle.Summarize(s.State, nil)
	s.used(-30 * time.Minute).but(func(s *lifecycle.State) { s.Now = s.Now.Add(time.Hour) })
	truth := now.Add(30*day + 30*time.Minute)
	coarse := lifecycle.Summarize(s.State, nil)
	if coarse.ExpiresAt != v1alpha1.NewTimestamp(now.Add(30*day)) {
		t.Fatalf("half an hour later the end is shown as %s", coarse.ExpiresAt)
	}
	for name, change := range map[string]func(*lifecycle.State){
		"when it came":                    func(s *lifecycle.State) { s.Now = truth },
		"when what was shown is over":     func(s *lifecycle.State) { s.Now = now.Add(30 * day) },
		"when another token was replaced": func(s *lifecycle.State) { s.Token.Status.TokenID, s.Token.Status.Tokens = "another", nil },
	} {
		changed := *s
		changed.Token = s.Token.DeepCopy()
		changed.Records = []lifecycle.Record{lifecycle.NewRecord(s.Records[0].Object.DeepCopy(), nil)}
		lastUsed := changed.Records[0].Object.Status.LastUsedAt
		change(&changed.State)
		changed.Records[0].Object.Status.LastUsedAt = lastUsed
		if shown := lifecycle.Summarize(changed.State, nil).ExpiresAt; shown != v1alpha1.NewTimestamp(truth) {
			t.Errorf("%s it is shown as %s, want %s", name, shown, v1alpha1.NewTimestamp(truth))
		}
	}
	s.Records[0].Object.Status.ExpiresAt = v1alpha1.NewTimestamp(now.Add(20 * day))
	if shown := lifecycle.Summarize(s.State, nil).ExpiresAt; shown != v1alpha1.NewTimestamp(now.Add(20*day)) {
		t.Errorf("an end that was brought forward is shown as %s", shown)
	}
	s.Records[0].Object.Status.ExpiresAt = ""
	s.Token.Status = coarse
	if at, ok := lifecycle.NextLook(s.State); !ok || !at.Equal(truth.Add(-7*day)) {
		t.Errorf("looks again at %v (%v), want at the first notice, which follows the true end", at, ok)
	}
	s.Now = now.Add(30*day - time.Second)
	if at, ok := lifecycle.NextLook(s.State); !ok || !at.Equal(now.Add(30*day)) {
		t.Errorf("looks again at %v (%v), want when what is shown is over", at, ok)
	}
	s.Now = now.Add(30 * day)
	s.Token.Status = lifecycle.Summarize(s.State, nil)
	if at, ok := lifecycle.NextLook(s.State); !ok || !at.Equal(truth) {
		t.Errorf("looks again at %v (%v), want at the true end", at, ok)
	}
}

func TestTheLastUseIsThatOfAnyToken(t *testing.T) {
	spec := v1alpha1.AccessTokenSpec{MaxAge: "240h", Rotation: &v1alpha1.Rotation{Overlap: "24h"}}
	lastUse := func(s *situation) v1alpha1.Timestamp { return lifecycle.Summarize(s.State, nil).LastUsedAt }
	ago := func(d time.Duration) v1alpha1.Timestamp { return v1alpha1.NewTimestamp(now.Add(-d)) }
	both := func() *situation {
		return declared(t, spec).recorded(1, 5*day, 10*day).used(2*time.Hour).recorded(2, day, 10*day).published(1).published(2)
	}
	if got := lastUse(both()); got != ago(2*time.Hour) {
		t.Errorf("with the one before in use it is %s", got)
	}
	if got := lastUse(both().used(time.Hour)); got != ago(time.Hour) {
		t.Errorf("with both in use it is %s", got)
	}
	if got := lastUse(both().used(-time.Hour)); got != ago(0) {
		t.Errorf("a use to come is shown as %s", got)
	}
	kept := both().but(func(s *lifecycle.State) { s.Token.Status.LastUsedAt, s.Records = ago(time.Hour), s.Records[1:] })
	if got := lastUse(kept); got != ago(time.Hour) {
		t.Errorf("with the one that was used gone it is %s", got)
	}
	edited := both().but(func(s *lifecycle.State) { s.Token.Status.LastUsedAt = "2999-01-01T00:00:00Z" })
	if got := lastUse(edited); got != ago(2*time.Hour) {
		t.Errorf("after somebody wrote another it is %s", got)
	}
	void := both().but(func(s *lifecycle.State) { s.Records[0].Void = errors.New("void") })
	if got := lastUse(void); got != "" {
		t.Errorf("a void record shows a use at %s", got)
	}
	if got := lastUse(declared(t, spec).recorded(1, day, 10*day).published(1)); got != "" {
		t.Errorf("a token that nobody used shows a use at %s", got)
	}
}
