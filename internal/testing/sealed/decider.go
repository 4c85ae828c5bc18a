package sealed

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// DefaultAudience is that of tokens without one, at a Decider.
const DefaultAudience = "accesstoken.dev"

// Decider decides about tokens by their records, as a verifier does that has
// seen them, their AccessTokens and their namespaces. The store takes in what
// changes.
func Decider(now clock.PassiveClock, records ...*v1alpha1.TokenRecord) (*verify.Decider, *store.Store) {
	s := store.New(store.Options{Opener: Opener(), Clock: now})
	for _, rec := range records {
		s.PutNamespace(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: rec.Namespace}})
		s.PutOwner(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: rec.Namespace, Name: rec.Spec.AccessTokenName, UID: types.UID(rec.Spec.AccessTokenUID),
		}})
		s.PutRecord(rec)
	}
	return &verify.Decider{
		Index: s, Clock: now, DefaultAudience: DefaultAudience,
		Fresh: func(time.Time) error { return nil },
	}, s
}
