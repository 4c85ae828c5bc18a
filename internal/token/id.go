package token

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
)

// idLabel separates the derivation of IDs from every other use of SHA-256, and
// numbers it.
const idLabel = "accesstoken.dev/id/v1\x00"

var idEncoding = base32.NewEncoding(base32Alphabet).WithPadding(base32.NoPadding)

// ID is a token ID as a value that maps and tables can be keyed by. The zero ID is
// none.
type ID [IDLength]byte

// ParseID reads a token ID. It fails with ErrID.
func ParseID(text string) (ID, error) {
	if !ValidID(text) {
		return ID{}, ErrID
	}
	return ID([]byte(text)), nil
}

// String returns the ID; empty for none.
func (id ID) String() string {
	if id == (ID{}) {
		return ""
	}
	return string(id[:])
}

// DeclaredID returns the ID of the token that the AccessToken with this UID
// gets as this revision, which counts from 1. It is the first 80 bits of a
// SHA-256, so that everybody who issues the same revision arrives at the same
// name, and the API server lets only one of them create it. It is no secret.
func DeclaredID(uid string, revision int64) string {
	input := make([]byte, 0, len(idLabel)+36+8)
	input = append(input, idLabel...)
	input = append(input, uid...)
	input = binary.BigEndian.AppendUint64(input, uint64(revision))
	sum := sha256.Sum256(input)
	return idEncoding.EncodeToString(sum[:10])
}

// ValidID reports whether a text has the form of a token ID: 16 characters of
// lower-case base32, which is also a valid name of a Kubernetes object.
func ValidID(id string) bool {
	return len(id) == IDLength && consistsOf(id, inBase32)
}
