package restore_test

import (
	"os"
	"os/exec"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// binaryVariable names the kube-controller-manager, as envtest's TEST_ASSET_KUBE_APISERVER names the API server.
const binaryVariable = "TEST_ASSET_KUBE_CONTROLLER_MANAGER"

// controllerManagerBinary finds the kube-controller-manager. Without it nothing would ever be deleted here, so it must be there.
func controllerManagerBinary() string {
	GinkgoHelper()
	binary := os.Getenv(binaryVariable)
	Expect(binary).NotTo(BeEmpty(), "%s is not set. `make test-only PKG=./test/restore` sets it, or: "+
		`export %[1]s="$(hack/control-plane.sh kube-controller-manager)"`, binaryVariable)
	Expect(binary).To(BeARegularFile(), "this is what %s says", binaryVariable)
	return binary
}

// controllerManager is a kube-controller-manager with the two controllers that delete: envtest has none.
type controllerManager struct {
	binary, kubeconfig string

	process *exec.Cmd
	// ended is closed once the process has ended.
	ended chan struct{}
}

// start starts it. It knows the kinds of resources that there are at that time; others it learns of half a minute later.
func (c *controllerManager) start() {
	GinkgoHelper()
	//nolint:noctx // it is stopped by stop
	c.process = exec.Command(c.binary, "--kubeconfig", c.kubeconfig,
		"--controllers=garbage-collector-controller,namespace-controller",
		"--leader-elect=false", "--secure-port=0", "--kube-api-qps=1000", "--kube-api-burst=1000")
	c.process.Stdout, c.process.Stderr = GinkgoWriter, GinkgoWriter
	Expect(c.process.Start()).To(Succeed())
	process, ended := c.process, make(chan struct{})
	c.ended = ended
	go func() {
		_ = process.Wait() // it is always stopped by a signal
		close(ended)
	}()
}

// stop ends the process, by force where it does not end by itself.
func (c *controllerManager) stop() {
	GinkgoHelper()
	Expect(c.ended).NotTo(BeClosed(), "the kube-controller-manager has ended by itself; what it said is in this suite's output (-ginkgo.v)")
	Expect(c.process.Process.Signal(syscall.SIGTERM)).To(Succeed())
	select {
	case <-c.ended:
	case <-time.After(10 * time.Second):
		Expect(c.process.Process.Kill()).To(Succeed())
		<-c.ended
	}
}
