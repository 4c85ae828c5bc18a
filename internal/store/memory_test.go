package store

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
)

const (
	manyTokens = 100_000
	// mostBytes is what a token may cost all told: its record, its AccessToken and
	// its part of the namespaces and the table.
	mostBytes = 600
)

// TestATokenCostsLittleMemory fills a store as watches do, with objects that are
// let go, and measures what stays.
func TestATokenCostsLittleMemory(t *testing.T) {
	s := New(Options{Opener: mint.Default().Opener(), Clock: clock.RealClock{}})
	before := heapInUse()
	for i := range manyTokens {
		putTypical(t, s, i)
	}
	each := float64(heapInUse()-before) / manyTokens
	if s.Len() != manyTokens {
		t.Fatalf("%d tokens", s.Len())
	}
	t.Logf("%.0f bytes a token", each)
	if each > mostBytes || each < 100 {
		t.Errorf("%.0f bytes a token, at most %d are promised", each, mostBytes)
	}
	runtime.KeepAlive(s)
}

// BenchmarkPutRecord is what a record costs when it comes.
func BenchmarkPutRecord(b *testing.B) {
	s := New(Options{Opener: mint.Default().Opener(), Clock: clock.RealClock{}})
	rec := typical(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		s.PutRecord(rec)
	}
	if s.Len() != 1 {
		b.Fatal("not found")
	}
}

func putTypical(t testing.TB, s *Store, i int) {
	rec := typical(t, i)
	s.PutOwner(metadataOf(rec.Namespace, rec.Spec.AccessTokenName, mint.UID(rec.Namespace, rec.Spec.AccessTokenName), issued))
	s.PutRecord(rec)
	if i < 500 {
		s.PutNamespace(metadataOf("", rec.Namespace, "1", issued.Add(-time.Hour)))
	}
}

// typical is a record as they are: of one of 500 teams, some with scopes, an
// audience or networks, few with their own. Texts are of their own each, as a
// decoder makes them.
func typical(t testing.TB, i int) *v1alpha1.TokenRecord {
	t.Helper()
	rec, _ := mint.Record(t, fmt.Sprintf("team-%d-production", i%500), fmt.Sprintf("deploy-service-%d", i), issued, func(rec *v1alpha1.TokenRecord) {
		rec.Spec.MaxAgeSeconds, rec.Spec.NotAfter = ptr.To(int64(90*24*3600)), "2027-02-22T09:00:00Z"
		if i%2 == 0 {
			rec.Spec.Scopes = []string{"read:registry", fmt.Sprintf("deploy:team-%d", i%500)}
		}
		if i%3 == 0 {
			rec.Spec.Audiences = []string{"https://billing.example.com", "kubernetes"}
		}
		if i%10 == 0 {
			rec.Spec.AllowedCIDRs = []v1alpha1.CIDR{"10.0.0.0/8", "192.0.2.0/24"}
		}
		rec.Spec.Creator = &v1alpha1.Creator{Username: fmt.Sprintf("person-%d@example.com", i%100)}
	})
	return rec
}

func heapInUse() uint64 {
	// What only pools and weak references hold goes with the later ones.
	runtime.GC()
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
