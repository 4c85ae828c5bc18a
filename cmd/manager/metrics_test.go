package main

import (
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lifecycle"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/exposition"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// labelValues are all that a label of a metric may have.
var labelValues = map[string]map[string][]string{
	"accesstoken_issued_total": {"cause": {
		string(lifecycle.CauseFirst), string(lifecycle.CauseInterval), string(lifecycle.CauseSchedule), string(lifecycle.CauseRequested),
		string(lifecycle.CauseReactivated), string(lifecycle.CauseSecretTemplate), string(lifecycle.CausePredecessor), string(lifecycle.CauseSecretDeleted), string(lifecycle.CauseSecretChanged),
		string(lifecycle.CauseRecordLost), string(lifecycle.CauseRecordRevoked), string(lifecycle.CauseRevokedByHolder), string(lifecycle.CauseCutOff),
	}},
	"accesstoken_ended_total": {"reason": {
		string(v1alpha1.EndReasonSuperseded), string(v1alpha1.EndReasonSuspended), string(v1alpha1.EndReasonRevoked), string(v1alpha1.EndReasonUnpublished),
		string(v1alpha1.EndReasonShortened), string(v1alpha1.EndReasonCutOff), v1alpha1.ReasonExpired,
	}},
	"accesstoken_expiry_notices_total":   {"left": {"30d", "7d", "1d"}},
	"accesstoken_audit_lost_lines_total": {"cause": {string(audit.LossRate), string(audit.LossQueue), string(audit.LossWrite)}},
}

// perToken are the metrics that tell of single tokens.
var perToken = []string{"accesstoken_expiry_timestamp_seconds", "accesstoken_next_rotation_timestamp_seconds", "accesstoken_ready", "accesstoken_valid"}

// perNamespace are the metrics that tell of the quota of a namespace.
var perNamespace = []string{"accesstoken_quota_used", "accesstoken_quota_hard", "accesstoken_quota_waiting"}

func TestMetrics(t *testing.T) {
	g := gomega.NewWithT(t)
	m := readyManager(t)
	namespace := testenv.Namespace(t)
	rotating := declare(t, namespace, "rotating", v1alpha1.AccessTokenSpec{MaxAge: "1h", Rotation: &v1alpha1.Rotation{Interval: "2s", Overlap: "0s"}})
	taken := declare(t, namespace, "taken", v1alpha1.AccessTokenSpec{})
	declare(t, namespace, "expired", v1alpha1.AccessTokenSpec{MaxAge: "2s"})
	awaitReason(t, taken, v1alpha1.ReasonIssued)
	edit(t, taken, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateRevoked })
	awaitReason(t, taken, v1alpha1.ReasonRevoked)
	awaitReason(t, client.ObjectKey{Namespace: namespace, Name: "expired"}, v1alpha1.ReasonExpired)
	g.Eventually(func() int64 { return tokenOf(t, rotating).Status.Revision }).WithTimeout(soon).WithPolling(often).Should(gomega.BeNumerically(">=", 2))

	families := scrapeOurs(t, m)
	g.Expect(families).To(gomega.HaveKey("accesstoken_issued_total"))
	g.Expect(families).To(gomega.HaveKey("accesstoken_ended_total"))
	g.Expect(families).To(gomega.HaveKey("accesstoken_clock_offset_seconds"))
	g.Expect(families["accesstoken_clock_offset_seconds"].Metric[0].Gauge.GetValue()).To(gomega.BeNumerically("~", 0, 2))
	document, err := os.ReadFile("../../docs/metrics.md")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	for name, family := range families {
		checkLabels(t, name, family)
		g.Expect(string(document)).To(gomega.ContainSubstring("\n| `" + name + "` | "))
	}
	g.Expect(seriesOf(families, rotating)).To(gomega.ConsistOf(perToken))
	g.Expect(seriesOf(families, client.ObjectKey{Namespace: namespace})).To(gomega.ConsistOf(perNamespace))
	g.Expect(seriesOf(families, taken)).To(gomega.ConsistOf("accesstoken_ready", "accesstoken_valid"))

	g.Expect(adminClient(t).Delete(t.Context(), tokenOf(t, rotating))).To(gomega.Succeed())
	g.Eventually(func() []string { return seriesOf(scrapeOurs(t, m), rotating) }).WithTimeout(soon).WithPolling(often).Should(gomega.BeEmpty())

	t.Run("are told to those only who may read them", func(t *testing.T) {
		g := gomega.NewWithT(t)
		for _, reader := range []struct {
			name, bearer string
			status       int
		}{{"nobody", "", http.StatusUnauthorized}, {"an account without the right", accountToken(t, "bystander"), http.StatusForbidden}, {"a reader", metricsReader(t), http.StatusOK}} {
			status, body := m.scrape(t, reader.bearer)
			g.Expect(status).To(gomega.Equal(reader.status), reader.name)
			g.Expect(strings.Contains(body, "accesstoken_")).To(gomega.Equal(status == http.StatusOK), reader.name)
		}
		status, body := m.scrape(t, "no.such.token")
		g.Expect(status).NotTo(gomega.Equal(http.StatusOK))
		g.Expect(body).NotTo(gomega.ContainSubstring("accesstoken_"))
	})
}

// scrapeOurs are the metrics of this project, after promlint found nothing in
// them.
func scrapeOurs(t *testing.T, m *manager) map[string]*dto.MetricFamily {
	t.Helper()
	status, text := m.scrape(t, metricsReader(t))
	if status != http.StatusOK {
		t.Fatalf("metrics: %d %s", status, text)
	}
	return exposition.Ours(t, text)
}

// checkLabels holds each label against the closed set of its values; names of
// objects are on the metrics of single tokens and namespaces only.
func checkLabels(t *testing.T, name string, family *dto.MetricFamily) {
	t.Helper()
	for _, metric := range family.Metric {
		for _, label := range metric.Label {
			named := slices.Contains(perToken, name) && slices.Contains([]string{"namespace", "name"}, label.GetName()) ||
				slices.Contains(perNamespace, name) && label.GetName() == "namespace"
			if !named && !slices.Contains(labelValues[name][label.GetName()], label.GetValue()) {
				t.Errorf("metric %s has label %s=%q", name, label.GetName(), label.GetValue())
			}
		}
	}
}

// seriesOf names the metrics that tell of an object.
func seriesOf(families map[string]*dto.MetricFamily, key client.ObjectKey) []string {
	var found []string
	for name, family := range families {
		for _, metric := range family.Metric {
			labels := map[string]string{}
			for _, label := range metric.Label {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["namespace"] == key.Namespace && labels["name"] == key.Name {
				found = append(found, name)
			}
		}
	}
	return found
}

// metricsReader is the bearer token of an account that may read metrics.
func metricsReader(t *testing.T) string {
	t.Helper()
	bearer := accountToken(t, "metrics-reader")
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "test-metrics-reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "accesstoken-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceDefault, Name: "metrics-reader"}},
	}
	createOnce(t, binding)
	return bearer
}

// accountToken is the bearer token of a service account, which is made where it
// is missing.
func accountToken(t *testing.T, name string) string {
	t.Helper()
	createOnce(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}})
	config, err := testenv.ControlPlane(t).ServiceAccountConfig(t.Context(), metav1.NamespaceDefault, name)
	if err != nil {
		t.Fatal(err)
	}
	return config.BearerToken
}

// metricValue is that of a metric without labels.
func metricValue(t *testing.T, m *manager, name string) float64 {
	t.Helper()
	status, text := m.scrape(t, metricsReader(t))
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return number
		}
	}
	t.Fatalf("no metric %s in answer %d: %s", name, status, text)
	return 0
}
