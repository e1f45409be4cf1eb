// Package credential knows the flows of Gini's documentation: what to obtain for a device, and how.
package credential

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/secret"
)

// Values are the keys of a device's Secret that come without being asked for, and the names that $(name) knows.
type Values map[string]secret.Text

// Keys of the Secret of an untrusted device.
const (
	KeyAccessToken   = "access_token"
	KeyTokenType     = "token_type"
	KeyExpiresAt     = "expires_at"
	KeyAuthorization = "authorization"
)

// Keys of the Secret of a trusted device with auth Basic.
const (
	KeyClientID           = "client_id"
	KeyClientSecret       = "client_secret"
	KeyUserIdentifier     = "user_identifier"
	KeyAuthorizationBasic = "authorization_basic"
)

// Keys of the Secret of a trusted device with auth JWT.
const (
	KeyJWT               = "jwt"
	KeyJWTExpiresAt      = "jwt_expires_at"
	KeyXJWTAuthorization = "x_jwt_authorization"
)

// ForUntrusted is what an untrusted device gets: an access token, ready to be sent.
func ForUntrusted(token secret.Text, expiresAt time.Time) Values {
	return Values{
		KeyAccessToken:   token,
		KeyTokenType:     secret.New("Bearer"),
		KeyExpiresAt:     secret.New(expiresAt.UTC().Format(time.RFC3339)),
		KeyAuthorization: secret.New("Bearer " + token.Reveal()),
	}
}

// ForTrustedBasic is what a trusted device with auth Basic gets: the client credentials and its user's identifier, which
// go into the headers Authorization and X-User-Identifier ("Trusted device, derived user, Basic").
func ForTrustedBasic(clientID string, clientSecret secret.Text, identifier string) Values {
	basic := base64.StdEncoding.EncodeToString([]byte(clientID + ":" + clientSecret.Reveal()))
	return Values{
		KeyClientID:           secret.New(clientID),
		KeyClientSecret:       clientSecret,
		KeyUserIdentifier:     secret.New(identifier),
		KeyAuthorizationBasic: secret.New("Basic " + basic),
	}
}

// ForTrustedJWT is what a trusted device with auth JWT gets: a JWT, ready to be sent as the header X-JWT-Authorization ("Trusted
// device, derived user, JWT").
func ForTrustedJWT(token secret.Text, expiresAt time.Time) Values {
	return Values{
		KeyJWT:               token,
		KeyJWTExpiresAt:      secret.New(expiresAt.UTC().Format(time.RFC3339)),
		KeyXJWTAuthorization: secret.New("Bearer " + token.Reveal()),
	}
}

// Subject identifies whom a credential is for. Two credentials of one subject are interchangeable.
type Subject struct {
	// ClientID is the id of the Gini application.
	ClientID string
	// Host is the API that knows the user: the Pay API for derived users, the User Center for anonymous ones.
	Host string
	// User is the identifier of a derived user, or the e-mail address of an anonymous one.
	User string
}

// Hash is a name for the subject that does not tell who it is: a hash of client and host, a dot, and a hash of the user.
func (s Subject) Hash() string { return s.clientHash() + "." + digest(s.User) }

func (s Subject) clientHash() string { return digest(s.ClientID, s.Host) }

// SameUser is the hash of the subject with the user of another hash: what Hash would give, where the user is known to
// be the same.
func (s Subject) SameUser(hash string) string {
	_, user, _ := strings.Cut(hash, ".")
	return s.clientHash() + "." + user
}

// IdentifierHash is a name for the identifier of one GiniUser: enough to see that it has changed, and too short and too much
// the GiniUser's own to find out what it is.
func IdentifierHash(namespace, name, identifier string) string {
	return digest(namespace, name, identifier)[:8]
}

func digest(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		sum := sha256.Sum256([]byte(part))
		hash.Write(sum[:])
	}
	return hex.EncodeToString(hash.Sum(nil)[:12])
}

// TokenAPI is what is asked of Gini for access tokens.
type TokenAPI interface {
	Login(ctx context.Context, identifier string) (gini.Grant, error)
	LoginJWT(ctx context.Context, identifier string, jwt secret.Text) (gini.Grant, error)
	PasswordLogin(ctx context.Context, email string, password secret.Text) (gini.Grant, error)
	Refresh(ctx context.Context, user string, refreshToken secret.Text) (gini.Grant, error)
}

// Login is a way to get an access token of one user.
type Login interface {
	// Obtain logs in.
	Obtain(ctx context.Context, api TokenAPI) (gini.Grant, error)
	// Name is what Gini calls the user.
	Name() string
}

// DerivedBasic logs a derived user in with the client credentials ("Untrusted device, derived user, Basic").
type DerivedBasic struct{ Identifier string }

// Obtain implements Login.
func (l DerivedBasic) Obtain(ctx context.Context, api TokenAPI) (gini.Grant, error) {
	return api.Login(ctx, l.Identifier)
}

// Name implements Login.
func (l DerivedBasic) Name() string { return l.Identifier }

// DerivedJWT exchanges a JWT for an access token ("Untrusted device, derived user, JWT").
type DerivedJWT struct {
	Identifier string
	JWT        secret.Text
}

// Obtain implements Login.
func (l DerivedJWT) Obtain(ctx context.Context, api TokenAPI) (gini.Grant, error) {
	return api.LoginJWT(ctx, l.Identifier, l.JWT)
}

// Name implements Login.
func (l DerivedJWT) Name() string { return l.Identifier }

// AnonymousPassword logs an anonymous user in with its password ("Untrusted device, anonymous user").
type AnonymousPassword struct {
	Email    string
	Password secret.Text
}

// Obtain implements Login.
func (l AnonymousPassword) Obtain(ctx context.Context, api TokenAPI) (gini.Grant, error) {
	return api.PasswordLogin(ctx, l.Email, l.Password)
}

// Name implements Login.
func (l AnonymousPassword) Name() string { return l.Email }

// Renewal is the outcome of getting a new token.
type Renewal struct {
	// Grant is the token.
	Grant gini.Grant
	// Sticky is whether the login gave the token that was held already.
	Sticky bool
	// Replaced is whether the token is another one than was held.
	Replaced bool
}

// Renew logs in and, where a person insists on a new token and the login gives the one with the fingerprint held, uses
// the refresh token of the same answer.
//
// Refresh tokens are used for nothing else, and never stored: the login is the root of all credentials.
func Renew(ctx context.Context, api TokenAPI, login Login, held string, insist bool) (Renewal, error) {
	grant, err := login.Obtain(ctx, api)
	if err != nil {
		return Renewal{}, err
	}
	if grant.AccessToken.Fingerprint() != held {
		return Renewal{Grant: grant, Replaced: true}, nil
	}
	if !insist || grant.RefreshToken.Empty() {
		return Renewal{Grant: grant, Sticky: true}, nil
	}
	refreshed, err := api.Refresh(ctx, login.Name(), grant.RefreshToken)
	if kind := gini.KindOf(err); kind == gini.GrantRejected || kind == gini.Invalid {
		// The refresh token is of no use, which may have ended the access token all the same, or its host may not be asked: log in once more.
		refreshed, err = login.Obtain(ctx, api)
	}
	if err != nil {
		return Renewal{}, err
	}
	return Renewal{Grant: refreshed, Sticky: true, Replaced: refreshed.AccessToken.Fingerprint() != held}, nil
}
