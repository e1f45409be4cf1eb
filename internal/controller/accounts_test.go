package controller_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// settle reconciles until it works, with the pauses that failures deserve.
func (w *world) settle(ctx context.Context, name string) *api.GiniUser {
	GinkgoHelper()
	for range 10 {
		_, err := w.users.Reconcile(ctx, ctrl.Request{NamespacedName: w.key(name)})
		if err == nil && ready(w.user(ctx, name)) == "True CredentialsReady" {
			break
		}
		w.clock.Step(16 * time.Second)
	}
	return w.user(ctx, name)
}

var _ = Describe("An anonymous user", func() {
	DescribeTable("is one account whatever request loses its answer (R3.6)",
		func(ctx SpecContext, operation emulator.Operation, effect emulator.Effect) {
			w := newWorld(ctx)
			w.giniClient(ctx)
			w.gini.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{operation}, Count: 1}, Effect: effect})
			Expect(k8s.Create(ctx, w.anonymous("carol"))).To(Succeed())
			user := w.settle(ctx, "carol")
			Expect(ready(user)).To(Equal("True CredentialsReady"))
			Expect(w.gini.Ledger().Accounts()).To(HaveLen(1))
			Expect(w.data(ctx, "carol-account")).To(HaveKeyWithValue("user_id", w.gini.Ledger().Accounts()[0].ID))
		},
		Entry("the account is made, the answer cut", emulator.CreateUser, emulator.CutBeforeHeader().AfterTakingEffect()),
		Entry("the account is made, the answer is a server error", emulator.CreateUser, emulator.Status(500, "").AfterTakingEffect()),
		Entry("the account is not made", emulator.CreateUser, emulator.CutBeforeHeader()),
		Entry("the login is cut", emulator.PasswordLogin, emulator.CutMidBody()),
		Entry("the client token is cut", emulator.ClientToken, emulator.CutMidBody()),
	)

	DescribeTable("is one account whatever write of the operator is its last (R3.6, R17.2)",
		func(ctx SpecContext, number int, done bool) {
			w := newWorld(ctx)
			w.giniClient(ctx)
			writes := 0
			dying := errors.New("the operator dies")
			die := func(write func() error) error {
				writes++
				if writes != number {
					return write()
				}
				if done {
					_ = write()
				}
				return dying
			}
			w.writes = interceptor.NewClient(k8s, interceptor.Funcs{
				Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
					return die(func() error { return c.Create(ctx, object, options...) })
				},
				Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
					return die(func() error { return c.Update(ctx, object, options...) })
				},
				SubResourcePatch: func(ctx context.Context, c client.Client, subResource string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
					return die(func() error { return c.SubResource(subResource).Patch(ctx, object, patch, options...) })
				},
			})
			w.restart()
			Expect(k8s.Create(ctx, w.anonymous("carol"))).To(Succeed())
			_, err := w.users.Reconcile(ctx, ctrl.Request{NamespacedName: w.key("carol")})
			Expect(err).To(HaveOccurred())
			w.restart() // nothing is remembered
			user := w.settle(ctx, "carol")
			Expect(ready(user)).To(Equal("True CredentialsReady"))
			Expect(w.gini.Ledger().Accounts()).To(HaveLen(1))
			Expect(w.data(ctx, "carol-account")).To(HaveKeyWithValue("user_id", w.gini.Ledger().Accounts()[0].ID))
			Expect(w.use(ctx, map[string]string{"Authorization": w.data(ctx, "carol-token")["authorization"]})).To(Equal(200))
		},
		Entry("before the account Secret is made", 1, false),
		Entry("after the account Secret is made", 1, true),
		Entry("before the account Secret tells of the account", 2, false),
		Entry("after the account Secret tells of the account", 2, true),
		Entry("before the token's Secret is made", 3, false),
		Entry("after the token's Secret is made", 3, true),
		Entry("before the status is written", 4, false),
		Entry("after the status is written", 4, true),
	)

	It("keeps its account over its deletion", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.reconciled(ctx, w.anonymous("carol"))
		w.delete(ctx, &api.GiniUser{}, "carol")
		w.delete(ctx, &corev1.Secret{}, "carol-token") // as the garbage collector does
		w.reconcile(ctx, "carol")
		Expect(ready(w.reconciled(ctx, w.anonymous("carol")))).To(Equal("True CredentialsReady"))
		Expect(w.gini.Ledger().Accounts()).To(HaveLen(1))
	})

	It("gets another account where Gini has lost the first, and keeps the old keys (R3.7)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.anonymous("carol"))
		before := w.data(ctx, "carol-account")
		w.gini.DeleteAllAccounts()
		w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		w.told()
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		after := w.data(ctx, "carol-account")
		Expect(after["email"]).NotTo(Equal(before["email"]))
		for _, key := range []string{"email", "password", "user_id", "client_id", "user_center"} {
			Expect(after).To(HaveKeyWithValue("previous_"+key, before[key]))
		}
		Expect(user.Status.UserID).To(Equal(after["user_id"]))
		Expect(w.told()).To(ContainElement(HavePrefix("Warning AccountRecreated")))
	})

	It("is not taken for lost where only its password is refused (R3.7)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.anonymous("carol"))
		before := w.data(ctx, "carol-account")
		w.gini.ChangePassword(before["email"], "another-password")
		w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("False AccountRejected"))
		Expect(w.data(ctx, "carol-account")).To(Equal(before))
		Expect(w.gini.Ledger().Accounts()).To(HaveLen(1))

		By("asking no more after a restart")
		mark := w.gini.Mark()
		w.restart()
		w.reconciled(ctx, user)
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
	})

	It("shares one client token with all others (R2.5)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		for number := range 20 {
			w.reconciled(ctx, w.anonymous(fmt.Sprintf("user-%d", number)))
		}
		ledger := w.gini.Ledger()
		Expect(ledger.Count(emulator.ClientToken)).To(Equal(1))
		Expect(ledger.Count(emulator.CreateUser)).To(Equal(20))
		Expect(ledger.Count(emulator.PasswordLogin)).To(Equal(20))
		Expect(ledger.Accounts()).To(HaveLen(20))
	})
})

var _ = Describe("A GiniClient", func() {
	It("is ready before it is used, where only derived users need it, and learns from their requests", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers = nil })
		object := w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionReady)).To(Equal("True NotYetUsed"))
		Expect(condition(object.Status.Conditions, api.ConditionCredentialsAccepted)).To(Equal("Unknown NotYetUsed"))
		Expect(kstatus(object)).To(BeEquivalentTo("Current"))
		Expect(w.gini.Requests()).To(BeZero())

		w.reconciled(ctx, w.derived("alice"))
		object = w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionCredentialsAccepted)).To(Equal("True CredentialsAccepted"))
	})

	It("is probed once for each version of its credentials where it makes anonymous users, and never at a restart (R2.8)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		for range 3 {
			w.clientReconciled(ctx)
		}
		w.restart()
		object := w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionCredentialsAccepted)).To(Equal("True CredentialsAccepted"))
		Expect(w.gini.Requests()).To(Equal(1))

		w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": "wrong"})
		w.clientReconciled(ctx)
		object = w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionCredentialsAccepted)).To(Equal("False CredentialsRejected"))
		Expect(condition(object.Status.Conditions, api.ConditionStalled)).To(Equal("True CredentialsRejected"))
		Expect(object.Status.PausedUntil).NotTo(BeNil())
		mark := w.gini.Mark()
		w.restart()
		w.clientReconciled(ctx)
		w.reconciled(ctx, w.anonymous("carol"))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
	})

	It("asks for one fresh client token where the shared one is refused (R16.6)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.reconciled(ctx, w.anonymous("carol"))
		w.gini.EndClientTokens(clientID)
		mark := w.gini.Mark()
		Expect(ready(w.reconciled(ctx, w.anonymous("dave")))).To(Equal("True CredentialsReady"))
		Expect(w.gini.Since(mark).Count(emulator.ClientToken)).To(Equal(1))
		Expect(w.gini.Since(mark).Count(emulator.CreateUser)).To(Equal(2))
	})
})
