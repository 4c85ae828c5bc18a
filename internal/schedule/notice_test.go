package schedule_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
)

func TestNotice(t *testing.T) {
	end := instant("2026-11-24T09:00:00Z")
	for _, c := range []struct {
		name    string
		life    time.Duration
		left    time.Duration
		rotated time.Duration // that long before the end; zero: never
		reached string
		next    time.Duration // before the end; zero: none
	}{
		{"a long time ahead the first is 30 days", 90 * day, 89 * day, 0, "", 30 * day},
		{"a nanosecond ahead there is none yet", 90 * day, 30*day + 1, 0, "", 30 * day},
		{"at 30 days there is one", 90 * day, 30 * day, 0, "30d", 7 * day},
		{"a nanosecond before 7 days it is still that of 30", 90 * day, 7*day + 1, 0, "30d", 7 * day},
		{"at 7 days there is a tighter one", 90 * day, 7 * day, 0, "7d", day},
		{"a nanosecond before the last day it is still that of 7", 90 * day, day + 1, 0, "7d", day},
		{"at the last day there is the last one", 90 * day, day, 0, "1d", 0},
		{"a nanosecond before the end it is still there", 90 * day, 1, 0, "1d", 0},
		{"at the end there is none", 90 * day, 0, 0, "", 0},
		{"after the end there is none", 90 * day, -day, 0, "", 0},
		{"one of 30 days would be in the first half of 60", 60 * day, 30 * day, 0, "", 7 * day},
		{"one of 30 days is in the second half of a nanosecond more", 60*day + 2, 30 * day, 0, "30d", 7 * day},
		{"a week has the last one only", 7 * day, 6 * day, 0, "", day},
		{"two days have none", 2 * day, time.Hour, 0, "", 0},
		{"a rotation before the end makes all needless", 90 * day, time.Hour, 1, "", 0},
		{"a rotation at the end comes too late", 90 * day, time.Hour, -1, "1d", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			due := end.Add(-c.rotated)
			if c.rotated < 0 {
				due = end
			}
			reached, next, more := schedule.Notice(end.Add(-c.left), end.Add(-c.life), end, due, c.rotated != 0)
			if reached != c.reached || more != (c.next != 0) || more && !next.Equal(end.Add(-c.next)) {
				t.Errorf("reached %q, next %v (%t); want %q, next %v before the end", reached, next, more, c.reached, c.next)
			}
		})
	}
}

func TestEveryNoticeIsGivenOnceByLookingWhenTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		issued := instant("2026-11-24T09:00:00Z")
		life := time.Duration(rapid.Int64Range(1, int64(400*day)).Draw(t, "life"))
		end := issued.Add(life)
		var given []string
		now, more := issued, true
		for more {
			reached, next, again := schedule.Notice(now, issued, end, time.Time{}, false)
			if again && !next.After(now) {
				t.Fatalf("at %v the next notice is at %v", now, next)
			}
			if reached != "" {
				given = append(given, reached)
			}
			now, more = next, again
		}
		want := 0
		for _, ahead := range []time.Duration{30 * day, 7 * day, day} {
			if 2*ahead < life-1 {
				want++
			}
		}
		if len(given) != want && len(given) != want+1 {
			t.Errorf("in %v notices %v were given, want %d", life, given, want)
		}
	})
}
