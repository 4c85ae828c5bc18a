package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
)

// VerifierState is where a verifier's gauges come from at each scrape.
type VerifierState struct {
	// Tokens is how many tokens can be looked up.
	Tokens func() int

	// Refused is how many records verify nothing, by reason.
	Refused func() map[store.Refusal]int

	// Staleness is how long ago the watched kind was heard of that was silent for
	// longest; ok is false while one was never heard of.
	Staleness func() (staleness time.Duration, ok bool)

	// UsesPending and UsesOverdue are those of lastused.Recorder.
	UsesPending, UsesOverdue func() int
}

type verifierState struct {
	VerifierState
	tokens, refused, staleness, pending, overdue *prometheus.Desc
}

// NewVerifierState makes a collector of a verifier's gauges.
func NewVerifierState(from VerifierState) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &verifierState{
		VerifierState: from,
		tokens:        desc("index_tokens", "Tokens in memory whose records opened, ended ones until their records go."),
		refused:       desc("refused_records", "TokenRecords that verify nothing, by reason.", "reason"),
		staleness:     desc("staleness_seconds", "How long ago the watched kind was heard of that was silent for longest; a bookmark comes each minute. NaN before everything was read once."),
		pending:       desc("uses_pending", "Tokens with a use that is not written yet, most because the last write is less than ten minutes ago."),
		overdue:       desc("uses_overdue", "Tokens with a use that is due to be written and waits for the budget or for other writes."),
	}
}

// Describe implements prometheus.Collector.
func (v *verifierState) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{v.tokens, v.refused, v.staleness, v.pending, v.overdue} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (v *verifierState) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	gauge(v.tokens, float64(v.Tokens()))
	refused := v.Refused()
	for _, why := range store.Refusals() {
		gauge(v.refused, float64(refused[why]), string(why))
	}
	staleness := math.NaN()
	if behind, ok := v.Staleness(); ok {
		staleness = behind.Seconds()
	}
	gauge(v.staleness, staleness)
	gauge(v.pending, float64(v.UsesPending()))
	gauge(v.overdue, float64(v.UsesOverdue()))
}
