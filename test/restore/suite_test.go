// Package restore_test runs the operator beside what Kubernetes itself deletes, the garbage collector and the namespace
// controller, and proves that nothing is lost when resources are deleted and restored from a backup, and that nothing hangs.
package restore_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/gini-operator/gini-operator/internal/operator/operatortest"
)

var (
	restConfig *rest.Config
	scheme     = runtime.NewScheme()
	k8s        client.Client
	// controllers is the kube-controller-manager.
	controllers *controllerManager

	configFolder = filepath.Join("..", "..", "config")
	crdFolder    = filepath.Join(configFolder, "crd", "bases")
)

func TestRestore(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "restore")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	Expect(apiextensionsv1.AddToScheme(scheme)).To(Succeed())
	binary := controllerManagerBinary()
	environment := operatortest.StartControlPlane(scheme)
	restConfig = environment.Config
	var err error
	k8s, err = client.New(restConfig, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	allowOperator(ctx)

	kubeconfig := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(os.WriteFile(kubeconfig, environment.KubeConfig, 0o600)).To(Succeed())
	controllers = &controllerManager{binary: binary, kubeconfig: kubeconfig}
	controllers.start()
	DeferCleanup(func() { controllers.stop() })
})

// operatorName is whom the operator acts as.
const operatorName = "gini-operator"

// allowOperator gives the operator the rights that it gets by `make deploy`, and no others.
func allowOperator(ctx context.Context) {
	GinkgoHelper()
	content, err := os.ReadFile(filepath.Join(configFolder, "rbac", "role.yaml"))
	Expect(err).NotTo(HaveOccurred())
	role := &rbacv1.ClusterRole{}
	Expect(yaml.Unmarshal(content, role)).To(Succeed())
	role.Name = operatorName
	Expect(k8s.Create(ctx, role)).To(Succeed())
	Expect(k8s.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: operatorName},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: operatorName},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: operatorName}},
	})).To(Succeed())
}

// forbidOperator takes these rights away.
func forbidOperator(ctx context.Context) {
	GinkgoHelper()
	named := metav1.ObjectMeta{Name: operatorName}
	Expect(k8s.Delete(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: named})).To(Succeed())
	Expect(k8s.Delete(ctx, &rbacv1.ClusterRole{ObjectMeta: named})).To(Succeed())
}
