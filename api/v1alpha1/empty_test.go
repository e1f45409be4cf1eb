package v1alpha1_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// mustBeFilled are the lists and maps that say something else when they are empty than when they are absent, or nothing at all.
var mustBeFilled = map[string]bool{
	"spec.grants[].devices": true, // no device at all is no grant
}

// collections calls a function with each list and map of a schema, the path to it, and what it is when it is empty.
func collections(schema map[string]any, path string, each func(path, empty string, schema map[string]any)) {
	if items, ok := schema["items"].(map[string]any); ok {
		each(path, "[]", schema)
		collections(items, path+"[]", each)
	}
	if values, ok := schema["additionalProperties"].(map[string]any); ok {
		each(path, "{}", schema)
		collections(values, path+".*", each)
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		under, _ := property.(map[string]any)
		collections(under, path+"."+name, each)
	}
}

// TestEmptyIsAbsent: every list and map of both specs may be empty, as a chart's template leaves them.
func TestEmptyIsAbsent(t *testing.T) {
	k8s := cluster(t)
	for kind, crd := range crds(t) {
		schema, _, err := unstructured.NestedMap(version(t, crd), "schema", "openAPIV3Schema", "properties", "spec")
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		collections(schema, "spec", func(path, empty string, schema map[string]any) {
			found++
			if mustBeFilled[path] {
				return
			}
			t.Run(kind+" "+path, func(t *testing.T) {
				if schema["minItems"] != nil || schema["minProperties"] != nil {
					t.Error("must not be empty")
				}
				tried := 0
				for name := range bases {
					object := base(t, name)
					parent := path[:strings.LastIndex(path, ".")]
					if object.GetKind() != kind || !exists(object.Object, strings.Split(parent, ".")) {
						continue
					}
					tried++
					changed := edited(t, object, edit{strings.ReplaceAll(path, "[]", ".0"), empty})
					if err := k8s.Create(t.Context(), changed, client.DryRunAll); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
				if tried == 0 {
					t.Error("no base has what it is a part of")
				}
			})
		})
		if found < 5 {
			t.Errorf("only %d lists and maps of %s found", found, kind)
		}
	}
}

// exists reports whether an object has what a path leads to, by the first elements of lists.
func exists(at any, steps []string) bool {
	if len(steps) == 0 {
		return true
	}
	name, inList := strings.CutSuffix(steps[0], "[]")
	parent, _ := at.(map[string]any)
	next, ok := parent[name]
	if list, isList := next.([]any); inList {
		if !isList || len(list) == 0 {
			return false
		}
		next = list[0]
	}
	return ok && exists(next, steps[1:])
}
