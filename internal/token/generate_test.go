package token

import (
	"bytes"
	"crypto/rand"
	"errors"
	"hash/crc32"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

const someID = "tmg4q6xlfs536ssw"

// sourceOf returns random bytes from which Generate makes this secret.
func sourceOf(secret string) io.Reader {
	drawn := make([]byte, drawSize)
	for i := range len(secret) {
		drawn[i] = byte(strings.IndexByte(base62Alphabet, secret[i]))
	}
	return bytes.NewReader(drawn)
}

func TestGeneratedTokensParseToTheSameIDAndDigest(t *testing.T) {
	made, err := Generate(someID, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	read, err := Parse(made.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if read.ID() != someID || made.ID() != someID {
		t.Errorf("IDs %s and %s, want %s", made.ID(), read.ID(), someID)
	}
	if read.SecretDigest() != made.SecretDigest() {
		t.Error("the digests differ")
	}
	if len(made.Reveal()) != Length {
		t.Errorf("length %d, want %d", len(made.Reveal()), Length)
	}
}

func TestGenerateRefusesMalformedIDsWithoutRepeatingThem(t *testing.T) {
	for name, id := range map[string]string{
		"an empty one":                   "",
		"one that is a character short":  someID[1:],
		"one that is a character long":   someID + "a",
		"upper case":                     strings.ToUpper(someID),
		"a digit outside of base32":      "1" + someID[1:],
		"a whole token passed by error":  readVectors(t).Tokens[0].Token,
		"bytes that are no text":         "\xff" + someID[1:],
		"an underscore in place of some": "_" + someID[1:],
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Generate(id, rand.Reader)
			if !errors.Is(err, ErrID) {
				t.Fatalf("error = %v, want %v", err, ErrID)
			}
			if id != "" && strings.Contains(err.Error(), id) {
				t.Errorf("the error %q repeats the text", err)
			}
			if p.Reveal() != "" || p.ID() != "" {
				t.Error("a refused ID gave a token")
			}
		})
	}
}

func TestGeneratePassesOverBytesThatWouldBias(t *testing.T) {
	drawn := make([]byte, 0, 2*drawSize)
	for b := base62Bound; b < 256; b++ {
		drawn = append(drawn, byte(b))
	}
	// After eight unusable bytes come as many usable ones as are needed, the
	// greatest that is used among them.
	drawn = append(drawn, base62Bound-1)
	drawn = append(drawn, make([]byte, drawSize)...)
	p, err := Generate(someID, bytes.NewReader(drawn))
	if err != nil {
		t.Fatal(err)
	}
	want := "z" + strings.Repeat("0", SecretLength-1)
	if secret := p.Reveal()[len(Prefix)+secretStart:][:SecretLength]; secret != want {
		t.Errorf("secret = %s, want %s", secret, want)
	}
}

func TestGenerateReadsOnWhenTooFewBytesAreUsable(t *testing.T) {
	drawn := append(bytes.Repeat([]byte{0xff}, drawSize), make([]byte, drawSize)...)
	p, err := Generate(someID, bytes.NewReader(drawn))
	if err != nil {
		t.Fatal(err)
	}
	if secret := p.Reveal()[len(Prefix)+secretStart:][:SecretLength]; secret != strings.Repeat("0", SecretLength) {
		t.Errorf("secret = %s, want zeros", secret)
	}
}

// repeated is an endless source of one byte.
type repeated byte

func (b repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func TestGenerateFailsWhenTheSourceDoes(t *testing.T) {
	broken := errors.New("no entropy")
	for name, c := range map[string]struct {
		random io.Reader
		want   error
	}{
		"an empty source":                 {bytes.NewReader(nil), io.EOF},
		"a source that ends early":        {bytes.NewReader(make([]byte, drawSize-1)), io.ErrUnexpectedEOF},
		"a source that fails":             {iotest.ErrReader(broken), broken},
		"a source that fails later":       {io.MultiReader(bytes.NewReader(make([]byte, 10)), iotest.ErrReader(broken)), broken},
		"a source of unusable bytes only": {repeated(0xff), ErrRandom},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Generate(someID, c.random)
			if !errors.Is(err, c.want) {
				t.Errorf("error = %v, want %v", err, c.want)
			}
			if p.Reveal() != "" {
				t.Error("a failed source gave a token")
			}
		})
	}
}

func TestGenerateTakesShortReadsAsTheyCome(t *testing.T) {
	p, err := Generate(someID, iotest.OneByteReader(repeated(1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(p.Reveal()); err != nil {
		t.Error(err)
	}
}

func TestPatternFindsTokensAndNothingElse(t *testing.T) {
	pattern := regexp.MustCompile(Pattern)
	for _, v := range readVectors(t).Tokens {
		for _, text := range []string{v.Token, "machine git.example.com password " + v.Token + "\n", "x" + v.Token + "y", `{"auth":"` + v.Token + `"}`} {
			if got := pattern.FindString(text); got != v.Token {
				t.Errorf("found %q in %q", got, text)
			}
		}
		p, err := Parse(v.Token)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{v.ID, v.Secret, p.String(), strings.ToUpper(v.Token), v.Token[:Length-1]} {
			if pattern.MatchString(text) {
				t.Errorf("found something in %q", text)
			}
		}
	}
}

func TestParseReadsEveryAcceptedPrefix(t *testing.T) {
	prefixes := []string{Prefix, "kat_test_", "kit_"}
	for _, prefix := range prefixes {
		covered := prefix + someID + "_" + strings.Repeat("a", SecretLength)
		sum := checksum(covered)
		p, err := parse(covered+string(sum[:]), prefixes)
		if err != nil || p.ID() != someID {
			t.Errorf("prefix %s: ID %q, error %v", prefix, p.ID(), err)
		}
		if _, err := parse(covered+"000000", prefixes); err != ErrChecksum {
			t.Errorf("prefix %s with a wrong checksum: error %v", prefix, err)
		}
	}
	covered := "kot_" + someID + "_" + strings.Repeat("a", SecretLength)
	sum := checksum(covered)
	if _, err := parse(covered+string(sum[:]), prefixes); err != ErrPrefix {
		t.Errorf("unknown prefix: error %v", err)
	}
}

func TestDeclaredIDsDifferForEachUIDAndRevision(t *testing.T) {
	seen := map[string]bool{}
	for _, uid := range []string{"a", "b", "a\x00", "a\x00\x00\x00\x00\x00\x00\x00\x01"} {
		for revision := int64(1); revision <= 1000; revision++ {
			id := DeclaredID(uid, revision)
			if seen[id] || !ValidID(id) {
				t.Fatalf("%s for UID %q revision %d: seen before or malformed", id, uid, revision)
			}
			seen[id] = true
		}
	}
}

func TestTheCRCIsTheLibrarys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		if got, want := crc32Of(string(text)), crc32.ChecksumIEEE(text); got != want {
			t.Fatalf("%x, want %x", got, want)
		}
	})
}
