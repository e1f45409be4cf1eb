package controller_test

import (
	"net/http"
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gini-operator/gini-operator/internal/operator/operatortest"
)

var (
	restConfig *rest.Config
	scheme     = runtime.NewScheme()
	// k8s talks to the API server itself, without a cache.
	k8s client.WithWatch
	// reflection is what the API server holds, as a cache that never lags would know it; see indexed.
	reflection = &mirror{held: map[string]map[string]map[string]client.Object{}, gone: map[types.UID]bool{}}
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
	restConfig = operatortest.StartControlPlane(scheme).Config
	restConfig.Wrap(func(inner http.RoundTripper) http.RoundTripper { return mirroring{reflection, inner} })
	var err error
	k8s, err = client.NewWithWatch(restConfig, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
})
