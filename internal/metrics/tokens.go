package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// patience bounds how long a scrape waits for a cache that is being filled.
const patience = 2 * time.Second

// Tokens tells of every AccessToken at each scrape, from a cache.
type Tokens struct {
	reader       client.Reader
	expiry       *prometheus.Desc
	nextRotation *prometheus.Desc
	ready        *prometheus.Desc
	valid        *prometheus.Desc
}

// NewTokens makes a collector that lists AccessTokens with the reader, which
// has to be a cache.
func NewTokens(reader client.Reader) *Tokens {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, []string{"namespace", "name"}, nil)
	}
	return &Tokens{
		reader:       reader,
		expiry:       desc("expiry_timestamp_seconds", "When the token issued last ends by age, as Unix time; absent for one that does not."),
		nextRotation: desc("next_rotation_timestamp_seconds", "When the token is replaced next, as Unix time; absent when no rotation is due to come."),
		ready:        desc("ready", "1 when what is declared is done, else 0."),
		valid:        desc("valid", "1 while there is a token that verifies, else 0."),
	}
}

// Describe implements prometheus.Collector.
func (t *Tokens) Describe(ch chan<- *prometheus.Desc) {
	ch <- t.expiry
	ch <- t.nextRotation
	ch <- t.ready
	ch <- t.valid
}

// Collect implements prometheus.Collector.
func (t *Tokens) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list := &v1alpha1.AccessTokenList{}
	err := t.reader.List(ctx, list, client.UnsafeDisableDeepCopy)
	var notStarted *cache.ErrCacheNotStarted
	switch {
	case errors.As(err, &notStarted), apierrors.IsTimeout(err):
		return // an error would take all other metrics out of the scrape too
	case err != nil:
		ch <- prometheus.NewInvalidMetric(t.ready, err)
		return
	}
	for i := range list.Items {
		t.collect(ch, &list.Items[i])
	}
}

func (t *Tokens) collect(ch chan<- prometheus.Metric, token *v1alpha1.AccessToken) {
	gauge := func(desc *prometheus.Desc, value float64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, token.Namespace, token.Name)
	}
	if at, err := token.Status.ExpiresAt.Parse(); err == nil {
		gauge(t.expiry, float64(at.Unix()))
	}
	if at, err := token.Status.NextRotationAt.Parse(); err == nil {
		gauge(t.nextRotation, float64(at.Unix()))
	}
	gauge(t.ready, truth(meta.IsStatusConditionTrue(token.Status.Conditions, v1alpha1.ConditionReady)))
	gauge(t.valid, truth(meta.IsStatusConditionTrue(token.Status.Conditions, v1alpha1.ConditionValid)))
}

func truth(value bool) float64 {
	if value {
		return 1
	}
	return 0
}
