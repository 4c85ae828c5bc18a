package token

import (
	"crypto/sha256"
	"strings"
)

// Presented is a token that somebody presented and that has the form of one.
// It is not proof of anything: the ID and the secret may be made up. It keeps
// the digest of the secret and lets the text go, so that what holds a Presented
// holds no token. The zero Presented is no token.
type Presented struct {
	id     ID
	digest [sha256.Size]byte
}

// Parse reads a token as it was presented, without white space around it. It
// fails with ErrLength, ErrPrefix, ErrAlphabet or ErrChecksum, in this order,
// and hashes nothing before all four hold. No error has any part of the text in
// it. It does not allocate.
func Parse(text string) (Presented, error) {
	return parse(text, accepted)
}

// In reports whether a token is somewhere in a text. It goes by the form and the
// checksum: whether the token is good is not known here. It does not allocate.
func In(text string) bool {
	for _, prefix := range accepted {
		for rest := text; ; {
			start := strings.Index(rest, prefix)
			if start < 0 {
				break
			}
			rest = rest[start:]
			if end := len(prefix) + bodyLength; len(rest) >= end {
				if _, err := Parse(rest[:end]); err == nil {
					return true
				}
			}
			rest = rest[1:]
		}
	}
	return false
}

func parse(text string, prefixes []string) (Presented, error) {
	start, err := prefixLength(text, prefixes)
	if err != nil {
		return Presented{}, err
	}
	body := text[start:]
	id, secret := body[:IDLength], body[secretStart:secretEnd]
	if !consistsOf(id, inBase32) || body[IDLength] != separator || !consistsOf(body[secretStart:], inBase62) {
		return Presented{}, ErrAlphabet
	}
	if sum := checksum(text[:start+secretEnd]); string(sum[:]) != body[secretEnd:] {
		return Presented{}, ErrChecksum
	}

	var p Presented
	copy(p.id[:], id)
	var characters [SecretLength]byte // on the stack, where a []byte(secret) would not be
	copy(characters[:], secret)
	p.digest = sha256.Sum256(characters[:])
	return p, nil
}

// prefixLength returns the length of the accepted prefix that text begins with.
func prefixLength(text string, prefixes []string) (int, error) {
	err := ErrLength
	for _, prefix := range prefixes {
		if len(text) != len(prefix)+bodyLength {
			continue
		}
		if text[:len(prefix)] == prefix {
			return len(prefix), nil
		}
		err = ErrPrefix
	}
	return 0, err
}

// ID returns the ID that the token claims. It may be logged; only a token that
// verified proves that it is the ID's.
func (p Presented) ID() string { return p.id.String() }

// Key returns the same ID as a value to look up by, without allocating. It is the
// zero ID for no token.
func (p Presented) Key() ID { return p.id }

// SecretDigest returns the SHA-256 of the secret's 43 characters, which is what
// a record verifies. Handle it as a secret all the same.
func (p Presented) SecretDigest() [sha256.Size]byte { return p.digest }
