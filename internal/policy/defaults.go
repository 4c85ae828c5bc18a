package policy

import (
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
)

// WithDefaults is an AccessToken in which the policies that select its namespace
// have filled in what its spec leaves to them: maxAge, and a maxLifetime that is
// not longer than they allow. The argument stays as it is. Source says where its
// maxAge came from.
func WithDefaults(selecting []*v1alpha1.AccessTokenPolicy, token *v1alpha1.AccessToken) (filled *v1alpha1.AccessToken, source v1alpha1.MaxAgeSource) {
	var byDefault, most shortest
	for _, p := range selecting {
		if p.Spec.MaxAge != nil {
			byDefault.consider(p.Spec.MaxAge.Default)
			most.consider(p.Spec.MaxAge.Max)
		}
	}
	filled, source = token, v1alpha1.MaxAgeSourceSpec
	if token.Spec.MaxAge == "" {
		age := schedule.DefaultMaxAge
		if token.Spec.ExtendWhenUsed {
			age = schedule.DefaultIdleAge
		}
		wanted := min(byDefault.or(age), most.or(schedule.Longest))
		if source = v1alpha1.MaxAgeSourceDefault; byDefault.set || wanted != age {
			filled, source = token.DeepCopy(), v1alpha1.MaxAgeSourcePolicy
			filled.Spec.MaxAge = v1alpha1.MaxAge(v1alpha1.NewDuration(wanted))
		}
	}
	if token.Spec.ExtendWhenUsed && token.Spec.MaxLifetime == "" && most.set {
		filled = limitLifetime(filled, most.least)
	}
	return filled, source
}

// UnusedFor is after how long without a use a token is taken back, by the policies
// that select its namespace; ok is false where none does.
func UnusedFor(selecting []*v1alpha1.AccessTokenPolicy) (unused time.Duration, ok bool) {
	var least shortest
	for _, p := range selecting {
		if p.Spec.Retirement != nil {
			least.consider(p.Spec.Retirement.UnusedFor)
		}
	}
	return least.least, least.set
}

// limitLifetime names the lifetime that follows from the age, where it would be
// longer than allowed.
func limitLifetime(token *v1alpha1.AccessToken, most time.Duration) *v1alpha1.AccessToken {
	plan, err := schedule.NewPlan(token)
	if err != nil || plan.MaxLifetime <= most {
		return token
	}
	token = token.DeepCopy()
	token.Spec.MaxLifetime = v1alpha1.NewDuration(max(most, plan.MaxAge.Duration))
	return token
}

// shortest is the least of the durations that are set.
type shortest struct {
	least time.Duration
	set   bool
}

func (s *shortest) consider(text v1alpha1.Duration) {
	if d, err := text.Parse(); err == nil && (!s.set || d < s.least) {
		s.least, s.set = d, true
	}
}

func (s *shortest) or(byDefault time.Duration) time.Duration {
	if s.set {
		return s.least
	}
	return byDefault
}
