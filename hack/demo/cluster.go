package main

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
	// installFolder is what `make deploy` applies. No pod runs here, so its Deployment is left out, and the operator runs as a
	// process that has the rights of the Deployment's service account.
	installFolder  = "config/default"
	installedFor   = "control-plane!=controller-manager"
	serviceAccount = "system:serviceaccount:gini-operator-system:gini-operator-controller-manager"

	// controlPlanePatience is for machines that are busy with something else.
	controlPlanePatience = time.Minute
)

// cluster is a control plane without nodes.
type cluster struct {
	env    *envtest.Environment
	client client.Client
	dir    string
	// config and operatorConfig are kubeconfig files: a person's, and the operator's.
	config, operatorConfig string
}

func startCluster(assets, dir string) (*cluster, error) {
	existing := false
	c := &cluster{
		dir: dir, config: filepath.Join(dir, "kubeconfig"), operatorConfig: filepath.Join(dir, "operator.kubeconfig"),
		env: &envtest.Environment{
			BinaryAssetsDirectory: assets, UseExistingCluster: &existing,
			ControlPlaneStartTimeout: controlPlanePatience, ControlPlaneStopTimeout: controlPlanePatience,
		},
	}
	if _, err := c.env.Start(); err != nil {
		return nil, fmt.Errorf("the control plane does not start: %w", err)
	}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("the control plane cannot be used: %w", err), c.stop())
	}
	return c, nil
}

func (c *cluster) prepare() error {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	if err := api.AddToScheme(scheme); err != nil {
		return err
	}
	var err error
	if c.client, err = client.New(c.env.Config, client.Options{Scheme: scheme}); err != nil {
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
	if err := os.WriteFile(c.operatorConfig, operatorConfig, 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.config, c.env.KubeConfig, 0o600)
}

func (c *cluster) stop() error { return c.env.Stop() }

// install applies the CRDs and the operator's rights.
func (c *cluster) install(ctx context.Context) error {
	if _, err := c.kubectl(ctx, "", "apply", "--server-side", "-k", installFolder, "-l", installedFor); err != nil {
		return err
	}
	_, err := c.kubectl(ctx, "", "wait", "--for=condition=Established", "--timeout=30s",
		"crd/giniclients."+api.GroupVersion.Group, "crd/giniusers."+api.GroupVersion.Group)
	return err
}

// kubectl runs the control plane's own kubectl.
func (c *cluster) kubectl(ctx context.Context, input string, args ...string) (string, error) {
	args = append([]string{"--kubeconfig", c.config, "--cache-dir", filepath.Join(c.dir, "cache")}, args...)
	command := exec.CommandContext(ctx, c.kubectlPath(), args...) //nolint:gosec // the path is the developer's
	var out, problems bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &out, &problems
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return "", stopped(ctx)
		}
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args[4:], " "), err, problems.String())
	}
	return out.String(), nil
}

func (c *cluster) kubectlPath() string { return filepath.Join(c.env.BinaryAssetsDirectory, "kubectl") }
