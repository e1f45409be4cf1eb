package operator_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// repair is what one thing that is wrong with alice is seen as, and how it is mended.
type repair struct {
	reason string
	// arrange changes her, and the world around her, before she is made.
	arrange func(ctx context.Context, w *world, alice *api.GiniUser)
	mend    func(ctx context.Context, w *world)
}

func (w *world) secret(ctx context.Context, name string, data map[string]string) {
	GinkgoHelper()
	w.create(ctx, &corev1.Secret{ObjectMeta: w.named(name), StringData: data})
}

// puts mends a Secret that lacks something, and makes one that is not there.
func puts(name string, data map[string]string) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		object := &corev1.Secret{}
		if err := k8s.Get(ctx, w.key(name), object); client.IgnoreNotFound(err) != nil || err == nil {
			Expect(err).NotTo(HaveOccurred())
			update(ctx, w.key(name), object, func(object *corev1.Secret) { object.StringData = data })
			return
		}
		w.secret(ctx, name, data)
	}
}

// lacks makes the client one with a change, and a Secret with this in it; none where it is nil.
func lacks(change func(*api.GiniClient), secret string, data map[string]string) func(context.Context, *world, *api.GiniUser) {
	return func(ctx context.Context, w *world, _ *api.GiniUser) {
		update(ctx, w.key("acme"), &api.GiniClient{}, change)
		if data != nil {
			w.secret(ctx, secret, data)
		}
	}
}

func trusts(kind string) func(*api.GiniClient) {
	return func(object *api.GiniClient) {
		object.Spec.TLS = &api.TLS{CABundleRef: api.CABundleReference{Kind: kind, Name: "authority"}}
	}
}

// identifiedBy lets alice's identifier stand in a Secret with this in it; none where it is nil.
func identifiedBy(data map[string]string) func(context.Context, *world, *api.GiniUser) {
	return func(ctx context.Context, w *world, alice *api.GiniUser) {
		alice.Spec.Derived.Identifier = ""
		alice.Spec.Derived.IdentifierSecretRef = &api.SecretKeyReference{Name: "identifier", Key: "id"}
		if data != nil {
			w.secret(ctx, "identifier", data)
		}
	}
}

// bringsAccount makes alice anonymous, with an account that Gini knows, and a Secret with this in it; none where it is nil.
func bringsAccount(data map[string]string) func(context.Context, *world, *api.GiniUser) {
	return func(ctx context.Context, w *world, alice *api.GiniUser) {
		w.gini.AddAccount("acme", "a@acme.example", "password-1")
		alice.Spec = w.anonymous("alice").Spec
		alice.Spec.Anonymous.AccountSecret.Mode = api.ExistingAccount
		if data != nil {
			w.secret(ctx, "alice-account", data)
		}
	}
}

// getsJWT gives alice a trusted device only, with JWTs.
func getsJWT(alice *api.GiniUser) {
	alice.Spec.Derived.Auth = api.JWTAuth
	alice.Spec.Devices = api.Devices{Trusted: &api.TrustedDeviceSpec{Secret: api.TrustedSecret{TargetSecret: api.TargetSecret{Name: "backend"}}}}
}

// bringsKey lets the client sign with a key that stands in a Secret.
func bringsKey(ctx context.Context, w *world, alice *api.GiniUser) {
	getsJWT(alice)
	update(ctx, w.key("acme"), &api.GiniClient{}, func(object *api.GiniClient) {
		object.Spec.IdentityProvider = &api.IdentityProvider{Signer: &api.Signer{
			Issuer: issuer, Algorithm: "ES256", Key: api.SigningKey{SecretRef: &api.SigningKeyReference{Name: "brought", Key: "tls.key"}},
		}}
	})
}

// byProvider lets JWTs come from an identity provider, whose client's credentials are to stand in a Secret with this in it; none
// where it is nil.
func byProvider(data map[string]string) func(context.Context, *world, *api.GiniUser) {
	return func(ctx context.Context, w *world, alice *api.GiniUser) {
		getsJWT(alice)
		encoded, _ := keyPair()
		key, err := jwt.ParseECPrivateKeyFromPEM(encoded)
		Expect(err).NotTo(HaveOccurred())
		provider := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, request *http.Request) {
			out.Header().Set("Content-Type", "application/json")
			if id, password, _ := request.BasicAuth(); id != "operator" || password != "pr0vider" {
				out.WriteHeader(http.StatusUnauthorized)
				_ = json.NewEncoder(out).Encode(map[string]string{"error": "invalid_client"})
				return
			}
			now := w.clock.Now()
			signed, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
				"iss": issuer, "x-user-identifier": request.PostFormValue("user"), "x-client-id": "acme",
				"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
			}).SignedString(key)
			if err != nil {
				out.WriteHeader(http.StatusInternalServerError)
				return
			}
			_ = json.NewEncoder(out).Encode(map[string]any{"access_token": signed, "token_type": "Bearer", "expires_in": 600})
		}))
		DeferCleanup(provider.Close)
		w.allowed = append(w.allowed, provider.URL)
		update(ctx, w.key("acme"), &api.GiniClient{}, func(object *api.GiniClient) {
			object.Spec.IdentityProvider = &api.IdentityProvider{OAuth2: &api.OAuth2{
				TokenURL: provider.URL + "/token", Issuer: issuer, UserIdentifierParameter: "user",
				ClientCredentialsSecretRef: api.ClientCredentialsReference{Name: "provider"},
			}}
		})
		if data != nil {
			w.secret(ctx, "provider", data)
		}
	}
}

var _ = Describe("Trouble of ten minutes", func() {
	key, certificate := keyPair()
	authority, signingKey := map[string]string{"ca.crt": string(certificate)}, map[string]string{"tls.key": string(key)}
	identifier, account := map[string]string{"id": "alice-8f1c"}, map[string]string{"email": "a@acme.example", "password": "password-1"}
	credentials := map[string]string{"client-id": "operator", "client-secret": "pr0vider"}
	spoilt := func(key string, of map[string]string) map[string]string {
		data := maps.Clone(of)
		data[key] = "x\n"
		return data
	}

	DescribeTable("is over when it is mended, though no clock moves and no sweep comes:", func(ctx SpecContext, of repair) {
		w, users := newWorld(ctx), &walked{}
		w.cache = users.over
		alice := w.derived("alice")
		of.arrange(ctx, w, alice)
		w.operate()
		if of.reason == api.ReasonIdentifierInUse {
			w.expectReady(ctx, "aaron", ready) // who has it keeps it
		}
		w.create(ctx, alice)
		w.expectReady(ctx, "alice", "False "+of.reason)
		for range 60 {
			before := users.begun.Load()
			w.clock.Step(10 * time.Second)
			Eventually(users.begun.Load).WithTimeout(eventually).Should(BeNumerically(">", before))
		}
		w.expectReady(ctx, "alice", "False "+of.reason)
		of.mend(ctx, w)
		w.expectReady(ctx, "alice", ready)
	},
		Entry("a ConfigMap with authorities that is not there (R2.7)", repair{
			reason:  api.ReasonCABundleNotFound,
			arrange: lacks(trusts("ConfigMap"), "", nil),
			mend: func(ctx context.Context, w *world) {
				w.create(ctx, &corev1.ConfigMap{ObjectMeta: w.named("authority"), Data: authority})
			},
		}),
		Entry("a Secret with authorities that are none (R2.7)", repair{
			reason:  api.ReasonCABundleInvalid,
			arrange: lacks(trusts("Secret"), "authority", spoilt("ca.crt", authority)),
			mend:    puts("authority", authority),
		}),
		Entry("an identifier's Secret that is not there (R2.7)", repair{
			reason: api.ReasonIdentifierSecretNotFound, arrange: identifiedBy(nil), mend: puts("identifier", identifier),
		}),
		Entry("an identifier's Secret with a line break (R2.7)", repair{
			reason: api.ReasonIdentifierInvalid, arrange: identifiedBy(spoilt("id", identifier)), mend: puts("identifier", identifier),
		}),
		Entry("an identifier that another user has, until that one is deleted (R2.7)", repair{
			reason: api.ReasonIdentifierInUse,
			arrange: func(ctx context.Context, w *world, alice *api.GiniUser) {
				w.create(ctx, w.derived("aaron"))
				alice.Spec.Derived.Identifier = "aaron"
			},
			mend: func(ctx context.Context, w *world) {
				Expect(k8s.Delete(ctx, &api.GiniUser{ObjectMeta: w.named("aaron")})).To(Succeed())
			},
		}),
		Entry("the Secret of an account of yours that is not there (R2.7)", repair{
			reason: api.ReasonAccountSecretNotFound, arrange: bringsAccount(nil), mend: puts("alice-account", account),
		}),
		Entry("the Secret of an account of yours without a password (R2.7)", repair{
			reason:  api.ReasonAccountSecretInvalid,
			arrange: bringsAccount(map[string]string{"email": "a@acme.example"}), mend: puts("alice-account", account),
		}),
		Entry("the Secret of an account of yours with a wrong password (R2.7)", repair{
			reason:  api.ReasonAccountRejected,
			arrange: bringsAccount(map[string]string{"email": "a@acme.example", "password": "wrong-password"}), mend: puts("alice-account", account),
		}),
		Entry("a signing key of yours that is not there (R2.7)", repair{
			reason: api.ReasonSigningKeyNotFound, arrange: bringsKey, mend: puts("brought", signingKey),
		}),
		Entry("the Secret for an identity provider that is not there (R2.7)", repair{
			reason: api.ReasonIdentityProviderSecretNotFound, arrange: byProvider(nil), mend: puts("provider", credentials),
		}),
		Entry("the Secret for an identity provider with a line break (R2.7)", repair{
			reason:  api.ReasonIdentityProviderSecretInvalid,
			arrange: byProvider(spoilt("client-secret", credentials)), mend: puts("provider", credentials),
		}),
		Entry("the Secret for an identity provider with another secret (R2.7)", repair{
			reason:  api.ReasonIdentityProviderRejected,
			arrange: byProvider(map[string]string{"client-id": "operator", "client-secret": "old"}), mend: puts("provider", credentials),
		}),
	)
})
