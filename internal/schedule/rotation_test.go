package schedule_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
)

func instant(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return at
}

func TestRotationIsDueAtTheEarliestCause(t *testing.T) {
	const issued = "2026-11-24T09:00:00Z"
	for _, c := range []struct {
		name       string
		rotation   v1alpha1.Rotation
		annotation string
		due        string // empty: never
		cause      schedule.Cause
	}{
		{"an empty rotation never comes", v1alpha1.Rotation{}, "", "", ""},
		{"an interval counts from issue, without jitter", v1alpha1.Rotation{Interval: "168h"}, "", "2026-12-01T09:00:00Z", schedule.Interval},
		{"a schedule comes next after issue", v1alpha1.Rotation{Schedule: "0 3 * * 1"}, "", "2026-11-30T03:00:00Z", schedule.Schedule},
		{"a time of the schedule at the very issue does not count", v1alpha1.Rotation{Schedule: "0 9 * * *"}, "", "2026-11-25T09:00:00Z", schedule.Schedule},
		{"a request for an earlier issue is done with", v1alpha1.Rotation{NotIssuedBefore: "2026-11-24T08:59:59Z"}, "", "", ""},
		{"a request for the second of issue is done with", v1alpha1.Rotation{NotIssuedBefore: "2026-11-24T09:00:00Z"}, "", "", ""},
		{"a request within the second of issue is due at its end", v1alpha1.Rotation{NotIssuedBefore: "2026-11-24T09:00:00.000001Z"}, "", "2026-11-24T09:00:01Z", schedule.Requested},
		{"a request for a later issue is due at that", v1alpha1.Rotation{NotIssuedBefore: "2026-11-24T10:00:00Z"}, "", "2026-11-24T10:00:00Z", schedule.Requested},
		{"the annotation asks as well", v1alpha1.Rotation{}, "2026-11-24T10:00:00Z", "2026-11-24T10:00:01Z", schedule.Requested},
		{"the annotation counts for the second of issue", v1alpha1.Rotation{}, "2026-11-24T09:00:00Z", "2026-11-24T09:00:01Z", schedule.Requested},
		{"the annotation counts for any part of that second", v1alpha1.Rotation{}, "2026-11-24T09:00:00.999999Z", "2026-11-24T09:00:01Z", schedule.Requested},
		{"an annotation of the second before is done with", v1alpha1.Rotation{}, "2026-11-24T08:59:59.999999Z", "", ""},
		{"the annotation counts when it is later", v1alpha1.Rotation{NotIssuedBefore: "2026-11-24T10:00:00Z"}, "2026-11-24T11:00:00Z", "2026-11-24T11:00:01Z", schedule.Requested},
		{"the field counts when it is later", v1alpha1.Rotation{NotIssuedBefore: "2026-11-24T11:00:00Z"}, "2026-11-24T10:00:00Z", "2026-11-24T11:00:00Z", schedule.Requested},
		{"a request comes before a later interval", v1alpha1.Rotation{Interval: "2h", NotIssuedBefore: "2026-11-24T10:00:00Z"}, "", "2026-11-24T10:00:00Z", schedule.Requested},
		{"an interval comes before a later request", v1alpha1.Rotation{Interval: "1h", NotIssuedBefore: "2026-11-24T11:00:00Z"}, "", "2026-11-24T10:00:00Z", schedule.Interval},
		{"a request wins over an interval of the same moment", v1alpha1.Rotation{Interval: "1h", NotIssuedBefore: "2026-11-24T10:00:00Z"}, "", "2026-11-24T10:00:00Z", schedule.Requested},
		{"a schedule comes before a later request", v1alpha1.Rotation{Schedule: "@hourly", NotIssuedBefore: "2026-11-24T11:00:00Z"}, "", "2026-11-24T10:00:00Z", schedule.Schedule},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := schedule.NewPlan(asked(spec{Rotation: &c.rotation}, c.annotation))
			if err != nil {
				t.Fatal(err)
			}
			due, cause, ok := p.Rotation(instant(issued), uid)
			if want := c.due != ""; ok != want || cause != c.cause || ok && !due.Equal(instant(c.due)) {
				t.Errorf("due at %v by %q (%t), want %q by %q", due, cause, ok, c.due, c.cause)
			}
		})
	}
}

func TestARequestIsServedByOneRotation(t *testing.T) {
	for _, request := range []*v1alpha1.AccessToken{
		asked(spec{}, "2026-11-24T12:00:00.5Z"),
		asked(spec{}, "2026-11-24T12:00:00Z"),
		asked(spec{Rotation: rotation(v1alpha1.Rotation{NotIssuedBefore: "2026-11-24T12:00:00.5Z"})}, ""),
		asked(spec{Rotation: rotation(v1alpha1.Rotation{NotIssuedBefore: "2026-11-24T12:00:00Z"})}, ""),
	} {
		p, err := schedule.NewPlan(request)
		if err != nil {
			t.Fatal(err)
		}
		due, _, ok := p.Rotation(instant("2026-11-24T09:00:00Z"), uid)
		if !ok {
			t.Fatalf("nothing is due of %v", request)
		}
		if again, _, ok := p.Rotation(due.Truncate(time.Second), uid); ok {
			t.Errorf("a token issued at %v, when the rotation was due, is rotated again at %v", due, again)
		}
	}
}

func TestMissedTimesOfAScheduleCountOnce(t *testing.T) {
	p := plan(t, spec{Rotation: rotation(v1alpha1.Rotation{Schedule: "@hourly"})})
	due, _, _ := p.Rotation(instant("2026-11-20T09:30:00Z"), uid)
	if want := instant("2026-11-20T10:00:00Z"); !due.Equal(want) {
		t.Errorf("after four days away a rotation is due since %v, want %v", due, want)
	}
	next, _, _ := p.Rotation(instant("2026-11-24T12:34:56Z"), uid)
	if want := instant("2026-11-24T13:00:00Z"); !next.Equal(want) {
		t.Errorf("after the one that made up for them the next is due at %v, want %v", next, want)
	}
}

func TestAutoRotatesAtTwoThirdsLessUpToATenth(t *testing.T) {
	issued := instant("2026-11-24T09:00:00Z")
	for _, c := range []struct {
		name          string
		maxAge        v1alpha1.MaxAge
		least, atMost time.Duration
	}{
		{"90 days by default", "", 54 * day, 60 * day},
		{"an hour", "1h", 36 * time.Minute, 40 * time.Minute},
		{"the margin of five minutes takes over below a quarter of an hour", "12m", 378 * time.Second, 7 * time.Minute},
		{"ten minutes, of which five are left", "10m", 270 * time.Second, 5 * time.Minute},
		{"less than ten minutes has no margin", "9m59s", 359400 * time.Millisecond, 599 * time.Second / 3 * 2},
		{"the shortest age", "2s", 1200*time.Millisecond - 2, 1333333333},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := plan(t, spec{MaxAge: c.maxAge, Rotation: rotation(v1alpha1.Rotation{Interval: "Auto"})})
			for i := range 1000 {
				due, cause, ok := p.Rotation(issued, fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
				if after := due.Sub(issued); !ok || cause != schedule.Interval || after > c.atMost || after < c.least {
					t.Fatalf("UID %d rotates after %v by %s, want %v to %v by Interval", i, after, cause, c.least, c.atMost)
				}
			}
		})
	}
}

func TestATokenThatUseExtendsIsRotatedByItsLongestLife(t *testing.T) {
	issued := instant("2026-11-24T09:00:00Z")
	p := plan(t, spec{MaxAge: "24h", ExtendWhenUsed: true, MaxLifetime: "150h", Rotation: rotation(v1alpha1.Rotation{Interval: "Auto"})})
	due, _, ok := p.Rotation(issued, uid)
	if after := due.Sub(issued); !ok || after > 100*time.Hour || after < 90*time.Hour {
		t.Errorf("Auto rotates after %v (%v), want 90h to 100h", after, ok)
	}
	p = plan(t, spec{MaxAge: "24h", ExtendWhenUsed: true, Rotation: rotation(v1alpha1.Rotation{Interval: "95h59m59s"})})
	if due, _, ok := p.Rotation(issued, uid); !ok || !due.Equal(issued.Add(96*time.Hour-time.Second)) {
		t.Errorf("an interval just under four times the age is due at %v (%v)", due, ok)
	}
}

func TestOnRequestLeavesNothingButTheRequest(t *testing.T) {
	issued := instant("2026-11-24T09:00:00Z")
	for _, r := range []v1alpha1.Rotation{{Interval: "Auto"}, {Interval: "1h"}, {Schedule: "@hourly"}} {
		p := plan(t, spec{Rotation: &r})
		if due, cause, ok := p.OnRequest().Rotation(issued, uid); ok {
			t.Errorf("%+v still rotates at %v by %s", r, due, cause)
		}
		r.NotIssuedBefore = "2026-12-24T09:00:00Z"
		p = plan(t, spec{Rotation: &r})
		if due, cause, ok := p.OnRequest().Rotation(issued, uid); !ok || cause != schedule.Requested || !due.Equal(instant("2026-12-24T09:00:00Z")) {
			t.Errorf("%+v is due at %v by %s (%v), want the request", r, due, cause, ok)
		}
	}
}

func TestJitterIsTheSameInEveryProcess(t *testing.T) {
	p := plan(t, spec{MaxAge: "720h", Rotation: rotation(v1alpha1.Rotation{Interval: "Auto"})})
	due, _, _ := p.Rotation(instant("2026-11-24T09:00:00Z"), uid)
	if want := instant("2026-12-14T03:14:45.854081098Z"); !due.Equal(want) {
		t.Errorf("due at %s, and was %s: every token would be rotated at another time",
			due.Format(time.RFC3339Nano), want.Format(time.RFC3339Nano))
	}
}

// TestJitterIsEvenlySpread compares how many of 1,000 UIDs fall into each tenth
// with chance: for nine degrees of freedom chi square is over 27.9 once in a
// thousand times.
func TestJitterIsEvenlySpread(t *testing.T) {
	const uids, bins = 1000, 10
	issued := instant("2026-11-24T09:00:00Z")
	auto := plan(t, spec{MaxAge: "1500h", Rotation: rotation(v1alpha1.Rotation{Interval: "Auto"})})
	for name, share := range map[string]func(uid string) float64{
		"of Auto": func(uid string) float64 {
			due, _, _ := auto.Rotation(issued, uid)
			return float64(1000*time.Hour-due.Sub(issued)) / float64(100*time.Hour)
		},
		"of what is overdue": func(uid string) float64 {
			return float64(auto.Spread(issued.Add(-1), issued, time.Time{}, false, uid).Sub(issued)) / float64(5*time.Minute)
		},
	} {
		var counts [bins]int
		for i := range uids {
			s := share(fmt.Sprintf("%08x-5a0b-4a53-9d3e-2f1c7f0d9b11", i))
			if s < 0 || s >= 1 {
				t.Fatalf("the share %s of UID %d is %v, want at least 0 and under 1", name, i, s)
			}
			counts[int(s*bins)]++
		}
		chi := 0.0
		for _, n := range counts {
			chi += float64((n-uids/bins)*(n-uids/bins)) / (uids / bins)
		}
		if chi > 27.9 {
			t.Errorf("the shares %s fall into tenths as %v, chi square is %.1f", name, counts, chi)
		}
	}
}

func TestSpreadPutsOffOnlyWhatWasOverdueAtStart(t *testing.T) {
	started := instant("2026-11-24T09:00:00Z")
	p := plan(t, spec{Rotation: rotation(v1alpha1.Rotation{Interval: "24h"})})
	for _, c := range []struct {
		name  string
		due   time.Time
		end   time.Time // zero: none
		least time.Duration
		limit time.Duration
	}{
		{"what falls due at the start is done then", started, started.Add(time.Hour), 0, 0},
		{"what falls due a nanosecond later is done then", started.Add(1), started.Add(time.Hour), 1, 1},
		{"what was due a nanosecond before is spread over a tenth of what is left", started.Add(-1), started.Add(20 * time.Minute), 0, 2 * time.Minute},
		{"a long rest is spread over five minutes", started.Add(-day), started.Add(day), 0, 5 * time.Minute},
		{"no end is spread over five minutes", started.Add(-day), time.Time{}, 0, 5 * time.Minute},
		{"an end at the start leaves no time", started.Add(-day), started, 0, 0},
		{"an end that has passed leaves no time", started.Add(-day), started.Add(-time.Hour), 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			differ := map[time.Time]bool{}
			for i := range 100 {
				at := p.Spread(c.due, started, c.end, !c.end.IsZero(), strconv.Itoa(i))
				if after := at.Sub(started); after < c.least || after > c.limit {
					t.Fatalf("UID %d is done %v after the start, want %v to %v", i, after, c.least, c.limit)
				}
				differ[at] = true
			}
			if want := c.limit > time.Second; want != (len(differ) > 90) {
				t.Errorf("100 UIDs are done at %d moments", len(differ))
			}
		})
	}
}

func TestSpreadDoesNotHoldBackARequest(t *testing.T) {
	issued, started := instant("2026-11-20T09:00:00Z"), instant("2026-11-24T09:00:00Z")
	for _, c := range []struct{ name, request, want string }{
		{"one made while the operator was away is due at once", "2026-11-24T08:00:00Z", "2026-11-24T08:00:01Z"},
		{"one that comes after the spread does not put it off", "2026-11-24T09:05:00Z", ""},
		{"one that was served by the token that is out is no more", "2026-11-20T08:00:00Z", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := schedule.NewPlan(asked(spec{Rotation: rotation(v1alpha1.Rotation{Interval: "24h"})}, c.request))
			if err != nil {
				t.Fatal(err)
			}
			due, cause, _ := p.Rotation(issued, uid)
			if cause != schedule.Interval {
				t.Fatalf("the cause is %s, want Interval", cause)
			}
			at := p.Spread(due, started, time.Time{}, false, uid)
			if c.want != "" && !at.Equal(instant(c.want)) {
				t.Errorf("done at %v, want %s", at, c.want)
			}
			if c.want == "" && (at.Before(started) || !at.Before(started.Add(5*time.Minute))) {
				t.Errorf("done at %v, want within five minutes of the start", at)
			}
		})
	}
}

func TestOverlapEndsNoLaterThanTheToken(t *testing.T) {
	issued := instant("2026-11-24T09:00:00Z")
	for _, c := range []struct {
		name    string
		overlap time.Duration
		end     time.Time // zero: none
		want    time.Time
	}{
		{"after the overlap", time.Hour, issued.Add(2 * time.Hour), issued.Add(time.Hour)},
		{"at its own end when that is sooner", time.Hour, issued.Add(time.Hour - 1), issued.Add(time.Hour - 1)},
		{"at both when they are the same", time.Hour, issued.Add(time.Hour), issued.Add(time.Hour)},
		{"after the overlap when it has no end", time.Hour, time.Time{}, issued.Add(time.Hour)},
		{"at once without overlap", 0, time.Time{}, issued},
		{"in the past when it had ended before", time.Hour, issued.Add(-time.Hour), issued.Add(-time.Hour)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := schedule.OverlapEnd(issued, c.overlap, c.end, !c.end.IsZero()); !got.Equal(c.want) {
				t.Errorf("the token ends at %v, want %v", got, c.want)
			}
		})
	}
}

func TestARotationByIntervalComesAfterIssueAndBeforeTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		age := rapid.IntRange(2, 87600*3600).Draw(t, "age in seconds")
		interval := v1alpha1.RotationInterval("Auto")
		if rapid.Bool().Draw(t, "explicit") {
			interval = v1alpha1.RotationInterval(seconds(rapid.IntRange(1, age-1).Draw(t, "interval in seconds")))
		}
		p, err := schedule.NewPlan(asked(spec{MaxAge: v1alpha1.MaxAge(seconds(age)), Rotation: rotation(v1alpha1.Rotation{Interval: interval})}, ""))
		if err != nil {
			t.Fatal(err)
		}
		issued := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "issued at"), 0).UTC()
		id := rapid.String().Draw(t, "uid")
		end := issued.Add(p.MaxAge.Duration)

		due, cause, ok := p.Rotation(issued, id)
		if !ok || cause != schedule.Interval || !due.After(issued) || !due.Before(end) {
			t.Errorf("a token issued at %v that ends at %v is rotated at %v by %s (%t)", issued, end, due, cause, ok)
		}
		if p.Overlap < 0 || p.Overlap >= due.Sub(issued) {
			t.Errorf("the overlap %v is not shorter than the interval of %v", p.Overlap, due.Sub(issued))
		}
		started := issued.Add(time.Duration(rapid.Int64Range(0, int64(2*p.MaxAge.Duration)).Draw(t, "started after")))
		done := p.Spread(due, started, end, true, id)
		if done.Before(due) || started.Before(end) && !done.Before(end) || done.Sub(started) >= 5*time.Minute && done != due {
			t.Errorf("a rotation due at %v is done at %v, when the operator started at %v and the token ends at %v", due, done, started, end)
		}
	})
}

// seconds writes a number of seconds as a Duration.
func seconds(n int) string { return fmt.Sprintf("%dh%dm%ds", n/3600, n/60%60, n%60) }
