package main

import (
	"net/http"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// eventsOf are those about an object, of a reason.
func eventsOf(t *testing.T, kind string, object client.ObjectKey, reason string) []eventsv1.Event {
	t.Helper()
	list := &eventsv1.EventList{}
	if err := adminClient(t).List(t.Context(), list, client.InNamespace(object.Namespace)); err != nil {
		t.Fatal(err)
	}
	var found []eventsv1.Event
	for _, event := range list.Items {
		if event.Regarding.Kind == kind && event.Regarding.Name == object.Name && event.Reason == reason {
			found = append(found, event)
		}
	}
	return found
}

func TestOwnersAreToldOnceThatAnAudienceIsMissing(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "")
	i := issue(t, testenv.Namespace(t), "newcomer", v1alpha1.AccessTokenSpec{})
	told := func() []eventsv1.Event {
		return eventsOf(t, "AccessToken", i.key, string(verify.ReasonAudienceMismatch))
	}
	g.Eventually(func(g gomega.Gomega) []eventsv1.Event {
		_, err := testenv.ControlPlane(t).Kubectl(t.Context(), "--kubeconfig="+nobody(t), "--token="+i.text, "get", "pods")
		g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("Unauthorized")))
		return told()
	}).WithTimeout(soon).WithPolling(often).Should(gomega.HaveLen(1))
	event := told()[0]
	g.Expect(event.Type).To(gomega.Equal(corev1.EventTypeWarning))
	g.Expect(event.Regarding.UID).To(gomega.Equal(tokenOf(t, i.key).UID))
	g.Expect(event.Note).To(gomega.And(gomega.ContainSubstring(i.id(t)), gomega.ContainSubstring("takes tokens for kubernetes only"), gomega.ContainSubstring("spec.audiences")))

	for range 5 {
		g.Expect(v.review(t, i.text).Authenticated).To(gomega.BeFalse())
	}
	g.Consistently(told).WithTimeout(aWhile / 3).WithPolling(5 * often).Should(gomega.HaveLen(1))
	g.Expect(told()[0].Series).To(gomega.BeNil(), "it is told once")
}

func TestARecordThatWasEditedIsRefusedAndNamed(t *testing.T) {
	g := gomega.NewWithT(t)
	startManager(t)
	v := startVerifier(t, "edited")
	i := issue(t, testenv.Namespace(t), "token", v1alpha1.AccessTokenSpec{MaxAge: "1h"})
	v.awaitUse(t, i.text, http.StatusOK)
	// The schema keeps even an administrator from changing a spec: they would put
	// another record in its place, that does not end.
	forged := i.record(t).DeepCopy()
	remove(t, i.record(t))
	forged.ResourceVersion, forged.UID = "", ""
	forged.Spec.NotAfter = ""
	forged.Spec.MaxAgeSeconds = nil
	g.Expect(adminClient(t).Create(t.Context(), forged)).To(gomega.Succeed())

	v.awaitUse(t, i.text, http.StatusUnauthorized)
	record := client.ObjectKey{Namespace: i.key.Namespace, Name: i.id(t)}
	g.Eventually(func() []eventsv1.Event { return eventsOf(t, "TokenRecord", record, "RecordRefused") }).
		WithTimeout(soon).WithPolling(often).ShouldNot(gomega.BeEmpty())
	event := eventsOf(t, "TokenRecord", record, "RecordRefused")[0]
	g.Expect(event.Note).To(gomega.ContainSubstring("this record verifies nothing (SealBroken)"))
	g.Expect(v.metrics(t)).To(gomega.MatchRegexp(`(?m)^accesstoken_refused_records{reason="SealBroken"} [1-9]`))
	g.Expect(v.logged(t)).To(gomega.ContainSubstring(`"tokenID":"` + record.Name + `","reason":"SealBroken"`))
}
