package lifecycle

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Retirement is what policies ask for of a token that nobody uses.
type Retirement struct {
	// UnusedFor is how long that is before it is taken back, and again before the
	// AccessToken counts as finished.
	UnusedFor time.Duration

	// TrackedSince is since when uses are noted. Before, nobody can tell.
	TrackedSince time.Time

	// Mounted says that a running Pod uses a Secret of the token.
	Mounted bool
}

// retireAt is when a token that verifies is taken back unless somebody uses it.
func (s State) retireAt() (time.Time, bool) {
	current, found := s.current()
	if s.Retirement == nil || s.Retirement.TrackedSince.IsZero() || !found || !current.verifies(s.Now) {
		return time.Time{}, false
	}
	// Since when there is a token without a gap, as the status has it; a rotation
	// does not count. Before it says so, as in the pass that issues, nothing is due.
	valid := meta.FindStatusCondition(s.Token.Status.Conditions, v1alpha1.ConditionValid)
	if valid == nil || valid.Status != metav1.ConditionTrue {
		return time.Time{}, false
	}
	active := later(later(s.Token.CreationTimestamp.Time, s.Retirement.TrackedSince), valid.LastTransitionTime.Time)
	if asked := s.Plan.RequestedAt(); !asked.After(s.Now) {
		active = later(active, asked)
	}
	if used, err := s.lastUsedAt().Parse(); err == nil {
		active = later(active, used)
	}
	for _, r := range s.Records {
		if used, err := r.Object.Status.LastUsedAt.Parse(); err == nil && r.Void == nil {
			active = later(active, used)
		}
	}
	return active.Add(s.Retirement.UnusedFor), true
}

// RetirementDue says that the token would be taken back now, unless a Pod uses its
// Secret.
func (s State) RetirementDue() bool {
	at, ok := s.retireAt()
	return ok && !s.Now.Before(at)
}

// retire takes back the current token and those before it.
func retire(s State) Action {
	_, begun := s.takenBackUnused()
	if !begun && (!s.RetirementDue() || s.Retirement.Mounted) {
		return nil
	}
	current, _ := s.current()
	for _, r := range s.Records {
		if r.Object.Spec.Revision <= current.Object.Spec.Revision && !r.ended(s.Now) {
			return EndRecord{Record: r, RevokedAt: s.Now, Reason: v1alpha1.EndReasonUnused}
		}
	}
	return nil
}

// takenBackUnused says that the current token was taken back because nobody used
// it, and when.
func (s State) takenBackUnused() (time.Time, bool) {
	current, found := s.current()
	if !found || !current.revoked() || current.Object.Status.Reason != v1alpha1.EndReasonUnused {
		return time.Time{}, false
	}
	at, err := current.Object.Status.RevokedAt.Parse()
	return at, err == nil
}

// retiredAt is when an AccessToken whose token was taken back unused counts as
// finished.
func (s State) retiredAt() (time.Time, bool) {
	at, unused := s.takenBackUnused()
	if !unused || s.Retirement == nil {
		return time.Time{}, false
	}
	return at.Add(s.Retirement.UnusedFor), true
}

func (s State) retired() bool {
	at, ok := s.retiredAt()
	return ok && !s.Now.Before(at)
}

// withdrawUnused takes a token that was taken back unused out of its Secret, unless
// another is about to take its place.
func withdrawUnused(s State) Action {
	if _, unused := s.takenBackUnused(); !unused {
		return nil
	}
	if _, at, due := Due(s); due && !s.Now.Before(at) {
		return nil
	}
	return withdrawAll(s)
}

func (s State) unusedVerdict() (v verdict, ok bool) {
	at, unused := s.takenBackUnused()
	if !unused {
		return verdict{}, false
	}
	if _, due, asked := s.needed(); asked && !s.Now.Before(due) {
		return verdict{}, false
	}
	advice := fmt.Sprintf("request a new one with the annotation %s, or delete this AccessToken", v1alpha1.AnnotationRotateRequestedAt)
	if s.retired() {
		return verdict{metav1.ConditionFalse, v1alpha1.ReasonRetired, fmt.Sprintf(
			"nobody used the token, it was taken back at %s, and nobody asked for another: %s", v1alpha1.NewTimestamp(at), advice), true}, true
	}
	return verdict{metav1.ConditionFalse, v1alpha1.ReasonUnused, fmt.Sprintf(
		"nobody used the token for as long as an AccessTokenPolicy allows, and it was taken back at %s: %s", v1alpha1.NewTimestamp(at), advice), true}, true
}
