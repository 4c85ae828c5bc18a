package token

import (
	"crypto/sha256"
	"errors"
	mathrand "math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// FuzzParse: no text makes Parse panic; what it accepts has the form that is
// written down, and none of its neighbours is accepted too.
func FuzzParse(f *testing.F) {
	v := readVectors(f)
	for _, good := range v.Tokens {
		f.Add(good.Token)
	}
	for _, broken := range v.Broken {
		f.Add(broken.Token)
	}
	whole := regexp.MustCompile(`\A` + Pattern + `\z`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			if p != (Presented{}) {
				t.Error("refused, and gave something")
			}
			if err != ErrLength && err != ErrPrefix && err != ErrAlphabet && err != ErrChecksum {
				t.Errorf("unknown error %v", err)
			}
			return
		}
		if !whole.MatchString(text) {
			t.Errorf("accepted %q, which the pattern does not match", text)
		}
		if p.ID() != text[4:20] || !ValidID(p.ID()) {
			t.Errorf("ID() = %q of %q", p.ID(), text)
		}
		if p.SecretDigest() != sha256.Sum256([]byte(text[21:64])) {
			t.Errorf("wrong digest of %q", text)
		}
		again, err := Generate(p.ID(), sourceOf(text[21:64]))
		if err != nil || again.Reveal() != text {
			t.Errorf("written again: %q, error %v, want %q", again.Reveal(), err, text)
		}
		refuseNeighbours(t, text)
	})
}

// FuzzGenerate: every generated token reads back, and no edit of one character
// is accepted.
func FuzzGenerate(f *testing.F) {
	f.Add("uid", int64(1), uint64(1), 0, byte('x'))
	f.Add("3f6a1c9e-8f0b-4b0e-9a53-6f1d2c7b8e90", int64(2), uint64(7), 20, byte('-'))
	f.Add("", int64(-1), uint64(0), 69, byte(0xff))
	f.Fuzz(func(t *testing.T, uid string, revision int64, seed uint64, at int, replacement byte) {
		id := DeclaredID(uid, revision)
		made, err := Generate(id, mathrand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)}))
		if err != nil {
			t.Fatal(err)
		}
		text := made.Reveal()
		read, err := Parse(text)
		if err != nil || read.ID() != id || read.SecretDigest() != made.SecretDigest() {
			t.Fatalf("%s does not read back: %v", text, err)
		}
		at = int(uint(at) % uint(len(text)))
		refuse(t, text, text[:at]+string([]byte{replacement})+text[at+1:])
		refuse(t, text, text[:at]+string([]byte{replacement})+text[at:])
		refuse(t, text, text[:at]+text[at+1:])
	})
}

// refuseNeighbours edits each character to each other one of the alphabet and
// some outside. CRC-32 finds every error within 32 bits, so none may pass.
func refuseNeighbours(t *testing.T, text string) {
	for at := range len(text) {
		for _, replacement := range []byte(base62Alphabet + "_-+/= \x00\xff") {
			edited := []byte(text)
			edited[at] = replacement
			refuse(t, text, string(edited))
		}
		// A swap of the secret's last character with the checksum's first is no
		// error within 32 bits, and only very likely found.
		if at > 0 && at != Length-ChecksumLength {
			swapped := []byte(text)
			swapped[at-1], swapped[at] = swapped[at], swapped[at-1]
			refuse(t, text, string(swapped))
		}
	}
}

func refuse(t *testing.T, text, edited string) {
	t.Helper()
	if edited == text {
		return
	}
	if _, err := Parse(edited); err == nil {
		t.Errorf("accepted %q beside %q", edited, text)
	} else if errors.Is(err, ErrLength) != (len(edited) != Length) {
		t.Errorf("%q: error %v", edited, err)
	}
}

func TestNoNeighbourOfAKnownTokenIsAccepted(t *testing.T) {
	for _, v := range readVectors(t).Tokens {
		refuseNeighbours(t, v.Token)
	}
	if _, err := Parse(strings.Repeat("a", 1<<20)); err != ErrLength {
		t.Errorf("a megabyte: error %v", err)
	}
}

// FuzzIn: a token is found wherever it is, and nothing else is.
func FuzzIn(f *testing.F) {
	v := readVectors(f)
	f.Add("", "")
	f.Add("a=", "&b")
	f.Add("kat_", "kat_kat_")
	f.Add(v.Broken[0].Token, v.Broken[len(v.Broken)-1].Token)
	token := v.Tokens[4].Token
	f.Add(token[:40], token[30:])
	f.Fuzz(func(t *testing.T, before, after string) {
		if !In(before + token + after) {
			t.Errorf("not found between %q and %q", before, after)
		}
		text, naive := before+after, false
		for at := range max(0, len(text)-Length+1) {
			_, err := Parse(text[at : at+Length])
			naive = naive || err == nil
		}
		if In(text) != naive {
			t.Errorf("In(%q) = %v", text, !naive)
		}
	})
}

func TestInAllocatesNothing(t *testing.T) {
	text := strings.Repeat("kat_", 100) + readVectors(t).Tokens[4].Token
	if n := testing.AllocsPerRun(100, func() { _ = In(text) }); n != 0 || !In(text) {
		t.Errorf("%v allocations, found %v", n, In(text))
	}
}
