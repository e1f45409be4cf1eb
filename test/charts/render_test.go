package charts_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

const (
	root = "../.."
	// release and namespace are what installations are called that are given no other name: config/default has the same namespace.
	release, namespace = "gini-operator", "gini-operator-system"
	// kubernetes is the version that charts are rendered for.
	kubernetes = "1.37.2"
)

var chart = filepath.Join(root, "charts", "gini-operator")

// tool is the path of a program that make builds into bin/. HELM and KUSTOMIZE name others.
func tool(t *testing.T, name string) string {
	t.Helper()
	if given := os.Getenv(strings.ToUpper(name)); given != "" {
		return given
	}
	path, err := filepath.Abs(filepath.Join(root, "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("there is no bin/%s: make bin/%s builds it (%v)", name, name, err)
	}
	return path
}

// run runs a program and returns what it says. A failure of it is an error with what it said.
func run(t *testing.T, name string, arguments ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, arguments...)
	// Neither a developer's cluster nor his plugins and repositories have a part in it.
	home := t.TempDir()
	command.Env = append(os.Environ(), "KUBECONFIG=/dev/null", "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(name), err, stderr.String())
	}
	return stdout.String(), nil
}

// helmTemplate is what the chart renders to for a release in a namespace.
func helmTemplate(t *testing.T, release, namespace string, arguments ...string) (string, error) {
	t.Helper()
	return run(t, tool(t, "helm"), append([]string{
		"template", release, chart, "--namespace", namespace, "--kube-version", kubernetes,
	}, arguments...)...)
}

// rendered are the objects that the chart renders to.
func rendered(t *testing.T, arguments ...string) []*unstructured.Unstructured {
	t.Helper()
	text, err := helmTemplate(t, release, namespace, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, text)
}

// built are the objects of a kustomization.
func built(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	text, err := run(t, tool(t, "kustomize"), "build", folder)
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, text)
}

// overlay is the last of some kustomizations like those of people who want more than config/default. Paths in them that begin with config/
// are those of the repository, and ../0 is the first of them.
func overlay(t *testing.T, kustomizations ...string) (folder string) {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	repository, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for i, kustomization := range kustomizations {
		folder = filepath.Join(base, strconv.Itoa(i))
		up, err := filepath.Rel(folder, repository)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(kustomization, "config/", up+"/config/")
		if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// withComponents is config/default with all that config/components offers.
const withComponents = `
resources: [config/default]
components: [config/components/pod-nudges, config/components/rollout-restarts]
`

// objects are those of a stream of YAML documents.
func objects(t *testing.T, text string) (found []*unstructured.Unstructured) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if object.Object != nil {
			found = append(found, object)
		}
	}
	if len(found) == 0 {
		t.Fatal("there are no objects in it")
	}
	return found
}

// ofKind are the objects of a kind.
func ofKind(from []*unstructured.Unstructured, kind string) (found []*unstructured.Unstructured) {
	for _, object := range from {
		if object.GetKind() == kind {
			found = append(found, object)
		}
	}
	return found
}

// one is the only object of a kind.
func one(t *testing.T, from []*unstructured.Unstructured, kind string) *unstructured.Unstructured {
	t.Helper()
	found := ofKind(from, kind)
	if len(found) != 1 {
		t.Fatalf("there are %d objects of the kind %s", len(found), kind)
	}
	return found[0]
}

// valueFiles are the files of values that the tests render the chart with. Together they set every value.
func valueFiles(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "values", "*.yaml"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("no files of values: %v", err)
	}
	slices.Sort(paths)
	return paths
}

// read is a file's content.
func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
