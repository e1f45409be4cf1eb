package provider

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/transport"
)

const (
	maxJWT     = 16 << 10         // bytes; it travels as a header
	minLasting = 30 * time.Second // else it would have to be asked for all the time
	clockSkew  = time.Minute      // by which the provider's clock may be ahead
)

const notJWT = "the access_token is not a JWT"

// algorithms are those that Gini can check by a public key. Neither "none" nor a shared secret proves who signed.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// examine looks at a JWT without verifying its signature, which Gini does. What is wrong with all JWTs of the provider
// is Unexpected; a JWT for another user is GrantRejected, and one for nobody as well, if others were for their users.
func (c *Client) examine(text secret.Text, identifier string, now time.Time) (identity.Token, *gini.Error) {
	claims, problem := parse(text.Reveal())
	if problem != "" {
		return identity.Token{}, failed(gini.Unexpected, problem)
	}
	switch issuer, holds := textOf(claims["iss"]); {
	case holds != "" || issuer == "":
		return identity.Token{}, failed(gini.Unexpected, noText("issuer", holds))
	case issuer != c.issuer:
		return identity.Token{}, failed(gini.Unexpected, "the JWT's issuer is not the configured one")
	}
	switch clientID, holds := textOf(claims[c.names.ClientID]); {
	case holds != "" || clientID == "":
		return identity.Token{}, failed(gini.Unexpected, noText("client id claim", holds))
	case clientID != c.giniClientID:
		return identity.Token{}, failed(gini.Unexpected, "the JWT's client id claim is not the client's id at Gini")
	}
	expires, problem := expiry(claims, now)
	if problem != "" {
		return identity.Token{}, failed(gini.Unexpected, problem)
	}
	switch user, holds := textOf(claims[c.names.UserIdentifier]); {
	case holds != "" || user == "":
		kind := gini.Unexpected
		if c.served.Load() {
			kind = gini.GrantRejected
		}
		return identity.Token{}, failed(kind, noText("user identifier claim", holds))
	case user != identifier:
		return identity.Token{}, failed(gini.GrantRejected, "the JWT is for another user")
	}
	return identity.Token{JWT: text, ExpiresAt: expires}, nil
}

// textOf is the string that a claim holds, empty where it is absent or null; else holds says in constant words what stands there.
func textOf(claim json.RawMessage) (text, holds string) {
	if len(claim) == 0 {
		return "", ""
	}
	switch claim[0] {
	case '"':
		_ = json.Unmarshal(claim, &text) // cannot fail: it is a valid string
		return text, ""
	case 'n':
		return "", ""
	case '[':
		return "", "a list"
	case '{':
		return "", "an object"
	case 't', 'f':
		return "", "true or false"
	}
	return "", "a number"
}

// noText says in constant words what stands in place of a string.
func noText(claim, holds string) string {
	if holds == "" {
		return "the JWT lacks the " + claim
	}
	return "the JWT's " + claim + " holds " + holds + ", where a string is expected: let the provider put one there, or name another claim in oauth2.claimNames"
}

// parse takes a JWT apart. problem is constant text; what the parser says may quote the token.
func parse(text string) (claims transport.Object, problem string) {
	if len(text) > maxJWT {
		return nil, "the JWT is too long"
	}
	// The decoder of base64 skips line breaks, which have no place in a header.
	if strings.ContainsFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r))
	}) {
		return nil, notJWT
	}
	parser := jwt.NewParser(jwt.WithJSONNumber())
	token, parts, err := parser.ParseUnverified(text, jwt.MapClaims{})
	if token != nil && token.Header != nil {
		if algorithm, ok := token.Header["alg"].(string); ok && !slices.Contains(algorithms, algorithm) {
			return nil, "the JWT's algorithm is not one that is checked by a public key"
		}
	}
	if err != nil || len(token.Signature) == 0 {
		return nil, notJWT
	}
	content, err := parser.DecodeSegment(parts[1])
	if err != nil { // cannot be
		return nil, notJWT
	}
	claims, ok := transport.ParseObject(content)
	if !ok {
		return nil, notJWT
	}
	return claims, ""
}

// expiry reads exp, and looks at nbf where it is present (RFC 7519, 4.1.4 and 4.1.5).
func expiry(claims transport.Object, now time.Time) (expires time.Time, problem string) {
	seconds, ok := transport.ParseNumber(string(claims["exp"]))
	if !ok {
		return time.Time{}, "the JWT lacks an expiry, or it is not a number"
	}
	seconds = min(seconds, float64(now.Add(gini.MaxLifetime).Unix())) // as far as times are reckoned with
	switch seconds = math.Floor(seconds); {
	case seconds <= float64(now.Unix()):
		return time.Time{}, "the JWT has expired already"
	case seconds < float64(now.Add(minLasting).Unix()):
		return time.Time{}, "the JWT expires within 30 seconds: let the provider give longer ones, or set the clocks right"
	}
	if from, present := claims["nbf"]; present {
		switch begins, number := transport.ParseNumber(string(from)); {
		case !number:
			return time.Time{}, "the JWT's nbf is not a number"
		case begins > float64(now.Add(clockSkew).Unix()):
			return time.Time{}, "the JWT is not valid yet"
		}
	}
	return time.Unix(int64(seconds), 0).UTC(), ""
}
