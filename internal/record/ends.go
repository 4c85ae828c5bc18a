package record

import (
	"errors"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Ends returns the moment from which a token is refused: the earliest of its
// age, the lower age in status, spec.notAfter, status.expiresAt and
// status.revokedAt. ok is false where there is none: the token does not end by
// itself. Where one of them cannot be read, the error says which, and the
// moment is the zero time, long ago: what cannot be read has ended.
func Ends(rec *v1alpha1.TokenRecord) (at time.Time, ok bool, err error) {
	return ends(&rec.Spec, &rec.Status)
}

// Ended reports whether a token is refused at this moment: from its end on, to
// the nanosecond, and when its end cannot be read.
func Ended(rec *v1alpha1.TokenRecord, now time.Time) bool {
	at, ok, err := Ends(rec)
	return err != nil || ok && !now.Before(at)
}

// ends reads a spec, and a status where there is one.
func ends(spec *v1alpha1.TokenRecordSpec, status *v1alpha1.TokenRecordStatus) (at time.Time, ok bool, err error) {
	if status == nil {
		status = &v1alpha1.TokenRecordStatus{}
	}
	issued, err := spec.IssuedAt.Parse()
	if err != nil {
		return time.Time{}, true, malformed("spec.issuedAt: %w", err)
	}
	var end earliest
	end.age("spec.maxAgeSeconds", issued, spec.MaxAgeSeconds)
	end.age("status.maxAgeSeconds", issued, status.MaxAgeSeconds)
	end.instant("spec.notAfter", spec.NotAfter)
	end.instant("status.expiresAt", status.ExpiresAt)
	end.instant("status.revokedAt", status.RevokedAt)
	if end.err != nil {
		return time.Time{}, true, end.err
	}
	return end.at, end.ok, nil
}

// earliest is the least of the moments it was told, and the first error.
type earliest struct {
	at  time.Time
	ok  bool
	err error
}

func (e *earliest) add(at time.Time) {
	if !e.ok || at.Before(e.at) {
		e.at, e.ok = at, true
	}
}

func (e *earliest) instant(field string, value v1alpha1.Timestamp) {
	if value == "" {
		return
	}
	at, err := value.Parse()
	if err != nil {
		e.fail(field, err)
		return
	}
	e.add(at)
}

var (
	errAgeTooShort = errors.New("an age is at least one second")
	errAgeTooLong  = errors.New("the age leads past the year 9999")
)

// lastSecond is the last that a Timestamp can write, 9999-12-31T23:59:59Z. An
// age that leads past it is refused, before a sum could wrap around.
const lastSecond = 253402300799

func (e *earliest) age(field string, issued time.Time, seconds *int64) {
	switch {
	case seconds == nil:
	case *seconds < 1:
		e.fail(field, errAgeTooShort)
	case *seconds > lastSecond-issued.Unix():
		e.fail(field, errAgeTooLong)
	default:
		e.add(time.Unix(issued.Unix()+*seconds, int64(issued.Nanosecond())).UTC())
	}
}

func (e *earliest) fail(field string, err error) {
	if e.err == nil {
		e.err = malformed("%s: %w", field, err)
	}
}
