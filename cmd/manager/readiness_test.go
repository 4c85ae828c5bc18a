package main

import (
	"net/http"
	"testing"

	"github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// TestNotReadyWithoutPolicies starts a manager whose hands are not tied.
func TestNotReadyWithoutPolicies(t *testing.T) {
	g := gomega.NewWithT(t)
	admin := adminClient(t)
	const policy = "accesstoken-manager-secrets.accesstoken.dev"
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
	g.Expect(admin.Get(t.Context(), client.ObjectKey{Name: policy}, binding)).To(gomega.Succeed())
	restored := binding.DeepCopy()
	restored.ResourceVersion, restored.UID = "", ""
	g.Expect(admin.Delete(t.Context(), binding)).To(gomega.Succeed())
	t.Cleanup(func() { createOnce(t, restored.DeepCopy()) }) // also for the tests to come
	g.Eventually(func() error { return unownedSecret(t) }).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())

	m := startManager(t)
	g.Eventually(func(g gomega.Gomega) {
		_, body := m.probe(t, "/readyz/policies")
		g.Expect(body).To(gomega.ContainSubstring("the ValidatingAdmissionPolicy " + policy + " or its binding is missing"))
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
	status, body := m.probe(t, "/readyz")
	g.Expect(status).To(gomega.Equal(http.StatusInternalServerError))
	g.Expect(body).To(gomega.ContainSubstring("[-]policies failed"))
	g.Expect(string(m.logged(t, 0))).To(gomega.ContainSubstring(policy + " or its binding is missing, apply the policies"))

	g.Expect(admin.Create(t.Context(), restored.DeepCopy())).To(gomega.Succeed())
	m.awaitReady(t)
	g.Expect(unownedSecret(t)).To(gomega.MatchError(gomega.ContainSubstring(policy)))
}

// unownedSecret tries, as the manager, to create a Secret that no AccessToken
// controls.
func unownedSecret(t *testing.T) error {
	t.Helper()
	manager, err := client.New(testenv.ManagerConfig(t), client.Options{Scheme: adminClient(t).Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	unowned := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "unowned"}}
	return manager.Create(t.Context(), unowned, client.DryRunAll)
}
