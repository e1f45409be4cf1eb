package views

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

var (
	restConfig *rest.Config
	scheme     = runtime.NewScheme()
	k8s        client.Client
	// manager is the operator as a program.
	manager string
)

func TestViews(t *testing.T) {
	RegisterFailHandler(Fail)
	manager = filepath.Join(t.TempDir(), "manager")
	RunSpecs(t, "views")
}

// eventually is generous: that it comes at all is what is tested.
const eventually = 40 * time.Second

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(zap.New(zap.WriteTo(GinkgoWriter), zap.UseDevMode(true)))
	SetDefaultEventuallyTimeout(eventually)
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(api.AddToScheme(scheme)).To(Succeed())
	built := make(chan error, 1)
	go func() { built <- build(ctx) }()
	environment := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	var err error
	restConfig, err = environment.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(environment.Stop)
	restConfig.QPS = -1
	k8s, err = client.New(restConfig, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	Eventually(built).WithTimeout(5 * time.Minute).Should(Receive(BeNil()))
})

func build(ctx context.Context) error {
	command := exec.CommandContext(ctx, "go", "build", "-o", manager, "../../cmd/manager")
	command.Stdout, command.Stderr = GinkgoWriter, GinkgoWriter
	return command.Run()
}
