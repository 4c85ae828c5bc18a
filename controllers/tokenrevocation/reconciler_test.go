package tokenrevocation_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/tokenrevocation"
)

var (
	all = v1alpha1.RevocationSpec{All: true}
	day = 24 * time.Hour
)

func TestItIsWrittenIntoTheRecordsThatItNames(t *testing.T) {
	w := newWorld(t)
	deploy, nightly := w.record("deploy", 1), w.record("nightly", 1)
	superseded := w.record("deploy", 2, func(rec *v1alpha1.TokenRecord) {
		rec.Status.RevokedAt, rec.Status.Reason = v1alpha1.NewTimestamp(w.clock.Now()), v1alpha1.EndReasonRevoked
	})
	expired := w.record("old", 1, func(rec *v1alpha1.TokenRecord) { rec.Spec.NotAfter = v1alpha1.NewTimestamp(w.clock.Now()) })
	made := w.revoke("leak", v1alpha1.RevocationSpec{Subject: &v1alpha1.RevokedSubject{Kind: v1alpha1.RevokedAccessToken, Name: "deploy"}})
	_, err := w.reconcile(made)
	w.Expect(err).NotTo(gomega.HaveOccurred())

	w.Expect(w.status(deploy)).To(gomega.Equal(v1alpha1.TokenRecordStatus{
		RevokedAt: v1alpha1.NewTimestamp(w.clock.Now()), Reason: v1alpha1.EndReasonCutOff, RevokedBy: "TokenRevocation/leak",
	}))
	w.Expect(w.status(nightly)).To(gomega.BeZero())
	w.Expect(w.status(superseded).Reason).To(gomega.Equal(v1alpha1.EndReasonRevoked), "what had ended keeps its reason")
	w.Expect(w.status(expired)).To(gomega.BeZero())
	w.Expect(made.Status.Revoked).To(gomega.HaveValue(gomega.BeEquivalentTo(1)))
	w.Expect(made.Status.Reissued).To(gomega.BeNil())
	w.Expect(made.Status.EffectiveBefore).To(gomega.Equal(v1alpha1.NewTimestamp(made.CreationTimestamp.Time)))
	w.Expect(made.Status.ObservedGeneration).To(gomega.Equal(made.Generation))
	w.Expect(meta.IsStatusConditionTrue(made.Status.Conditions, v1alpha1.ConditionReady)).To(gomega.BeTrue())
	w.Expect(<-w.events.Events).To(gomega.Equal("Normal Revoked revoked 1 token that was made up to " + string(made.Status.EffectiveBefore)))
}

func TestARevocationThatFindsNoTokenSaysSo(t *testing.T) {
	const nothing = "it names no token in namespace %s that was made up to %s: if there should be one, check what it names and where"
	ids := func(ids ...string) v1alpha1.RevocationSpec { return v1alpha1.RevocationSpec{TokenIDs: ids} }
	for name, test := range map[string]struct {
		spec   func(here, elsewhere string) v1alpha1.RevocationSpec
		reason string
		says   string // of the namespace and the cut
		event  string
	}{
		"by a subject that has none": {func(string, string) v1alpha1.RevocationSpec {
			return v1alpha1.RevocationSpec{Subject: &v1alpha1.RevokedSubject{Kind: v1alpha1.RevokedAccessToken, Name: "other"}}
		}, v1alpha1.ReasonNothingRevoked, nothing, "Normal NothingRevoked it names no token"},
		"by the ID of a token that is elsewhere": {func(_, elsewhere string) v1alpha1.RevocationSpec {
			return ids(elsewhere)
		}, v1alpha1.ReasonNothingRevoked, nothing, "Warning NothingRevoked it names no token"},
		"by the ID of one that was made after the cut": {func(here, _ string) v1alpha1.RevocationSpec {
			spec := ids(here)
			spec.Before = "2020-01-01T00:00:00Z"
			return spec
		}, v1alpha1.ReasonNothingRevoked, nothing, "Warning NothingRevoked it names no token"},
		"by IDs of which one is a token": {func(here, _ string) v1alpha1.RevocationSpec {
			return ids("aaaaaaaaaaaaaaa2", here, "aaaaaaaaaaaaaaa3", "aaaaaaaaaaaaaaa4", "aaaaaaaaaaaaaaa5")
		}, v1alpha1.ReasonRevoked, "every token that it names is revoked, but there is none in namespace %s that was made up to %s with the ID aaaaaaaaaaaaaaa2, aaaaaaaaaaaaaaa3, aaaaaaaaaaaaaaa4 and 1 more: check it", "Warning Revoked revoked 1 token that was made up to"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			made := w.revoke("leak", test.spec(w.record("deploy", 1).Name, newWorld(t).record("deploy", 1).Name))
			_, err := w.reconcile(made)
			w.Expect(err).NotTo(gomega.HaveOccurred())
			ready := meta.FindStatusCondition(made.Status.Conditions, v1alpha1.ConditionReady)
			w.Expect(ready.Status).To(gomega.Equal(metav1.ConditionTrue), "it can be deleted")
			w.Expect(ready.Reason).To(gomega.Equal(test.reason))
			w.Expect(ready.Message).To(gomega.Equal(fmt.Sprintf(test.says, w.namespace, made.Status.EffectiveBefore)))
			w.Expect(<-w.events.Events).To(gomega.HavePrefix(test.event))
			copied := w.copies()[0]
			_, err = w.reconcile(&copied)
			w.Expect(err).NotTo(gomega.HaveOccurred())
			w.Expect(<-w.events.Events).To(gomega.HavePrefix("Normal "), "the original has warned")
		})
	}
}

func TestWhatWasRevokedIsNotForgottenWithItsRecord(t *testing.T) {
	w := newWorld(t)
	rec := w.record("deploy", 1)
	made := w.revoke("leak", v1alpha1.RevocationSpec{TokenIDs: []string{rec.Name}})
	for range 2 {
		_, err := w.reconcile(made)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		w.Expect(meta.FindStatusCondition(made.Status.Conditions, v1alpha1.ConditionReady)).To(gomega.And(
			gomega.HaveField("Reason", v1alpha1.ReasonRevoked), gomega.HaveField("Message", "every token that it names is revoked")))
		w.Expect(client.IgnoreNotFound(w.admin.Delete(w.Context(), rec))).To(gomega.Succeed())
	}
}

func TestARecordThatIsSeenLateIsToldOf(t *testing.T) {
	w := newWorld(t)
	w.record("deploy", 1)
	made := w.revoke("all", all)
	says := func(reason string) {
		_, err := w.reconcile(made)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		w.Expect(meta.FindStatusCondition(made.Status.Conditions, v1alpha1.ConditionReady).Reason).To(gomega.Equal(reason))
	}
	w.reconciler.Client = &lagging{writes: w.writes}
	says(v1alpha1.ReasonNothingRevoked)
	w.reconciler.Client = w.writes
	says(v1alpha1.ReasonRevoked)
}

func TestAPassThatFindsNothingToDoWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.record("deploy", 1)
	made := w.revoke("all", all)
	for pass := range 3 {
		w.writes.count = 0
		_, err := w.reconcile(made)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		w.Expect(w.writes.count > 0).To(gomega.Equal(pass == 0), "pass %d", pass)
		w.clock.SetTime(w.clock.Now().Add(time.Hour))
	}
}

func TestWhereverTheProcessStopsTheNextOneDoesTheRest(t *testing.T) {
	const records = 3
	for stop := 1; ; stop++ {
		w := newWorld(t)
		for i := range records {
			w.record(fmt.Sprintf("deploy-%d", i), 1)
		}
		made := w.revoke("all", v1alpha1.RevocationSpec{All: true, Reissue: true})
		w.writes.stopAt = stop
		_, err := w.reconcile(made)
		stopped := errors.Is(err, errStopped)
		if !stopped {
			w.Expect(err).NotTo(gomega.HaveOccurred())
		}
		if done := meta.IsStatusConditionTrue(made.Status.Conditions, v1alpha1.ConditionReady); done {
			w.Expect(w.live()).To(gomega.BeZero(), "it says that it is done, after write %d", stop)
			w.Expect(w.copies()).To(gomega.HaveLen(1), "it says that it is done, after write %d", stop)
		}
		w.writes.stopAt = 0
		for range 2 {
			_, err = w.reconcile(made)
			w.Expect(err).NotTo(gomega.HaveOccurred())
		}
		w.Expect(w.live()).To(gomega.BeZero())
		w.Expect(w.copies()).To(gomega.HaveLen(1))
		w.Expect(made.Status.Revoked).To(gomega.HaveValue(gomega.BeEquivalentTo(records)), "after write %d", stop)
		if !stopped {
			w.Expect(stop).To(gomega.BeNumerically(">", records+2), "writes")
			return
		}
	}
}

// live counts the records of the namespace that are not revoked.
func (w *world) live() (count int) {
	w.T.Helper()
	list := &v1alpha1.TokenRecordList{}
	w.Expect(w.admin.List(w.Context(), list, client.InNamespace(w.namespace))).To(gomega.Succeed())
	for _, rec := range list.Items {
		if rec.Status.RevokedAt == "" {
			count++
		}
	}
	return count
}

func TestACopyKeepsWhatItsNamespaceDeletes(t *testing.T) {
	w := newWorld(t)
	rec := w.record("deploy", 1)
	made := w.revoke("leak", v1alpha1.RevocationSpec{All: true, Reason: "a leak", Before: "2999-01-01T00:00:00Z", Reissue: true})
	w.writes.stopAt = 1 // nothing but the copy is made
	_, err := w.reconcile(made)
	w.Expect(err).To(gomega.MatchError(errStopped))
	w.writes.stopAt = 0
	copied := w.copies()[0]
	w.Expect(copied.Annotations).To(gomega.HaveKeyWithValue(v1alpha1.AnnotationCopyOf, w.namespace+"/leak"))
	w.Expect(copied.Spec).To(gomega.Equal(v1alpha1.ClusterTokenRevocationSpec{
		Namespace:      w.namespace,
		RevocationSpec: v1alpha1.RevocationSpec{Before: v1alpha1.NewTimestamp(made.CreationTimestamp.Time), Reason: "a leak", Reissue: true},
	}))

	w.Expect(w.admin.Delete(w.Context(), made)).To(gomega.Succeed())
	_, err = w.reconcile(&copied)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.status(rec)).To(gomega.And(
		gomega.HaveField("RevokedAt", gomega.Not(gomega.BeEmpty())), gomega.HaveField("RevokedBy", "TokenRevocation/leak"), gomega.HaveField("Reissue", true)))
	w.Expect(copied.Status.Revoked).To(gomega.HaveValue(gomega.BeEquivalentTo(1)))
}

func TestARevocationThatIsMadeAnewUnderTheSameNameHasACopyOfItsOwn(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		made := w.revoke("leak", all)
		_, err := w.reconcile(made)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		w.Expect(w.admin.Delete(w.Context(), made)).To(gomega.Succeed())
	}
	w.Expect(w.copies()).To(gomega.HaveLen(2))
}

func TestALaterRevocationCanAskForTheNewTokensThatAnEarlierOneDidNot(t *testing.T) {
	w := newWorld(t)
	rec := w.record("deploy", 1)
	first := w.revoke("first", all)
	_, err := w.reconcile(first)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.status(rec).Reissue).To(gomega.BeFalse())

	second := w.revoke("second", v1alpha1.RevocationSpec{All: true, Reissue: true})
	_, err = w.reconcile(second)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.status(rec)).To(gomega.And(gomega.HaveField("Reissue", true), gomega.HaveField("RevokedBy", "TokenRevocation/first")))
	w.Expect(second.Status.Revoked).To(gomega.HaveValue(gomega.BeZero()))
	w.Expect(second.Status.Reissued).To(gomega.HaveValue(gomega.BeZero()))

	revision := int64(1)
	w.Eventually(func() *int64 { // a record of the second of the revocation would be void, too
		revision++
		w.record("deploy", revision)
		_, err := w.reconcile(second)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		return second.Status.Reissued
	}).WithTimeout(patience).WithPolling(10 * often).Should(gomega.HaveValue(gomega.BeEquivalentTo(1)))
}

func TestATokenThatUseMayHaveExtendedIsReadAgain(t *testing.T) {
	w := newWorld(t)
	idle := func(rec *v1alpha1.TokenRecord) { // ended half an hour ago for want of use
		rec.Spec.ExtendWhenUsed, rec.Spec.MaxAgeSeconds = true, ptr.To[int64](60)
		rec.Spec.NotAfter = v1alpha1.NewTimestamp(w.clock.Now().Add(100 * day))
	}
	unused, used := w.record("unused", 1, idle), w.record("used", 1, idle)
	made := w.revoke("all", all)
	w.clock.SetTime(w.clock.Now().Add(30 * time.Minute))
	shown := used.DeepCopy()
	shown.Status.LastUsedAt = v1alpha1.NewTimestamp(w.clock.Now())
	w.Expect(w.admin.Status().Update(w.Context(), shown)).To(gomega.Succeed())
	w.reconciler.Client = &lagging{writes: w.writes, records: []v1alpha1.TokenRecord{*unused, *used}}
	_, err := w.reconcile(made)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(w.status(used).Reason).To(gomega.Equal(v1alpha1.EndReasonCutOff))
	w.Expect(w.status(unused)).To(gomega.BeZero(), "nobody revokes what has ended")
	w.Expect(made.Status.Revoked).To(gomega.HaveValue(gomega.BeEquivalentTo(1)))
}

func TestRevocationsAreDeletedWhenTheyAreOfNoMoreUse(t *testing.T) {
	w := newWorld(t)
	rec := w.record("deploy", 1)
	made := w.revoke("leak", all)
	start := w.clock.Now()
	at := func(object client.Object, after time.Duration) time.Duration {
		t.Helper()
		w.clock.SetTime(start.Add(after))
		again, err := w.reconcile(object)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		return again
	}
	w.Expect(at(made, time.Second)).To(gomega.BeNumerically("~", tokenrevocation.Retention, 5*time.Second))
	copied := &w.copies()[0]
	w.Expect(at(made, tokenrevocation.Retention-time.Minute)).To(gomega.BeNumerically(">", 0))
	w.Expect(w.exists(made)).To(gomega.BeTrue())

	w.Expect(at(copied, 2*tokenrevocation.Retention)).To(gomega.BeNumerically(">", 0))
	w.Expect(w.exists(copied)).To(gomega.BeTrue(), "its original is there")
	at(made, tokenrevocation.Retention+time.Minute)
	w.Expect(w.exists(made)).To(gomega.BeFalse())
	w.Expect(at(copied, time.Hour)).To(gomega.BeNumerically("~", 23*time.Hour, time.Minute))
	w.Expect(w.exists(copied)).To(gomega.BeTrue(), "what has no record may be alive")
	late := w.record("late", 1)
	at(copied, 25*time.Hour)
	w.Expect(w.exists(copied)).To(gomega.BeFalse())
	w.Expect(w.status(rec).Reason).To(gomega.Equal(v1alpha1.EndReasonCutOff), "what had a record says so itself")
	if late.CreationTimestamp.Time.After(made.CreationTimestamp.Time) {
		w.Expect(w.status(late)).To(gomega.BeZero())
	}
}

func TestARevocationOfAWholeClusterStaysAsLongAsThereIsARecordThatItNames(t *testing.T) {
	w := newWorld(t)
	rec := w.record("deploy", 1)
	made := &v1alpha1.ClusterTokenRevocation{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
		Spec:       v1alpha1.ClusterTokenRevocationSpec{RevocationSpec: v1alpha1.RevocationSpec{TokenIDs: []string{rec.Name}}},
	}
	w.Expect(w.admin.Create(w.Context(), made)).To(gomega.Succeed())
	start := w.clock.Now()
	for _, gone := range []bool{false, true} {
		if gone {
			w.Expect(w.admin.Delete(w.Context(), rec)).To(gomega.Succeed())
		}
		for _, after := range []time.Duration{time.Minute, tokenrevocation.Retention - time.Minute, tokenrevocation.Retention + time.Minute} {
			w.clock.SetTime(start.Add(after))
			_, err := w.reconcile(made)
			w.Expect(err).NotTo(gomega.HaveOccurred())
			w.Expect(w.exists(made)).To(gomega.Equal(!gone || after < tokenrevocation.Retention), "%s", after)
		}
	}
}
