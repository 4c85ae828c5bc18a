package tokenrecord_test

import (
	"context"
	"testing"

	"github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/tokenrecord"
	"github.com/accesstoken-dev/accesstoken-operator/internal/index"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// startController runs the controller as the manager does, with the real clock.
func startController(t *testing.T) {
	t.Helper()
	g := gomega.NewWithT(t)
	config := testenv.ManagerConfig(t)
	live := objects.ClientFor(t, config)
	mgr, err := ctrl.NewManager(config, ctrl.Options{Scheme: live.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"}})
	g.Expect(err).NotTo(gomega.HaveOccurred())
	ctx, cancel := context.WithCancel(t.Context())
	g.Expect(index.Setup(ctx, mgr.GetFieldIndexer())).To(gomega.Succeed())
	records := &tokenrecord.Reconciler{Client: mgr.GetClient(), Live: live, Retention: retention, Clock: clock.RealClock{}}
	g.Expect(records.SetupWithManager(mgr)).To(gomega.Succeed())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	g.Expect(mgr.GetCache().WaitForCacheSync(ctx)).To(gomega.BeTrue())
}

// TestTheControllerSweepsWhatGarbageCollectionLeaves deletes AccessTokens in the
// two ways that leave their records behind.
func TestTheControllerSweepsWhatGarbageCollectionLeaves(t *testing.T) {
	g := gomega.NewWithT(t)
	w := newWorld(t)
	startController(t)

	cut := w.record(1, nil, nil)
	orphaned := newWorld(t)
	left := orphaned.record(1, nil, nil)
	kept := newWorld(t)
	live := kept.record(1, func(r *v1alpha1.TokenRecord) { r.OwnerReferences = nil }, nil)

	w.deleteToken(cut)
	deleteAndOrphan(t, orphaned.token)
	g.Eventually(func() bool { return w.exists(cut) || w.exists(left) }).WithTimeout(patience).WithPolling(often).Should(gomega.BeFalse())
	g.Expect(w.exists(live)).To(gomega.BeTrue())
}

// deleteAndOrphan deletes with --cascade=orphan, once the policy that refuses
// that is out of the way.
func deleteAndOrphan(t *testing.T, token *v1alpha1.AccessToken) {
	t.Helper()
	g := gomega.NewWithT(t)
	admin := objects.ClientFor(t, testenv.Config(t))
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
	g.Expect(admin.Get(t.Context(), client.ObjectKey{Name: "accesstoken-no-orphans.accesstoken.dev"}, binding)).To(gomega.Succeed())
	g.Expect(admin.Delete(t.Context(), binding.DeepCopy())).To(gomega.Succeed())
	binding.ResourceVersion, binding.UID = "", ""
	t.Cleanup(func() {
		g.Expect(admin.Create(context.WithoutCancel(t.Context()), binding)).To(gomega.Succeed())
	})
	g.Eventually(func() error {
		_, err := testenv.ControlPlane(t).Kubectl(t.Context(), "delete", "accesstoken", token.Name, "-n", token.Namespace, "--cascade=orphan", "--wait=true")
		return err
	}).WithTimeout(patience).WithPolling(often).Should(gomega.Succeed())
}
