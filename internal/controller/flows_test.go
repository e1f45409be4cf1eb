package controller_test

import (
	"context"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/operator/operatortest"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// use sends a request with the credential of a Secret, as a device does.
func (w *world) use(ctx context.Context, headers map[string]string) int {
	GinkgoHelper()
	return operatortest.Use(ctx, w.url, headers)
}

var _ = Describe("The flows of Gini's documentation", func() {
	It("gives an untrusted device of a derived user an access token, and renews it", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.derived("alice"))

		Expect(ready(user)).To(Equal("True CredentialsReady"))
		data := w.data(ctx, "alice-token")
		Expect(data).To(And(HaveLen(4), HaveKeyWithValue("token_type", "Bearer"), HaveKeyWithValue("authorization", "Bearer "+data["access_token"])))
		Expect(w.use(ctx, map[string]string{"Authorization": data["authorization"]})).To(Equal(http.StatusOK))
		Expect(w.gini.Ledger().Count(emulator.Login)).To(BeEquivalentTo(1))

		By("leaving it alone until it is due")
		mark := w.gini.Mark()
		before := w.stored(ctx, "alice-token").ResourceVersion
		w.clock.Step(3 * time.Hour)
		w.reconciled(ctx, user)
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
		Expect(w.stored(ctx, "alice-token").ResourceVersion).To(Equal(before))

		By("renewing it then, by one request")
		w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		user = w.reconciled(ctx, user)
		Expect(w.gini.Since(mark).Requests()).To(BeEquivalentTo(1))
		Expect(w.data(ctx, "alice-token")["access_token"]).NotTo(Equal(data["access_token"]))
		Expect(ready(user)).To(Equal("True CredentialsReady"))
	})

	It("gives a trusted device of a derived user the client credentials without asking Gini", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.derived("backend")
		user.Spec.Devices = api.Devices{Trusted: trusted("backend-gini")}
		user = w.reconciled(ctx, user)

		Expect(ready(user)).To(Equal("True CredentialsReady"))
		data := w.data(ctx, "backend-gini")
		Expect(data).To(And(HaveLen(4), HaveKeyWithValue("client_id", clientID), HaveKeyWithValue("client_secret", clientSecret),
			HaveKeyWithValue("user_identifier", "backend-8f1c")))
		Expect(w.gini.Requests()).To(BeZero())
		Expect(w.use(ctx, map[string]string{"Authorization": data["authorization_basic"], "X-User-Identifier": data["user_identifier"]})).
			To(Equal(http.StatusOK))
	})

	It("gives both kinds of device a Secret each, for one user of Gini", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.derived("both")
		user.Spec.Devices.Trusted = trusted("both-gini")
		user = w.reconciled(ctx, user)

		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(w.data(ctx, "both-token")).NotTo(HaveKey("client_secret"))
		Expect(w.data(ctx, "both-gini")).NotTo(HaveKey("access_token"))
	})

	It("makes an account for an anonymous user once, logs in and renews", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.anonymous("carol"))

		Expect(ready(user)).To(Equal("True CredentialsReady"))
		account := w.data(ctx, "carol-account")
		Expect(account).To(And(HaveKeyWithValue("client_id", clientID), HaveKeyWithValue("user_center", w.url), HaveKey("user_id")))
		Expect(account["password"]).To(HaveLen(32))
		Expect(account["email"]).To(HaveSuffix("@users.acme.example"))
		Expect(user.Status.UserID).To(Equal(account["user_id"]))
		Expect(w.stored(ctx, "carol-account").OwnerReferences).To(BeEmpty())
		Expect(w.use(ctx, map[string]string{"Authorization": w.data(ctx, "carol-token")["authorization"]})).To(Equal(http.StatusOK))

		w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		mark := w.gini.Mark()
		user = w.reconciled(ctx, user)
		Expect(w.gini.Since(mark).Requests()).To(BeEquivalentTo(1))
		Expect(w.gini.Ledger().Accounts()).To(HaveLen(1))
		Expect(user.Status.Devices.Untrusted.ExpiresAt.Time).To(BeTemporally(">", w.clock.Now().Add(11*time.Hour)))
	})

	It("logs in to an account that was brought along, and never writes its Secret", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.anonymous("dave")
		user.Spec.Anonymous.AccountSecret.Mode = api.ExistingAccount
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("False AccountSecretNotFound"))

		w.gini.AddAccount(clientID, "dave@acme.example", "brought-along")
		before := w.secret(ctx, "dave-account", map[string]string{"email": "dave@acme.example", "password": "brought-along"})
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(w.stored(ctx, "dave-account").ResourceVersion).To(Equal(before.ResourceVersion))
		Expect(user.Status.Account.ClientID).To(Equal(clientID))
		Expect(w.gini.Ledger().Accounts()).To(HaveLen(1))
	})
})
