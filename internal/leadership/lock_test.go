package leadership_test

import (
	"os"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
	"github.com/accesstoken-dev/accesstoken-operator/internal/leadership"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// newLock is that of one manager, with the rights of its account.
func newLock(t *testing.T) *leadership.Lock {
	t.Helper()
	lock, err := leadership.NewLock(testenv.ManagerConfig(t), operator.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

// held is what leader election writes for a lock that leads.
func held(lock *leadership.Lock, transitions int) resourcelock.LeaderElectionRecord {
	now := metav1.NewTime(time.Unix(0, 0))
	return resourcelock.LeaderElectionRecord{
		HolderIdentity: lock.Identity(), LeaseDurationSeconds: 15, AcquireTime: now, RenewTime: now, LeaderTransitions: transitions,
	}
}

func TestAManagerLeadsForOneTerm(t *testing.T) {
	g := gomega.NewWithT(t)
	first, second := newLock(t), newLock(t)
	g.Expect(first.Identity()).NotTo(gomega.Equal(second.Identity()))
	g.Expect(first.Term()).To(gomega.BeEmpty())
	renew := func(lock *leadership.Lock, record resourcelock.LeaderElectionRecord) error {
		_, _, err := lock.Get(t.Context())
		g.Expect(err).NotTo(gomega.HaveOccurred())
		return lock.Update(t.Context(), record)
	}

	g.Expect(first.Create(t.Context(), held(first, 0))).To(gomega.Succeed())
	g.Expect(first.Term()).To(gomega.Equal(first.Identity() + "/0"))
	g.Expect(second.Create(t.Context(), held(second, 0))).NotTo(gomega.Succeed())
	g.Expect(second.Term()).To(gomega.BeEmpty(), "what was not written is no term")

	g.Expect(renew(first, held(first, 0))).To(gomega.Succeed())
	g.Expect(first.Term()).To(gomega.Equal(first.Identity() + "/0"))

	released := held(first, 0)
	released.HolderIdentity = ""
	g.Expect(renew(first, released)).To(gomega.Succeed())
	g.Expect(renew(second, held(second, 1))).To(gomega.Succeed())
	g.Expect(second.Term()).To(gomega.Equal(second.Identity() + "/1"))

	g.Expect(renew(first, held(first, 2))).To(gomega.MatchError(gomega.ContainSubstring("the process has to start anew to lead")))
	g.Expect(first.Create(t.Context(), held(first, 0))).To(gomega.MatchError(gomega.ContainSubstring("the process has to start anew to lead")), "not though the Lease is deleted")
	g.Expect(first.Term()).To(gomega.Equal(first.Identity()+"/0"), "which is over: what it still writes is refused")
	client, err := kubernetes.NewForConfig(testenv.Config(t))
	g.Expect(err).NotTo(gomega.HaveOccurred())
	lease, err := client.CoordinationV1().Leases(operator.Namespace).Get(t.Context(), leadership.LeaseName, metav1.GetOptions{})
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(lease.Spec.HolderIdentity).To(gomega.HaveValue(gomega.Equal(second.Identity())))
}
