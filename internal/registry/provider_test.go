package registry_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/registry"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// identityProvider is a customer's own, and counts the connections to it.
type identityProvider struct {
	*httptest.Server
	key    *identity.Key
	giniID string // the client id in its JWTs
	closed chan struct{}

	mu     sync.Mutex
	opened int
	asked  []string // the client ids at the provider, users and scopes
}

func providerCredentials() map[string][]byte {
	return map[string][]byte{"client-id": []byte("operator"), "client-secret": []byte("id-s3cr3t")}
}

// newProviderWorld is a world whose client gets JWTs from an identity provider, which has a certificate of the client's CA bundle.
func newProviderWorld(t *testing.T) (*world, *identityProvider) {
	t.Helper()
	w := newWorld(t)
	p := &identityProvider{key: newKey(t), giniID: "acme", closed: make(chan struct{}, 100)}
	certificate, authority, err := emulator.SelfSignedCertificate()
	if err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewUnstartedServer(p)
	p.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	p.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch state {
		case http.StateNew:
			p.opened++
		case http.StateClosed:
			p.closed <- struct{}{}
		default:
		}
	}
	p.StartTLS()
	t.Cleanup(p.Close)
	bundle := &corev1.ConfigMap{ObjectMeta: meta("ca")}
	w.change(bundle, func() { bundle.Data["ca.crt"] += string(authority) })
	w.create(&corev1.Secret{ObjectMeta: meta("acme-id"), Data: providerCredentials()})
	w.client.Spec.IdentityProvider = &api.IdentityProvider{OAuth2: &api.OAuth2{
		TokenURL: p.URL + "/token", ClientCredentialsSecretRef: api.ClientCredentialsReference{Name: "acme-id"}, Issuer: issuer,
	}}
	if w.Allowed, err = registry.ParseAllowedHosts([]string{w.client.Spec.Endpoints.UserCenter.URL, p.URL, "https://*.gini.net"}); err != nil {
		t.Fatal(err)
	}
	return w, p
}

// ServeHTTP is its token endpoint.
func (p *identityProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, password, _ := r.BasicAuth()
	if password == "a+b/c=%41:e" {
		id += "(raw)"
	}
	user := r.PostFormValue("sub") + r.PostFormValue("username")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, strings.Join([]string{id, user, r.PostFormValue("scope") + r.PostFormValue("audience") + r.URL.RawQuery}, "/"))
	signer := identity.Signer{Issuer: issuer, Key: p.key}
	token, err := signer.Sign(identity.Subject{ClientID: p.giniID, Identifier: user}, noon)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token.JWT.Reveal(), "token_type": "Bearer", "expires_in": 900})
}

// connections is how many were ever made.
func (p *identityProvider) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

// expectClosed waits until a connection is closed.
func (p *identityProvider) expectClosed(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case <-p.closed:
	case <-ctx.Done():
		t.Fatal("the former client's connection stays open")
	}
}

func (w *world) obtained(from *registry.Identity) identity.Token {
	w.t.Helper()
	token, err := from.Provider.Obtain(w.t.Context(), "alice")
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// TestIdentityProvider: it is asked as the GiniClient's spec says, by the certificate authorities and within the limits of its other
// endpoints, and what is asked is observed.
func TestIdentityProvider(t *testing.T) {
	w, p := newProviderWorld(t)
	found := w.identified()
	if found.Signer != nil || found.Version == "" || found.IssuedBy() == "" || found.SubjectOf("alice").Identifier != "alice" {
		t.Errorf("%+v", found)
	}
	if token := w.obtained(found); token.JWT.Empty() || !token.ExpiresAt.Equal(noon.Add(15*time.Minute-30*time.Second)) {
		t.Errorf("%+v", token)
	}
	oauth2 := w.client.Spec.IdentityProvider.OAuth2
	oauth2.Scopes, oauth2.UserIdentifierParameter = []api.Scope{"gini", "jwt"}, "username"
	oauth2.ClientCredentialsSecretRef = api.ClientCredentialsReference{Name: "acme-gini"} // those at Gini, which are others
	w.obtained(w.identified())
	oauth2.Scopes, oauth2.UserIdentifierParameter, oauth2.TokenURL = nil, "", p.URL+"/token/?policy=p1"
	oauth2.Parameters, oauth2.ClientAuthentication = map[string]api.ParameterValue{"audience": "gini+"}, api.RawBasicClientAuthentication
	w.changeCredentials(func(secret *corev1.Secret) { secret.Data["client-secret"] = []byte("a+b/c=%41:e") })
	w.obtained(w.identified())
	oauth2.ClientAuthentication, oauth2.Parameters = api.PostClientAuthentication, map[string]api.ParameterValue{}
	w.obtained(w.identified())
	if want := []string{"operator/alice/", "acme/alice/gini jwt", "acme(raw)/alice/gini+policy=p1", "/alice/policy=p1"}; !slices.Equal(p.asked, want) {
		t.Errorf("asked %q, want %q", p.asked, want)
	}
	if want := "payments/acme client credentials 200"; len(w.seen) != 4 || w.seen[0] != want {
		t.Errorf("observed %q, want %q", w.seen, want)
	}
	// Without the bundle, nobody trusts its certificate.
	bundle := &corev1.ConfigMap{ObjectMeta: meta("ca")}
	w.change(bundle, func() { bundle.Data["ca.crt"] = string(w.gini.CertPEM()) })
	if _, err := w.identified().Provider.Obtain(t.Context(), "alice"); gini.KindOf(err) != gini.TLS {
		t.Errorf("%v", err)
	}
}

// TestProviderChecksJWTs: the issuer and the names of the claims are those of the spec.
func TestProviderChecksJWTs(t *testing.T) {
	for name, change := range map[string]func(*api.OAuth2){
		"issuer":           func(oauth2 *api.OAuth2) { oauth2.Issuer += "/2" },
		"the user's claim": func(oauth2 *api.OAuth2) { oauth2.ClaimNames = &api.ClaimNames{UserIdentifier: "who"} },
		"the client's":     func(oauth2 *api.OAuth2) { oauth2.ClaimNames = &api.ClaimNames{ClientID: "whose"} },
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := newProviderWorld(t)
			change(w.client.Spec.IdentityProvider.OAuth2)
			if token, err := w.identified().Provider.Obtain(t.Context(), "alice"); gini.KindOf(err) != gini.Unexpected {
				t.Errorf("%+v, %v", token, err)
			}
		})
	}
}

// TestProviderCache: a client of the provider is kept, and its connections with it, while nothing changes that it depends on.
func TestProviderCache(t *testing.T) {
	w, p := newProviderWorld(t)
	first := w.identified()
	w.obtained(first)
	refuseJWTs(t, w.resolved())
	for name, edit := range map[string]func(){
		"nothing": func() {},
		"a label": func() {
			w.changeSecret("acme-id", func(secret *corev1.Secret) { secret.Labels = map[string]string{"a": "b"} })
		},
		"the credentials' label": func() {
			w.changeCredentials(func(secret *corev1.Secret) { secret.Labels = map[string]string{"a": "b"} })
		},
		"another key of the Secret": func() { w.changeSecret("acme-id", func(secret *corev1.Secret) { secret.Data["note"] = []byte("x") }) },
	} {
		edit()
		again := w.identified()
		w.obtained(again)
		if again != first || p.connections() != 1 {
			t.Errorf("%s: starts over, with %d connections", name, p.connections())
		}
	}
	if !jwtsRefused(w.resolved()) {
		t.Error("the lane was told that everything is new")
	}
	w.reads()
	w.identified()
	if n := w.reads(); n != 0 {
		t.Errorf("%d objects are read at every use", n)
	}
}

// TestProviderChanges: whatever its JWTs depend on, or the way to get them, makes another client, which the lane is told; the former one's
// connections are closed. JWTs are issued anew where others are to be expected.
func TestProviderChanges(t *testing.T) {
	of := func(change func(*api.OAuth2)) func(*world) {
		return func(w *world) { change(w.client.Spec.IdentityProvider.OAuth2) }
	}
	same := []string{"the client secret", "authentication"} // JWTs are the same however they are asked for
	for name, change := range map[string]func(*world){
		"authentication": of(func(oauth2 *api.OAuth2) { oauth2.ClientAuthentication = api.RawBasicClientAuthentication }),
		"parameters":     of(func(oauth2 *api.OAuth2) { oauth2.Parameters = map[string]api.ParameterValue{"audience": "x"} }),
		"query":          of(func(oauth2 *api.OAuth2) { oauth2.TokenURL += "?policy=p1" }),
		"the client secret": func(w *world) {
			w.changeSecret("acme-id", func(secret *corev1.Secret) { secret.Data["client-secret"] = []byte("an0ther") })
		},
		"client id": func(w *world) {
			w.changeSecret("acme-id", func(secret *corev1.Secret) { secret.Data["client-id"] = []byte("operator-2") })
		},
		"token URL":      of(func(oauth2 *api.OAuth2) { oauth2.TokenURL += "/2" }),
		"parameter":      of(func(oauth2 *api.OAuth2) { oauth2.UserIdentifierParameter = "username" }),
		"scopes":         of(func(oauth2 *api.OAuth2) { oauth2.Scopes = []api.Scope{"gini"} }),
		"issuer":         of(func(oauth2 *api.OAuth2) { oauth2.Issuer += "/2" }),
		"user's claim":   of(func(oauth2 *api.OAuth2) { oauth2.ClaimNames = &api.ClaimNames{UserIdentifier: "who"} }),
		"client's claim": of(func(oauth2 *api.OAuth2) { oauth2.ClaimNames = &api.ClaimNames{ClientID: "whose"} }),
		"no provider but a key": func(w *world) {
			w.create(&corev1.Secret{ObjectMeta: meta("brought"), Data: map[string][]byte{"key.pem": newKey(w.t).PEM()}})
			w.client.Spec.IdentityProvider = &api.IdentityProvider{Signer: &api.Signer{
				Issuer: issuer, Algorithm: "ES256", Key: api.SigningKey{SecretRef: &api.SigningKeyReference{Name: "brought", Key: "key.pem"}},
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := newProviderWorld(t)
			first, application := w.identified(), w.resolved()
			w.obtained(first)
			known(t, application)
			refuseJWTs(t, application)
			change(w)
			second := w.identified()
			if second == first || second.Version == first.Version {
				t.Error("the same identity")
			}
			if anew := second.IssuedBy() != first.IssuedBy(); anew == slices.Contains(same, name) {
				t.Errorf("issued anew: %v", anew)
			}
			p.expectClosed(t)
			if jwtsRefused(application) {
				t.Error("the lane was not told")
			}
			if w.resolved() != application || !application.Lane.State().Accepted {
				t.Error("the application starts over, though it did not change")
			}
			w.obtained(first) // what is under way with the former one ends well
		})
	}
}

// TestProviderOfAnotherApplication: where the client id at Gini is another, JWTs for the former one are not taken any more.
func TestProviderOfAnotherApplication(t *testing.T) {
	w, p := newProviderWorld(t)
	first := w.identified()
	w.obtained(first)
	w.changeCredentials(func(secret *corev1.Secret) {
		secret.Data = map[string][]byte{"client-id": []byte("beta"), "client-secret": []byte("beta-s3cr3t")}
	})
	second := w.identified()
	p.expectClosed(t)
	if second.IssuedBy() == first.IssuedBy() || second.SubjectOf("alice").ClientID != "beta" {
		t.Errorf("%+v", second.SubjectOf("alice"))
	}
	if _, err := second.Provider.Obtain(t.Context(), "alice"); gini.KindOf(err) != gini.Unexpected {
		t.Errorf("%v", err)
	}
	p.mu.Lock()
	p.giniID = "beta"
	p.mu.Unlock()
	w.obtained(second)
	// Another client secret at Gini is nothing to the provider.
	w.changeCredentials(func(secret *corev1.Secret) { secret.Data["client-secret"] = []byte("an0ther") })
	if third := w.identified(); third != second {
		t.Error("another identity")
	}
}

// TestProviderIssuesTheSame: a GiniClient that was made anew, and another CA bundle, are no reason to issue JWTs anew.
func TestProviderIssuesTheSame(t *testing.T) {
	w, p := newProviderWorld(t)
	first := w.identified()
	w.obtained(first)
	w.client.UID = "acme-uid-2"
	if second := w.identified(); second.IssuedBy() != first.IssuedBy() || second == first {
		t.Error("another GiniClient of the same content")
	}
	w.client.UID = "acme-uid"
	_, other, err := emulator.SelfSignedCertificate()
	if err != nil {
		t.Fatal(err)
	}
	bundle := &corev1.ConfigMap{ObjectMeta: meta("ca")}
	w.change(bundle, func() { bundle.Data["ca.crt"] += string(other) })
	third := w.identified()
	if third.IssuedBy() != first.IssuedBy() || third == first {
		t.Error("another bundle")
	}
	p.expectClosed(t)
	w.obtained(third)
}

// TestProviderCloses: connections are closed where there is no use for them any more.
func TestProviderCloses(t *testing.T) {
	for name, end := range map[string]func(*world){
		"a GiniClient that is gone": func(w *world) { w.Forget("acme-uid") },
		"credentials that cannot be": func(w *world) {
			w.changeSecret("acme-id", func(secret *corev1.Secret) { secret.Data["client-secret"] = nil })
			if _, err := w.Identity(w.t.Context(), w.client, w.resolved()); err == nil {
				w.t.Error("no problem")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := newProviderWorld(t)
			w.obtained(w.identified())
			end(w)
			p.expectClosed(t)
		})
	}
}
