package schedule

import (
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // the same time zones wherever the operator runs

	cron "github.com/netresearch/go-cron"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

const (
	scheduleField = "spec.rotation.schedule"
	timeZoneField = "spec.rotation.timeZone"
)

// longestGapYears is the longest that a possible date can be away: 29 February
// from 2096 to 2104. What does not come within it never does.
const longestGapYears = 8

// cronParser reads the five fields of crontab(5): where both day of month and
// day of week are restricted, a day that satisfies either counts.
var cronParser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.DowOrDom).
	WithMaxSearchYears(longestGapYears)

// cronPattern is what the schema accepts, in lower case. It keeps from the
// parser what that understands beyond five fields (a time zone in front,
// @every), and empty lists, which match nothing and search for long.
var cronPattern = regexp.MustCompile(`^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|(([0-9*]|[a-z]{3})[0-9a-z*/,-]* ){4}([0-9*]|[a-z]{3})[0-9a-z*/,-]*)$`)

var timeZonePattern = regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$`)

// calendar is a cron expression in a time zone.
type calendar struct {
	spec *cron.SpecSchedule
	zone *time.Location
}

func parseCalendar(schedule v1alpha1.CronSchedule, timeZone string) (*calendar, *InvalidError) {
	zone, invalidZone := parseTimeZone(timeZone)
	if invalidZone != nil {
		return nil, invalidZone
	}
	// The parser takes the H of THU for an operator.
	text := strings.ToLower(string(schedule))
	if len(text) > cron.MaxSpecLength || !cronPattern.MatchString(text) {
		return nil, invalid(scheduleField, v1alpha1.ReasonScheduleInvalid,
			"%q is neither a cron expression of five fields such as 0 3 * * 1 nor @daily or the like", string(schedule))
	}
	parsed, err := cronParser.Parse(text)
	if err != nil {
		return nil, invalid(scheduleField, v1alpha1.ReasonScheduleInvalid,
			"%q is not a cron expression: %s; use five fields such as 0 3 * * 1", string(schedule), outOfRange.ReplaceAllString(err.Error(), "$1 is $2 $3"))
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok || spec.Minute == 0 || spec.Hour == 0 || spec.Dom == 0 || spec.Month == 0 || spec.Dow == 0 {
		return nil, invalid(scheduleField, v1alpha1.ReasonScheduleInvalid,
			"%q has a field that no time matches: use a cron expression of five fields such as 0 3 * * 1", string(schedule))
	}
	c := &calendar{spec: spec, zone: zone}
	if _, comes := c.next(time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)); !comes {
		return nil, invalid(scheduleField, v1alpha1.ReasonScheduleInvalid,
			"%q names a date that never comes: use one that the calendar has", string(schedule))
	}
	return c, nil
}

// outOfRange is how the parser tells of one number that is no range.
var outOfRange = regexp.MustCompile(`(?:beginning|end) of range \((\d+)\) (above|below) (?:max|min)imum \((\d+)\): "\d+"`)

func parseTimeZone(name string) (*time.Location, *InvalidError) {
	if name == "" {
		return time.UTC, nil
	}
	// Local is the machine's, which differs from one replica to the next.
	if name != time.Local.String() && timeZonePattern.MatchString(name) {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	return nil, invalid(timeZoneField, v1alpha1.ReasonScheduleInvalid,
		"%q is not a time zone: use an IANA name such as Europe/Helsinki, or remove it for UTC", name)
}

// next returns the first time after an instant. A schedule of certain hours
// follows the clock on the wall: a time that the clock skips is when it skips,
// a time that it shows twice is the first of both. One of every hour follows
// the time that passes.
func (c *calendar) next(after time.Time) (time.Time, bool) {
	period := c.afterRepetition(after)
	if period.After(after) {
		after = period.Add(-time.Nanosecond)
	}
	for {
		// Within a period the offset from UTC is constant. The parser's own
		// search across periods misses days that have no midnight.
		local := period.In(c.zone)
		_, offset := local.Zone()
		_, change := local.ZoneBounds()
		candidate := c.spec.Next(after.In(time.FixedZone("", offset)))
		if candidate.IsZero() {
			return time.Time{}, false
		}
		if change.IsZero() || candidate.Before(change) {
			return candidate.UTC(), true
		}
		_, newOffset := change.Zone()
		skipped := time.Duration(newOffset-offset) * time.Second
		if !c.everyHour() && candidate.Before(change.Add(skipped)) {
			return change.UTC(), true
		}
		period = c.afterRepetition(change)
		after = period.Add(-time.Nanosecond)
	}
}

// afterRepetition returns the instant itself, or where the clock goes on to
// new times if it shows one for the second time.
func (c *calendar) afterRepetition(t time.Time) time.Time {
	began, _ := t.In(c.zone).ZoneBounds()
	if c.everyHour() || began.IsZero() {
		return t
	}
	_, offset := began.Zone()
	_, before := began.Add(-time.Nanosecond).Zone()
	if resumed := began.Add(time.Duration(before-offset) * time.Second); t.Before(resumed) {
		return resumed
	}
	return t
}

func (c *calendar) everyHour() bool {
	const hours = 1<<24 - 1
	return c.spec.Hour&hours == hours
}
