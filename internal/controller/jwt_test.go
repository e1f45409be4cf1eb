package controller_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/controller"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/jwks"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const issuer = "https://id.acme.example"

// signs makes the operator the identity provider of a client.
func signs(object *api.GiniClient) {
	object.Spec.IdentityProvider = &api.IdentityProvider{Signer: &api.Signer{
		Issuer: issuer, Algorithm: "ES256", Key: api.SigningKey{Managed: &api.ManagedKey{SecretName: "acme-key"}},
	}}
}

// bringsKey lets a client sign with a key that is brought along.
func bringsKey(object *api.GiniClient) {
	signs(object)
	object.Spec.IdentityProvider.Signer.Key = api.SigningKey{SecretRef: &api.SigningKeyReference{Name: "brought", Key: "now", NextKey: "next"}}
}

// publisher serves JWK Sets as a replica of the operator does.
type publisher struct {
	*controller.JWKSReconciler
	url string
}

func newPublisher() *publisher {
	GinkgoHelper()
	reader := indexed{k8s}
	p := &publisher{JWKSReconciler: &controller.JWKSReconciler{Reader: reader, Metadata: reader, Live: k8s}}
	sets := jwks.NewSets(p.Publishes)
	p.Sets = sets
	server := httptest.NewServer(sets)
	DeferCleanup(server.Close)
	p.url = server.URL
	return p
}

// publish brings what is served up to date.
func (p *publisher) publish(ctx context.Context, w *world) {
	GinkgoHelper()
	_, err := p.Reconcile(ctx, ctrl.Request{NamespacedName: w.key("acme")})
	Expect(err).NotTo(HaveOccurred())
}

func (p *publisher) address(w *world) string { return p.url + "/" + w.namespace + "/acme/jwks.json" }

// kids are the ids of the keys that are served; the status where none are.
func (p *publisher) kids(ctx context.Context, w *world) []string {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.address(w), http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return []string{response.Status}
	}
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	Expect(json.NewDecoder(response.Body).Decode(&set)).To(Succeed())
	var kids []string
	for _, key := range set.Keys {
		Expect(key).NotTo(HaveKey("d"))
		kids = append(kids, key["kid"])
	}
	return kids
}

// signingClient is a client whose keys were made and published, and whose JWTs Gini accepts.
func (w *world) signingClient(ctx context.Context, change ...func(*api.GiniClient)) *publisher {
	GinkgoHelper()
	w.giniClient(ctx, append([]func(*api.GiniClient){signs}, change...)...)
	p := newPublisher()
	w.gini.SetJWT(clientID, emulator.JWT{Issuer: issuer, JWKSURL: p.address(w), CacheFor: time.Hour})
	w.clientReconciled(ctx)
	p.publish(ctx, w)
	return p
}

// byJWT is a derived user with auth JWT and a trusted device.
func (w *world) byJWT(name string) *api.GiniUser {
	user := w.derived(name)
	user.Spec.Derived.Auth = api.JWTAuth
	user.Spec.Devices = api.Devices{Trusted: trusted(name + "-backend")}
	return user
}

func (w *world) useJWT(ctx context.Context, secret string) int {
	GinkgoHelper()
	return w.use(ctx, map[string]string{"X-JWT-Authorization": w.data(ctx, secret)["x_jwt_authorization"]})
}

// stages are the keys of the status with their stages.
func stages(object *api.GiniClient) map[string]string {
	stages := map[string]string{}
	if object.Status.JWKS != nil {
		for _, key := range object.Status.JWKS.Keys {
			stages[key.Kid] = string(key.Stage)
		}
	}
	return stages
}

func signingKid(object *api.GiniClient) string {
	for kid, stage := range stages(object) {
		if stage == "Signing" {
			return kid
		}
	}
	return ""
}

// kidOf is the key that a device's JWT was signed by.
func (w *world) kidOf(ctx context.Context, secret string) string {
	GinkgoHelper()
	parsed, _, err := jwt.NewParser().ParseUnverified(w.data(ctx, secret)["jwt"], jwt.MapClaims{})
	Expect(err).NotTo(HaveOccurred())
	return parsed.Header["kid"].(string)
}

func keyPEM(algorithm identity.Algorithm) string {
	GinkgoHelper()
	key, err := identity.GenerateKey(algorithm)
	Expect(err).NotTo(HaveOccurred())
	return string(key.PEM())
}

var _ = Describe("JWTs that the operator signs", func() {
	It("are given to a trusted device, accepted by Gini and renewed, without a request to Gini", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.signingClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers = nil }) // whose credentials would be probed
		user := w.reconciled(ctx, w.byJWT("alice"))
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		data := w.data(ctx, "alice-backend")
		Expect(data).To(And(HaveLen(3), HaveKeyWithValue("x_jwt_authorization", "Bearer "+data["jwt"]),
			HaveKeyWithValue("jwt_expires_at", w.clock.Now().UTC().Add(15*time.Minute-30*time.Second).Format(time.RFC3339))))
		Expect(user.Status.Devices.Trusted.ExpiresAt.Time).To(BeTemporally("==", w.clock.Now().Add(15*time.Minute-30*time.Second)))
		Expect(w.gini.Requests()).To(BeZero())
		Expect(w.useJWT(ctx, "alice-backend")).To(Equal(http.StatusOK))

		By("leaving it alone until it is due")
		version := user.ResourceVersion
		w.clock.SetTime(user.Status.Devices.Trusted.RefreshAt.Add(-time.Second))
		Expect(w.reconciled(ctx, user).ResourceVersion).To(Equal(version))
		Expect(w.data(ctx, "alice-backend")).To(Equal(data))

		By("renewing it then")
		w.clock.Step(2 * time.Second)
		user = w.reconciled(ctx, user)
		Expect(w.data(ctx, "alice-backend")["jwt"]).NotTo(Equal(data["jwt"]))
		Expect(w.useJWT(ctx, "alice-backend")).To(Equal(http.StatusOK))
		Expect(user.Status.Devices.Trusted.RefreshAt.Time).To(BeTemporally(">", w.clock.Now()))
		Expect(w.gini.Ledger().Count(emulator.Login)).To(BeZero())
	})

	It("are exchanged for an access token of an untrusted device: the same user as with Basic", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.signingClient(ctx)
		user := w.byJWT("alice")
		user.Spec.Devices.Untrusted = w.derived("alice").Spec.Devices.Untrusted
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(w.data(ctx, "alice-token")).To(And(HaveLen(4), Not(HaveKey("jwt"))))
		Expect(w.use(ctx, map[string]string{"Authorization": w.data(ctx, "alice-token")["authorization"]})).To(Equal(http.StatusOK))
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(1))

		By("telling at the client that Gini accepts its JWTs, also after a restart, which writes and asks nothing")
		told := w.clientReconciled(ctx)
		Expect(condition(told.Status.Conditions, api.ConditionIdentityProviderReady)).To(Equal("True JWTsReady"))
		mark := w.gini.Mark()
		w.restart()
		Expect(w.clientReconciled(ctx).ResourceVersion).To(Equal(told.ResourceVersion))
		Expect(w.reconciled(ctx, user).ResourceVersion).To(Equal(user.ResourceVersion))
		Expect(w.gini.Since(mark).Count(emulator.Login)).To(BeZero())

		By("keeping user and token when auth becomes Basic, and the JWT goes")
		token := w.data(ctx, "alice-token")
		update(ctx, &api.GiniUser{}, w.key("alice"), func(user *api.GiniUser) { user.Spec.Derived.Auth = api.BasicAuth })
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(w.data(ctx, "alice-token")).To(Equal(token))
		Expect(w.data(ctx, "alice-backend")).To(And(HaveKey("client_secret"), Not(HaveKey("jwt"))))
		Expect(user.Status.Devices.Trusted.ExpiresAt).To(BeNil())
		Expect(w.use(ctx, map[string]string{
			"Authorization": w.data(ctx, "alice-backend")["authorization_basic"], "X-User-Identifier": w.data(ctx, "alice-backend")["user_identifier"],
		})).To(Equal(http.StatusOK))
		Expect(w.gini.Since(mark).Count(emulator.Login)).To(BeZero())
		Expect(w.gini.Ledger().DerivedUsers).To(Equal(1))

		By("and back")
		update(ctx, &api.GiniUser{}, w.key("alice"), func(user *api.GiniUser) { user.Spec.Derived.Auth = api.JWTAuth })
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(w.data(ctx, "alice-backend")).To(And(HaveKey("jwt"), Not(HaveKey("client_secret"))))
		Expect(user.Status.Devices.Trusted.ExpiresAt).NotTo(BeNil())
	})

	It("are repaired, taken back with their grant, and stand in the data of one's own", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.signingClient(ctx, func(object *api.GiniClient) {
			object.Spec.Grants = []api.Grant{grantAll("", api.UntrustedDevice, api.TrustedDevice)}
		})
		away := w.inNamespaceOf(newNamespace(ctx))
		user := away.byJWT("alice")
		user.Spec.ClientRef.Namespace = w.namespace
		user.Spec.Devices.Trusted.Secret.Data = map[string]api.Template{"HEADER": "X-JWT-Authorization: $(x_jwt_authorization)"}
		user = away.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(away.data(ctx, "alice-backend")).To(HaveKeyWithValue("HEADER", "X-JWT-Authorization: Bearer "+away.data(ctx, "alice-backend")["jwt"]))

		By("putting right what was edited, with another JWT where that was")
		update(ctx, &corev1.Secret{}, away.key("alice-backend"), func(object *corev1.Secret) { object.Data["jwt"] = []byte("forged") })
		user = away.reconciled(ctx, user)
		Expect(away.useJWT(ctx, "alice-backend")).To(Equal(http.StatusOK))
		kept := away.data(ctx, "alice-backend")["jwt"]
		update(ctx, &corev1.Secret{}, away.key("alice-backend"), func(object *corev1.Secret) { object.Data["foreign"] = []byte("x") })
		user = away.reconciled(ctx, user)
		Expect(away.data(ctx, "alice-backend")).To(And(HaveLen(4), HaveKeyWithValue("jwt", kept)))

		By("withdrawing it with the grant")
		w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = []api.Grant{grantAll("", api.UntrustedDevice)} })
		user = away.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("False DeviceNotGranted"))
		Expect(away.stored(ctx, "alice-backend")).To(BeNil())
	})

	It("are issued anew on a change of claims, in turns that begin at once", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.signingClient(ctx)
		var users []*api.GiniUser
		for i := range 5 {
			users = append(users, w.reconciled(ctx, w.byJWT(fmt.Sprintf("user-%d", i))))
		}
		w.clock.Step(time.Minute)
		w.updateClient(ctx, func(object *api.GiniClient) {
			object.Spec.IdentityProvider.Signer.Claims = []api.Claim{
				{Name: "tenant", Value: apiextensionsv1.JSON{Raw: []byte(`"acme"`)}}, {Name: "aud", Value: apiextensionsv1.JSON{Raw: []byte(`["other","gini"]`)}},
			}
		})
		changed := func() (names []string) {
			for _, user := range users {
				claims := jwt.MapClaims{}
				_, _, err := jwt.NewParser().ParseUnverified(w.data(ctx, user.Name+"-backend")["jwt"], claims)
				Expect(err).NotTo(HaveOccurred())
				if claims["tenant"] == "acme" {
					names = append(names, user.Name)
				}
			}
			return names
		}
		pauses := map[time.Duration]bool{}
		for _, user := range users {
			result := w.reconcile(ctx, user.Name)
			if result.RequeueAfter > 0 {
				pauses[result.RequeueAfter] = true
			}
			Expect(ready(w.user(ctx, user.Name))).To(Equal("True CredentialsReady"))
		}
		Expect(changed()).To(Equal([]string{"user-0"}), "the first at once")
		Expect(pauses).To(HaveLen(4), "the others one after the other")
		for pause := range pauses {
			Expect(pause).To(BeNumerically("<", time.Second))
		}
		w.clock.Step(time.Second)
		for _, user := range users {
			w.reconcile(ctx, user.Name)
		}
		Expect(changed()).To(HaveLen(5))
		Expect(w.gini.Ledger().Count(emulator.Login)).To(BeZero())
		claims := jwt.MapClaims{}
		_, _, err := jwt.NewParser().ParseUnverified(w.data(ctx, "user-0-backend")["jwt"], claims)
		Expect(err).NotTo(HaveOccurred())
		Expect(claims).To(HaveKeyWithValue("aud", []any{"other", "gini"}))

		By("not once more")
		versions := func() (versions []string) {
			for _, user := range users {
				versions = append(versions, w.stored(ctx, user.Name+"-backend").ResourceVersion)
			}
			return versions
		}
		before := versions()
		w.clock.Step(time.Minute)
		for _, user := range users {
			w.reconcile(ctx, user.Name)
		}
		Expect(versions()).To(Equal(before))
	})
})

var _ = Describe("A managed signing key", func() {
	It("is made once, survives everything, and is published by every replica (R3.11)", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.signingClient(ctx)
		object := w.clientReconciled(ctx)
		kid := signingKid(object)
		Expect(stages(object)).To(Equal(map[string]string{kid: "Signing"}))
		Expect(object.Status.JWKS.Path).To(Equal("/" + w.namespace + "/acme/jwks.json"))
		Expect(condition(object.Status.Conditions, api.ConditionIdentityProviderReady)).To(Equal("True JWTsReady"))
		Expect(p.kids(ctx, w)).To(Equal([]string{kid}))
		secret := w.stored(ctx, "acme-key")
		Expect(secret.OwnerReferences).To(BeEmpty())
		Expect(strings.Join(w.told(), "\n")).To(ContainSubstring("SigningKeyCreated"))

		By("a restart, an edit, a deletion of the GiniClient and the same YAML again")
		w.restart()
		w.clientReconciled(ctx)
		w.delete(ctx, &api.GiniClient{}, "acme")
		again := &api.GiniClient{ObjectMeta: w.objectMeta("acme"), Spec: object.Spec}
		Expect(k8s.Create(ctx, again)).To(Succeed())
		object = w.clientReconciled(ctx)
		Expect(signingKid(object)).To(Equal(kid))
		Expect(w.stored(ctx, "acme-key").ResourceVersion).To(Equal(secret.ResourceVersion))
		Expect(strings.Join(w.told(), "\n")).NotTo(ContainSubstring("SigningKey"))
	})

	It("rotates three times under a cache of an hour: nothing is refused (R11.5)", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.signingClient(ctx, func(object *api.GiniClient) {
			object.Spec.IdentityProvider.Signer.Key.Managed.RotationInterval = &metav1.Duration{Duration: 48 * time.Hour}
			object.Spec.IdentityProvider.Signer.TokenLifetime = &metav1.Duration{Duration: 3 * time.Hour}
		})
		user := w.reconciled(ctx, w.byJWT("alice"))
		signed := map[string]bool{}
		for elapsed := time.Duration(0); elapsed < 7*24*time.Hour; elapsed += 50 * time.Minute {
			w.clock.Step(50 * time.Minute)
			object := w.clientReconciled(ctx)
			p.publish(ctx, w)
			before := w.data(ctx, "alice-backend")["x_jwt_authorization"]
			w.reconcile(ctx, user.Name)
			signed[w.kidOf(ctx, "alice-backend")] = true
			Expect(p.kids(ctx, w)).To(ConsistOf(keysOf(stages(object))))
			for _, held := range []string{before, w.data(ctx, "alice-backend")["x_jwt_authorization"]} { // a device may hold the one before
				Expect(w.use(ctx, map[string]string{"X-JWT-Authorization": held})).To(Equal(http.StatusOK), "after %s: %v", elapsed, stages(object))
			}
		}
		Expect(len(signed)).To(BeNumerically(">=", 4))
		Expect(w.gini.Ledger().JWTUses.Refused).To(BeZero())
		told := strings.Join(w.told(), "\n")
		Expect(told).To(And(ContainSubstring("SigningKeyPublished"), ContainSubstring("SigningKeyRotated"), ContainSubstring("SigningKeyWithdrawn")))
		Expect(told).NotTo(ContainSubstring("Warning"))
	})

	It("that is lost is replaced with a warning, and the former JWTs can still be checked", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.signingClient(ctx)
		w.reconciled(ctx, w.byJWT("alice"))
		lost := signingKid(w.clientReconciled(ctx))
		w.told()
		w.delete(ctx, &corev1.Secret{}, "acme-key")
		p.publish(ctx, w)
		Expect(p.kids(ctx, w)).To(Equal([]string{lost}), "what is gone is published still")
		object := w.clientReconciled(ctx)
		p.publish(ctx, w)
		Expect(stages(object)).To(And(HaveLen(2), HaveKeyWithValue(lost, "Retired")))
		Expect(p.kids(ctx, w)).To(Equal([]string{signingKid(object), lost}))
		Expect(w.told()).To(ConsistOf(ContainSubstring("Warning SigningKeyLost")))
		w.clientReconciled(ctx)
		Expect(w.told()).To(BeEmpty())
	})

	It("is rolled at once where a person asks for it (R11.5)", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.signingClient(ctx)
		user := w.reconciled(ctx, w.byJWT("alice"))
		stolen := signingKid(w.clientReconciled(ctx))
		w.told()
		w.updateClient(ctx, func(object *api.GiniClient) {
			metav1.SetMetaDataAnnotation(&object.ObjectMeta, api.KeyRollRequestedAnnotation, "now")
		})
		object := w.clientReconciled(ctx)
		p.publish(ctx, w)
		Expect(stages(object)).To(HaveLen(1))
		Expect(signingKid(object)).NotTo(Equal(stolen))
		Expect(p.kids(ctx, w)).To(Equal([]string{signingKid(object)}))
		Expect(object.Status.LastHandledKeyRoll).To(Equal("now"))
		Expect(w.told()).To(ConsistOf(ContainSubstring("Warning SigningKeyRolled")))
		w.reconciled(ctx, user)
		Expect(w.kidOf(ctx, "alice-backend")).To(Equal(signingKid(object)), "at once")

		By("once, also over a restart")
		version := w.stored(ctx, "acme-key").ResourceVersion
		w.restart()
		w.clientReconciled(ctx)
		Expect(w.stored(ctx, "acme-key").ResourceVersion).To(Equal(version))
		Expect(w.told()).To(BeEmpty())
	})

	It("is rolled for each of two long requests that differ late, and once for each", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.signingClient(ctx)
		signs := signingKid(w.clientReconciled(ctx))
		for _, last := range []string{"1", "2"} {
			w.updateClient(ctx, func(object *api.GiniClient) {
				metav1.SetMetaDataAnnotation(&object.ObjectMeta, api.KeyRollRequestedAnnotation, strings.Repeat("x", 300)+last)
			})
			rolled := signingKid(w.clientReconciled(ctx))
			Expect(rolled).NotTo(Equal(signs))
			w.restart()
			Expect(signingKid(w.clientReconciled(ctx))).To(Equal(rolled))
			signs = rolled
		}
	})

	It("is not rolled again where the Secret forgets that it was, nor by a leader whose cache lags", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.signingClient(ctx)
		roll := func(at string) {
			w.updateClient(ctx, func(object *api.GiniClient) {
				metav1.SetMetaDataAnnotation(&object.ObjectMeta, api.KeyRollRequestedAnnotation, at)
			})
		}
		roll("a")
		w.clientReconciled(ctx)
		old := &api.GiniClient{}
		Expect(k8s.Get(ctx, w.key("acme"), old)).To(Succeed())
		roll("b")
		kid := signingKid(w.clientReconciled(ctx))
		update(ctx, &corev1.Secret{}, w.key("acme-key"), func(object *corev1.Secret) { object.Annotations = nil })
		Expect(signingKid(w.clientReconciled(ctx))).To(Equal(kid), "as the status knows it")

		w.restart()
		w.clients.Reader = stale{Reader: w.clients.Reader, client: old}
		_, err := w.clients.Reconcile(ctx, ctrl.Request{NamespacedName: w.key("acme")})
		Expect(err).NotTo(HaveOccurred())
		w.restart()
		Expect(signingKid(w.clientReconciled(ctx))).To(Equal(kid))
	})

	It("whose Secret loses its labels or its records is put right, and signs on", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.signingClient(ctx, func(object *api.GiniClient) { object.Spec.IdentityProvider.Signer.Algorithm = "PS256" })
		kid := signingKid(w.clientReconciled(ctx))
		w.told()
		update(ctx, &corev1.Secret{}, w.key("acme-key"), func(object *corev1.Secret) {
			object.Labels = nil
			delete(object.Data, "keys.json")
		})
		object := w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionIdentityProviderReady)).To(Equal("True JWTsReady"))
		Expect(object.Status.JWKS.Keys).To(HaveLen(1))
		Expect(signingKid(object)).To(Equal(kid))
		Expect(object.Status.JWKS.Keys[0].Algorithm).To(BeEquivalentTo("PS256"))
		Expect(w.stored(ctx, "acme-key").Labels).To(HaveKeyWithValue(api.ClientLabel, "acme"))
		Expect(w.told()).To(BeEmpty())
	})

	It("that is brought along for a while comes back with a warning, and what was signed meanwhile can be checked", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.signingClient(ctx)
		first := signingKid(w.clientReconciled(ctx))
		w.secret(ctx, "brought", map[string]string{"now": keyPEM(identity.ES256)})
		w.updateClient(ctx, bringsKey)
		between := signingKid(w.clientReconciled(ctx))
		w.told()
		w.clock.Step(48 * time.Hour)
		w.clientReconciled(ctx)
		w.updateClient(ctx, signs)
		object := w.clientReconciled(ctx)
		p.publish(ctx, w)
		Expect(stages(object)).To(Equal(map[string]string{first: "Signing", between: "Retired"}))
		Expect(p.kids(ctx, w)).To(ConsistOf(first, between))
		Expect(w.told()).To(ContainElement(ContainSubstring("Warning SigningKeyReplaced")))
	})

	It("tells of what a reconcile did that could not tell of it", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.signingClient(ctx)
		w.clientReconciled(ctx)
		w.told()
		w.delete(ctx, &corev1.Secret{}, "acme-key")
		w.clients.Status = refusing{w.clients.Status}
		_, err := w.clients.Reconcile(ctx, ctrl.Request{NamespacedName: w.key("acme")})
		Expect(err).To(HaveOccurred())
		Expect(w.told()).To(BeEmpty())
		w.restart()
		w.clientReconciled(ctx)
		Expect(w.told()).To(ContainElement(ContainSubstring("Warning SigningKey")))
	})

	It("changes its algorithm by a rotation", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.signingClient(ctx)
		before := signingKid(w.clientReconciled(ctx))
		w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.IdentityProvider.Signer.Algorithm = "ES384" })
		Expect(stages(w.clientReconciled(ctx))).To(And(HaveLen(2), HaveKeyWithValue(before, "Signing"), ContainElement("Next")))
		w.clock.Step(24*time.Hour + time.Second)
		object := w.clientReconciled(ctx)
		Expect(stages(object)).To(And(HaveLen(2), HaveKeyWithValue(before, "Retired")))
		w.reconciled(ctx, w.byJWT("alice"))
		Expect(w.kidOf(ctx, "alice-backend")).To(Equal(signingKid(object)))
	})

	It("is not put into a Secret of somebody else", func(ctx SpecContext) {
		w := newWorld(ctx)
		foreign := w.secret(ctx, "acme-key", map[string]string{"mine": "mine"})
		p := w.signingClient(ctx)
		object := w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionIdentityProviderReady)).To(Equal("False SigningKeySecretConflict"))
		Expect(w.stored(ctx, "acme-key").ResourceVersion).To(Equal(foreign.ResourceVersion))
		Expect(p.kids(ctx, w)).To(Equal([]string{"503 Service Unavailable"}), "never 404, nor an empty set")

		By("users with Basic are served all the same")
		Expect(ready(w.reconciled(ctx, w.derived("basic")))).To(Equal("True CredentialsReady"))
	})
})

// stale is a cache that shows an old GiniClient.
type stale struct {
	client.Reader
	client *api.GiniClient
}

func (s stale) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if giniClient, ok := object.(*api.GiniClient); ok {
		s.client.DeepCopyInto(giniClient)
		return nil
	}
	return s.Reader.Get(ctx, key, object, options...)
}

// refusing writes no status.
type refusing struct{ client.StatusClient }

func (r refusing) Status() client.SubResourceWriter { return refusingWriter{r.StatusClient.Status()} }

type refusingWriter struct{ client.SubResourceWriter }

func (refusingWriter) Patch(context.Context, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
	return errors.New("the API server is away")
}

func keysOf(m map[string]string) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

var _ = Describe("A signing key that is brought along", func() {
	It("is taken in each form, published ahead by nextKey, and replaced without a word", func(ctx SpecContext) {
		w := newWorld(ctx)
		first, second := keyPEM(identity.ES256), keyPEM(identity.ES256)
		w.secret(ctx, "brought", map[string]string{"now": first})
		p := w.signingClient(ctx, bringsKey)
		user := w.reconciled(ctx, w.byJWT("alice"))
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(w.useJWT(ctx, "alice-backend")).To(Equal(http.StatusOK))
		before := signingKid(w.clientReconciled(ctx))

		By("publishing the next one")
		w.updateSecret(ctx, "brought", map[string]string{"next": second})
		object := w.clientReconciled(ctx)
		p.publish(ctx, w)
		Expect(stages(object)).To(And(HaveLen(2), HaveKeyWithValue(before, "Signing")))
		Expect(p.kids(ctx, w)).To(HaveLen(2))

		By("letting it sign")
		w.clock.Step(24 * time.Hour)
		w.reconciled(ctx, user)
		Expect(w.useJWT(ctx, "alice-backend")).To(Equal(http.StatusOK), "Gini fetches the set")
		w.updateSecret(ctx, "brought", map[string]string{"now": second, "next": ""})
		object = w.clientReconciled(ctx)
		p.publish(ctx, w)
		w.reconciled(ctx, user)
		Expect(w.kidOf(ctx, "alice-backend")).To(And(Equal(signingKid(object)), Not(Equal(before))))
		Expect(w.useJWT(ctx, "alice-backend")).To(Equal(http.StatusOK))
		w.clock.Step(61 * time.Minute)
		Expect(p.kids(ctx, w)).To(ContainElement(before), "for the JWTs that are about")
		Expect(strings.Join(w.told(), "\n")).NotTo(ContainSubstring("Warning"))

		By("dropping the former one in the end")
		w.clock.Step(26 * time.Hour)
		object = w.clientReconciled(ctx)
		p.publish(ctx, w)
		Expect(stages(object)).To(HaveLen(1))
		Expect(p.kids(ctx, w)).To(Equal([]string{signingKid(object)}))
	})

	It("signs at once where it was not published, with a warning", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.secret(ctx, "brought", map[string]string{"now": keyPEM(identity.ES256)})
		p := w.signingClient(ctx, bringsKey)
		before := signingKid(w.clientReconciled(ctx))
		w.told()
		w.updateSecret(ctx, "brought", map[string]string{"now": keyPEM(identity.ES256)})
		object := w.clientReconciled(ctx)
		p.publish(ctx, w)
		Expect(stages(object)).To(And(HaveLen(2), HaveKeyWithValue(before, "Retired")))
		Expect(p.kids(ctx, w)).To(Equal([]string{signingKid(object), before}))
		Expect(w.told()).To(ConsistOf(ContainSubstring("Warning SigningKeyReplaced")))
	})

	It("goes on signing, and publishing, where its nextKey cannot be used", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.secret(ctx, "brought", map[string]string{"now": keyPEM(identity.ES256), "next": keyPEM(identity.ES256)})
		p := w.signingClient(ctx, bringsKey)
		kids := p.kids(ctx, w)
		Expect(kids).To(HaveLen(2))
		w.told()
		w.updateSecret(ctx, "brought", map[string]string{"next": "LEAK-MARKER"})
		object := w.clientReconciled(ctx)
		p.publish(ctx, w)
		Expect(p.kids(ctx, w)).To(Equal(kids))
		Expect(condition(object.Status.Conditions, api.ConditionReady)).To(HavePrefix("True "))
		Expect(meta.FindStatusCondition(object.Status.Conditions, api.ConditionIdentityProviderReady).Message).To(ContainSubstring("nextKey cannot be used"))
		Expect(w.told()).To(ConsistOf(ContainSubstring("Warning SigningKeyInvalid")))
		w.clientReconciled(ctx)
		Expect(w.told()).To(BeEmpty())
	})

	DescribeTable("says what is wrong with it", func(ctx SpecContext, content, says string) {
		w := newWorld(ctx)
		w.secret(ctx, "brought", map[string]string{"now": content})
		w.signingClient(ctx, bringsKey)
		object := w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionIdentityProviderReady)).To(Equal("False SigningKeyInvalid"))
		for _, found := range object.Status.Conditions {
			if found.Type == api.ConditionIdentityProviderReady {
				Expect(found.Message).To(ContainSubstring(says))
			}
		}
		Expect(ready(w.reconciled(ctx, w.byJWT("alice")))).To(Equal("False SigningKeyInvalid"))
	},
		Entry("no PEM", "LEAK-MARKER", "PEM"),
		Entry("another curve", keyPEMOf("ES384"), "P-256"),
		Entry("RSA for ES256", keyPEMOf("RS256"), "P-256"),
		Entry("a public key", publicPEM(), "private"),
	)
})

// keyPEMOf is for tables, which are made before any spec runs.
func keyPEMOf(algorithm string) string {
	key, err := identity.GenerateKey(identity.Algorithm(algorithm))
	if err != nil {
		panic(err)
	}
	return string(key.PEM())
}

func publicPEM() string {
	block, _ := pem.Decode([]byte(keyPEMOf("ES256")))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	signer, _ := key.(crypto.Signer)
	public, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
}

var _ = Describe("Clocks that differ", func() {
	var (
		w         *world
		giniClock *testclock.FakeClock
		user      *api.GiniUser
	)
	// ahead makes users whose operator's clock is ahead of Gini's.
	ahead := func(ctx context.Context, by time.Duration) {
		GinkgoHelper()
		giniClock = testclock.NewFakeClock(time.Time{})
		w = newWorld(ctx, emulator.WithClock(giniClock))
		giniClock.SetTime(w.clock.Now().Add(-by))
		w.signingClient(ctx)
		user = w.byJWT("alice")
		user.Spec.Devices.Untrusted = w.derived("alice").Spec.Devices.Untrusted
		user = w.reconciled(ctx, user)
	}

	DescribeTable("cost no refused JWT where the operator's is behind, or ahead by no more than iat is set back (R11.4)",
		func(ctx SpecContext, by time.Duration) {
			ahead(ctx, by)
			Expect(ready(user)).To(Equal("True CredentialsReady"))
			Expect(w.useJWT(ctx, "alice-backend")).To(Equal(http.StatusOK))
			Expect(w.usable(ctx, "alice-token")).To(BeTrue())
			Expect(w.gini.Ledger().JWTUses.Refused).To(BeZero())
		},
		Entry("by a minute, behind", -time.Minute),
		Entry("not at all", time.Duration(0)),
		Entry("by 30 seconds, ahead", 30*time.Second),
	)

	DescribeTable("have Gini refuse the JWTs of an operator that is further ahead, until they agree (R11.4)",
		func(ctx SpecContext, by time.Duration, mend func()) {
			ahead(ctx, by)
			Expect(ready(user)).To(Equal("False JWTRejected"))
			Expect(condition(w.clientReconciled(ctx).Status.Conditions, api.ConditionReady)).To(Equal("False JWTRejected"))
			refused := w.gini.Ledger().JWTUses.Refused
			Expect(refused).To(Equal(1))
			w.reconcile(ctx, "alice")
			Expect(w.gini.Ledger().JWTUses.Refused).To(Equal(refused), "it is not asked again at once")

			mend()
			w.reconcile(ctx, "alice")
			Expect(ready(w.user(ctx, "alice"))).To(Equal("True CredentialsReady"))
			Expect(condition(w.clientReconciled(ctx).Status.Conditions, api.ConditionReady)).To(HavePrefix("True"))
			Expect(w.gini.Ledger().JWTUses.Refused).To(Equal(refused))
			Expect(w.useJWT(ctx, "alice-backend")).To(Equal(http.StatusOK))
			Expect(w.usable(ctx, "alice-token")).To(BeTrue())
		},
		Entry("by a second, and Gini's is put right", 31*time.Second, func() {
			w.clock.Step(time.Minute)
			giniClock.SetTime(w.clock.Now())
		}),
		Entry("by half a minute, and the operator's is set back", time.Minute, func() { w.clock.SetTime(giniClock.Now()) }),
	)
})
