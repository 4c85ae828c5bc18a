package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "accesstoken"

// Lifecycle counts what happened to tokens. Its methods are safe for concurrent
// use.
type Lifecycle struct {
	issued    *prometheus.CounterVec
	ended     *prometheus.CounterVec
	withdrawn prometheus.Counter
	conflicts prometheus.Counter
	notices   *prometheus.CounterVec
}

// NewLifecycle registers the counters.
func NewLifecycle(registry prometheus.Registerer) (*Lifecycle, error) {
	m := &Lifecycle{
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "issued_total",
			Help: "Tokens issued and published, by cause.",
		}, []string{"cause"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "ended_total",
			Help: "Tokens ended, by reason.",
		}, []string{"reason"}),
		withdrawn: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "secrets_withdrawn_total",
			Help: "Secrets that a token was taken out of.",
		}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "publish_conflicts_total",
			Help: "Writes of a Secret that had to be offered again because somebody else wrote it meanwhile.",
		}),
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "expiry_notices_total",
			Help: "Notices of a coming end, by the time left.",
		}, []string{"left"}),
	}
	for _, collector := range []prometheus.Collector{m.issued, m.ended, m.withdrawn, m.conflicts, m.notices} {
		if err := registry.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Issued counts a published token. Cause is one of lifecycle.Cause.
func (m *Lifecycle) Issued(cause string) { m.issued.WithLabelValues(cause).Inc() }

// Ended counts an ended token. Reason is an EndReason, or Expired.
func (m *Lifecycle) Ended(reason string) { m.ended.WithLabelValues(reason).Inc() }

// SecretWithdrawn counts a Secret that a token was taken out of.
func (m *Lifecycle) SecretWithdrawn() { m.withdrawn.Inc() }

// PublishConflict counts a write that met another one.
func (m *Lifecycle) PublishConflict() { m.conflicts.Inc() }

// ExpiryNotice counts a notice; left is 30d, 7d or 1d.
func (m *Lifecycle) ExpiryNotice(left string) { m.notices.WithLabelValues(left).Inc() }
