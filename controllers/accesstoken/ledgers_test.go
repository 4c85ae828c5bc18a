package accesstoken

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/quota"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

// counted counts what is read from the API server.
type counted struct {
	client.Client

	reads atomic.Int64
}

func (c *counted) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	c.reads.Add(1)
	return c.Client.Get(ctx, key, object, options...)
}

func TestIssuesThatWereHeldUpShareAReadOfTheLedger(t *testing.T) {
	g := gomega.NewWithT(t)
	namespace, admin := testenv.Namespace(t), objects.Client(t)
	ledger := &v1alpha1.AccessTokenQuota{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.AccessTokenQuotaName}}
	g.Expect(admin.Create(t.Context(), ledger)).To(gomega.Succeed())
	hold := func(uids ...string) {
		ledger.Status = v1alpha1.AccessTokenQuotaStatus{Hard: 9}
		for _, uid := range uids {
			ledger.Status.Holders = append(ledger.Status.Holders, v1alpha1.PlaceHolder{UID: uid, Name: uid, GrantedAt: "2026-11-25T09:00:00Z"})
		}
		g.Expect(admin.Status().Update(t.Context(), ledger)).To(gomega.Succeed())
	}
	hold("a", "b")
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 11, 25, 9, 1, 0, 0, time.UTC))
	live := &counted{Client: admin}
	r := New(Options{Live: live, Clock: clock, Fence: quota.NewFence()})
	read := func() map[string]bool {
		defer r.Fence.Issue(namespace)()
		found, err := r.ledgers.read(t.Context(), r, namespace)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		return found.held
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() { g.Expect(read()).To(gomega.Equal(map[string]bool{"a": true, "b": true})) })
	}
	group.Wait()
	g.Expect(live.reads.Load()).To(gomega.BeEquivalentTo(1))

	t.Log("not after this process gave a place away")
	hold("b")
	r.Fence.Free(namespace)()
	g.Expect(read()).To(gomega.Equal(map[string]bool{"b": true}))

	t.Log("not after a second, in which another process may have")
	hold("b", "c")
	clock.SetTime(clock.Now().Add(ledgerAge))
	g.Expect(read()).To(gomega.HaveLen(1))
	clock.SetTime(clock.Now().Add(1))
	g.Expect(read()).To(gomega.HaveLen(2))
	g.Expect(live.reads.Load()).To(gomega.BeEquivalentTo(3))
}
