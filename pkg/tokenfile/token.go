package tokenfile

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/gini-operator/gini-operator/internal/secret"
)

// Token is what the mounted Secret held at one moment: a token, until when it is valid, and how it is sent. Printing it in any way
// (fmt, JSON, text, slog) shows its fingerprint and expiry only. The zero Token is none.
type Token struct {
	value, authorization secret.Text
	tokenType, header    string
	expiresAt            time.Time
}

// Reveal is the token itself, for programs that send it in a way of their own.
func (t Token) Reveal() string { return t.value.Reveal() }

// Authorization is the value of the header that Header names, ready to be sent. It holds the token.
func (t Token) Authorization() string { return t.authorization.Reveal() }

// Header is the name of the header that the token is sent in: Authorization, or X-JWT-Authorization for a JWT.
func (t Token) Header() string { return t.header }

// Type is the token's type, such as Bearer.
func (t Token) Type() string { return t.tokenType }

// ExpiresAt is until when the token is certainly valid. It is zero where Keys.ExpiresAt names no file.
func (t Token) ExpiresAt() time.Time { return t.expiresAt }

// Fingerprint tells tokens apart without giving them away: the first 8 hex digits of the token's SHA-256, as in the Secret's
// annotation credentials.gini.net/fingerprint.
func (t Token) Fingerprint() string { return t.value.Fingerprint() }

// same tells whether two tokens would be sent alike.
func (t Token) same(other Token) bool { return t.authorization.Equal(other.authorization) }

// String describes the token without showing it.
func (t Token) String() string {
	switch {
	case t.value.Empty():
		return "[no token]"
	case t.expiresAt.IsZero():
		return fmt.Sprintf("[redacted token %s]", t.Fingerprint())
	}
	return fmt.Sprintf("[redacted token %s, expires %s]", t.Fingerprint(), t.expiresAt.UTC().Format(time.RFC3339))
}

// Format implements fmt.Formatter for every verb.
func (t Token) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, t.String()) }

// MarshalJSON implements json.Marshaler.
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// MarshalText implements encoding.TextMarshaler.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// LogValue implements slog.LogValuer.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
