package controller_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// barrier keeps the reconcilers from writing a Secret, while it is up.
type barrier struct {
	up     atomic.Bool
	writes atomic.Int32
	// refusal is what they get.
	refusal error
}

// barred puts a barrier, which is up, before the Secrets of some names.
func (w *world) barred(refusal error, names ...string) *barrier {
	b := &barrier{refusal: refusal}
	b.up.Store(true)
	barred := func(object client.Object) error {
		for _, name := range names {
			if _, isSecret := object.(*corev1.Secret); isSecret && object.GetName() == name && b.up.Load() {
				b.writes.Add(1)
				return b.refusal
			}
		}
		return nil
	}
	w.writes = interceptor.NewClient(k8s, interceptor.Funcs{
		Create: func(ctx context.Context, writer client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if err := barred(object); err != nil {
				return err
			}
			return writer.Create(ctx, object, options...)
		},
		Update: func(ctx context.Context, writer client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			if err := barred(object); err != nil {
				return err
			}
			return writer.Update(ctx, object, options...)
		},
	})
	w.restart()
	return b
}

var forbidden = apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "x", errors.New("exceeded quota"))

// logins are those since a mark.
func (w *world) logins(mark emulator.Mark) int {
	return w.gini.Since(mark).Count(emulator.Login, emulator.PasswordLogin)
}

var _ = Describe("While a Secret cannot be written", func() {
	DescribeTable("one login is made for it, and its token is written within a minute of the end of that (R1.4)",
		func(ctx SpecContext, behaviour emulator.Behaviour) {
			behaviour.Lifetime = 12 * time.Hour
			w := newWorld(ctx, emulator.WithLogin(behaviour))
			w.giniClient(ctx)
			user := w.reconciled(ctx, w.derived("alice"))
			b := w.barred(forbidden, "alice-token")
			w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
			if behaviour.Mode == emulator.Sticky {
				w.clock.SetTime(user.Status.Devices.Untrusted.ExpiresAt.Add(3 * time.Second))
			}
			mark := w.gini.Mark()
			w.swept(ctx, "alice", 10*time.Minute)
			Expect(w.logins(mark)).To(Equal(1))
			Expect(b.writes.Load()).To(BeNumerically(">=", 10), "tried at least every minute")
			Expect(b.writes.Load()).To(BeNumerically("<=", 16))
			Expect(w.user(ctx, "alice").Status.Conditions).To(ContainElement(HaveField("Reason", api.ReasonSecretNotWritten)))

			b.up.Store(false)
			w.swept(ctx, "alice", time.Minute)
			Expect(ready(w.user(ctx, "alice"))).To(Equal("True CredentialsReady"))
			Expect(w.logins(mark)).To(Equal(1))
			Expect(w.usable(ctx, "alice-token")).To(BeTrue())
			Expect(w.user(ctx, "alice").Status.Attempt).To(BeNil())
		},
		Entry("where each login gives another token", emulator.Behaviour{}),
		Entry("where a login gives the same token until it ends", emulator.Behaviour{Mode: emulator.Sticky}),
		Entry("where a login ends the token before", emulator.Behaviour{Mode: emulator.FreshEndsOld}),
	)

	It("by a quota, a new user costs one login, and has its Secret within a minute of the quota's end", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.forbidSecrets(ctx)
		Expect(ready(w.reconciled(ctx, w.derived("alice")))).To(Equal("False SecretNotWritten"))
		w.swept(ctx, "alice", 6*time.Minute)
		w.delete(ctx, &corev1.ResourceQuota{}, "no-secrets")
		w.quotaEnded(ctx)
		w.swept(ctx, "alice", time.Minute)
		Expect(ready(w.user(ctx, "alice"))).To(Equal("True CredentialsReady"))
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(1))
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())
	})

	It("by a quota, one that somebody deleted is no fight: it is there within a minute of the quota's end", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.reconciled(ctx, w.derived("alice"))
		w.forbidSecrets(ctx)
		w.delete(ctx, &corev1.Secret{}, "alice-token")
		w.reconcile(ctx, "alice")
		w.swept(ctx, "alice", 6*time.Minute)
		Expect(ready(w.user(ctx, "alice"))).To(Equal("False SecretNotWritten"))
		w.delete(ctx, &corev1.ResourceQuota{}, "no-secrets")
		w.quotaEnded(ctx)
		w.swept(ctx, "alice", time.Minute)
		Expect(ready(w.user(ctx, "alice"))).To(Equal("True CredentialsReady"))
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(2))
	})

	It("as the API server does not answer, one login is made", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		b := w.barred(errors.New("connection refused"), "alice-token")
		Expect(k8s.Create(ctx, w.derived("alice"))).To(Succeed())
		for range 20 {
			_, _ = w.users.Reconcile(ctx, ctrl.Request{NamespacedName: w.key("alice")})
			w.clock.Step(time.Minute)
		}
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(1))
		Expect(b.writes.Load()).To(BeNumerically(">=", 10))
		b.up.Store(false)
		w.clock.Step(time.Minute)
		w.reconcile(ctx, "alice")
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(1))
	})

	It("a restart costs one login, and another user of that name does too", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		b := w.barred(forbidden, "alice-token")
		w.reconciled(ctx, w.derived("alice"))
		w.swept(ctx, "alice", 5*time.Minute)
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(1))
		w.restart()
		w.swept(ctx, "alice", 5*time.Minute)
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(2))

		w.delete(ctx, &api.GiniUser{}, "alice") // and made again before the operator sees that
		b.up.Store(false)
		w.clock.Step(time.Minute)
		Expect(ready(w.reconciled(ctx, w.derived("alice")))).To(Equal("True CredentialsReady"))
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(3))
	})

	It("never an expired token is written, and another login is made when the token has ended", func(ctx SpecContext) {
		w := newWorld(ctx, emulator.WithLifetime(10*time.Minute))
		w.giniClient(ctx)
		b := w.barred(forbidden, "alice-token")
		w.reconciled(ctx, w.derived("alice"))
		w.swept(ctx, "alice", 21*time.Minute+30*time.Second)
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(3))
		b.up.Store(false)
		w.swept(ctx, "alice", time.Minute)
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(3))
		w.swept(ctx, "alice", 10*time.Minute)
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())
	})

	It("other credentials cost a login of their own", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		b := w.barred(forbidden, "alice-token")
		w.reconciled(ctx, w.derived("alice"))
		w.gini.RotateSecret(clientID, "rotated")
		w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": "rotated"})
		w.swept(ctx, "alice", 5*time.Minute)
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(2))
		b.up.Store(false)
		w.swept(ctx, "alice", time.Minute)
		Expect(ready(w.user(ctx, "alice"))).To(Equal("True CredentialsReady"))
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(2))
	})

	It("a person who asks for a new token gets one, once, and not for an earlier request", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.derived("alice"))
		b := w.barred(forbidden, "alice-token")
		request := func(value string) {
			update(ctx, user, w.key("alice"), func(user *api.GiniUser) { user.Annotations = map[string]string{api.RefreshRequestedAnnotation: value} })
			w.reconcile(ctx, "alice")
		}
		mark := w.gini.Mark()
		request("first")
		w.swept(ctx, "alice", 5*time.Minute)
		Expect(w.logins(mark)).To(Equal(1))
		Expect(w.user(ctx, "alice").Status.LastHandledRefreshRequest).To(BeEmpty())
		request("second")
		w.swept(ctx, "alice", 5*time.Minute)
		Expect(w.logins(mark)).To(Equal(2))
		w.told()
		b.up.Store(false)
		w.swept(ctx, "alice", time.Minute)
		Expect(w.user(ctx, "alice").Status.LastHandledRefreshRequest).To(Equal("second"))
		Expect(w.told()).To(ContainElement(HavePrefix("Normal TokenRefreshed")))
		w.swept(ctx, "alice", 5*time.Minute)
		Expect(w.logins(mark)).To(Equal(2), "it is not replayed")
	})

	It("a token that another operator has written since is not overwritten with the one at hand", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.derived("alice"))
		b := w.barred(forbidden, "alice-token")
		w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		w.reconcile(ctx, "alice")
		former := w.users

		w.clock.Step(10 * time.Minute)
		w.writes = k8s
		w.restart()
		w.reconcile(ctx, "alice")
		written := w.data(ctx, "alice-token")["access_token"]

		w.users = former
		b.up.Store(false)
		user = w.user(ctx, "alice")
		w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		mark := w.gini.Mark()
		w.reconcile(ctx, "alice")
		Expect(w.logins(mark)).To(Equal(1))
		Expect(w.data(ctx, "alice-token")["access_token"]).NotTo(Equal(written))
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())
	})

	It("one of an anonymous user's costs no second login: the token's, nor the account's", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		b := w.barred(forbidden, "carol-token")
		w.reconciled(ctx, w.anonymous("carol"))
		w.swept(ctx, "carol", 6*time.Minute)
		Expect(w.gini.Ledger().Count(emulator.PasswordLogin)).To(Equal(1))
		b.up.Store(false)
		w.swept(ctx, "carol", time.Minute)
		Expect(w.usable(ctx, "carol-token")).To(BeTrue())
		Expect(w.gini.Ledger().Count(emulator.PasswordLogin)).To(Equal(1))

		By("noting the account in its Secret")
		bare := w.secret(ctx, "dora-account", map[string]string{"email": "d@users.acme.example", "password": "s3cr3t-of-dora"})
		bare.Labels = map[string]string{api.ManagedByLabel: api.ManagedByValue, api.UserLabel: "dora", api.DeviceLabel: "account"}
		Expect(k8s.Update(ctx, bare)).To(Succeed())
		w.gini.AddAccount(clientID, "d@users.acme.example", "s3cr3t-of-dora")
		b = w.barred(forbidden, "dora-account")
		mark := w.gini.Mark()
		w.reconciled(ctx, w.anonymous("dora"))
		w.swept(ctx, "dora", 6*time.Minute)
		Expect(ready(w.user(ctx, "dora"))).To(Equal("False SecretNotWritten"))
		Expect(w.logins(mark)).To(Equal(1))
		b.up.Store(false)
		w.swept(ctx, "dora", time.Minute)
		Expect(ready(w.user(ctx, "dora"))).To(Equal("True CredentialsReady"))
		Expect(w.logins(mark)).To(Equal(1))
		Expect(w.gini.Since(mark).Count(emulator.CreateUser)).To(BeZero())
	})

	It("with the account that takes the place of a lost one, Gini is not asked about that one again", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		user := w.reconciled(ctx, w.anonymous("carol"))
		b := w.barred(forbidden, "carol-account")
		w.gini.DeleteAllAccounts()
		w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		mark := w.gini.Mark()
		w.swept(ctx, "carol", 6*time.Minute)
		Expect(w.logins(mark)).To(Equal(1))
		b.up.Store(false)
		w.swept(ctx, "carol", time.Minute)
		Expect(w.usable(ctx, "carol-token")).To(BeTrue())
		Expect(w.gini.Ledger().Accounts()).To(HaveLen(1))
	})

	It("of a trusted device, the identity provider gives one JWT for it, and the other device is served", func(ctx SpecContext) {
		w := newWorld(ctx)
		p := w.newProvider()
		p.client(ctx)
		b := w.barred(forbidden, "alice-backend")
		user := w.byJWT("alice")
		user.Spec.Devices.Untrusted = w.derived("alice").Spec.Devices.Untrusted
		user = w.finished(ctx, user)
		Expect(ready(user)).To(Equal("False SecretNotWritten"))
		Expect(w.usable(ctx, "alice-token")).To(BeTrue())
		w.swept(ctx, "alice", 3*time.Minute)
		Expect(p.asked()).To(HaveLen(1))
		b.up.Store(false)
		w.swept(ctx, "alice", time.Minute) // that is before any JWT of ten minutes is due to be renewed
		Expect(ready(w.user(ctx, "alice"))).To(Equal("True CredentialsReady"))
		Expect(w.useJWT(ctx, "alice-backend")).To(Equal(http.StatusOK))
		Expect(p.asked()).To(BeEmpty())
		w.swept(ctx, "alice", 9*time.Minute)
		Expect(p.asked()).NotTo(BeEmpty(), "it is renewed as ever")
	})
})

// quotaEnded waits until the API server's admission knows that the quota is gone.
func (w *world) quotaEnded(ctx context.Context) {
	GinkgoHelper()
	Eventually(func() error {
		return k8s.Create(ctx, &corev1.Secret{ObjectMeta: w.objectMeta("probe")}, client.DryRunAll)
	}).Should(Succeed(), "the quota is gone")
}

var _ = Describe("A refusal of the API server", func() {
	It("is told as what it may come from: a policy, or the owner references", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.denyByPolicy(ctx, "alice-token")
		user := w.reconciled(ctx, w.derived("alice"))
		Expect(ready(user)).To(Equal("False SecretNotWritten"))
		Expect(user.Status.Conditions).To(ContainElement(HaveField("Message", And(
			ContainSubstring("(Invalid: an admission policy)"), Not(ContainSubstring("owner")), Not(ContainSubstring(marker)),
		))))

		invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, "bob-token", nil)
		invalid.ErrStatus.Details.Causes = []metav1.StatusCause{{Field: "metadata.ownerReferences", Message: marker}}
		w.barred(invalid, "bob-token")
		bob := w.reconciled(ctx, w.derived("bob"))
		Expect(bob.Status.Conditions).To(ContainElement(HaveField("Message", And(ContainSubstring("owner references"), Not(ContainSubstring(marker))))))
	})
})

func removed(ctx SpecContext, object client.Object) { Expect(k8s.Delete(ctx, object)).To(Succeed()) }

// denyByPolicy has an admission policy refuse a Secret of this world.
func (w *world) denyByPolicy(ctx context.Context, name string) {
	GinkgoHelper()
	fail, deny := admissionregistrationv1.Fail, admissionregistrationv1.Deny
	meta := metav1.ObjectMeta{Name: w.namespace}
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: &fail,
		MatchConstraints: &admissionregistrationv1.MatchResources{
			ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
			}}},
		},
		Validations: []admissionregistrationv1.Validation{{
			Expression: "object.metadata.namespace != '" + w.namespace + "' || object.metadata.name != '" + name + "'", Message: "no " + marker,
		}},
	}}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: policy.Name, ValidationActions: []admissionregistrationv1.ValidationAction{deny},
	}}
	for _, object := range []client.Object{policy, binding} {
		Expect(k8s.Create(ctx, object)).To(Succeed())
		DeferCleanup(removed, object)
	}
	Eventually(func() error {
		return k8s.Create(ctx, &corev1.Secret{ObjectMeta: w.objectMeta(name)}, client.DryRunAll)
	}).WithTimeout(30*time.Second).Should(HaveOccurred(), "the policy is in force")
}
