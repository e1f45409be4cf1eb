package restore_test

import (
	"context"
	"math/rand/v2"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// orders is how many orders a first apply is tried in.
const orders = 12

// firstApply is all that people apply, for a Gini whose certificate is its own.
func (w *world) firstApply() []client.Object {
	bundle := &corev1.Secret{ObjectMeta: w.named("ca"), StringData: map[string]string{"ca.crt": string(w.gini.CertPEM())}}
	giniClient := w.giniClient()
	giniClient.Spec.TLS = &api.TLS{CABundleRef: api.CABundleReference{Kind: "Secret", Name: "ca"}}
	return append(append(w.broughtAlong(), bundle, giniClient), w.users()...)
}

var _ = Describe("A first apply", func() {
	It("makes all users ready in any order while the operator runs, for one login each (R3.8)", func(ctx SpecContext) {
		random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 4))
		for range orders {
			w := emptyWorld(ctx, (*emulator.Server).StartTLS)
			stop := w.operate(ctx)
			mark := w.gini.Mark()
			w.create(ctx, shuffled(random, w.firstApply())...)
			w.expectReady(ctx)
			stop()
			w.expectFirst(ctx, mark)
		}
	})
})

// expectFirst proves that nothing was made at Gini but what the users need: an account, and a token for each.
func (w *world) expectFirst(ctx context.Context, mark emulator.Mark) {
	GinkgoHelper()
	Expect(w.gini.Since(mark).Count(emulator.CreateUser)).To(Equal(1), "carol's")
	Expect(w.gini.Ledger().Accounts()).To(HaveLen(2), "hers and dave's")
	Expect(w.logins(mark)).To(Equal(len(tokens)))
	Expect(w.secrets(ctx)).To(HaveKeyWithValue("dave-account", HaveKeyWithValue("password", "his-own-password")))
	w.expectOwners(ctx)
}
