// Package operatortest is what specs that run operators beside a real API server have in common. It needs a running Ginkgo suite.
package operatortest

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/operator"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// StartControlPlane starts an API server that knows the CRDs, for a suite two folders below the root of the repository, and stops it
// when that ends. The scheme learns Kubernetes' kinds and the operator's, and logs go to where Ginkgo keeps them.
func StartControlPlane(scheme *runtime.Scheme) *envtest.Environment {
	ginkgo.GinkgoHelper()
	ctrl.SetLogger(zap.New(zap.WriteTo(ginkgo.GinkgoWriter), zap.UseDevMode(true)))
	gomega.Expect(clientgoscheme.AddToScheme(scheme)).To(gomega.Succeed())
	gomega.Expect(api.AddToScheme(scheme)).To(gomega.Succeed())
	environment := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	config, err := environment.Start()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	ginkgo.DeferCleanup(environment.Stop)
	config.QPS = -1
	return environment
}

// Run runs an operator, as a process of its own would be, until stop is called or the spec ends. It serves no metrics, and says whether
// it is alive only where the manager's options name an address for that.
func Run(ctx context.Context, connection *rest.Config, managed manager.Options, options operator.Options) (stop func()) {
	ginkgo.GinkgoHelper()
	managed.Metrics = metricsserver.Options{BindAddress: "0"}
	managed.HealthProbeBindAddress = cmp.Or(managed.HealthProbeBindAddress, "0")
	managed.Controller.SkipNameValidation = ptr.To(true)
	options.Metrics = prometheus.NewRegistry()
	mgr, err := ctrl.NewManager(connection, managed)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	gomega.Expect(operator.AddTo(ctx, mgr, options)).To(gomega.Succeed())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		gomega.Eventually(ended).WithTimeout(time.Minute).Should(gomega.Receive(gomega.BeNil()))
	})
	ginkgo.DeferCleanup(stop)
	return stop
}

// FreeAddress is one that nobody listens at now.
func FreeAddress(ctx context.Context) string {
	ginkgo.GinkgoHelper()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// Use is what the Gini at a URL answers to a device that sends these headers.
func Use(ctx context.Context, url string, headers map[string]string) (status int) {
	ginkgo.GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/documents", http.NoBody)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	request.Header.Set("Accept", emulator.MediaTypeV1)
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode
}
