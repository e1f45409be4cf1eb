package emulator_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const issuer = "https://id.acme.example"

// provider is an identity provider's JWK Set server.
type provider struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	status int
	header map[string]string
	body   string
	hits   int
	gate   chan struct{} // not nil: answers wait for it
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{t: t, status: http.StatusOK}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.url = s.URL + "/jwks.json"
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.hits++
	gate := p.gate
	p.mu.Unlock()
	if gate != nil {
		<-gate
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, value := range p.header {
		w.Header().Set(name, value)
	}
	if r.URL.Path != "/jwks.json" {
		w.Header().Del("Location")
		_, _ = io.WriteString(w, p.body)
		return
	}
	w.WriteHeader(p.status)
	_, _ = io.WriteString(w, p.body)
}

// answer sets what is answered from now on.
func (p *provider) answer(status int, body string, header map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.body, p.header = status, body, header
}

// publish answers with the public keys of these signers.
func (p *provider) publish(signers ...signer) {
	p.t.Helper()
	p.answer(http.StatusOK, keySet(p.t, signers...), nil)
}

// hold makes answers wait until the returned function is called.
func (p *provider) hold() (release func()) {
	gate := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = gate
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.gate = nil
		close(gate)
	}
}

func (p *provider) fetches() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits
}

func keySet(t *testing.T, signers ...signer) string {
	t.Helper()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, s := range signers {
		set.Keys = append(set.Keys, s.public())
	}
	return toJSON(t, set)
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// signer is a key as it is published and used.
type signer struct {
	kid, alg string
	use      string
	key      crypto.Signer
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Algorithm: s.alg, Use: s.use}
}

var rsaKeys = [2]func() *rsa.PrivateKey{rsaKey(2048), rsaKey(2048)} // making one is slow, so that tests share them

func rsaKey(bits int) func() *rsa.PrivateKey {
	return sync.OnceValue(func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return key
	})
}

func rsaSigner(kid, alg string) signer { return signer{kid, alg, "sig", rsaKeys[0]()} }

func ecSigner(t *testing.T, kid, alg string) signer {
	t.Helper()
	curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}[alg]
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{kid, alg, "sig", key}
}

// good are the claims of alice's JWT, as gini-api's example has them, at the time of the emulator.
func (g *gini) good() jwt.MapClaims {
	now := g.clock.Now()
	return jwt.MapClaims{
		"iss": issuer, "x-user-identifier": "alice", "x-client-id": acme,
		"iat": now.Unix(), "exp": now.Add(15 * time.Minute).Unix(), "jti": fmt.Sprint(now.UnixNano()),
	}
}

// but are the claims with others; nil takes one away.
func but(claims jwt.MapClaims, name string, value any) jwt.MapClaims {
	claims = maps.Clone(claims)
	if claims[name] = value; value == nil {
		delete(claims, name)
	}
	return claims
}

// signed makes a JWT by the signer's key.
func (g *gini) signed(s signer, claims jwt.MapClaims) string {
	g.Helper()
	return g.forged(map[string]any{"alg": s.alg, "typ": "JWT", "kid": s.kid}, claims, jwt.GetSigningMethod(s.alg), s.key)
}

// forged makes a JWT whose header need not fit its signature.
func (g *gini) forged(header map[string]any, claims jwt.MapClaims, method jwt.SigningMethod, key any) string {
	g.Helper()
	t := jwt.NewWithClaims(method, claims)
	t.Header = header
	made, err := t.SignedString(key)
	if err != nil {
		g.Fatal(err)
	}
	return made
}

func jwtHeader(token string) header { return header{"X-JWT-Authorization", "Bearer " + token} }

func (g *gini) jwtLogin(token string, more ...header) reply {
	g.Helper()
	return g.do("POST", "/login", "", append([]header{jwtHeader(token), accept(payAccept)}, more...)...)
}

func (g *gini) jwtDocuments(token string, more ...header) reply {
	g.Helper()
	return g.do("GET", "/documents", "", append([]header{jwtHeader(token), accept(payAccept)}, more...)...)
}

// startedWithJWT is an emulator whose client acme has an identity provider, which publishes that signer.
func startedWithJWT(t *testing.T, s signer, config emulator.JWT, opts ...emulator.Option) (*gini, *provider) {
	t.Helper()
	p := newProvider(t)
	p.publish(s)
	config.Issuer, config.JWKSURL = issuer, p.url
	return started(t, append(opts, emulator.WithClient(acme, secret, emulator.WithJWT(config)))...), p
}
