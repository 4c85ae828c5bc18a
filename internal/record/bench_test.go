package record

import (
	"testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

func BenchmarkSeal(b *testing.B) {
	v := vectorNamed(b, fullVector)
	rec, key, secret := v.unsealed(b), v.key(), v.secretDigest()
	b.ReportAllocs()
	for b.Loop() {
		if err := Seal(rec, v.KeyID, key, v.ClusterID, secret); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	v := vectorNamed(b, fullVector)
	rec, opener := v.sealed(b), v.opener()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := opener.Open(rec); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	v := vectorNamed(b, fullVector)
	sealed, err := v.opener().Open(v.sealed(b))
	if err != nil {
		b.Fatal(err)
	}
	secret := v.secretDigest()
	b.ReportAllocs()
	for b.Loop() {
		if !sealed.Verify(secret) {
			b.Fatal("not verified")
		}
	}
}

// BenchmarkParseAndVerify is what one presented token costs, look-up aside.
func BenchmarkParseAndVerify(b *testing.B) {
	const text = "kat_tmg4q6xlfs536ssw_xQ7mB2vTnK9cLr4WfZ0sYd3HjGp8uEaR6iNoCkV1tXy2OZfLG"
	v := vectorNamed(b, fullVector)
	sealed, err := v.opener().Open(v.sealed(b))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		presented, err := token.Parse(text)
		if err != nil || !sealed.Verify(presented.SecretDigest()) {
			b.Fatal("not verified", err)
		}
	}
}

func BenchmarkEnds(b *testing.B) {
	rec := vectorNamed(b, fullVector).sealed(b)
	now := issuedAt(b, rec)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Ends(rec, now); err != nil {
			b.Fatal(err)
		}
	}
}
