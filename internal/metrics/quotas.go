package metrics

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Quotas tells of the quota of every namespace at each scrape, from a cache.
type Quotas struct {
	reader              client.Reader
	used, hard, waiting *prometheus.Desc
}

// NewQuotas makes a collector that lists AccessTokenQuotas and AccessTokens with
// the reader, which has to be a cache.
func NewQuotas(reader client.Reader) *Quotas {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "quota", name), help, []string{"namespace"}, nil)
	}
	return &Quotas{
		reader:  reader,
		used:    desc("used", "AccessTokens of a namespace that hold a place."),
		hard:    desc("hard", "AccessTokens of a namespace that may hold a place."),
		waiting: desc("waiting", "AccessTokens of a namespace that wait for a place to come free."),
	}
}

// Describe implements prometheus.Collector.
func (q *Quotas) Describe(ch chan<- *prometheus.Desc) {
	ch <- q.used
	ch <- q.hard
	ch <- q.waiting
}

// Collect implements prometheus.Collector.
func (q *Quotas) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	quotas, tokens := &v1alpha1.AccessTokenQuotaList{}, &v1alpha1.AccessTokenList{}
	for _, list := range []client.ObjectList{quotas, tokens} {
		err := q.reader.List(ctx, list, client.UnsafeDisableDeepCopy)
		var notStarted *cache.ErrCacheNotStarted
		switch {
		case errors.As(err, &notStarted), apierrors.IsTimeout(err):
			return // an error would take all other metrics out of the scrape too
		case err != nil:
			ch <- prometheus.NewInvalidMetric(q.used, err)
			return
		}
	}
	waiting := map[string]int{}
	for i := range tokens.Items {
		if meta.IsStatusConditionTrue(tokens.Items[i].Status.Conditions, v1alpha1.ConditionQuotaExceeded) {
			waiting[tokens.Items[i].Namespace]++
		}
	}
	for i := range quotas.Items {
		quota := &quotas.Items[i]
		gauge := func(desc *prometheus.Desc, value int) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), quota.Namespace)
		}
		gauge(q.used, int(quota.Status.Used))
		gauge(q.hard, int(quota.Status.Hard))
		gauge(q.waiting, waiting[quota.Namespace])
	}
}
