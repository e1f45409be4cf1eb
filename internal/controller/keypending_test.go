package controller_test

import (
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

var _ = Describe("A user whose signing key is about to be made", func() {
	It("waits for it, which is no error", func(ctx SpecContext) {
		w := newWorld(ctx)
		log := w.listened(ctx)
		w.giniClient(ctx, signs, withoutAnonymous)
		expectWaiting := func(user *api.GiniUser) {
			GinkgoHelper()
			Expect(ready(user)).To(Equal("Unknown Pending"))
			Expect(condition(user.Status.Conditions, api.ConditionClientResolved)).To(Equal("Unknown Pending"))
			waits := "Waits until the operator has made the signing key of GiniClient " + w.namespace + "/acme; if that lasts, its status says why"
			Expect(readyMessage(user)).To(Equal(waits))
			Expect(meta.FindStatusCondition(user.Status.Conditions, api.ConditionClientResolved).Message).To(Equal(waits))
			Expect(kstatus(user)).To(Equal(status.InProgressStatus))
		}
		user := w.reconciled(ctx, w.byJWT("bob"))
		expectWaiting(user)
		Expect(log.String()).NotTo(ContainSubstring(`"level":"error"`))
		Expect(w.told()).To(BeEmpty())

		w.clientReconciled(ctx)
		Expect(ready(w.finished(ctx, user))).To(Equal("True CredentialsReady"))

		By("waiting for one that was lost in the same way")
		w.delete(ctx, &corev1.Secret{}, "acme-key")
		user = w.reconciled(ctx, user)
		expectWaiting(user)
		w.clientReconciled(ctx)
		Expect(ready(w.finished(ctx, user))).To(Equal("True CredentialsReady"))
		Expect(log.String()).NotTo(ContainSubstring(`"level":"error"`))
	})
})
