package operator_test

import (
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gini-operator/gini-operator/internal/operator"
)

var _ = Describe("An operator without the rights for nudges and restarts", func() {
	It("goes on without them, and says which right is missing", func(ctx SpecContext) {
		w := newWorld(ctx)
		config := rest.CopyConfig(restConfig)
		config.Impersonate = rest.ImpersonationConfig{UserName: "operator-of-" + w.namespace}
		poor, err := client.New(config, client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())
		w.create(ctx, &rbacv1.Role{ObjectMeta: w.named("pods"), Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch", "patch"}},
			{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets", "daemonsets"}, Verbs: []string{"get", "list", "watch"}},
		}})
		w.create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: w.named("pods"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "pods"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: config.Impersonate.UserName}},
		})
		wanted := operator.Options{NudgePods: true, RolloutRestarts: true}
		said := &logLines{}
		log := funcr.New(said.add, funcr.Options{})

		permitted, err := operator.Permitted(ctx, k8s, wanted, log)
		Expect(err).NotTo(HaveOccurred())
		Expect(permitted).To(Equal(wanted))
		Expect(said.all()).To(BeEmpty())

		permitted, err = operator.Permitted(ctx, poor, wanted, log)
		Expect(err).NotTo(HaveOccurred())
		Expect(permitted.NudgePods || permitted.RolloutRestarts).To(BeFalse())
		Expect(said.all()).To(ConsistOf(ContainSubstring("list pods in all namespaces"), ContainSubstring("get deployments in all namespaces")))

		wanted.WatchNamespaces = []string{w.namespace}
		permitted, err = operator.Permitted(ctx, poor, wanted, log)
		Expect(err).NotTo(HaveOccurred())
		Expect(permitted.NudgePods).To(BeTrue())
		Expect(permitted.RolloutRestarts).To(BeFalse())
		Expect(said.all()).To(ContainElement(ContainSubstring("patch deployments in namespace " + w.namespace)))
		Expect(said.all()).To(HaveEach(ContainSubstring(`"error"=`)), "what filters for errors find")

		By("a namespace that cannot be read at all, which turns nothing off elsewhere")
		wanted.RolloutRestarts = false
		wanted.WatchNamespaces, wanted.Unreadable = []string{w.namespace, "absent"}, []string{"absent"}
		permitted, err = operator.Permitted(ctx, poor, wanted, log)
		Expect(err).NotTo(HaveOccurred())
		Expect(permitted.NudgePods).To(BeTrue())

		By("no namespace that can be read")
		wanted.WatchNamespaces = wanted.Unreadable
		lines := len(said.all())
		permitted, err = operator.Permitted(ctx, poor, wanted, log)
		Expect(err).NotTo(HaveOccurred())
		Expect(permitted).To(Equal(wanted))
		Expect(said.all()).To(HaveLen(lines))
	})
})
