package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"

	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// shortest is the least length of what is searched for: shorter ones are found
// by chance.
const shortest = 20

// base64Forms are what shows of b in the base64 of any text that holds it,
// wherever in the text it begins.
func base64Forms(b []byte) []string {
	var forms []string
	for before := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), b...))
		encoded = encoded[[]int{0, 2, 3}[before]:] // characters that hold bits of what came before
		if (before+len(b))*8%6 != 0 {
			encoded = encoded[:len(encoded)-1] // and of what comes after
		}
		forms = append(forms, encoded, strings.NewReplacer("+", "-", "/", "_").Replace(encoded))
	}
	return forms
}

// forms are all in which b is searched for.
func forms(b []byte) []string {
	return append(base64Forms(b), string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)))
}

// needles are what must be found nowhere, each with what it is.
type needles map[string]string

func (n needles) add(what string, b []byte) {
	for _, form := range forms(b) {
		if len(form) >= shortest {
			n[form] = what
		}
	}
}

// addToken adds a token, its secret alone, and the digest that it is verified
// by.
func (n needles) addToken(text string) {
	presented, err := token.Parse(text)
	if err != nil {
		panic(err) // it was found by the pattern of tokens
	}
	digest := presented.SecretDigest()
	n.add("token "+presented.ID(), []byte(text))
	n.add("the secret of token "+presented.ID(), []byte(text[len(token.Prefix)+token.IDLength+1:]))
	n.add("the digest of token "+presented.ID(), digest[:])
}

// find names what was found where.
func (n needles) find(haystacks map[string][]byte) []string {
	found := map[string]bool{}
	for place, content := range haystacks {
		for needle, what := range n {
			if bytes.Contains(content, []byte(needle)) {
				found[what+" in "+place] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func TestSearchFindsEveryForm(t *testing.T) {
	g := gomega.NewWithT(t)
	secret := []byte("kat_abcdefghijklmnop_0123456789abcdefghijABCDEFGHIJ0123456789abcdef")
	n := needles{}
	n.add("it", secret)
	for before := range 4 {
		for after := range 4 {
			text := slices.Concat(bytes.Repeat([]byte("?"), before), secret, bytes.Repeat([]byte("~"), after))
			for name, encoded := range map[string]string{
				"plain": string(text), "hex": hex.EncodeToString(text), "base64": base64.StdEncoding.EncodeToString(text), "base64 for URLs": base64.RawURLEncoding.EncodeToString(text),
			} {
				g.Expect(n.find(map[string][]byte{"here": []byte("…" + encoded + "…")})).To(gomega.Equal([]string{"it in here"}), "%s with %d before and %d after", name, before, after)
			}
		}
	}
	g.Expect(n.find(map[string][]byte{"here": []byte("kat_abcdefghijklmnop is its ID")})).To(gomega.BeEmpty())
}
