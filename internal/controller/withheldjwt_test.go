package controller_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// claimsSecret has the client secret stand in each JWT.
func claimsSecret(object *api.GiniClient) {
	object.Spec.IdentityProvider.Signer.ClaimNames = &api.ClaimNames{ClientID: "client", ClientSecret: "secret", UserIdentifier: "user"}
}

var _ = Describe("A JWT that holds the client secret", func() {
	const lifetime = 15 * time.Minute
	var w *world
	jwt := func(ctx context.Context) string { return w.data(ctx, "bob-backend")["jwt"] }
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		w.signingClient(ctx, withoutAnonymous, claimsSecret)
		w.reconciled(ctx, w.derived("alice"))
		Expect(ready(w.finished(ctx, w.byJWT("bob")))).To(Equal("True CredentialsReady"))
		w.settled(ctx, "alice", "bob")
		w.told()
	})

	It("stays, whatever a new one is due for, while Gini rejects the client secret that came", func(ctx SpecContext) {
		before := jwt(ctx)
		w.rotate(ctx, "mistyped")
		w.settled(ctx, "bob", "alice")
		expectKept := func() {
			GinkgoHelper()
			Expect(jwt(ctx)).To(Equal(before))
			Expect(ready(w.user(ctx, "bob"))).To(Equal("False CredentialsRejected"))
			Expect(readyMessage(w.user(ctx, "bob"))).To(HavePrefix("Gini rejects the credentials of GiniClient " + w.namespace +
				"/acme; see its status. Secret bob-backend stays as it is until Gini accepts them"))
		}
		expectKept()
		for _, step := range []time.Duration{10 * time.Minute, lifetime} { // its time to be renewed, and its end
			w.clock.Step(step)
			w.settled(ctx, "bob", "alice")
			expectKept()
		}
		w.refresh(ctx, "bob", "now")
		w.settled(ctx, "bob", "alice")
		expectKept()

		By("giving none to a new user, and none in place of one that is deleted")
		Expect(ready(w.finished(ctx, w.byJWT("carol")))).To(Equal("False CredentialsRejected"))
		Expect(w.stored(ctx, "carol-backend")).To(BeNil())
		w.delete(ctx, &corev1.Secret{}, "bob-backend")
		w.settled(ctx, "bob", "alice")
		Expect(w.stored(ctx, "bob-backend")).To(BeNil())
		Expect(readyMessage(w.user(ctx, "bob"))).To(ContainSubstring("Secret bob-backend is not written until Gini accepts them"))

		By("issuing all of them when the right one comes")
		w.rotate(ctx, clientSecret)
		w.settled(ctx, "alice", "bob", "carol")
		for _, name := range []string{"bob", "carol"} {
			Expect(ready(w.finished(ctx, w.user(ctx, name)))).To(Equal("True CredentialsReady"))
			Expect(w.stored(ctx, name+"-backend")).NotTo(BeNil())
		}
	})

	It("stays while nothing is known of the client secret that came, for a minute", func(ctx SpecContext) {
		w.clock.SetTime(w.user(ctx, "bob").Status.Devices.Trusted.RefreshAt.Add(-time.Second))
		before := jwt(ctx)
		w.gini.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.Login}}, Effect: emulator.Unavailable()})
		w.rotate(ctx, "rotated")
		w.settled(ctx, "bob", "alice")
		w.clock.Step(2 * time.Second) // a new one is due
		w.settled(ctx, "bob", "alice")
		Expect(jwt(ctx)).To(Equal(before))
		Expect(ready(w.user(ctx, "bob"))).To(Equal("True CredentialsReady"))
		w.clock.Step(time.Minute)
		w.called()
		w.settled(ctx, "bob", "alice")
		Expect(jwt(ctx)).NotTo(Equal(before))
	})
})
