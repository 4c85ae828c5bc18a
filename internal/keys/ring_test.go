package keys

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// material is a key that is told from others by a letter.
func material(letter byte) []byte { return slices.Repeat([]byte{letter}, 32) }

const (
	idOld    = "20260101t000000z-aaaaaaaa"
	idNew    = "20261124t120000z-aaaaaaaa"
	idChosen = "zz-restored-by-hand"
)

var madeNew = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestMadeAt(t *testing.T) {
	for id, want := range map[string]time.Time{
		idNew:                       madeNew,
		"20261124t120000z":          madeNew,
		"20261124t120000zanything":  madeNew,
		"20260228t235959z-x":        time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC),
		"20260229t000000z-x":        {}, // no such day
		"20261124t120000":           {},
		"20261124T120000Z-aaaaaaaa": {},
		"2026-11-24t12:00:00z":      {},
		idChosen:                    {},
		"":                          {},
	} {
		at, ok := madeAt(id)
		if ok != !want.IsZero() || !at.Equal(want) && ok {
			t.Errorf("madeAt(%q) = %s, %t; want %s", id, at, ok, want)
		}
	}
}

func TestLoad(t *testing.T) {
	for name, test := range map[string]struct {
		data     map[string][]byte
		status   Status
		current  string
		unusable []string
	}{
		"nothing":                        {nil, StatusLost, "", nil},
		"one key":                        {map[string][]byte{idOld: material('a')}, StatusLoaded, idOld, nil},
		"the newest is current":          {map[string][]byte{idOld: material('a'), idNew: material('b')}, StatusLoaded, idNew, nil},
		"a chosen ID is older than ours": {map[string][]byte{idChosen: material('a'), idOld: material('b')}, StatusLoaded, idOld, nil},
		"a chosen ID alone":              {map[string][]byte{idChosen: material('a')}, StatusLoaded, idChosen, nil},
		"of two chosen IDs the later":    {map[string][]byte{"b": material('a'), "a": material('b')}, StatusLoaded, "b", nil},
		"what is too short or too long":  {map[string][]byte{"short": make([]byte, 31), "long": make([]byte, 33), idOld: material('a')}, StatusLoaded, idOld, []string{"long", "short"}},
		"what no record can name":        {map[string][]byte{strings.Repeat("x", 65): material('a')}, StatusLost, "", []string{strings.Repeat("x", 65)}},
	} {
		t.Run(name, func(t *testing.T) {
			ring := NewRing()
			_, unusable := ring.load(test.data)
			current, key, ok := ring.Current()
			if ring.Status() != test.status || current != test.current || ok != (test.current != "") {
				t.Errorf("status %s, current %q, %t; want %s, %q", ring.Status(), current, ok, test.status, test.current)
			}
			if ok && !slices.Equal(key[:], test.data[test.current]) {
				t.Error("the current key is another one")
			}
			if !slices.Equal(unusable, test.unusable) {
				t.Errorf("unusable %q; want %q", unusable, test.unusable)
			}
			if want := float64(len(test.data) - len(test.unusable)); testutil.ToFloat64(ring.Collector()) != want {
				t.Errorf("metric %v; want %v", testutil.ToFloat64(ring.Collector()), want)
			}
		})
	}
}

func TestReopen(t *testing.T) {
	both := map[string][]byte{idOld: material('a'), idNew: material('b')}
	one := map[string][]byte{idOld: material('a')}
	other := map[string][]byte{idOld: material('x')}
	for name, test := range map[string]struct {
		before, after map[string][]byte
		reopen        bool
	}{
		"the same":            {both, both, false},
		"a key was added":     {one, both, false},
		"a key was dropped":   {both, one, true},
		"a key was exchanged": {one, other, true},
		"all were lost":       {one, nil, true},
		"they were found":     {map[string][]byte{}, one, true},
	} {
		t.Run(name, func(t *testing.T) {
			ring := NewRing()
			ring.load(test.before)
			if reopen, _ := ring.load(test.after); reopen != test.reopen {
				t.Errorf("reopen %t; want %t", reopen, test.reopen)
			}
		})
	}
	if reopen, _ := NewRing().load(both); reopen {
		t.Error("the first load asks for records to be opened anew, which nobody opened before")
	}
	if !NewRing().lose() {
		t.Error("what could not be opened yet has to be told that the keys are lost")
	}
}

func TestCheck(t *testing.T) {
	ring := NewRing()
	if ring.Check(nil) == nil {
		t.Error("ready before the key Secret was read")
	}
	ring.load(map[string][]byte{idOld: material('a')})
	if err := ring.Check(nil); err != nil {
		t.Errorf("with a key: %v", err)
	}
	ring.lose()
	if err := ring.Check(nil); !errors.Is(err, ErrLost) {
		t.Errorf("without keys: %v", err)
	}
	if _, ok := ring.Key(idOld); ok {
		t.Error("a lost key can still be had")
	}
	if problems, err := testutil.CollectAndLint(ring.Collector()); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestRotationDue(t *testing.T) {
	const year = 365 * 24 * time.Hour
	never := time.Time{}
	for name, test := range map[string]struct {
		newest  string
		maxAge  time.Duration
		request string
		due     time.Time
	}{
		"by age":                                    {idNew, year, "", madeNew.Add(year)},
		"never by age":                              {idNew, 0, "", never},
		"an ID that tells no age":                   {idChosen, year, "", never},
		"a request after the key was made":          {idNew, year, "2026-11-24T13:00:00Z", madeNew.Add(time.Hour)},
		"a request in another zone":                 {idNew, 0, "2026-11-24T15:00:00+02:00", madeNew.Add(time.Hour)},
		"a request before the key was made":         {idNew, year, "2026-11-24T11:59:59Z", madeNew.Add(year)},
		"a request at the moment it was made":       {idNew, 0, "2026-11-24T12:00:00Z", never},
		"a request after it comes of age":           {idNew, time.Hour, "2026-11-24T14:00:00Z", madeNew.Add(time.Hour)},
		"a request within a second, whole after it": {idNew, 0, "2026-11-24T12:00:00.25Z", madeNew.Add(time.Second)},
		"a request for another than a chosen ID":    {idChosen, 0, "2026-11-24T12:00:00Z", madeNew},
		"a request that is no instant":              {idNew, 0, "now", never},
	} {
		t.Run(name, func(t *testing.T) {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{AnnotationRotateRequestedAt: test.request}}}
			at, ok := rotationDue(secret, test.newest, test.maxAge)
			if ok == test.due.IsZero() || ok && !at.Equal(test.due) {
				t.Errorf("due %s, %t; want %s", at, ok, test.due)
			}
			// The key that is added then satisfies the request.
			if !ok || test.request == "" {
				return
			}
			added := at.UTC().Format(idLayout) + "-bbbbbbbb"
			if again, ok := rotationDue(secret, added, 0); ok && !again.After(at) {
				t.Errorf("due again at %s", again)
			}
		})
	}
}
