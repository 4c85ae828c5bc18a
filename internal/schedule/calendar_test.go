package schedule_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
)

func scheduled(cron, zone string) spec {
	return spec{MaxAge: "Never", Rotation: &v1alpha1.Rotation{Schedule: v1alpha1.CronSchedule(cron), TimeZone: zone}}
}

func TestScheduleFollowsTheCalendarAndTheClockOnTheWall(t *testing.T) {
	const helsinki = "Europe/Helsinki" // forward 2026-03-29 03:00 to 04:00, back 2026-10-25 04:00 to 03:00
	for _, c := range []struct{ name, cron, zone, issued, want string }{
		{"without a time zone it is UTC", "0 3 * * *", "", "2026-11-24T02:59:59Z", "2026-11-24T03:00:00Z"},
		{"a time zone shifts it", "0 3 * * *", helsinki, "2026-11-24T00:00:00Z", "2026-11-24T01:00:00Z"},
		{"a nanosecond before counts", "0 3 * * *", "", "2026-11-24T02:59:59.999999999Z", "2026-11-24T03:00:00Z"},
		{"the very moment does not", "0 3 * * *", "", "2026-11-24T03:00:00Z", "2026-11-25T03:00:00Z"},
		{"a nanosecond after does not", "0 3 * * *", "", "2026-11-24T03:00:00.000000001Z", "2026-11-25T03:00:00Z"},

		{"a time that spring skips comes when the clock does", "30 3 * * *", helsinki, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"from the second before the skip as well", "30 3 * * *", helsinki, "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z"},
		{"once only", "0,15,30 3 * * *", helsinki, "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"},
		{"a time before the skip is as ever", "30 2 * * *", helsinki, "2026-03-28T12:00:00Z", "2026-03-29T00:30:00Z"},
		{"a time after the skip is as ever, an hour earlier in UTC", "0 4 * * *", helsinki, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"every hour goes on through the skip", "30 * * * *", helsinki, "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"},

		{"a time that autumn repeats comes the first time", "30 3 * * *", helsinki, "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"and not the second time", "30 3 * * *", helsinki, "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"nor for a token issued meanwhile", "30 3 * * *", helsinki, "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"},
		{"nor for one issued as the clock goes back", "0 3 * * *", helsinki, "2026-10-25T01:00:00Z", "2026-10-26T01:00:00Z"},
		{"the time after the repetition is as ever", "0 4 * * *", helsinki, "2026-10-25T00:10:00Z", "2026-10-25T02:00:00Z"},
		{"also for a token issued during it", "0 4 * * *", helsinki, "2026-10-25T01:10:00Z", "2026-10-25T02:00:00Z"},
		{"every hour goes on through the repetition", "30 * * * *", helsinki, "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},

		{"a day without midnight has its midnight at one", "@daily", "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-23T22:00:00Z"},
		{"every hour of a day without midnight", "0 * 24 4 *", "Africa/Cairo", "2026-04-20T00:00:00Z", "2026-04-23T22:00:00Z"},
		{"a skip of half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T14:00:00Z", "2026-10-03T15:30:00Z"},
		{"a day that a time zone left out comes at its end", "0 12 30 12 *", "Pacific/Apia", "2011-12-29T20:00:00Z", "2011-12-30T10:00:00Z"},

		{"29 February comes in leap years", "0 0 29 2 *", "", "2025-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"29 February can be eight years away", "0 0 29 2 *", "", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"},
		{"31 comes in long months only", "0 0 31 * *", "", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"},
		{"a month ends into the next year", "0 0 1 * *", "", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"},
		{"@monthly is the first of a month", "@monthly", "", "2026-11-24T09:00:00Z", "2026-12-01T00:00:00Z"},
		{"@weekly is on Sunday", "@weekly", "", "2026-11-24T09:00:00Z", "2026-11-29T00:00:00Z"},
		{"@yearly in a time zone is the year's there", "@yearly", helsinki, "2026-11-24T09:00:00Z", "2026-12-31T22:00:00Z"},

		{"a day of month or a day of week, as in crontab", "0 0 13 * 5", "", "2026-11-24T09:00:00Z", "2026-11-27T00:00:00Z"},
		{"Sunday is 7 as well as 0", "0 0 * * 7", "", "2026-11-24T09:00:00Z", "2026-11-29T00:00:00Z"},
		{"a name of a day in capitals", "0 3 * * THU", "", "2026-11-24T09:00:00Z", "2026-11-26T03:00:00Z"},
		{"names of months and days", "0 3 * Dec-Feb Mon,Tue", "", "2026-11-24T09:00:00Z", "2026-12-01T03:00:00Z"},
		{"a range over midnight", "0 22-2 * * *", "", "2026-11-24T23:00:00Z", "2026-11-25T00:00:00Z"},
		{"steps", "*/20 8-10/2 * * *", "", "2026-11-24T08:40:00Z", "2026-11-24T10:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			due, cause, ok := plan(t, scheduled(c.cron, c.zone)).Rotation(instant(c.issued), uid)
			if !ok || cause != schedule.Schedule || !due.Equal(instant(c.want)) {
				t.Errorf("due at %v by %s (%t), want %s", due, cause, ok, c.want)
			}
			if due.Location() != time.UTC {
				t.Errorf("the moment is in the time zone %s, want UTC", due.Location())
			}
		})
	}
}

func TestScheduleThatCannotBeReadIsRefused(t *testing.T) {
	for _, cron := range []string{
		"TZ=0", "TZ=0 0 3 * * *", "CRON_TZ=UTC 0 3 * * *", "TZ=", "TZ= ", "@every 1s", "@every", "@reboot", "@", " ", "* * * *", "* * * * * *",
		", * * * *", "* ,, * * *", "*, * * * -", "0-59/0 * * * *", "1-2-3 * * * *", "0 0 0 * *", "0 0 32 * *", "0 0 * 13 *", "0 0 * 0 *",
		"0 0 * * 8", "0 24 * * *", "0 0 L * *", "0 0 15W * *", "0 0 1L * *", "0 0 * * 5#2", "H H * * *", "? ? * * *", "0\t3 * * *", "0 3 * * *\n",
		"99999999999999999999 * * * *", "-1 * * * *", "0 0 30 2 *", "0 0 31 2,4,6,9,11 *", strings.Repeat("1,", 4000) + "1 * * * *", "\x00", "٣ * * * *",
	} {
		_, err := schedule.NewPlan(asked(scheduled(cron, ""), ""))
		invalid, ok := errors.AsType[*schedule.InvalidError](err)
		if !ok || invalid.Field != "spec.rotation.schedule" || invalid.Reason != v1alpha1.ReasonScheduleInvalid {
			t.Errorf("schedule %.40q: the error is %v, want one for spec.rotation.schedule with ScheduleInvalid", cron, err)
		}
	}
	for _, zone := range []string{
		"0", "Local", "local", "Mars/Olympus", "Europe", "../../etc/passwd", "/etc/localtime", "Europe/../UTC", "Europe//Helsinki", "Europe/Helsinki/", ".",
		"UTC+2", "+02:00", "TZ=UTC", "Europe/Helsinki ", "\x00", strings.Repeat("a/", 3000) + "a", "zone.tab", "posixrules/x",
	} {
		_, err := schedule.NewPlan(asked(scheduled("@daily", zone), ""))
		invalid, ok := errors.AsType[*schedule.InvalidError](err)
		if !ok || invalid.Field != "spec.rotation.timeZone" || invalid.Reason != v1alpha1.ReasonScheduleInvalid {
			t.Errorf("time zone %.40q: the error is %v, want one for spec.rotation.timeZone with ScheduleInvalid", zone, err)
		}
	}
}

// simpleSchedule is a cron expression with what it means spelled out.
type simpleSchedule struct {
	minutes, hours, days, weekdays []int // empty: any
}

func (s simpleSchedule) String() string {
	field := func(members []int) string {
		if len(members) == 0 {
			return "*"
		}
		return strings.ReplaceAll(strings.Trim(fmt.Sprint(members), "[]"), " ", ",")
	}
	return fmt.Sprintf("%s %s %s * %s", field(s.minutes), field(s.hours), field(s.days), field(s.weekdays))
}

// shows reports whether a clock on the wall that shows t means the schedule.
func (s simpleSchedule) shows(t time.Time) bool {
	in := func(members []int, n int) bool {
		for _, m := range members {
			if m == n {
				return true
			}
		}
		return len(members) == 0
	}
	day, weekday := in(s.days, t.Day()), in(s.weekdays, int(t.Weekday()))
	if len(s.days) > 0 && len(s.weekdays) > 0 {
		return in(s.minutes, t.Minute()) && in(s.hours, t.Hour()) && (day || weekday)
	}
	return in(s.minutes, t.Minute()) && in(s.hours, t.Hour()) && day && weekday
}

// next walks from minute to minute, looking at the clock on the wall.
func (s simpleSchedule) next(after time.Time, zone *time.Location, limit time.Time) (time.Time, bool) {
	reading := func(t time.Time) time.Time { // what the clock shows, as if that were UTC
		_, offset := t.In(zone).Zone()
		return t.UTC().Add(time.Duration(offset) * time.Second)
	}
	furthest := reading(after.Add(-day)) // the latest that the clock has ever shown
	for t := after.Add(-day).Truncate(time.Minute); t.Before(limit); t = t.Add(time.Minute) {
		now, before := reading(t), reading(t.Add(-time.Minute))
		due := s.shows(now) && (len(s.hours) == 0 || now.After(furthest))
		for skipped := before.Add(time.Minute); len(s.hours) > 0 && skipped.Before(now); skipped = skipped.Add(time.Minute) {
			due = due || s.shows(skipped)
		}
		if now.After(furthest) {
			furthest = now
		}
		if due && t.After(after) {
			return t, true
		}
	}
	return time.Time{}, false
}

func TestScheduleAgreesWithLookingAtTheClockEachMinute(t *testing.T) {
	zones := []string{"UTC", "Europe/Helsinki", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Havana", "Asia/Kathmandu", "Asia/Beirut"}
	rapid.Check(t, func(t *rapid.T) {
		some := func(name string, least, most int) []int {
			return rapid.SliceOfNDistinct(rapid.IntRange(least, most), 0, 3, rapid.ID[int]).Draw(t, name)
		}
		s := simpleSchedule{some("minutes", 0, 59), some("hours", 0, 5), some("days", 1, 31), some("weekdays", 0, 6)}
		name := rapid.SampledFrom(zones).Draw(t, "zone")
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		// Near a change of the clock, where there is one.
		around := time.Unix(rapid.Int64Range(1.7e9, 2e9).Draw(t, "around"), 0)
		if _, change := around.In(zone).ZoneBounds(); !change.IsZero() {
			around = change
		}
		issued := around.Add(time.Duration(rapid.IntRange(-36*3600, 6*3600).Draw(t, "seconds from the change")) * time.Second).UTC()
		limit := issued.Add(3 * day)

		p, err := schedule.NewPlan(asked(scheduled(s.String(), name), ""))
		if err != nil {
			t.Fatal(err)
		}
		want, comes := s.next(issued, zone, limit)
		got, _, ok := p.Rotation(issued, uid)
		if comes && (!ok || !got.Equal(want)) || !comes && ok && got.Before(limit) {
			t.Errorf("%s in %s after %v is due at %v (%t), want %v (%t)", s, name, issued.In(zone), got.In(zone), ok, want.In(zone), comes)
		}
	})
}

func FuzzPlan(f *testing.F) {
	f.Add("TZ=0", "Europe/Helsinki", "Auto", "720h", "24h", "2026-11-24T09:00:00Z", "", int64(1800000000))
	f.Add("0 3 * * 1", "Africa/Cairo", "", "Never", "", "", "2026-11-24T12:00:00.5Z", int64(0))
	f.Add("*/7 1-5 29 2 *", "Australia/Lord_Howe", "1s", "10m", "0s", "x", "9999-12-31T23:59:59.999999Z", int64(-62135596800))
	f.Add(",,, * * * *", "Local", "", "", "", "0000-01-01T00:00:00Z", "", int64(253402300799))
	f.Fuzz(func(t *testing.T, cron, zone, interval, maxAge, overlap, field, annotation string, unix int64) {
		s := spec{MaxAge: v1alpha1.MaxAge(maxAge), Rotation: &v1alpha1.Rotation{
			Schedule: v1alpha1.CronSchedule(cron), TimeZone: zone, Interval: v1alpha1.RotationInterval(interval),
			Overlap: v1alpha1.Duration(overlap), NotIssuedBefore: v1alpha1.Timestamp(field),
		}}
		p, err := schedule.NewPlan(asked(s, annotation))
		if _, ok := errors.AsType[*schedule.InvalidError](err); err != nil && !ok {
			t.Fatalf("the error is %v, want an InvalidError", err)
		}
		// Timestamps go from the year 0 to 9999.
		const first, seconds = -62167219200, 253402300799 + 62167219200
		issued := time.Unix(first+((unix%seconds)+seconds)%seconds, 0).UTC()
		due, cause, ok := p.Rotation(issued, uid)
		if ok && !due.After(issued) {
			t.Errorf("a token issued at %v is rotated at %v by %s", issued, due, cause)
		}
		if ok && due.Nanosecond() != 0 && cause != schedule.Interval {
			t.Errorf("%s is due at %v, want a whole second", cause, due)
		}
	})
}
