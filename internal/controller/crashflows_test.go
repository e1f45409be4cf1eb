package controller_test

import (
	"context"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// flows are all that the operator does for a user. To add one, run with UPDATE_CRASHPOINTS=1 and read what the golden file gains.
var flows = []flow{
	{"a derived user's untrusted device, with Basic", []act{fromNothing(plain, derivedUser(untrustedOnly)), renewal}},
	{"a derived user's trusted device, with Basic", []act{fromNothing(plain, derivedUser(trustedOnly)), newClientSecret}},
	{"a derived user's both devices, with Basic", []act{fromNothing(plain, derivedUser(bothDevices)), renewal}},
	{"a derived user whose identifier stands in a Secret", []act{fromNothing(plain, identifierInSecret), renewal}},
	{"an anonymous user whose account is made", []act{fromNothing(withAnonymous, anonymousUser), renewal}},
	{"an anonymous user whose account is brought along", []act{fromNothing(withAnonymous, existingAccount), renewal}},
	{"an anonymous user whose account is lost", []act{fromNothing(withAnonymous, anonymousUser), {"Gini loses the account, and a renewal", loseAccount}, renewal}},
	{"a derived user's untrusted device, with JWT", []act{fromNothing(signer, jwtUser(untrustedOnly)), renewal}},
	{"a derived user's trusted device, with JWT", []act{fromNothing(signer, jwtUser(trustedOnly)), jwtRenewal}},
	{"a derived user's both devices, with JWT", []act{fromNothing(signer, jwtUser(bothDevices)), jwtRenewal, renewal}},
	{"a signing key that is rotated", []act{
		fromNothing(signer, jwtUser(bothDevices)), later("the next key is published", 24*time.Hour), later("it signs", 24*time.Hour),
		later("the former one is withdrawn", 26*time.Hour),
	}},
	{"a signing key that is rolled", []act{fromNothing(signer, jwtUser(bothDevices)), {"a person asks for another key", rollKey}, jwtRenewal}},
	{"the customer's identity provider, an untrusted device", []act{fromNothing(provider, jwtUser(untrustedOnly)), renewal}},
	{"the customer's identity provider, a trusted device", []act{fromNothing(provider, jwtUser(trustedOnly)), jwtRenewal}},
	{"the customer's identity provider, both devices", []act{fromNothing(provider, jwtUser(bothDevices)), jwtRenewal, renewal}},
	{"a Secret of another name", []act{fromNothing(plain, derivedUser(bothDevices)), edit("both Secrets get another name", func(user *api.GiniUser) {
		user.Spec.Devices.Untrusted.Secret.Name, user.Spec.Devices.Trusted.Secret.Name = "renamed-token", "renamed-backend"
	}), renewal}},
	{"a Secret of another type", []act{fromNothing(plain, derivedUser(untrustedOnly)), edit("the type changes", func(user *api.GiniUser) {
		user.Spec.Devices.Untrusted.Secret.Type = "credentials.gini.net/token"
	}), renewal}},
	{"a Secret that was made immutable", []act{fromNothing(plain, derivedUser(untrustedOnly)), {"somebody makes it immutable", makeImmutable}, renewal}},
	{"a Secret that is handed over", []act{fromNothing(plain, handedOver), renewal}},
	{"a device that is removed", []act{fromNothing(plain, derivedUser(bothDevices)), edit("the trusted device goes", func(user *api.GiniUser) {
		user.Spec.Devices.Trusted = nil
	}), renewal, edit("the trusted device comes in place of the untrusted one", func(user *api.GiniUser) {
		user.Spec.Devices = api.Devices{Trusted: trusted("alice-backend")}
	})}},
	{"a token that a person asks for", []act{fromNothing(plain, derivedUser(untrustedOnly)), edit("the annotation is set", func(user *api.GiniUser) {
		user.Annotations = map[string]string{api.RefreshRequestedAnnotation: "now"}
	}), renewal}},
	{"a token and a JWT that a person asks for", []act{fromNothing(signer, jwtUser(bothDevices)), edit("the annotation is set", func(user *api.GiniUser) {
		user.Annotations = map[string]string{api.RefreshRequestedAnnotation: "now"}
	}), renewal}},
	{"a token that is verified", []act{
		fromNothing(plain, verifiedUser), later("a verification", 2*time.Hour), {"Gini ends the token, and a verification", endToken}, renewal,
	}},
	{"a Secret that is edited by hand", []act{fromNothing(plain, derivedUser(bothDevices)), {"somebody edits the token and the credentials", editSecrets}, renewal}},
	{"a Secret that is deleted by hand", []act{fromNothing(signer, jwtUser(bothDevices)), {"somebody deletes both Secrets", deleteSecrets}, renewal}},
	{"auth Basic that becomes JWT", []act{fromNothing(signer, derivedUser(bothDevices)), renewal, edit("auth becomes JWT", func(user *api.GiniUser) {
		user.Spec.Derived.Auth = api.JWTAuth
	}), renewal}},
}

// fromNothing makes a client and a user.
func fromNothing(client, user func(ctx context.Context, d *drill)) act {
	return act{"from nothing", func(ctx context.Context, d *drill) {
		client(ctx, d)
		user(ctx, d)
	}}
}

// plain is a client that makes no anonymous users, and that nothing is asked of Gini for.
func plain(ctx context.Context, d *drill) {
	d.giniClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers = nil })
}

func withAnonymous(ctx context.Context, d *drill) { d.giniClient(ctx) }

// signer is a client whose JWTs the operator signs, with keys that it makes.
func signer(ctx context.Context, d *drill) {
	d.giniClient(ctx, signs, func(object *api.GiniClient) {
		object.Spec.AnonymousUsers = nil
		object.Spec.IdentityProvider.Signer.Key.Managed.RotationInterval = &metav1.Duration{Duration: 48 * time.Hour}
	})
	d.publisher = newPublisher()
	d.gini.SetJWT(clientID, emulator.JWT{Issuer: issuer, JWKSURL: d.publisher.address(d.world), CacheFor: time.Hour, RefetchOnUnknownKey: true})
}

// provider is a client whose JWTs a customer's identity provider gives, behind the gate as well.
func provider(ctx context.Context, d *drill) {
	p := d.newProvider()
	p.URL = d.gate.before("/provider", p.Config.Handler)
	d.allowed = append(d.allowed, p.URL)
	d.revive()
	p.client(ctx)
}

type devices func(w *world) api.Devices

func untrustedOnly(w *world) api.Devices { return w.derived("alice").Spec.Devices }

func trustedOnly(*world) api.Devices { return api.Devices{Trusted: trusted("alice-backend")} }

func bothDevices(w *world) api.Devices {
	return api.Devices{Untrusted: untrustedOnly(w).Untrusted, Trusted: trusted("alice-backend")}
}

func derivedUser(has devices) func(context.Context, *drill) {
	return func(ctx context.Context, d *drill) {
		user := d.derived("alice")
		user.Spec.Devices = has(d.world)
		Expect(k8s.Create(ctx, user)).To(Succeed())
	}
}

func jwtUser(has devices) func(context.Context, *drill) {
	return func(ctx context.Context, d *drill) {
		user := d.byJWT("alice")
		user.Spec.Devices = has(d.world)
		Expect(k8s.Create(ctx, user)).To(Succeed())
	}
}

func identifierInSecret(ctx context.Context, d *drill) {
	d.secret(ctx, "alice-identifier", map[string]string{"identifier": "alice-8f1c"})
	user := d.derived("alice")
	user.Spec.Derived.Identifier = ""
	user.Spec.Derived.IdentifierSecretRef = &api.SecretKeyReference{Name: "alice-identifier", Key: "identifier"}
	user.Spec.Devices = bothDevices(d.world)
	Expect(k8s.Create(ctx, user)).To(Succeed())
}

func anonymousUser(ctx context.Context, d *drill) {
	Expect(k8s.Create(ctx, d.anonymous("alice"))).To(Succeed())
}

func existingAccount(ctx context.Context, d *drill) {
	d.gini.AddAccount(clientID, "alice@acme.example", "brought-along")
	d.secret(ctx, "alice-account", map[string]string{"email": "alice@acme.example", "password": "brought-along"})
	user := d.anonymous("alice")
	user.Spec.Anonymous.AccountSecret.Mode = api.ExistingAccount
	Expect(k8s.Create(ctx, user)).To(Succeed())
}

func handedOver(ctx context.Context, d *drill) {
	object := &corev1.Secret{ObjectMeta: d.objectMeta("alice-token"), StringData: map[string]string{"token": "by hand"}}
	object.Labels = map[string]string{api.AdoptByLabel: "alice", "team": "a"}
	Expect(k8s.Create(ctx, object)).To(Succeed())
	derivedUser(untrustedOnly)(ctx, d)
}

// renewal comes when the access token is due, jwtRenewal when the JWT is.
var (
	renewal = act{"a renewal", func(ctx context.Context, d *drill) {
		d.clock.SetTime(d.user(ctx, "alice").Status.Devices.Untrusted.RefreshAt.Add(time.Second))
	}}
	jwtRenewal = act{"a renewal of the JWT", func(ctx context.Context, d *drill) {
		d.clock.SetTime(d.user(ctx, "alice").Status.Devices.Trusted.RefreshAt.Add(time.Second))
	}}
	// newClientSecret is what the renewal of a trusted device with Basic is.
	newClientSecret = act{"another client secret", func(ctx context.Context, d *drill) {
		d.gini.RotateSecret(clientID, "another")
		d.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": "another"})
	}}
)

func later(name string, duration time.Duration) act {
	return act{name, func(_ context.Context, d *drill) { d.clock.Step(duration) }}
}

func edit(name string, change func(user *api.GiniUser)) act {
	return act{name, func(ctx context.Context, d *drill) { update(ctx, &api.GiniUser{}, d.key("alice"), change) }}
}

func loseAccount(ctx context.Context, d *drill) {
	d.gini.DeleteAllAccounts()
	renewal.do(ctx, d)
}

func rollKey(ctx context.Context, d *drill) {
	d.updateClient(ctx, func(object *api.GiniClient) {
		metav1.SetMetaDataAnnotation(&object.ObjectMeta, api.KeyRollRequestedAnnotation, "now")
	})
}

func verifiedUser(ctx context.Context, d *drill) {
	user := d.derived("alice")
	user.Spec.Renewal = &api.Renewal{VerifyInterval: &metav1.Duration{Duration: 2 * time.Hour}}
	Expect(k8s.Create(ctx, user)).To(Succeed())
}

func endToken(_ context.Context, d *drill) {
	d.gini.EndAllTokens()
	d.clock.Step(2 * time.Hour)
}

func editSecrets(ctx context.Context, d *drill) {
	d.updateSecret(ctx, "alice-token", map[string]string{"access_token": "forged"})
	d.updateSecret(ctx, "alice-backend", map[string]string{"client_secret": "forged"})
}

func deleteSecrets(ctx context.Context, d *drill) {
	for _, name := range []string{"alice-token", "alice-backend"} {
		Expect(k8s.Delete(ctx, &corev1.Secret{ObjectMeta: d.objectMeta(name)})).To(Succeed())
	}
}

func makeImmutable(ctx context.Context, d *drill) {
	immutable := true
	update(ctx, &corev1.Secret{}, d.key("alice-token"), func(object *corev1.Secret) { object.Immutable = &immutable })
}
