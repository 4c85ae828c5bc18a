package record

import (
	"errors"
	"math"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// never is the end of what does not end, and longAgo that of what cannot be
// read. Instants are Unix microseconds, the precision of a Timestamp: unlike
// nanoseconds they do not wrap around within any year that one can write.
const (
	never   = math.MaxInt64
	longAgo = math.MinInt64
)

// Lifetime is what the end of a token follows from, in 24 bytes. The zero
// Lifetime ended long ago.
type Lifetime struct {
	// hard is the end that no use moves: the earliest of spec.notAfter,
	// status.expiresAt, status.revokedAt and, for a token that use does not extend,
	// of its age.
	hard int64

	// idle is how many microseconds after its last use a token ends that use
	// extends. Zero: use does not extend it.
	idle int64

	// lastUsed is the later of issue and last use.
	lastUsed int64
}

// LifetimeOf reads the lifetime of a record. Where a part of it cannot be read,
// the error says which, and the Lifetime ended long ago.
func LifetimeOf(rec *v1alpha1.TokenRecord) (Lifetime, error) {
	return lifetime(&rec.Spec, &rec.Status)
}

// End returns the moment from which the token is refused, as it is known at now;
// ok is false where there is none: the token does not end by itself. A use that
// lies in the future, by a clock that is off, counts as a use at now. The moment
// is the zero time where it cannot be told.
func (l Lifetime) End(now time.Time) (at time.Time, ok bool) {
	return moment(l.end(now.UnixMicro()))
}

// HardEnd returns the moment past which no use leads: that of End for a token
// that use does not extend. ok is false where there is none.
func (l Lifetime) HardEnd() (at time.Time, ok bool) { return moment(l.hard) }

func moment(end int64) (at time.Time, ok bool) {
	switch end {
	case never:
		return time.Time{}, false
	case longAgo:
		return time.Time{}, true
	default:
		return time.UnixMicro(end).UTC(), true
	}
}

// Ended reports whether the token is refused at now: from its end on, to the
// nanosecond.
func (l Lifetime) Ended(now time.Time) bool {
	at := now.UnixMicro()
	end := l.end(at)
	return end != never && at >= end
}

// Sliding says how long after its last use the token ends; ok is false for one
// that use does not extend.
func (l Lifetime) Sliding() (idle time.Duration, ok bool) {
	return time.Duration(min(l.idle, math.MaxInt64/1000)) * time.Microsecond, l.idle > 0
}

// Used returns the lifetime as it is after a use at an instant. An earlier use
// than the last changes nothing.
func (l Lifetime) Used(at time.Time) Lifetime {
	l.lastUsed = max(l.lastUsed, at.UnixMicro())
	return l
}

func (l Lifetime) end(now int64) int64 {
	if l.idle == 0 {
		return l.hard
	}
	return min(l.hard, min(l.lastUsed, now)+l.idle)
}

// Ends returns the moment from which a token is refused, as it is known at now:
// the earliest of its age, the lower age in status, spec.notAfter,
// status.expiresAt and status.revokedAt. The age counts from the issue, or with
// spec.extendWhenUsed from status.lastUsedAt. ok is false where there is none:
// the token does not end by itself. Where one of them cannot be read, the error
// says which, and the moment is the zero time, long ago: what cannot be read has
// ended.
func Ends(rec *v1alpha1.TokenRecord, now time.Time) (at time.Time, ok bool, err error) {
	life, err := LifetimeOf(rec)
	if err != nil {
		return time.Time{}, true, err
	}
	at, ok = life.End(now)
	return at, ok, nil
}

// Ended reports whether a token is refused at this moment: from its end on, to
// the nanosecond, and when its end cannot be read.
func Ended(rec *v1alpha1.TokenRecord, now time.Time) bool {
	life, err := LifetimeOf(rec)
	return err != nil || life.Ended(now)
}

// lifetime reads a spec, and a status where there is one.
func lifetime(spec *v1alpha1.TokenRecordSpec, status *v1alpha1.TokenRecordStatus) (Lifetime, error) {
	if status == nil {
		status = &v1alpha1.TokenRecordStatus{}
	}
	issued, err := spec.IssuedAt.Parse()
	if err != nil {
		return Lifetime{hard: longAgo}, malformed("spec.issuedAt: %w", err)
	}
	r := reader{earliest: never}
	specAge := r.age("spec.maxAgeSeconds", issued, spec.MaxAgeSeconds)
	statusAge := r.age("status.maxAgeSeconds", issued, status.MaxAgeSeconds)
	used := max(issued.UnixMicro(), r.instant("status.lastUsedAt", status.LastUsedAt, issued))
	r.end("spec.notAfter", spec.NotAfter)
	r.end("status.expiresAt", status.ExpiresAt)
	r.end("status.revokedAt", status.RevokedAt)
	life := Lifetime{}
	switch age := min(specAge, statusAge); {
	case age == never:
	case spec.ExtendWhenUsed:
		life.idle, life.lastUsed = age, used
	default:
		r.earliest = min(r.earliest, issued.UnixMicro()+age)
	}
	if r.err != nil {
		return Lifetime{hard: longAgo}, r.err
	}
	life.hard = r.earliest
	return life, nil
}

// reader reads the parts of a lifetime, and keeps the earliest end and the first
// error.
type reader struct {
	earliest int64
	err      error
}

// instant reads a moment; an absent one is taken to be the other.
func (r *reader) instant(field string, value v1alpha1.Timestamp, absent time.Time) int64 {
	if value == "" {
		return absent.UnixMicro()
	}
	at, err := value.Parse()
	if err != nil {
		r.fail(field, err)
		return longAgo
	}
	return at.UnixMicro()
}

func (r *reader) end(field string, value v1alpha1.Timestamp) {
	if value != "" {
		r.earliest = min(r.earliest, r.instant(field, value, time.Time{}))
	}
}

var (
	errAgeTooShort = errors.New("an age is at least one second")
	errAgeTooLong  = errors.New("the age leads past the year 9999")
)

// lastSecond is the last that a Timestamp can write, 9999-12-31T23:59:59Z. An
// age that leads past it is refused, before a sum could wrap around.
const lastSecond = 253402300799

// age reads an age in microseconds; an absent one is never.
func (r *reader) age(field string, issued time.Time, seconds *int64) int64 {
	switch {
	case seconds == nil:
		return never
	case *seconds < 1:
		r.fail(field, errAgeTooShort)
	case *seconds > lastSecond-issued.Unix():
		r.fail(field, errAgeTooLong)
	default:
		return *seconds * 1e6
	}
	return longAgo
}

func (r *reader) fail(field string, err error) {
	if r.err == nil {
		r.err = malformed("%s: %w", field, err)
	}
}
