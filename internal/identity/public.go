package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // the thumbprint's hash
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	useSignature = "sig"
	// maxJWKSize is more than twice what an RSA key of 8192 bits takes.
	maxJWKSize = 4 << 10
	// maxExponentBits is what crypto/rsa takes.
	maxExponentBits = 31
)

// privateMembers are the members of a JWK that are nobody's business (RFC 7518, 6.2.2, 6.3.2 and 6.4).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// PublicKey is the half of a key that may be published. Two of them are equal (==) where key and algorithm are.
type PublicKey struct {
	// ID is the RFC 7638 thumbprint of the key, and its kid.
	ID string
	// Algorithm that the key signs by.
	Algorithm Algorithm

	jwk string
}

func newPublicKey(public crypto.PublicKey, algorithm Algorithm) (PublicKey, error) {
	jwk := jose.JSONWebKey{Key: public, Algorithm: string(algorithm), Use: useSignature}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return PublicKey{}, err
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	text, err := jwk.MarshalJSON()
	if err != nil {
		return PublicKey{}, err
	}
	return PublicKey{ID: jwk.KeyID, Algorithm: algorithm, jwk: string(text)}, nil
}

// JSON is the key as a JWK (RFC 7517), with kid, alg and use.
func (k PublicKey) JSON() string { return k.jwk }

// ParsePublicKey reads what JSON wrote. It refuses what is no public key that one of the algorithms signs with, and a kid
// that is not the key's thumbprint. Members that a public key does not need are dropped.
func ParsePublicKey(text string) (PublicKey, error) {
	if len(text) > maxJWKSize {
		return PublicKey{}, errors.New("the JWK is longer than 4 KiB")
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &members) != nil {
		return PublicKey{}, errors.New("the JWK is not a JSON object")
	}
	for _, name := range privateMembers {
		if _, held := members[name]; held {
			return PublicKey{}, errors.New("the JWK is not a public key")
		}
	}
	public, found := parsePublic(members, text)
	if !found || !sound(public) {
		return PublicKey{}, errors.New("the JWK is not a sound RSA or EC public key")
	}
	algorithm := Algorithm(member(members, "alg"))
	if !algorithm.fits(public) || member(members, "use") != useSignature {
		return PublicKey{}, errors.New("the JWK is not for signatures by a known algorithm that fits it")
	}
	key, err := newPublicKey(public, algorithm)
	if err != nil || key.ID != member(members, "kid") {
		return PublicKey{}, errors.New("the JWK's kid is not its thumbprint")
	}
	return key, nil
}

// parsePublic reads RSA keys itself: go-jose refuses those of more than 4096 bits, unless a variable of its is set for all.
func parsePublic(members map[string]json.RawMessage, text string) (crypto.PublicKey, bool) {
	if member(members, "kty") != "RSA" {
		var jwk jose.JSONWebKey
		err := jwk.UnmarshalJSON([]byte(text))
		return jwk.Key, err == nil
	}
	modulus, modulusErr := base64.RawURLEncoding.DecodeString(member(members, "n"))
	encoded, exponentErr := base64.RawURLEncoding.DecodeString(member(members, "e"))
	exponent := new(big.Int).SetBytes(encoded)
	if modulusErr != nil || exponentErr != nil || exponent.BitLen() > maxExponentBits {
		return nil, false
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(exponent.Int64())}, true
}

// member is the text of a member; "" where it is absent or no text.
func member(members map[string]json.RawMessage, name string) string {
	var text string
	if json.Unmarshal(members[name], &text) != nil {
		return ""
	}
	return text
}

// sound reports whether it is a public key with the bounds that private keys are held to.
func sound(key any) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		return bits >= minModulusBits && bits <= maxModulusBits && key.N.Bit(0) == 1 && key.E >= 3 && key.E&1 == 1
	case *ecdsa.PublicKey:
		return true // that it is on its curve was checked when it was parsed
	default:
		return false
	}
}

// Set is the JWK Set of keys, in their order, each key once.
func Set(keys []PublicKey) []byte {
	listed := make(map[string]bool, len(keys))
	texts := make([]string, 0, len(keys))
	for _, key := range keys {
		if key.jwk == "" || listed[key.ID] {
			continue
		}
		listed[key.ID] = true
		texts = append(texts, key.jwk)
	}
	return []byte(`{"keys":[` + strings.Join(texts, ",") + `]}`)
}
