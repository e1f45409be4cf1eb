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
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gini-operator/gini-operator/internal/operator/operatortest"
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
	SetDefaultEventuallyTimeout(eventually)
	built := make(chan error, 1)
	go func() { built <- build(ctx) }()
	restConfig = operatortest.StartControlPlane(scheme).Config
	var err error
	k8s, err = client.New(restConfig, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	Eventually(built).WithTimeout(5 * time.Minute).Should(Receive(BeNil()))
})

func build(ctx context.Context) error {
	command := exec.CommandContext(ctx, "go", "build", "-o", manager, "../../cmd/manager")
	command.Stdout, command.Stderr = GinkgoWriter, GinkgoWriter
	return command.Run()
}
