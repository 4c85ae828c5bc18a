package main

import (
	"net/http"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// world is what key loss must leave as it is.
type world struct {
	tokens  map[client.ObjectKey]string
	secrets map[string]string
}

// observe leaves out what other tests left, which garbage collection takes away
// meanwhile.
func observe(t *testing.T, in client.InNamespace) world {
	t.Helper()
	w := world{tokens: map[client.ObjectKey]string{}, secrets: secretVersions(t, in, client.HasLabels{v1alpha1.LabelAccessToken})}
	for key, at := range allTokens(t, in) {
		w.tokens[key] = at.Status.TokenID
	}
	return w
}

func TestKeysAreLostAndFound(t *testing.T) {
	g := gomega.NewWithT(t)
	m := readyManager(t)
	namespace := testenv.Namespace(t)
	inNamespace := client.InNamespace(namespace)
	declareMany(t, namespace, "kept", 5, v1alpha1.AccessTokenSpec{MaxAge: "1h"})
	awaitAll(t, v1alpha1.ReasonIssued, inNamespace)
	before, backup := observe(t, inNamespace), secretOf(t, keySecretKey)
	restored := backup.DeepCopy()
	restored.ResourceVersion, restored.UID = "", ""
	t.Cleanup(func() { createOnce(t, restored.DeepCopy()) }) // also for the tests to come

	g.Expect(adminClient(t).Delete(t.Context(), backup.DeepCopy())).To(gomega.Succeed())
	awaitAll(t, v1alpha1.ReasonKeyLost, inNamespace)
	expectKeyLost(t, m, namespace)
	waiting := declare(t, namespace, "waiting", v1alpha1.AccessTokenSpec{})
	awaitReason(t, waiting, v1alpha1.ReasonKeyLost)
	g.Consistently(func() world {
		now := observe(t, inNamespace)
		delete(now.tokens, waiting)
		return now
	}).WithTimeout(aWhile).WithPolling(5 * often).Should(gomega.Equal(before))

	t.Run("the Secret from its backup heals all", func(t *testing.T) {
		g := gomega.NewWithT(t)
		g.Expect(adminClient(t).Create(t.Context(), restored.DeepCopy())).To(gomega.Succeed())
		m.awaitReady(t)
		awaitAll(t, v1alpha1.ReasonIssued, inNamespace)
		g.Expect(metricValue(t, m, "accesstoken_keys")).To(gomega.BeNumerically("==", len(backup.Data)))
		now := observe(t, inNamespace)
		g.Expect(now.tokens[waiting]).NotTo(gomega.BeEmpty(), "it was issued once there was a key")
		delete(now.tokens, waiting)
		delete(now.secrets, waiting.String())
		g.Expect(now).To(gomega.Equal(before))
	})

	t.Run("an emptied Secret is lost too, and all records deleted begin anew", func(t *testing.T) { testBeginAnew(t, m, namespace) })
}

// expectKeyLost checks every place that says that keys are lost.
func expectKeyLost(t *testing.T, m *manager, namespace string) {
	t.Helper()
	g := gomega.NewWithT(t)
	status, _ := m.probe(t, "/readyz")
	g.Expect(status).To(gomega.Equal(http.StatusInternalServerError))
	_, body := m.probe(t, "/readyz/keys")
	g.Expect(body).To(gomega.ContainSubstring("the keys are lost"))
	g.Expect(metricValue(t, m, "accesstoken_keys")).To(gomega.BeZero())
	for _, at := range allTokens(t, client.InNamespace(namespace)) {
		for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionValid} {
			condition := meta.FindStatusCondition(at.Status.Conditions, kind)
			g.Expect(condition.Status).To(gomega.Equal(metav1.ConditionUnknown), kind)
			g.Expect(condition.Reason).To(gomega.Equal(v1alpha1.ReasonKeyLost), kind)
		}
	}
	g.Eventually(func() []eventsv1.Event { return keySecretEvents(t, v1alpha1.ReasonKeyLost) }).
		WithTimeout(soon).WithPolling(often).ShouldNot(gomega.BeEmpty())
	event := keySecretEvents(t, v1alpha1.ReasonKeyLost)[0]
	g.Expect(event.Type).To(gomega.Equal(corev1.EventTypeWarning))
	g.Expect(event.Note).To(gomega.ContainSubstring("restore the Secret from a backup"))
	g.Eventually(func() string { return string(m.logged(t, 0)) }).WithTimeout(soon).WithPolling(often).Should(gomega.MatchRegexp(
		`"level":"ERROR","msg":"not ready".*the keys are lost.*looked for as accesstoken-system/accesstoken-keys, where --namespace says`))
}

// keySecretEvents are the events beside the key Secret, of a reason.
func keySecretEvents(t *testing.T, reason string) []eventsv1.Event {
	t.Helper()
	list := &eventsv1.EventList{}
	if err := adminClient(t).List(t.Context(), list, client.InNamespace(operator.Namespace)); err != nil {
		t.Fatal(err)
	}
	var found []eventsv1.Event
	for _, event := range list.Items {
		if event.Regarding.Kind == "Secret" && event.Regarding.Name == keySecretKey.Name && event.Reason == reason {
			found = append(found, event)
		}
	}
	return found
}

func testBeginAnew(t *testing.T, m *manager, namespace string) {
	g := gomega.NewWithT(t)
	admin := adminClient(t)
	before, secret := observe(t, client.InNamespace(namespace)), secretOf(t, keySecretKey)
	was := secret.DeepCopy()
	secret.Data = nil
	g.Expect(admin.Update(t.Context(), secret)).To(gomega.Succeed())
	awaitAll(t, v1alpha1.ReasonKeyLost, client.InNamespace(namespace))

	output, err := kubectl(t, "delete", "tokenrecords", "--all", "--all-namespaces")
	g.Expect(err).NotTo(gomega.HaveOccurred(), output)
	m.awaitReady(t)
	awaitAll(t, v1alpha1.ReasonIssued, client.InNamespace(namespace))
	now := secretOf(t, keySecretKey)
	g.Expect(now.Data).To(gomega.HaveLen(1))
	for id := range now.Data {
		g.Expect(was.Data).NotTo(gomega.HaveKey(id))
	}
	for key := range allTokens(t, client.InNamespace(namespace)) {
		g.Expect(tokenOf(t, key).Status.TokenID).NotTo(gomega.Equal(before.tokens[key]))
		g.Expect(verify(t.Context(), admin, key)).To(gomega.Succeed())
	}
}
