package schedule_test

import (
	"testing"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/schedule"
)

func TestTheLongestGapOfASchedule(t *testing.T) {
	const day = 24 * time.Hour
	for cron, want := range map[string]time.Duration{
		"* * * * *":            time.Minute,
		"*/7 * * * *":          7 * time.Minute,
		"@hourly":              time.Hour,
		"30 9-17 * * *":        16 * time.Hour,
		"0 3 * * *":            day,
		"0 1,3 * * *":          22 * time.Hour,
		"0 0-23/5 * * *":       5 * time.Hour,
		"0 3 * * 1":            7 * day,
		"0 3 * * 1-5":          3 * day,
		"0 3,15 * * 1-5":       3*day - 12*time.Hour,
		"0 3 1,15 * *":         17 * day,
		"@monthly":             31 * day,
		"0 0 31 * *":           61 * day,
		"0 0 13 * 5":           7 * day,
		"0 0 * 1 1":            343 * day,
		"@yearly":              366 * day,
		"0 12 29 2 *":          1461 * day,
		"0 0 1 1,7 *":          184 * day,
		"0 3 * Dec-Feb Mon,Tu": 0,
	} {
		got, err := schedule.LongestGap(v1alpha1.CronSchedule(cron))
		if (err != nil) != (want == 0) || got != want {
			t.Errorf("%s: %s, %v; want %s", cron, got, err, want)
		}
	}
}

func TestNoTwoTimesAreFurtherApartThanTheLongestGap(t *testing.T) {
	for _, cron := range []string{"0 3 * * 1-5", "30 4,5 1-7 * 3", "15 9 * 2,11 6", "0 0 29 2 *", "0 0 30 1-3 *", "5 5 28-31 * *", "0 22 * 12 0,6"} {
		rotates := plan(t, scheduled(cron, ""))
		gap, err := schedule.LongestGap(v1alpha1.CronSchedule(cron))
		if err != nil {
			t.Fatal(err)
		}
		var longest time.Duration
		start := time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC)
		for at, _, comes := rotates.Rotation(start, "uid"); comes && at.Before(start.AddDate(28, 0, 0)); {
			next, _, _ := rotates.Rotation(at, "uid")
			longest, at = max(longest, next.Sub(at)), next
		}
		if longest != gap {
			t.Errorf("%s: two times are %s apart, the longest gap is %s", cron, longest, gap)
		}
	}
}

func BenchmarkLongestGap(b *testing.B) {
	for b.Loop() {
		_, _ = schedule.LongestGap("0 3 1-30 * *")
	}
}
