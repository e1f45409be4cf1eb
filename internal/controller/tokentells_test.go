package controller_test

import (
	"context"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

var _ = Describe("Client credentials, once spec.anonymousUsers is removed", func() {
	var w *world
	arranged := func(ctx context.Context) {
		GinkgoHelper()
		w = newWorld(ctx)
		w.giniClient(ctx)
		w.clientReconciled(ctx)
		w.reconciled(ctx, w.derived("alice"))
		w.reconciled(ctx, w.backend("backend"))
		w.updateClient(ctx, withoutAnonymous)
		w.settled(ctx, "alice", "backend")
	}
	deliver := func(ctx context.Context) {
		GinkgoHelper()
		w.gini.RotateSecret(clientID, "rotated")
		w.rotate(ctx, "rotated")
		w.settled(ctx, "backend", "alice")
	}
	expectDelivered := func(ctx context.Context) {
		GinkgoHelper()
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", "rotated"))
		Expect(w.useTrusted(ctx, "backend-gini")).To(Equal(http.StatusOK))
		Expect(condition(w.clientReconciled(ctx).Status.Conditions, api.ConditionCredentialsAccepted)).To(Equal("True CredentialsAccepted"))
	}

	It("are tried by a login where the User Center refuses them, as the right to anonymous users is gone too", func(ctx SpecContext) {
		arranged(ctx)
		w.gini.Restrict(clientID, emulator.Restriction{To: emulator.DerivedUsers})
		deliver(ctx)
		expectDelivered(ctx)
	})

	It("are tried by a login where the operator may not ask the User Center any more", func(ctx SpecContext) {
		arranged(ctx)
		w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Endpoints.UserCenter.URL = "https://user.other.example" })
		mark := w.gini.Mark()
		deliver(ctx)
		expectDelivered(ctx)
		Expect(w.gini.Since(mark).Count(emulator.Login)).To(Equal(1))
	})

	It("are tried by a login where the User Center does not tell within half a minute", func(ctx SpecContext) {
		arranged(ctx)
		w.gini.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.ClientToken}}, Effect: emulator.Unavailable()})
		deliver(ctx)
		Expect(w.data(ctx, "backend-gini")).To(HaveKeyWithValue("client_secret", clientSecret))
		w.clock.Step(30 * time.Second)
		w.clientReconciled(ctx)
		w.settled(ctx, "alice", "backend")
		expectDelivered(ctx)
	})
})
