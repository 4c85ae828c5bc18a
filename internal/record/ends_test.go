package record

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

func seconds(n int64) *int64 { return &n }

func instant(text string) time.Time {
	at, err := v1alpha1.Timestamp(text).Parse()
	if err != nil {
		panic(err)
	}
	return at
}

const issue = "2026-11-24T09:00:00Z"

func TestEndsIsTheEarliestOfAll(t *testing.T) {
	for name, c := range map[string]struct {
		spec   v1alpha1.TokenRecordSpec
		status v1alpha1.TokenRecordStatus
		want   string
	}{
		"nothing ends it": {},
		"its age":         {spec: v1alpha1.TokenRecordSpec{MaxAgeSeconds: seconds(3600)}, want: "2026-11-24T10:00:00Z"},
		"its last moment": {spec: v1alpha1.TokenRecordSpec{NotAfter: "2026-11-24T11:00:00Z"}, want: "2026-11-24T11:00:00Z"},
		"its age before its last moment": {
			spec: v1alpha1.TokenRecordSpec{MaxAgeSeconds: seconds(60), NotAfter: "2026-11-24T11:00:00Z"}, want: "2026-11-24T09:01:00Z",
		},
		"its last moment before its age": {
			spec: v1alpha1.TokenRecordSpec{MaxAgeSeconds: seconds(86400), NotAfter: "2026-11-24T11:00:00Z"}, want: "2026-11-24T11:00:00Z",
		},
		"a lower age": {
			spec: v1alpha1.TokenRecordSpec{MaxAgeSeconds: seconds(3600)}, status: v1alpha1.TokenRecordStatus{MaxAgeSeconds: seconds(60)}, want: "2026-11-24T09:01:00Z",
		},
		"a higher age gives nothing": {
			spec: v1alpha1.TokenRecordSpec{MaxAgeSeconds: seconds(60)}, status: v1alpha1.TokenRecordStatus{MaxAgeSeconds: seconds(3600)}, want: "2026-11-24T09:01:00Z",
		},
		"an age where there was none": {status: v1alpha1.TokenRecordStatus{MaxAgeSeconds: seconds(60)}, want: "2026-11-24T09:01:00Z"},
		"the end of the overlap":      {status: v1alpha1.TokenRecordStatus{ExpiresAt: "2026-11-24T09:30:00.25Z"}, want: "2026-11-24T09:30:00.25Z"},
		"a later end in status gives nothing": {
			spec: v1alpha1.TokenRecordSpec{MaxAgeSeconds: seconds(60)}, status: v1alpha1.TokenRecordStatus{ExpiresAt: "2027-01-01T00:00:00Z"}, want: "2026-11-24T09:01:00Z",
		},
		"revoked before all else": {
			spec:   v1alpha1.TokenRecordSpec{MaxAgeSeconds: seconds(3600), NotAfter: "2026-11-24T10:00:00Z"},
			status: v1alpha1.TokenRecordStatus{RevokedAt: "2026-11-24T09:00:01Z", ExpiresAt: "2026-11-24T09:30:00Z"}, want: "2026-11-24T09:00:01Z",
		},
		"revoked after its end": {
			spec: v1alpha1.TokenRecordSpec{MaxAgeSeconds: seconds(60)}, status: v1alpha1.TokenRecordStatus{RevokedAt: "2026-11-24T10:00:00Z"}, want: "2026-11-24T09:01:00Z",
		},
		"revoked before it was issued": {status: v1alpha1.TokenRecordStatus{RevokedAt: "2020-01-01T00:00:00Z"}, want: "2020-01-01T00:00:00Z"},
		"the greatest age":             {spec: v1alpha1.TokenRecordSpec{MaxAgeSeconds: seconds(lastSecond - 1795510800)}, want: "9999-12-31T23:59:59Z"},
	} {
		t.Run(name, func(t *testing.T) {
			c.spec.IssuedAt = issue
			rec := &v1alpha1.TokenRecord{Spec: c.spec, Status: c.status}
			at, ok, err := Ends(rec, instant(issue))
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if ok || Ended(rec, instant("9999-12-31T23:59:59Z")) {
					t.Errorf("ends at %s, want never", at)
				}
				return
			}
			want := instant(c.want)
			if !ok || !at.Equal(want) {
				t.Fatalf("ends at %s (%v), want %s", at, ok, want)
			}
			for offset, ended := range map[time.Duration]bool{-1: false, 0: true, 1: true} {
				if Ended(rec, want.Add(offset)) != ended {
					t.Errorf("%d ns from the end: ended %v", offset, !ended)
				}
			}
			if !Ended(rec, want.In(time.FixedZone("", -5*3600))) {
				t.Error("not ended in another time zone")
			}
		})
	}
}

func TestUseExtendsUpToTheHardEnd(t *testing.T) {
	sliding := v1alpha1.TokenRecordSpec{IssuedAt: issue, MaxAgeSeconds: seconds(3600), ExtendWhenUsed: true, NotAfter: "2026-11-24T12:00:00Z"}
	for name, c := range map[string]struct {
		status v1alpha1.TokenRecordStatus
		now    string
		want   string
	}{
		"never used": {now: issue, want: "2026-11-24T10:00:00Z"},
		"used":       {status: v1alpha1.TokenRecordStatus{LastUsedAt: "2026-11-24T09:30:00Z"}, now: "2026-11-24T09:31:00Z", want: "2026-11-24T10:30:00Z"},
		"used so late that the hard end comes first": {
			status: v1alpha1.TokenRecordStatus{LastUsedAt: "2026-11-24T11:30:00Z"}, now: "2026-11-24T11:31:00Z", want: "2026-11-24T12:00:00Z",
		},
		"a use to come counts as now": {
			status: v1alpha1.TokenRecordStatus{LastUsedAt: "2026-11-24T10:30:00Z"}, now: "2026-11-24T09:10:00Z", want: "2026-11-24T10:10:00Z",
		},
		"a use before the issue counts as none": {status: v1alpha1.TokenRecordStatus{LastUsedAt: "2026-11-23T09:00:00Z"}, now: issue, want: "2026-11-24T10:00:00Z"},
		"a lower age counts from the use too": {
			status: v1alpha1.TokenRecordStatus{LastUsedAt: "2026-11-24T09:30:00Z", MaxAgeSeconds: seconds(60)}, now: "2026-11-24T09:30:00Z", want: "2026-11-24T09:31:00Z",
		},
		"the end of an overlap is not moved by use": {
			status: v1alpha1.TokenRecordStatus{LastUsedAt: "2026-11-24T09:30:00Z", ExpiresAt: "2026-11-24T09:45:00Z"}, now: "2026-11-24T09:31:00Z", want: "2026-11-24T09:45:00Z",
		},
		"a use brings back nothing that was revoked": {
			status: v1alpha1.TokenRecordStatus{LastUsedAt: "2026-11-24T09:30:00Z", RevokedAt: "2026-11-24T09:20:00Z"}, now: "2026-11-24T09:31:00Z", want: "2026-11-24T09:20:00Z",
		},
	} {
		rec := &v1alpha1.TokenRecord{Spec: sliding, Status: c.status}
		at, ok, err := Ends(rec, instant(c.now))
		if err != nil || !ok || !at.Equal(instant(c.want)) {
			t.Errorf("%s: ends at %s (%v, error %v), want %s", name, at, ok, err, c.want)
		}
		if Ended(rec, instant(c.now)) != !instant(c.now).Before(instant(c.want)) {
			t.Errorf("%s: ended and its end disagree", name)
		}
	}
	if idle, ok := mustLifetime(t, sliding).Sliding(); !ok || idle != time.Hour {
		t.Errorf("sliding by %s (%v), want an hour", idle, ok)
	}
	if (Lifetime{}).Ended(instant(issue)) == false {
		t.Error("the zero Lifetime is good")
	}
}

func mustLifetime(t *testing.T, spec v1alpha1.TokenRecordSpec) Lifetime {
	t.Helper()
	life, err := LifetimeOf(&v1alpha1.TokenRecord{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	return life
}

// TestNoUseLeadsPastTheHardEnd: whenever a token was used, it ends no later than
// spec.notAfter, and no later than its age from now.
func TestNoUseLeadsPastTheHardEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := v1alpha1.TokenRecordSpec{IssuedAt: issue, MaxAgeSeconds: seconds(3600), ExtendWhenUsed: true, NotAfter: "2026-11-24T12:00:00Z"}
		now := instant(issue).Add(time.Duration(rapid.Int64Range(0, int64(6*time.Hour)).Draw(t, "now")))
		rec := &v1alpha1.TokenRecord{Spec: spec, Status: v1alpha1.TokenRecordStatus{LastUsedAt: anyInstant(t, "lastUsedAt")}}
		at, ok, err := Ends(rec, now)
		latest := now.Add(time.Hour)
		if hard := instant("2026-11-24T12:00:00Z"); hard.Before(latest) {
			latest = hard
		}
		if err != nil || !ok || at.After(latest) {
			t.Fatalf("ends at %s (%v, error %v), want no later than %s", at, ok, err, latest)
		}
	})
}

func TestWhatCannotBeReadHasEnded(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.TokenRecord){
		"no time of issue":               func(r *v1alpha1.TokenRecord) { r.Spec.IssuedAt = "" },
		"a time of issue that is none":   func(r *v1alpha1.TokenRecord) { r.Spec.IssuedAt = "soon" },
		"a last moment that is none":     func(r *v1alpha1.TokenRecord) { r.Spec.NotAfter = "never" },
		"an end in status that is none":  func(r *v1alpha1.TokenRecord) { r.Status.ExpiresAt = "2026-11-24T09:00:00+02:00" },
		"a revocation at no time":        func(r *v1alpha1.TokenRecord) { r.Status.RevokedAt = "yes" },
		"a last use that is none":        func(r *v1alpha1.TokenRecord) { r.Status.LastUsedAt = "today" },
		"a blank for a revocation":       func(r *v1alpha1.TokenRecord) { r.Status.RevokedAt = " " },
		"an age of zero":                 func(r *v1alpha1.TokenRecord) { r.Spec.MaxAgeSeconds = seconds(0) },
		"an age below zero":              func(r *v1alpha1.TokenRecord) { r.Spec.MaxAgeSeconds = seconds(-1) },
		"an age that wraps around":       func(r *v1alpha1.TokenRecord) { r.Spec.MaxAgeSeconds = seconds(1<<63 - 1) },
		"an age past every calendar":     func(r *v1alpha1.TokenRecord) { r.Spec.MaxAgeSeconds = seconds(lastSecond - 1795510799) },
		"the least age in status":        func(r *v1alpha1.TokenRecord) { r.Status.MaxAgeSeconds = seconds(-1 << 63) },
		"an age of zero in status":       func(r *v1alpha1.TokenRecord) { r.Status.MaxAgeSeconds = seconds(0) },
		"a greatest age in status":       func(r *v1alpha1.TokenRecord) { r.Status.MaxAgeSeconds = seconds(1<<63 - 1) },
		"one bad value beside good ones": func(r *v1alpha1.TokenRecord) { r.Spec.MaxAgeSeconds, r.Status.ExpiresAt = seconds(60), "x" },
	} {
		rec := &v1alpha1.TokenRecord{Spec: v1alpha1.TokenRecordSpec{IssuedAt: issue}}
		if Ended(rec, instant(issue)) {
			t.Fatal("ended before the change")
		}
		change(rec)
		at, ok, err := Ends(rec, instant(issue))
		if !errors.Is(err, ErrMalformed) || !ok || !at.IsZero() {
			t.Errorf("%s: %s, %v, error %v; want long ago and %v", name, at, ok, err, ErrMalformed)
		}
		if !Ended(rec, instant(issue)) || !Ended(rec, time.Time{}) {
			t.Errorf("%s: not ended", name)
		}
	}
}

// TestStatusNeverGives: whatever a status says, a token that has ended without
// it has ended with it.
func TestStatusNeverGives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, _ := anyRecord(t)
		now := time.Unix(rapid.Int64Range(-62167219200, lastSecond).Draw(t, "now"), 0)
		text := rapid.OneOf(rapid.String(), rapid.Just("2026-11-24T09:00:00Z"), rapid.Just(""))
		status := v1alpha1.TokenRecordStatus{
			RevokedAt:     v1alpha1.Timestamp(text.Draw(t, "revokedAt")),
			ExpiresAt:     v1alpha1.Timestamp(text.Draw(t, "expiresAt")),
			MaxAgeSeconds: rapid.Ptr(rapid.Int64(), true).Draw(t, "status age"),
		}
		without := &v1alpha1.TokenRecord{Spec: spec}
		with := &v1alpha1.TokenRecord{Spec: spec, Status: status}
		if Ended(without, now) && !Ended(with, now) {
			t.Fatalf("status %+v revives the token", status)
		}
	})
}
