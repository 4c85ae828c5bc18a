package schedule

import (
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

const (
	minutesOfDay = 24 * 60
	day          = 24 * time.Hour

	// wildcard is the bit by which the parser tells a field that is *.
	wildcard = 1 << 63

	// The days of a schedule repeat after 28 years, with the weekdays and the leap
	// years, as long as no century leaves one out.
	cycleDays = 28*365 + 7
)

var cycleBegins = time.Date(2001, time.January, 1, 0, 0, 0, 0, time.UTC)

// LongestGap is the longest that two times of a schedule are apart, by the clock on
// the wall: where that is set forward or back in between, by as much less or more
// time passes. It fails for a schedule that NewPlan refuses.
func LongestGap(schedule v1alpha1.CronSchedule) (time.Duration, error) {
	c, invalid := parseCalendar(schedule, "")
	if invalid != nil {
		return 0, invalid
	}
	first, last, within := c.times()
	between := time.Duration(c.daysApart())*day - time.Duration(last-first)*time.Minute
	return max(between, time.Duration(within)*time.Minute), nil
}

// times are, in minutes of a day on which the schedule comes, the first and the last
// one, and the longest that two in between are apart.
func (c *calendar) times() (first, last, within int) {
	first = -1
	for minute := range minutesOfDay {
		if c.spec.Hour&(1<<(minute/60)) == 0 || c.spec.Minute&(1<<(minute%60)) == 0 {
			continue
		}
		if first < 0 {
			first = minute
		} else {
			within = max(within, minute-last)
		}
		last = minute
	}
	return first, last, within
}

// daysApart is how many days two on which the schedule comes are apart at most.
func (c *calendar) daysApart() int {
	longest, last := 0, -1
	for n := 0; last < cycleDays; n++ { // until the first of the next cycle: parseCalendar saw one come
		if !c.comesOn(cycleBegins.Add(time.Duration(n) * day)) {
			continue
		}
		if last >= 0 {
			longest = max(longest, n-last)
		}
		last = n
	}
	return longest
}

// comesOn says, as the parser does, that a day is one of the schedule's: where both
// day of month and day of week are restricted, either counts.
func (c *calendar) comesOn(date time.Time) bool {
	_, month, dayOfMonth := date.Date()
	ofMonth, ofWeek := c.spec.Dom&(1<<dayOfMonth) != 0, c.spec.Dow&(1<<date.Weekday()) != 0
	if c.spec.Month&(1<<month) == 0 {
		return false
	}
	if c.spec.Dom&wildcard != 0 || c.spec.Dow&wildcard != 0 {
		return ofMonth && ofWeek
	}
	return ofMonth || ofWeek
}
