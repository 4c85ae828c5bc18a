package leak

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

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

// Needles are what must be found nowhere, each with what it is. Fill them with Add.
type Needles map[string]string

// Add adds bytes in every form in which they may be written down.
func (n Needles) Add(what string, b []byte) {
	for _, form := range forms(b) {
		if len(form) >= shortest {
			n[form] = what
		}
	}
}

// AddToken adds a token, its secret alone, and the digest that it is verified by.
// It panics for what is no token.
func (n Needles) AddToken(text string) {
	presented, err := token.Parse(text)
	if err != nil {
		panic(err)
	}
	digest := presented.SecretDigest()
	n.Add("token "+presented.ID(), []byte(text))
	n.Add("the secret of token "+presented.ID(), []byte(text[len(token.Prefix)+token.IDLength+1:]))
	n.Add("the digest of token "+presented.ID(), digest[:])
}

// Find names what was found where: haystacks are named by their place.
func (n Needles) Find(haystacks map[string][]byte) []string {
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
