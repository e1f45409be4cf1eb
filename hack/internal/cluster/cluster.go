// Package cluster starts what programs of this repository need to show or try the operator on one machine: a control plane
// without nodes, and the operator as a process.
package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

const (
	// InstallFolder is what `make deploy` applies. No pod runs here, so its Deployment is left out, and the operator runs as a
	// process that has the rights of the Deployment's service account.
	InstallFolder  = "config/default"
	installedFor   = "control-plane!=controller-manager"
	serviceAccount = "system:serviceaccount:gini-operator-system:gini-operator-controller-manager"

	// Patience is for machines that are busy with something else.
	Patience = time.Minute
)

// Cluster is a control plane without nodes.
type Cluster struct {
	// Client has a person's rights.
	Client client.Client
	// Config and OperatorConfig are kubeconfig files: a person's, and the operator's.
	Config, OperatorConfig string

	env *envtest.Environment
	dir string
	// apiServerSays is the end of what the API server says.
	apiServerSays tail
}

// Start starts etcd and the API server of a folder, and writes kubeconfig files into another one. Each may take stopPatience to end when it is
// stopped; then it is killed, which Stop reports.
func Start(assets, dir string, stopPatience time.Duration) (*Cluster, error) {
	existing := false
	c := &Cluster{
		dir: dir, Config: filepath.Join(dir, "kubeconfig"), OperatorConfig: filepath.Join(dir, "operator.kubeconfig"),
		env: &envtest.Environment{
			BinaryAssetsDirectory: assets, UseExistingCluster: &existing,
			ControlPlaneStartTimeout: Patience, ControlPlaneStopTimeout: stopPatience,
		},
	}
	// In a folder of ours, the API server's certificates outlive the API server: it can be started again.
	certificates := filepath.Join(dir, "certificates")
	if err := os.Mkdir(certificates, 0o700); err != nil {
		return nil, err
	}
	server := c.env.ControlPlane.GetAPIServer()
	server.CertDir, server.Out, server.Err = certificates, &c.apiServerSays, &c.apiServerSays
	port, err := quietPort()
	if err != nil {
		return nil, err
	}
	server.SecureServing.Address, server.SecureServing.Port = "127.0.0.1", port
	if _, err := c.env.Start(); err != nil {
		return nil, fmt.Errorf("the control plane does not start: %w; the API server says:\n%s", err, &c.apiServerSays)
	}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("the control plane cannot be used: %w", err), c.Stop())
	}
	return c, nil
}

func (c *Cluster) prepare() error {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	if err := api.AddToScheme(scheme); err != nil {
		return err
	}
	var err error
	if c.Client, err = client.New(c.env.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	operator, err := c.env.AddUser(envtest.User{Name: serviceAccount, Groups: []string{"system:serviceaccounts"}}, nil)
	if err != nil {
		return err
	}
	operatorConfig, err := operator.KubeConfig()
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.OperatorConfig, operatorConfig, 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.Config, c.env.KubeConfig, 0o600)
}

// Stop ends the control plane.
func (c *Cluster) Stop() error { return c.env.Stop() }

// Install applies the CRDs and the operator's rights.
func (c *Cluster) Install(ctx context.Context) error {
	if _, err := c.Kubectl(ctx, "", "apply", "--server-side", "-k", InstallFolder, "-l", installedFor); err != nil {
		return err
	}
	_, err := c.Kubectl(ctx, "", "wait", "--for=condition=Established", "--timeout=30s",
		"crd/giniclients."+api.GroupVersion.Group, "crd/giniusers."+api.GroupVersion.Group)
	return err
}

// Kubectl runs the control plane's own kubectl.
func (c *Cluster) Kubectl(ctx context.Context, input string, args ...string) (string, error) {
	args = append([]string{"--kubeconfig", c.Config, "--cache-dir", filepath.Join(c.dir, "cache")}, args...)
	command := exec.CommandContext(ctx, filepath.Join(c.Assets(), "kubectl"), args...) //nolint:gosec // the path is the developer's
	var out, problems bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &out, &problems
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return "", Stopped(ctx)
		}
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args[4:], " "), err, problems.String())
	}
	return out.String(), nil
}

// Assets is the folder of etcd, kube-apiserver and kubectl.
func (c *Cluster) Assets() string { return c.env.BinaryAssetsDirectory }

// Stopped tells an interruption from an operator that ended.
func Stopped(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return errors.New("interrupted")
}
