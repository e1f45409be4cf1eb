package identity_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/gini-operator/gini-operator/internal/identity"
)

// The example of RFC 7638, 3.1, with the members that are ours.
const (
	rfc7638Thumbprint = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
	rfc7638Modulus    = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W" +
		"-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyr" +
		"dkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
)

func rfc7638() map[string]any {
	return map[string]any{"kty": "RSA", "n": rfc7638Modulus, "e": "AQAB", "alg": "RS256", "use": "sig", "kid": rfc7638Thumbprint}
}

func TestThumbprintOfRFC7638(t *testing.T) {
	key, err := identity.ParsePublicKey(string(must(json.Marshal(rfc7638()))))
	if err != nil || key.ID != rfc7638Thumbprint || key.Algorithm != identity.RS256 {
		t.Errorf("%s for %s: %v", key.ID, key.Algorithm, err)
	}
}

func TestPublicKeysAreReadAsWritten(t *testing.T) {
	for _, algorithm := range algorithms {
		key := keyFor(algorithm).Public()
		noPrivateMember(t, []byte(key.JSON()))
		again, err := identity.ParsePublicKey(key.JSON())
		if err != nil || again != key {
			t.Errorf("%s: %v", algorithm, err)
		}
		var members map[string]any
		if err := json.Unmarshal([]byte(key.JSON()), &members); err != nil {
			t.Fatal(err)
		}
		if members["kid"] != key.ID || members["alg"] != string(algorithm) || members["use"] != "sig" {
			t.Errorf("%s: %s", algorithm, key.JSON())
		}
		indented := must(json.MarshalIndent(members, "", "  "))
		if again, err := identity.ParsePublicKey(string(indented)); err != nil || again != key {
			t.Errorf("%s, written otherwise: %v", algorithm, err)
		}
	}
}

func TestUnfitPublicKeysAreRefused(t *testing.T) {
	private := func(algorithm identity.Algorithm) string {
		return string(must(json.Marshal(jose.JSONWebKey{
			Key: native(algorithm), Algorithm: string(algorithm), Use: "sig", KeyID: keyFor(algorithm).ID(),
		})))
	}
	for name, text := range map[string]string{
		"nothing":             "",
		"null":                "null",
		"text":                "s3cr3t",
		"a list":              "[]",
		"an empty object":     "{}",
		"a private RSA key":   private(identity.RS256),
		"a private EC key":    private(identity.ES256),
		"a symmetric key":     `{"kty":"oct","k":"c2VjcmV0","alg":"HS256","use":"sig","kid":"x"}`,
		"an Ed25519 key":      `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","alg":"EdDSA","use":"sig"}`,
		"trailing text":       keyFor(identity.ES256).Public().JSON() + "x",
		"a point off a curve": strings.Replace(keyFor(identity.ES256).Public().JSON(), `"x":"`, `"x":"AAAA`, 1),
		"too long":            strings.Replace(keyFor(identity.ES256).Public().JSON(), "{", "{"+strings.Repeat(" ", 4<<10), 1),
	} {
		if key, err := identity.ParsePublicKey(text); err == nil || key != (identity.PublicKey{}) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: read as %v: %v", name, key, err)
		}
	}
	for name, change := range map[string]map[string]any{
		"another kid":         {"kid": "another"},
		"no kid":              {"kid": nil},
		"no algorithm":        {"alg": nil},
		"an unknown one":      {"alg": "none"},
		"an algorithm for EC": {"alg": "ES256"},
		"encryption":          {"use": "enc"},
		"no use":              {"use": nil},
		"an even exponent":    {"e": "AQAA"},
		"a huge exponent":     {"e": "AQABAQABAQABAQAB"},
		"a long exponent":     {"e": "AQAAAAE"},
		"an exponent of 1":    {"e": "AQ"},
		"a short modulus":     {"n": rfc7638Modulus[:300]},
		"an even modulus":     {"n": rfc7638Modulus[:341] + "A"},
		"padded":              {"n": rfc7638Modulus + "=="},
		"no modulus":          {"n": nil},
		"no exponent":         {"e": nil},
		"numbers":             {"e": 65537},
		"a private member":    {"d": "AQAB"},
		"a prime":             {"p": "AQAB"},
	} {
		members := rfc7638()
		maps.Copy(members, change)
		maps.DeleteFunc(members, func(_ string, value any) bool { return value == nil })
		text := string(must(json.Marshal(members)))
		if _, kid := change["kid"]; !kid {
			text = withThumbprint(members)
		}
		if _, err := identity.ParsePublicKey(text); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

// TestLongPublicKeys: as long as private keys may be, and no longer.
func TestLongPublicKeys(t *testing.T) {
	for bits, want := range map[int]bool{2047: false, 2048: true, 4096: true, 4097: true, 8192: true, 8193: false} {
		modulus := new(big.Int).SetBit(big.NewInt(1), bits-1, 1)
		key := jose.JSONWebKey{Key: &rsa.PublicKey{N: modulus, E: 65537}, Algorithm: "RS256", Use: "sig"}
		key.KeyID = base64url(must(key.Thumbprint(crypto.SHA256)))
		read, err := identity.ParsePublicKey(string(must(key.MarshalJSON())))
		if (err == nil) != want || want && read.JSON() != string(must(key.MarshalJSON())) {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}

// withThumbprint gives a key the kid that it would have, so that it is refused for what it is tested for.
func withThumbprint(members map[string]any) string {
	sum := sha256.Sum256(must(json.Marshal(map[string]any{"e": members["e"], "kty": members["kty"], "n": members["n"]})))
	members["kid"] = base64url(sum[:])
	return string(must(json.Marshal(members)))
}

func TestSetListsEachKeyOnceInOrder(t *testing.T) {
	a, b := keyFor(identity.ES256).Public(), keyFor(identity.RS256).Public()
	for _, c := range []struct {
		keys []identity.PublicKey
		want string
	}{
		{nil, `{"keys":[]}`},
		{[]identity.PublicKey{{}}, `{"keys":[]}`},
		{[]identity.PublicKey{a}, `{"keys":[` + a.JSON() + `]}`},
		{[]identity.PublicKey{b, a, b}, `{"keys":[` + b.JSON() + `,` + a.JSON() + `]}`},
		{[]identity.PublicKey{a, keyFor(identity.PS256).Public(), b}, `{"keys":[` + a.JSON() + `,` + keyFor(identity.PS256).Public().JSON() + `]}`},
	} {
		set := identity.Set(c.keys)
		if string(set) != c.want {
			t.Errorf("%s\nwant %s", set, c.want)
		}
		noPrivateMember(t, set)
	}
}
