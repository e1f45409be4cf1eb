package charts_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// named is a field of a GiniClient or GiniUser that holds the name of an object.
type named struct {
	kind string
	// path leads to the field; lists are left out of it.
	path []string
	// listed are the steps of the path that lead to a list.
	listed map[int]bool
	// of are the kinds that the object may be of.
	of []string
}

func (n named) String() string { return n.kind + " " + strings.Join(n.path, "/") }

// madeByTheOperator are the fields that name what the operator makes. kustomize must leave them alone, whatever else a build has.
var madeByTheOperator = map[string]bool{
	"GiniUser spec/devices/untrusted/secret/name":                    true,
	"GiniUser spec/devices/trusted/secret/name":                      true,
	"GiniClient spec/identityProvider/signer/key/managed/secretName": true,
}

// namedFields are all fields of both CRDs that hold names of objects: their values are checked as such, or they are below a field called …Ref.
func namedFields(t *testing.T) (found []named) {
	t.Helper()
	for _, crd := range ofKind(built(t, filepath.Join(root, "config", "crd")), "CustomResourceDefinition") {
		kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
		versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
		version, _ := versions[0].(map[string]any)
		spec, _, _ := unstructured.NestedMap(version, "schema", "openAPIV3Schema", "properties", "spec")
		found = append(found, namedIn(spec, named{kind: kind, path: []string{"spec"}, of: []string{"Secret"}})...)
	}
	if len(found) < 10 {
		t.Fatalf("the CRDs name %v only", found)
	}
	return found
}

func namedIn(schema map[string]any, at named) (found []named) {
	if items, isList := schema["items"].(map[string]any); isList {
		at.listed = maps.Clone(at.listed)
		if at.listed == nil {
			at.listed = map[int]bool{}
		}
		at.listed[len(at.path)-1] = true
		return namedIn(items, at)
	}
	last := at.path[len(at.path)-1]
	if last == "clientRef" {
		at.of = []string{"GiniClient"}
	}
	properties, _ := schema["properties"].(map[string]any)
	if kinds, _, _ := unstructured.NestedStringSlice(properties, "kind", "enum"); len(kinds) > 0 {
		at.of = kinds
	}
	rules, _ := schema["x-kubernetes-validations"].([]any)
	isName := len(at.path) > 1 && last == "name" && strings.HasSuffix(at.path[len(at.path)-2], "Ref") ||
		slices.ContainsFunc(rules, func(rule any) bool {
			text, _ := rule.(map[string]any)["rule"].(string)
			return strings.Contains(text, "dns1123Subdomain()")
		})
	if schema["type"] == "string" && isName {
		return []named{at}
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		inner, _ := properties[name].(map[string]any)
		below := at
		below.path = append(slices.Clone(at.path), name)
		found = append(found, namedIn(inner, below)...)
	}
	return found
}

// object has nothing but this one name in it, and the kind beside it.
func (n named) object(name, of, value string) *unstructured.Unstructured {
	last := len(n.path) - 1
	var content any = map[string]any{n.path[last]: value}
	if len(n.of) > 1 {
		content.(map[string]any)["kind"] = of
	}
	for i := last - 1; i >= 0; i-- {
		if n.listed[i] {
			content = []any{content}
		}
		content = map[string]any{n.path[i]: content}
	}
	object := &unstructured.Unstructured{Object: content.(map[string]any)}
	object.SetAPIVersion("credentials.gini.net/v1alpha1")
	object.SetKind(n.kind)
	object.SetName(name)
	return object
}

// value is the name that an object has there.
func (n named) value(t *testing.T, object *unstructured.Unstructured) string {
	t.Helper()
	var part any = object.Object
	for i, step := range n.path {
		part = part.(map[string]any)[step]
		if n.listed[i] {
			part = part.([]any)[0]
		}
	}
	value, isText := part.(string)
	if !isText {
		t.Fatalf("%s has no %s", object.GetName(), n)
	}
	return value
}

// referring is a kustomization with objects, and one that renames all there is on top of it: with a prefix, a suffix and hashes.
func referring(t *testing.T, objects []*unstructured.Unstructured, names map[string]bool) []*unstructured.Unstructured {
	t.Helper()
	var below, generators strings.Builder
	for _, kind := range []string{"secretGenerator", "configMapGenerator"} {
		generators.WriteString(kind + ":\n")
		for _, name := range slices.Sorted(maps.Keys(names)) {
			// Names of both kinds are different ones: kustomize cannot see which kind a reference means.
			if strings.HasPrefix(name, "configmap-") == (kind == "configMapGenerator") {
				generators.WriteString("- {name: " + name + ", literals: [of=" + kind + "]}\n")
			}
		}
	}
	folder := overlay(t, `
resources: [objects.yaml]
components: [config/components/references]
`+generators.String(), `
resources: [../0]
namePrefix: dev-
nameSuffix: -v1
`)
	for _, object := range objects {
		below.WriteString("---\n" + marshalled(t, object.Object))
	}
	write(t, filepath.Join(filepath.Dir(folder), "0", "objects.yaml"), below.String())
	return built(t, folder)
}

// TestReferences: namePrefix, nameSuffix and the hashes of generators reach every field of both CRDs that names an object, and no field that names
// what the operator makes. The fields are those of the CRDs, so a new one is found.
func TestReferences(t *testing.T) {
	type reference struct {
		field named
		of    string
		name  string
	}
	var cases []reference
	var objects []*unstructured.Unstructured
	generated := map[string]bool{}
	stale := maps.Clone(madeByTheOperator)
	for _, field := range namedFields(t) {
		delete(stale, field.String())
		for _, of := range field.of {
			target := strings.ToLower(of) + "-" + strconv.Itoa(len(cases))
			referrer := "referrer-" + strconv.Itoa(len(cases))
			cases = append(cases, reference{field, of, target})
			objects = append(objects, field.object(referrer, of, target))
			switch of {
			case "Secret", "ConfigMap":
				generated[target] = true
			case "GiniClient":
				objects = append(objects, bare("credentials.gini.net/v1alpha1", of, target))
			default:
				objects = append(objects, bare("apps/v1", of, target))
			}
		}
	}
	for field := range stale {
		t.Errorf("there is no field %s", field)
	}
	renamed := map[string]string{}
	referrers := map[string]*unstructured.Unstructured{}
	for _, object := range referring(t, objects, generated) {
		name := strings.TrimPrefix(object.GetName(), "dev-")
		before, _, _ := strings.Cut(name, "-v1")
		renamed[object.GetKind()+" "+before] = object.GetName()
		referrers[before] = object
	}
	for i, c := range cases {
		want := renamed[c.of+" "+c.name]
		if want == "" || want == c.name {
			t.Fatalf("the %s %s is not renamed: %v", c.of, c.name, renamed)
		}
		if madeByTheOperator[c.field.String()] {
			want = c.name
		}
		if value := c.field.value(t, referrers["referrer-"+strconv.Itoa(i)]); value != want {
			t.Errorf("%s names the %s %s, and should name %s: see config/components/references", c.field, c.of, value, want)
		}
	}
}

func bare(version, kind, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetAPIVersion(version)
	object.SetKind(kind)
	object.SetName(name)
	return object
}

// TestClientReference: a GiniUser's clientRef follows the GiniClient of its own namespace, also into another namespace, and is left alone where it
// names one of another namespace.
func TestClientReference(t *testing.T) {
	const manifests = `
{apiVersion: credentials.gini.net/v1alpha1, kind: GiniClient, metadata: {name: acme}}
---
{apiVersion: credentials.gini.net/v1alpha1, kind: GiniUser, metadata: {name: near}, spec: {clientRef: {name: acme}}}
---
{apiVersion: credentials.gini.net/v1alpha1, kind: GiniUser, metadata: {name: far}, spec: {clientRef: {name: acme, namespace: payments}}}
---
{apiVersion: credentials.gini.net/v1alpha1, kind: GiniUser, metadata: {name: strange}, spec: {clientRef: {name: somebodys}}}
`
	for name, test := range map[string]struct {
		kustomization string
		want          map[string]string
	}{
		"with a prefix": {
			"namePrefix: dev-",
			map[string]string{"dev-near": "/dev-acme", "dev-far": "payments/acme", "dev-strange": "/somebodys"},
		},
		"with a namespace": {
			"namePrefix: dev-\nnamespace: team-a",
			map[string]string{"dev-near": "team-a/dev-acme", "dev-far": "payments/acme", "dev-strange": "/somebodys"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := overlay(t, "resources: [objects.yaml]\ncomponents: [config/components/references]\n",
				"resources: [../0]\n"+test.kustomization)
			write(t, filepath.Join(filepath.Dir(folder), "0", "objects.yaml"), manifests)
			found := map[string]string{}
			for _, user := range ofKind(built(t, folder), "GiniUser") {
				reference, _, _ := unstructured.NestedStringMap(user.Object, "spec", "clientRef")
				found[user.GetName()] = reference["namespace"] + "/" + reference["name"]
			}
			if !maps.Equal(found, test.want) {
				t.Errorf("clientRef is %v, and should be %v", found, test.want)
			}
		})
	}
}

// TestRenamedSamples: the samples stay whole under other names: each GiniClient finds its credentials, and each GiniUser its GiniClient.
func TestRenamedSamples(t *testing.T) {
	found := built(t, overlay(t, `
resources: [config/samples]
components: [config/components/references]
namePrefix: dev-
`))
	there := map[string]bool{}
	for _, object := range found {
		there[object.GetKind()+" "+object.GetName()] = true
	}
	for _, object := range found {
		for kind, path := range map[string][]string{
			"GiniClient": {"spec", "clientRef", "name"}, "Secret": {"spec", "credentialsSecretRef", "name"},
		} {
			if name, names, _ := unstructured.NestedString(object.Object, path...); names && !there[kind+" "+name] {
				t.Errorf("%s %s names the %s %s, which is not there", object.GetKind(), object.GetName(), kind, name)
			}
		}
	}
	if !there["GiniClient dev-acme"] {
		t.Errorf("there are %v", slices.Sorted(maps.Keys(there)))
	}
}
