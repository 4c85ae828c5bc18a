package main

import (
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const (
	overdueTokens = 200
	// overdueInterval is long enough for all to be issued within.
	overdueInterval = 25 * time.Second
	// overdueAge leaves a window of about 20 s: a tenth of what is left of it.
	overdueAge = 4 * time.Minute
)

// TestOverdueRotationsAreSpread stops the manager before any token is due, starts
// one when all of them are overdue, and finds one rotation each, spread over the
// window.
func TestOverdueRotationsAreSpread(t *testing.T) {
	g := gomega.NewWithT(t)
	forgetTokens(t)
	namespace := testenv.Namespace(t)
	objects.Raise(t, namespace, overdueTokens)
	restAfterwards(t, namespace)
	seen := collect(t, namespace)
	before := readyManager(t)
	declareMany(t, namespace, "due", overdueTokens, v1alpha1.AccessTokenSpec{
		MaxAge:   v1alpha1.MaxAge(overdueAge.String()),
		Rotation: &v1alpha1.Rotation{Interval: v1alpha1.RotationInterval(overdueInterval.String()), Overlap: "1s"},
	})
	awaitAll(t, v1alpha1.ReasonIssued, client.InNamespace(namespace))
	before.kill(t)
	was := allTokens(t, client.InNamespace(namespace))
	g.Eventually(func() bool {
		for _, at := range was {
			if due, err := at.Status.NextRotationAt.Parse(); err != nil || time.Now().Before(due) {
				return false
			}
		}
		return true
	}).WithTimeout(later).WithPolling(seldom).Should(gomega.BeTrue(), "all are overdue")

	started := time.Now().Truncate(time.Second)
	readyManager(t)
	g.Eventually(func() int {
		rotated := 0
		for key, at := range allTokens(t, client.InNamespace(namespace)) {
			if at.Status.Revision > was[key].Status.Revision {
				rotated++
			}
		}
		return rotated
	}).WithTimeout(2 * later).WithPolling(seldom).Should(gomega.Equal(overdueTokens))

	g.Eventually(seen.count).WithTimeout(soon).WithPolling(often).Should(gomega.BeNumerically(">=", 2*overdueTokens))
	_, tooSoon := publishedTooSoon(t, namespace, seen, overdueInterval)
	g.Expect(tooSoon).To(gomega.BeEmpty(), "one rotation each, however long ago it fell due")
	perSecond := map[time.Duration]int{}
	last := time.Duration(0)
	for name, issued := range publishedRecords(t, namespace, seen) {
		missed := was[client.ObjectKey{Namespace: namespace, Name: name}].Status.Revision
		next := slices.IndexFunc(issued, func(i issuedToken) bool { return i.revision > missed })
		g.Expect(next).To(gomega.BeNumerically(">", 0), "%s: %v", name, issued)
		at := issued[next].at.Sub(started)
		perSecond[at]++
		last = max(last, at)
	}
	t.Logf("rotations in each second after the start: %v", perSecond)
	for second, n := range perSecond {
		g.Expect(n).To(gomega.BeNumerically("<", overdueTokens/3), "rotations in second %s", second)
	}
	g.Expect(last).To(gomega.BeNumerically(">", overdueAge/20), "they are spread over the window")
}
