package main

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/onsi/gomega"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lastused"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/exposition"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// texts are the values of a closed set.
func texts[T ~string](values []T, more ...string) []string {
	for _, value := range values {
		more = append(more, string(value))
	}
	return more
}

// labelValues are all that a label of a metric may have.
var labelValues = map[string]map[string][]string{
	"accesstoken_verifications_total": {
		"protocol": texts(verify.Protocols(), "Other"),
		"result":   {"active", "inactive", "error"},
		"reason":   texts(verify.Reasons(), "", "NotReady", "Stale", "Failed", "Other"),
	},
	"accesstoken_verification_duration_seconds": {"protocol": texts(verify.Protocols(), "Other")},
	"accesstoken_unverified_requests_total": {
		"protocol": {string(verify.ProtocolForwardAuth), string(verify.ProtocolExtAuthz)},
		"reason":   {"Missing", "Ambiguous", "Scheme", "MalformedHeader", "Misplaced", "UnknownPolicy", "Gateway", "Other"},
	},
	"accesstoken_use_writes_total":       {"outcome": texts(lastused.Outcomes())},
	"accesstoken_refused_records":        {"reason": texts(store.Refusals())},
	"accesstoken_audit_lost_lines_total": {"cause": texts(audit.Losses())},
}

func TestMetricsTellOfNoNames(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "metrics")
	namespace := testenv.Namespace(t)
	good, ended := issue(t, namespace, "good", v1alpha1.AccessTokenSpec{}), issue(t, namespace, "ended", v1alpha1.AccessTokenSpec{})
	v.awaitUse(t, ended.text, http.StatusOK)
	edit(t, ended.key, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateRevoked })
	v.awaitUse(t, ended.text, http.StatusUnauthorized)
	for _, text := range []string{good.text, ended.text, otherSecret(t, good, ended)} {
		v.presentToGateways(t, text)
		v.presentToServices(t, text, introspector(t, "verifier.accesstoken.dev"))
		v.presentToAPIServer(t, text)
	}

	families := exposition.Ours(t, v.metrics(t))
	exposition.CheckLabels(t, families, labelValues)
	g.Expect(slices.Collect(maps.Keys(families))).To(gomega.ContainElements(slices.Collect(maps.Keys(labelValues))))
	value := func(name string) float64 { return families[name].Metric[0].Gauge.GetValue() }
	g.Expect(value("accesstoken_index_tokens")).To(gomega.BeNumerically(">=", 2))
	g.Expect(value("accesstoken_keys")).To(gomega.BeNumerically(">=", 1))
	g.Expect(value("accesstoken_staleness_seconds")).To(gomega.BeNumerically("<", 60))
	g.Expect(value("accesstoken_clock_offset_seconds")).To(gomega.BeNumerically("~", 0, 2))
	revocation := families["accesstoken_revocation_to_refusal_seconds"].Metric[0].Histogram
	g.Expect(revocation.GetSampleCount()).To(gomega.BeNumerically(">=", 1))
	g.Expect(revocation.GetSampleSum() / float64(revocation.GetSampleCount())).To(gomega.BeNumerically("<", tolerated.Seconds()))
}
