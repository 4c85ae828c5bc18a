package lifecycle

import (
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
)

// NextLook is the earliest moment at which something may be due that no watch
// announces: s.Now when the status just written made something due, else a later
// one; ok is false when there is none.
func NextLook(s State) (at time.Time, ok bool) {
	if Next(s) != nil {
		return s.Now, true
	}
	consider := func(candidate time.Time, valid bool) {
		if valid && candidate.After(s.Now) && (!ok || candidate.Before(at)) {
			at, ok = candidate, true
		}
	}
	_, due, needed := Due(s)
	consider(due, needed)
	consider(s.deletionDue())
	if _, due := s.relabelDue(); due {
		consider(s.Repairs.NotBefore, true)
	}
	consider(s.Repairs.QuietAt, s.Repairs.Contested)
	consider(s.retireAt())
	consider(s.retiredAt())
	for _, r := range s.Records {
		if r.ended(s.Now) {
			continue
		}
		consider(r.end(s.Now))
		consider(s.unpublishedEnd(r))
	}
	if _, next, more := s.notice(); more {
		consider(next, true)
	}
	for _, token := range s.Token.Status.Tokens {
		shown, err := token.ExpiresAt.Parse() // may be earlier than the end
		consider(shown, err == nil)
	}
	return at, ok
}

// notice is the tightest notice of a coming end that has been reached, and when
// the next one comes.
func (s State) notice() (reached string, next time.Time, more bool) {
	current, found := s.current()
	if !found || !current.verifies(s.Now) {
		return "", time.Time{}, false
	}
	end, ends := current.end(s.Now)
	if !ends {
		return "", time.Time{}, false
	}
	from := current.IssuedAt
	if current.endsUnused(s.Now) {
		idle, _ := current.idle()
		from = end.Add(-idle) // its last use
	}
	_, due, rotates := Due(s)
	return schedule.Notice(s.Now, from, end, due, rotates)
}
