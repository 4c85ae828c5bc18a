package record

import (
	"crypto/sha256"
	"crypto/subtle"
)

// Labels separate the two uses of a key from each other and from any later one,
// and number them.
const (
	sealLabel = "accesstoken.dev/seal/v1\x00"
	hashLabel = "accesstoken.dev/token/v1\x00"
)

// digest is a SHA-256 or an HMAC-SHA-256.
type digest = [sha256.Size]byte

// sealOf returns the seal of a record whose encoding has this digest.
func sealOf(key *Key, canonical *digest) digest {
	return hmacSHA256(key, sealLabel, canonical[:], nil)
}

// hashOf returns the hash of a secret in such a record.
func hashOf(key *Key, canonical, secret *digest) digest {
	return hmacSHA256(key, hashLabel, canonical[:], secret[:])
}

// hmacSHA256 returns HMAC-SHA-256 (RFC 2104) over label ‖ first ‖ second. The
// library's costs seven allocations and twice the time, on the path that every
// request takes; a test holds this one against it.
func hmacSHA256(key *Key, label string, first, second []byte) digest {
	// Both are on the stack as long as the capacity, a constant, is enough.
	inner := make([]byte, sha256.BlockSize, sha256.BlockSize+len(hashLabel)+2*sha256.Size)
	outer := make([]byte, sha256.BlockSize, sha256.BlockSize+sha256.Size)
	copy(inner, key[:])
	copy(outer, key[:])
	subtle.XORBytes(inner, inner, innerPad[:])
	subtle.XORBytes(outer, outer, outerPad[:])

	inner = append(inner, label...)
	inner = append(inner, first...)
	inner = append(inner, second...)
	sum := sha256.Sum256(inner)
	outer = append(outer, sum[:]...)
	return sha256.Sum256(outer)
}

var innerPad, outerPad = pad(0x36), pad(0x5c)

func pad(b byte) (block [sha256.BlockSize]byte) {
	for i := range block {
		block[i] = b
	}
	return block
}
