package metrics_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/lastused"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// acceptor is whom the tokens of the chain are for.
const acceptor = "git.example.com"

// nowhere takes every write.
type nowhere struct{}

func (nowhere) WriteUse(context.Context, lastused.Use) error { return nil }

// chain is a bare decider over that many tokens, and the same in all that stands
// around it in a verifier: metrics(audit(lastused(decider))).
func chain(tb testing.TB, number int) (presented []string, bare, whole verify.Verifier) {
	tb.Helper()
	now := clock.RealClock{}.Now()
	index := store.New(store.Options{Opener: mint.Default().Opener(), Clock: clock.RealClock{}})
	records := make([]*v1alpha1.TokenRecord, number)
	presented = make([]string, number)
	for i := range number {
		name := fmt.Sprintf("token-%d", i)
		records[i], presented[i] = mint.Record(tb, "ci", name, now, mint.Sliding(time.Hour, 100*time.Hour), mint.Audiences(acceptor), mint.Scopes("read:registry"))
	}
	index.ReplaceRecords(records)
	index.PutNamespace(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "ci"}})
	for _, rec := range records {
		index.PutOwner(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: "ci", Name: rec.Spec.AccessTokenName, UID: types.UID(rec.Spec.AccessTokenUID),
		}})
	}
	decider := &verify.Decider{Index: index, Fresh: func(time.Time) error { return nil }, Clock: clock.RealClock{}}
	log, err := audit.Open(audit.Options{Path: filepath.Join(tb.TempDir(), "audit.log"), Clock: clock.RealClock{}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := log.Close(); err != nil {
			tb.Error(err)
		}
	})
	counters, err := metrics.NewVerification(prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	recorder := lastused.New(lastused.Options{Index: index, Writer: nowhere{}, Clock: clock.RealClock{}})
	return presented, decider, counters.Around(log.Around(recorder.Around(decider), config.AcceptedSampled), clock.RealClock{})
}

func asked(presented string) verify.Request {
	return verify.Request{
		Token: presented, Audiences: []string{acceptor}, Scopes: []string{"read:registry"}, Protocol: verify.ProtocolForwardAuth,
		ClientIP: netip.MustParseAddr("192.0.2.7"), UserAgent: "git/2.47.3", Host: acceptor, Method: "GET", Path: "/shop.git",
	}
}

func TestWhatStandsAroundTheDeciderCostsNoMemory(t *testing.T) {
	presented, bare, whole := chain(t, 1)
	request := asked(presented[0])
	allocations := func(verifier verify.Verifier) float64 {
		return testing.AllocsPerRun(1000, func() {
			if verdict, err := verifier.Verify(t.Context(), request); err != nil || !verdict.Active() {
				t.Error(verdict, err)
			}
		})
	}
	if floor, all := allocations(bare), allocations(whole); all > floor {
		t.Errorf("%v allocations, of which the decider has %v", all, floor)
	}
}

// BenchmarkChain sets what stands around the decider beside the bare one: one
// token from every core, and many tokens in turn, each of which is noted and
// sampled at its first use.
func BenchmarkChain(b *testing.B) {
	for _, number := range []int{1, 10_000} {
		presented, bare, whole := chain(b, number)
		requests := make([]verify.Request, number)
		for i := range requests {
			requests[i] = asked(presented[i])
		}
		for _, each := range []struct {
			name     string
			verifier verify.Verifier
		}{{"decider", bare}, {"metrics+audit+lastused+decider", whole}} {
			b.Run(fmt.Sprintf("%s/tokens=%d", each.name, number), func(b *testing.B) {
				b.ReportAllocs()
				var begin atomic.Int64
				spent := cpuTime(b)
				defer func() { b.ReportMetric(float64(cpuTime(b)-spent)/float64(b.N), "cpu-ns/op") }()
				b.RunParallel(func(pb *testing.PB) {
					for i := int(begin.Add(7919)); pb.Next(); i++ {
						if verdict, err := each.verifier.Verify(context.Background(), requests[i%number]); err != nil || !verdict.Active() {
							b.Error(verdict, err)
							return
						}
					}
				})
			})
		}
	}
}

// cpuTime is what this process has used, which says more than the time that has
// gone where others use the machine too.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
