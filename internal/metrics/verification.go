package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/lastused"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// The values of the label result: the three answers.
const (
	resultActive   = "active"
	resultInactive = "inactive"
	resultError    = "error"
)

// The values of the label reason beside those of verify.Reasons.
const (
	reasonNotReady = "NotReady"
	reasonStale    = "Stale"
	reasonFailed   = "Failed"
	other          = "Other"
)

// A decision takes about a microsecond, and a revocation reaches a verifier
// within a second while all is well.
var (
	decisionBuckets   = []float64{1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 1e-1}
	revocationBuckets = []float64{0.1, 0.25, 0.5, 1, 1.5, 2, 5, 10, 30, 60, 300, 900}
)

// Verification counts what a verifier answers, and how far behind it is. Its
// methods are safe for concurrent use.
type Verification struct {
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	revocation prometheus.Histogram
	writes     *prometheus.CounterVec

	of      map[verify.Protocol]*answers
	unheard *answers
	wrote   map[lastused.Outcome]prometheus.Counter
}

// answers are the series of one protocol, looked up once.
type answers struct {
	active, notReady, stale, failed, otherReason prometheus.Counter
	inactive                                     map[verify.Reason]prometheus.Counter
	duration                                     prometheus.Observer
}

// NewVerification registers the metrics.
func NewVerification(registry prometheus.Registerer) (*Verification, error) {
	m := &Verification{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "verifications_total",
			Help: "Tokens decided about, by how the question came, result (active, inactive, error) and reason.",
		}, []string{"protocol", "result", "reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "verification_duration_seconds", Buckets: decisionBuckets,
			Help: "How long a decision took, without reading the request and writing the answer.",
		}, []string{"protocol"}),
		revocation: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "revocation_to_refusal_seconds", Buckets: revocationBuckets,
			Help: "How long after a revocation, or the deletion of an AccessToken or a namespace, was written this verifier began to refuse. Those are written in whole seconds, so up to one second is too much.",
		}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "use_writes_total",
			Help: "Last uses of tokens that were to be written to their records, by outcome.",
		}, []string{"outcome"}),
		of:    map[verify.Protocol]*answers{},
		wrote: map[lastused.Outcome]prometheus.Counter{},
	}
	for _, collector := range []prometheus.Collector{m.requests, m.duration, m.revocation, m.writes} {
		if err := registry.Register(collector); err != nil {
			return nil, err
		}
	}
	for _, protocol := range verify.Protocols() {
		m.of[protocol] = m.answers(string(protocol))
	}
	m.unheard = m.answers(other)
	for _, outcome := range lastused.Outcomes() {
		m.wrote[outcome] = m.writes.WithLabelValues(string(outcome))
	}
	return m, nil
}

func (m *Verification) answers(protocol string) *answers {
	count := func(result, reason string) prometheus.Counter {
		return m.requests.WithLabelValues(protocol, result, reason)
	}
	a := &answers{
		active:      count(resultActive, ""),
		notReady:    count(resultError, reasonNotReady),
		stale:       count(resultError, reasonStale),
		failed:      count(resultError, reasonFailed),
		otherReason: count(resultInactive, other),
		inactive:    map[verify.Reason]prometheus.Counter{},
		duration:    m.duration.WithLabelValues(protocol),
	}
	for _, reason := range verify.Reasons() {
		a.inactive[reason] = count(resultInactive, string(reason))
	}
	return a
}

// Around returns a Verifier that answers as the other one does, and counts.
func (m *Verification) Around(next verify.Verifier, local clock.PassiveClock) verify.Verifier {
	return verify.Func(func(ctx context.Context, request verify.Request) (verify.Verdict, error) {
		began := local.Now()
		verdict, err := next.Verify(ctx, request)
		series := m.series(request.Protocol)
		series.duration.Observe(local.Since(began).Seconds())
		series.count(verdict, err)
		return verdict, err
	})
}

func (m *Verification) series(protocol verify.Protocol) *answers {
	if series, known := m.of[protocol]; known {
		return series
	}
	return m.unheard
}

// Count counts an answer that Around does not see.
func (m *Verification) Count(protocol verify.Protocol, verdict verify.Verdict, err error) {
	m.series(protocol).count(verdict, err)
}

func (a *answers) count(verdict verify.Verdict, err error) {
	switch {
	case errors.Is(err, verify.ErrNotReady):
		a.notReady.Inc()
	case errors.Is(err, verify.ErrStale):
		a.stale.Inc()
	case err != nil:
		a.failed.Inc()
	case verdict.Active():
		a.active.Inc()
	default:
		counter, known := a.inactive[verdict.Reason]
		if !known {
			counter = a.otherReason
		}
		counter.Inc()
	}
}

// Ended counts a revocation or deletion that reached the index now, by when it
// was written: see store.Options.
func (m *Verification) Ended(at, now time.Time) {
	m.revocation.Observe(max(0, now.Sub(at).Seconds()))
}

// UseWritten counts what came of a use: see lastused.Options.
func (m *Verification) UseWritten(outcome lastused.Outcome) {
	if counter, known := m.wrote[outcome]; known {
		counter.Inc()
	}
}
