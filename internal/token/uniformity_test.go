package token

import (
	"crypto/rand"
	"io"
	"math"
	mathrand "math/rand/v2"
	"strings"
	"testing"
)

// counts says how often each character stood at each position of the secret.
type counts [SecretLength][62]int

func countSecrets(t *testing.T, tokens int, random io.Reader) *counts {
	t.Helper()
	var c counts
	for range tokens {
		p, err := Generate(someID, random)
		if err != nil {
			t.Fatal(err)
		}
		secret := p.Reveal()[len(Prefix)+secretStart:][:SecretLength]
		for position := range SecretLength {
			c[position][strings.IndexByte(base62Alphabet, secret[position])]++
		}
	}
	return &c
}

// chiSquare returns the statistic of each position, which has 61 degrees of
// freedom, and their sum, which has 43 times as many.
func (c *counts) chiSquare(tokens int) (each [SecretLength]float64, sum float64) {
	expected := float64(tokens) / 62
	for position := range c {
		for _, count := range c[position] {
			difference := float64(count) - expected
			each[position] += difference * difference / expected
		}
		sum += each[position]
	}
	return each, sum
}

// The chance that a uniform generator fails, each of the 43 positions and the
// sum's two sides taken together, is under 1e-9.
const uniformityTests = SecretLength + 2

// chiSquareBounds are those of Laurent and Massart (2000, lemma 1): a
// chi-square variable with k degrees of freedom leaves either side with a
// probability of at most exp(-x).
func chiSquareBounds(degrees float64) (low, high float64) {
	x := math.Log(uniformityTests / 1e-9)
	return degrees - 2*math.Sqrt(degrees*x), degrees + 2*math.Sqrt(degrees*x) + 2*x
}

// uniform reports whether the counts look like those of a uniform generator.
func (c *counts) uniform(tokens int) bool {
	each, sum := c.chiSquare(tokens)
	_, high := chiSquareBounds(61)
	for _, statistic := range each {
		if statistic > high {
			return false
		}
	}
	low, high := chiSquareBounds(61 * SecretLength)
	return low <= sum && sum <= high
}

const uniformityTokens = 20_000

func TestCharactersAreUniformAtEveryPosition(t *testing.T) {
	for name, random := range map[string]io.Reader{
		"from a seeded generator": mathrand.NewChaCha8([32]byte([]byte("the same bytes on every machine."))),
		"from crypto/rand":        rand.Reader,
	} {
		t.Run(name, func(t *testing.T) {
			c := countSecrets(t, uniformityTokens, random)
			if !c.uniform(uniformityTokens) {
				each, sum := c.chiSquare(uniformityTokens)
				t.Errorf("not uniform: sum %.1f, by position %.1f", sum, each)
			}
		})
	}
}

func TestTheUniformityTestNoticesBias(t *testing.T) {
	random := mathrand.NewChaCha8([32]byte{})
	draw := func() int {
		var b [1]byte
		_, _ = random.Read(b[:])
		return int(b[0])
	}
	for name, character := range map[string]func(token, position int) int{
		"a byte modulo 62":               func(_, _ int) int { return draw() % 62 },
		"one position always the same":   func(_, position int) int { return map[bool]int{true: 7, false: draw() % 31 * 2}[position == 9] },
		"a counter, too even for chance": func(token, position int) int { return (token + position) % 62 },
	} {
		var c counts
		for token := range uniformityTokens {
			for position := range SecretLength {
				c[position][character(token, position)]++
			}
		}
		if c.uniform(uniformityTokens) {
			t.Errorf("%s: taken for uniform", name)
		}
	}
}
