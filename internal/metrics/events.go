package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// NewSecurityEvents registers a counter of security events, of which these results
// come, and returns what counts one.
func NewSecurityEvents[Result ~string](registry prometheus.Registerer, results []Result) (count func(Result), err error) {
	received := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "security_events_total",
		Help: "Security events that were pushed to the verifier, by what came of them.",
	}, []string{"result"})
	if err := registry.Register(received); err != nil {
		return nil, err
	}
	for _, result := range results {
		received.WithLabelValues(string(result))
	}
	return func(result Result) { received.WithLabelValues(string(result)).Inc() }, nil
}
