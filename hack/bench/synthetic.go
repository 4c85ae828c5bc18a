package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/caller"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// Synthetic tokens are in no cluster, and the same in every process, so that who
// asks and who answers need not tell each other.
const (
	syntheticCluster  = "00000000-0000-4000-8000-000000000000"
	syntheticKeyID    = "20260101t000000z-bench"
	syntheticAudience = "https://shop.example.com"
	tokensANamespace  = 100

	// introspectorIndex is the token of a service that introspects.
	introspectorIndex = 1 << 30
)

var syntheticKey = record.Key{1, 2, 3}

func syntheticUID(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", i) }

// syntheticToken is the i-th token.
func syntheticToken(i int) (token.Plaintext, error) {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(i)) //nolint:gosec // a number of a loop
	return token.Generate(token.DeclaredID(syntheticUID(i), 1), rand.NewChaCha8(seed))
}

// syntheticRecord is the record of the i-th token, issued at an instant.
func syntheticRecord(i int, issued time.Time) (*v1alpha1.TokenRecord, error) {
	made, err := syntheticToken(i)
	if err != nil {
		return nil, err
	}
	namespace, name, age := fmt.Sprintf("team-%d", i/tokensANamespace), fmt.Sprintf("deploy-%d", i), int64(720*time.Hour/time.Second)
	rec := &v1alpha1.TokenRecord{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: made.ID(), UID: types.UID(syntheticUID(-i)), ResourceVersion: "1",
			CreationTimestamp: metav1.NewTime(issued),
		},
		Spec: v1alpha1.TokenRecordSpec{
			AccessTokenName: name, AccessTokenUID: syntheticUID(i), Revision: 1, Origin: v1alpha1.OriginDeclared,
			Subject: v1alpha1.Subject{
				Kind: v1alpha1.SubjectKindAccessToken, Name: v1alpha1.PrincipalPrefix + namespace + ":" + name, UID: syntheticUID(i),
				Groups: []string{v1alpha1.GroupAccessTokens, v1alpha1.GroupAccessTokens + ":" + namespace},
			},
			Scopes: []string{"deploy:shop", "read:registry"}, Audiences: []string{syntheticAudience, "kubernetes"},
			IssuedAt: v1alpha1.NewTimestamp(issued), MaxAgeSeconds: &age,
		},
	}
	if i == introspectorIndex {
		rec.Spec.Scopes, rec.Spec.Audiences = []string{v1alpha1.ScopeIntrospect}, []string{caller.DefaultAudience, syntheticAudience}
	}
	return rec, record.Seal(rec, syntheticKeyID, syntheticKey, syntheticCluster, made.SecretDigest())
}

// syntheticStore holds n tokens and what they depend on.
func syntheticStore(n int) (*store.Store, error) {
	s := store.New(store.Options{
		Opener: record.Opener{Keys: record.KeySet{syntheticKeyID: syntheticKey}, ClusterID: syntheticCluster},
		Clock:  clock.RealClock{},
	})
	issued := time.Now().Truncate(time.Second)
	for i := range n {
		if err := addSynthetic(s, i, issued); err != nil {
			return nil, err
		}
	}
	if err := addSynthetic(s, introspectorIndex, issued); err != nil {
		return nil, err
	}
	if s.Len() != n+1 {
		return nil, fmt.Errorf("%d of %d synthetic records opened: %v", s.Len(), n+1, s.Refused())
	}
	return s, nil
}

func addSynthetic(s *store.Store, i int, issued time.Time) error {
	rec, err := syntheticRecord(i, issued)
	if err != nil {
		return err
	}
	s.PutNamespace(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: rec.Namespace}})
	s.PutOwner(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: rec.Namespace, Name: rec.Spec.AccessTokenName, UID: types.UID(rec.Spec.AccessTokenUID),
	}})
	s.PutRecord(rec)
	return nil
}
