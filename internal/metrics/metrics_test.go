package metrics_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
)

func TestLifecycleCounts(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	counters, err := metrics.NewLifecycle(registry)
	if err != nil {
		t.Fatal(err)
	}
	counters.Issued("First")
	counters.Issued("First")
	counters.Ended("Superseded")
	counters.SecretWithdrawn()
	counters.PublishConflict()
	counters.ExpiryNotice("7d")
	const want = `
# HELP accesstoken_ended_total Tokens ended, by reason.
# TYPE accesstoken_ended_total counter
accesstoken_ended_total{reason="Superseded"} 1
# HELP accesstoken_expiry_notices_total Notices of a coming end, by the time left.
# TYPE accesstoken_expiry_notices_total counter
accesstoken_expiry_notices_total{left="7d"} 1
# HELP accesstoken_issued_total Tokens issued and published, by cause.
# TYPE accesstoken_issued_total counter
accesstoken_issued_total{cause="First"} 2
# HELP accesstoken_publish_conflicts_total Writes of a Secret that had to be offered again because somebody else wrote it meanwhile.
# TYPE accesstoken_publish_conflicts_total counter
accesstoken_publish_conflicts_total 1
# HELP accesstoken_secrets_withdrawn_total Secrets that a token was taken out of.
# TYPE accesstoken_secrets_withdrawn_total counter
accesstoken_secrets_withdrawn_total 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	if _, err := metrics.NewLifecycle(registry); err == nil {
		t.Error("registered twice without an error")
	}
}

// reader answers as a cache does that holds these objects, or fails.
type reader struct {
	client.Reader
	tokens []v1alpha1.AccessToken
	quotas []v1alpha1.AccessTokenQuota
	err    error
}

func (r reader) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch l := list.(type) {
	case *v1alpha1.AccessTokenList:
		l.Items = r.tokens
	case *v1alpha1.AccessTokenQuotaList:
		l.Items = r.quotas
	}
	return r.err
}

// condition is one condition that is true or false.
func condition(kind string, status metav1.ConditionStatus) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status}
}

func TestTokensAreToldOf(t *testing.T) {
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "ci", Name: name} }
	collector := metrics.NewTokens(reader{tokens: []v1alpha1.AccessToken{
		{ObjectMeta: named("good"), Status: v1alpha1.AccessTokenStatus{
			ExpiresAt: "2026-11-24T12:00:00Z", NextRotationAt: "2026-11-24T11:00:00.5Z",
			Conditions: []metav1.Condition{condition("Ready", metav1.ConditionTrue), condition("Valid", metav1.ConditionTrue)},
		}},
		{ObjectMeta: named("lost"), Status: v1alpha1.AccessTokenStatus{
			ExpiresAt: "later", Conditions: []metav1.Condition{condition("Ready", metav1.ConditionUnknown), condition("Valid", metav1.ConditionFalse)},
		}},
		{ObjectMeta: named("new")},
	}})
	const want = `
# HELP accesstoken_expiry_timestamp_seconds When the token issued last ends by age, as Unix time; absent for one that does not.
# TYPE accesstoken_expiry_timestamp_seconds gauge
accesstoken_expiry_timestamp_seconds{name="good",namespace="ci"} 1.7955216e+09
# HELP accesstoken_next_rotation_timestamp_seconds When the token is replaced next, as Unix time; absent when no rotation is due to come.
# TYPE accesstoken_next_rotation_timestamp_seconds gauge
accesstoken_next_rotation_timestamp_seconds{name="good",namespace="ci"} 1.795518e+09
# HELP accesstoken_ready 1 when what is declared is done, else 0.
# TYPE accesstoken_ready gauge
accesstoken_ready{name="good",namespace="ci"} 1
accesstoken_ready{name="lost",namespace="ci"} 0
accesstoken_ready{name="new",namespace="ci"} 0
# HELP accesstoken_valid 1 while there is a token that verifies, else 0.
# TYPE accesstoken_valid gauge
accesstoken_valid{name="good",namespace="ci"} 1
accesstoken_valid{name="lost",namespace="ci"} 0
accesstoken_valid{name="new",namespace="ci"} 0
`
	if err := testutil.CollectAndCompare(collector, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(collector); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestQuotasAreToldOf(t *testing.T) {
	at := func(namespace string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: "tokens"}
	}
	waits := v1alpha1.AccessTokenStatus{Conditions: []metav1.Condition{condition(v1alpha1.ConditionQuotaExceeded, metav1.ConditionTrue)}}
	collector := metrics.NewQuotas(reader{
		quotas: []v1alpha1.AccessTokenQuota{
			{ObjectMeta: at("ci"), Status: v1alpha1.AccessTokenQuotaStatus{Used: 3, Hard: 2}},
			{ObjectMeta: at("new")},
		},
		tokens: []v1alpha1.AccessToken{{ObjectMeta: at("ci"), Status: waits}, {ObjectMeta: at("ci")}},
	})
	const want = `
# HELP accesstoken_quota_hard AccessTokens of a namespace that may hold a place.
# TYPE accesstoken_quota_hard gauge
accesstoken_quota_hard{namespace="ci"} 2
accesstoken_quota_hard{namespace="new"} 0
# HELP accesstoken_quota_used AccessTokens of a namespace that hold a place.
# TYPE accesstoken_quota_used gauge
accesstoken_quota_used{namespace="ci"} 3
accesstoken_quota_used{namespace="new"} 0
# HELP accesstoken_quota_waiting AccessTokens of a namespace that wait for a place to come free.
# TYPE accesstoken_quota_waiting gauge
accesstoken_quota_waiting{namespace="ci"} 1
accesstoken_quota_waiting{namespace="new"} 0
`
	if err := testutil.CollectAndCompare(collector, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(collector); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestAScrapeBeforeTheCacheIsFilled(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		fails bool
	}{
		"not started":         {&cache.ErrCacheNotStarted{}, false},
		"not filled in time":  {apierrors.NewTimeoutError("informer", 0), false},
		"anything else shows": {errors.New("no such kind"), true},
	} {
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(metrics.NewTokens(reader{err: test.err}))
		quotas := prometheus.NewPedanticRegistry()
		quotas.MustRegister(metrics.NewQuotas(reader{err: test.err}))
		for _, registry := range []*prometheus.Registry{registry, quotas} {
			families, err := registry.Gather()
			if (err != nil) != test.fails || len(families) > 0 {
				t.Errorf("%s: %v, %v", name, families, err)
			}
		}
	}
}
