package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
)

// NewAudit registers a counter of lines that an audit log could not write, and
// returns what counts one: see audit.Options.
func NewAudit(registry prometheus.Registerer) (lost func(audit.Loss), err error) {
	lines := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "audit_lost_lines_total",
		Help: "Lines of the audit log that were not written: too many refusals at once (Rate), more than could be written (Queue), not taken by the file (Write).",
	}, []string{"cause"})
	if err := registry.Register(lines); err != nil {
		return nil, err
	}
	counters := map[audit.Loss]prometheus.Counter{}
	for _, loss := range audit.Losses() {
		counters[loss] = lines.WithLabelValues(string(loss))
	}
	return func(loss audit.Loss) {
		if counter, known := counters[loss]; known {
			counter.Inc()
		}
	}, nil
}
