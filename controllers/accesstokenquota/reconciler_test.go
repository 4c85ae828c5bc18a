package accesstokenquota_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/controllers/accesstokenquota"
	"github.com/accesstoken-dev/accesstoken-operator/internal/policy"
	"github.com/accesstoken-dev/accesstoken-operator/internal/quota"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
)

// byAge are the names in the order in which they are served.
func (w *world) byAge(names ...string) []string {
	w.t.Helper()
	slices.SortFunc(names, func(a, b string) int {
		first, second := w.token(a), w.token(b)
		if c := first.CreationTimestamp.Compare(second.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(string(first.UID), string(second.UID))
	})
	return names
}

func many(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("t%d", i)
	}
	return names
}

func TestPlacesAreGrantedInOrderByOneWrite(t *testing.T) {
	w, g := newWorld(t), gomega.NewWithT(t)
	w.limit(3)
	w.declare(many(5)...)
	order := w.byAge(many(5)...)
	w.settle()
	g.Expect(w.holders()).To(gomega.Equal(order[:3]))
	ledger := w.ledger()
	g.Expect(ledger.Status.Used).To(gomega.BeEquivalentTo(3))
	g.Expect(ledger.Status.Hard).To(gomega.BeEquivalentTo(3))
	g.Expect(ledger.Status.HardPerSubject).To(gomega.BeEquivalentTo(policy.DefaultTokensPerSubject))
	g.Expect(ledger.Generation).To(gomega.BeEquivalentTo(1))

	w.settle()
	g.Expect(w.ledger().ResourceVersion).To(gomega.Equal(ledger.ResourceVersion), "nothing is written when nothing changed")
}

func TestANamespaceWithoutTokensHasNoLedger(t *testing.T) {
	w := newWorld(t)
	w.settle()
	err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: v1alpha1.AccessTokenQuotaName}, &v1alpha1.AccessTokenQuota{})
	gomega.NewWithT(t).Expect(apierrors.IsNotFound(err)).To(gomega.BeTrue(), "%v", err)
}

func TestAFreePlaceGoesToTheLongestWaitingAtOnce(t *testing.T) {
	for name, free := range map[string]func(w *world, holder string){
		"deleted": (*world).delete,
		"revoked": (*world).end,
	} {
		t.Run(name, func(t *testing.T) {
			w, g := newWorld(t), gomega.NewWithT(t)
			w.limit(1)
			w.declare("first")
			w.settle()
			w.issue("first")
			w.pass(2 * hold)
			w.declare("b", "c")
			w.settle()
			g.Expect(w.holders()).To(gomega.Equal([]string{"first"}))
			next := w.byAge("b", "c")[0]
			free(w, "first")
			w.settle()
			g.Expect(w.holders()).To(gomega.Equal([]string{next}))
		})
	}
}

func TestAGrantThatWasNotSeenUsedIsHeld(t *testing.T) {
	w, g := newWorld(t), gomega.NewWithT(t)
	w.limit(1)
	w.declare("a")
	w.settle()
	w.declare("b")
	w.delete("a")
	g.Expect(w.settle()).To(gomega.BeNumerically("~", hold, time.Second))
	g.Expect(w.holders()).To(gomega.Equal([]string{"a"}), "somebody may be about to issue its token")
	w.pass(hold + time.Second)
	w.settle()
	g.Expect(w.holders()).To(gomega.Equal([]string{"b"}))
}

func TestOneMadeAgainUnderItsNameWaits(t *testing.T) {
	w, g := newWorld(t), gomega.NewWithT(t)
	w.limit(1)
	w.declare("a")
	w.settle()
	w.issue("a")
	w.pass(2 * hold)
	w.declare("b")
	w.delete("a")
	w.declare("a")
	next := w.byAge("a", "b")[0]
	w.settle()
	g.Expect(w.holders()).To(gomega.Equal([]string{next}))
	g.Expect(w.ledger().Status.Holders[0].UID).To(gomega.BeEquivalentTo(w.token(next).UID))
}

func TestLimits(t *testing.T) {
	w, g := newWorld(t), gomega.NewWithT(t)
	w.limit(2)
	w.declare(many(4)...)
	order := w.byAge(many(4)...)
	w.settle()
	w.issue(order[:2]...)
	w.pass(2 * hold)
	g.Expect(w.holders()).To(gomega.Equal(order[:2]))

	w.limit(1)
	w.settle()
	g.Expect(w.holders()).To(gomega.Equal(order[:2]), "a lower limit takes nothing away")
	g.Expect(w.ledger().Status.Hard).To(gomega.BeEquivalentTo(1))
	w.delete(order[0])
	w.settle()
	g.Expect(w.holders()).To(gomega.Equal(order[1:2]), "and only lets no other one follow")

	w.limit(3)
	w.settle()
	g.Expect(w.holders()).To(gomega.Equal(order[1:]), "a higher limit lets those who wait in")
}

func TestTheLabelsOfANamespaceChooseItsLimits(t *testing.T) {
	w, g := newWorld(t), gomega.NewWithT(t)
	p := &v1alpha1.AccessTokenPolicy{Spec: v1alpha1.AccessTokenPolicySpec{
		NamespaceSelector: &v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": v1alpha1.LabelValue(w.namespace)}},
		Quota:             &v1alpha1.PolicyQuota{Tokens: ptr.To[int32](1)},
	}}
	p.GenerateName = "team-"
	w.must(w.admin.Create(t.Context(), p))
	w.declare("a")
	w.settle()
	g.Expect(w.ledger().Status.Hard).To(gomega.BeEquivalentTo(policy.DefaultTokens))

	namespace := &corev1.Namespace{}
	w.must(w.admin.Get(t.Context(), client.ObjectKey{Name: w.namespace}, namespace))
	namespace.Labels["team"] = w.namespace
	w.must(w.admin.Update(t.Context(), namespace))
	w.settle()
	g.Expect(w.ledger().Status.Hard).To(gomega.BeEquivalentTo(1))
}

// lose deletes the ledger, or empties it.
func lose(w *world) {
	w.must(w.admin.Delete(w.t.Context(), w.ledger()))
}

func empty(w *world) {
	ledger := w.ledger()
	ledger.Status = v1alpha1.AccessTokenQuotaStatus{}
	w.must(w.admin.Status().Update(w.t.Context(), ledger))
}

func TestALostLedgerIsMadeAnewFromTheTokensThatThereAre(t *testing.T) {
	for name, how := range map[string]func(*world){"deleted": lose, "emptied": empty} {
		t.Run(name, func(t *testing.T) {
			w, g := newWorld(t), gomega.NewWithT(t)
			w.limit(2)
			w.declare(many(3)...)
			order := w.byAge(many(3)...)
			w.settle()
			w.issue(order[1])
			how(w)
			wait := w.settle()
			g.Expect(w.holders()).To(gomega.Equal(order[1:2]), "whoever had a place without a token may be about to use it")
			g.Expect(wait).To(gomega.BeNumerically(">=", hold))
			g.Expect(w.events.Events).To(gomega.Receive(gomega.And(
				gomega.ContainSubstring("Warning QuotaRebuilt"), gomega.ContainSubstring("1 AccessTokens that have a token"))))

			w.issue(order[0]) // it was about to
			w.settle()
			g.Expect(w.holders()).To(gomega.Equal([]string{order[1], order[0]}))
			w.pass(wait)
			w.settle()
			g.Expect(w.holders()).To(gomega.HaveLen(2), "no place is left")
			g.Expect(w.ledger().Status.GrantsFrom).To(gomega.BeEmpty())
		})
	}
}

func TestACrashBeforeTheFirstWriteOfALedgerDelaysNothing(t *testing.T) {
	w, g := newWorld(t), gomega.NewWithT(t)
	w.declare("a")
	w.must(w.admin.Create(t.Context(), &v1alpha1.AccessTokenQuota{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: v1alpha1.AccessTokenQuotaName}}))
	w.settle()
	g.Expect(w.holders()).To(gomega.Equal([]string{"a"}))
	g.Expect(w.events.Events).NotTo(gomega.Receive(), "nothing was lost")
}

func TestANamespaceThatIsMadeAgainHasLostNothing(t *testing.T) {
	w, g := newWorld(t), gomega.NewWithT(t)
	w.declare("a")
	w.settle()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	w.must(w.admin.Delete(t.Context(), namespace))
	again := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	w.eventually(func() error { return w.admin.Create(t.Context(), again) }, gomega.Succeed())
	w.clock.SetTime(again.CreationTimestamp.Time)
	w.declare("b")
	w.eventually(func() types.UID { // no pass came in between that saw neither
		seen := &metav1.PartialObjectMetadata{}
		seen.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
		w.must(client.IgnoreNotFound(w.replica.Get(t.Context(), client.ObjectKeyFromObject(again), seen)))
		return seen.UID
	}, gomega.Equal(again.UID))
	w.settle()
	g.Expect(w.holders()).To(gomega.Equal([]string{"b"}), "grants wait for nothing")
	g.Expect(w.events.Events).NotTo(gomega.Receive())
}

func TestAManagerThatTakesOverKeepsTheLedger(t *testing.T) {
	w, g := newWorld(t), gomega.NewWithT(t)
	w.limit(1)
	w.declare("a")
	w.settle()
	w.declare("b")
	version := w.ledger().ResourceVersion
	w.restart()
	w.settle()
	g.Expect(w.ledger().ResourceVersion).To(gomega.Equal(version))
	g.Expect(w.holders()).To(gomega.Equal([]string{"a"}), "the grant of the one before counts")
}

func TestTokensThatWereThereBeforeQuotasAreTakenIn(t *testing.T) {
	w, g := newWorld(t), gomega.NewWithT(t)
	w.limit(1)
	w.declare(many(3)...)
	w.issue("t0", "t1")
	wait := w.settle()
	g.Expect(w.holders()).To(gomega.ConsistOf("t0", "t1"), "over the limit, too")
	g.Expect(w.ledger().Status.Used).To(gomega.BeEquivalentTo(2))
	g.Expect(w.events.Events).NotTo(gomega.Receive(), "nothing was lost")
	w.pass(wait)
	w.settle()
	g.Expect(w.holders()).To(gomega.ConsistOf("t0", "t1"))
}

func TestTwoManagersGrantNoMoreThanTheLimit(t *testing.T) {
	w, g := newWorld(t), gomega.NewWithT(t)
	w.limit(3)
	w.declare(many(6)...)
	w.settle()
	first := w.quotas
	w.restart()
	w.limit(4)
	w.settled()
	results := make(chan error, 2)
	for _, quotas := range []*accesstokenquota.Reconciler{first, w.quotas} {
		go func() {
			_, err := quotas.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w.ledger())})
			results <- err
		}()
	}
	g.Expect(<-results).To(gomega.Succeed())
	g.Expect(<-results).To(gomega.Succeed())
	g.Expect(w.holders()).To(gomega.HaveLen(4))
}

func TestPlacesOfManyThatAreGoneComeFree(t *testing.T) {
	w, g := newWorld(t), gomega.NewWithT(t)
	objects.DeclareMany(t, w.namespace, "t", 80, v1alpha1.AccessTokenSpec{})
	w.settle()
	g.Expect(w.holders()).To(gomega.HaveLen(80))
	w.must(w.admin.DeleteAllOf(t.Context(), &v1alpha1.AccessToken{}, client.InNamespace(w.namespace)))
	w.pass(2 * hold)
	w.settle()
	g.Expect(w.holders()).To(gomega.BeEmpty(), "by one write")
}

func TestWhoComesWhileTheLedgerRestsIsLetInTogether(t *testing.T) {
	w, g := newWorld(t), gomega.NewWithT(t)
	w.declare(many(3)...)
	w.settle()
	before := w.ledger().ResourceVersion
	objects.DeclareMany(t, w.namespace, "later", 5, v1alpha1.AccessTokenSpec{})
	rest := w.reconcile()
	g.Expect(rest).To(gomega.BeNumerically(">", 0))
	g.Expect(rest).To(gomega.BeNumerically("<=", 3*quota.DefaultTimes().Rest+time.Millisecond))
	g.Expect(w.ledger().ResourceVersion).To(gomega.Equal(before))
	w.pass(rest)
	w.reconcile()
	g.Expect(w.holders()).To(gomega.HaveLen(8))
}
