// Package secret holds text that must never be printed: client secrets, passwords and tokens.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Text is a credential. Every way of printing it (fmt verbs, JSON, text marshalling, structured logging) yields
// "[redacted]"; only Reveal gives the value. The bytes stand behind a func, because fmt prints unexported fields
// of a struct without asking the methods of their types.
//
// The zero Text is empty.
type Text struct{ reveal func() string }

// New hides value.
func New(value string) Text {
	if value == "" {
		return Text{}
	}
	return Text{reveal: func() string { return value }}
}

// Reveal returns the credential itself. Call it only where the credential leaves for Gini or for a Secret's data.
func (t Text) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// Empty reports whether there is no credential.
func (t Text) Empty() bool { return t.reveal == nil }

// Equal compares two credentials in constant time.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// Fingerprint returns the first 8 hex digits of the credential's SHA-256: enough to see whether a token of Gini's
// (20 random bytes or more) is the same as before, and nothing to guess it from.
func (t Text) Fingerprint() string {
	sum := sha256.Sum256([]byte(t.Reveal()))
	return hex.EncodeToString(sum[:4])
}

// Format implements fmt.Formatter for every verb.
func (Text) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// MarshalJSON implements json.Marshaler.
func (Text) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText implements encoding.TextMarshaler.
func (Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalLog implements logr.Marshaler.
func (Text) MarshalLog() any { return redacted }
