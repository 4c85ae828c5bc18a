package leak_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/onsi/gomega"

	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/leak"
)

func TestSearchFindsEveryForm(t *testing.T) {
	g := gomega.NewWithT(t)
	secret := []byte("kat_abcdefghijklmnop_0123456789abcdefghijABCDEFGHIJ0123456789abcdef")
	n := leak.Needles{}
	n.Add("it", secret)
	for before := range 4 {
		for after := range 4 {
			text := slices.Concat(bytes.Repeat([]byte("?"), before), secret, bytes.Repeat([]byte("~"), after))
			for name, encoded := range map[string]string{
				"plain": string(text), "hex": hex.EncodeToString(text), "base64": base64.StdEncoding.EncodeToString(text), "base64 for URLs": base64.RawURLEncoding.EncodeToString(text),
			} {
				g.Expect(n.Find(map[string][]byte{"here": []byte("…" + encoded + "…")})).To(gomega.Equal([]string{"it in here"}), "%s with %d before and %d after", name, before, after)
			}
		}
	}
	g.Expect(n.Find(map[string][]byte{"here": []byte("kat_abcdefghijklmnop is its ID")})).To(gomega.BeEmpty())
}
