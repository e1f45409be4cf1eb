// Package e2e tries the operator as people run it: as a Deployment on a real node, with pods that mount the Secrets. `make e2e` runs it, on the
// cluster that `make cluster-up` makes or on another one.
package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// Where things are; the Makefile sets them.
var (
	kubeconfig = os.Getenv("E2E_KUBECONFIG")
	kubectl    = os.Getenv("E2E_KUBECTL")
	kustomize  = os.Getenv("E2E_KUSTOMIZE")
	helm       = os.Getenv("E2E_HELM")
	// registry and version are what all images are called, but for the operator's that is upgraded from, which has oldVersion and oldChart.
	registry, version    = os.Getenv("E2E_REGISTRY"), os.Getenv("E2E_VERSION")
	oldVersion, oldChart = os.Getenv("E2E_OLD_VERSION"), os.Getenv("E2E_OLD_CHART")
	// summaryFile gets the last line.
	summaryFile = os.Getenv("E2E_SUMMARY")
)

var (
	root   = filepath.Join("..", "..")
	config *rest.Config
	k8s    client.Client
	typed  *kubernetes.Clientset
)

func TestE2E(t *testing.T) {
	if kubeconfig == "" {
		t.Skip("SKIPPED: it needs a cluster with pods. make cluster-up e2e cluster-down runs it")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "e2e")
}

var _ = BeforeSuite(func() {
	for name, value := range map[string]string{
		"E2E_KUBECTL": kubectl, "E2E_KUSTOMIZE": kustomize, "E2E_HELM": helm, "E2E_REGISTRY": registry, "E2E_VERSION": version,
		"E2E_OLD_VERSION": oldVersion, "E2E_OLD_CHART": oldChart, "E2E_SUMMARY": summaryFile,
	} {
		Expect(value).NotTo(BeEmpty(), "%s is not set: run make e2e", name)
	}
	var err error
	config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	config.QPS = -1
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(api.AddToScheme(scheme)).To(Succeed())
	k8s, err = client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	typed, err = kubernetes.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
})

// The last line is written whatever happened, from what was really counted.
var _ = ReportAfterSuite("summary", func(report Report) {
	passed := 0
	for i := range report.SpecReports {
		if spec := &report.SpecReports[i]; spec.LeafNodeType.Is(types.NodeTypeIt) && spec.State.Is(types.SpecStatePassed) {
			passed++
		}
	}
	if summaryFile == "" {
		return
	}
	p50, longest := figures.kubelet.quantile(0.5), figures.kubelet.quantile(1)
	line := fmt.Sprintf("e2e: specs=%d renewals=%d uses=%d refused=%d write_to_file_p50=%.0fs write_to_file_max=%.0fs\n",
		passed, figures.renewals, figures.uses, figures.refused, p50.Seconds(), longest.Seconds())
	if err := os.WriteFile(summaryFile, []byte(line), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "the summary cannot be written:", err)
	}
})

const (
	// soon is what anything that a cluster does at once may take on a machine that builds and tests at the same time.
	soon = 3 * time.Minute
	look = time.Second
)

// run runs a program to its end, and returns what it prints.
func run(ctx context.Context, input, program string, arguments ...string) string {
	GinkgoHelper()
	command := exec.CommandContext(ctx, program, arguments...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	command.Stdin = strings.NewReader(input)
	var errors bytes.Buffer
	command.Stderr = &errors
	printed, err := command.Output()
	Expect(err).NotTo(HaveOccurred(), "%s %s\n%s%s", filepath.Base(program), strings.Join(arguments, " "), printed, errors.String())
	return string(printed)
}

// image is the reference of one of the images.
func image(name, version string) string { return registry + "/" + name + ":" + version }
