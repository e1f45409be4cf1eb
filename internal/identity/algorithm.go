// Package identity makes the operator an identity provider: private keys, the JWTs that they sign, how one key takes over
// from another, and the JWK Set with their public halves. All of it is pure but for randomness.
package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithm is an algorithm that signs JWTs (RFC 7518, 3.1).
type Algorithm string

// The algorithms.
const (
	RS256 Algorithm = "RS256"
	RS384 Algorithm = "RS384"
	RS512 Algorithm = "RS512"
	ES256 Algorithm = "ES256"
	ES384 Algorithm = "ES384"
	PS256 Algorithm = "PS256"
)

// need is what an algorithm takes.
type need struct {
	method jwt.SigningMethod
	curve  elliptic.Curve // nil where it takes an RSA key
	key    string         // in words
}

const rsaInWords = "an RSA key of 2048 to 8192 bits"

var needs = map[Algorithm]need{
	RS256: {method: jwt.SigningMethodRS256, key: rsaInWords},
	RS384: {method: jwt.SigningMethodRS384, key: rsaInWords},
	RS512: {method: jwt.SigningMethodRS512, key: rsaInWords},
	PS256: {method: jwt.SigningMethodPS256, key: rsaInWords},
	ES256: {method: jwt.SigningMethodES256, curve: elliptic.P256(), key: "an EC key on the curve P-256"},
	ES384: {method: jwt.SigningMethodES384, curve: elliptic.P384(), key: "an EC key on the curve P-384"},
}

// Known reports whether it is one of the algorithms above.
func (a Algorithm) Known() bool {
	_, known := needs[a]
	return known
}

// fits reports whether keys of this kind sign by the algorithm. How long an RSA key is does not matter here.
func (a Algorithm) fits(public crypto.PublicKey) bool {
	need, known := needs[a]
	if !known {
		return false
	}
	switch public := public.(type) {
	case *rsa.PublicKey:
		return need.curve == nil
	case *ecdsa.PublicKey:
		return public.Curve == need.curve
	default:
		return false
	}
}

// usual is the algorithm that a key signs by where nobody says; "" where there is none for it.
func usual(public crypto.PublicKey) Algorithm {
	for _, algorithm := range []Algorithm{RS256, ES256, ES384} {
		if algorithm.fits(public) {
			return algorithm
		}
	}
	return ""
}
