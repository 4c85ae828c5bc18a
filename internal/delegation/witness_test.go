package delegation

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWhatMayHavePassedByAPolicyIsHeldAgainstIt(t *testing.T) {
	created := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	now := created.Add(24 * time.Hour)
	noted := created.Add(time.Hour)
	for name, c := range map[string]struct {
		generation int64
		before     sighting
		known      bool
		want       time.Time
	}{
		"never changed, never seen":               {1, sighting{}, false, created},
		"never changed, seen":                     {1, sighting{"a", 1, noted}, true, noted},
		"changed once since it was seen":          {2, sighting{"a", 1, noted}, true, noted},
		"changed twice since it was seen":         {3, sighting{"a", 1, noted}, true, now.Add(clockTolerance)},
		"changed before it was ever seen":         {2, sighting{}, false, now.Add(clockTolerance)},
		"made again, and never changed":           {1, sighting{"b", 7, noted}, true, created},
		"made again, and changed":                 {2, sighting{"b", 1, noted}, true, now.Add(clockTolerance)},
		"a note that says more than there can be": {1, sighting{"a", 5, noted}, true, now.Add(clockTolerance)},
	} {
		object := &metav1.ObjectMeta{UID: "a", Generation: c.generation, CreationTimestamp: metav1.NewTime(created)}
		if got := see(object, c.before, c.known, now); !got.since.Equal(c.want) || got.generation != c.generation || got.uid != "a" {
			t.Errorf("%s: %+v, want since %s", name, got, c.want)
		}
	}
}

func TestASightingIsReadAsItWasWritten(t *testing.T) {
	want := sighting{"0f1e-2d3c", 12, time.Date(2026, 11, 1, 2, 3, 4, 0, time.UTC)}
	if got, ok := parseSighting(want.String()); !ok || got != want {
		t.Errorf("%q was read as %+v, %v", want, got, ok)
	}
	for _, text := range []string{"", "a 1", "a x 2026-11-01T02:03:04Z", "a 1 yesterday", "a 1 2026-11-01T02:03:04Z more"} {
		if got, ok := parseSighting(text); ok {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func TestGroupsAreReadAsPolicyWritesThem(t *testing.T) {
	got := groups("devs,release%2C 100%25,%252C")
	want := []string{"devs", "release, 100%", "%2C"}
	if len(got) != len(want) {
		t.Fatalf("groups = %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("group %d = %q, want %q", i, got[i], want[i])
		}
	}
	if groups("") != nil {
		t.Error("no stamp has groups")
	}
}
