package controller_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	ctrlcontroller "sigs.k8s.io/controller-runtime/pkg/controller"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// dueAt is when the sweep finds a user due; zero where it never does.
func (w *world) dueAt(ctx context.Context, name string) time.Time {
	GinkgoHelper()
	for entry := range w.users.Entries(ctx) {
		if entry.Key == w.key(name) {
			return entry.DueAt
		}
	}
	Fail("no entry of " + name)
	return time.Time{}
}

// swept reconciles whoever the sweep finds due, for a while, and returns how often that was.
func (w *world) swept(ctx context.Context, name string, duration time.Duration) (reconciles int) {
	GinkgoHelper()
	for end := w.clock.Now().Add(duration); w.clock.Now().Before(end); w.clock.Step(10 * time.Second) {
		if at := w.dueAt(ctx, name); !at.IsZero() && at.Before(w.clock.Now().Add(10*time.Second)) {
			w.reconcile(ctx, name)
			reconciles++
		}
	}
	return reconciles
}

func (w *world) usable(ctx context.Context, secret string) bool {
	GinkgoHelper()
	return w.use(ctx, map[string]string{"Authorization": w.data(ctx, secret)["authorization"]}) == 200
}

var _ = Describe("Nobody is forgotten", func() {
	It("goes on renewing the token of one device while the other's Secret is in conflict", func(ctx SpecContext) {
		w := newWorld(ctx, emulator.WithLifetime(10*time.Minute))
		w.giniClient(ctx)
		w.secret(ctx, "taken", map[string]string{"precious": "value"})
		user := w.derived("alice")
		user.Spec.Devices.Trusted = trusted("taken")
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("False Conflict"))
		w.swept(ctx, "alice", 21*time.Minute)
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())
		Expect(w.gini.Ledger().Count(emulator.Login)).To(BeNumerically("~", 4, 1))
	})

	It("repairs a Secret that somebody fights over when the pause is over, and claims nothing meanwhile (R1.10)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.derived("alice"))
		for range 4 {
			object := w.stored(ctx, "alice-token")
			object.Data["access_token"] = []byte("forged")
			Expect(k8s.Update(ctx, object, client.FieldOwner("forger"))).To(Succeed())
			user = w.reconciled(ctx, user)
		}
		Expect(ready(user)).To(Equal("False Contended"))
		Expect(user.Status.Conditions).To(ContainElement(HaveField("Message", HavePrefix("forger keeps changing Secret alice-token"))))
		Expect(w.data(ctx, "alice-token")).To(HaveKeyWithValue("access_token", "forged"))
		w.swept(ctx, "alice", 2*time.Minute)
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())
		Expect(ready(w.user(ctx, "alice"))).To(Equal("True CredentialsReady"))
	})

	It("tells each user of its client's trouble when its token expires", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		for _, name := range []string{"alice", "bob", "carla"} {
			w.reconciled(ctx, w.derived(name))
		}
		w.gini.RotateSecret(clientID, "rotated")
		w.clock.Step(13 * time.Hour)
		for _, name := range []string{"alice", "bob", "carla"} {
			Expect(w.dueAt(ctx, name)).To(BeTemporally("<=", w.clock.Now()))
			w.reconcile(ctx, name)
		}
		Expect(ready(w.user(ctx, "alice"))).To(Equal("False LoginRefused"), "so far it is its own")
		Expect(ready(w.user(ctx, "bob"))).To(Equal("False CredentialsRejected"))
		Expect(ready(w.user(ctx, "carla"))).To(Equal("False CredentialsRejected"))
		w.clock.SetTime(w.dueAt(ctx, "alice"))
		w.reconcile(ctx, "alice")
		Expect(ready(w.user(ctx, "alice"))).To(Equal("False CredentialsRejected"))
	})

	It("asks again a second after a token that ended at once (R16.1)", func(ctx SpecContext) {
		w := newWorld(ctx, emulator.WithLogin(sticky(10*time.Minute)))
		w.giniClient(ctx)
		w.reconciled(ctx, w.derived("alice"))
		w.clock.Step(10*time.Minute - 500*time.Millisecond)
		w.delete(ctx, &corev1.Secret{}, "alice-token")
		mark := w.gini.Mark()
		for range 3 {
			result := w.reconcile(ctx, "alice")
			if w.data(ctx, "alice-token") != nil {
				break
			}
			Expect(result.RequeueAfter).To(Equal(time.Second))
			w.clock.Step(result.RequeueAfter)
		}
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())
		Expect(w.gini.Since(mark).Count(emulator.Login)).To(BeNumerically("<=", 2))
	})

	It("does not ask in circles about a sticky token that Gini refuses", func(ctx SpecContext) {
		w := newWorld(ctx, emulator.WithLogin(sticky(12*time.Hour)))
		w.giniClient(ctx)
		user := w.derived("alice")
		user.Spec.Renewal = &api.Renewal{VerifyInterval: &metav1.Duration{Duration: time.Hour}}
		user = w.reconciled(ctx, user)
		w.gini.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.Documents}}, Effect: emulator.Status(401, `{"error":"invalid_token"}`)})
		w.clock.Step(time.Hour + time.Minute)
		mark := w.gini.Mark()
		for range 10 {
			w.reconciled(ctx, user)
		}
		Expect(w.gini.Since(mark).Requests()).To(Equal(2))
	})

	It("waits for the sweep or its lane, and does not spin, where what is due cannot be done (R1.4)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.derived("alice"))
		w.gini.RotateSecret(clientID, "rotated")
		for _, at := range []time.Time{user.Status.Devices.Untrusted.RefreshAt.Time, user.Status.Devices.Untrusted.ExpiresAt.Time} {
			w.clock.SetTime(at.Add(time.Second))
			for range 3 {
				Expect(w.reconcile(ctx, "alice").RequeueAfter).To(BeZero())
			}
		}
	})

	It("goes on renewing the token of one device while the other's Secret cannot be written", func(ctx SpecContext) {
		w := newWorld(ctx, emulator.WithLifetime(10*time.Minute))
		w.giniClient(ctx)
		w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": strings.Repeat("s", 1024)})
		w.gini.RotateSecret(clientID, strings.Repeat("s", 1024))
		user := w.derived("alice")
		user.Spec.Devices.Trusted = trusted("large")
		user.Spec.Devices.Trusted.Secret.Data = map[string]api.Template{}
		for number := range 32 {
			user.Spec.Devices.Trusted.Secret.Data[fmt.Sprintf("key-%d", number)] = api.Template(strings.Repeat("$(authorization_basic)", 93))
		}
		Expect(ready(w.reconciled(ctx, user))).To(Equal("False SecretNotWritten"))
		for range 12 {
			w.swept(ctx, "alice", 2*time.Minute)
			Expect(w.usable(ctx, "alice-token")).To(BeTrue())
		}
	})

	It("tries a corrected password that came while the wrong one was being tried", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.gini.AddAccount(clientID, "a@acme.example", "password-1")
		w.secret(ctx, "alice-account", map[string]string{"email": "a@acme.example", "password": "wrong-password"})
		corrected := false
		w.users.Secrets.Live = interceptor.NewClient(k8s, interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				err := c.Get(ctx, key, object, options...)
				if key.Name == "alice-account" && !corrected && w.gini.Ledger().Count(emulator.ClientToken) == 0 {
					corrected = true
					w.updateSecret(ctx, "alice-account", map[string]string{"password": "password-1"})
				}
				return err
			},
		})
		user := w.anonymous("alice")
		user.Spec.Anonymous.AccountSecret.Mode = api.ExistingAccount
		w.reconciled(ctx, user)
		Expect(ready(w.reconciled(ctx, user))).To(Equal("True CredentialsReady"))
	})

	It("finds what a lost status does not tell of, and removes it (R3.9, R17.2)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.reconciled(ctx, w.derived("alice"))
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "second" })
		user := w.user(ctx, "alice")
		user.Status.Devices.Untrusted.SecretName = "alice-token" // as if the write had been lost
		Expect(k8s.Status().Update(ctx, user)).To(Succeed())
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "third" })
		Expect(w.stored(ctx, "second")).To(BeNil())
		Expect(w.data(ctx, "third")).To(HaveKey("access_token"))
	})
})

var _ = Describe("A failure that only a change can mend", func() {
	It("is not asked about again for labels and limits (R1.9)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.gini.AddAccount(clientID, "a@acme.example", "password-1")
		w.secret(ctx, "alice-account", map[string]string{"email": "a@acme.example", "password": "wrong-password"})
		user := w.anonymous("alice")
		user.Spec.Anonymous.AccountSecret.Mode = api.ExistingAccount
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("False AccountRejected"))
		mark := w.gini.Mark()

		label := func(object *corev1.Secret) { object.Labels = map[string]string{"some": "label"} }
		update(ctx, &corev1.Secret{}, w.key("alice-account"), label)
		w.reconcile(ctx, "alice")
		update(ctx, &corev1.Secret{}, w.key("acme-gini"), label)
		w.reconcile(ctx, "alice")
		w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Requests.RatePerSecond = 17 })
		w.reconcile(ctx, "alice")
		w.edit(ctx, "alice", func(user *api.GiniUser) {
			user.Spec.Devices.Untrusted.Secret.Labels = map[string]api.LabelValue{"some": "label"}
		})
		w.clientReconciled(ctx)
		w.restart()
		w.clientReconciled(ctx)
		w.reconcile(ctx, "alice")
		Expect(w.gini.Since(mark).Count(emulator.PasswordLogin)).To(BeZero())

		w.updateSecret(ctx, "alice-account", map[string]string{"password": "password-1"})
		Expect(ready(w.reconciled(ctx, user))).To(Equal("True CredentialsReady"))
	})

	It("backs off from an API server that refuses to write, and says no more of it than the reason (R1.4)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.derived("alice"))
		writes, refuses := 0, true
		w.writes = interceptor.NewClient(k8s, interceptor.Funcs{
			Update: func(ctx context.Context, writer client.WithWatch, object client.Object, options ...client.UpdateOption) error {
				if !refuses {
					return writer.Update(ctx, object, options...)
				}
				writes++
				secret, _ := object.(*corev1.Secret)
				return &apierrors.StatusError{ErrStatus: metav1.Status{ // as an admission webhook denies that gives no reason
					Status: metav1.StatusFailure, Code: 400, Message: "denied: data.access_token: " + string(secret.Data["access_token"]),
				}}
			},
		})
		w.restart()
		w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		mark := w.gini.Mark()
		w.swept(ctx, "alice", time.Hour)
		Expect(w.gini.Since(mark).Count(emulator.Login)).To(Equal(1), "the token is kept until it can be written")
		Expect(writes).To(And(BeNumerically(">=", 60), BeNumerically("<=", 80)), "at least every minute")
		user = w.user(ctx, "alice")
		Expect(ready(user)).To(Equal("True CredentialsReady"), "the token at hand works")
		Expect(condition(user.Status.Conditions, api.ConditionSecretsWritten)).To(Equal("True SecretNotWritten"))
		Expect(fmt.Sprint(user.Status)).To(And(ContainSubstring("(status 400)"), Not(ContainSubstring("denied"))))

		By("writing once it is let again, at the next try")
		refuses, mark = false, w.gini.Mark()
		w.swept(ctx, "alice", time.Minute)
		user = w.user(ctx, "alice")
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(condition(user.Status.Conditions, api.ConditionSecretsWritten)).To(Equal("True SecretsWritten"))
		Expect(fmt.Sprint(user.Status)).NotTo(ContainSubstring("(status 400)"))
		Expect(user.Status.Attempt).To(BeNil())
		Expect(w.gini.Since(mark).Count(emulator.Login)).To(BeZero())
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())
	})
})

var _ = Describe("A tenant", func() {
	It("cannot claim a derived user of a client whose secret it does not have", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		mallory := w.inNamespaceOf(newNamespace(ctx))
		mallory.secret(ctx, "forged", map[string]string{"client-id": clientID, "client-secret": "guessed"})
		forged := &api.GiniClient{ObjectMeta: mallory.objectMeta("acme"), Spec: api.GiniClientSpec{
			CredentialsSecretRef: api.ClientCredentialsReference{Name: "forged"},
			Endpoints: &api.Endpoints{
				PayAPI: &api.PayAPIEndpoint{Endpoint: api.Endpoint{URL: w.url}}, UserCenter: &api.Endpoint{URL: w.url},
			},
		}}
		Expect(k8s.Create(ctx, forged)).To(Succeed())
		squatter := mallory.derived("alice")
		squatter.Spec.Devices = api.Devices{Trusted: trusted("squatted")}
		mallory.reconciled(ctx, squatter)

		Expect(ready(w.reconciled(ctx, w.derived("alice")))).To(Equal("True CredentialsReady"))
		w.restart()
		mallory.users = w.users
		mallory.reconcile(ctx, "alice")
		Expect(ready(w.reconciled(ctx, w.user(ctx, "alice")))).To(Equal("True CredentialsReady"))
	})

	It("keeps its user when the client secret is replaced, and its twin goes on waiting", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.reconciled(ctx, w.derived("alice"))
		twin := w.derived("twin")
		twin.Spec.Derived.Identifier = "alice-8f1c"
		Expect(ready(w.reconciled(ctx, twin))).To(Equal("False IdentifierInUse"))
		w.gini.RotateSecret(clientID, "replaced")
		w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": "replaced"})
		w.reconcile(ctx, "twin")
		w.reconcile(ctx, "alice")
		w.reconcile(ctx, "twin")
		Expect(ready(w.user(ctx, "twin"))).To(Equal("False IdentifierInUse"))
		Expect(ready(w.user(ctx, "alice"))).To(Equal("True CredentialsReady"))
	})

	It("finds its account again, whoever named the Secret meanwhile", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.reconciled(ctx, w.anonymous("carol"))
		thief := w.anonymous("thief")
		thief.Spec.Anonymous.AccountSecret.Name = "carol-account"
		Expect(ready(w.reconciled(ctx, thief))).To(Equal("False AccountInUse"))
		w.afterASecond(ctx, thief)
		w.delete(ctx, &api.GiniUser{}, "carol")
		w.delete(ctx, &corev1.Secret{}, "carol-token")
		w.reconcile(ctx, "carol")
		Expect(ready(w.reconciled(ctx, w.anonymous("carol")))).To(Equal("True CredentialsReady"))
		Expect(ready(w.reconciled(ctx, w.user(ctx, "thief")))).To(Equal("False AccountInUse"))
		Expect(w.gini.Ledger().Accounts()).To(HaveLen(1))
	})

	It("is left alone where another controller has the Secret, whatever that consents to (R3.1, R3.2)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		isController := true
		owned := &corev1.Secret{ObjectMeta: w.objectMeta("alice-token"), StringData: map[string]string{"precious": "value"}}
		owned.Labels = map[string]string{api.AdoptByLabel: "alice"}
		owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "other", UID: "other", Controller: &isController}}
		Expect(k8s.Create(ctx, owned)).To(Succeed())
		Expect(ready(w.reconciled(ctx, w.derived("alice")))).To(Equal("False Conflict"))
		Expect(w.gini.Requests()).To(BeZero())
	})

	It("loses the client credentials with its grant, whatever its spec says meanwhile (R3.9)", func(ctx SpecContext) {
		for _, evade := range []func(*api.GiniUser){
			func(user *api.GiniUser) { user.Spec.Suspend = true },
			func(user *api.GiniUser) { user.Spec.Devices.Trusted = nil },
			func(user *api.GiniUser) { user.Spec.Devices.Trusted.Secret.Name = "taken" },
			func(user *api.GiniUser) {
				user.Spec.Devices.Trusted = nil
				user.Spec.Devices.Untrusted.Secret.Name = "backend"
			},
		} {
			w := newWorld(ctx)
			w.giniClient(ctx, func(object *api.GiniClient) {
				object.Spec.Grants = []api.Grant{grantAll("", api.UntrustedDevice, api.TrustedDevice)}
			})
			there := w.inNamespaceOf(newNamespace(ctx))
			there.secret(ctx, "taken", map[string]string{"precious": "value"})
			user := there.derived("alice")
			user.Spec.ClientRef.Namespace = w.namespace
			user.Spec.Devices.Trusted = trusted("backend")
			there.reconciled(ctx, user)
			Expect(there.data(ctx, "backend")).To(HaveKey("client_secret"))

			update(ctx, &api.GiniUser{}, there.key("alice"), evade)
			w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = nil })
			there.reconcile(ctx, "alice")
			Expect(there.data(ctx, "backend")).NotTo(HaveKey("client_secret"))
			Expect(there.data(ctx, "taken")).To(HaveKey("precious"))
		}
	})

	It("frees the identifier with its grant", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = []api.Grant{grantAll("")} })
		there := w.inNamespaceOf(newNamespace(ctx))
		user := there.derived("alice")
		user.Spec.ClientRef.Namespace = w.namespace
		user = there.reconciled(ctx, user)
		own := w.reconciled(ctx, w.derived("alice"))
		Expect(ready(own)).To(Equal("False IdentifierInUse"))
		w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = []api.Grant{grantAll("other-")} })
		Expect(ready(there.reconciled(ctx, user))).To(Equal("False IdentifierNotGranted"))
		Expect(w.called()).To(ContainElement(w.key("alice")))
		Expect(ready(w.reconciled(ctx, own))).To(Equal("True CredentialsReady"))
	})

	It("never has an untrusted device see what a trusted one may, though Gini is down", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.derived("alice")
		user.Spec.Devices.Trusted = trusted("backend")
		w.reconciled(ctx, user)
		w.gini.Script(emulator.Fault{Effect: emulator.Status(503, "")})
		w.edit(ctx, "alice", func(user *api.GiniUser) {
			user.Spec.Devices.Trusted = nil
			user.Spec.Devices.Untrusted.Secret.Name = "backend"
		})
		Expect(w.data(ctx, "backend")).NotTo(HaveKey("client_secret"))
	})

	It("cannot have an account or client credentials overwritten, even with the label that consents (R3.2)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.reconciled(ctx, w.anonymous("carol"))
		for _, name := range []string{"carol-account", "acme-gini"} {
			update(ctx, &corev1.Secret{}, w.key(name), func(object *corev1.Secret) {
				if object.Labels == nil {
					object.Labels = map[string]string{}
				}
				object.Labels[api.AdoptByLabel] = "thief-of-" + name
			})
			before := w.data(ctx, name)
			thief := w.derived("thief-of-" + name)
			thief.Spec.Devices.Untrusted.Secret.Name = api.ObjectName(name)
			Expect(ready(w.reconciled(ctx, thief))).To(Equal("False NameClash"))
			Expect(w.data(ctx, name)).To(Equal(before))
		}
	})

	It("does not get at another GiniUser's account", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.reconciled(ctx, w.anonymous("carol"))
		w.delete(ctx, &api.GiniUser{}, "carol")
		mallory := w.anonymous("mallory")
		mallory.Spec.Anonymous.AccountSecret.Name = "carol-account"
		Expect(ready(w.reconciled(ctx, mallory))).To(Equal("False AccountSecretConflict"))
	})
})

var _ = Describe("Absurd input", func() {
	It("does not make the operator render what no Secret can hold", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.updateSecret(ctx, "acme-gini", map[string]string{"client-id": strings.Repeat("i", 256), "client-secret": strings.Repeat("s", 1024)})
		user := w.derived("alice")
		user.Spec.Devices = api.Devices{Trusted: trusted("large")}
		user.Spec.Devices.Trusted.Secret.Data = map[string]api.Template{}
		for number := range 32 {
			user.Spec.Devices.Trusted.Secret.Data[fmt.Sprintf("key-%d", number)] = api.Template(strings.Repeat("$(authorization_basic)", 93))
		}
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("False SecretNotWritten"))
		Expect(w.stored(ctx, "large")).To(BeNil())
	})

	It("ignores a user id that no status can hold", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.gini.AddAccount(clientID, "a@acme.example", "password-1")
		w.secret(ctx, "alice-account", map[string]string{
			"email": "a@acme.example", "password": "password-1", "user_id": strings.Repeat("x", 200),
		})
		user := w.anonymous("alice")
		user.Spec.Anonymous.AccountSecret.Mode = api.ExistingAccount
		Expect(ready(w.reconciled(ctx, user))).To(Equal("True CredentialsReady"))
	})

	It("does not believe annotations that somebody edited", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.derived("alice"))
		later := w.clock.Now().Add(1000 * time.Hour).UTC().Format(time.RFC3339)
		update(ctx, &corev1.Secret{}, w.key("alice-token"), func(object *corev1.Secret) {
			object.Annotations[api.ExpiresAtAnnotation], object.Annotations[api.EndsByAnnotation] = later, later
		})
		user = w.reconciled(ctx, user)
		Expect(user.Status.Devices.Untrusted.ExpiresAt.Time).To(BeTemporally("<", w.clock.Now().Add(13*time.Hour)))
	})

	It("is not taken for the user any more where that was deleted or changed while Gini was asked (R17.1)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.derived("alice")
		Expect(k8s.Create(ctx, user)).To(Succeed())
		stale := user.DeepCopy()
		w.delete(ctx, &api.GiniUser{}, "alice")
		w.users.Reader = interceptor.NewClient(k8s, interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				if cached, ok := object.(*api.GiniUser); ok { // a cache that lags
					stale.DeepCopyInto(cached)
					return nil
				}
				return c.Get(ctx, key, object, options...)
			},
			List: func(ctx context.Context, _ client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				return indexed{k8s}.List(ctx, list, options...)
			},
		})
		_, err := w.users.Reconcile(ctx, ctrl.Request{NamespacedName: w.key("alice")})
		Expect(err).NotTo(HaveOccurred())
		Expect(w.gini.Requests()).To(BeZero())
		Expect(w.stored(ctx, "alice-token")).To(BeNil())
	})
})

// explosive is a reader that panics with a credential.
type explosive struct {
	client.Reader
	credential string
}

// explosion is what it panics with.
type explosion struct{ credential string }

// Get implements client.Reader.
func (r explosive) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	panic(explosion{r.credential})
}

var _ = Describe("A panic", func() {
	DescribeTable("tells where it was and of what type, and not what it held", func(ctx SpecContext, exploding func(*world, client.Reader) reconcile.Reconciler) {
		w := newWorld(ctx)
		reconciler := exploding(w, explosive{indexed{k8s}, clientSecret})
		name := "panic-" + strings.ReplaceAll(fmt.Sprintf("%T", reconciler), "*", "")
		recovering, err := ctrlcontroller.NewUnmanaged(name, ctrlcontroller.Options{Reconciler: reconciler, Logger: GinkgoLogr})
		Expect(err).NotTo(HaveOccurred())
		var log bytes.Buffer
		_, err = recovering.Reconcile(logf.IntoContext(ctx, zap.New(zap.WriteTo(&log))), ctrl.Request{NamespacedName: w.key("alice")})
		Expect(err).To(MatchError(ContainSubstring("controller_test.explosion")))
		Expect(log.String()).To(And(ContainSubstring("controller_test.explosion"), ContainSubstring("invariants_test.go")))
		Expect(err.Error() + log.String() + fmt.Sprint(w.told())).NotTo(ContainSubstring(clientSecret))
	},
		Entry("of a GiniUser's reconcile", func(w *world, reader client.Reader) reconcile.Reconciler {
			w.users.Reader = reader
			return w.users
		}),
		Entry("of a GiniClient's", func(w *world, reader client.Reader) reconcile.Reconciler {
			w.clients.Reader = reader
			return w.clients
		}),
		Entry("of the publisher's", func(_ *world, reader client.Reader) reconcile.Reconciler {
			p := newPublisher()
			p.Reader = reader
			return p
		}),
	)
})
