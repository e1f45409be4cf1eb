package controller_test

import (
	"os"
	"path/filepath"
	"testing"

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
	// k8s talks to the API server itself, without a cache.
	k8s client.WithWatch
)

// stepwise specs let an operator work step by step, in one goroutine, for hours or through every crash: the race detector would find
// nothing, and take three times as long. The environment variable SPECS names the label filter of a run.
var stepwise = Label("stepwise")

func TestController(t *testing.T) {
	RegisterFailHandler(Fail)
	configuration, reporting := GinkgoConfiguration()
	if filter := os.Getenv("SPECS"); filter != "" {
		configuration.LabelFilter = filter
	}
	RunSpecs(t, "controller", configuration, reporting)
}

var _ = BeforeSuite(func() {
	ctrl.SetLogger(zap.New(zap.WriteTo(GinkgoWriter), zap.UseDevMode(true)))
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(api.AddToScheme(scheme)).To(Succeed())
	environment := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	var err error
	restConfig, err = environment.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(environment.Stop)
	restConfig.QPS = -1
	k8s, err = client.NewWithWatch(restConfig, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
})
