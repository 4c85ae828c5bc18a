package lastused

import (
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

const (
	// shortest is the least time before an end at which a use is written.
	shortest = time.Minute

	// slack is how long before an end a write has to set out to count on its
	// arrival.
	slack = time.Second
)

// plan is what becomes of a use that is not written.
type plan struct {
	// drop: nothing is left to write. The other fields are then zero.
	drop bool

	// at is when it is to be written; not before the API server shows another state
	// of the record, where stuck is set.
	at    time.Time
	stuck bool

	// end is when the token ends without it, where that is why it is written. The
	// zero time says that it is for show.
	end time.Time

	// lastUsedAt is what would be written now, Unix.
	lastUsedAt int64
}

// before orders by urgency: first what ends, the first to end first; then what
// is shown, the longest overdue first.
func (p plan) before(other plan) int {
	switch {
	case p.end.IsZero() != other.end.IsZero():
		if other.end.IsZero() {
			return -1
		}
		return 1
	case !p.end.IsZero():
		return p.end.Compare(other.end)
	}
	return p.at.Compare(other.at)
}

// margin is how long before its end a token's use is written: a quarter of its
// age, and a minute at least. Where that would be always, as with the short ages
// of development, half of its age.
func margin(age time.Duration) time.Duration { return min(max(age/4, shortest), age/2) }

// decide says what becomes of a use, by the token as it is stored now: nil for
// one that is gone.
func decide(t *verify.Token, u use, now time.Time, visibility time.Duration) plan {
	if t == nil || t.Lifetime().Ended(now) || t.Owner().State() == verify.StateGone || t.Owner().Namespace().State() == verify.StateGone {
		return plan{drop: true} // a late use brings nothing back
	}
	stored := u.written
	if at, used := t.LastUsedAt(); used {
		stored = max(stored, at.Unix())
	}
	age, sliding := t.Lifetime().Sliding()
	last, ripe := lastUsedAt(u, sliding)
	if last <= stored {
		return plan{drop: true}
	}
	p := plan{lastUsedAt: min(last, now.Unix()), at: now, stuck: u.tried == t.ResourceVersion()}
	if stored != 0 {
		p.at = latest(time.Unix(stored, 0), u.writtenAt).Add(visibility)
	}
	life := t.Lifetime()
	end, ends := life.End(now)
	extended, _ := life.Used(time.Unix(last, 0)).End(now)
	moves := sliding && ends && extended.After(end)
	if by := end.Add(-margin(age)); moves && (by.Before(p.at) || !by.After(now)) {
		p.at, p.end = earliest(by, p.at), end
	}
	// A second that is not over may see more uses; it is waited for unless the end
	// does not wait.
	if !moves || ripe.Add(slack).Before(end) {
		p.at = latest(p.at, ripe)
	}
	if p.lastUsedAt <= stored {
		p.at = latest(p.at, time.Unix(stored+1, 0))
	}
	return p
}

// lastUsedAt is what is to be written of a use, Unix, and from when on it can be.
// Of what use extends, the last second counts as a whole: its end then never
// comes before the age after the last use, though a Timestamp has no fraction.
func lastUsedAt(u use, sliding bool) (second int64, ripe time.Time) {
	if !sliding {
		return u.second, time.Time{}
	}
	return u.second + 1, time.Unix(u.first+1, 0)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
