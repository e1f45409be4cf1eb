package identity_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/secret"
)

const issuer = "https://id.acme.example"

var alice = identity.Subject{Identifier: "alice <&> é", ClientID: "acme", ClientSecret: secret.New("s3cr3t")}

func base64url(bytes []byte) string { return base64.RawURLEncoding.EncodeToString(bytes) }

// TestSignaturesAreVerifiedWithTheSetAlone: by two libraries, for every algorithm.
func TestSignaturesAreVerifiedWithTheSetAlone(t *testing.T) {
	published := make([]identity.PublicKey, 0, len(algorithms))
	for _, algorithm := range algorithms {
		published = append(published, must(identity.GenerateKey(algorithm)).Public()) // keys beside the one that signs
	}
	for _, algorithm := range algorithms {
		key := keyFor(algorithm)
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(identity.Set(append([]identity.PublicKey{key.Public()}, published...)), &set); err != nil {
			t.Fatal(err)
		}
		signer := identity.Signer{Issuer: issuer, Key: key}
		token, err := signer.Sign(alice, noon)
		if err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		compact := token.JWT.Reveal()

		signed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
		if err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		if _, err = signed.Verify(set); err != nil {
			t.Errorf("%s: go-jose: %v", algorithm, err)
		}
		parsed, err := jwt.Parse(compact, func(token *jwt.Token) (any, error) {
			found := set.Key(token.Header["kid"].(string))
			if len(found) != 1 || found[0].Algorithm != token.Method.Alg() || !found[0].IsPublic() {
				return nil, fmt.Errorf("%d keys", len(found))
			}
			return found[0].Key, nil
		}, jwt.WithValidMethods([]string{string(algorithm)}), jwt.WithIssuer(issuer), jwt.WithTimeFunc(func() time.Time { return noon }), jwt.WithIssuedAt())
		if err != nil {
			t.Fatalf("%s: golang-jwt: %v", algorithm, err)
		}
		want := map[string]any{"alg": string(algorithm), "typ": "JWT", "kid": key.ID()}
		if !maps.Equal(parsed.Header, want) {
			t.Errorf("%s: the header is %v", algorithm, parsed.Header)
		}
		if algorithm == identity.PS256 {
			sum := sha256.Sum256([]byte(compact[:strings.LastIndex(compact, ".")]))
			if err := rsa.VerifyPSS(&rsaKey().PublicKey, crypto.SHA256, sum[:], parsed.Signature, &rsa.PSSOptions{SaltLength: sha256.Size}); err != nil {
				t.Errorf("the salt is not as long as the hash: %v", err)
			}
		}
	}
}

// claimsOf reads a JWT as Gini does.
func claimsOf(t *testing.T, token identity.Token) map[string]any {
	t.Helper()
	parts := strings.Split(token.JWT.Reveal(), ".")
	var claims map[string]any
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(parts[1])), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// texts are claims that are strings.
func texts(values map[string]string) map[string]json.RawMessage {
	claims := map[string]json.RawMessage{}
	for name, value := range values {
		claims[name] = must(json.Marshal(value))
	}
	return claims
}

// TestClaims: what a JWT says, and nothing else: iat is half a minute back, and there is no nbf (R11.4).
func TestClaims(t *testing.T) {
	further := texts(map[string]string{"aud": "https://pay-api.gini.net", "tenant": "a"})
	for _, c := range []struct {
		name   string
		signer identity.Signer
		want   map[string]any
	}{
		{"defaults", identity.Signer{}, map[string]any{"x-user-identifier": alice.Identifier, "x-client-id": "acme"}},
		{
			"named", identity.Signer{Names: identity.ClaimNames{UserIdentifier: "sub", ClientID: "cid", ClientSecret: "cs"}},
			map[string]any{"sub": alice.Identifier, "cid": "acme", "cs": "s3cr3t"},
		},
		{
			"further ones", identity.Signer{Claims: further},
			map[string]any{"x-user-identifier": alice.Identifier, "x-client-id": "acme", "aud": "https://pay-api.gini.net", "tenant": "a"},
		},
		{
			"reserved ones", identity.Signer{Claims: texts(map[string]string{
				"iss": "x", "sub": "x", "exp": "x", "nbf": "x", "iat": "x", "jti": "x", "x-user-identifier": "x", "x-client-id": "x", "ok": "y",
			})},
			map[string]any{"x-user-identifier": alice.Identifier, "x-client-id": "acme", "ok": "y"},
		},
	} {
		signer := c.signer
		signer.Issuer, signer.Key = issuer, keyFor(identity.ES256)
		token, err := signer.Sign(alice, noon)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		claims := claimsOf(t, token)
		if id, isText := claims["jti"].(string); !isText || uuid.Validate(id) != nil {
			t.Errorf("%s: jti is %v", c.name, claims["jti"])
		}
		delete(claims, "jti")
		want := maps.Clone(c.want)
		want["iss"], want["iat"], want["exp"] = issuer, float64(noon.Unix()-30), float64(noon.Unix()-30+900)
		if !maps.Equal(claims, want) {
			t.Errorf("%s: %v\nwant %v", c.name, claims, want)
		}
	}
}

func TestEachJWTHasItsOwnID(t *testing.T) {
	signer := identity.Signer{Issuer: issuer, Key: keyFor(identity.ES256)}
	a, b := must(signer.Sign(alice, noon)), must(signer.Sign(alice, noon))
	if claimsOf(t, a)["jti"] == claimsOf(t, b)["jti"] {
		t.Error("two JWTs have one jti")
	}
}

// TestLifetimes: exp - iat is never more than was agreed, and a token says of itself what its claims do (R11.4).
func TestLifetimes(t *testing.T) {
	zone := time.FixedZone("", 5400)
	for _, now := range []time.Time{noon, noon.Add(time.Nanosecond), noon.Add(time.Second - 1), noon.In(zone), time.Now()} {
		for lifetime, want := range map[time.Duration]time.Duration{
			0: identity.DefaultTokenLifetime, -1: identity.DefaultTokenLifetime, time.Minute: time.Minute, 90*time.Second + 1: 90 * time.Second, day: day,
		} {
			signer := identity.Signer{Issuer: issuer, Lifetime: lifetime, Key: keyFor(identity.ES256)}
			token := must(signer.Sign(alice, now))
			claims := claimsOf(t, token)
			issued, expires := int64(claims["iat"].(float64)), int64(claims["exp"].(float64))
			if issued != now.Unix()-30 || time.Duration(expires-issued)*time.Second != want {
				t.Errorf("lifetime %s at %s: iat %d, exp %d", lifetime, now, issued, expires)
			}
			if token.ExpiresAt != time.Unix(expires, 0).UTC() || !token.ObtainedAt.Equal(now) || token.ObtainedAt != now.Round(0).UTC() {
				t.Errorf("lifetime %s at %s: obtained at %s, expires at %s", lifetime, now, token.ObtainedAt, token.ExpiresAt)
			}
		}
	}
}

func TestIncompleteJWTsAreNotSigned(t *testing.T) {
	key := keyFor(identity.ES256)
	withSecret := identity.ClaimNames{ClientSecret: "cs"}
	for _, c := range []struct {
		name    string
		signer  identity.Signer
		subject identity.Subject
		want    error
	}{
		{"no key", identity.Signer{Issuer: issuer}, alice, identity.ErrIncomplete},
		{"no issuer", identity.Signer{Key: key}, alice, identity.ErrIncomplete},
		{"no identifier", identity.Signer{Issuer: issuer, Key: key}, identity.Subject{ClientID: "acme"}, identity.ErrIncomplete},
		{"no client id", identity.Signer{Issuer: issuer, Key: key}, identity.Subject{Identifier: "alice"}, identity.ErrIncomplete},
		{
			"no client secret", identity.Signer{Issuer: issuer, Key: key, Names: withSecret},
			identity.Subject{Identifier: "alice", ClientID: "acme"}, identity.ErrIncomplete,
		},
		{"no text", identity.Signer{Issuer: issuer, Key: key}, identity.Subject{Identifier: "alice\xff", ClientID: "acme"}, identity.ErrNotText},
		{"no text in a claim", identity.Signer{Issuer: issuer, Key: key, Claims: map[string]json.RawMessage{"a": []byte("\"\xff\"")}}, alice, identity.ErrNotText},
	} {
		token, err := c.signer.Sign(c.subject, noon)
		if !errors.Is(err, c.want) || !token.JWT.Empty() {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestReserved(t *testing.T) {
	for _, c := range []struct {
		name  string
		names identity.ClaimNames
		want  bool
	}{
		{"iss", identity.ClaimNames{}, true},
		{"sub", identity.ClaimNames{}, true},
		{"jti", identity.ClaimNames{}, true},
		{"aud", identity.ClaimNames{}, false},
		{"x-user-identifier", identity.ClaimNames{}, true},
		{"x-client-id", identity.ClaimNames{}, true},
		{"x-user-identifier", identity.ClaimNames{UserIdentifier: "u", ClientID: "c"}, false},
		{"u", identity.ClaimNames{UserIdentifier: "u", ClientID: "c"}, true},
		{"c", identity.ClaimNames{UserIdentifier: "u", ClientID: "c"}, true},
		{"s", identity.ClaimNames{ClientSecret: "s"}, true},
		{"", identity.ClaimNames{}, false},
	} {
		if got := identity.Reserved(c.name, c.names); got != c.want {
			t.Errorf("%q with %+v: %t", c.name, c.names, got)
		}
	}
}

// TestVersion: each thing that a JWT depends on changes it, and nothing else does.
func TestVersion(t *testing.T) {
	key := keyFor(identity.RS256)
	base := func() (identity.Signer, identity.Subject) {
		return identity.Signer{Issuer: issuer, Key: key, Claims: texts(map[string]string{"a": "b", "c": "d"})}, alice
	}
	seen := map[string]string{}
	for name, change := range map[string]func(*identity.Signer, *identity.Subject){
		"nothing":           func(*identity.Signer, *identity.Subject) {},
		"key":               func(s *identity.Signer, _ *identity.Subject) { s.Key = keyFor(identity.ES256) },
		"algorithm":         func(s *identity.Signer, _ *identity.Subject) { s.Key = keyFor(identity.PS256) },
		"issuer":            func(s *identity.Signer, _ *identity.Subject) { s.Issuer += "x" },
		"lifetime":          func(s *identity.Signer, _ *identity.Subject) { s.Lifetime = time.Hour },
		"identifier's name": func(s *identity.Signer, _ *identity.Subject) { s.Names.UserIdentifier = "u" },
		"client id's name":  func(s *identity.Signer, _ *identity.Subject) { s.Names.ClientID = "u" },
		"secret's name":     func(s *identity.Signer, _ *identity.Subject) { s.Names.ClientSecret = "u" },
		"a claim":           func(s *identity.Signer, _ *identity.Subject) { s.Claims["a"] = json.RawMessage(`"x"`) },
		"a claim's name":    func(s *identity.Signer, _ *identity.Subject) { s.Claims = texts(map[string]string{"a": "b", "e": "d"}) },
		"a claim less":      func(s *identity.Signer, _ *identity.Subject) { delete(s.Claims, "a") },
		"no claims":         func(s *identity.Signer, _ *identity.Subject) { s.Claims = nil },
		"client id":         func(_ *identity.Signer, s *identity.Subject) { s.ClientID = "other" },
		"no key":            func(s *identity.Signer, _ *identity.Subject) { s.Key = nil },
	} {
		signer, subject := base()
		change(&signer, &subject)
		version := signer.Version(subject)
		if other, taken := seen[version]; taken {
			t.Errorf("%s and %s: the same version", name, other)
		}
		seen[version] = name
		if len(version) != 16 || strings.Trim(version, "0123456789abcdef") != "" {
			t.Errorf("%s: %q is not short hex", name, version)
		}
	}

	signer, subject := base()
	version := signer.Version(subject)
	subject.Identifier, subject.ClientSecret = "bob", secret.New("other")
	signer.Lifetime, signer.Names.UserIdentifier, signer.Claims["iss"] = identity.DefaultTokenLifetime, identity.DefaultUserIdentifierClaim, json.RawMessage(`"left out"`)
	if signer.Version(subject) != version {
		t.Error("what no JWT depends on changes the version")
	}

	signer.Names.ClientSecret = "cs"
	version = signer.Version(subject)
	subject.ClientSecret = secret.New("yet another")
	if signer.Version(subject) == version {
		t.Error("the client secret is a claim, and does not change the version")
	}
}

func TestReservedClaimsAreThoseOfRFC7519ButAud(t *testing.T) {
	if want := []string{"iss", "sub", "exp", "nbf", "iat", "jti"}; !slices.Equal(identity.ReservedClaims, want) {
		t.Errorf("%v, want %v", identity.ReservedClaims, want)
	}
}

func BenchmarkSign(b *testing.B) {
	for _, algorithm := range algorithms {
		b.Run(string(algorithm), func(b *testing.B) {
			signer := identity.Signer{Issuer: issuer, Key: keyFor(algorithm)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := signer.Sign(alice, noon); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
