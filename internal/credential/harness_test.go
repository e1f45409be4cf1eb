package credential_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	clientID     = "acme"
	clientSecret = "s3cr3t-of-acme"
	email        = "3a6f@users.acme.example"
	issuer       = "https://id.acme.example"
)

var (
	noon     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	password = secret.New("a-long-password")
)

// signingKey is the one that Gini knows of the client's identity provider.
var signingKey = sync.OnceValue(func() *identity.Key {
	key, err := identity.GenerateKey(identity.ES256)
	if err != nil {
		panic(err)
	}
	return key
})

// jwtOf is a JWT for a user, good for a day from noon on.
func jwtOf(user string) secret.Text { return signedBy(signingKey(), user) }

func signedBy(key *identity.Key, user string) secret.Text {
	signer := identity.Signer{Issuer: issuer, Lifetime: 24 * time.Hour, Key: key}
	token, err := signer.Sign(identity.Subject{ClientID: clientID, Identifier: user}, noon)
	if err != nil {
		panic(err)
	}
	return token.JWT
}

// world is an emulated Gini and a client of it.
type world struct {
	*emulator.Server
	*gini.Client
	t     *testing.T
	clock *testclock.FakeClock
	url   *url.URL
}

func newWorld(t *testing.T, options ...emulator.Option) *world {
	t.Helper()
	w := &world{t: t, clock: testclock.NewFakeClock(noon)}
	keys := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		_, _ = answer.Write(identity.Set([]identity.PublicKey{signingKey().Public()}))
	}))
	t.Cleanup(keys.Close)
	client := emulator.WithClient(clientID, clientSecret, emulator.WithJWT(emulator.JWT{Issuer: issuer, JWKSURL: keys.URL}))
	w.Server = emulator.New(append([]emulator.Option{emulator.WithClock(w.clock), client}, options...)...)
	address, err := w.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Server.Close)
	if w.url, err = gini.ParseEndpoint(address, true); err != nil {
		t.Fatal(err)
	}
	w.Client = w.as(clientID, clientSecret)
	return w
}

// as is a client of the same Gini with other credentials.
func (w *world) as(id, secretOfClient string) *gini.Client {
	w.t.Helper()
	client, err := gini.New(gini.Config{
		Endpoints: gini.Endpoints{PayAPI: w.url, UserCenter: w.url}, ClientID: id, ClientSecret: secret.New(secretOfClient), Clock: w.clock,
		OverlapPause: time.Millisecond,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client
}

// requests tells what was asked since a mark, in order, such as "PasswordLogin CreateUser".
func (w *world) requests(since emulator.Mark) string {
	var asked []string
	for _, call := range w.Ledger().CallsSince(since) {
		asked = append(asked, string(call.Operation))
	}
	return strings.Join(asked, " ")
}

func (w *world) expectRequests(since emulator.Mark, want string) {
	w.t.Helper()
	if got := w.requests(since); got != want {
		w.t.Errorf("asked %q, want %q", got, want)
	}
}
