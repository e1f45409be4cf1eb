package v1alpha1_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

var crdDirectory = filepath.Join("..", "..", "config", "crd", "bases")

var (
	environment  *envtest.Environment
	startCluster = sync.OnceValues(func() (client.Client, error) {
		environment = &envtest.Environment{CRDDirectoryPaths: []string{crdDirectory}, ErrorIfCRDPathMissing: true}
		config, err := environment.Start()
		if err != nil {
			return nil, err
		}
		config.QPS = -1
		return client.New(config, client.Options{Scheme: scheme.Scheme})
	})
)

func TestMain(m *testing.M) {
	code := m.Run()
	if environment != nil {
		if err := environment.Stop(); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// cluster is an API server with both kinds, shared by the tests of this package.
func cluster(t *testing.T) client.Client {
	t.Helper()
	k8s, err := startCluster()
	if err != nil {
		t.Fatal(err)
	}
	return k8s
}

// crds are the generated definitions by kind.
func crds(t *testing.T) map[string]map[string]any {
	t.Helper()
	found := map[string]map[string]any{}
	for _, kind := range []string{"GiniUser", "GiniClient"} {
		content, err := os.ReadFile(filepath.Join(crdDirectory, "credentials.gini.net_"+strings.ToLower(kind)+"s.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var crd map[string]any
		if err := yaml.Unmarshal(content, &crd); err != nil {
			t.Fatal(err)
		}
		found[kind] = crd
	}
	return found
}

// version is the only version of a definition.
func version(t *testing.T, crd map[string]any) map[string]any {
	t.Helper()
	versions, _, err := unstructured.NestedSlice(crd, "spec", "versions")
	if err != nil || len(versions) != 1 {
		t.Fatalf("%d versions: %v", len(versions), err)
	}
	only, _ := versions[0].(map[string]any)
	return only
}

func base(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	asJSON, err := yaml.YAMLToJSON([]byte(bases[name]))
	if err != nil {
		t.Fatalf("base %q: %v", name, err)
	}
	if err := object.UnmarshalJSON(asJSON); err != nil {
		t.Fatalf("base %q: %v", name, err)
	}
	object.SetNamespace("default")
	return object
}

// edit is one change of an object: the value at a path becomes that of a piece of YAML, or goes where that is empty.
type edit struct{ path, value string }

// edited changes a copy of an object.
func edited(t *testing.T, object *unstructured.Unstructured, edits ...edit) *unstructured.Unstructured {
	t.Helper()
	changed := object.DeepCopy()
	for _, edit := range edits {
		var at any = changed.Object
		steps := strings.Split(edit.path, ".")
		for _, step := range steps[:len(steps)-1] {
			switch parent := at.(type) {
			case map[string]any:
				if parent[step] == nil {
					parent[step] = map[string]any{}
				}
				at = parent[step]
			case []any:
				index, err := strconv.Atoi(step)
				if err != nil {
					t.Fatal(err)
				}
				at = parent[index]
			default:
				t.Fatalf("no %q in %v", edit.path, object)
			}
		}
		parent, _ := at.(map[string]any)
		last := steps[len(steps)-1]
		delete(parent, last)
		if edit.value == "" {
			continue
		}
		var value any
		if err := yaml.Unmarshal([]byte(edit.value), &value); err != nil {
			t.Fatal(err)
		}
		parent[last] = value
	}
	return changed
}

// created makes an object that goes away with the test.
func created(t *testing.T, k8s client.Client, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	if err := k8s.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k8s.Delete(context.Background(), object) })
	return object
}
