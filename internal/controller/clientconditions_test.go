package controller_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

var _ = Describe("The conditions of a GiniClient for each kind of users", func() {
	DescribeTable("are absent while its credentials cannot be used", func(ctx SpecContext, reason string, spoil, mend func(SpecContext, *world)) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		w.clientReconciled(ctx) // which tries the User Center
		w.reconciled(ctx, w.derived("alice"))
		kinds := []string{api.ConditionDerivedUsersAccepted, api.ConditionAnonymousUsersAccepted}
		object := w.clientReconciled(ctx)
		for _, kind := range kinds {
			Expect(condition(object.Status.Conditions, kind)).To(Equal("True CredentialsAccepted"))
		}
		spoil(ctx, w)
		object = w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionCredentialsAccepted)).To(Equal("Unknown " + reason))
		for _, kind := range kinds {
			Expect(condition(object.Status.Conditions, kind)).To(Equal("absent"))
		}
		mend(ctx, w)
		w.clientReconciled(ctx)
		object = w.clientReconciled(ctx)
		Expect(condition(object.Status.Conditions, api.ConditionAnonymousUsersAccepted)).To(Equal("True CredentialsAccepted"))
	},
		Entry("as their Secret is gone", api.ReasonClientSecretNotFound, func(ctx SpecContext, w *world) {
			w.delete(ctx, &corev1.Secret{}, "acme-gini")
		}, func(ctx SpecContext, w *world) {
			w.secret(ctx, "acme-gini", map[string]string{"client-id": clientID, "client-secret": clientSecret})
		}),
		Entry("as they cannot be right", api.ReasonClientSecretInvalid, func(ctx SpecContext, w *world) {
			w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": clientSecret + "\n"})
		}, func(ctx SpecContext, w *world) {
			w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": clientSecret})
		}),
		Entry("as the CA bundle holds no certificate", api.ReasonCABundleInvalid, func(ctx SpecContext, w *world) {
			w.secret(ctx, "authority", map[string]string{"ca.crt": "none"})
			w.updateClient(ctx, func(object *api.GiniClient) {
				object.Spec.TLS = &api.TLS{CABundleRef: api.CABundleReference{Kind: "Secret", Name: "authority", Key: "ca.crt"}}
			})
		}, func(ctx SpecContext, w *world) {
			w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.TLS = nil })
		}),
	)
})
