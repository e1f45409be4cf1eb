package restore_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// expectNoFinalizers proves that nothing of ours can keep itself from being deleted.
func (w *world) expectNoFinalizers(ctx context.Context) {
	GinkgoHelper()
	for _, object := range w.backUp(ctx).all() {
		Expect(object.GetFinalizers()).To(BeEmpty(), "%T %s", object, object.GetName())
	}
}

// deleteUsers deletes all users, and waits until they are gone.
func (w *world) deleteUsers(ctx context.Context, propagation metav1.DeletionPropagation) {
	GinkgoHelper()
	Expect(k8s.DeleteAllOf(ctx, &api.GiniUser{}, client.InNamespace(w.namespace), client.PropagationPolicy(propagation))).To(Succeed())
	Eventually(func() []client.Object { return w.backUp(ctx).users }).WithTimeout(patience).Should(BeEmpty())
}

// awaitCollector waits until the garbage collector knows of all Secrets that there are now. It learns of them in turn: here, of
// one whose owner has never been. One that it does not know of when its owner is orphaned, it deletes.
func (w *world) awaitCollector(ctx context.Context) {
	GinkgoHelper()
	marker := &corev1.Secret{ObjectMeta: w.named("marker")}
	marker.OwnerReferences = []metav1.OwnerReference{{APIVersion: api.GroupVersion.String(), Kind: "GiniUser", Name: "nobody", UID: "never-was"}}
	w.create(ctx, marker)
	Eventually(w.names(ctx)).WithTimeout(patience).ShouldNot(ContainElement("marker"))
}

// installCRDs installs the CRDs, unless they are there.
func installCRDs() {
	GinkgoHelper()
	_, err := envtest.InstallCRDs(restConfig, envtest.CRDInstallOptions{Paths: []string{crdFolder}, ErrorIfPathMissing: true})
	Expect(err).NotTo(HaveOccurred())
}

var _ = Describe("GiniUsers that are deleted", func() {
	DescribeTable("take the Secrets that they own with them and nothing else, and give the same accounts when applied again (R3.5)",
		func(ctx SpecContext, propagation metav1.DeletionPropagation) {
			w, _ := newWorld(ctx)
			w.expectNoFinalizers(ctx)
			was := w.remember(ctx)
			w.deleteUsers(ctx, propagation)
			Eventually(w.names(ctx)).WithTimeout(patience).Should(ConsistOf(kept))
			Expect(w.logins(was.mark)).To(BeZero(), "nothing is repaired that is to go")
			after := w.secrets(ctx)
			for _, name := range kept {
				Expect(after).To(HaveKeyWithValue(name, was.secrets[name]))
			}

			w.create(ctx, w.users()...)
			w.expectReady(ctx)
			w.expectSameAccounts(was.mark)
			Expect(w.logins(was.mark)).To(Equal(len(tokens)-1), "the one that is retained is still valid")
		},
		Entry("in the background, as by default", metav1.DeletePropagationBackground),
		Entry("in the foreground", metav1.DeletePropagationForeground),
	)

	It("cost no login although the operator's view of them lags behind (R3.5)", func(ctx SpecContext) {
		w, stop := newWorld(ctx)
		stop()
		lag := &watchLag{resource: "giniusers"}
		w.wrap = lag.wrap
		w.operate(ctx)
		w.expectJWKSet(ctx)
		was, release := w.remember(ctx), lag.hold()
		w.deleteUsers(ctx, metav1.DeletePropagationBackground)
		Consistently(func() int { return w.logins(was.mark) }).WithTimeout(time.Second).Should(BeZero(), "a user that is gone needs no token")
		release()
		Eventually(w.names(ctx)).WithTimeout(patience).Should(ConsistOf(kept))
		Expect(w.logins(was.mark)).To(BeZero())
	})

	It("leave their Secrets where they are told to orphan them, and find them unharmed when applied again (R3.10)", func(ctx SpecContext) {
		w, stop := newWorld(ctx)
		was := w.remember(ctx)
		w.awaitCollector(ctx)
		w.deleteUsers(ctx, metav1.DeletePropagationOrphan)
		Expect(w.secrets(ctx)).To(Equal(was.secrets))
		w.create(ctx, w.users()...)
		w.expectReady(ctx)
		stop()
		w.expectUnharmed(ctx, was)
	})

	It("go with their Secrets although the operator is gone, and its rights with it (R3.5)", func(ctx SpecContext) {
		w, stop := newWorld(ctx)
		stop()
		forbidOperator(ctx)
		DeferCleanup(allowOperator)
		w.deleteUsers(ctx, metav1.DeletePropagationBackground)
		Eventually(w.names(ctx)).WithTimeout(patience).Should(ConsistOf(kept))
		Expect(k8s.DeleteAllOf(ctx, &api.GiniClient{}, client.InNamespace(w.namespace))).To(Succeed())
		Expect(w.backUp(ctx).clients).To(BeEmpty())
	})
})

var _ = Describe("A namespace that is deleted", func() {
	It("is gone in a moment while the operator runs, and comes back unharmed from a backup (R3.5, R3.10)", func(ctx SpecContext) {
		w, stop := newWorld(ctx)
		saved, was := w.backUp(ctx), w.remember(ctx)
		w.deleteNamespace(ctx)
		w.expectSameAccounts(was.mark)

		stop()
		was.mark = w.gini.Mark()
		stop = w.operate(ctx)
		w.create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}})
		w.restore(ctx, saved.all()...)
		w.expectReady(ctx)
		stop()
		w.expectUnharmed(ctx, was)
	})

	It("is gone in a moment while no operator runs (R3.5)", func(ctx SpecContext) {
		w, stop := newWorld(ctx)
		stop()
		w.expectNoFinalizers(ctx)
		w.deleteNamespace(ctx)
	})
})

var _ = Describe("The CRDs, deleted by accident while the operator runs", func() {
	It("leave accounts, keys and what is retained, and the same YAML gives the same accounts (R3.4, R3.11)", func(ctx SpecContext) {
		w, _ := newWorld(ctx)
		was := w.remember(ctx)
		definitions := &apiextensionsv1.CustomResourceDefinitionList{}
		Expect(k8s.List(ctx, definitions)).To(Succeed())
		Expect(definitions.Items).To(HaveLen(2))
		DeferCleanup(func() {
			installCRDs()
			controllers.stop() // which learn only now and then that a kind of resources has come back
			controllers.start()
		})
		for i := range definitions.Items {
			Expect(k8s.Delete(ctx, &definitions.Items[i])).To(Succeed())
		}
		Eventually(func(g Gomega) {
			g.Expect(k8s.List(ctx, definitions)).To(Succeed())
			g.Expect(definitions.Items).To(BeEmpty())
		}).WithTimeout(patience).Should(Succeed())
		Eventually(w.names(ctx)).WithTimeout(patience).Should(ConsistOf(kept))
		after := w.secrets(ctx)
		for _, name := range kept {
			Expect(after).To(HaveKeyWithValue(name, was.secrets[name]))
		}
		Expect(w.logins(was.mark)).To(BeZero(), "nothing is repaired that is to go")

		By("applying the same again")
		installCRDs()
		w.create(ctx, w.giniClient())
		w.expectJWKSet(ctx)
		w.create(ctx, w.users()...)
		w.expectReady(ctx)
		w.expectSameAccounts(was.mark)
		Expect(w.logins(was.mark)).To(Equal(len(tokens)-1), "the one that is retained is still valid")
		Expect(w.secrets(ctx)).To(HaveKeyWithValue("acme-key", was.secrets["acme-key"]))
	})
})
