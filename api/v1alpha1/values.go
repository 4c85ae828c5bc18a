package v1alpha1

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// The types in this file hold what people write as text. They decode from any
// string, because a typed value that fails to decode makes every list of its
// kind fail for everybody, and they keep the text as it was written, because a
// rewritten one shows as drift to GitOps tools. The API server checks them by
// schema; readers parse them, and must expect an error all the same: an object
// may be older than the rule.

// Duration is a span of time in hours, minutes and seconds, largest unit
// first, such as "720h", "1h30m" or "45s".
type Duration string

var durationPattern = regexp.MustCompile(`^([0-9]{1,5}h)?([0-9]{1,4}m)?([0-9]{1,4}s)?$`)

// Parse returns the span. It fails for text that the API server's schema would
// refuse.
func (d Duration) Parse() (time.Duration, error) {
	if d == "" || !durationPattern.MatchString(string(d)) {
		return 0, fmt.Errorf("%q is not a duration such as 720h, 1h30m or 45s", string(d))
	}
	return time.ParseDuration(string(d))
}

// NewDuration writes a span as people do: 720h, 1h30m.
func NewDuration(d time.Duration) Duration {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return Duration(text)
}

// MaxAge is a Duration, or Never.
type MaxAge string

// MaxAgeNever is the MaxAge of a token that does not expire by age.
const MaxAgeNever MaxAge = "Never"

// Parse returns the age, and whether there is one: ok is false for Never.
func (m MaxAge) Parse() (age time.Duration, ok bool, err error) {
	if m == MaxAgeNever {
		return 0, false, nil
	}
	age, err = Duration(m).Parse()
	if err != nil {
		return 0, false, fmt.Errorf("%q is neither a duration such as 720h nor Never", string(m))
	}
	return age, true, nil
}

// RotationInterval is a Duration, or Auto.
type RotationInterval string

// RotationIntervalAuto rotates at two thirds of the token's maximum age.
const RotationIntervalAuto RotationInterval = "Auto"

// Timestamp is an instant in UTC as RFC 3339 writes it, with a capital T and
// Z and at most six decimals: "2026-11-24T09:00:00Z".
type Timestamp string

// NewTimestamp writes an instant, cut to whole seconds.
func NewTimestamp(t time.Time) Timestamp {
	return Timestamp(t.UTC().Truncate(time.Second).Format(time.RFC3339))
}

// Parse returns the instant. It fails for text that is not a Timestamp.
func (t Timestamp) Parse() (time.Time, error) {
	if !t.wellFormed() {
		return time.Time{}, fmt.Errorf("%q is not an instant such as 2026-11-24T09:00:00Z", string(t))
	}
	return time.Parse(time.RFC3339Nano, string(t))
}

// wellFormed refuses what time.Parse takes beside: one digit for an hour, a comma,
// more decimals, other zones. A verifier parses several for each record, so this
// is no regular expression.
func (t Timestamp) wellFormed() bool {
	const whole = len("2026-11-24T09:00:00")
	switch last := len(t) - 1; {
	case last == whole:
		return t[whole] == 'Z'
	case last > whole+1 && last <= whole+7:
		return t[whole] == '.' && t[last] == 'Z'
	}
	return false
}

// CIDR is a network in canonical form, such as "10.0.0.0/8" or "2001:db8::/32":
// no host bits set, IPv6 in lower case and shortest form.
type CIDR string

// Parse returns the network. It fails for text that is no network or not in
// canonical form.
func (c CIDR) Parse() (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(string(c))
	if err != nil || prefix.Masked().String() != string(c) {
		return netip.Prefix{}, fmt.Errorf("%q is not a network in canonical form such as 10.0.0.0/8", string(c))
	}
	return prefix, nil
}

// CronSchedule is a cron expression of five fields (minute, hour, day of
// month, month, day of week) or one of @yearly, @annually, @monthly, @weekly,
// @daily, @midnight and @hourly.
type CronSchedule string
