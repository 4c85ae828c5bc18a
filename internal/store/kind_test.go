package store

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEachKindHasAName(t *testing.T) {
	seen := map[string]bool{}
	for k := range kinds {
		name := k.String()
		if name == "" || strings.HasPrefix(name, "kind ") || seen[name] {
			t.Errorf("kind %d is called %q", int(k), name)
		}
		seen[name] = true
	}
	if len(Kinds()) != len(seen) || Kinds()[0] != KindTokenRecord {
		t.Errorf("Kinds are %v", Kinds())
	}
	if got := kinds.String(); !strings.HasPrefix(got, "kind ") {
		t.Errorf("what is no kind is called %q", got)
	}
}

func TestTheKindsThatAreSilentAreKnown(t *testing.T) {
	f := &Freshness{}
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for k := range kinds {
		if k != KindKeySecret {
			f.Hear(k, noon.Add(time.Duration(k)*time.Second))
		}
	}
	if got := f.Unheard(); !slices.Equal(got, []Kind{KindKeySecret}) {
		t.Errorf("never heard of %v", got)
	}
	f.Hear(KindKeySecret, noon.Add(time.Hour))
	f.Hear(KindTokenRecord, noon.Add(time.Hour))
	if got := f.Unheard(); len(got) != 0 {
		t.Errorf("never heard of %v", got)
	}
	if got, at := f.Quietest(); got != KindAccessToken || !at.Equal(noon.Add(time.Second)) {
		t.Errorf("silent for longest is %v, since %v", got, at)
	}
}
