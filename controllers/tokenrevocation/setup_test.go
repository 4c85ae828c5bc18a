package tokenrevocation_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/tokenrevocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// startController runs the controller as the manager does, with the real clock.
func (w *world) startController() {
	w.T.Helper()
	restConfig := testenv.ManagerConfig(w.T)
	again := true // another test of this binary may have had one
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme: w.admin.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"}, Cache: controllers.CacheOptions(), Client: controllers.ClientOptions(),
		Controller: config.Controller{SkipNameValidation: &again},
	})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	ctx, cancel := context.WithCancel(w.Context())
	w.Expect(index.Setup(ctx, mgr.GetFieldIndexer())).To(gomega.Succeed())
	w.reconciler.Client, w.reconciler.Clock = mgr.GetClient(), clock.RealClock{}
	w.reconciler.Recorder = &events.FakeRecorder{} // that of the world is full once many are announced
	w.Expect(w.reconciler.SetupWithManager(mgr)).To(gomega.Succeed())
	accounts := &tokenrevocation.AccountReconciler{Client: mgr.GetClient(), Recorder: &events.FakeRecorder{}}
	w.Expect(accounts.SetupWithManager(mgr)).To(gomega.Succeed())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
	w.Expect(mgr.GetCache().WaitForCacheSync(ctx)).To(gomega.BeTrue())
}

func TestTheControllerKeepsACopyAndLooksAtItWhenTheOriginalGoes(t *testing.T) {
	w := newWorld(t)
	made := w.revoke("leak", all)
	w.startController()
	copied := func(g gomega.Gomega) *v1alpha1.ClusterTokenRevocation {
		copies := w.copies()
		g.Expect(copies).To(gomega.HaveLen(1))
		g.Expect(copies[0].Status.Conditions).To(gomega.HaveLen(1))
		return &copies[0]
	}
	var first *v1alpha1.ClusterTokenRevocation
	soon := func(holds func(gomega.Gomega)) {
		w.T.Helper()
		w.Eventually(holds).WithTimeout(patience).WithPolling(often).Should(gomega.Succeed())
	}
	soon(func(g gomega.Gomega) { first = copied(g) })
	w.Expect(w.admin.Delete(w.Context(), first)).To(gomega.Succeed())
	soon(func(g gomega.Gomega) { g.Expect(copied(g).UID).NotTo(gomega.Equal(first.UID)) })
	w.Expect(w.admin.Delete(w.Context(), made)).To(gomega.Succeed())
	soon(func(g gomega.Gomega) { g.Expect(w.exists(made)).To(gomega.BeFalse()) })
	copied(w.WithT)
}

// TestTheControllerHasOneStandForTooMany makes more than there may be at once, and has
// the namespace delete all of them.
func TestTheControllerHasOneStandForTooMany(t *testing.T) {
	w := newWorld(t)
	w.reconciler.SetMost(most)
	rec := w.record("deploy", 1)
	w.startController()
	var made []*v1alpha1.TokenRevocation
	for i := range 4 * most {
		made = append(made, w.revoke(fmt.Sprintf("many-%d", i), elsewhere))
	}
	w.Eventually(func(g gomega.Gomega) {
		for _, each := range made {
			g.Expect(w.exists(each)).To(gomega.BeTrue())
			g.Expect(meta.IsStatusConditionTrue(each.Status.Conditions, v1alpha1.ConditionReady)).To(gomega.BeTrue())
		}
		g.Expect(w.status(rec).Reason).To(gomega.Equal(v1alpha1.EndReasonCutOff))
	}).WithTimeout(patience).WithPolling(often).Should(gomega.Succeed())
	for _, each := range made {
		w.Expect(w.admin.Delete(w.Context(), each)).To(gomega.Succeed())
	}
	w.Expect(len(w.copies())).To(gomega.BeNumerically("<=", 2*most))
	w.Expect(w.standIns()).NotTo(gomega.BeEmpty())
}

// TestTheControllerDeletesWhatAccountsLeftBehind has accounts go while nobody looks,
// and while it does, also where the annotation was taken off before.
func TestTheControllerDeletesWhatAccountsLeftBehind(t *testing.T) {
	w := newWorld(t)
	none := func(g gomega.Gomega) { g.Expect(w.copies()).To(gomega.BeEmpty()) }
	account := w.account(w.ago(time.Hour))
	w.heed(account)
	w.Expect(w.admin.Delete(w.Context(), account)).To(gomega.Succeed())
	w.startController()
	w.Eventually(none).WithTimeout(patience).WithPolling(often).Should(gomega.Succeed())

	account = w.account(w.ago(time.Hour))
	w.Eventually(func(g gomega.Gomega) {
		g.Expect(w.copies()).To(gomega.ConsistOf(gomega.HaveField("Status.Conditions", gomega.ConsistOf(gomega.HaveField("Status", metav1.ConditionTrue)))))
	}).WithTimeout(patience).WithPolling(often).Should(gomega.Succeed())
	account.Annotations = nil
	w.Expect(w.admin.Update(w.Context(), account)).To(gomega.Succeed())
	w.Expect(w.admin.Delete(w.Context(), account)).To(gomega.Succeed())
	w.Eventually(none).WithTimeout(patience).WithPolling(often).Should(gomega.Succeed())
}

func TestTheControllerRevokesARecordThatItSeesOnlyAfterTheRevocation(t *testing.T) {
	w := newWorld(t)
	w.startController()
	soon := func(holds func(gomega.Gomega)) {
		w.T.Helper()
		w.Eventually(holds).WithTimeout(patience).WithPolling(often).Should(gomega.Succeed())
	}
	// Both have to be made in one second, the record after the other was dealt with.
	for attempt := 0; ; attempt++ {
		made := w.revoke("cut-"+string(rune('a'+attempt)), all)
		soon(func(g gomega.Gomega) {
			g.Expect(w.exists(made)).To(gomega.BeTrue())
			g.Expect(made.Status.Revoked).NotTo(gomega.BeNil())
		})
		rec := w.record("deploy", int64(attempt+1))
		if rec.CreationTimestamp.Unix() > made.CreationTimestamp.Unix() {
			w.Expect(attempt).To(gomega.BeNumerically("<", 20))
			continue
		}
		soon(func(g gomega.Gomega) { g.Expect(w.status(rec).Reason).To(gomega.Equal(v1alpha1.EndReasonCutOff)) })
		return
	}
}
