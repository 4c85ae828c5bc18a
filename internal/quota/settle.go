package quota

import (
	"slices"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/policy"
)

// Times say how long a grant counts. Between them lies what an issue takes, and
// what the clocks of two managers may differ by.
type Times struct {
	// Trust is how long after a grant a manager issues by what its cache shows of
	// the ledger. Later it reads the ledger again.
	Trust time.Duration

	// Create is how long a manager takes at most to create the record after it
	// looked at the ledger.
	Create time.Duration

	// Hold is how long a place stays taken of which no use was seen: whoever got
	// it may be about to use it. A ledger that was lost grants nothing for as
	// long.
	Hold time.Duration

	// Rest is how long a ledger rests between two writes, for each place in it: what
	// a write costs grows with them. Whoever comes meanwhile is let in together.
	Rest time.Duration
}

// DefaultTimes are those of a running operator: 20 s, 10 s and 60 s, and 50 us of
// rest for each place, which is 5 ms with 100 of them. The 30 s between the first
// three are what a clock may be off by.
func DefaultTimes() Times {
	return Times{Trust: 20 * time.Second, Create: 10 * time.Second, Hold: 60 * time.Second, Rest: 50 * time.Microsecond}
}

// Terms are what a ledger is settled by.
type Terms struct {
	Times
	Limits policy.Quota
	Now    time.Time
}

// Change tells what a settlement did.
type Change struct {
	// Granted, Taken and Freed count places that were granted, that were taken in
	// because a token was there already, and that came free.
	Granted, Taken, Freed int

	// Waiting counts those that want a place and have none.
	Waiting int

	// Look is when to look again, though nothing changes till then; zero when
	// there is no need.
	Look time.Time
}

func (c *Change) lookAt(at time.Time) {
	if c.Look.IsZero() || at.Before(c.Look) {
		c.Look = at
	}
}

// Settle returns the ledger that follows from another: without those that have no
// use for their place, with those whose tokens were there already, and with as
// many of the waiting as there is room for, the earliest created first. A holder
// that no claim tells of stays: nothing is known of it. Lowered limits take no
// place away.
//
// What the claims say of those that are Doubtful has to be true of the API server's
// state, not only of a cache's.
func Settle(ledger v1alpha1.AccessTokenQuotaStatus, claims []Claim, terms Terms) (v1alpha1.AccessTokenQuotaStatus, Change) {
	s := settlement{terms: terms, held: map[string]bool{}, next: v1alpha1.AccessTokenQuotaStatus{
		Hard: terms.Limits.Tokens, HardPerSubject: terms.Limits.TokensPerSubject, GrantsFrom: ledger.GrantsFrom,
	}}
	s.keep(ledger.Holders, claims)
	s.takeIn(claims)
	s.grant(claims)
	s.next.Used = int32(len(s.next.Holders)) //nolint:gosec // bounded by the schema
	return s.next, s.change
}

// Rebuild returns the ledger to settle from where there is none: nobody holds a
// place but those that a settlement takes in because they have a token. Whoever
// held one in a ledger that was lost may be about to use it, so that nothing is
// granted for a while.
func Rebuild(lost bool, terms Terms) v1alpha1.AccessTokenQuotaStatus {
	if !lost {
		return v1alpha1.AccessTokenQuotaStatus{}
	}
	// Written in whole seconds, which must not cut the wait short.
	return v1alpha1.AccessTokenQuotaStatus{GrantsFrom: v1alpha1.NewTimestamp(terms.Now.Add(terms.Hold + time.Second))}
}

// Doubtful are the AccessTokens that have to be looked at again before a ledger is
// settled by the claims, which a cache shows: holders that have no use for their
// place as it seems, and tokens that seem to be there without one.
func Doubtful(ledger v1alpha1.AccessTokenQuotaStatus, claims []Claim) []Ref {
	byUID, held := index(claims), make(map[string]bool, len(ledger.Holders))
	var doubtful []Ref
	for _, holder := range ledger.Holders {
		held[holder.UID] = true
		if claim, known := byUID[holder.UID]; !known || claim.Free() {
			doubtful = append(doubtful, Ref{UID: holder.UID, Name: holder.Name})
		}
	}
	for _, claim := range claims {
		if !held[claim.UID] && claim.there() {
			doubtful = append(doubtful, Ref{UID: claim.UID, Name: claim.Name})
		}
	}
	return doubtful
}

// Ref names an AccessToken of a namespace.
type Ref struct{ UID, Name string }

// settlement is a ledger on its way to the next.
type settlement struct {
	terms  Terms
	next   v1alpha1.AccessTokenQuotaStatus
	held   map[string]bool
	change Change
}

func (s *settlement) keep(holders []v1alpha1.PlaceHolder, claims []Claim) {
	byUID := index(claims)
	for _, holder := range holders {
		if claim, known := byUID[holder.UID]; known && claim.Free() {
			due := s.freeFrom(holder, claim)
			if !s.terms.Now.Before(due) {
				s.change.Freed++
				continue
			}
			s.change.lookAt(due)
		}
		s.hold(holder)
	}
}

// freeFrom is when the place of one that has no use for it is given away: at once,
// unless it was granted lately and was not seen used.
func (s *settlement) freeFrom(holder v1alpha1.PlaceHolder, claim Claim) time.Time {
	at := grantedAt(holder)
	if !claim.IssuedAt.IsZero() && !claim.IssuedAt.Before(at) {
		return at
	}
	return at.Add(s.terms.Hold)
}

func (s *settlement) hold(holder v1alpha1.PlaceHolder) {
	s.held[holder.UID] = true
	s.next.Holders = append(s.next.Holders, holder)
}

// takeIn gives a place to every token that is there already, whether or not there
// is room.
func (s *settlement) takeIn(claims []Claim) {
	there := s.without(claims, Claim.there)
	slices.SortFunc(there, byIssue)
	for _, claim := range there {
		at := claim.IssuedAt
		if at.IsZero() {
			at = s.terms.Now
		}
		s.hold(holderOf(claim, at))
		s.change.Taken++
	}
}

func (s *settlement) grant(claims []Claim) {
	waiting := s.without(claims, func(c Claim) bool { return c.Wants && !c.Gone })
	slices.SortFunc(waiting, byAge)
	if from, err := s.next.GrantsFrom.Parse(); err == nil && s.terms.Now.Before(from) {
		s.change.Waiting = len(waiting)
		s.change.lookAt(from)
		return
	}
	s.next.GrantsFrom = ""
	room := newRoom(s.next)
	for _, claim := range waiting {
		if !room.take(claim.Subject) {
			s.change.Waiting++
			continue
		}
		s.hold(holderOf(claim, s.terms.Now))
		s.change.Granted++
	}
}

// without are the claims that fit and hold no place.
func (s *settlement) without(claims []Claim, fit func(Claim) bool) []Claim {
	var found []Claim
	for _, claim := range claims {
		if !s.held[claim.UID] && fit(claim) {
			found = append(found, claim)
		}
	}
	return found
}

func holderOf(claim Claim, at time.Time) v1alpha1.PlaceHolder {
	return v1alpha1.PlaceHolder{UID: claim.UID, Name: claim.Name, Subject: claim.Subject, GrantedAt: v1alpha1.NewTimestamp(at)}
}

func index(claims []Claim) map[string]Claim {
	byUID := make(map[string]Claim, len(claims))
	for _, claim := range claims {
		byUID[claim.UID] = claim
	}
	return byUID
}
