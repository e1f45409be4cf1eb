package controller_test

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// conditionTypes are those of conditions, in their order.
func conditionTypes(conditions []metav1.Condition) (types []string) {
	for _, c := range conditions {
		types = append(types, c.Type)
	}
	return types
}

// column is what kubectl get shows of a user.
func (w *world) column(ctx context.Context, user, name string) any {
	GinkgoHelper()
	config := rest.CopyConfig(restConfig)
	config.GroupVersion, config.APIPath, config.NegotiatedSerializer = &api.GroupVersion, "/apis", clientgoscheme.Codecs.WithoutConversion()
	server, err := rest.RESTClientFor(config)
	Expect(err).NotTo(HaveOccurred())
	answer, err := server.Get().Namespace(w.namespace).Resource("giniusers").Name(user).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(ctx)
	Expect(err).NotTo(HaveOccurred())
	var table metav1.Table
	Expect(json.Unmarshal(answer, &table)).To(Succeed())
	Expect(table.Rows).To(HaveLen(1))
	for i, column := range table.ColumnDefinitions {
		if column.Name == name {
			return table.Rows[0].Cells[i]
		}
	}
	return nil
}

var _ = Describe("The status", func() {
	It("has Ready before all other conditions, whose order stays", func(ctx SpecContext) {
		w := newWorld(ctx)
		user := w.reconciled(ctx, w.anonymous("carol"))
		Expect(conditionTypes(user.Status.Conditions)).To(Equal([]string{api.ConditionReady, api.ConditionClientResolved,
			api.ConditionAccountReady, api.ConditionSecretsWritten, api.ConditionReconciling}))
		w.giniClient(ctx, signs)
		Expect(conditionTypes(w.clientReconciled(ctx).Status.Conditions)).To(Equal([]string{api.ConditionReady,
			api.ConditionCredentialsAccepted, api.ConditionAnonymousUsersAccepted, api.ConditionIdentityProviderReady}))
		user = w.reconciled(ctx, user)
		order := []string{api.ConditionReady, api.ConditionClientResolved, api.ConditionAccountReady, api.ConditionSecretsWritten}
		Expect(conditionTypes(user.Status.Conditions)).To(Equal(order))

		By("writing nothing for the sake of an order that another version wrote")
		slices.Reverse(user.Status.Conditions)
		Expect(k8s.Status().Update(ctx, user)).To(Succeed())
		w.restart()
		Expect(w.reconciled(ctx, user).ResourceVersion).To(Equal(user.ResourceVersion))

		By("putting it right with what is written anyway")
		w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		slices.Reverse(order[1:])
		Expect(conditionTypes(w.reconciled(ctx, user).Status.Conditions)).To(Equal(order))
	})

	DescribeTable("says when the first credential expires", func(ctx SpecContext, lifetime time.Duration, auth api.AuthMethod, first, only string) {
		w := newWorld(ctx, emulator.WithLifetime(lifetime))
		w.signingClient(ctx)
		user := w.byJWT("alice")
		user.Spec.Derived.Auth = auth
		user.Spec.Devices.Untrusted = w.derived("alice").Spec.Devices.Untrusted
		user = w.reconciled(ctx, user)
		expected := func(device string) *metav1.Time {
			return map[string]*api.DeviceStatus{
				"untrusted": user.Status.Devices.Untrusted, "trusted": user.Status.Devices.Trusted, "": {},
			}[device].ExpiresAt
		}
		Expect(user.Status.ExpiresAt).NotTo(BeNil())
		Expect(user.Status.ExpiresAt).To(Equal(expected(first)))
		Expect(w.column(ctx, "alice", "Expires")).To(Equal(expected(first).UTC().Format(time.RFC3339)))

		By("following a renewal in the same write, and nothing else")
		w.clock.SetTime(user.Status.ExpiresAt.Add(-time.Second))
		renewed := w.reconciled(ctx, user)
		Expect(renewed.Status.ExpiresAt.Time).To(BeTemporally(">", user.Status.ExpiresAt.Time))
		Expect(w.reconciled(ctx, renewed).ResourceVersion).To(Equal(renewed.ResourceVersion))

		By("leaving out a device that was removed")
		update(ctx, &api.GiniUser{}, w.key("alice"), func(user *api.GiniUser) { user.Spec.Devices.Untrusted = nil })
		user = w.reconciled(ctx, user)
		Expect(user.Status.ExpiresAt).To(Equal(expected(only)))
		if only == "" {
			Expect(w.column(ctx, "alice", "Expires")).To(BeNil())
		}
	},
		Entry("the JWT's", 12*time.Hour, api.JWTAuth, "trusted", "trusted"),
		Entry("the token's", 5*time.Minute, api.JWTAuth, "untrusted", "trusted"),
		Entry("the token's, where the client's credentials do not expire", 12*time.Hour, api.BasicAuth, "untrusted", ""),
	)
})
