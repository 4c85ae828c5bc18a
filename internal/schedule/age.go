package schedule

import (
	"strings"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// DefaultMaxAge is how long a token lives when spec.maxAge is absent: 90 days.
const DefaultMaxAge = 2160 * time.Hour

const (
	// longest bounds every duration that people write: ten years.
	longest = 87600 * time.Hour

	// shortestAge is the least maximum age. It is a floor against endless work
	// only; that of the installed schema is higher.
	shortestAge = 2 * time.Second
)

// Age is how long a token lives.
type Age struct {
	// Duration counts from issue. Zero when Never is set, or when the age could
	// not be read.
	Duration time.Duration

	// Never says that the token does not expire by age.
	Never bool
}

// EffectiveMaxAge returns the maximum age that holds for spec.maxAge, and the
// same as status shows it: 2160h from Default when it is absent, otherwise as
// written, from Spec. The error is an *InvalidError.
func EffectiveMaxAge(spec v1alpha1.MaxAge) (Age, v1alpha1.EffectiveMaxAge, error) {
	age, err := parseMaxAge(spec)
	switch {
	case err != nil:
		return Age{}, v1alpha1.EffectiveMaxAge{}, err
	case spec == "":
		shown := v1alpha1.MaxAge(written(DefaultMaxAge))
		return age, v1alpha1.EffectiveMaxAge{Value: shown, Source: v1alpha1.MaxAgeSourceDefault}, nil
	}
	return age, v1alpha1.EffectiveMaxAge{Value: spec, Source: v1alpha1.MaxAgeSourceSpec}, nil
}

func parseMaxAge(spec v1alpha1.MaxAge) (Age, *InvalidError) {
	if spec == "" {
		return Age{Duration: DefaultMaxAge}, nil
	}
	age, expires, err := spec.Parse()
	if err != nil {
		return Age{}, invalid(maxAgeField, v1alpha1.ReasonSpecInvalid, "%v", err)
	}
	if expires && (age < shortestAge || age > longest) {
		return Age{}, invalid(maxAgeField, v1alpha1.ReasonSpecInvalid,
			"%s is out of bounds: use a duration up to %s, such as 720h for 30 days, or Never", spec, written(longest))
	}
	return Age{Duration: age, Never: !expires}, nil
}

// written returns a duration as people write it in a spec: 720h, 1h30m.
func written(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
