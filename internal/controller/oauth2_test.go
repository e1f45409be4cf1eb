package controller_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	providerID     = "operator-at-acme"
	providerSecret = "s3cr3t-of-the-provider"
	kidOfProvider  = "provider-key"
)

// customersProvider is an identity provider as a customer may have: a token endpoint for the client credentials grant, and a
// JWK Set.
type customersProvider struct {
	*httptest.Server
	w   *world
	key *ecdsa.PrivateKey

	mu       sync.Mutex
	secret   string
	lifetime time.Duration
	requests []string // the identifiers that were asked for
	refused  string   // an identifier for which it has no JWT
	status   int      // of the next answers; 0: as it should be
	body     string   // of answers with another status, or in place of a JWT
	claims   func(claims jwt.MapClaims)
}

// newProvider starts one that Gini trusts, and is trusted by the client to come.
func (w *world) newProvider() *customersProvider {
	GinkgoHelper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	p := &customersProvider{w: w, key: key, secret: providerSecret, lifetime: 10 * time.Minute}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /keys", func(out http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(out).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: kidOfProvider, Algorithm: "ES256", Use: "sig"}}})
	})
	p.Server = httptest.NewServer(mux)
	DeferCleanup(p.Close)
	w.gini.SetJWT(clientID, emulator.JWT{Issuer: issuer, JWKSURL: p.URL + "/keys"})
	w.allowed = append(w.allowed, p.URL)
	w.restart()
	return p
}

func (p *customersProvider) token(out http.ResponseWriter, request *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, password, _ := request.BasicAuth()
	user := request.PostFormValue("user")
	p.requests = append(p.requests, user)
	answer := func(status int, body any) {
		out.Header().Set("Content-Type", "application/json")
		out.WriteHeader(status)
		_ = json.NewEncoder(out).Encode(body)
	}
	switch {
	case p.refused != "" && user == p.refused:
		answer(http.StatusForbidden, map[string]string{"error": "access_denied", "error_description": marker})
		return
	case p.status != 0:
		answer(p.status, map[string]string{"error": p.body, "error_description": marker})
		return
	case id != providerID || password != p.secret || request.PostFormValue("grant_type") != "client_credentials":
		answer(http.StatusUnauthorized, map[string]string{"error": "invalid_client", "error_description": marker})
		return
	}
	now := p.w.clock.Now()
	claims := jwt.MapClaims{
		"iss": issuer, "x-user-identifier": user, "x-client-id": clientID, "iat": now.Unix(), "exp": now.Add(p.lifetime).Unix(), "marker": marker,
	}
	if p.claims != nil {
		p.claims(claims)
	}
	signed := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	signed.Header["kid"] = kidOfProvider
	text, err := signed.SignedString(p.key)
	if err != nil {
		panic(err)
	}
	if p.body != "" {
		text = p.body
	}
	answer(http.StatusOK, map[string]any{"access_token": text, "token_type": "Bearer", "expires_in": 5})
}

// asked returns whom the provider was asked for since it was last called.
func (p *customersProvider) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.requests
	p.requests = nil
	return asked
}

func (p *customersProvider) change(change func(*customersProvider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// client makes a GiniClient whose JWTs the provider gives.
func (p *customersProvider) client(ctx context.Context, change ...func(*api.GiniClient)) {
	GinkgoHelper()
	p.w.secret(ctx, "provider", map[string]string{"client-id": providerID, "client-secret": providerSecret})
	p.w.giniClient(ctx, append([]func(*api.GiniClient){p.spec}, change...)...)
}

func (p *customersProvider) spec(object *api.GiniClient) {
	object.Spec.AnonymousUsers = nil // whose credentials would be probed
	object.Spec.IdentityProvider = &api.IdentityProvider{OAuth2: &api.OAuth2{
		TokenURL: p.URL + "/token", ClientCredentialsSecretRef: api.ClientCredentialsReference{Name: "provider"},
		UserIdentifierParameter: "user", Scopes: []api.Scope{"gini"}, Issuer: issuer,
	}}
}

// finished reconciles a user until it asks for no more at once.
func (w *world) finished(ctx context.Context, user *api.GiniUser) *api.GiniUser {
	GinkgoHelper()
	if user.UID == "" {
		Expect(k8s.Create(ctx, user)).To(Succeed())
	}
	for range 5 {
		if result := w.reconcile(ctx, user.Name); result.RequeueAfter == 0 || result.RequeueAfter > 10*time.Millisecond {
			break
		}
	}
	return w.user(ctx, user.Name)
}

var _ = Describe("A customer's own identity provider", func() {
	It("gives both kinds of device what they need, by one request to it", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.newProvider()
		p.client(ctx)
		user := w.byJWT("alice")
		user.Spec.Devices.Untrusted = w.derived("alice").Spec.Devices.Untrusted
		user = w.finished(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(p.asked()).To(Equal([]string{"alice-8f1c"}))
		Expect(w.gini.Requests()).To(Equal(1))
		Expect(w.useJWT(ctx, "alice-backend")).To(Equal(http.StatusOK))
		Expect(w.use(ctx, map[string]string{"Authorization": w.data(ctx, "alice-token")["authorization"]})).To(Equal(http.StatusOK))
		object := w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionIdentityProviderReady)).To(Equal("True JWTsReady"))
		Expect(object.Status.JWKS).To(BeNil())
		w.restart()
		Expect(w.clientReconciled(ctx).ResourceVersion).To(Equal(object.ResourceVersion), "a restart is no news")

		By("renewing the JWT when its own exp says so, without a request to Gini")
		Expect(user.Status.Devices.Trusted.ExpiresAt.Time).To(BeTemporally("==", w.clock.Now().Add(10*time.Minute)))
		mark, before := w.gini.Mark(), w.data(ctx, "alice-backend")["jwt"]
		w.clock.SetTime(user.Status.Devices.Trusted.RefreshAt.Add(-time.Second))
		w.finished(ctx, user)
		Expect(p.asked()).To(BeEmpty())
		w.clock.Step(2 * time.Second)
		user = w.finished(ctx, user)
		Expect(p.asked()).To(HaveLen(1))
		Expect(w.data(ctx, "alice-backend")["jwt"]).NotTo(Equal(before))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
		Expect(w.useJWT(ctx, "alice-backend")).To(Equal(http.StatusOK))

		By("asking it for another JWT when the access token is due")
		w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		user = w.finished(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(p.asked()).To(HaveLen(1))
		Expect(user.Status.Devices.Untrusted.ExpiresAt.Time).To(BeTemporally(">", w.clock.Now().Add(11*time.Hour)))
	})

	It("that fails holds up nobody but its users, who keep what they have", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.newProvider()
		p.client(ctx)
		user := w.finished(ctx, w.byJWT("alice"))
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		p.change(func(p *customersProvider) {
			p.status, p.body = http.StatusServiceUnavailable, "temporarily_unavailable"
		})
		w.clock.SetTime(user.Status.Devices.Trusted.RefreshAt.Add(time.Second))
		user = w.finished(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(condition(user.Status.Conditions, api.ConditionSecretsWritten)).To(Equal("True IdentityProviderUnavailable"))
		Expect(ready(w.reconciled(ctx, w.derived("basic")))).To(Equal("True CredentialsReady"), "Gini is well")

		w.clock.SetTime(user.Status.Devices.Trusted.ExpiresAt.Add(time.Second))
		user = w.finished(ctx, user)
		Expect(ready(user)).To(Equal("False IdentityProviderUnavailable"))
		p.change(func(p *customersProvider) { p.status, p.body = 0, "" })
		w.clock.Step(16 * time.Second)
		Expect(ready(w.finished(ctx, user))).To(Equal("True CredentialsReady"))
		Expect(w.useJWT(ctx, "alice-backend")).To(Equal(http.StatusOK))
	})

	It("is not believed where it gives a JWT for another user", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.newProvider()
		p.client(ctx)
		p.change(func(p *customersProvider) {
			p.claims = func(claims jwt.MapClaims) { claims["x-user-identifier"] = "bob-8f1c" }
		})
		user := w.byJWT("alice")
		user.Spec.Devices.Untrusted = w.derived("alice").Spec.Devices.Untrusted
		user = w.finished(ctx, user)
		Expect(ready(user)).To(Equal("False JWTNotIssued"))
		Expect(w.stored(ctx, "alice-backend")).To(BeNil())
		Expect(w.stored(ctx, "alice-token")).To(BeNil())
		Expect(w.gini.Requests()).To(BeZero())

		By("not asking again until it is time, also over a restart")
		p.asked()
		w.restart()
		w.finished(ctx, user)
		Expect(p.asked()).To(BeEmpty())

		By("but at once where its claims are read by another name")
		p.change(func(p *customersProvider) {
			p.claims = func(claims jwt.MapClaims) { claims["sub"] = "alice-8f1c" }
		})
		w.updateClient(ctx, func(object *api.GiniClient) {
			object.Spec.IdentityProvider.OAuth2.ClaimNames = &api.ClaimNames{UserIdentifier: "sub"}
		})
		w.gini.SetJWT(clientID, emulator.JWT{Issuer: issuer, JWKSURL: p.URL + "/keys", UserIdentifierClaim: "sub"})
		Expect(ready(w.finished(ctx, user))).To(Equal("True CredentialsReady"))
	})

	It("is not believed to have spoken of a GiniUser that took the name of another", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.newProvider()
		p.client(ctx)
		user := w.byJWT("alice")
		user.Spec.Devices = w.derived("alice").Spec.Devices
		user = w.finished(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		p.asked()
		Expect(k8s.Delete(ctx, user)).To(Succeed())
		w.delete(ctx, &corev1.Secret{}, "alice-token") // as the garbage collector does
		again := w.byJWT("alice")
		again.Spec.Devices, again.Spec.Derived.Identifier = w.derived("alice").Spec.Devices, "victor-0000"
		again = w.finished(ctx, again)
		Expect(ready(again)).To(Equal("True CredentialsReady"))
		Expect(p.asked()).To(Equal([]string{"victor-0000"}))
		Expect(w.gini.Ledger().User("victor-0000").TokensIssued).To(Equal(1))
	})

	It("that denies one user goes on serving the others", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.newProvider()
		p.client(ctx)
		alice := w.finished(ctx, w.byJWT("alice"))
		p.change(func(p *customersProvider) { p.status, p.body = http.StatusForbidden, "access_denied" })
		mallory := w.finished(ctx, w.byJWT("mallory"))
		Expect(ready(mallory)).To(Equal("False JWTNotIssued"))
		p.change(func(p *customersProvider) { p.status, p.body = 0, "" })
		w.clock.SetTime(alice.Status.Devices.Trusted.RefreshAt.Add(time.Second))
		alice = w.finished(ctx, alice)
		Expect(ready(alice)).To(Equal("True CredentialsReady"))
		Expect(alice.Status.Devices.Trusted.RefreshAt.Time).To(BeTemporally(">", w.clock.Now()))
	})

	It("that demands an audience is not said to refuse the credentials", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.newProvider()
		p.client(ctx)
		p.change(func(p *customersProvider) { p.status, p.body = http.StatusForbidden, "access_denied" })
		user := w.finished(ctx, w.byJWT("alice"))
		Expect(ready(user)).To(Equal("False IdentityProviderUnexpected"))
		written := meta.FindStatusCondition(user.Status.Conditions, api.ConditionSecretsWritten)
		Expect(written.Message).To(And(ContainSubstring("check oauth2.parameters (such as audience)"), ContainSubstring("403, access_denied"),
			Not(ContainSubstring("credentials are rejected")), Not(ContainSubstring("the right ones"))))
		p.change(func(p *customersProvider) { p.status, p.body = 0, "" })
		w.updateClient(ctx, func(object *api.GiniClient) {
			object.Spec.IdentityProvider.OAuth2.Parameters = map[string]api.ParameterValue{"audience": "https://pay-api.gini.net"}
		})
		Expect(ready(w.finished(ctx, user))).To(Equal("True CredentialsReady"), "at once")
	})

	It("whose secret is rotated, or whose GiniClient is made again, is not asked for what is valid", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.newProvider()
		p.client(ctx)
		user := w.finished(ctx, w.byJWT("alice"))
		before := w.data(ctx, "alice-backend")
		p.asked()
		p.change(func(p *customersProvider) { p.secret = "rotated" })
		w.updateSecret(ctx, "provider", map[string]string{"client-secret": "rotated"})
		w.finished(ctx, user)
		object := w.clientReconciled(ctx)
		w.delete(ctx, &api.GiniClient{}, "acme")
		Expect(k8s.Create(ctx, &api.GiniClient{ObjectMeta: w.objectMeta("acme"), Spec: object.Spec})).To(Succeed())
		w.finished(ctx, user)
		Expect(p.asked()).To(BeEmpty())
		Expect(w.data(ctx, "alice-backend")).To(Equal(before))
	})

	It("is asked only on an allowed host", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.newProvider()
		p.client(ctx, func(object *api.GiniClient) {
			object.Spec.IdentityProvider.OAuth2.TokenURL = "http://169.254.169.254/token"
		})
		Expect(ready(w.finished(ctx, w.byJWT("alice")))).To(Equal("False HostNotAllowed"))
		object := w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionIdentityProviderReady)).To(Equal("False HostNotAllowed"))
		Expect(ready(w.reconciled(ctx, w.derived("basic")))).To(Equal("True CredentialsReady"), "Basic needs no JWT")
	})
})

// byProvider makes a client of a provider that misbehaves, and a user who needs it.
func byProvider(change func(*customersProvider)) func(context.Context, *world, *api.GiniUser) {
	return func(ctx context.Context, w *world, user *api.GiniUser) {
		w.provider = w.newProvider()
		w.provider.client(ctx)
		if change != nil {
			w.provider.change(change)
		}
		user.Spec.Derived.Auth = api.JWTAuth
		user.Spec.Devices = api.Devices{Trusted: trusted("alice-backend")}
	}
}

func wellProvider(_ context.Context, w *world) {
	w.provider.change(func(p *customersProvider) { p.status, p.body, p.claims, p.secret = 0, "", nil, providerSecret })
}

// signing makes a client that signs JWTs, and a user who needs one.
func signing(change func(ctx context.Context, w *world, object *api.GiniClient)) func(context.Context, *world, *api.GiniUser) {
	return func(ctx context.Context, w *world, user *api.GiniUser) {
		w.signingClient(ctx, func(object *api.GiniClient) { change(ctx, w, object) })
		user.Spec.Derived.Auth = api.JWTAuth
		user.Spec.Devices = api.Devices{Trusted: trusted("alice-backend")}
	}
}

func init() {
	for reason, trouble := range jwtTroubles {
		troubles[reason] = trouble
	}
}
