package store

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
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

const (
	// mostRevocationBytes is what a TokenRevocation of a hundred IDs may cost with its
	// copy, mostNamespaceBytes what those of a namespace may, however many there are.
	mostRevocationBytes = 10_000
	mostNamespaceBytes  = mostRevocationBytes * revocation.MostOfNamespace
)

// TestRevocationsOfANamespaceCostBoundedMemory fills a store with the largest ones
// there are, and their copies, as many as there may be and then more.
func TestRevocationsOfANamespaceCostBoundedMemory(t *testing.T) {
	s := New(Options{Opener: mint.Default().Opener(), Clock: clock.RealClock{}})
	before := heapInUse()
	put := func(from, to int) (cost int) {
		for i := from; i < to; i++ {
			s.PutRevocation(largest(t, i, true))
			if i < revocation.MostOfNamespace { // the manager copies no more
				s.PutRevocation(largest(t, i, false))
			}
			s.ApplyRevocations()
		}
		return int(heapInUse()) - int(before)
	}
	each := put(0, revocation.MostOfNamespace) / revocation.MostOfNamespace
	t.Logf("%d bytes for each with its copy", each)
	if each > mostRevocationBytes || each < 1000 {
		t.Errorf("%d bytes for each, at most %d are promised", each, mostRevocationBytes)
	}
	all := put(revocation.MostOfNamespace, 10*revocation.MostOfNamespace)
	t.Logf("%d bytes for ten times as many", all)
	if all > mostNamespaceBytes {
		t.Errorf("%d bytes for all, at most %d are promised", all, mostNamespaceBytes)
	}
	runtime.KeepAlive(s)
}

// largest is a TokenRevocation of a namespace, or its copy, as a decoder makes it.
func largest(t testing.TB, i int, original bool) revocation.Revocation {
	t.Helper()
	spec := v1alpha1.RevocationSpec{TokenIDs: make([]string, 100)}
	for id := range spec.TokenIDs {
		spec.TokenIDs[id] = token.DeclaredID(strconv.Itoa(i), int64(id))
	}
	meta := metav1.ObjectMeta{Name: fmt.Sprintf("leaked-%d", i), UID: types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i)), CreationTimestamp: metav1.NewTime(issued)}
	var r revocation.Revocation
	var err error
	if original {
		meta.Namespace = "team-1-production"
		r, err = revocation.Of(&v1alpha1.TokenRevocation{ObjectMeta: meta, Spec: v1alpha1.TokenRevocationSpec{RevocationSpec: spec}})
	} else {
		meta.Name = "copy-team-1-production-" + string(meta.UID)
		r, err = revocation.OfCluster(&v1alpha1.ClusterTokenRevocation{ObjectMeta: meta, Spec: v1alpha1.ClusterTokenRevocationSpec{Namespace: "team-1-production", RevocationSpec: spec}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
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
