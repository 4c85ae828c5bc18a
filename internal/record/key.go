package record

import (
	"fmt"
	"io"
	"log/slog"
)

// Key is a secret that records are sealed with: 32 bytes from a random source.
// It prints and encodes as a redaction. Two ways past that are left, since Go
// has no type to close them: fmt shows the bytes of a Key that is an unexported
// field of a struct, and the verb %p those of any Key.
type Key [32]byte

const redactedKey = "[redacted key]"

// String returns a redaction.
func (Key) String() string { return redactedKey }

// GoString returns a redaction.
func (Key) GoString() string { return redactedKey }

// Format writes a redaction, whatever the verb.
func (Key) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redactedKey) }

// LogValue returns a redaction.
func (Key) LogValue() slog.Value { return slog.StringValue(redactedKey) }

// MarshalText returns a redaction.
func (Key) MarshalText() ([]byte, error) { return []byte(redactedKey), nil }

// MarshalJSON returns a redaction.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redactedKey + `"`), nil }

// Keys finds the key of an ID; ok is false where there is none, or none any
// more. It has to be safe for concurrent use where the Opener is used so.
type Keys interface {
	Key(id string) (key Key, ok bool)
}

// KeySet is a fixed set of keys by ID.
type KeySet map[string]Key

// Key returns the key of this ID.
func (s KeySet) Key(id string) (Key, bool) {
	key, ok := s[id]
	return key, ok
}
