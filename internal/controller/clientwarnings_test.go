package controller_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

func said(conditions []metav1.Condition, conditionType string) string {
	found := meta.FindStatusCondition(conditions, conditionType)
	if found == nil {
		return "absent"
	}
	return found.Message
}

var _ = Describe("What a GiniClient's owner is told", func() {
	It("of grants without effect, and of a bundle that is used in part", func(ctx SpecContext) {
		w := newWorldServedBy(ctx, (*emulator.Server).StartTLS)
		w.secret(ctx, "ca", map[string]string{"ca.crt": string(w.gini.CertPEM()) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"})
		w.giniClient(ctx, func(object *api.GiniClient) {
			object.Spec.TLS = &api.TLS{CABundleRef: api.CABundleReference{Kind: "Secret", Name: "ca"}}
		})
		const inPart = "Key ca.crt of Secret ca (spec.tls.caBundleRef) is used in part: it holds 1 certificate, 1 block unreadable. Put the rest right, or take it out"
		object := w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionReady)).To(Equal("True CredentialsAccepted"))
		Expect(condition(object.Status.Conditions, api.ConditionWithoutEffect)).To(Equal("True CABundleIncomplete"))
		Expect(said(object.Status.Conditions, api.ConditionWithoutEffect)).To(Equal(inPart))

		w.updateClient(ctx, func(object *api.GiniClient) {
			object.Spec.Grants = []api.Grant{
				{IdentifierPrefix: "a-", NamespaceSelector: api.NamespaceSelector{MatchLabels: map[string]api.LabelValue{"team": "a"}}},
			}
		})
		w.clients.NamesOnly = true
		object = w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionWithoutEffect)).To(Equal("True GrantWithoutEffect"))
		Expect(said(object.Status.Conditions, api.ConditionWithoutEffect)).To(And(HavePrefix("spec.grants[0].namespaceSelector asks for labels"), HaveSuffix(inPart)))
		version := object.ResourceVersion
		Expect(w.clientReconciled(ctx).ResourceVersion).To(Equal(version), "it is told once")

		w.clients.NamesOnly = false
		w.updateSecret(ctx, "ca", map[string]string{"ca.crt": string(w.gini.CertPEM())})
		Expect(condition(w.clientReconciled(ctx).Status.Conditions, api.ConditionWithoutEffect)).To(Equal("absent"))
	})

	It("where TLS fails with a bundle: what was used of it, and not that one should be named", func(ctx SpecContext) {
		w := newWorldServedBy(ctx, (*emulator.Server).StartTLS)
		_, other, err := emulator.SelfSignedCertificate()
		Expect(err).NotTo(HaveOccurred())
		Expect(k8s.Create(ctx, &corev1.ConfigMap{ObjectMeta: w.objectMeta("ca"), BinaryData: map[string][]byte{
			"ca.crt": []byte("# Gr\xfc\xdfe\n" + string(other) + "  -----BEGIN CERTIFICATE-----\n"),
		}})).To(Succeed())
		w.giniClient(ctx, func(object *api.GiniClient) {
			object.Spec.TLS = &api.TLS{CABundleRef: api.CABundleReference{Kind: "ConfigMap", Name: "ca"}}
		})
		Expect(k8s.Create(ctx, w.derived("alice"))).To(Succeed())
		w.suffer(ctx, "alice")
		object := w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionReady)).To(Equal("False TLSFailure"))
		Expect(said(object.Status.Conditions, api.ConditionReady)).To(And(
			ContainSubstring("although the CA bundle was used. Key ca.crt of ConfigMap ca (spec.tls.caBundleRef) holds 1 certificate, 1 block unreadable. "),
			Not(ContainSubstring("name its certificate authority")),
		))
	})

	It("where Gini refuses credentials that look odd: what does, and nothing of them", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": "\ufeff" + clientSecret + "\u00a0"})
		w.clientReconciled(ctx)
		object := w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionCredentialsAccepted)).To(Equal("False CredentialsRejected"))
		Expect(said(object.Status.Conditions, api.ConditionCredentialsAccepted)).To(And(
			HaveSuffix("what looks odd: the client secret begins with a byte-order mark and ends in a no-break space"),
			Not(ContainSubstring(clientSecret)),
		))
		Expect(said(w.reconciled(ctx, w.derived("alice")).Status.Conditions, api.ConditionReady)).NotTo(ContainSubstring("odd"), "it is not the user's")

		By("the right ones are put in")
		w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": clientSecret})
		w.clientReconciled(ctx)
		Expect(condition(w.clientReconciled(ctx).Status.Conditions, api.ConditionCredentialsAccepted)).To(Equal("True CredentialsAccepted"))
	})

	It("of an account of his own that looks odd, where Gini refuses it", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.secret(ctx, "alice-account", map[string]string{"email": "alice@acme.example", "password": `"passw0rd "`})
		user := w.anonymous("alice")
		user.Spec.Anonymous.AccountSecret.Mode = api.ExistingAccount
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("False AccountRejected"))
		for range 2 { // held, it says the same
			Expect(said(user.Status.Conditions, api.ConditionAccountReady)).To(And(
				ContainSubstring("; what looks odd: the password is wrapped in quotes"), Not(ContainSubstring("passw0rd")),
			))
			user = w.reconciled(ctx, user)
		}
	})

	It("of a User Center that is not allowed, once somebody could use it", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx, func(object *api.GiniClient) {
			object.Spec.AnonymousUsers, object.Spec.Endpoints.UserCenter = nil, &api.Endpoint{URL: "https://user.example"}
		})
		Expect(ready(w.reconciled(ctx, w.derived("alice")))).To(Equal("True CredentialsReady"))
		Expect(condition(w.clientReconciled(ctx).Status.Conditions, api.ConditionReady)).To(Equal("True CredentialsAccepted"))
		Expect(ready(w.reconciled(ctx, w.anonymous("bob")))).To(Equal("False AnonymousUsersNotEnabled"))

		w.updateClient(ctx, func(object *api.GiniClient) {
			object.Spec.AnonymousUsers = &api.AnonymousUsers{EmailDomain: "users.acme.example"}
		})
		object := w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionReady)).To(Equal("False HostNotAllowed"))
		Expect(said(object.Status.Conditions, api.ConditionReady)).To(Equal("Host https://user.example (spec.endpoints.userCenter.url) is not in the " +
			"operator's --allowed-hosts. Correct spec.endpoints.userCenter.url, or add the host."))
		bob := w.user(ctx, "bob")
		Expect(ready(w.reconciled(ctx, bob))).To(Equal("False HostNotAllowed"))
	})

	It("grants by a name only, where nothing else of a namespace can be seen", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx, func(object *api.GiniClient) {
			object.Spec.Grants = []api.Grant{{IdentifierPrefix: "alice", NamespaceSelector: api.NamespaceSelector{
				MatchExpressions: []api.NamespaceSelectorRequirement{{Key: "blocked", Operator: metav1.LabelSelectorOpDoesNotExist}},
			}}}
		})
		tenant := w.inNamespaceOf(newNamespace(ctx))
		alice := tenant.derived("alice")
		alice.Spec.ClientRef.Namespace = w.namespace
		w.users.NamesOnly = true
		alice = tenant.reconciled(ctx, alice)
		Expect(ready(alice)).To(Equal("False ClientNotGranted"), "nobody knows whether it is blocked")
		w.users.NamesOnly = false
		Expect(ready(tenant.reconciled(ctx, alice))).To(Equal("True CredentialsReady"))
	})
})
