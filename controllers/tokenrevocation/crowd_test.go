package tokenrevocation_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/tokenrevocation"
)

// most is how many TokenRevocations of a namespace count one by one in these tests.
const most = 3

// elsewhere names a token that there is not.
var elsewhere = v1alpha1.RevocationSpec{TokenIDs: []string{"abcdefgh234567ab"}}

// revokeMany makes TokenRevocations one after the other, each looked at once.
func (w *world) revokeMany(count int) (made []*v1alpha1.TokenRevocation) {
	w.T.Helper()
	for i := range count {
		each := w.revoke(fmt.Sprintf("many-%d", i), elsewhere)
		_, err := w.reconcile(each)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		made = append(made, each)
	}
	return made
}

// standIns are the revocations that stand for all of the namespace.
func (w *world) standIns() (found []v1alpha1.ClusterTokenRevocation) {
	w.T.Helper()
	for _, each := range w.copies() {
		if each.Annotations[v1alpha1.AnnotationCopyOf] == w.namespace+"/*" {
			found = append(found, each)
		}
	}
	return found
}

func ready(each *v1alpha1.TokenRevocation) (metav1.ConditionStatus, string) {
	condition := meta.FindStatusCondition(each.Status.Conditions, v1alpha1.ConditionReady)
	return condition.Status, condition.Reason
}

func TestTooManyRevocationsOfANamespaceVoidAllItsTokens(t *testing.T) {
	w := newWorld(t)
	w.reconciler.SetMost(most)
	rec := w.record("deploy", 1)
	w.revokeMany(most)
	w.carryOut()
	w.Expect(w.standIns()).To(gomega.BeEmpty())
	w.Expect(w.status(rec)).To(gomega.BeZero())

	last := w.revoke("last", elsewhere)
	_, err := w.reconcile(last)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	status, reason := ready(last)
	w.Expect(status).To(gomega.Equal(metav1.ConditionTrue), "it can be deleted: what stands for it stays")
	w.Expect(reason).To(gomega.Equal(v1alpha1.ReasonTooManyRevocations))
	standIns := w.standIns()
	w.Expect(standIns).To(gomega.ConsistOf(gomega.HaveField("Spec", gomega.Equal(v1alpha1.ClusterTokenRevocationSpec{
		Namespace: w.namespace,
		RevocationSpec: v1alpha1.RevocationSpec{
			Before: v1alpha1.NewTimestamp(last.CreationTimestamp.Time), Reason: "more than 3 TokenRevocations or copies of them",
		},
	}))))
	w.carryOut()
	w.Expect(w.status(rec)).To(gomega.And(gomega.HaveField("Reason", v1alpha1.EndReasonCutOff), gomega.HaveField("RevokedBy", "ClusterTokenRevocation/"+standIns[0].Name)))
	w.Expect(w.copies()).To(gomega.ConsistOf(gomega.HaveField("Name", standIns[0].Name)), "one stands for all")

	w.writes.count = 0
	_, err = w.reconcile(last)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.carryOut()
	w.Expect(w.writes.count).To(gomega.BeZero(), "a pass that finds nothing to do")
}

// TestANamespaceThatMakesAndDeletesRevocationsFillsNoStore makes all of them before
// it deletes the first.
func TestANamespaceThatMakesAndDeletesRevocationsFillsNoStore(t *testing.T) {
	w := newWorld(t)
	w.reconciler.SetMost(most)
	for _, each := range w.revokeMany(most) {
		w.Expect(w.admin.Delete(w.Context(), each)).To(gomega.Succeed())
	}
	w.carryOut()
	w.Expect(w.copies()).To(gomega.HaveLen(most), "what is deleted stays in force")
	var standIn string
	for round := range 3 {
		one := w.revoke("one-more", elsewhere)
		_, err := w.reconcile(one)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		w.Expect(w.admin.Delete(w.Context(), one)).To(gomega.Succeed())
		w.carryOut()
		w.carryOut() // one that was looked at first may be covered by a later one
		w.Expect(len(w.copies())).To(gomega.BeNumerically("<=", most+1), "round %d", round)
		if round == 0 {
			standIn = w.standIns()[0].Name
		}
	}
	w.Expect(w.standIns()).To(gomega.ContainElement(gomega.HaveField("Name", standIn)), "few that follow make no other one")
}

func TestALaterRevocationOfTooManyTakesThePlaceOfTheOneThatStoodForAll(t *testing.T) {
	w := newWorld(t)
	w.reconciler.SetMost(most)
	w.revokeMany(most + 1)
	w.carryOut()
	w.carryOut() // it deletes what is carried out
	first := w.standIns()[0]
	w.Expect(w.copies()).To(gomega.HaveLen(1))
	// Times are the API server's, in whole seconds.
	var later *v1alpha1.TokenRevocation
	attempt := 0
	w.Eventually(func() string {
		attempt++
		later = w.revoke(fmt.Sprintf("later-%d", attempt), elsewhere)
		return string(v1alpha1.NewTimestamp(later.CreationTimestamp.Time))
	}).WithTimeout(patience).WithPolling(10 * often).Should(gomega.Satisfy(func(at string) bool { return at > string(first.Spec.Before) }))
	_, err := w.reconcile(later)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.standIns()).To(gomega.HaveLen(2))
	w.carryOut()
	w.carryOut()
	w.Expect(w.standIns()).To(gomega.ConsistOf(gomega.HaveField("Spec.Before", v1alpha1.NewTimestamp(later.CreationTimestamp.Time))))
}

func TestWhatStandsForAllStaysLongerThanWhatItStandsFor(t *testing.T) {
	w := newWorld(t)
	w.reconciler.SetMost(most)
	w.revokeMany(most + 1)
	w.carryOut()
	standIn, start := w.standIns()[0], w.clock.Now()
	w.record("deploy", 1)
	for _, there := range []bool{true, false} {
		after := tokenrevocation.Retention + 23*time.Hour
		if !there {
			after += 2 * time.Hour
		}
		w.clock.SetTime(start.Add(after))
		_, err := w.reconcile(&standIn)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		w.Expect(w.exists(&standIn)).To(gomega.Equal(there), "after %s", after)
	}
}

// TestTheNewTokensThatOneOfTooManyAsksForCome has another one void the same first.
func TestTheNewTokensThatOneOfTooManyAsksForCome(t *testing.T) {
	w := newWorld(t)
	w.reconciler.SetMost(most)
	rec := w.record("deploy", 1)
	w.revokeMany(most + 1)
	w.carryOut()
	w.Expect(w.status(rec)).To(gomega.And(gomega.HaveField("Reason", v1alpha1.EndReasonCutOff), gomega.HaveField("Reissue", false)))
	asks := w.revoke("asks", v1alpha1.RevocationSpec{TokenIDs: []string{rec.Name}, Reissue: true})
	_, err := w.reconcile(asks)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.status(rec).Reissue).To(gomega.BeTrue())
}

func TestAnotherObjectUnderTheNameOfOneThatStandsForAllIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	w.reconciler.SetMost(most)
	rec := w.record("deploy", 1)
	w.revokeMany(most)
	last := w.revoke("last", elsewhere)
	squatter := &v1alpha1.ClusterTokenRevocation{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("all-%s-%d", w.namespace, last.CreationTimestamp.Unix())},
		Spec:       v1alpha1.ClusterTokenRevocationSpec{Namespace: w.namespace, RevocationSpec: elsewhere},
	}
	w.Expect(w.admin.Create(w.Context(), squatter)).To(gomega.Succeed())
	_, err := w.reconcile(last)
	w.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(squatter.Name + " stands where the operator's own belongs, and is none: delete it")))
	w.Expect(last.Status.Conditions).To(gomega.BeEmpty(), "it does not say that it is done")

	w.Expect(w.admin.Delete(w.Context(), squatter)).To(gomega.Succeed())
	_, err = w.reconcile(last)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.carryOut()
	w.Expect(w.status(rec)).To(gomega.HaveField("Reason", v1alpha1.EndReasonCutOff))
}
