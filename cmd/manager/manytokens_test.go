package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delegation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/leadership"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const (
	// atRest is how many tokens are at rest.
	atRest = 500
	// idleFor is how long the operator is watched while it has nothing to do:
	// longer than the interval of the canary.
	idleFor = time.Minute
	// takeover bounds how long until a standby issues tokens when the Lease was
	// not given up: its 15 s, the 2 s between two tries, the start of the
	// controllers, and as much again for a busy machine.
	takeover = 40 * time.Second
	// lateTokens are declared around the crash of a leader.
	lateTokens = 40
)

// TestManyTokens takes a namespace full of tokens through the life of managers:
// they idle, one crashes and another takes over, all are restarted, and the
// namespace is deleted.
func TestManyTokens(t *testing.T) {
	forgetLease(t)
	forgetTokens(t)
	namespace := testenv.Namespace(t)
	objects.Raise(t, namespace, 1000)
	leader := readyManager(t, "--leader-elect=true")
	standby := readyManager(t, "--leader-elect=true")
	mark := auditMark(t)
	declareMany(t, namespace, "rest", atRest, v1alpha1.AccessTokenSpec{Rotation: &v1alpha1.Rotation{Interval: "24h"}})
	awaitAll(t, v1alpha1.ReasonIssued, client.InNamespace(namespace))
	writes := ledgerWrites(t, namespace, mark)
	g := gomega.NewWithT(t)
	for _, record := range recordsOf(t, client.InNamespace(namespace)) {
		g.Expect(record.Annotations).To(gomega.HaveKeyWithValue(v1alpha1.AnnotationLeader, leaderTerm(t)))
	}
	t.Logf("%d places took %d writes of the ledger", atRest, writes)
	g.Expect(writes).To(gomega.BeNumerically("<", atRest/5), "one write lets all in that wait")

	t.Run("an idle operator makes no write but its Lease and dry runs", testIdle)
	t.Run("a standby takes over from a crashed leader", func(t *testing.T) { testTakeover(t, leader, standby, namespace) })
	t.Run("a restart costs no request per token", func(t *testing.T) { testRestart(t, standby, namespace) })
}

// forgetLease lets the first manager lead at once.
func forgetLease(t *testing.T) {
	t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: keySecretKey.Namespace, Name: leadership.LeaseName}}
	if err := adminClient(t).Delete(t.Context(), lease); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
}

// leaderTerm is that of the Lease.
func leaderTerm(t *testing.T) string {
	t.Helper()
	lease := &coordinationv1.Lease{}
	gomega.NewWithT(t).Expect(adminClient(t).Get(t.Context(), client.ObjectKey{Namespace: keySecretKey.Namespace, Name: leadership.LeaseName}, lease)).To(gomega.Succeed())
	return fmt.Sprintf("%s/%d", *lease.Spec.HolderIdentity, *lease.Spec.LeaseTransitions)
}

// forgetTokens deletes what other tests left, so that nothing falls due of it.
func forgetTokens(t *testing.T) {
	t.Helper()
	g := gomega.NewWithT(t)
	output, err := kubectl(t, "delete", "accesstokens", "--all", "--all-namespaces")
	g.Expect(err).NotTo(gomega.HaveOccurred(), output)
	g.Eventually(func() []v1alpha1.TokenRecord { return recordsOf(t) }).WithTimeout(later).WithPolling(5 * often).Should(gomega.BeEmpty())
}

func testIdle(t *testing.T) {
	g := gomega.NewWithT(t)
	awaitFreePlaces(t)
	quiet(t)
	mark := auditMark(t)
	expected := func(r request) bool { return r.Lease() || r.Verb == "create" && r.DryRun() || sighting(r) }
	g.Consistently(func() []request { return keep(managerRequests(t, mark), not(expected), not(watching)) }).
		WithTimeout(idleFor).WithPolling(seldom).Should(gomega.BeEmpty())

	all := managerRequests(t, mark)
	g.Expect(keep(all, request.Lease)).NotTo(gomega.BeEmpty(), "the audit log shows what the manager does")
	g.Expect(keep(all, request.DryRun)).NotTo(gomega.BeEmpty(), "the canary sings")
	g.Expect(len(keep(all, sighting))).To(gomega.BeNumerically("<=", 2*9), "four policies, their bindings and the note, once a minute")
	g.Expect(len(keep(all, watching))).To(gomega.BeNumerically("<", atRest/20), "watches that had to be begun anew")
}

// awaitFreePlaces waits until no AccessToken that is gone, such as another test's,
// holds a place: each is held for a minute after it was granted.
func awaitFreePlaces(t *testing.T) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		var ledgers v1alpha1.AccessTokenQuotaList
		g.Expect(adminClient(t).List(t.Context(), &ledgers)).To(gomega.Succeed())
		declared := allTokens(t)
		for i := range ledgers.Items {
			for _, holder := range ledgers.Items[i].Status.Holders {
				g.Expect(declared).To(gomega.HaveKey(client.ObjectKey{Namespace: ledgers.Items[i].Namespace, Name: holder.Name}))
			}
		}
	}).WithTimeout(2 * time.Minute).WithPolling(5 * often).Should(gomega.Succeed())
}

func watching(r request) bool { return r.Verb == "watch" }

// sighting is a look at admission policies, or at the note about them.
func sighting(r request) bool {
	return r.Verb == "get" && (strings.HasPrefix(r.ObjectRef.Resource, "validatingadmissionpolic") || r.ObjectRef.Name == delegation.WitnessName)
}

// testTakeover kills the leader while it issues tokens.
func testTakeover(t *testing.T, leader, standby *manager, namespace string) {
	g := gomega.NewWithT(t)
	before := secretVersions(t, client.InNamespace(namespace))
	seen := collect(t, namespace)
	declareMany(t, namespace, "late", lateTokens, v1alpha1.AccessTokenSpec{})
	leader.kill(t)
	killed := time.Now()
	declareMany(t, namespace, "later", lateTokens, v1alpha1.AccessTokenSpec{})

	g.Eventually(func() map[client.ObjectKey]bool {
		waiting := map[client.ObjectKey]bool{}
		for key, at := range allTokens(t, client.InNamespace(namespace)) {
			if strings.HasPrefix(key.Name, "later-") && at.Status.TokenID == "" {
				waiting[key] = true
			}
		}
		return waiting
	}).WithTimeout(takeover).WithPolling(5 * often).Should(gomega.BeEmpty())
	t.Logf("tokens were issued again %s after the leader was killed", time.Since(killed).Round(time.Second/10))
	// A record whose Secret the crash prevented is waited for, then passed over.
	awaitAll(t, v1alpha1.ReasonIssued, client.InNamespace(namespace))
	g.Expect(standby.errorsLogged(t, 0)).To(gomega.BeEmpty())

	now := secretVersions(t, client.InNamespace(namespace))
	g.Expect(now).To(gomega.HaveLen(len(before) + 2*lateTokens))
	for name, version := range before {
		g.Expect(now).To(gomega.HaveKeyWithValue(name, version), "a token at rest was left alone")
	}
	g.Eventually(seen.count).WithTimeout(soon).WithPolling(often).Should(gomega.Equal(atRest+2*lateTokens), "tokens that reached a Secret, each of one AccessToken")
}

func testRestart(t *testing.T, last *manager, namespace string) {
	g := gomega.NewWithT(t)
	quiet(t)
	last.kill(t)
	tokens, secrets, records := allTokens(t), secretVersions(t), len(recordsOf(t))
	mark := auditMark(t)
	m := readyManager(t)
	quiet(t)

	g.Expect(allTokens(t)).To(gomega.Equal(tokens))
	g.Expect(secretVersions(t)).To(gomega.Equal(secrets))
	g.Expect(recordsOf(t)).To(gomega.HaveLen(records))
	requests := managerRequests(t, mark)
	g.Expect(keep(requests, request.Writes)).To(gomega.BeEmpty())
	g.Expect(len(requests)).To(gomega.BeNumerically("<", atRest/10), "%v", requests)
	for _, r := range requests {
		g.Expect(r.ObjectRef.Namespace).NotTo(gomega.Equal(namespace), "%s", r)
	}

	t.Run("and a namespace full of tokens can be deleted", func(t *testing.T) { testDeleteNamespace(t, m, namespace) })
}

func testDeleteNamespace(t *testing.T, m *manager, namespace string) {
	g := gomega.NewWithT(t)
	log := len(m.logged(t, 0))
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	g.Expect(adminClient(t).Delete(t.Context(), object)).To(gomega.Succeed())
	g.Eventually(func() bool {
		return apierrors.IsNotFound(adminClient(t).Get(t.Context(), client.ObjectKeyFromObject(object), object))
	}).WithTimeout(later).WithPolling(5 * often).Should(gomega.BeTrue())
	g.Expect(m.errorsLogged(t, log)).To(gomega.BeEmpty())
}
