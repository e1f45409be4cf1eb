package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/gini-operator/gini-operator/internal/registry"
)

// wall is the clock. Tests let it run faster.
var wall clock.Clock = clock.RealClock{}

// watched are the namespaces of --watch-namespaces.
func (o options) watched() []string {
	return strings.FieldsFunc(o.namespaces, func(r rune) bool { return r == ',' || r == ' ' })
}

// check finds flags that cannot be meant, before anything is connected to.
func (o options) check() error {
	if _, err := registry.ParseAllowedHosts(strings.Split(o.allowedHosts, ",")); err != nil {
		return fmt.Errorf("--allowed-hosts: %w", err)
	}
	if o.namespaces != "" && len(o.watched()) == 0 {
		return errors.New("--watch-namespaces names no namespace: leave it out to look at all")
	}
	for _, namespace := range o.watched() {
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			return fmt.Errorf("--watch-namespaces: %q is no name of a namespace: write names, separated by commas", namespace)
		}
	}
	for flag, address := range map[string]string{
		"metrics-bind-address": o.metricsAddress, "health-probe-bind-address": o.probeAddress, "jwks-bind-address": o.jwksAddress,
	} {
		if err := checkAddress(address); err != nil {
			return fmt.Errorf("--%s: %q is no address to listen at: write host:port, or :port, or 0 for none", flag, address)
		}
	}
	for flag, timeout := range map[string]time.Duration{"connect-timeout": o.connectTimeout, "request-timeout": o.requestTimeout} {
		if timeout < 0 {
			return fmt.Errorf("--%s=%s is no time that anything may take: write one such as 15s", flag, timeout)
		}
	}
	return o.checkElection()
}

func checkAddress(address string) error {
	if address == "" || address == "0" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err
}

// checkElection finds what the leader election refuses.
func (o options) checkElection() error {
	switch {
	case !o.leaderElect:
		return nil
	case o.retryPeriod <= 0 || o.renewDeadline <= o.retryPeriod*6/5 || o.leaseDuration <= o.renewDeadline:
		return fmt.Errorf("--leader-elect-lease-duration (%s) must be longer than --leader-elect-renew-deadline (%s), "+
			"and that longer than 1.2 times --leader-elect-retry-period (%s)", o.leaseDuration, o.renewDeadline, o.retryPeriod)
	case o.leaseDuration < time.Second:
		return fmt.Errorf("--leader-elect-lease-duration=%s: a lease lasts for a second at least", o.leaseDuration)
	case o.leaseNamespace != "":
		return nil
	}
	if _, err := os.Stat("/var/run/secrets/kubernetes.io/serviceaccount/namespace"); errors.Is(err, fs.ErrNotExist) {
		return errors.New("--leader-elect outside of a cluster needs --leader-elect-namespace")
	}
	return nil
}

// connection is to the cluster that the flags, the environment or the pod name.
func connection() (*rest.Config, error) {
	config, err := ctrl.GetConfig()
	if err == nil {
		return config, nil
	}
	if !clientcmd.IsEmptyConfig(err) {
		return nil, fmt.Errorf("the kubeconfig cannot be used: %w", err)
	}
	if named := os.Getenv(clientcmd.RecommendedConfigPathEnvVar); named != "" {
		return nil, fmt.Errorf("no cluster to connect to: the kubeconfig %s is not there, or names no cluster", named)
	}
	if _, err := rest.InClusterConfig(); !errors.Is(err, rest.ErrNotInCluster) {
		return nil, fmt.Errorf("no cluster to connect to: the pod's ServiceAccount cannot be used (see automountServiceAccountToken): %w", err)
	}
	return nil, errors.New("no cluster to connect to: run the operator in a pod, or name a kubeconfig file with --kubeconfig")
}

// errStartOver ends an operator that is to begin anew, with what has changed since it began.
var errStartOver = errors.New("the operator starts over")

// startOver begins this program anew in the same process, which has done with everything: that a container ends, kubelets punish with a pause,
// of up to five minutes.
func startOver() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(program, os.Args, os.Environ()) //nolint:gosec // it is this program, with what it was begun with
}
