package docs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

const root = "../.."

var (
	environment = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	k8s client.Client
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	config, err := environment.Start()
	if err != nil {
		return 1, fmt.Errorf("no control plane (make test provides one): %w", err)
	}
	defer func() { err = errors.Join(err, environment.Stop()) }()
	if k8s, err = client.New(config, client.Options{}); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// pages are the Markdown files, by their path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	found := map[string]string{}
	for _, path := range append(paths, filepath.Join(root, "README.md")) {
		found[path] = read(t, path)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// manifestsOf are the manifests of a kustomize folder.
func manifestsOf(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("%s holds no manifests: %v", folder, err)
	}
	return slices.DeleteFunc(paths, func(path string) bool { return filepath.Base(path) == "kustomization.yaml" })
}

// TestYAML applies all YAML of the documentation, and the samples.
func TestYAML(t *testing.T) {
	manifests := map[string]string{}
	for path, page := range pages(t) {
		for _, b := range blocks(page) {
			name := fmt.Sprintf("%s:%d", filepath.Base(path), b.line)
			switch {
			case b.language == "yaml":
				manifests[name] = b.text
			case b.language == "":
				t.Errorf("%s: the block names no language", name)
			case strings.Contains(b.text, "\napiVersion:") || strings.HasPrefix(b.text, "apiVersion:"):
				t.Errorf("%s: a manifest that is not marked as yaml is not tested", name)
			}
		}
	}
	for _, path := range manifestsOf(t, filepath.Join(root, "config", "samples")) {
		manifests["samples/"+filepath.Base(path)] = read(t, path)
	}
	for name, text := range manifests {
		t.Run(name, func(t *testing.T) {
			for _, object := range parse(t, text) {
				check(t, object)
			}
		})
	}
}

func parse(t *testing.T, text string) (objects []*unstructured.Unstructured) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if object.Object == nil {
			continue
		}
		if object.GetKind() == "" || object.GetName() == "" {
			t.Fatal("this is no Kubernetes object: mark it as text")
		}
		objects = append(objects, object)
	}
	if len(objects) == 0 {
		t.Fatal("there is nothing in it")
	}
	return objects
}

// check applies an object twice, and reads it back.
func check(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	namespaced, err := k8s.IsObjectNamespaced(object)
	if err != nil {
		t.Fatal(err)
	}
	if namespaced {
		inNamespace(t, object)
	}
	first := observed(t, apply(t, object))
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(k8s.Delete(context.Background(), first, client.GracePeriodSeconds(0))); err != nil {
			t.Error(err)
		}
	})
	second := apply(t, object)
	if first.GetResourceVersion() != second.GetResourceVersion() {
		t.Errorf("%s %s changes when it is applied again", object.GetKind(), object.GetName())
	}
	stored := object.DeepCopy()
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(first), stored); err != nil {
		t.Fatal(err)
	}
	group := object.GroupVersionKind().Group
	if group != api.GroupVersion.Group && object.GetKind() != "Secret" {
		return // Kubernetes' own kinds have defaults
	}
	if want, got := content(t, object), content(t, stored); !reflect.DeepEqual(want, got) {
		t.Errorf("%s %s is stored as %v, which is not what was applied: %v", object.GetKind(), object.GetName(), got, want)
	}
}

// inNamespace sees to it that there is the namespace that an object names, or lacks.
func inNamespace(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	if object.GetNamespace() == "" {
		object.SetNamespace(corev1.NamespaceDefault)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: object.GetNamespace()}}
	if err := k8s.Create(t.Context(), namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// apply is kubectl apply --server-side --validate=strict.
func apply(t *testing.T, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	applied := object.DeepCopy()
	err = k8s.Patch(t.Context(), applied, client.RawPatch(types.ApplyPatchType, data), &client.PatchOptions{
		Raw: &metav1.PatchOptions{FieldManager: "documentation", FieldValidation: metav1.FieldValidationStrict},
	})
	if err != nil {
		t.Fatalf("%s %s is refused: %v", object.GetKind(), object.GetName(), err)
	}
	return applied
}

// observed gives an object of ours the status that the operator begins with. Until then the API server adds the default status
// whenever it reads the object, and stores it at the next write of anything, which makes that write a change.
func observed(t *testing.T, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	if object.GroupVersionKind().Group != api.GroupVersion.Group {
		return object
	}
	status := []byte(fmt.Sprintf(`{"status":{"observedGeneration":%d}}`, object.GetGeneration()))
	err := k8s.Status().Patch(t.Context(), object, client.RawPatch(types.MergePatchType, status), client.FieldOwner("gini-operator"))
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// content is an object without what the API server may add: status and metadata.
func content(t *testing.T, object *unstructured.Unstructured) map[string]any {
	t.Helper()
	if object.GetKind() == "Secret" {
		return map[string]any{"data": secretData(t, object)}
	}
	fields := maps.Clone(object.Object)
	delete(fields, "metadata")
	delete(fields, "status")
	return fields
}

// secretData is what a Secret holds, written as data or as stringData.
func secretData(t *testing.T, object *unstructured.Unstructured) map[string]string {
	t.Helper()
	encoded, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var secret corev1.Secret
	if err := json.Unmarshal(encoded, &secret); err != nil {
		t.Fatal(err)
	}
	held := maps.Clone(secret.StringData)
	if held == nil {
		held = map[string]string{}
	}
	for key, value := range secret.Data {
		held[key] = string(value)
	}
	return held
}

// TestSamplesTwice applies config/samples as a person would, and again.
func TestSamplesTwice(t *testing.T) {
	config := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(config, environment.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "samples-"}}
	if err := k8s.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	kubectl := func(args ...string) string {
		t.Helper()
		args = append([]string{"--kubeconfig", config, "--cache-dir", t.TempDir(), "--namespace", namespace.Name}, args...)
		out, err := exec.CommandContext(t.Context(), environment.ControlPlane.KubectlPath, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	folder := filepath.Join(root, "config", "samples")
	versions := func() string {
		return kubectl("get", "secrets,giniclients,giniusers", "-o", "custom-columns=KIND:.kind,NAME:.metadata.name,VERSION:.metadata.resourceVersion")
	}
	kubectl("apply", "--server-side", "-k", folder)
	for _, path := range manifestsOf(t, folder) {
		for _, object := range parse(t, read(t, path)) {
			object.SetNamespace(namespace.Name)
			observed(t, object)
		}
	}
	before := versions()
	kubectl("apply", "--server-side", "-k", folder)
	if after := versions(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if n := strings.Count(before, "GiniUser"); n != 8 {
		t.Errorf("%d GiniUsers:\n%s", n, before)
	}
}
