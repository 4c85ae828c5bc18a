package schedule

import (
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

const (
	// DefaultMaxAge is how long a token lives when spec.maxAge is absent: 90 days.
	DefaultMaxAge = 2160 * time.Hour

	// DefaultIdleAge is the same for a token that use extends: 30 days from its
	// last use.
	DefaultIdleAge = 720 * time.Hour
)

// Longest bounds every duration that people write: ten years.
const Longest = 87600 * time.Hour

const (
	// A token that use extends lives that many times its maximum age at most when
	// spec.maxLifetime is absent, up to a year or its maximum age.
	defaultLifetimeAges = 4
	defaultLifetimeMost = 8760 * time.Hour

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

// EffectiveMaxAge returns the maximum age that holds for spec.maxAge and
// spec.extendWhenUsed, and the same as status shows it: from Default when it is
// absent, which is 2160h, or 720h when use extends it; otherwise as written, from
// Spec. The error is an *InvalidError.
func EffectiveMaxAge(spec v1alpha1.MaxAge, extendWhenUsed bool) (Age, v1alpha1.EffectiveMaxAge, error) {
	age, err := parseMaxAge(spec, extendWhenUsed)
	switch {
	case err != nil:
		return Age{}, v1alpha1.EffectiveMaxAge{}, err
	case spec == "":
		shown := v1alpha1.MaxAge(written(age.Duration))
		return age, v1alpha1.EffectiveMaxAge{Value: shown, Source: v1alpha1.MaxAgeSourceDefault}, nil
	}
	return age, v1alpha1.EffectiveMaxAge{Value: spec, Source: v1alpha1.MaxAgeSourceSpec}, nil
}

func parseMaxAge(spec v1alpha1.MaxAge, extendWhenUsed bool) (Age, *InvalidError) {
	switch {
	case spec == "" && extendWhenUsed:
		return Age{Duration: DefaultIdleAge}, nil
	case spec == "":
		return Age{Duration: DefaultMaxAge}, nil
	}
	age, expires, err := spec.Parse()
	switch {
	case err != nil:
		return Age{}, invalid(maxAgeField, v1alpha1.ReasonSpecInvalid, "%v", err)
	case !expires && extendWhenUsed:
		return Age{}, invalid(extendWhenUsedField, v1alpha1.ReasonSpecInvalid,
			"use extends maxAge, which is Never: give a maxAge such as 720h, or remove extendWhenUsed")
	case expires && (age < shortestAge || age > Longest):
		return Age{}, invalid(maxAgeField, v1alpha1.ReasonSpecInvalid,
			"%s is out of bounds: use a duration up to %s, such as 720h for 30 days, or Never", spec, written(Longest))
	}
	return Age{Duration: age, Never: !expires}, nil
}

// parseMaxLifetime reads how long a token that use extends lives at most. It is
// not shorter than the maximum age; zero where that could not be read.
func parseMaxLifetime(text v1alpha1.Duration, age time.Duration) (time.Duration, *InvalidError) {
	if text == "" {
		return max(age, min(defaultLifetimeAges*age, defaultLifetimeMost)), nil
	}
	lifetime, err := parseDuration(maxLifetimeField, text, shortestAge, Longest)
	switch {
	case err != nil:
		return 0, err
	case lifetime < age:
		return 0, invalid(maxLifetimeField, v1alpha1.ReasonSpecInvalid,
			"%s is shorter than maxAge, which is %s: lengthen maxLifetime or shorten maxAge", text, written(age))
	case age == 0:
		return 0, nil
	}
	return lifetime, nil
}

// written returns a duration as people write it in a spec: 720h, 1h30m.
func written(d time.Duration) string { return string(v1alpha1.NewDuration(d)) }
