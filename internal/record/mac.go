package record

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding"
	"hash"
	"sync"
	"unique"
)

// Labels separate the two uses of a key from each other and from any later one,
// and number them.
const (
	sealLabel = "accesstoken.dev/seal/v1\x00"
	hashLabel = "accesstoken.dev/token/v1\x00"
)

// digest is a SHA-256 or an HMAC-SHA-256.
type digest = [sha256.Size]byte

// macKey is a key as HMAC-SHA-256 (RFC 2104) begins with it. The few keys are
// shared by all that hold them, and go with the last. The zero macKey is none.
type macKey struct{ handle unique.Handle[schedule] }

// schedule is the states of the inner and the outer hash after their first block,
// which follows from the key alone. They are kept because every request needs
// them: three blocks are left to hash instead of five.
type schedule struct {
	key          Key
	inner, outer state
}

// state is what the library's SHA-256 writes of itself.
type state [108]byte

func newMACKey(key Key) macKey {
	e := takeEngine()
	defer engines.Put(e)
	if e.key.is(key) {
		return e.key // one key after the other is rare
	}
	return macKey{unique.Make(schedule{key: key, inner: e.begin(&key, 0x36), outer: e.begin(&key, 0x5c)})}
}

func (k macKey) absent() bool { return k == macKey{} }

func (k macKey) is(key Key) bool { return !k.absent() && k.handle.Value().key == key }

// sealOf returns the seal of a record whose encoding has this digest.
func (k macKey) sealOf(canonical *digest) digest { return k.mac(sealLabel, canonical[:], nil) }

// hashOf returns the hash of a secret in such a record.
func (k macKey) hashOf(canonical, secret *digest) digest {
	return k.mac(hashLabel, canonical[:], secret[:])
}

// mac returns HMAC-SHA-256 over label ‖ first ‖ second. It does not allocate,
// where the library's does; a test holds this one against it.
func (k macKey) mac(label string, first, second []byte) (sum digest) {
	e := takeEngine()
	defer engines.Put(e)
	if e.key != k {
		e.key, e.schedule = k, k.handle.Value()
	}
	e.input = append(append(append(e.input[:0], label...), first...), second...)
	e.run(&e.schedule.inner, e.input)
	e.run(&e.schedule.outer, e.sum[:])
	return e.sum
}

// engine is the library's SHA-256 with room for what goes in and comes out,
// which would be allocated each time otherwise, and with the key that it was
// last used for.
type engine struct {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler

	key      macKey
	schedule schedule
	input    []byte
	sum      digest
}

var engines = sync.Pool{New: func() any {
	h := sha256.New()
	e := &engine{Hash: h, input: make([]byte, 0, len(hashLabel)+2*sha256.Size)}
	// Both are promised by the documentation of sha256.New.
	e.BinaryAppender, _ = h.(encoding.BinaryAppender)
	e.BinaryUnmarshaler, _ = h.(encoding.BinaryUnmarshaler)
	return e
}}

func takeEngine() *engine { return engines.Get().(*engine) } //nolint:forcetypeassert // nothing else is put in

// begin returns the state after the block that a key and a pad make.
func (e *engine) begin(key *Key, pad byte) (begun state) {
	e.Reset()
	e.input = append(append(e.input[:0], key[:]...), make([]byte, sha256.BlockSize-len(key))...)
	for i := range e.input {
		e.input[i] ^= pad
	}
	_, _ = e.Write(e.input) // a hash never fails
	written, err := e.AppendBinary(e.input[:0])
	if err != nil || len(written) != len(begun) {
		panic("crypto/sha256 writes its state in another form than it did")
	}
	return state(written)
}

// run leaves in sum what the hash is that goes on from a state with input.
func (e *engine) run(from *state, input []byte) {
	if err := e.UnmarshalBinary(from[:]); err != nil {
		panic("crypto/sha256 does not read the state that it wrote")
	}
	_, _ = e.Write(input) // a hash never fails
	e.Sum(e.sum[:0])
}

// equal compares in constant time.
func equal(a, b *digest) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }
