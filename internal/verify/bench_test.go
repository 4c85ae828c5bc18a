package verify_test

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	mathrand "math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// BenchmarkVerify compares a decision about a good token with the least that any
// verifier of hashed tokens does, in the same run: SHA-256 of 60 bytes, a look-up
// in a map and a comparison in constant time. The tokens are walked at random, so
// that what memory costs shows.
func BenchmarkVerify(b *testing.B) {
	for _, tokens := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("tokens=%d", tokens), func(b *testing.B) {
			texts, decider := loaded(b, tokens)
			b.Run("floor", func(b *testing.B) { benchmarkFloor(b, texts) })
			b.Run("verify", func(b *testing.B) { benchmarkVerify(b, decider, texts, "") })
		})
	}
}

// BenchmarkBeforeTheMAC shows that a token that is not there, one whose secret is
// wrong and a good one cost the same, and so tell nothing of each other.
func BenchmarkBeforeTheMAC(b *testing.B) {
	const tokens = 1_000 // few, so that they stay near and no miss of a cache shows
	texts, decider := loaded(b, tokens)
	wrong, unknown := make([]string, tokens), make([]string, tokens)
	for i := range texts {
		_, unknown[i] = mint.Record(b, "shop", fmt.Sprintf("unknown-%d", i), issued)
		wrong[i] = mint.Unissued(b, texts[i][4:20])
	}
	b.Run("good", func(b *testing.B) { benchmarkVerify(b, decider, texts, "") })
	b.Run("wrong-secret", func(b *testing.B) { benchmarkVerify(b, decider, wrong, verify.ReasonWrongSecret) })
	b.Run("unknown", func(b *testing.B) { benchmarkVerify(b, decider, unknown, verify.ReasonUnknown) })
}

func benchmarkVerify(b *testing.B, decider *verify.Decider, texts []string, want verify.Reason) {
	b.ReportAllocs()
	request := verify.Request{Audiences: []string{ours}}
	ctx := context.Background()
	for i := 0; b.Loop(); i++ {
		request.Token = texts[i%len(texts)]
		if verdict, err := decider.Verify(ctx, request); err != nil || verdict.Reason != want {
			b.Fatalf("%q, %v, want %q", verdict.Reason, err, want)
		}
	}
}

func benchmarkFloor(b *testing.B, texts []string) {
	known := make(map[[16]byte][sha256.Size]byte, len(texts))
	for _, text := range texts {
		known[[16]byte([]byte(text[4:20]))] = sha256.Sum256([]byte(text[:60]))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		text := texts[i%len(texts)]
		var id [16]byte
		var input [60]byte
		copy(id[:], text[4:])
		copy(input[:], text)
		sum, stored := sha256.Sum256(input[:]), known[id]
		if subtle.ConstantTimeCompare(sum[:], stored[:]) != 1 {
			b.Fatal("not found")
		}
	}
}

// loaded is a verifier of so many tokens, and their texts in random order.
func loaded(b *testing.B, tokens int) ([]string, *verify.Decider) {
	b.Helper()
	made := store.New(store.Options{Opener: mint.Default().Opener(), Clock: clock.RealClock{}})
	texts := make([]string, tokens)
	for i := range texts {
		namespace, name := fmt.Sprintf("team-%d", i%500), fmt.Sprintf("deploy-%d", i)
		rec, text := mint.Record(b, namespace, name, issued)
		texts[i] = text
		owner := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: mint.UID(namespace, name)}}
		made.PutOwner(owner)
		made.PutRecord(rec)
		if i < 500 {
			made.PutNamespace(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
		}
	}
	mathrand.New(mathrand.NewPCG(1, 2)).Shuffle(tokens, func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
	freshness := &store.Freshness{}
	for _, kind := range store.Kinds() {
		freshness.Hear(kind, clock.RealClock{}.Now())
	}
	return texts, &verify.Decider{
		Index: made, Clock: clock.RealClock{}, DefaultAudience: ours,
		Fresh: func(now time.Time) error { return freshness.Check(now, time.Hour) },
	}
}
