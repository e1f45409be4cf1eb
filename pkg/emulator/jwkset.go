package emulator

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// minRSABits is RFC 7518's (3.3 and 3.5).
const minRSABits = 2048

// privateMembers are what only a private or symmetric JWK has (RFC 7518, 6; priv is that of AKP keys).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// parseKeySet reads a JWK Set. One that gives a private or symmetric key away is refused as a whole: whoever publishes it, his other keys are
// no safer. Keys of kinds that are not known are left out, as RFC 7517 (5) asks. Errors do not quote what may be a private key.
func parseKeySet(data []byte) (*jose.JSONWebKeySet, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &raw); err != nil || raw.Keys == nil {
		return nil, errors.New("not a JWK Set")
	}
	set := &jose.JSONWebKeySet{}
	for i, one := range raw.Keys {
		var members map[string]json.RawMessage
		if json.Unmarshal(one, &members) != nil || members == nil {
			return nil, fmt.Errorf("key %d is not a JSON object", i)
		}
		for _, name := range privateMembers {
			if _, has := members[name]; has {
				return nil, fmt.Errorf("key %d is private or symmetric: it has the member %s", i, name)
			}
		}
		var key jose.JSONWebKey
		err := key.UnmarshalJSON(one)
		switch {
		case errors.Is(err, jose.ErrUnsupportedKeyType):
		case err != nil || !key.Valid() || !key.IsPublic():
			return nil, fmt.Errorf("key %d is not a valid public key", i)
		default:
			set.Keys = append(set.Keys, key)
		}
	}
	return set, nil
}

// isFor tells whether a key may check signatures of this algorithm: by its use, by its alg where it has one, and by what it is.
func isFor(k jose.JSONWebKey, alg string) bool {
	if k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != alg {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return (strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")) && key.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return alg == map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[key.Curve.Params().BitSize]
	}
	return false
}
