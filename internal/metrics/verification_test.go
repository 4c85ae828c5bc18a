package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lastused"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func answering(verdict verify.Verdict, err error) verify.Verifier {
	return verify.Func(func(context.Context, verify.Request) (verify.Verdict, error) { return verdict, err })
}

func TestAnswersAreCounted(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	counters, err := metrics.NewVerification(registry)
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("no")
	for _, each := range []struct {
		protocol       verify.Protocol
		verdict        verify.Verdict
		err            error
		result, reason string
		series         string
	}{
		{protocol: verify.ProtocolTokenReview, verdict: verify.Verdict{Token: &verify.Token{}}, result: "active", series: "TokenReview"},
		{protocol: verify.ProtocolExtAuthz, verdict: verify.Verdict{Reason: verify.ReasonExpired}, result: "inactive", reason: "Expired", series: "ExtAuthz"},
		{protocol: verify.ProtocolExtAuthz, verdict: verify.Verdict{Reason: "Unheard"}, result: "inactive", reason: "Other", series: "ExtAuthz"},
		{protocol: verify.ProtocolForwardAuth, err: verify.ErrNotReady, result: "error", reason: "NotReady", series: "ForwardAuth"},
		{protocol: verify.ProtocolForwardAuth, err: fmt.Errorf("now: %w", verify.ErrStale), result: "error", reason: "Stale", series: "ForwardAuth"},
		{protocol: verify.ProtocolForwardAuth, err: failed, result: "error", reason: "Failed", series: "ForwardAuth"},
		{protocol: "Unheard", verdict: verify.Verdict{Token: &verify.Token{}}, result: "active", series: "Other"},
	} {
		local := clocktesting.NewFakeClock(time.Unix(0, 0))
		slow := verify.Func(func(context.Context, verify.Request) (verify.Verdict, error) {
			local.Step(3 * time.Microsecond)
			return each.verdict, each.err
		})
		verdict, err := counters.Around(slow, local).Verify(t.Context(), verify.Request{Protocol: each.protocol})
		if verdict != each.verdict || err != each.err {
			t.Errorf("answered %v, %v", verdict, err)
		}
		series := map[string]string{"protocol": each.series, "result": each.result, "reason": each.reason}
		if got := valueOf(t, registry, "accesstoken_verifications_total", series); got != 1 {
			t.Errorf("%v: %v", series, got)
		}
		counters.Count(each.protocol, each.verdict, each.err)
		if got := valueOf(t, registry, "accesstoken_verifications_total", series); got != 2 {
			t.Errorf("%v: %v when counted by hand too", series, got)
		}
	}
	if got := valueOf(t, registry, "accesstoken_verification_duration_seconds", map[string]string{"protocol": "ForwardAuth"}); got != 3 {
		t.Errorf("%v durations", got)
	}
	lint(t, registry)
	if _, err := metrics.NewVerification(registry); err == nil {
		t.Error("registered twice without an error")
	}
}

// valueOf is the value of a counter or gauge, or the count of a histogram.
func valueOf(t *testing.T, registry prometheus.Gatherer, name string, labels map[string]string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.Metric {
			same := family.GetName() == name
			for _, label := range metric.Label {
				same = same && labels[label.GetName()] == label.GetValue()
			}
			if same {
				return metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Fatalf("no %s%v", name, labels)
	return 0
}

func lint(t *testing.T, registry prometheus.Gatherer) {
	t.Helper()
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestEverySeriesIsThereFromTheStart(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	if _, err := metrics.NewVerification(registry); err != nil {
		t.Fatal(err)
	}
	protocols := len(verify.Protocols()) + 1
	results := 1 + 3 + len(verify.Reasons()) + 1
	if got, err := testutil.GatherAndCount(registry, "accesstoken_verifications_total"); err != nil || got != protocols*results {
		t.Errorf("%d series, want %d; %v", got, protocols*results, err)
	}
	if got, err := testutil.GatherAndCount(registry, "accesstoken_use_writes_total"); err != nil || got != len(lastused.Outcomes()) {
		t.Errorf("%d series of writes, %v", got, err)
	}
}

func TestRevocationsAndUsesAreCounted(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	counters, err := metrics.NewVerification(registry)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	counters.Ended(now.Add(-300*time.Millisecond), now)
	counters.Ended(now.Add(time.Hour), now)
	counters.Ended(now.Add(-4*time.Second), now)
	counters.UseWritten(lastused.OutcomeConflict)
	counters.UseWritten("Unheard")
	const want = `
# HELP accesstoken_revocation_to_refusal_seconds How long after a revocation, or the deletion of an AccessToken or a namespace, was written this verifier began to refuse. Those are written in whole seconds, so up to one second is too much.
# TYPE accesstoken_revocation_to_refusal_seconds histogram
accesstoken_revocation_to_refusal_seconds_bucket{le="0.1"} 1
accesstoken_revocation_to_refusal_seconds_bucket{le="0.25"} 1
accesstoken_revocation_to_refusal_seconds_bucket{le="0.5"} 2
accesstoken_revocation_to_refusal_seconds_bucket{le="1"} 2
accesstoken_revocation_to_refusal_seconds_bucket{le="1.5"} 2
accesstoken_revocation_to_refusal_seconds_bucket{le="2"} 2
accesstoken_revocation_to_refusal_seconds_bucket{le="5"} 3
accesstoken_revocation_to_refusal_seconds_bucket{le="10"} 3
accesstoken_revocation_to_refusal_seconds_bucket{le="30"} 3
accesstoken_revocation_to_refusal_seconds_bucket{le="60"} 3
accesstoken_revocation_to_refusal_seconds_bucket{le="300"} 3
accesstoken_revocation_to_refusal_seconds_bucket{le="900"} 3
accesstoken_revocation_to_refusal_seconds_bucket{le="+Inf"} 3
accesstoken_revocation_to_refusal_seconds_sum 4.3
accesstoken_revocation_to_refusal_seconds_count 3
# HELP accesstoken_use_writes_total Last uses of tokens that were to be written to their records, by outcome.
# TYPE accesstoken_use_writes_total counter
accesstoken_use_writes_total{outcome="Conflict"} 1
accesstoken_use_writes_total{outcome="Dropped"} 0
accesstoken_use_writes_total{outcome="Failed"} 0
accesstoken_use_writes_total{outcome="Gone"} 0
accesstoken_use_writes_total{outcome="Written"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "accesstoken_revocation_to_refusal_seconds", "accesstoken_use_writes_total"); err != nil {
		t.Error(err)
	}
}

func TestTheStateOfAVerifierIsTold(t *testing.T) {
	known := false
	collector := metrics.NewVerifierState(metrics.VerifierState{
		Tokens:      func() int { return 7 },
		Refused:     func() map[store.Refusal]int { return map[store.Refusal]int{store.RefusalReplayed: 2} },
		Staleness:   func() (time.Duration, bool) { return 1500 * time.Millisecond, known },
		UsesPending: func() int { return 5 },
		UsesOverdue: func() int { return 3 },
	})
	const want = `
# HELP accesstoken_index_tokens Tokens in memory whose records opened, ended ones until their records go.
# TYPE accesstoken_index_tokens gauge
accesstoken_index_tokens 7
# HELP accesstoken_refused_records TokenRecords that verify nothing, by reason.
# TYPE accesstoken_refused_records gauge
accesstoken_refused_records{reason="Ambiguous"} 0
accesstoken_refused_records{reason="KeyUnknown"} 0
accesstoken_refused_records{reason="Malformed"} 0
accesstoken_refused_records{reason="Replayed"} 2
accesstoken_refused_records{reason="SealBroken"} 0
# HELP accesstoken_staleness_seconds How long ago the watched kind was heard of that was silent for longest; a bookmark comes each minute. NaN before everything was read once.
# TYPE accesstoken_staleness_seconds gauge
accesstoken_staleness_seconds %s
# HELP accesstoken_uses_overdue Tokens with a use that is due to be written and waits for the budget or for other writes.
# TYPE accesstoken_uses_overdue gauge
accesstoken_uses_overdue 3
# HELP accesstoken_uses_pending Tokens with a use that is not written yet, most because the last write is less than ten minutes ago.
# TYPE accesstoken_uses_pending gauge
accesstoken_uses_pending 5
`
	for _, staleness := range []string{"NaN", "1.5"} {
		if err := testutil.CollectAndCompare(collector, strings.NewReader(fmt.Sprintf(want, staleness))); err != nil {
			t.Error(err)
		}
		known = true
	}
	if problems, err := testutil.CollectAndLint(collector); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestLostLinesAreCounted(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	lost, err := metrics.NewAudit(registry)
	if err != nil {
		t.Fatal(err)
	}
	lost(audit.LossQueue)
	lost("Unheard")
	for loss, want := range map[audit.Loss]float64{audit.LossQueue: 1, audit.LossRate: 0, audit.LossWrite: 0} {
		if got := valueOf(t, registry, "accesstoken_audit_lost_lines_total", map[string]string{"cause": string(loss)}); got != want {
			t.Errorf("%s: %v", loss, got)
		}
	}
	lint(t, registry)
	if _, err := metrics.NewAudit(registry); err == nil {
		t.Error("registered twice without an error")
	}
}

func TestCountingAnAnswerCostsNoMemory(t *testing.T) {
	counters, err := metrics.NewVerification(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	for name, next := range map[string]verify.Verifier{
		"active":   answering(verify.Verdict{Token: &verify.Token{}}, nil),
		"inactive": answering(verify.Verdict{Reason: verify.ReasonUnknown}, nil),
		"error":    answering(verify.Verdict{}, verify.ErrStale),
	} {
		around := counters.Around(next, clock.RealClock{})
		if n := testing.AllocsPerRun(1000, func() { _, _ = around.Verify(t.Context(), verify.Request{Protocol: verify.ProtocolExtAuthz}) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
