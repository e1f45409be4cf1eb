package controller_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// withoutAnonymous is a client that makes no anonymous users.
func withoutAnonymous(object *api.GiniClient) { object.Spec.AnonymousUsers = nil }

// backend is a derived user with a trusted device alone.
func (w *world) backend(name string) *api.GiniUser {
	user := w.derived(name)
	user.Spec.Devices = api.Devices{Trusted: trusted(name + "-gini")}
	return user
}

// settled reconciles the client and users as often as one may call another, without a moment passing.
func (w *world) settled(ctx context.Context, names ...string) *api.GiniClient {
	GinkgoHelper()
	var object *api.GiniClient
	for range 4 {
		for _, name := range names {
			w.reconcile(ctx, name)
		}
		object = w.clientReconciled(ctx)
	}
	return object
}

// useTrusted sends a request with what a trusted device was given.
func (w *world) useTrusted(ctx context.Context, secret string) int {
	GinkgoHelper()
	data := w.data(ctx, secret)
	return w.use(ctx, map[string]string{"Authorization": data["authorization_basic"], "X-User-Identifier": data["user_identifier"]})
}

func readyMessage(user *api.GiniUser) string {
	return meta.FindStatusCondition(user.Status.Conditions, api.ConditionReady).Message
}

// rotate puts another client secret into the credentials Secret.
func (w *world) rotate(ctx context.Context, secret string) {
	GinkgoHelper()
	w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": secret})
}

var _ = Describe("Client credentials that nobody has tried", func() {
	var w *world
	BeforeEach(func(ctx SpecContext) { w = newWorld(ctx) })

	arranged := func(ctx context.Context) {
		GinkgoHelper()
		w.giniClient(ctx, withoutAnonymous)
		Expect(ready(w.reconciled(ctx, w.derived("alice")))).To(Equal("True CredentialsReady"))
		Expect(ready(w.reconciled(ctx, w.backend("backend")))).To(Equal("True CredentialsReady"))
		w.settled(ctx, "alice", "backend")
		w.told()
		w.called()
	}

	It("do not reach a trusted device that works, once an early login shows that they are wrong", func(ctx SpecContext) {
		arranged(ctx)
		mark := w.gini.Mark()
		w.rotate(ctx, "mistyped")
		w.reconcile(ctx, "backend") // before anybody has looked at the client
		Expect(ready(w.user(ctx, "backend"))).To(Equal("True CredentialsReady"), "nothing is wrong so far")
		object := w.settled(ctx, "alice", "backend")

		rejected := "Gini rejects the credentials of GiniClient " + w.namespace + "/acme; see its status. Secret "
		user := w.user(ctx, "backend")
		Expect(ready(user)).To(Equal("False CredentialsRejected"))
		Expect(readyMessage(user)).To(Equal(rejected + "backend-gini stays as it is until Gini accepts them"))
		Expect(condition(object.Status.Conditions, api.ConditionCredentialsAccepted)).To(Equal("False CredentialsRejected"))
		alice := w.user(ctx, "alice")
		Expect(ready(alice)).To(Equal("True CredentialsReady"))
		Expect(condition(alice.Status.Conditions, api.ConditionSecretsWritten)).To(Equal("True CredentialsRejected"))

		By("giving no Secret to a new trusted user, and restoring none that is deleted")
		newcomer := w.reconciled(ctx, w.backend("newcomer"))
		Expect(ready(newcomer)).To(Equal("False CredentialsRejected"))
		Expect(readyMessage(newcomer)).To(Equal(rejected + "newcomer-gini is not written until Gini accepts them"))
		Expect(w.useTrusted(ctx, "backend-gini")).To(Equal(http.StatusOK))
		w.delete(ctx, &corev1.Secret{}, "backend-gini")
		user = w.reconciled(ctx, user)
		Expect(w.stored(ctx, "backend-gini")).To(BeNil())
		Expect(w.stored(ctx, "newcomer-gini")).To(BeNil())
		Expect(readyMessage(user)).To(Equal(rejected + "backend-gini is not written until Gini accepts them"))

		By("trying them three times in the first hour at most, whoever waits")
		for range 59 {
			w.clock.Step(time.Minute)
			w.reconcile(ctx, "alice")
			w.reconcile(ctx, "backend")
			w.clientReconciled(ctx)
		}
		Expect(w.gini.Since(mark).CountWrongCredentials(clientID)).To(BeNumerically("~", 2, 1))
		Expect(w.gini.Ledger().User("backend-8f1c").Uses.Refused).To(BeZero())

		By("serving all of them at once when the right ones come")
		mark = w.gini.Mark()
		w.rotate(ctx, clientSecret)
		w.settled(ctx, "alice", "backend", "newcomer")
		for _, name := range []string{"alice", "backend", "newcomer"} {
			Expect(ready(w.user(ctx, name))).To(Equal("True CredentialsReady"))
		}
		Expect(w.useTrusted(ctx, "backend-gini")).To(Equal(http.StatusOK))
		Expect(w.useTrusted(ctx, "newcomer-gini")).To(Equal(http.StatusOK))
		Expect(w.gini.Since(mark).Count(emulator.Login)).To(Equal(1))
	})

	It("reach trusted devices after one early login, whose token the untrusted user gets", func(ctx SpecContext) {
		arranged(ctx)
		before := w.data(ctx, "alice-token")["access_token"]
		mark := w.gini.Mark()
		w.gini.RotateSecret(clientID, "rotated")
		w.rotate(ctx, "rotated")
		for range 4 {
			for _, name := range []string{"backend", "alice"} {
				w.reconcile(ctx, name)
				Expect(ready(w.user(ctx, name))).To(Equal("True CredentialsReady"), "it does not flap")
			}
			w.clientReconciled(ctx)
		}
		Expect(w.gini.Since(mark).Requests()).To(Equal(1))
		Expect(w.data(ctx, "alice-token")["access_token"]).NotTo(Equal(before))
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", "rotated"))
		Expect(w.useTrusted(ctx, "backend-gini")).To(Equal(http.StatusOK))
		Expect(strings.Join(w.told(), "\n")).NotTo(Or(ContainSubstring("Warning"), ContainSubstring("Nothing has been asked")))
	})

	It("reach trusted devices within half an hour, if Gini comes to know them later than the cluster", func(ctx SpecContext) {
		arranged(ctx)
		w.rotate(ctx, "early")
		w.settled(ctx, "alice", "backend")
		Expect(ready(w.user(ctx, "backend"))).To(Equal("False CredentialsRejected"))
		w.gini.RotateSecret(clientID, "early")
		for range 32 {
			w.clock.Step(time.Minute)
			w.reconcile(ctx, "alice")
			w.reconcile(ctx, "backend")
			w.clientReconciled(ctx)
		}
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", "early"))
		Expect(ready(w.user(ctx, "backend"))).To(Equal("True CredentialsReady"))
	})

	It("are tried by the very user whose trusted device waits for them, if there is no other", func(ctx SpecContext) {
		w.giniClient(ctx, withoutAnonymous)
		user := w.derived("alice")
		user.Spec.Devices.Trusted = trusted("alice-gini")
		Expect(ready(w.reconciled(ctx, user))).To(Equal("True CredentialsReady"))
		w.settled(ctx, "alice")
		w.rotate(ctx, "mistyped")
		w.settled(ctx, "alice")
		Expect(ready(w.user(ctx, "alice"))).To(Equal("False CredentialsRejected"), "the worse of both devices")
		Expect(readyMessage(w.user(ctx, "alice"))).To(ContainSubstring("Secret alice-gini stays as it is"))
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())
		Expect(w.useTrusted(ctx, "alice-gini")).To(Equal(http.StatusOK))

		w.gini.RotateSecret(clientID, "rotated")
		mark := w.gini.Mark()
		w.rotate(ctx, "rotated")
		w.settled(ctx, "alice")
		Expect(ready(w.user(ctx, "alice"))).To(Equal("True CredentialsReady"))
		Expect(w.data(ctx, "alice-gini")).To(HaveKeyWithValue("client_secret", "rotated"))
		Expect(w.gini.Since(mark).Requests()).To(Equal(1))
	})

	It("do not reach the trusted device of a user that is suspended, and cost no login for it", func(ctx SpecContext) {
		arranged(ctx)
		w.edit(ctx, "backend", func(user *api.GiniUser) { user.Spec.Suspend = true })
		mark := w.gini.Mark()
		w.rotate(ctx, "mistyped")
		w.settled(ctx, "alice", "backend")
		w.clock.Step(time.Hour)
		w.settled(ctx, "alice", "backend")
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
		w.edit(ctx, "backend", func(user *api.GiniUser) { user.Spec.Suspend = false })
		w.settled(ctx, "alice", "backend")
		Expect(ready(w.user(ctx, "backend"))).To(Equal("False CredentialsRejected"))
		Expect(w.useTrusted(ctx, "backend-gini")).To(Equal(http.StatusOK))
	})

	It("are tried by a client token where Gini ever gave one, and end nobody's token", func(ctx SpecContext) {
		w.giniClient(ctx)
		w.clientReconciled(ctx)
		w.reconciled(ctx, w.derived("alice"))
		w.reconciled(ctx, w.backend("backend"))
		w.updateClient(ctx, withoutAnonymous)
		w.settled(ctx, "alice", "backend")
		mark := w.gini.Mark()
		w.rotate(ctx, "mistyped")
		w.settled(ctx, "alice", "backend")
		Expect(ready(w.user(ctx, "backend"))).To(Equal("False CredentialsRejected"))
		Expect(w.useTrusted(ctx, "backend-gini")).To(Equal(http.StatusOK))
		asked := w.gini.Since(mark)
		Expect(asked.Count(emulator.ClientToken)).To(Equal(1))
		Expect(asked.Count(emulator.Login)).To(Equal(1), "Gini may have taken away no more than the right to anonymous users")
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())

		mark = w.gini.Mark()
		w.rotate(ctx, clientSecret)
		w.settled(ctx, "alice", "backend")
		Expect(ready(w.user(ctx, "backend"))).To(Equal("True CredentialsReady"))
		Expect(w.gini.Since(mark).Count(emulator.Login)).To(BeZero())
	})

	It("reach trusted devices at once where nobody else uses the client, and nothing is asked", func(ctx SpecContext) {
		w.giniClient(ctx, withoutAnonymous)
		w.reconciled(ctx, w.backend("backend"))
		w.settled(ctx, "backend")
		w.told()
		w.rotate(ctx, "other")
		w.reconcile(ctx, "backend")
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", "other"))
		object := w.settled(ctx, "backend")
		Expect(condition(object.Status.Conditions, api.ConditionReady)).To(Equal("True NotYetUsed"))
		Expect(w.gini.Requests()).To(BeZero())
		Expect(w.told()).To(BeEmpty())
	})

	It("reach trusted devices at once where the only user that could try them is gone", func(ctx SpecContext) {
		arranged(ctx)
		w.delete(ctx, &api.GiniUser{}, "alice")
		mark := w.gini.Mark()
		w.rotate(ctx, "other")
		w.reconcile(ctx, "backend")
		object := w.clientReconciled(ctx)
		Expect(w.called()).To(ContainElement(w.key("backend")))
		w.reconcile(ctx, "backend")
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", "other"))
		Expect(condition(object.Status.Conditions, api.ConditionCredentialsAccepted)).To(Equal("Unknown NotVerified"))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
	})

	DescribeTable("are delivered where Gini does not say within a minute, and said to be not verified", func(ctx SpecContext, effect emulator.Effect) {
		w.requestTimeout = 300 * time.Millisecond
		w.restart()
		arranged(ctx)
		remove := w.gini.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.Login}}, Effect: effect})
		w.rotate(ctx, "mistyped")
		object := w.settled(ctx, "alice", "backend")
		Expect(condition(object.Status.Conditions, api.ConditionCredentialsAccepted)).To(HavePrefix("Unknown "))
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", clientSecret))
		w.clock.Step(time.Minute)
		object = w.settled(ctx, "backend")
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", "mistyped"))
		Expect(condition(object.Status.Conditions, api.ConditionCredentialsAccepted)).To(Equal("Unknown NotVerified"))
		Expect(ready(w.user(ctx, "backend"))).To(Equal("True CredentialsReady"))

		By("not trying them again after a restart")
		mark := w.gini.Mark()
		w.restart()
		Expect(ready(w.reconciled(ctx, w.backend("newcomer")))).To(Equal("True CredentialsReady"))
		object = w.settled(ctx, "alice", "backend", "newcomer")
		Expect(condition(object.Status.Conditions, api.ConditionCredentialsAccepted)).To(Equal("Unknown NotVerified"))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())

		By("telling whoever has them when Gini refuses them in the end")
		remove()
		w.clock.SetTime(w.user(ctx, "alice").Status.Devices.Untrusted.RefreshAt.Add(7 * time.Hour))
		w.called()
		w.reconcile(ctx, "alice")
		Expect(w.called()).To(ContainElement(w.key("backend")))
		w.reconcile(ctx, "backend")
		Expect(ready(w.user(ctx, "backend"))).To(Equal("False CredentialsRejected"))
	},
		Entry("but fails", emulator.Unavailable()),
		Entry("but hangs", emulator.Hang()),
	)

	It("are not withheld by the User Center's refusal of a client that may have derived users only", func(ctx SpecContext) {
		w.gini.Restrict(clientID, emulator.Restriction{To: emulator.DerivedUsers})
		w.giniClient(ctx)
		w.reconciled(ctx, w.derived("alice"))
		w.reconciled(ctx, w.backend("backend"))
		w.settled(ctx, "alice", "backend")
		w.gini.RotateSecret(clientID, "rotated")
		w.rotate(ctx, "rotated")
		w.settled(ctx, "alice", "backend")
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", "rotated"))
		object := w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionReady)).To(Equal("True CredentialsAccepted"))
		Expect(condition(object.Status.Conditions, api.ConditionDerivedUsersAccepted)).To(Equal("True CredentialsAccepted"))
		Expect(condition(object.Status.Conditions, api.ConditionAnonymousUsersAccepted)).To(Equal("False AnonymousUsersRefused"))
	})

	It("are tried too where the client id is another one", func(ctx SpecContext) {
		arranged(ctx)
		w.updateSecret(ctx, "acme-gini", map[string]string{"client-id": "acne"})
		w.settled(ctx, "alice", "backend")
		Expect(ready(w.user(ctx, "backend"))).To(Equal("False CredentialsRejected"))
		Expect(w.useTrusted(ctx, "backend-gini")).To(Equal(http.StatusOK))

		By("also after a restart, and by what the former client id was accepted for")
		w.restart()
		w.settled(ctx, "alice", "backend")
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_id", clientID))
		w.updateSecret(ctx, "acme-gini", map[string]string{"client-id": clientID})
		w.settled(ctx, "alice", "backend")
		Expect(ready(w.user(ctx, "backend"))).To(Equal("True CredentialsReady"))
	})

	It("are tried by another user where the first is deleted, suspended, or alone refused", func(ctx SpecContext) {
		arranged(ctx)
		w.reconciled(ctx, w.derived("bob"))
		w.gini.RotateSecret(clientID, "rotated")
		w.gini.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.Login}, User: "alice-8f1c"}, Effect: emulator.Status(403, "")})
		w.rotate(ctx, "rotated")
		w.settled(ctx, "alice", "backend")
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", clientSecret))
		w.clock.Step(time.Minute)
		w.settled(ctx, "bob", "backend")
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", "rotated"))

		By("deleting who is to try them")
		w.gini.Reset()
		w.gini.RotateSecret(clientID, "again")
		w.rotate(ctx, "again")
		w.reconcile(ctx, "backend")
		w.called()
		w.clientReconciled(ctx)
		elected := w.called()
		Expect(elected).To(HaveLen(1))
		w.edit(ctx, elected[0].Name, func(user *api.GiniUser) { user.Spec.Suspend = true })
		w.clock.Step(10 * time.Second)
		w.clientReconciled(ctx)
		Expect(w.called()).To(ContainElement(Or(Equal(w.key("alice")), Equal(w.key("bob")))))
		w.settled(ctx, "alice", "bob", "backend")
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", "again"))
	})

	DescribeTable("cost no more than one further request where the operator restarts", func(ctx SpecContext, steps int, secret string) {
		arranged(ctx)
		w.gini.RotateSecret(clientID, "rotated")
		w.rotate(ctx, secret)
		mark := w.gini.Mark()
		for _, step := range []func(){
			func() { w.reconcile(ctx, "backend") }, func() { w.clientReconciled(ctx) }, func() { w.reconcile(ctx, "alice") },
			func() { w.clientReconciled(ctx) }, func() { w.reconcile(ctx, "backend") },
		}[:steps] {
			step()
		}
		w.restart()
		w.settled(ctx, "backend", "alice")
		Expect(w.gini.Since(mark).Requests()).To(And(BeNumerically(">=", 1), BeNumerically("<=", 2)))
		if secret == "rotated" {
			Expect(w.useTrusted(ctx, "backend-gini")).To(Equal(http.StatusOK))
			Expect(ready(w.user(ctx, "backend"))).To(Equal("True CredentialsReady"))
		} else {
			Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", clientSecret))
			Expect(ready(w.user(ctx, "backend"))).To(Equal("False CredentialsRejected"))
		}
	},
		Entry("at first", 0, "rotated"), Entry("while they are withheld", 1, "rotated"), Entry("before the login", 2, "rotated"),
		Entry("after the login", 3, "rotated"), Entry("before they are delivered", 4, "rotated"), Entry("after it", 5, "rotated"),
		Entry("at first, with wrong ones", 0, "mistyped"), Entry("before the login, with wrong ones", 2, "mistyped"),
		Entry("after the login, with wrong ones", 3, "mistyped"), Entry("when all is told, with wrong ones", 5, "mistyped"),
	)

	It("wait in no JWT, unless that holds the client secret", func(ctx SpecContext) {
		w.signingClient(ctx, withoutAnonymous)
		w.reconciled(ctx, w.derived("alice"))
		Expect(ready(w.finished(ctx, w.byJWT("bob")))).To(Equal("True CredentialsReady"))
		w.settled(ctx, "alice", "bob")
		before := w.data(ctx, "bob-backend")["jwt"]
		mark := w.gini.Mark()
		w.rotate(ctx, "mistyped")
		w.settled(ctx, "alice", "bob")
		Expect(w.data(ctx, "bob-backend")["jwt"]).To(Equal(before))
		Expect(ready(w.user(ctx, "bob"))).To(Equal("True CredentialsReady"))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
		w.rotate(ctx, clientSecret)

		By("naming the claim of the client secret")
		w.updateClient(ctx, func(object *api.GiniClient) {
			object.Spec.IdentityProvider.Signer.ClaimNames = &api.ClaimNames{ClientID: "client", ClientSecret: "secret", UserIdentifier: "user"}
		})
		w.settled(ctx, "alice")
		w.clock.Step(time.Minute)
		w.settled(ctx, "bob")
		before = w.data(ctx, "bob-backend")["jwt"]
		w.rotate(ctx, "mistyped")
		w.settled(ctx, "bob", "alice")
		w.clock.Step(time.Second)
		w.settled(ctx, "bob", "alice")
		Expect(w.data(ctx, "bob-backend")["jwt"]).To(Equal(before))
		w.gini.RotateSecret(clientID, "rotated")
		w.rotate(ctx, "rotated")
		w.settled(ctx, "bob", "alice")
		w.clock.Step(time.Second)
		w.settled(ctx, "bob", "alice")
		Expect(w.data(ctx, "bob-backend")["jwt"]).NotTo(Equal(before))
	})
})

// logged is what the log says of a change, with its level, as a filter finds it.
func logged(log *bytes.Buffer, message string) []map[string]any {
	GinkgoHelper()
	var found []map[string]any
	for _, line := range strings.Split(strings.TrimSpace(log.String()), "\n") {
		entry := map[string]any{}
		Expect(json.Unmarshal([]byte(line), &entry)).To(Succeed(), line)
		if entry["msg"] == message {
			found = append(found, entry)
		}
	}
	return found
}

var _ = Describe("A failure in the log", func() {
	It("is an error where Ready turns False, or credentials cannot be renewed, told once; recovery is not", func(ctx SpecContext) {
		w := newWorld(ctx)
		var log bytes.Buffer
		w.log, w.context = &log, logf.IntoContext(ctx, zap.New(zap.WriteTo(&log)))
		w.giniClient(ctx, withoutAnonymous)
		user := w.reconciled(ctx, w.derived("alice"))
		Expect(logged(&log, "Ready has changed")).To(ContainElement(And(HaveKeyWithValue("level", "info"), HaveKeyWithValue("reason", "CredentialsReady"))))
		_, _ = w.clients.Reconcile(w.context, ctrl.Request{NamespacedName: w.key("acme")})
		w.told()

		remove := w.gini.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.Login}}, Effect: emulator.Unavailable()})
		w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		w.suffer(ctx, "alice")
		w.suffer(ctx, "alice")
		failing := logged(&log, "Credentials cannot be renewed; those at hand still work")
		Expect(failing).To(HaveLen(1))
		Expect(failing[0]).To(And(HaveKeyWithValue("level", "error"), HaveKeyWithValue("failing", "GiniUnavailable")))
		_, _ = w.clients.Reconcile(w.context, ctrl.Request{NamespacedName: w.key("acme")})
		w.clock.SetTime(user.Status.Devices.Untrusted.ExpiresAt.Add(time.Second))
		w.suffer(ctx, "alice")
		Expect(logged(&log, "Ready has changed to False")).To(ConsistOf(
			And(HaveKeyWithValue("level", "error"), HaveKeyWithValue("reason", "GiniUnavailable"), Not(HaveKey("GiniClient"))),
			And(HaveKeyWithValue("level", "error"), HaveKeyWithValue("reason", "GiniUnavailable"), HaveKey("GiniClient")),
		))
		Expect(strings.Count(strings.Join(w.told(), "\n"), "Warning")).To(Equal(1), "the client's alone")

		remove()
		log.Reset()
		w.clock.Step(16 * time.Second)
		Expect(ready(w.reconciled(ctx, user))).To(Equal("True CredentialsReady"))
		Expect(logged(&log, "Ready has changed")).To(ConsistOf(HaveKeyWithValue("level", "info")))
	})

	It("tells a first token from one in place of a Secret that somebody deleted", func(ctx SpecContext) {
		w := newWorld(ctx)
		var log bytes.Buffer
		w.log, w.context = &log, logf.IntoContext(ctx, zap.New(zap.WriteTo(&log)))
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.derived("alice"))
		w.delete(ctx, &corev1.Secret{}, "alice-token")
		w.reconciled(ctx, user)
		Expect(logged(&log, "Wrote a new token")).To(HaveExactElements(HaveKeyWithValue("cause", "SecretMissing"), HaveKeyWithValue("cause", "SecretDeleted")))
	})
})
