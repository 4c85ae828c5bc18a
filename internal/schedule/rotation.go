package schedule

import "time"

// Cause is why a token is rotated.
type Cause string

const (
	// Interval: spec.rotation.interval has passed since the token was issued.
	Interval Cause = "Interval"
	// Schedule: a time of spec.rotation.schedule came.
	Schedule Cause = "Schedule"
	// Requested: spec.rotation.notIssuedBefore or the annotation asks for a
	// token that was issued later.
	Requested Cause = "Requested"
)

const (
	// From this age on, a rotation by the interval Auto comes that long before
	// the end, so that there is time to mend what keeps it from happening.
	autoMarginFromAge = 10 * time.Minute
	autoMargin        = 5 * time.Minute

	// longestSpread bounds how long an overdue rotation is put off.
	longestSpread = 5 * time.Minute
)

// Rotation returns when a token that was issued at issuedAt is to be replaced,
// and why: the earliest of interval, schedule and request, always after
// issuedAt. Times of a schedule that were missed do not count up: the result is
// the first of them until a token is issued later. ok is false when no rotation
// is to come.
func (p Plan) Rotation(issuedAt time.Time, uid string) (due time.Time, cause Cause, ok bool) {
	consider := func(at time.Time, why Cause) {
		if !ok || at.Before(due) {
			due, cause, ok = at, why, true
		}
	}
	if !p.requestedAt.IsZero() && issuedAt.Before(p.requestedAt) {
		consider(p.requestedAt, Requested)
	}
	if p.auto {
		longest, jitter := autoInterval(p.MaxLifetime)
		consider(issuedAt.Add(longest-part(jitter, uid)), Interval)
	}
	if p.interval > 0 {
		consider(issuedAt.Add(p.interval), Interval)
	}
	if p.calendar != nil {
		if at, comes := p.calendar.next(issuedAt); comes {
			consider(at, Schedule)
		}
	}
	return due, cause, ok
}

// RequestedAt is the instant that the last request for a new token names; the zero
// time for none.
func (p Plan) RequestedAt() time.Time { return p.requestedAt }

// OnRequest is the plan without interval and schedule: what is left of a
// rotation is a request.
func (p Plan) OnRequest() Plan {
	p.interval, p.auto, p.calendar = 0, false, nil
	return p
}

// autoInterval is the interval Auto for the longest that a token can live, and
// by how much less it can be by UID.
func autoInterval(lifetime time.Duration) (longest, jitter time.Duration) {
	longest = lifetime / 3 * 2
	if lifetime >= autoMarginFromAge {
		longest = min(longest, lifetime-autoMargin)
	}
	return longest, longest / 10
}

// Spread returns when a rotation by interval or schedule is to be done that was
// due at due: then, unless that was before startedAt, when the operator began
// to act. What was overdue by then is spread by UID over the five minutes that
// follow, or over a tenth of the time left until end, if that is less (endOK is
// false for a token without an end). It does not hold back a request that came
// meanwhile.
func (p Plan) Spread(due, startedAt, end time.Time, endOK bool, uid string) time.Time {
	if !due.Before(startedAt) {
		return due
	}
	window := longestSpread
	if endOK {
		window = max(0, min(window, end.Sub(startedAt)/10))
	}
	at := startedAt.Add(part(window, uid))
	if !p.requestedAt.Before(due) && p.requestedAt.Before(at) {
		return p.requestedAt
	}
	return at
}

// OverlapEnd returns when a token ends that was replaced by one issued at
// newIssuedAt: after the overlap, and never later than the end that it has
// anyway (oldEndOK is false when it has none).
func OverlapEnd(newIssuedAt time.Time, overlap time.Duration, oldEnd time.Time, oldEndOK bool) time.Time {
	end := newIssuedAt.Add(overlap)
	if oldEndOK && oldEnd.Before(end) {
		return oldEnd
	}
	return end
}
