package clockoffset

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

// Limit is the offset beyond which a program is not ready.
const Limit = 30 * time.Second

// Warning is the offset beyond which somebody should look, for alerts.
const Warning = 5 * time.Second

// headerPrecision is that of a Date header (RFC 9110 section 5.6.7), which is
// cut to whole seconds.
const headerPrecision = time.Second

// Meter measures the offset. It is safe for concurrent use.
type Meter struct {
	clock    clock.PassiveClock
	offset   atomic.Int64
	measured atomic.Bool
}

// New makes a meter that compares with the clock.
func New(local clock.PassiveClock) *Meter { return &Meter{clock: local} }

// Wrap measures every answer that passes through a transport. It has the shape
// of rest.Config.Wrap's argument.
func (m *Meter) Wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper{meter: m, next: next}
}

type roundTripper struct {
	meter *Meter
	next  http.RoundTripper
}

// WrappedRoundTripper lets client-go close the connections below.
func (t roundTripper) WrappedRoundTripper() http.RoundTripper { return t.next }

func (t roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	sent := t.meter.clock.Now()
	response, err := t.next.RoundTrip(request)
	if err == nil {
		t.meter.observe(response.Header.Get("Date"), sent, t.meter.clock.Now())
	}
	return response, err
}

// observe takes one answer. What was sent and received too far apart says
// little and is passed over.
func (m *Meter) observe(date string, sent, received time.Time) {
	if received.Sub(sent) > headerPrecision {
		return
	}
	server, err := http.ParseTime(date)
	if err != nil {
		return
	}
	local := sent.Add(received.Sub(sent) / 2)
	m.offset.Store(int64(local.Sub(server.Add(headerPrecision / 2))))
	m.measured.Store(true)
}

// Offset is the local clock less the API server's, to about half a second; ok is
// false before the first measurement.
func (m *Meter) Offset() (offset time.Duration, ok bool) {
	return time.Duration(m.offset.Load()), m.measured.Load()
}

// Check is a readiness check: it fails before the first measurement and while
// the offset is beyond Limit.
func (m *Meter) Check(*http.Request) error {
	offset, ok := m.Offset()
	if !ok {
		return errors.New("the clock was not compared with the API server's yet")
	}
	if offset.Abs() > Limit {
		return fmt.Errorf("this clock is %s off the API server's, more than %s: set one of them right", offset.Round(time.Second), Limit)
	}
	return nil
}

// Collector is the offset as a metric.
func (m *Meter) Collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "accesstoken", Name: "clock_offset_seconds",
		Help: fmt.Sprintf("This program's clock less the API server's, to about half a second; NaN before it was measured. Look into more than %.0f either way; beyond %.0f the program is not ready.",
			Warning.Seconds(), Limit.Seconds()),
	}, func() float64 {
		offset, ok := m.Offset()
		if !ok {
			return math.NaN()
		}
		return offset.Seconds()
	})
}
