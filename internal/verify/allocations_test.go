//go:build !race

package verify_test

// The race detector makes sync.Pool forget some of what is put back, so that what
// is counted here says something only without it.

import (
	"net/netip"
	"testing"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

func TestVerifyAllocatesNothing(t *testing.T) {
	count := func(name string, p *presented) {
		t.Run(name, func(t *testing.T) {
			if n := testing.AllocsPerRun(200, func() { _, _ = p.verify() }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
	for _, f := range faults {
		count(string(f.reason), withFaults(t, []fault{f}))
	}
	count("active", present(t))
	all := present(t, func(rec *v1alpha1.TokenRecord) {
		rec.Spec.Scopes, rec.Spec.Audiences = []string{"a", "b", "c"}, []string{"x", "y", ours}
		rec.Spec.AllowedCIDRs = []v1alpha1.CIDR{"10.0.0.0/8", "2001:db8::/32", "192.0.2.0/24"}
	})
	all.request.Scopes, all.request.ClientIP = []string{"c", "a"}, netip.MustParseAddr("::ffff:192.0.2.1%eth0")
	all.expect("")
	count("active with all constraints", all)
	stale := present(t)
	stale.decider.Fresh = func(time.Time) error { return verify.ErrStale }
	count("could not check", stale)
}
