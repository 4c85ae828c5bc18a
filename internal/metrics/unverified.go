package metrics

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/accesstoken-dev/accesstoken-operator/internal/credential"
	"github.com/accesstoken-dev/accesstoken-operator/internal/gateway"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// unverified names why a gateway's request is refused without a look at a token.
var unverified = []struct {
	reason string
	err    error
}{
	{"Missing", credential.ErrMissing},
	{"Ambiguous", credential.ErrAmbiguous},
	{"Scheme", credential.ErrScheme},
	{"MalformedHeader", credential.ErrMalformed},
	{"Misplaced", credential.ErrMisplaced},
	{"UnknownPolicy", gateway.ErrUnknownPolicy},
	{"Gateway", gateway.ErrGateway},
}

// NewUnverified registers a counter of requests that gateways asked about and
// that are refused without a look at a token, and returns what counts one: see
// gateway.Options.
func NewUnverified(registry prometheus.Registerer) (count func(verify.Protocol, error), err error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "unverified_requests_total",
		Help: "Requests of gateways that are refused without a look at a token, by protocol and reason: no Authorization header or one that is not accepted, a token in the query string or a cookie, a gateway that is not set up.",
	}, []string{"protocol", "reason"})
	if err := registry.Register(requests); err != nil {
		return nil, err
	}
	return func(protocol verify.Protocol, refusal error) {
		for _, known := range unverified {
			if errors.Is(refusal, known.err) {
				requests.WithLabelValues(string(protocol), known.reason).Inc()
				return
			}
		}
		requests.WithLabelValues(string(protocol), other).Inc()
	}, nil
}
