package registry_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/registry"
)

// broken is a way in which no JWT can be had.
type broken struct {
	change func(*testing.T, *world)
	want   string
	says   string // what the message has to tell beside
}

// onSecret changes a Secret.
func onSecret(name string, change func(*corev1.Secret)) func(*testing.T, *world) {
	return func(_ *testing.T, w *world) { w.changeSecret(name, change) }
}

// onData replaces one value in a Secret.
func onData(name, key, value string) func(*testing.T, *world) {
	return onSecret(name, func(secret *corev1.Secret) { secret.Data[key] = []byte(value) })
}

// expectBroken checks one way: the reason is told in words that hold no secret, what is cached of it is not read again, nobody who
// needs no JWT notices, and JWTs are had again once it is put right.
func expectBroken(t *testing.T, w *world, c broken, repair func()) {
	t.Helper()
	application := w.resolved()
	known(t, application)
	good := w.client.DeepCopy()
	w.identified()
	c.change(t, w)
	for again := range 2 {
		w.reads()
		found, err := w.Identity(t.Context(), w.client, application)
		told, ok := problem.Of(err)
		if !ok || told.Reason != c.want || found != nil {
			t.Fatalf("%+v, %v; want %s", found, err, c.want)
		}
		if n := w.reads(); again > 0 && n != 0 {
			t.Errorf("%d objects are read at every use", n)
		}
		for _, text := range []string{told.Error(), fmt.Sprintf("%+v", told)} {
			for _, hidden := range []string{"s3cr3t", "PRIVATE KEY-----\nM"} {
				if strings.Contains(text, hidden) {
					t.Errorf("%q is told: %s", hidden, text)
				}
			}
		}
		at := "payments/acme"
		if c.want == api.ReasonHostNotAllowed {
			at = "spec.identityProvider.oauth2.tokenURL"
		}
		if text := told.Error(); !strings.Contains(text, at) || strings.Contains(text, "%!") || !strings.Contains(text, c.says) {
			t.Errorf("message %q", text)
		}
	}
	if w.resolved() != application || !application.Lane.State().Accepted {
		t.Error("whoever needs no JWT is disturbed")
	}
	w.client = good
	repair()
	w.identified()
}

func TestSigningKeyProblems(t *testing.T) {
	ec := "an EC key on the curve P-256"
	for name, c := range map[string]broken{
		"no identity provider": {func(_ *testing.T, w *world) { w.client.Spec.IdentityProvider = nil }, api.ReasonIdentityProviderNotConfigured, ""},
		"no Secret yet": {func(_ *testing.T, w *world) {
			w.client.Spec.IdentityProvider.Signer.Key.Managed.SecretName = "absent"
		}, api.ReasonSigningKeyNotFound, ""},
		"claims too long": {func(_ *testing.T, w *world) {
			w.client.Spec.IdentityProvider.Signer.Claims = claims("aud", `"evil`+strings.Repeat("v", 4096)+`"`)
		}, api.ReasonClaimsInvalid, "4096 characters"},
		"a claim without a value": {func(_ *testing.T, w *world) {
			w.client.Spec.IdentityProvider.Signer.Claims = claims("aud", "null")
		}, api.ReasonClaimsInvalid, "claim aud is null"},
		// A Secret that the operator did not make for these keys is not read as if it were, whatever it holds.
		"somebody else's": {
			onSecret("acme-keys", func(secret *corev1.Secret) { secret.Labels = nil }), api.ReasonSigningKeySecretConflict, "",
		},
		"another manager's": {
			onSecret("acme-keys", func(secret *corev1.Secret) { secret.Labels[api.ManagedByLabel] = "helm" }), api.ReasonSigningKeySecretConflict, "",
		},
		"another GiniClient's": {
			onSecret("acme-keys", func(secret *corev1.Secret) { secret.Labels[api.ClientLabel] = "beta" }), api.ReasonSigningKeySecretConflict, "",
		},
		"a device's": {
			onSecret("acme-keys", func(secret *corev1.Secret) { secret.Labels[api.DeviceLabel] = "trusted" }), api.ReasonSigningKeySecretConflict, "",
		},
		// A managed key that is lost or damaged is made again.
		"damaged": {onData("acme-keys", identity.DataSigningKey, "-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n"), api.ReasonSigningKeyNotFound, ""},
		"emptied": {onSecret("acme-keys", func(secret *corev1.Secret) { secret.Data = nil }), api.ReasonSigningKeyNotFound, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, key := newSigningWorld(t)
			expectBroken(t, w, c, func() {
				w.changeSecret("acme-keys", func(secret *corev1.Secret) {
					secret.Data = ringOf(t, key)
					secret.Labels = map[string]string{api.ManagedByLabel: api.ManagedByValue, api.ClientLabel: "acme", api.DeviceLabel: registry.KeyDevice}
				})
			})
		})
	}
	for name, c := range map[string]broken{
		"no Secret": {func(_ *testing.T, w *world) {
			w.client.Spec.IdentityProvider.Signer.Key.SecretRef.Name = "absent"
		}, api.ReasonSigningKeyNotFound, ""},
		"no key in it": {func(_ *testing.T, w *world) {
			w.client.Spec.IdentityProvider.Signer.Key.SecretRef.Key = "absent"
		}, api.ReasonSigningKeyNotFound, ""},
		"empty":  {onData("brought", "key.pem", ""), api.ReasonSigningKeyNotFound, ""},
		"no PEM": {onData("brought", "key.pem", "s3cr3t"), api.ReasonSigningKeyInvalid, "not in PEM"},
		"damaged": {
			onData("brought", "key.pem", "-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n"), api.ReasonSigningKeyInvalid, "damaged",
		},
		"for another algorithm": {func(_ *testing.T, w *world) { w.client.Spec.IdentityProvider.Signer.Algorithm = "" }, api.ReasonSigningKeyInvalid, "RS256"},
		"on another curve": {func(t *testing.T, w *world) {
			t.Helper()
			other, err := identity.GenerateKey(identity.ES384)
			if err != nil {
				t.Fatal(err)
			}
			onData("brought", "key.pem", string(other.PEM()))(t, w)
		}, api.ReasonSigningKeyInvalid, ec},
	} {
		t.Run("brought along, "+name, func(t *testing.T) {
			w, key := newSigningWorld(t)
			w.create(&corev1.Secret{ObjectMeta: meta("brought"), Data: map[string][]byte{"key.pem": key.PEM()}})
			w.client.Spec.IdentityProvider.Signer.Key = api.SigningKey{SecretRef: &api.SigningKeyReference{Name: "brought", Key: "key.pem"}}
			expectBroken(t, w, c, func() { onData("brought", "key.pem", string(key.PEM()))(t, w) })
		})
	}
}

func TestProviderProblems(t *testing.T) {
	tokenURL := func(url string) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) { w.client.Spec.IdentityProvider.OAuth2.TokenURL = url }
	}
	for name, c := range map[string]broken{
		"not allowed": {
			tokenURL("https://evilid.example/token"), api.ReasonHostNotAllowed,
			"Host https://evilid.example (spec.identityProvider.oauth2.tokenURL) is not in the operator's --allowed-hosts. Correct spec.identityProvider.oauth2.tokenURL, or add the host.",
		},
		"plain http":         {tokenURL("http://pay-api.gini.net/token"), api.ReasonHostNotAllowed, ""},
		"the API server":     {tokenURL("https://kubernetes.default.svc/token"), api.ReasonHostNotAllowed, ""},
		"no URL":             {tokenURL("https://%zz"), api.ReasonHostNotAllowed, ""},
		"a path that climbs": {tokenURL("https://pay-api.gini.net/../token"), api.ReasonHostNotAllowed, ""},
		"user info":          {tokenURL("https://a:s3cr3t@pay-api.gini.net/token"), api.ReasonHostNotAllowed, ""},
		"no Secret": {func(_ *testing.T, w *world) {
			w.client.Spec.IdentityProvider.OAuth2.ClientCredentialsSecretRef.Name = "absent"
		}, api.ReasonIdentityProviderSecretNotFound, ""},
		"no client id": {func(_ *testing.T, w *world) {
			w.client.Spec.IdentityProvider.OAuth2.ClientCredentialsSecretRef.ClientIDKey = "absent"
		}, api.ReasonIdentityProviderSecretInvalid, ""},
		"no client secret": {func(_ *testing.T, w *world) {
			w.client.Spec.IdentityProvider.OAuth2.ClientCredentialsSecretRef.ClientSecretKey = "absent"
		}, api.ReasonIdentityProviderSecretInvalid, ""},
		"empty client secret":         {onData("acme-id", "client-secret", ""), api.ReasonIdentityProviderSecretInvalid, ""},
		"newline after client secret": {onData("acme-id", "client-secret", "id-s3cr3t\n"), api.ReasonIdentityProviderSecretInvalid, ""},
		"newline after client id":     {onData("acme-id", "client-id", "operator\n"), api.ReasonIdentityProviderSecretInvalid, ""},
		"not UTF-8":                   {onData("acme-id", "client-secret", "id-s3cr3t\xff"), api.ReasonIdentityProviderSecretInvalid, ""},
		"overlong client secret":      {onData("acme-id", "client-secret", strings.Repeat("s", 1025)), api.ReasonIdentityProviderSecretInvalid, ""},
		"colon for raw Basic": {func(_ *testing.T, w *world) {
			w.client.Spec.IdentityProvider.OAuth2.ClientAuthentication = api.RawBasicClientAuthentication
			w.changeSecret("acme-id", func(secret *corev1.Secret) { secret.Data["client-id"] = []byte("operator:1") })
		}, api.ReasonIdentityProviderSecretInvalid, "RawBasic"},
		"overlong client id": {onData("acme-id", "client-id", strings.Repeat("i", 1025)), api.ReasonIdentityProviderSecretInvalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := newProviderWorld(t)
			expectBroken(t, w, c, func() {
				w.changeSecret("acme-id", func(secret *corev1.Secret) { secret.Data = providerCredentials() })
			})
		})
	}
}
