package schedule

import (
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

const (
	maxAgeField          = "spec.maxAge"
	extendWhenUsedField  = "spec.extendWhenUsed"
	maxLifetimeField     = "spec.maxLifetime"
	intervalField        = "spec.rotation.interval"
	overlapField         = "spec.rotation.overlap"
	notIssuedBeforeField = "spec.rotation.notIssuedBefore"
	requestField         = "metadata.annotations[" + v1alpha1.AnnotationRotateRequestedAt + "]"
	ttlField             = "spec.ttlAfterFinished"
)

const (
	shortestInterval = time.Second
	longestOverlap   = 8760 * time.Hour

	// The overlap of a rotation that names none is a tenth of the maximum age
	// within these bounds.
	defaultOverlapLeast = 10 * time.Minute
	defaultOverlapMost  = 24 * time.Hour
)

// Plan is what an AccessToken's spec asks for in time.
type Plan struct {
	// MaxAge is how long a token lives, from its issue, or with ExtendWhenUsed
	// from its last use: 2160h, or 720h with ExtendWhenUsed, when the spec says
	// nothing. The zero Age when it could not be read.
	MaxAge Age

	// ExtendWhenUsed says that MaxAge counts from the last use.
	ExtendWhenUsed bool

	// MaxLifetime is how long a token lives at most, from its issue, however much
	// it is used. Without ExtendWhenUsed it is MaxAge. When the spec says nothing:
	// four times MaxAge up to 8760h, or MaxAge if that is longer. Zero when MaxAge
	// is Never, or when either could not be read.
	MaxLifetime time.Duration

	// Overlap is how long a replaced token stays good beside the new one. When
	// the spec says nothing: a tenth of MaxAge, at most 24h and at least 10m
	// (24h when it is Never), and half an interval where that would be as long
	// as the interval.
	Overlap time.Duration

	// TTLAfterFinished is how long after the end of its token the AccessToken
	// is deleted. Nil for never.
	TTLAfterFinished *time.Duration

	interval    time.Duration // zero: none
	auto        bool          // the interval follows from MaxLifetime
	calendar    *calendar     // nil: none
	requestedAt time.Time     // zero: none
}

// NewPlan reads everything that is text in an AccessToken: maxAge, maxLifetime,
// ttlAfterFinished, rotation, the annotation that asks for a rotation, and what
// a token is issued and delivered with: name, scopes, audiences, allowedCIDRs,
// state and secret. The error is an *InvalidError for the first of them that
// cannot be used; the Plan beside it holds those that can, so that a token that
// is out still ends in time.
func NewPlan(at *v1alpha1.AccessToken) (Plan, error) {
	var (
		plan  Plan
		first *InvalidError
	)
	keep := func(err *InvalidError) {
		if first == nil {
			first = err
		}
	}
	keep(plan.readMaxAge(at.Spec.MaxAge, at.Spec.ExtendWhenUsed))
	keep(plan.readMaxLifetime(at.Spec.MaxLifetime))
	keep(plan.readTTL(at.Spec.TTLAfterFinished))
	keep(checkText(at))
	rotation := v1alpha1.Rotation{}
	if at.Spec.Rotation != nil {
		rotation = *at.Spec.Rotation
	}
	keep(plan.readInterval(rotation.Interval))
	keep(plan.readSchedule(rotation))
	keep(plan.readOverlap(rotation.Overlap))
	keep(plan.readRequest(notIssuedBeforeField, rotation.NotIssuedBefore, ceilSecond))
	keep(plan.readRequest(requestField, v1alpha1.Timestamp(at.Annotations[v1alpha1.AnnotationRotateRequestedAt]), nextSecond))
	if first != nil {
		return plan, first
	}
	return plan, nil
}

func (p *Plan) readMaxAge(text v1alpha1.MaxAge, extendWhenUsed bool) *InvalidError {
	age, err := parseMaxAge(text, extendWhenUsed)
	p.MaxAge, p.ExtendWhenUsed = age, extendWhenUsed
	return err
}

func (p *Plan) readMaxLifetime(text v1alpha1.Duration) *InvalidError {
	if !p.ExtendWhenUsed {
		p.MaxLifetime = p.MaxAge.Duration
		if text != "" {
			return invalid(maxLifetimeField, v1alpha1.ReasonSpecInvalid,
				"belongs to extendWhenUsed: set extendWhenUsed to true, or remove maxLifetime")
		}
		return nil
	}
	lifetime, err := parseMaxLifetime(text, p.MaxAge.Duration)
	p.MaxLifetime = lifetime
	return err
}

func (p *Plan) readTTL(text v1alpha1.Duration) *InvalidError {
	if text == "" {
		return nil
	}
	ttl, err := parseDuration(ttlField, text, 0, Longest)
	if err != nil {
		return err
	}
	p.TTLAfterFinished = &ttl
	return nil
}

func (p *Plan) readInterval(text v1alpha1.RotationInterval) *InvalidError {
	switch {
	case text == "":
		return nil
	case text == v1alpha1.RotationIntervalAuto && p.MaxAge.Never:
		return invalid(intervalField, v1alpha1.ReasonRotationInvalid,
			"Auto is two thirds of maxAge, which is Never: give an interval such as 720h, or a maxAge")
	case text == v1alpha1.RotationIntervalAuto:
		p.auto = p.MaxLifetime > 0
		return nil
	}
	interval, err := parseDuration(intervalField, v1alpha1.Duration(text), shortestInterval, Longest)
	if err != nil {
		return err
	}
	if p.MaxLifetime > 0 && interval >= p.MaxLifetime {
		limit := "maxAge"
		if p.ExtendWhenUsed {
			limit = "maxLifetime"
		}
		return invalid(intervalField, v1alpha1.ReasonRotationInvalid,
			"%s is not shorter than %s, which is %s, so the token would expire before it is rotated: shorten interval or lengthen %s",
			text, limit, written(p.MaxLifetime), limit)
	}
	p.interval = interval
	return nil
}

func (p *Plan) readSchedule(rotation v1alpha1.Rotation) *InvalidError {
	if rotation.Schedule == "" {
		return nil
	}
	if rotation.Interval != "" {
		return invalid(scheduleField, v1alpha1.ReasonRotationInvalid, "interval and schedule exclude each other: remove one of them")
	}
	parsed, err := parseCalendar(rotation.Schedule, rotation.TimeZone)
	if err != nil {
		return err
	}
	p.calendar = parsed
	return nil
}

func (p *Plan) readOverlap(text v1alpha1.Duration) *InvalidError {
	p.Overlap = p.defaultOverlap()
	if text == "" {
		return nil
	}
	overlap, err := parseDuration(overlapField, text, 0, longestOverlap)
	if err != nil {
		return err
	}
	if interval, ok := p.shortestInterval(); ok && overlap >= interval {
		return invalid(overlapField, v1alpha1.ReasonRotationInvalid,
			"%s is not shorter than the interval, which can be as short as %s, so more than two tokens would be good at once: shorten overlap or lengthen interval",
			text, written(interval))
	}
	p.Overlap = overlap
	return nil
}

func (p *Plan) defaultOverlap() time.Duration {
	overlap := defaultOverlapMost
	if !p.MaxAge.Never {
		overlap = min(max(p.MaxAge.Duration/10, defaultOverlapLeast), defaultOverlapMost)
	}
	if interval, ok := p.shortestInterval(); ok && overlap >= interval {
		overlap = interval / 2
	}
	return overlap
}

// shortestInterval is the least time between two rotations by interval,
// whatever the UID.
func (p *Plan) shortestInterval() (time.Duration, bool) {
	if p.auto {
		longest, jitter := autoInterval(p.MaxLifetime)
		return longest - jitter, true
	}
	return p.interval, p.interval > 0
}

// readRequest takes a request for a new token, if it is later than one read
// before: a token counts that is issued at wanted or later.
func (p *Plan) readRequest(field string, text v1alpha1.Timestamp, wanted func(time.Time) time.Time) *InvalidError {
	if text == "" {
		return nil
	}
	at, err := text.Parse()
	if err != nil {
		return invalid(field, v1alpha1.ReasonSpecInvalid, "%q is not an instant in UTC: write it like 2026-11-24T09:00:00Z", string(text))
	}
	if at = wanted(at); at.After(p.requestedAt) {
		p.requestedAt = at
	}
	return nil
}

// ceilSecond rounds up, since tokens are issued at whole seconds: one that is
// issued in the second of the request would otherwise count as issued before it,
// again and again.
func ceilSecond(t time.Time) time.Time {
	whole := t.Truncate(time.Second)
	if whole.Before(t) {
		whole = whole.Add(time.Second)
	}
	return whole
}

// nextSecond is when a request that a person made at t is due. A token that was
// issued in that second may be the very one that the person wants replaced, and
// `date` gives whole seconds: so it is replaced too, by one of a later second,
// for which the request is done with.
func nextSecond(t time.Time) time.Time { return t.Truncate(time.Second).Add(time.Second) }

func parseDuration(field string, text v1alpha1.Duration, least, most time.Duration) (time.Duration, *InvalidError) {
	d, err := text.Parse()
	if err != nil {
		return 0, invalid(field, v1alpha1.ReasonSpecInvalid, "%v", err)
	}
	if d < least || d > most {
		return 0, invalid(field, v1alpha1.ReasonSpecInvalid, "%s is out of bounds: use a duration from %s to %s", text, written(least), written(most))
	}
	return d, nil
}
