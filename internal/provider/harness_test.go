package provider

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/secret"
)

const (
	testIdentifier = "team-a-8f1c"
	testIssuer     = "https://id.acme.example"
	testClientID   = "operator:1"
	testSecret     = "s3cret/+ü %"
	testGiniID     = "acme"
	testKeyID      = "key-1"
)

// testNow has a fraction of a second, as clocks do.
var testNow = time.Date(2026, 11, 25, 12, 0, 0, 500_000_000, time.UTC)

// signingKey is made once, as that takes a while.
var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// identityProvider is a customer's: a token endpoint that takes client credentials (RFC 6749, 4.4) and a JWK Set.
type identityProvider struct {
	*httptest.Server
	basic, post bool // the ways in which it takes the client's credentials
	raw         bool // HTTP Basic as it is, not form-encoded
	clientID    string
	secret      string
	scopes      []string
	users       []string // empty: all

	spoil  func(header, claims map[string]any) // what is wrong with its JWTs
	answer http.HandlerFunc                    // in place of all that, where it is not nil

	mu       sync.Mutex
	requests []*http.Request // with their forms
}

func newProvider(t testing.TB) *identityProvider {
	t.Helper()
	p := &identityProvider{basic: true, post: true, clientID: testClientID, secret: testSecret, scopes: []string{"gini", "documents"}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", p.token)
	mux.HandleFunc("GET /jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: &signingKey().PublicKey, KeyID: testKeyID, Algorithm: "RS256", Use: "sig"},
		}})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *identityProvider) token(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	r.PostForm, _ = url.ParseQuery(string(content))
	p.mu.Lock()
	p.requests = append(p.requests, r)
	answer := p.answer
	p.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	form := r.PostForm
	id, password, isBasic := r.BasicAuth()
	if !p.raw {
		id, _ = url.QueryUnescape(id)
		password, _ = url.QueryUnescape(password)
	}
	isPost := form.Get("client_id") != ""
	switch {
	case isBasic == isPost || isPost && !p.post:
		says(http.StatusBadRequest, `{"error":"invalid_request"}`)(w, r)
		return
	case isPost:
		id, password = form.Get("client_id"), form.Get("client_secret")
	}
	switch {
	case isBasic && !p.basic, id != p.clientID, password != p.secret:
		says(http.StatusUnauthorized, `{"error":"invalid_client"}`, "WWW-Authenticate", "Basic")(w, r)
	case r.Header.Get("Content-Type") != "application/x-www-form-urlencoded":
		says(http.StatusUnsupportedMediaType, "")(w, r)
	case form.Get("grant_type") != "client_credentials":
		says(http.StatusBadRequest, `{"error":"unsupported_grant_type"}`)(w, r)
	case form.Get("scope") != "" && form.Get("scope") != "gini documents":
		says(http.StatusBadRequest, `{"error":"invalid_scope"}`)(w, r)
	case len(p.users) > 0 && !slices.Contains(p.users, form.Get("sub")):
		says(http.StatusBadRequest, `{"error":"invalid_grant"}`)(w, r)
	default:
		p.grant(w, form.Get("sub"))
	}
}

func (p *identityProvider) grant(w http.ResponseWriter, user string) {
	header, claims := goodJWT(user)
	if p.spoil != nil {
		p.spoil(header, claims)
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": signed(header, claims), "token_type": "Bearer", "expires_in": 3600.5, "scope": "gini"})
}

// goodJWT is a JWT's header and claims as Gini wants them.
func goodJWT(user string) (header, claims map[string]any) {
	return map[string]any{"typ": "JWT", "alg": "RS256", "kid": testKeyID}, map[string]any{
		"iss": testIssuer, "x-user-identifier": user, "x-client-id": testGiniID,
		"iat": testNow.Unix(), "exp": testNow.Add(15 * time.Minute).Unix(), "jti": "1",
	}
}

// signed signs as the header says where that is RS256, HS256 or none, and with some bytes otherwise.
func signed(header, claims map[string]any) string {
	token := &jwt.Token{Header: header, Claims: jwt.MapClaims(claims), Method: jwt.SigningMethodRS256}
	content, err := token.SigningString()
	if err != nil {
		panic(err)
	}
	switch signature, alg := []byte("some bytes"), header["alg"]; alg {
	case "RS256":
		if signature, err = token.Method.Sign(content, signingKey()); err != nil {
			panic(err)
		}
		return content + "." + token.EncodeSegment(signature)
	case "HS256":
		if signature, err = jwt.SigningMethodHS256.Sign(content, []byte(testSecret)); err != nil {
			panic(err)
		}
		return content + "." + token.EncodeSegment(signature)
	case "none":
		return content + "."
	default:
		return content + "." + token.EncodeSegment(signature)
	}
}

func (p *identityProvider) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.requests)
}

func says(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func configOf(t testing.TB, address string) Config {
	t.Helper()
	endpoint, err := url.Parse(address + "/oauth2/token")
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		TokenURL: endpoint, ClientID: testClientID, ClientSecret: secret.New(testSecret), Issuer: testIssuer, GiniClientID: testGiniID,
		Clock: clocktesting.NewFakePassiveClock(testNow),
	}
}

func clientOf(t testing.TB, address string, options ...func(*Config)) *Client {
	t.Helper()
	config := configOf(t, address)
	for _, option := range options {
		option(&config)
	}
	client, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// bounded is a context that ends a test which hangs.
func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// wantFailure compares an error's kind and detail, and sees that it is said of the right server.
func wantFailure(t testing.TB, err error, kind gini.Kind, detail string) {
	t.Helper()
	failure, ok := errors.AsType[*gini.Error](err)
	if !ok || failure.Kind != kind || failure.Detail != detail || failure.System != System || failure.Operation != OperationClientCredentials {
		t.Errorf("%v, want %s: %q", err, kind, detail)
	}
}
