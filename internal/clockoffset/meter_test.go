package clockoffset_test

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/clockoffset"
)

// noon is what the local clock shows.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// world is a meter between a client and a server.
type world struct {
	meter  *clockoffset.Meter
	clock  *clocktesting.FakePassiveClock
	client *http.Client
	server *httptest.Server

	// date is the header that the server answers with; empty for none.
	date string
	// takes is how long an answer takes by the local clock.
	takes time.Duration
}

func newWorld(t *testing.T, local time.Time) *world {
	t.Helper()
	w := &world{clock: clocktesting.NewFakePassiveClock(local)}
	w.meter = clockoffset.New(w.clock)
	w.server = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		w.clock.SetTime(w.clock.Now().Add(w.takes))
		if w.date == "" {
			answer.Header()["Date"] = nil // else the server adds its own
			return
		}
		answer.Header().Set("Date", w.date)
	}))
	t.Cleanup(w.server.Close)
	w.client = &http.Client{Transport: w.meter.Wrap(w.server.Client().Transport)}
	return w
}

// ask sends one request.
func (w *world) ask(t *testing.T) {
	t.Helper()
	response, err := w.send(t)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
}

func (w *world) send(t *testing.T) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.client.Do(request)
}

// header writes an instant as a server does.
func header(at time.Time) string { return at.UTC().Format(http.TimeFormat) }

func TestOffset(t *testing.T) {
	for name, test := range map[string]struct {
		local  time.Time
		date   string
		takes  time.Duration
		offset time.Duration
		ready  bool
	}{
		"a server that agrees, in the middle of its second": {noon.Add(500 * time.Millisecond), header(noon), 0, 0, true},
		"a server that agrees, at the beginning of it":      {noon, header(noon), 0, -500 * time.Millisecond, true},
		"a clock that is 6 s slow":                          {noon.Add(500 * time.Millisecond), header(noon.Add(6 * time.Second)), 0, -6 * time.Second, true},
		"a clock that is 30 s fast":                         {noon.Add(500 * time.Millisecond), header(noon.Add(-30 * time.Second)), 0, 30 * time.Second, true},
		"a clock that is 31 s fast":                         {noon.Add(500 * time.Millisecond), header(noon.Add(-31 * time.Second)), 0, 31 * time.Second, false},
		"a clock that is 31 s slow":                         {noon.Add(500 * time.Millisecond), header(noon.Add(31 * time.Second)), 0, -31 * time.Second, false},
		"an answer that took a second, counted by its half": {noon, header(noon), time.Second, 0, true},
		"another form of date, which HTTP still allows":     {noon.Add(500 * time.Millisecond), noon.Format("Monday, 02-Jan-06 15:04:05 GMT"), 0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.local)
			w.date, w.takes = test.date, test.takes
			w.ask(t)
			offset, ok := w.meter.Offset()
			if !ok || offset != test.offset {
				t.Errorf("offset %s, %t; want %s", offset, ok, test.offset)
			}
			if err := w.meter.Check(nil); (err == nil) != test.ready {
				t.Errorf("check: %v; want ready %t", err, test.ready)
			} else if err != nil && !strings.Contains(err.Error(), "31s off") {
				t.Errorf("check: %v, which does not say how far off", err)
			}
			if value := testutil.ToFloat64(w.meter.Collector()); value != test.offset.Seconds() {
				t.Errorf("metric %v; want %v", value, test.offset.Seconds())
			}
		})
	}
}

func TestAnswersThatSayNothingArePassedOver(t *testing.T) {
	for name, test := range map[string]struct {
		date  string
		takes time.Duration
	}{
		"no date":                           {"", 0},
		"garbage":                           {"half past ten", 0},
		"a date without a zone":             {"2026-11-24 12:00:00", 0},
		"an answer that took over a second": {header(noon.Add(time.Hour)), time.Second + time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, noon)
			w.date, w.takes = test.date, test.takes
			w.ask(t)
			if offset, ok := w.meter.Offset(); ok {
				t.Errorf("measured %s", offset)
			}
			if err := w.meter.Check(nil); err == nil {
				t.Error("ready before the first measurement")
			}
			if value := testutil.ToFloat64(w.meter.Collector()); !math.IsNaN(value) {
				t.Errorf("metric %v before the first measurement", value)
			}

			w.date, w.takes = header(w.clock.Now()), 0
			w.ask(t)
			if err := w.meter.Check(nil); err != nil {
				t.Errorf("after an answer that can be read: %v", err)
			}
		})
	}
}

func TestTheLastAnswerCounts(t *testing.T) {
	w := newWorld(t, noon)
	w.date = header(noon.Add(time.Hour))
	w.ask(t)
	if w.meter.Check(nil) == nil {
		t.Error("ready though an hour off")
	}
	w.server.Close()
	if response, err := w.send(t); err == nil {
		_ = response.Body.Close()
		t.Fatal("a closed server answered")
	}
	if w.meter.Check(nil) == nil {
		t.Error("no answer set the clock right")
	}
}

func TestTheTransportBelowCanBeReached(t *testing.T) {
	below := &http.Transport{}
	wrapped, ok := clockoffset.New(clocktesting.NewFakePassiveClock(noon)).Wrap(below).(interface{ WrappedRoundTripper() http.RoundTripper })
	if !ok || wrapped.WrappedRoundTripper() != http.RoundTripper(below) {
		t.Error("client-go cannot close idle connections")
	}
}

func TestMetricIsWellFormed(t *testing.T) {
	problems, err := testutil.CollectAndLint(clockoffset.New(clocktesting.NewFakePassiveClock(noon)).Collector())
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}
