package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/gini-operator/gini-operator/internal/secret"
)

// What holds where nobody says otherwise.
const (
	DefaultUserIdentifierClaim = "x-user-identifier"
	DefaultClientIDClaim       = "x-client-id"
	DefaultTokenLifetime       = 15 * time.Minute
)

// clockAllowance is how far iat is set back, as the clock of who checks it may be behind.
const clockAllowance = 30 * time.Second

// ReservedClaims are those of RFC 7519 that no further claim may be called: they are set here, or would change who or when
// a JWT is good for. aud is not among them.
var ReservedClaims = []string{"iss", "sub", "exp", "nbf", "iat", "jti"}

// ClaimNames are the names of the claims that say whose JWT it is.
type ClaimNames struct {
	// UserIdentifier and ClientID are the defaults above where they are empty.
	UserIdentifier, ClientID string
	// ClientSecret is empty where JWTs do not hold the client secret.
	ClientSecret string
}

func (n ClaimNames) orDefaults() ClaimNames {
	if n.UserIdentifier == "" {
		n.UserIdentifier = DefaultUserIdentifierClaim
	}
	if n.ClientID == "" {
		n.ClientID = DefaultClientIDClaim
	}
	return n
}

// Reserved reports whether no further claim may be called name.
func Reserved(name string, names ClaimNames) bool {
	names = names.orDefaults()
	return slices.Contains(ReservedClaims, name) || name == names.UserIdentifier || name == names.ClientID ||
		names.ClientSecret != "" && name == names.ClientSecret
}

// Subject is whom a JWT is for.
type Subject struct {
	Identifier, ClientID string
	ClientSecret         secret.Text
}

// Token is a JWT and its life.
type Token struct {
	JWT secret.Text
	// ObtainedAt is when it was signed.
	ObtainedAt time.Time
	// ExpiresAt is what its claim exp says.
	ExpiresAt time.Time
}

// Signer makes JWTs.
type Signer struct {
	// Issuer is the claim iss.
	Issuer string
	// Lifetime is how long exp is after iat. 0: DefaultTokenLifetime.
	Lifetime time.Duration
	// Names of the claims that say whose JWT it is.
	Names ClaimNames
	// Claims are further ones, as ReadClaims has them. Those with a reserved name are left out.
	Claims map[string]json.RawMessage
	// Key signs.
	Key *Key
}

var (
	// ErrIncomplete says that something is missing without which a JWT is of no use.
	ErrIncomplete = errors.New("a JWT needs a key, an issuer, a user identifier, a client id, and the client secret where a claim is named for it")
	// ErrNotText says that a claim is not UTF-8. JSON would hold something else instead, and so name another user.
	ErrNotText = errors.New("the claims of a JWT must be UTF-8")
	// ErrKeyCannotSign says that the key is of no use. What the library said of it is not passed on.
	ErrKeyCannotSign = errors.New("the key cannot sign")
)

// Sign makes a JWT for subject. It is good from now on, by a clock that is up to 30 seconds behind, and exp is never more than
// the lifetime after iat.
func (s *Signer) Sign(subject Subject, now time.Time) (Token, error) {
	names := s.Names.orDefaults()
	if err := s.check(subject); err != nil {
		return Token{}, err
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return Token{}, err
	}
	now = wall(now)
	issued := now.Add(-clockAllowance).Truncate(time.Second)
	expires := issued.Add(s.lifetime().Truncate(time.Second))

	claims := jwt.MapClaims{}
	for name, value := range s.further() {
		claims[name] = value
	}
	claims[names.UserIdentifier] = subject.Identifier
	claims[names.ClientID] = subject.ClientID
	if names.ClientSecret != "" {
		claims[names.ClientSecret] = subject.ClientSecret.Reveal()
	}
	claims["iss"] = s.Issuer
	claims["iat"] = issued.Unix()
	claims["exp"] = expires.Unix()
	claims["jti"] = id.String()

	token := jwt.NewWithClaims(needs[s.Key.Algorithm()].method, claims)
	token.Header["kid"] = s.Key.ID()
	signed, err := token.SignedString(s.Key.reveal().signer)
	if err != nil {
		return Token{}, ErrKeyCannotSign
	}
	return Token{JWT: secret.New(signed), ObtainedAt: now, ExpiresAt: expires}, nil
}

func (s *Signer) check(subject Subject) error {
	secretMissing := s.Names.ClientSecret != "" && subject.ClientSecret.Empty()
	if s.Key == nil || s.Issuer == "" || subject.Identifier == "" || subject.ClientID == "" || secretMissing {
		return ErrIncomplete
	}
	texts := []string{s.Issuer, subject.Identifier, subject.ClientID, subject.ClientSecret.Reveal()}
	for name, value := range s.Claims {
		texts = append(texts, name, string(value))
	}
	if slices.ContainsFunc(texts, func(text string) bool { return !utf8.ValidString(text) }) {
		return ErrNotText
	}
	return nil
}

func (s *Signer) lifetime() time.Duration {
	if s.Lifetime <= 0 {
		return DefaultTokenLifetime
	}
	return s.Lifetime
}

// further are the claims that may stand beside those of the operator.
func (s *Signer) further() map[string]json.RawMessage {
	further := make(map[string]json.RawMessage, len(s.Claims))
	for name, value := range s.Claims {
		if !Reserved(name, s.Names) {
			further[name] = value
		}
	}
	return further
}

// Version is a short hash of all that this signer's JWTs for a client depend on, but for the user, the time and jti: once it
// changes, they have to be issued anew.
func (s *Signer) Version(subject Subject) string {
	depends := struct {
		Key, Issuer, ClientID, Fingerprint string
		Algorithm                          Algorithm
		Lifetime                           time.Duration
		Names                              ClaimNames
		Claims                             map[string]json.RawMessage
	}{Issuer: s.Issuer, ClientID: subject.ClientID, Lifetime: s.lifetime(), Names: s.Names.orDefaults(), Claims: s.further()}
	if s.Key != nil {
		depends.Key, depends.Algorithm = s.Key.ID(), s.Key.Algorithm()
	}
	if s.Names.ClientSecret != "" {
		depends.Fingerprint = subject.ClientSecret.Fingerprint()
	}
	// Strings, a number and a map of JSON, which is written in the order of its keys, always marshal.
	text, _ := json.Marshal(depends)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// wall strips the monotonic reading: machines are suspended, and clocks are stepped.
func wall(instant time.Time) time.Time { return instant.Round(0).UTC() }
