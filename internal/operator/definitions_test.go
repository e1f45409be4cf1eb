package operator_test

import (
	"context"
	"net/http"
	"sync"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/gini-operator/gini-operator/config/crd"
	"github.com/gini-operator/gini-operator/internal/operator"
	"github.com/gini-operator/gini-operator/internal/operator/operatortest"
)

// logLines are what a program said.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) add(_, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *logLines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// definition is the CRD of GiniUsers as the repository has it.
func definition() *unstructured.Unstructured {
	GinkgoHelper()
	documents, err := crd.Documents()
	Expect(err).NotTo(HaveOccurred())
	Expect(documents).To(HaveLen(2))
	object := &unstructured.Unstructured{}
	Expect(yaml.Unmarshal([]byte(documents[1]), &object.Object)).To(Succeed())
	Expect(object.GetName()).To(Equal("giniusers.credentials.gini.net"))
	return object
}

// put makes a cluster's definition of GiniUsers this one.
func put(ctx context.Context, k8s client.Client, wanted *unstructured.Unstructured) {
	GinkgoHelper()
	Eventually(func() error {
		there := definition()
		err := k8s.Get(ctx, client.ObjectKeyFromObject(there), there)
		if apierrors.IsNotFound(err) {
			return k8s.Create(ctx, wanted.DeepCopy())
		}
		if err != nil {
			return err
		}
		there.Object["spec"] = wanted.DeepCopy().Object["spec"]
		return k8s.Update(ctx, there)
	}).WithTimeout(eventually).Should(Succeed())
}

var _ = Describe("An operator whose CustomResourceDefinitions are not there", func() {
	It("waits alive and not ready, says once what is missing, and goes on when it is there (R4.1)", func(ctx SpecContext) {
		// Of its own: definitions are everybody's, and take long to go where there are many objects.
		own := runtime.NewScheme()
		config := operatortest.StartControlPlane(own).Config
		cluster, err := client.New(config, client.Options{Scheme: own})
		Expect(err).NotTo(HaveOccurred())
		older := definition()
		versions, _, err := unstructured.NestedSlice(older.Object, "spec", "versions")
		Expect(err).NotTo(HaveOccurred())
		unstructured.RemoveNestedField(versions[0].(map[string]any), "schema", "openAPIV3Schema", "properties", "spec", "properties",
			"devices", "properties", "untrusted", "properties", "nudgePods")
		Expect(unstructured.SetNestedSlice(older.Object, versions, "spec", "versions")).To(Succeed())
		put(ctx, cluster, older)

		said, probes := &logLines{}, operatortest.FreeAddress(ctx)
		ended := make(chan error, 1)
		go func() {
			ended <- operator.AwaitDefinitions(ctx, config, probes, clock.RealClock{}, funcr.New(said.add, funcr.Options{}))
		}()
		Eventually(said.all).WithTimeout(eventually).Should(ContainElement(And(
			ContainSubstring("GiniUser"), ContainSubstring("lacks the field spec.devices.untrusted.nudgePods"), ContainSubstring("--print-crds"))))
		Expect(answers(ctx, probes, "/healthz")).To(Equal(http.StatusOK))
		Expect(answers(ctx, probes, "/readyz")).To(Equal(http.StatusServiceUnavailable))

		By("none at all")
		Expect(cluster.Delete(ctx, definition())).To(Succeed())
		Eventually(said.all).WithTimeout(eventually).Should(ContainElement(ContainSubstring("serves no GiniUser")))
		Expect(ended).NotTo(Receive())
		Eventually(func() bool {
			there := definition()
			return apierrors.IsNotFound(cluster.Get(ctx, client.ObjectKeyFromObject(there), there))
		}).WithTimeout(eventually).Should(BeTrue())

		By("those of this version")
		put(ctx, cluster, definition())
		Eventually(ended).WithTimeout(eventually).Should(Receive(BeNil()))
		Expect(len(said.all())).To(BeNumerically("<=", 3), "%q", said.all())
		Expect(operator.AwaitDefinitions(ctx, config, probes, clock.RealClock{}, funcr.New(said.add, funcr.Options{}))).To(Succeed(), "the address is free again")
	})
})

func answers(ctx context.Context, address, path string) int {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	return response.StatusCode
}
