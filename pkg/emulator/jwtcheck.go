package emulator

import (
	"context"
	"errors"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// jwtAlgorithms are asymmetric ones alone: with HMAC, whoever can read the JWK Set could sign.
var jwtAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}

// jwtError is why a JWT is refused: the message of the answer and the counter in the ledger. It never holds any of the JWT.
type jwtError struct {
	message string
	counter func(*JWTUses) *int
}

func (e *jwtError) Error() string { return e.message }

// The reasons. One that the JWT's expiry decides comes only after its signature was found right.
var (
	errJWTMalformed    = &jwtError{"JWT cannot be read", func(u *JWTUses) *int { return &u.Malformed }}
	errJWTIssuer       = &jwtError{"JWT is of an issuer that no client has", func(u *JWTUses) *int { return &u.UnknownIssuer }}
	errJWTAlgorithm    = &jwtError{"JWT has an alg that is not allowed", func(u *JWTUses) *int { return &u.WrongAlgorithm }}
	errJWTKeyAlgorithm = &jwtError{"JWT has an alg that its key is not for", func(u *JWTUses) *int { return &u.WrongAlgorithm }}
	errJWTNoKey        = &jwtError{"JWT has no kid", func(u *JWTUses) *int { return &u.UnknownKey }}
	errJWTUnknownKey   = &jwtError{"JWT has a kid that is not in the JWK Set", func(u *JWTUses) *int { return &u.UnknownKey }}
	errJWTNoKeySet     = &jwtError{"JWK Set cannot be had or is not in order", func(u *JWTUses) *int { return &u.NoKeySet }}
	errJWTSignature    = &jwtError{"JWT has a wrong signature", func(u *JWTUses) *int { return &u.BadSignature }}
	errJWTExpired      = &jwtError{"JWT has expired", func(u *JWTUses) *int { return &u.UsedExpired }}
	errJWTNotYet       = &jwtError{"JWT is not valid yet", func(u *JWTUses) *int { return &u.NotYetValid }}
	errJWTClaims       = &jwtError{"JWT has a registered claim that is missing or wrong", wrongClaims}
	errJWTAudience     = &jwtError{"JWT is for another audience", wrongClaims}
	errJWTClient       = &jwtError{"JWT does not name the client of its issuer", wrongClaims}
	errJWTSecret       = &jwtError{"JWT has a wrong client secret", wrongClaims}
	errJWTIdentifier   = &jwtError{"JWT names no user", wrongClaims}
)

func wrongClaims(u *JWTUses) *int { return &u.WrongClaims }

// checkJWT finds out what a call's JWT is worth, as its client is registered now. Server.mu is not held: it may fetch a JWK Set, and a slow
// one must not stop other calls.
func (s *Server) checkJWT(ctx context.Context, c *call) {
	j := c.jwt
	if j == nil || c.refused != 0 {
		return
	}
	s.mu.Lock()
	cl, ok := s.registrationFor(j.claims)
	s.mu.Unlock()
	_, extended := j.header["crit"]
	switch {
	case j.header == nil || j.claims == nil || extended: // extensions that must be understood are none that this one does (RFC 7515, 4.1.11)
		j.refused = errJWTMalformed
	case !ok:
		j.refused = errJWTIssuer
	case !slices.Contains(jwtAlgorithms, text(j.header, "alg")):
		j.refused = errJWTAlgorithm
	default:
		j.refused = s.verifyJWT(ctx, j, cl)
	}
}

// verifyJWT checks signature and claims.
func (s *Server) verifyJWT(ctx context.Context, j *presentedJWT, cl client) *jwtError {
	options := []jwt.ParserOption{
		jwt.WithValidMethods(jwtAlgorithms), jwt.WithStrictDecoding(), jwt.WithTimeFunc(s.now), jwt.WithLeeway(cl.jwt.Leeway),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithIssuer(cl.jwt.Issuer),
	}
	if cl.jwt.Audience != "" {
		options = append(options, jwt.WithAudience(cl.jwt.Audience))
	}
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(options...).ParseWithClaims(j.raw, claims, func(t *jwt.Token) (any, error) {
		return s.verificationKeys(ctx, cl, text(t.Header, "kid"), t.Method.Alg())
	})
	if expires, _ := claims.GetExpirationTime(); expires != nil {
		j.expires = expires.Time
	}
	if err != nil {
		return jwtErrorOf(err)
	}
	secret, hasSecret := claims[cl.jwt.ClientSecretClaim]
	j.clientID, j.identifier = text(claims, cl.jwt.ClientIDClaim), text(claims, cl.jwt.UserIdentifierClaim)
	switch {
	case j.clientID != cl.id:
		return errJWTClient
	case hasSecret && secret != cl.secret:
		return errJWTSecret
	case j.identifier == "":
		return errJWTIdentifier
	}
	return nil
}

// jwtErrorOf puts the parser's error, which may quote the JWT, into our words.
func jwtErrorOf(err error) *jwtError {
	if own := new(jwtError); errors.As(err, &own) {
		return own
	}
	for _, e := range []struct {
		theirs error
		ours   *jwtError
	}{
		{jwt.ErrTokenMalformed, errJWTMalformed},
		{jwt.ErrTokenSignatureInvalid, errJWTSignature},
		{jwt.ErrTokenExpired, errJWTExpired},
		{jwt.ErrTokenUsedBeforeIssued, errJWTNotYet},
		{jwt.ErrTokenNotValidYet, errJWTNotYet},
		{jwt.ErrTokenInvalidAudience, errJWTAudience},
	} {
		if errors.Is(err, e.theirs) {
			return e.ours
		}
	}
	return errJWTClaims // exp or aud is missing, or one of them is of another type
}

// verificationKeys are the keys of the client's JWK Set that may have made a signature.
func (s *Server) verificationKeys(ctx context.Context, cl client, kid, alg string) (any, error) {
	if kid == "" {
		return nil, errJWTNoKey
	}
	set, err := s.keySets.get(ctx, &cl.jwt, kid, s.now, func(err error) { s.countFetch(cl.id, err) })
	if err != nil {
		return nil, errJWTNoKeySet
	}
	named := set.Key(kid)
	if len(named) == 0 {
		return nil, errJWTUnknownKey
	}
	var keys jwt.VerificationKeySet
	for _, k := range named {
		if isFor(k, alg) {
			keys.Keys = append(keys.Keys, k.Key)
		}
	}
	if len(keys.Keys) == 0 {
		return nil, errJWTKeyAlgorithm
	}
	return keys, nil
}

// countFetch is told of each fetch of a JWK Set when it is over, and of the client for whose call it was made.
func (s *Server) countFetch(clientID string, err error) {
	s.mu.Lock()
	s.recorder.fetched(clientID, err != nil)
	s.mu.Unlock()
	if err != nil {
		s.log.Warn("JWK Set cannot be used", "client", clientID, "error", err.Error())
	}
}

// useJWT gives the user whose JWT the call carries and counts its use. Server.mu is held; checkJWT has been called.
func (s *Server) useJWT(c *call) (userKey, *jwtError) {
	j := c.jwt
	if j.refused == nil && s.clients[j.clientID] == nil {
		j.refused = errJWTIssuer // its registration was taken away while it was checked
	}
	s.recorder.useJWT(c, s.now())
	if j.refused != nil {
		return userKey{}, j.refused
	}
	return userKey{j.clientID, j.identifier}, nil
}
