//go:build linux

package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

//go:embed manifests/system.yaml
var systemManifest string

const (
	// upPatience is for machines that are busy with something else; each of these takes some seconds.
	upPatience = 3 * time.Minute
	// tailBytes is how much of a log a failure shows.
	tailBytes = 1 << 10
)

// up makes the cluster. Where that fails, nothing is left of it but its logs.
func up(ctx context.Context) error {
	begin := time.Now()
	if err := makeWay(); err != nil {
		return err
	}
	if err := suitable(ctx); err != nil {
		return err
	}
	if err := assemble(ctx); err != nil {
		if ctx.Err() != nil {
			return errors.Join(errors.New("interrupted"), removeMade(), os.RemoveAll(userFolder))
		}
		return errors.Join(err, keepLogs(), removeMade(), os.RemoveAll(userKubeconfig))
	}
	say("up after %.0f s. Its logs are in %s. To use it:", time.Since(begin).Seconds(), logFolder)
	_, err := fmt.Fprintf(os.Stdout, "export KUBECONFIG=%s\n", absolute(userKubeconfig))
	return err
}

// makeWay refuses where a cluster is up, and takes away one that is not: an earlier run was ended from outside.
func makeWay() error {
	running, err := findNode()
	if err != nil {
		return err
	}
	if running != nil {
		running.release()
		if _, err = os.Stat(upFile); err == nil {
			return errors.New("a cluster is up already. Take it away first: make cluster-down")
		}
	}
	if _, err = os.Stat(root); err != nil {
		return nil //nolint:nilerr // nothing is there
	}
	say("clearing away what is left of an earlier cluster")
	return removeMade()
}

// assemble takes the steps in their order.
func assemble(ctx context.Context) error {
	folder, err := install(ctx)
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return addressesFree(ctx) },
		makeFolders, // from here on, what is there is ours
		func() error { return providePrograms(ctx) },
		writePKI,
		func() error { return writeConfiguration(folder) },
		rememberSettings,
		func() error { return startLinked(ctx) },
		func() error { return settle(ctx) },
		func() error { return smoke(ctx, false) },
		func() error { return os.WriteFile(upFile, nil, 0o600) },
	} {
		if err = step(); err != nil {
			return err
		}
	}
	return nil
}

func absolute(file string) string {
	if path, err := filepath.Abs(file); err == nil {
		return path
	}
	return file
}

func makeFolders() error {
	for _, folder := range []string{
		root, binFolder, logFolder, pkiFolder, configFolder, cniFolder, containerdFolder, kubeletFolder, etcdFolder, userFolder,
	} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// providePrograms builds what is not built yet, and gives the node links to it: in its own folder, other checkouts, `make clean` and what
// the node hides of the file system do not matter.
func providePrograms(ctx context.Context) error {
	folder, err := controlPlane(ctx)
	if err != nil {
		return err
	}
	files := []string{filepath.Join(folder, "etcd"), filepath.Join(folder, "kube-apiserver"), filepath.Join(folder, "kubectl")}
	for _, name := range fromModules {
		file, err := controlPlane(ctx, name)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	const coredns = "bin/coredns"
	if err := build(ctx, "hack/coredns", ".", coredns); err != nil {
		return err
	}
	for _, file := range append(files, coredns) {
		if err := link(file, filepath.Join(binFolder, filepath.Base(file))); err != nil {
			return err
		}
	}
	for name, reference := range map[string]string{"pause": pauseImage, "probe": probeImage} {
		program := filepath.Join(root, name)
		if err := build(ctx, "hack/node", "./"+name, program); err != nil {
			return err
		}
		if err := writeImage(program+".tar", reference, program); err != nil {
			return err
		}
	}
	return nil
}

// controlPlane asks for a program of Kubernetes, or for the folder of those that every test needs.
func controlPlane(ctx context.Context, name ...string) (string, error) {
	command := exec.CommandContext(ctx, "hack/control-plane.sh", name...) //nolint:gosec // the names are ours
	command.Cancel, command.WaitDelay = func() error { return command.Process.Signal(os.Interrupt) }, time.Minute
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("hack/control-plane.sh %s: %w", strings.Join(name, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// build builds a program of a module of this repository for this machine.
func build(ctx context.Context, module, pkg, output string) error {
	if _, err := os.Stat(output); err != nil {
		say("building %s", filepath.Base(output))
	}
	arguments := []string{"build", "-C", module, "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", absolute(output), pkg}
	command := exec.CommandContext(ctx, "go", arguments...) //nolint:gosec // ours
	command.Env = append(os.Environ(), "GOOS=", "GOARCH=", "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s cannot be built: %w\n%s", output, err, out)
	}
	return nil
}

func link(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	data, err := os.ReadFile(from) //nolint:gosec // ours
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755) //nolint:gosec // a program
}

// startLinked starts the node, and links its network with the machine's.
func startLinked(ctx context.Context) error {
	begin, err := startNode()
	if err != nil {
		return err
	}
	defer func() { _ = begin.Close() }()
	var first record
	err = poll(ctx, "the node's first process", func() error { return readJSON(recordFile, &first) })
	if err != nil {
		return err
	}
	for _, arguments := range []string{
		fmt.Sprintf("link add %s type veth peer name %s netns %d", machineLink, nodeLink, first.PID),
		"address add " + machineAddress + linkPrefix + " dev " + machineLink,
		"link set " + machineLink + " up",
		"route add " + clusterRange + " via " + nodeAddress, // to pods and Services
	} {
		if err = ip(arguments); err != nil {
			return err
		}
	}
	_, err = begin.Write([]byte{1})
	return err
}

// settle waits for the API server and the node, and gives them what they need in between.
func settle(ctx context.Context) error {
	config, err := os.ReadFile(kubeconfigOf("admin"))
	if err != nil {
		return err
	}
	if err = os.WriteFile(userKubeconfig, config, 0o600); err != nil { //nolint:gosec // a constant
		return err
	}
	say("waiting for the API server")
	if err = poll(ctx, "the API server", succeeds(ctx, "get", "--raw", "/readyz", "--request-timeout=5s")); err != nil {
		return err
	}
	manifest, err := filled(systemManifest, map[string]any{"DNSAddress": dnsAddress, "NodeAddress": nodeAddress})
	if err != nil {
		return err
	}
	if _, err = kubectl(ctx, manifest, "apply", "--server-side", "-f", "-"); err != nil {
		return err
	}
	err = poll(ctx, "containerd", func() error { return load(ctx, filepath.Join(root, "pause.tar"), filepath.Join(root, "probe.tar")) })
	if err != nil {
		return err
	}
	say("waiting for the node")
	return poll(ctx, "the node", succeeds(ctx, "wait", "--for=condition=Ready", "--timeout=5s", "node/"+nodeName))
}

func succeeds(ctx context.Context, arguments ...string) func() error {
	return func() error {
		_, err := kubectl(ctx, "", arguments...)
		return err
	}
}

// filled fills in a manifest.
func filled(manifest string, values map[string]any) (string, error) {
	parsed, err := template.New("manifest").Option("missingkey=error").Parse(manifest)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = parsed.Execute(&out, values)
	return out.String(), err
}

// poll tries something until it works, while the node lives.
func poll(ctx context.Context, what string, try func() error) error {
	for deadline := time.Now().Add(upPatience); ; {
		err := try()
		switch {
		case err == nil:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s is not to be had within %s: %w", what, upPatience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * pause):
		}
		if _, err = os.Stat(recordFile); err != nil {
			continue // it has not said yet who it is
		}
		living, err := findNode()
		if err != nil {
			return err
		}
		if living == nil {
			return fmt.Errorf("the node has ended by itself; it says:\n%s", tail(filepath.Join(logFolder, "node.log")))
		}
		living.release()
	}
}

// kubectl runs the cluster's own kubectl, with all rights.
func kubectl(ctx context.Context, input string, arguments ...string) (string, error) {
	all := append([]string{"--kubeconfig", kubeconfigOf("admin"), "--cache-dir", filepath.Join(root, "cache")}, arguments...)
	command := exec.CommandContext(ctx, filepath.Join(binFolder, "kubectl"), all...) //nolint:gosec // ours
	var out, problems bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &out, &problems
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(arguments, " "), err, bytes.TrimSpace(problems.Bytes()))
	}
	return out.String(), nil
}

// load imports images from archives.
func load(ctx context.Context, archives ...string) error {
	for _, archive := range archives {
		arguments := []string{"--address", containerdSocket, "--namespace", "k8s.io", "images", "import", archive}
		out, err := exec.CommandContext(ctx, "ctr", arguments...).CombinedOutput() //nolint:gosec // the caller's file
		if err != nil {
			return fmt.Errorf("%s cannot be imported: %w: %s", archive, err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// keepLogs keeps the programs' logs after a failure, and shows how they end.
func keepLogs() error {
	files, err := filepath.Glob(filepath.Join(logFolder, "*.log"))
	if err != nil || len(files) == 0 {
		return err
	}
	if err := os.MkdirAll(userLogs, 0o700); err != nil {
		return err
	}
	var ends strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file) //nolint:gosec // ours
		if err != nil {
			return err
		}
		kept := filepath.Join(userLogs, filepath.Base(file))
		if err := os.WriteFile(kept, data, 0o600); err != nil { //nolint:gosec // ours
			return err
		}
		fmt.Fprintf(&ends, "--- %s ends with:\n%s\n", filepath.Base(file), tail(file))
	}
	return fmt.Errorf("the logs are kept in %s\n%s", userLogs, &ends)
}

func tail(file string) string {
	data, err := os.ReadFile(file) //nolint:gosec // ours
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data[max(0, len(data)-tailBytes):]))
}
