package main

import (
	"context"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

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

func createOnce(t *testing.T, object client.Object) {
	t.Helper()
	if err := adminClient(t).Create(context.WithoutCancel(t.Context()), object); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
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
