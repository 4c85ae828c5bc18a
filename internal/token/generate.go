package token

import (
	"crypto/sha256"
	"fmt"
	"io"
)

// Plaintext is a token that was just made, whole. Reveal is the only way to its
// text: whatever prints, logs or encodes a Plaintext gets its ID and a
// redaction. The zero Plaintext is no token, and reveals nothing.
type Plaintext struct {
	id     string
	digest [sha256.Size]byte
	// A function, because no printer that works by reflection looks into one:
	// neither fmt, when a Plaintext is an unexported field and its methods
	// cannot be called, nor those that follow pointers.
	reveal func() string
}

// Generate makes a token with this ID and a secret of 256 bits from random,
// which outside tests is crypto/rand.Reader. It fails with ErrID for a
// malformed ID, and when random fails or ends early.
func Generate(id string, random io.Reader) (Plaintext, error) {
	if !ValidID(id) {
		return Plaintext{}, ErrID
	}
	secret, err := randomBase62(random)
	if err != nil {
		return Plaintext{}, fmt.Errorf("generate token %s: %w", id, err)
	}
	covered := Prefix + id + string(separator) + string(secret[:])
	sum := checksum(covered)
	text := covered + string(sum[:])
	return Plaintext{
		id:     id,
		digest: sha256.Sum256(secret[:]),
		reveal: func() string { return text },
	}, nil
}

// Reveal returns the text of the token, to be put into a Secret and nowhere
// else.
func (p Plaintext) Reveal() string {
	if p.reveal == nil {
		return ""
	}
	return p.reveal()
}

// ID returns the token's ID, which may be logged.
func (p Plaintext) ID() string { return p.id }

// SecretDigest returns the SHA-256 of the secret's 43 characters, which is what
// a record is sealed with.
func (p Plaintext) SecretDigest() [sha256.Size]byte { return p.digest }

const (
	// Bytes from here on are passed over: 248 is the greatest multiple of 62 in
	// a byte, so that every character comes from exactly four of the others.
	base62Bound = 62 * (256 / 62)

	// drawSize is read at a time. One token in 10^16 needs a
	// second read.
	drawSize = 64

	// maxDraws ends the loop over a source that gives only unusable bytes.
	maxDraws = 16
)

// randomBase62 draws characters that are uniform and independent if the bytes
// are.
func randomBase62(random io.Reader) (secret [SecretLength]byte, err error) {
	drawn := make([]byte, drawSize)
	filled := 0
	for range maxDraws {
		if _, err := io.ReadFull(random, drawn); err != nil {
			return secret, fmt.Errorf("read %d random bytes: %w", drawSize, err)
		}
		for _, b := range drawn {
			if b >= base62Bound {
				continue
			}
			secret[filled] = base62Alphabet[b%62]
			filled++
			if filled == SecretLength {
				return secret, nil
			}
		}
	}
	return secret, ErrRandom
}
