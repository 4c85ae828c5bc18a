package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/faultproxy"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const (
	// onceTokens rotate by onceInterval until there were onceRotations: at a rate
	// that a busy machine keeps up with.
	onceTokens    = 60
	onceRotations = 300
	onceInterval  = 5 * time.Second
	// onceAge keeps short what is spread after a restart: a tenth of what is
	// left of it.
	onceAge = 50 * time.Second
)

// TestEachDueMomentMakesOneToken has tokens rotate again and again under 32
// workers while one write in ten goes wrong, and the manager crash in the middle.
func TestEachDueMomentMakesOneToken(t *testing.T) {
	g := gomega.NewWithT(t)
	forgetTokens(t)
	proxy, kubeconfig := startFaultProxy(t)
	namespace := testenv.Namespace(t)
	restAfterwards(t, namespace)
	seen := collect(t, namespace)
	m := readyManager(t, "--kubeconfig="+kubeconfig, "--workers=32")
	proxy.SetActive(true)
	declareMany(t, namespace, "once", onceTokens, v1alpha1.AccessTokenSpec{
		MaxAge:   v1alpha1.MaxAge(onceAge.String()),
		Rotation: &v1alpha1.Rotation{Interval: v1alpha1.RotationInterval(onceInterval.String()), Overlap: "1s"},
	})
	awaitRotations(t, seen, onceRotations/2)
	m.kill(t)
	proxy.SetActive(false) // the canary is to be refused by the policy
	readyManager(t, "--kubeconfig="+kubeconfig, "--workers=32")
	proxy.SetActive(true)
	awaitRotations(t, seen, onceRotations)
	proxy.SetActive(false)
	awaitAllWithin(t, 2*later, v1alpha1.ReasonIssued, client.InNamespace(namespace)) // a write of unknown outcome is waited for

	wrong := 0
	for what, n := range proxy.Counts() {
		t.Logf("writes that went wrong: %d (%s)", n, what)
		wrong += n
	}
	g.Expect(wrong).To(gomega.BeNumerically(">", onceRotations/10))
	rotations, tooSoon := publishedTooSoon(t, namespace, seen, onceInterval)
	g.Expect(rotations).To(gomega.BeNumerically(">=", onceRotations))
	g.Expect(tooSoon).To(gomega.BeEmpty(), "two tokens reached a Secret for one due moment")
	for key := range allTokens(t, client.InNamespace(namespace)) {
		g.Expect(verify(t.Context(), adminClient(t), key)).To(gomega.Succeed())
	}
}

// restAfterwards takes away what would rotate on under the eyes of other tests.
func restAfterwards(t *testing.T, namespace string) {
	t.Helper()
	t.Cleanup(func() {
		err := adminClient(t).DeleteAllOf(context.Background(), &v1alpha1.AccessToken{}, client.InNamespace(namespace))
		if err != nil {
			t.Errorf("delete the AccessTokens in %s: %v", namespace, err)
		}
	})
}

// startFaultProxy lets a manager reach the API server through a fault proxy.
func startFaultProxy(t *testing.T) (proxy *faultproxy.Proxy, kubeconfig string) {
	t.Helper()
	config := testenv.ManagerConfig(t)
	proxy, err := faultproxy.Start(t.Context(), config, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	config.Host = proxy.URL
	kubeconfig = filepath.Join(t.TempDir(), "proxied.kubeconfig")
	if err := controlplane.WriteKubeconfig(config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return proxy, kubeconfig
}

// awaitRotations waits until that many tokens replaced one before.
func awaitRotations(t *testing.T, seen *collector, n int) {
	t.Helper()
	gomega.NewWithT(t).Eventually(seen.count).WithTimeout(2*later).WithPolling(5*often).
		Should(gomega.BeNumerically(">=", onceTokens+n), "tokens that reached a Secret")
}

// publishedTooSoon counts the tokens that replaced one before in a Secret, and
// names those that did so sooner than was due.
func publishedTooSoon(t *testing.T, namespace string, seen *collector, interval time.Duration) (rotations int, tooSoon []string) {
	t.Helper()
	for name, issued := range publishedRecords(t, namespace, seen) {
		for i := 1; i < len(issued); i++ {
			rotations++
			if gap := issued[i].at.Sub(issued[i-1].at); gap < interval {
				tooSoon = append(tooSoon, fmt.Sprintf("%s: revision %d came %s after revision %d", name, issued[i].revision, gap, issued[i-1].revision))
			}
		}
	}
	return rotations, tooSoon
}

// issuedToken is what a record tells of a token that reached a Secret.
type issuedToken struct {
	revision int64
	at       time.Time
}

// publishedRecords are the tokens of each AccessToken that were seen in a Secret,
// in the order of their revisions.
func publishedRecords(t *testing.T, namespace string, seen *collector) map[string][]issuedToken {
	t.Helper()
	published := seen.ids()
	byName := map[string][]issuedToken{}
	for _, r := range recordsOf(t, client.InNamespace(namespace)) {
		if !published[r.Name] {
			continue
		}
		at, err := r.Spec.IssuedAt.Parse()
		if err != nil {
			t.Fatal(err)
		}
		byName[r.Spec.AccessTokenName] = append(byName[r.Spec.AccessTokenName], issuedToken{r.Spec.Revision, at})
	}
	for _, issued := range byName {
		slices.SortFunc(issued, func(a, b issuedToken) int { return cmp.Compare(a.revision, b.revision) })
	}
	return byName
}
