package token

import (
	"errors"
	"hash/crc32"
)

const (
	// Prefix begins every issued token. It names the product and version 1 of
	// the format; another layout gets another prefix.
	Prefix = "kat_"

	// IDLength is the length of a token ID in characters, 80 bits.
	IDLength = 16

	// SecretLength is the length of the secret in characters. 43 characters of
	// an alphabet of 62 carry 256 bits.
	SecretLength = 43

	// ChecksumLength is the length of the checksum in characters, the fewest of
	// an alphabet of 62 that hold 32 bits.
	ChecksumLength = 6

	// Length is the length of a token with Prefix, in characters.
	Length = len(Prefix) + bodyLength

	// Pattern is a regular expression that finds a token in any text. It has no
	// word boundaries, so that a token glued to other text is found too: a hit
	// that is no token fails the checksum in Parse.
	Pattern = Prefix + `[a-z2-7]{16}_[0-9A-Za-z]{49}`
)

// What follows the prefix.
const (
	separator   = '_'
	secretStart = IDLength + 1
	secretEnd   = secretStart + SecretLength
	bodyLength  = secretEnd + ChecksumLength
)

const (
	base32Alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	base62Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// accepted are the prefixes that Parse reads. What follows a prefix has a fixed
// length, so that one may begin with another: kat_ and kat_test_.
var accepted = []string{Prefix}

var (
	// ErrID says that a text is not a token ID.
	ErrID = errors.New("not a token ID: it has 16 characters out of a to z and 2 to 7")

	// ErrLength says that a text is too long or too short to be a token.
	ErrLength = errors.New("not a token: wrong length")

	// ErrPrefix says that a text does not begin as a token does.
	ErrPrefix = errors.New("not a token: unknown prefix")

	// ErrAlphabet says that a text has a character where a token cannot.
	ErrAlphabet = errors.New("not a token: character out of place")

	// ErrChecksum says that a text looks like a token but was mistyped, cut or
	// made up.
	ErrChecksum = errors.New("not a token: wrong checksum")

	// ErrRandom says that a source of random bytes gave nothing that is usable.
	ErrRandom = errors.New("random source gives no usable bytes")
)

// checksum returns the CRC-32 (IEEE) of text as six base62 digits, the most
// significant first.
func checksum(text string) [ChecksumLength]byte {
	crc := crc32Of(text)
	var digits [ChecksumLength]byte
	for i := ChecksumLength - 1; i >= 0; i-- {
		digits[i] = base62Alphabet[crc%62]
		crc /= 62
	}
	return digits
}

// crc32Of is the library's CRC-32, which would have the text copied to the heap:
// eight bytes at a time (slicing-by-8), as it does where the machine has no
// instruction for it. A test holds the one against the other.
func crc32Of(text string) uint32 {
	crc := ^uint32(0)
	for ; len(text) >= 8; text = text[8:] {
		crc ^= uint32(text[0]) | uint32(text[1])<<8 | uint32(text[2])<<16 | uint32(text[3])<<24
		crc = slicing[0][text[7]] ^ slicing[1][text[6]] ^ slicing[2][text[5]] ^ slicing[3][text[4]] ^
			slicing[4][crc>>24] ^ slicing[5][crc>>16&0xff] ^ slicing[6][crc>>8&0xff] ^ slicing[7][crc&0xff]
	}
	for i := range len(text) {
		crc = slicing[0][byte(crc)^text[i]] ^ crc>>8
	}
	return ^crc
}

// slicing has at [n][b] what the byte b does to a CRC-32 that n further bytes of
// zero follow.
var slicing = func() (tables [8]crc32.Table) {
	tables[0] = *crc32.IEEETable
	for n := 1; n < len(tables); n++ {
		for b, crc := range tables[n-1] {
			tables[n][b] = tables[0][byte(crc)] ^ crc>>8
		}
	}
	return tables
}()

// consistsOf reports whether every byte of text is in the alphabet.
func consistsOf(text string, alphabet *[256]bool) bool {
	for i := range len(text) {
		if !alphabet[text[i]] {
			return false
		}
	}
	return true
}

var (
	inBase32 = members(base32Alphabet)
	inBase62 = members(base62Alphabet)
)

func members(alphabet string) *[256]bool {
	var set [256]bool
	for i := range len(alphabet) {
		set[alphabet[i]] = true
	}
	return &set
}
