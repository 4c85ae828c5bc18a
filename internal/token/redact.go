package token

import (
	"fmt"
	"io"
	"log/slog"
)

// The methods in this file are what fmt, log/slog, logr and the JSON, text and
// YAML encoders ask a value for before they look into it.

// redacted is what stands for a token wherever one is printed. Pattern does not
// match it.
func redacted(id string) string {
	if id == "" {
		return Prefix + "[redacted]"
	}
	return Prefix + id + string(separator) + "[redacted]"
}

// String returns the ID and a redaction.
func (p Plaintext) String() string { return redacted(p.id) }

// GoString returns the ID and a redaction.
func (p Plaintext) GoString() string { return redacted(p.id) }

// Format writes the ID and a redaction, whatever the verb.
func (p Plaintext) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted(p.id)) }

// LogValue returns the ID and a redaction.
func (p Plaintext) LogValue() slog.Value { return slog.StringValue(redacted(p.id)) }

// MarshalText returns the ID and a redaction.
func (p Plaintext) MarshalText() ([]byte, error) { return []byte(redacted(p.id)), nil }

// MarshalJSON returns the ID and a redaction.
func (p Plaintext) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted(p.id) + `"`), nil }

// String returns the ID and a redaction.
func (p Presented) String() string { return redacted(p.ID()) }

// GoString returns the ID and a redaction.
func (p Presented) GoString() string { return redacted(p.ID()) }

// Format writes the ID and a redaction, whatever the verb.
func (p Presented) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted(p.ID())) }

// LogValue returns the ID and a redaction.
func (p Presented) LogValue() slog.Value { return slog.StringValue(redacted(p.ID())) }

// MarshalText returns the ID and a redaction.
func (p Presented) MarshalText() ([]byte, error) { return []byte(redacted(p.ID())), nil }

// MarshalJSON returns the ID and a redaction.
func (p Presented) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted(p.ID()) + `"`), nil }
