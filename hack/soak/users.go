package main

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	namespace   = corev1.NamespaceDefault
	emailDomain = "users.acme.example"
	// tokenLifetime is that of access tokens and client tokens, jwtLifetime the shortest that the operator signs for.
	tokenLifetime, jwtLifetime = 10 * time.Second, time.Minute
	// requestRate is the operator's own limit of requests a second for a client: the default.
	requestRate = 5
)

// flow is one of the ways in which a user gets credentials.
type flow struct {
	name                string
	jwt                 bool // instead of Basic
	trusted, untrusted  bool
	anonymous, existing bool
}

var flows = []flow{
	{name: "trusted-basic", trusted: true},
	{name: "untrusted-basic", untrusted: true},
	{name: "both-basic", trusted: true, untrusted: true},
	{name: "trusted-jwt", jwt: true, trusted: true},
	{name: "untrusted-jwt", jwt: true, untrusted: true},
	{name: "both-jwt", jwt: true, trusted: true, untrusted: true},
	{name: "managed", anonymous: true, untrusted: true},
	{name: "existing", anonymous: true, existing: true, untrusted: true},
}

// application is a client at Gini, and the GiniClient for it.
type application struct {
	name, clientID string
	gini           *gini
	// refresh is whether Gini gives it refresh tokens.
	refresh bool
	users   []*user
}

// user is a GiniUser.
type user struct {
	name        string
	application *application
	flow        flow
	devices     []*device
}

// populate makes the applications of all Ginis, with and without refresh tokens, and spreads users of all flows over them.
func populate(ginis []*gini, count int) (applications []*application, users []*user) {
	for _, refresh := range []bool{false, true} {
		for _, g := range ginis {
			name := "acme-" + g.name
			if refresh {
				name += "-refresh"
			}
			a := &application{name: name, clientID: name, gini: g, refresh: refresh}
			g.applications = append(g.applications, a)
			applications = append(applications, a)
		}
	}
	for i := range count {
		// Of two numbers without a common divisor all pairs come; six and eight have two, hence the shift in between.
		f := flows[(i+i/len(applications)/(len(flows)/2))%len(flows)]
		a := applications[i%len(applications)]
		u := &user{name: fmt.Sprintf("user-%03d-%s", i, f.name), application: a, flow: f}
		add := func(k kind, suffix string) {
			u.devices = append(u.devices, &device{user: u, kind: k, secret: u.name + suffix})
		}
		switch {
		case f.trusted && f.jwt:
			add(byJWT, "-backend")
		case f.trusted:
			add(byCredentials, "-backend")
		}
		if f.untrusted {
			add(byToken, "-token")
		}
		a.users = append(a.users, u)
		users = append(users, u)
	}
	return applications, users
}

func meta(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: namespace} }

// jwks is the path of its JWK Set.
func (a *application) jwks() string { return "/" + namespace + "/" + a.name + "/jwks.json" }

func (a *application) issuer() string { return "https://" + a.name + ".id.acme.example" }

// object is the GiniClient.
func (a *application) object() *api.GiniClient {
	algorithm := api.SigningAlgorithm("RS256")
	if a.refresh {
		algorithm = "ES256"
	}
	return &api.GiniClient{ObjectMeta: meta(a.name), Spec: api.GiniClientSpec{
		CredentialsSecretRef: api.ClientCredentialsReference{Name: api.ObjectName(a.name)},
		Endpoints: &api.Endpoints{
			PayAPI: &api.PayAPIEndpoint{Endpoint: api.Endpoint{URL: a.gini.url}}, UserCenter: &api.Endpoint{URL: a.gini.url},
		},
		AnonymousUsers: &api.AnonymousUsers{EmailDomain: emailDomain},
		IdentityProvider: &api.IdentityProvider{Signer: &api.Signer{
			Issuer: api.Issuer(a.issuer()), Algorithm: algorithm, TokenLifetime: &metav1.Duration{Duration: jwtLifetime},
			Key: api.SigningKey{Managed: &api.ManagedKey{SecretName: api.ObjectName(a.keySecret())}},
		}},
	}}
}

func (a *application) keySecret() string { return a.name + "-key" }

// credentials is the Secret with the client secret of a generation: a rotation makes another one.
func (a *application) credentials(generation int) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: meta(a.name), StringData: map[string]string{
		api.DefaultClientIDKey: a.clientID, api.DefaultClientSecretKey: a.clientSecret(generation),
	}}
}

func (a *application) clientSecret(generation int) string {
	return fmt.Sprintf("%s-secret-%d", a.name, generation)
}

// register tells Gini of it.
func (a *application) register(service string) {
	with := emulator.WithoutRefreshTokens()
	if a.refresh {
		with = emulator.WithRefreshTokens()
	}
	// Gini's cache of keys is not what is tried here: it looks again for a key that it lacks, and makes do while nobody answers.
	a.gini.server.AddClient(a.clientID, a.clientSecret(0), with, emulator.WithJWT(emulator.JWT{
		Issuer: a.issuer(), JWKSURL: service + a.jwks(), RefetchOnUnknownKey: true, StaleIfError: true,
	}))
	for _, u := range a.users {
		if u.flow.existing {
			a.gini.server.AddAccount(a.clientID, u.email(), u.password())
		}
	}
}

// managed is whether the operator makes the user's account.
func (u *user) managed() bool { return u.flow.anonymous && !u.flow.existing }

// askAnew notes that a fault may have each of the user's devices renewed so many times before it is due.
func (u *user) askAnew(times int) {
	for _, d := range u.devices {
		d.askAnew(times)
	}
}

func (u *user) email() string { return u.name + "@" + emailDomain }

func (u *user) password() string { return "password-of-" + u.name }

func (u *user) accountSecret() string { return u.name + "-account" }

func (u *user) identifier() string { return u.name + "-2f64d98b0ea3c157" }

// account is the Secret of an account that people bring along.
func (u *user) account() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: meta(u.accountSecret()), StringData: map[string]string{"email": u.email(), "password": u.password()}}
}

// object is the GiniUser.
func (u *user) object() *api.GiniUser {
	object := &api.GiniUser{ObjectMeta: meta(u.name), Spec: api.GiniUserSpec{ClientRef: api.ClientReference{Name: api.ObjectName(u.application.name)}}}
	if u.flow.anonymous {
		account := api.AccountSecret{Name: api.ObjectName(u.accountSecret()), Mode: api.ManagedAccount}
		if u.flow.existing {
			account.Mode = api.ExistingAccount
		}
		object.Spec.Anonymous = &api.AnonymousUser{AccountSecret: account}
	} else {
		object.Spec.Derived = &api.DerivedUser{Identifier: u.identifier(), Auth: api.BasicAuth}
		if u.flow.jwt {
			object.Spec.Derived.Auth = api.JWTAuth
		}
	}
	for _, d := range u.devices {
		target := api.TargetSecret{Name: api.ObjectName(d.secret)}
		if d.kind == byToken {
			object.Spec.Devices.Untrusted = &api.UntrustedDeviceSpec{Secret: api.UntrustedSecret{TargetSecret: target}}
		} else {
			object.Spec.Devices.Trusted = &api.TrustedDeviceSpec{Secret: api.TrustedSecret{TargetSecret: target}}
		}
	}
	return object
}
