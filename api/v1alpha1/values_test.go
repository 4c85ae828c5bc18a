package v1alpha1_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// timestampPattern is that of the schema.
var timestampPattern = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$`)

// TestATimestampIsWhatTheSchemaTakes changes well-formed ones a little: whatever
// still parses is as the schema has it.
func TestATimestampIsWhatTheSchemaTakes(t *testing.T) {
	parsed := 0
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(0, 1<<34).Draw(t, "second"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanosecond")).UTC()
		layout := rapid.SampledFrom([]string{time.RFC3339, "2006-01-02T15:04:05.000000Z07:00", "2006-01-02T15:04:05.0Z07:00", time.RFC3339Nano}).Draw(t, "layout")
		text := at.Format(layout)
		if rapid.Bool().Draw(t, "changed") {
			from := rapid.IntRange(0, len(text)).Draw(t, "from")
			to := rapid.IntRange(from, min(from+2, len(text))).Draw(t, "to")
			text = text[:from] + rapid.StringOfN(rapid.RuneFrom([]rune("0123456789.,:-+TtZz ")), 0, 3, -1).Draw(t, "in its place") + text[to:]
		}
		instant, err := v1alpha1.Timestamp(text).Parse()
		if err == nil && !timestampPattern.MatchString(text) {
			t.Fatalf("%q is taken, as %s", text, instant)
		}
		_, impossible := time.Parse(time.RFC3339Nano, text) // the 31st of February
		if err != nil && timestampPattern.MatchString(text) && impossible == nil {
			t.Fatalf("%q is not: %v", text, err)
		}
		if err == nil {
			parsed++
		}
	})
	if parsed == 0 {
		t.Error("none is taken")
	}
	for _, text := range []string{
		"", "Z", "2026-11-24T9:00:00Z", "2026-11-24T09:00:00", "2026-11-24T09:00:00,5Z", "2026-11-24T09:00:00.Z", "2026-11-24T09:00:00.1234567Z",
		"2026-11-24T09:00:00+00:00", "2026-11-24t09:00:00Z", "2026-11-24T09:00:00z", "2026-11-24 09:00:00Z", strings.Repeat("0", 20),
	} {
		if at, err := v1alpha1.Timestamp(text).Parse(); err == nil {
			t.Errorf("%q is taken, as %s", text, at)
		}
	}
}
