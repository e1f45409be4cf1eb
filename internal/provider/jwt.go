package provider

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/secret"
)

const (
	maxJWT     = 16 << 10                  // bytes; it travels as a header
	maxLasting = 10 * 365 * 24 * time.Hour // of a JWT, from now on
	minLasting = 30 * time.Second          // else it would have to be asked for all the time
	clockSkew  = time.Minute               // by which the provider's clock may be ahead
)

// algorithms are those that Gini can check by a public key. Neither "none" nor a shared secret proves who signed.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// examine looks at a JWT without verifying its signature, which Gini does. What is wrong with all JWTs of the provider
// is Unexpected; only a JWT for another user is GrantRejected.
func (c *Client) examine(text secret.Text, identifier string, now time.Time) (identity.Token, *gini.Error) {
	claims, problem := parse(text.Reveal())
	if problem != "" {
		return identity.Token{}, failed(gini.Unexpected, problem)
	}
	if issuer, ok := claims["iss"].(string); !ok || issuer != c.issuer {
		return identity.Token{}, failed(gini.Unexpected, "the JWT's issuer is not the configured one")
	}
	if clientID, ok := claims[c.names.ClientID].(string); !ok || clientID != c.giniClientID {
		return identity.Token{}, failed(gini.Unexpected, "the JWT's client id claim is not the client's id at Gini")
	}
	expires, problem := expiry(claims, now)
	if problem != "" {
		return identity.Token{}, failed(gini.Unexpected, problem)
	}
	switch user, ok := claims[c.names.UserIdentifier].(string); {
	case !ok || user == "":
		return identity.Token{}, failed(gini.Unexpected, "the JWT lacks the user identifier claim")
	case user != identifier:
		return identity.Token{}, failed(gini.GrantRejected, "the JWT is for another user")
	}
	return identity.Token{JWT: text, ExpiresAt: expires}, nil
}

// parse takes a JWT apart. problem is constant text; what the parser says may quote the token.
func parse(text string) (claims jwt.MapClaims, problem string) {
	if len(text) > maxJWT {
		return nil, "the JWT is too long"
	}
	// The decoder of base64 skips line breaks, which have no place in a header.
	if strings.ContainsFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r))
	}) {
		return nil, "the access_token is not a JWT"
	}
	claims = jwt.MapClaims{}
	token, _, err := jwt.NewParser().ParseUnverified(text, claims)
	if token != nil && token.Header != nil {
		if algorithm, ok := token.Header["alg"].(string); ok && !slices.Contains(algorithms, algorithm) {
			return nil, "the JWT's algorithm is not one that is checked by a public key"
		}
	}
	if err != nil || len(token.Signature) == 0 {
		return nil, "the access_token is not a JWT"
	}
	return claims, ""
}

// expiry reads exp, and looks at nbf where it is present (RFC 7519, 4.1.4 and 4.1.5).
func expiry(claims jwt.MapClaims, now time.Time) (expires time.Time, problem string) {
	seconds, ok := claims["exp"].(float64)
	if !ok {
		return time.Time{}, "the JWT lacks an expiry, or it is not a number"
	}
	if seconds > float64(now.Add(maxLasting).Unix()) {
		return time.Time{}, "the JWT expires more than 10 years from now"
	}
	switch seconds = math.Floor(seconds); {
	case seconds <= float64(now.Unix()):
		return time.Time{}, "the JWT has expired already"
	case seconds < float64(now.Add(minLasting).Unix()):
		return time.Time{}, "the JWT expires within 30 seconds: let the provider give longer ones, or set the clocks right"
	}
	if from, present := claims["nbf"]; present {
		switch begins, number := from.(float64); {
		case !number:
			return time.Time{}, "the JWT's nbf is not a number"
		case begins > float64(now.Add(clockSkew).Unix()):
			return time.Time{}, "the JWT is not valid yet"
		}
	}
	return time.Unix(int64(seconds), 0).UTC(), ""
}
