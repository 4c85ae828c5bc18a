package tokenrevocation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/tokenrevocation"
)

// account makes the service account builder with the annotation.
func (w *world) account(before string) *corev1.ServiceAccount {
	w.T.Helper()
	made := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Namespace: w.namespace, Name: "builder", Annotations: map[string]string{v1alpha1.AnnotationRevokeTokensBefore: before},
	}}
	w.Expect(w.admin.Create(w.Context(), made)).To(gomega.Succeed())
	return made
}

// heed looks at a service account as the controller does.
func (w *world) heed(account *corev1.ServiceAccount) {
	w.T.Helper()
	accounts := &tokenrevocation.AccountReconciler{Client: w.writes, Recorder: w.events}
	_, err := accounts.Reconcile(w.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(account)})
	w.Expect(err).NotTo(gomega.HaveOccurred())
}

func TestAnAnnotationOnAServiceAccountRevokesItsTokens(t *testing.T) {
	w := newWorld(t)
	actsAs := func(account string) *v1alpha1.TokenRecord {
		return w.record("as-"+account, 1, func(rec *v1alpha1.TokenRecord) {
			rec.Spec.Subject = v1alpha1.Subject{Kind: v1alpha1.SubjectKindServiceAccount, Name: "system:serviceaccount:" + w.namespace + ":" + account, UID: "uid", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + w.namespace}}
			rec.Spec.Creator = &v1alpha1.Creator{Username: "ann", Checked: v1alpha1.CreatorCheckAdmission}
		})
	}
	builder, other := actsAs("builder"), actsAs("other")
	account := w.account("2999-01-01T00:00:00Z")
	w.heed(account)
	made := &w.copies()[0]
	w.Expect(made.Annotations).To(gomega.HaveKeyWithValue(v1alpha1.AnnotationServiceAccount, w.namespace+"/builder"))
	_, err := w.reconcile(made)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.status(builder)).To(gomega.And(gomega.HaveField("Reason", v1alpha1.EndReasonCutOff), gomega.HaveField("RevokedBy", "ClusterTokenRevocation/"+made.Name)))
	w.Expect(w.status(other)).To(gomega.BeZero())
	w.Expect(made.Status.EffectiveBefore).To(gomega.Equal(v1alpha1.NewTimestamp(made.CreationTimestamp.Time)), "nothing that is yet to be made")

	t.Log("once for what it says")
	w.heed(account)
	w.Expect(w.copies()).To(gomega.HaveLen(1))
}

// annotate changes the annotation, and has it heeded.
func (w *world) annotate(account *corev1.ServiceAccount, before string) {
	w.T.Helper()
	account.Annotations[v1alpha1.AnnotationRevokeTokensBefore] = before
	w.Expect(w.admin.Update(w.Context(), account)).To(gomega.Succeed())
	w.heed(account)
}

// ago is an instant before now, as it is written.
func (w *world) ago(ago time.Duration) string {
	return string(v1alpha1.NewTimestamp(w.clock.Now().Add(-ago)))
}

// moments are those that the revocations of the namespace say.
func (w *world) moments() (found []string) {
	w.T.Helper()
	for _, each := range w.copies() {
		found = append(found, string(each.Spec.Before))
	}
	return found
}

// carryOut has every ClusterTokenRevocation of the namespace written into the records.
func (w *world) carryOut() {
	w.T.Helper()
	for _, each := range w.copies() {
		_, err := w.reconcile(&each)
		w.Expect(err).NotTo(gomega.HaveOccurred())
	}
}

// TestALaterAnnotationTakesThePlaceOfEarlierOnes keeps whoever may annotate an
// account from filling the cluster.
func TestALaterAnnotationTakesThePlaceOfEarlierOnes(t *testing.T) {
	w := newWorld(t)
	account := w.account(w.ago(3 * time.Hour))
	w.heed(account)
	w.annotate(account, w.ago(2*time.Hour))
	w.Expect(w.moments()).To(gomega.HaveLen(2), "what is not written into the records yet stays")
	w.carryOut()
	w.annotate(account, w.ago(time.Hour))
	w.Expect(w.moments()).To(gomega.ConsistOf(w.ago(time.Hour)))
}

func TestAnAnnotationThatALaterRevocationCoversMakesNone(t *testing.T) {
	w := newWorld(t)
	account := w.account(w.ago(time.Hour))
	w.heed(account)
	for hours := range 10 {
		w.annotate(account, w.ago(time.Duration(hours+2)*time.Hour))
		w.carryOut()
	}
	w.Expect(w.moments()).To(gomega.ConsistOf(w.ago(time.Hour)))
	w.Expect(w.admin.Delete(w.Context(), account)).To(gomega.Succeed())
	again := w.account(w.ago(time.Hour))
	w.heed(again)
	w.Expect(w.moments()).To(gomega.ConsistOf(w.ago(time.Hour)), "nor for one made again under its name")
	w.annotate(again, "2999-01-01T00:00:00Z")
	w.Expect(w.moments()).To(gomega.ConsistOf("2999-01-01T00:00:00Z"), "a time to come is when it is seen")
}

// TestAnAccountHasFewRevocationsThatAreNotCarriedOut has the instant rise while
// nothing is written into the records.
func TestAnAccountHasFewRevocationsThatAreNotCarriedOut(t *testing.T) {
	w := newWorld(t)
	account := w.account(w.ago(24 * time.Hour))
	w.heed(account)
	for minutes := range 20 {
		w.annotate(account, w.ago(time.Duration(60-minutes)*time.Minute))
	}
	w.Expect(w.moments()).To(gomega.HaveLen(10))
	w.carryOut()
	w.heed(account)
	w.Expect(w.moments()).To(gomega.ConsistOf(w.ago(41 * time.Minute)))
}

func TestTheRevocationsOfAnAccountThatIsGoneGoOnceTheyAreCarriedOut(t *testing.T) {
	w := newWorld(t)
	account := w.account(w.ago(time.Hour))
	w.heed(account)
	w.Expect(w.admin.Delete(w.Context(), account)).To(gomega.Succeed())
	w.heed(account)
	w.Expect(w.copies()).To(gomega.HaveLen(1))
	byHand := &v1alpha1.ClusterTokenRevocation{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace, Annotations: map[string]string{v1alpha1.AnnotationServiceAccount: w.namespace + "/builder"}},
		Spec: v1alpha1.ClusterTokenRevocationSpec{
			Namespace:      w.namespace,
			RevocationSpec: v1alpha1.RevocationSpec{Subject: &v1alpha1.RevokedSubject{Kind: v1alpha1.RevokedServiceAccount, Name: "other"}},
		},
	}
	w.Expect(w.admin.Create(w.Context(), byHand)).To(gomega.Succeed())
	w.carryOut()
	w.heed(account)
	w.Expect(w.copies()).To(gomega.ConsistOf(gomega.HaveField("Name", byHand.Name)), "what somebody made by hand stays")
}

func TestAnAnnotationThatIsNoInstantRevokesNothingAndSaysSo(t *testing.T) {
	w := newWorld(t)
	w.heed(w.account("now"))
	w.Expect(w.copies()).To(gomega.BeEmpty())
	w.Expect(<-w.events.Events).To(gomega.Equal(
		`Warning RevocationInvalid annotation accesstoken.dev/revoke-tokens-before: "now" is not an instant such as 2026-11-24T09:00:00Z; no token was revoked`))
}

func TestWhatIsToldOfAnAnnotationIsShortAndHoldsNoToken(t *testing.T) {
	w := newWorld(t)
	w.heed(w.account("kat_abcdefgh234567ab_" + strings.Repeat("x", 100_000)))
	w.Expect(<-w.events.Events).To(gomega.Equal(
		`Warning RevocationInvalid annotation accesstoken.dev/revoke-tokens-before: "kat_abcdefgh234567ab_[redacted]" is not an instant such as 2026-11-24T09:00:00Z; no token was revoked`))
}

// TestTheRevocationOfAnAnnotationIsNotMadeAnew has it stay as long as the
// annotation does: made again, one that names a time to come would void what is
// there by then.
func TestTheRevocationOfAnAnnotationIsNotMadeAnew(t *testing.T) {
	w := newWorld(t)
	account := w.account("2999-01-01T00:00:00Z")
	w.heed(account)
	made := &w.copies()[0]
	w.clock.SetTime(w.clock.Now().Add(2 * tokenrevocation.Retention))
	again, err := w.reconcile(made)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(again).To(gomega.BeNumerically(">", time.Hour))
	w.Expect(w.exists(made)).To(gomega.BeTrue())
	account.Annotations = nil
	w.Expect(w.admin.Update(w.Context(), account)).To(gomega.Succeed())
	_, err = w.reconcile(made)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.exists(made)).To(gomega.BeFalse())
}
