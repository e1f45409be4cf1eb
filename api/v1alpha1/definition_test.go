package v1alpha1_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestDefinitions: names, sizes and columns as people know them.
func TestDefinitions(t *testing.T) {
	for kind, want := range map[string]struct {
		shortName string
		columns   []string // what kubectl get shows
		wide      []string // and with -o wide
	}{
		"GiniUser": {
			"gu", []string{"Type", "Client", "Ready", "Reason", "Expires", "Age"},
			[]string{"Token expires", "JWT expires", "Untrusted Secret", "Trusted Secret", "Refresh", "User ID", "Message"},
		},
		"GiniClient": {
			"gcl", []string{"Ready", "Reason", "Credentials", "Identity Provider", "Age"},
			[]string{"JWK Set", "Pay API", "Login", "User Center", "Paused until", "Message"},
		},
	} {
		t.Run(kind, func(t *testing.T) {
			crd := crds(t)[kind]
			file, err := os.Stat(filepath.Join(crdDirectory, "credentials.gini.net_"+strings.ToLower(kind)+"s.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			if file.Size() >= 100<<10 {
				t.Errorf("%d bytes, want less than 100 KiB", file.Size())
			}
			categories, _, _ := unstructured.NestedStringSlice(crd, "spec", "names", "categories")
			if !slices.Equal(categories, []string{"gini"}) {
				t.Errorf("categories %v: kubectl get gini shows both kinds", categories)
			}
			shortNames, _, _ := unstructured.NestedStringSlice(crd, "spec", "names", "shortNames")
			if !slices.Equal(shortNames, []string{want.shortName}) {
				t.Errorf("short names %v", shortNames)
			}
			if scope, _, _ := unstructured.NestedString(crd, "spec", "scope"); scope != "Namespaced" {
				t.Errorf("scope %q", scope)
			}
			version := version(t, crd)
			if _, ok, _ := unstructured.NestedMap(version, "subresources", "status"); !ok {
				t.Error("no status subresource: whoever may edit the spec could edit the status")
			}
			var columns, wide []string
			listed, _, _ := unstructured.NestedSlice(version, "additionalPrinterColumns")
			for _, entry := range listed {
				column, _ := entry.(map[string]any)
				name, _ := column["name"].(string)
				if column["priority"] == nil {
					columns = append(columns, name)
				} else {
					wide = append(wide, name)
				}
				// A date in the future is printed as <invalid>.
				if (column["type"] == "date") != (name == "Age") {
					t.Errorf("column %s is of type %v", name, column["type"])
				}
			}
			if !slices.Equal(columns, want.columns) || !slices.Equal(wide, want.wide) {
				t.Errorf("columns %v and %v", columns, wide)
			}
		})
	}
}

// TestEverythingIsBounded: every string, list and map of both specs has a limit, unless its values are listed.
func TestEverythingIsBounded(t *testing.T) {
	for kind, crd := range crds(t) {
		schema, _, err := unstructured.NestedMap(version(t, crd), "schema", "openAPIV3Schema", "properties", "spec", "properties")
		if err != nil {
			t.Fatal(err)
		}
		for name, property := range schema {
			under, _ := property.(map[string]any)
			bounded(t, kind+" spec."+name, under)
		}
	}
}

func bounded(t *testing.T, field string, schema map[string]any) {
	t.Helper()
	// Durations, whose rules bound them.
	for _, last := range []string{".before", ".verifyInterval", ".tokenLifetime", ".rotationInterval"} {
		if strings.HasSuffix(field, last) {
			return
		}
	}
	if schema["default"] != nil {
		t.Errorf("%s has a default, which a GitOps tool sees as a difference", field)
	}
	if description, _ := schema["description"].(string); len(description) < 10 && !strings.HasSuffix(field, "[]") && !strings.HasSuffix(field, ".*") {
		t.Errorf("%s says nothing in kubectl explain", field)
	}
	switch schema["type"] {
	case "string":
		if schema["maxLength"] == nil && schema["enum"] == nil {
			t.Errorf("%s has no maxLength", field)
		}
	case "array":
		if schema["maxItems"] == nil {
			t.Errorf("%s has no maxItems", field)
		}
		items, _ := schema["items"].(map[string]any)
		bounded(t, field+"[]", items)
	case "object":
		if values, ok := schema["additionalProperties"].(map[string]any); ok {
			if schema["maxProperties"] == nil {
				t.Errorf("%s has no maxProperties", field)
			}
			bounded(t, field+".*", values)
		}
		properties, _ := schema["properties"].(map[string]any)
		for name, property := range properties {
			under, _ := property.(map[string]any)
			bounded(t, field+"."+name, under)
		}
	}
}

// TestReadsBackTheSame: nothing is filled in, so that what is applied is what is found, and a status says that nobody has looked yet.
func TestReadsBackTheSame(t *testing.T) {
	k8s := cluster(t)
	for name := range bases {
		t.Run(name, func(t *testing.T) {
			want := base(t, name)
			object := created(t, k8s, base(t, name))
			stored := &unstructured.Unstructured{}
			stored.SetGroupVersionKind(object.GroupVersionKind())
			if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(object), stored); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(stored.Object["spec"], want.Object["spec"]) {
				t.Errorf("spec %v\nwant %v", stored.Object["spec"], want.Object["spec"])
			}
			if status := stored.Object["status"]; !reflect.DeepEqual(status, map[string]any{"observedGeneration": int64(-1)}) {
				t.Errorf("status %v", status)
			}
			// Writing back what was read changes nothing, but for the status's default, which then stands in the store as well.
			var versions []string
			for range 3 {
				if err := k8s.Update(t.Context(), stored); err != nil {
					t.Fatal(err)
				}
				versions = append(versions, stored.GetResourceVersion())
			}
			if versions[1] != versions[0] || versions[2] != versions[0] || stored.GetGeneration() != 1 {
				t.Errorf("versions %v, generation %d", versions, stored.GetGeneration())
			}
		})
	}
}
