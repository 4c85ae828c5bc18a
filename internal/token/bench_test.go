package token

import (
	"crypto/rand"
	"testing"
)

func BenchmarkGenerate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Generate(someID, rand.Reader); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text := readVectors(b).Tokens[4].Token
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseRefused(b *testing.B) {
	text := readVectors(b).Tokens[4].Token[:Length-1] + "!"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != ErrAlphabet {
			b.Fatal(err)
		}
	}
}

func BenchmarkDeclaredID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		DeclaredID("3f6a1c9e-8f0b-4b0e-9a53-6f1d2c7b8e90", 1)
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	v := readVectors(t)
	known := map[string]bool{v.Tokens[4].ID: true}
	texts := []string{v.Tokens[4].Token, v.Broken[0].Token, v.Broken[len(v.Broken)-1].Token}
	for _, text := range texts {
		if n := testing.AllocsPerRun(100, func() {
			p, _ := Parse(text)
			_ = known[p.ID()]
			_ = p.SecretDigest()
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}
