package registry_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/registry"
)

const issuer = "https://id.acme.example"

// claims are a further claim of a name.
func claims(name api.FurtherClaimName, value string) []api.Claim {
	return []api.Claim{{Name: name, Value: apiextensionsv1.JSON{Raw: []byte(value)}}}
}

func newKey(t *testing.T) *identity.Key {
	t.Helper()
	key, err := identity.GenerateKey(identity.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ringOf is the data of a Secret with managed keys, of which the first signs.
func ringOf(t *testing.T, keys ...*identity.Key) map[string][]byte {
	t.Helper()
	var ring identity.Ring
	for i, key := range keys {
		stage := identity.StageSigning
		if i > 0 {
			stage = identity.StageNext
		}
		ring.Keys = append(ring.Keys, identity.RingKey{Public: key.Public(), Private: key, Stage: stage, Since: noon})
	}
	data, err := ring.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// newSigningWorld is a world whose client signs JWTs with a managed key.
func newSigningWorld(t *testing.T) (w *world, key *identity.Key) {
	t.Helper()
	w, key = newWorld(t), newKey(t)
	keys := &corev1.Secret{ObjectMeta: meta("acme-keys"), Data: ringOf(t, key)}
	keys.Labels = map[string]string{api.ManagedByLabel: api.ManagedByValue, api.ClientLabel: "acme", api.DeviceLabel: registry.KeyDevice}
	w.create(keys)
	w.client.Spec.IdentityProvider = &api.IdentityProvider{Signer: &api.Signer{
		Issuer: issuer, Algorithm: "ES256", Key: api.SigningKey{Managed: &api.ManagedKey{SecretName: "acme-keys"}},
	}}
	return w, key
}

func (w *world) create(secret *corev1.Secret) {
	w.t.Helper()
	if err := w.k8s.Create(w.t.Context(), secret); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) changeSecret(name string, change func(secret *corev1.Secret)) {
	w.t.Helper()
	secret := &corev1.Secret{ObjectMeta: meta(name)}
	w.change(secret, func() { change(secret) })
}

// identified is where the JWTs of the client's application come from.
func (w *world) identified() *registry.Identity {
	w.t.Helper()
	found, err := w.Identity(w.t.Context(), w.client, w.resolved())
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// refuseJWTs puts the lane into a state that tells whether it is told of another identity provider.
func refuseJWTs(t *testing.T, application *registry.Application) {
	t.Helper()
	_, refusal := application.Lane.Enter(t.Context(), lane.JWTLoginEndpoint, types.NamespacedName{Name: "bob"}, 10, func(context.Context, bool) lane.Outcome {
		return lane.Outcome{Asked: true, Gini: &gini.Error{Kind: gini.JWTRejected, Status: 401}}
	})
	if refusal != nil || !jwtsRefused(application) {
		t.Fatalf("refused: %+v", refusal)
	}
}

func jwtsRefused(application *registry.Application) bool {
	state, _ := application.Lane.IdentityState()
	return state.Trouble == gini.JWTRejected
}

// claimsOf are the claims of a JWT that an identity's signer makes.
func claimsOf(t *testing.T, signs *registry.Identity, key *identity.Key, identifier string) jwt.MapClaims {
	t.Helper()
	token, err := signs.Signer.Sign(signs.SubjectOf(identifier), noon)
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	parsed, _, err := jwt.NewParser().ParseUnverified(token.JWT.Reveal(), claims)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Header["kid"] != key.ID() {
		t.Errorf("signed by %v, want %s", parsed.Header["kid"], key.ID())
	}
	return claims
}

// TestIdentitySigner: JWTs are as the GiniClient's spec says, with what it leaves out as documented.
func TestIdentitySigner(t *testing.T) {
	w, key := newSigningWorld(t)
	found := w.identified()
	if found.Provider != nil || found.Version == "" || found.IssuedBy() == "" {
		t.Errorf("%+v", found)
	}
	expect := func(found *registry.Identity, want map[string]any) {
		t.Helper()
		claims := claimsOf(t, found, key, "alice")
		iat, _ := claims["iat"].(float64)
		exp, _ := claims["exp"].(float64)
		claims["lifetime"] = time.Duration(exp-iat) * time.Second
		for _, name := range []string{"iat", "exp", "jti"} {
			delete(claims, name)
		}
		if !reflect.DeepEqual(map[string]any(claims), want) {
			t.Errorf("%v, want %v", claims, want)
		}
	}
	expect(found, map[string]any{"iss": issuer, "x-user-identifier": "alice", "x-client-id": "acme", "lifetime": 15 * time.Minute})
	if bob := found.SubjectOf("bob"); bob.Identifier != "bob" || bob.ClientID != "acme" || found.SubjectOf("").Identifier != "" {
		t.Errorf("%+v", bob)
	}
	signer := w.client.Spec.IdentityProvider.Signer
	signer.TokenLifetime = &metav1.Duration{Duration: time.Hour}
	signer.ClaimNames = &api.ClaimNames{UserIdentifier: "who", ClientID: "whose", ClientSecret: "by"}
	signer.Claims = claims("aud", `["https://pay-api.gini.net"]`)
	expect(w.identified(), map[string]any{
		"iss": issuer, "who": "alice", "whose": "acme", "by": "s3cr3t", "aud": []any{"https://pay-api.gini.net"}, "lifetime": time.Hour,
	})
	if strings.Contains(fmt.Sprintf("%v %+v %#v", w.identified(), w.identified(), w.identified().SubjectOf("alice")), "s3cr3t") {
		t.Error("it can be printed with the client secret")
	}
}

// TestIdentityBroughtAlong: the key stands in a Secret of somebody else's.
func TestIdentityBroughtAlong(t *testing.T) {
	w, _ := newSigningWorld(t)
	brought := newKey(t)
	w.create(&corev1.Secret{ObjectMeta: meta("brought"), Data: map[string][]byte{"now.pem": brought.PEM(), "next.pem": newKey(t).PEM()}})
	w.client.Spec.IdentityProvider.Signer.Key = api.SigningKey{SecretRef: &api.SigningKeyReference{Name: "brought", Key: "now.pem", NextKey: "next.pem"}}
	claimsOf(t, w.identified(), brought, "alice")
}

// TestIdentityCache: what has not changed, as its metadata tell, is not read again.
func TestIdentityCache(t *testing.T) {
	w, _ := newSigningWorld(t)
	w.resolved()
	w.reads()
	first := w.identified()
	if n := w.reads(); n != 1 {
		t.Errorf("%d objects were read, want the keys", n)
	}
	for range 10 {
		if w.identified() != first {
			t.Fatal("another identity")
		}
	}
	if n := w.reads(); n != 0 {
		t.Errorf("%d objects were read again", n)
	}
	w.Forget("acme-uid")
	if again := w.identified(); again == first || again.IssuedBy() != first.IssuedBy() {
		t.Error("not forgotten, or not the same after a restart: all JWTs would be issued anew")
	}
}

// TestIdentityLabelEdit: another version of what it is made from, with the same that JWTs depend on, is read once and changes nothing.
func TestIdentityLabelEdit(t *testing.T) {
	for name, c := range map[string]struct {
		edit  func(*testing.T, *world, *identity.Key)
		reads int
	}{
		"a label of the keys": {func(_ *testing.T, w *world, _ *identity.Key) {
			w.changeSecret("acme-keys", func(secret *corev1.Secret) { secret.Labels["a"] = "b" })
		}, 1},
		"a key that signs later": {func(t *testing.T, w *world, key *identity.Key) {
			t.Helper()
			w.changeSecret("acme-keys", func(secret *corev1.Secret) { secret.Data = ringOf(t, key, newKey(t)) })
		}, 1},
		"the rotation": {func(_ *testing.T, w *world, _ *identity.Key) {
			w.client.Spec.IdentityProvider.Signer.Key.Managed.RotationInterval = &metav1.Duration{Duration: 48 * time.Hour}
		}, 1},
		"what is the default, said": {func(_ *testing.T, w *world, _ *identity.Key) {
			w.client.Spec.IdentityProvider.Signer.TokenLifetime = &metav1.Duration{Duration: 15 * time.Minute}
			w.client.Spec.IdentityProvider.Signer.ClaimNames = &api.ClaimNames{ClientID: "x-client-id"}
			w.client.Spec.IdentityProvider.Signer.Claims = []api.Claim{}
		}, 1},
		"a label of the credentials": {func(_ *testing.T, w *world, _ *identity.Key) {
			w.changeCredentials(func(secret *corev1.Secret) { secret.Labels = map[string]string{"a": "b"} })
		}, 1},
		"the GiniClient's labels": {func(_ *testing.T, w *world, _ *identity.Key) { w.client.Labels = map[string]string{"a": "b"} }, 0},
		"the limits": {func(_ *testing.T, w *world, _ *identity.Key) {
			w.client.Spec.Requests = &api.RequestLimits{RatePerSecond: 9}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w, key := newSigningWorld(t)
			first := w.identified()
			refuseJWTs(t, w.resolved())
			c.edit(t, w, key)
			application := w.resolved()
			w.reads()
			if w.identified() != first {
				t.Error("another identity")
			}
			if n := w.reads(); n != c.reads {
				t.Errorf("%d objects were read, want %d", n, c.reads)
			}
			w.identified()
			if n := w.reads(); n != 0 {
				t.Errorf("%d objects are read at every use", n)
			}
			if !jwtsRefused(application) {
				t.Error("the lane was told that everything is new")
			}
		})
	}
}

// TestIdentityChanges: whatever JWTs depend on makes another identity, JWTs are issued anew, and the lane starts over.
func TestIdentityChanges(t *testing.T) {
	of := func(change func(*api.Signer)) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) { change(w.client.Spec.IdentityProvider.Signer) }
	}
	for name, change := range map[string]func(*testing.T, *world){
		"another key": func(t *testing.T, w *world) {
			t.Helper()
			w.changeSecret("acme-keys", func(secret *corev1.Secret) { secret.Data = ringOf(t, newKey(t)) })
		},
		"a key that is brought along": func(t *testing.T, w *world) {
			t.Helper()
			w.create(&corev1.Secret{ObjectMeta: meta("brought"), Data: map[string][]byte{"key.pem": newKey(t).PEM()}})
			w.client.Spec.IdentityProvider.Signer.Key = api.SigningKey{SecretRef: &api.SigningKeyReference{Name: "brought", Key: "key.pem"}}
		},
		"the issuer":       of(func(signer *api.Signer) { signer.Issuer += "/2" }),
		"the lifetime":     of(func(signer *api.Signer) { signer.TokenLifetime = &metav1.Duration{Duration: 5 * time.Minute} }),
		"the claims":       of(func(signer *api.Signer) { signer.Claims = claims("aud", `"gini"`) }),
		"the user's claim": of(func(signer *api.Signer) { signer.ClaimNames = &api.ClaimNames{UserIdentifier: "who"} }),
		"the client's":     of(func(signer *api.Signer) { signer.ClaimNames = &api.ClaimNames{ClientID: "whose"} }),
		"the secret's":     of(func(signer *api.Signer) { signer.ClaimNames = &api.ClaimNames{ClientSecret: "by"} }),
	} {
		t.Run(name, func(t *testing.T) {
			w, key := newSigningWorld(t)
			first, application := w.identified(), w.resolved()
			by := first.IssuedBy()
			known(t, application)
			refuseJWTs(t, application)
			change(t, w)
			second := w.identified()
			if second == first || second.Version == first.Version || second.IssuedBy() == by {
				t.Error("the same identity")
			}
			if jwtsRefused(application) {
				t.Error("the lane was not told")
			}
			if w.resolved() != application || !application.Lane.State().Accepted {
				t.Error("the application starts over, though it did not change")
			}
			if first.IssuedBy() != by || claimsOf(t, first, key, "alice")["iss"] != issuer {
				t.Error("the earlier identity was changed")
			}
		})
	}
}

// TestClaimsWrittenOtherwise: equal JSON issues nothing anew.
func TestClaimsWrittenOtherwise(t *testing.T) {
	w, _ := newSigningWorld(t)
	signer := w.client.Spec.IdentityProvider.Signer
	signer.Claims = append(claims("aud", `{"a":["x"],"b":1}`), claims("tier", `"g"`)...)
	first := w.identified()
	signer.Claims = append(claims("tier", `"\u0067"`), claims("aud", "{ \"b\" : 1, \"a\":[ \"x\" ]}")...)
	if w.identified() != first {
		t.Error("another identity")
	}
	signer.Claims = claims("aud", `{"a":["x"],"b":2}`)
	if w.identified().IssuedBy() == first.IssuedBy() {
		t.Error("issued by the same")
	}
}

// TestIdentityOfOtherCredentials: other credentials at Gini make other JWTs as far as these hold them.
func TestIdentityOfOtherCredentials(t *testing.T) {
	w, key := newSigningWorld(t)
	first := w.identified()
	w.changeCredentials(func(secret *corev1.Secret) { secret.Data["client-secret"] = []byte("an0ther") })
	if second := w.identified(); second.IssuedBy() != first.IssuedBy() {
		t.Error("JWTs are issued anew for a client secret that they do not hold")
	}
	w.client.Spec.IdentityProvider.Signer.ClaimNames = &api.ClaimNames{ClientSecret: "by"}
	second := w.identified()
	if got := claimsOf(t, second, key, "alice")["by"]; got != "an0ther" {
		t.Errorf("the secret in a JWT is %v", got)
	}
	w.changeCredentials(func(secret *corev1.Secret) { secret.Data["client-secret"] = []byte("s3cr3t") })
	third := w.identified()
	if got := claimsOf(t, third, key, "alice")["by"]; got != "s3cr3t" || third.IssuedBy() == second.IssuedBy() {
		t.Errorf("the secret in a JWT is %v", got)
	}
	w.changeCredentials(func(secret *corev1.Secret) {
		secret.Data = map[string][]byte{"client-id": []byte("beta"), "client-secret": []byte("beta-s3cr3t")}
	})
	fourth := w.identified()
	if got := claimsOf(t, fourth, key, "alice"); got["x-client-id"] != "beta" || got["by"] != "beta-s3cr3t" || fourth.IssuedBy() == third.IssuedBy() {
		t.Errorf("claims %v", got)
	}
	if first.SubjectOf("alice").ClientID != "acme" {
		t.Error("the earlier identity was changed")
	}
}

// TestIdentityInvalidLater: a key that cannot be used any longer is not used, and one that comes back is no news to the lane.
func TestIdentityInvalidLater(t *testing.T) {
	w, key := newSigningWorld(t)
	first := w.identified()
	refuseJWTs(t, w.resolved())
	w.changeSecret("acme-keys", func(secret *corev1.Secret) { secret.Data["signing-key.pem"] = []byte("?") })
	for range 2 {
		if found, err := w.Identity(t.Context(), w.client, w.resolved()); err == nil || found != nil {
			t.Fatal("a damaged key is not noticed")
		}
	}
	w.changeSecret("acme-keys", func(secret *corev1.Secret) { secret.Data = ringOf(t, key) })
	if again := w.identified(); again.IssuedBy() != first.IssuedBy() || !jwtsRefused(w.resolved()) {
		t.Error("a bad value that was reverted does not lead back to the state before")
	}
}

// TestIdentityAPIServerErrors are nobody's problem: they are tried again, and not remembered.
func TestIdentityAPIServerErrors(t *testing.T) {
	w, _ := newSigningWorld(t)
	application, first := w.resolved(), w.identified()
	w.changeSecret("acme-keys", func(secret *corev1.Secret) { secret.Data = ringOf(t, newKey(t)) })
	away := errors.New("etcd is away")
	for _, fails := range []func(){func() { w.fails = away }, func() { w.fails, w.failsLive = nil, away }} {
		fails()
		if found, err := w.Identity(t.Context(), w.client, application); found != nil || !errors.Is(err, away) {
			t.Errorf("%+v, %v", found, err)
		}
	}
	w.failsLive = nil
	if w.identified() == first {
		t.Error("the earlier identity")
	}
}

// TestIdentityAtOnce: however many ask at once, one identity is made.
func TestIdentityAtOnce(t *testing.T) {
	w, _ := newSigningWorld(t)
	application := w.resolved()
	w.reads()
	var asking sync.WaitGroup
	identities := make(chan *registry.Identity, 50)
	for i := range cap(identities) {
		asking.Go(func() {
			found, err := w.Identity(context.Background(), w.client, application)
			if err != nil {
				t.Error(err)
			} else if user := fmt.Sprint("user-", i); found.SubjectOf(user).Identifier != user {
				t.Error("another user's subject")
			}
			identities <- found
		})
	}
	asking.Wait()
	first := <-identities
	for range cap(identities) - 1 {
		if <-identities != first {
			t.Fatal("two identities")
		}
	}
	if n := w.reads(); n != 1 {
		t.Errorf("%d objects were read", n)
	}
}

// TestPolicyOf: how keys are treated, with what is documented where the spec does not say.
func TestPolicyOf(t *testing.T) {
	for name, c := range map[string]struct {
		signer api.Signer
		want   identity.Policy
		secret string
	}{
		"defaults": {
			api.Signer{Key: api.SigningKey{Managed: &api.ManagedKey{SecretName: "keys"}}},
			identity.Policy{Algorithm: identity.RS256, Lifetime: 15 * time.Minute}, "keys",
		},
		"all said": {
			api.Signer{Algorithm: "PS256", TokenLifetime: &metav1.Duration{Duration: time.Hour}, Key: api.SigningKey{
				Managed: &api.ManagedKey{SecretName: "keys", RotationInterval: &metav1.Duration{Duration: 48 * time.Hour}},
			}},
			identity.Policy{Algorithm: identity.PS256, Lifetime: time.Hour, Interval: 48 * time.Hour}, "keys",
		},
		"brought along": {
			api.Signer{Key: api.SigningKey{SecretRef: &api.SigningKeyReference{Name: "brought"}}},
			identity.Policy{Algorithm: identity.RS256, Lifetime: 15 * time.Minute}, "brought",
		},
	} {
		if got := registry.PolicyOf(&c.signer); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if got := registry.KeySecret(&c.signer); got != c.secret {
			t.Errorf("%s: the Secret is %q", name, got)
		}
	}
}
