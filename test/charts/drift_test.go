package charts_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// names are those of config/default, and of the chart's objects in their place. A release can be called anything, so cluster-scoped names
// hold the namespace; and what a name says of the kind is left out.
var names = map[string]string{
	"gini-operator-controller-manager": "gini-operator",

	"gini-operator-leader-election-role":        "gini-operator-leader-election",
	"gini-operator-leader-election-rolebinding": "gini-operator-leader-election",
	"gini-operator-manager-role":                "gini-operator-system.gini-operator-manager",
	"gini-operator-manager-rolebinding":         "gini-operator-system.gini-operator-manager",
	"gini-operator-giniclient-editor-role":      "gini-operator-system.gini-operator-giniclient-editor",
	"gini-operator-giniclient-viewer-role":      "gini-operator-system.gini-operator-giniclient-viewer",
	"gini-operator-giniuser-editor-role":        "gini-operator-system.gini-operator-giniuser-editor",
	"gini-operator-giniuser-viewer-role":        "gini-operator-system.gini-operator-giniuser-viewer",
	"gini-operator-pod-nudges":                  "gini-operator-system.gini-operator-pod-nudges",
	"gini-operator-rollout-restarts":            "gini-operator-system.gini-operator-rollout-restarts",
	"gini-operator-secret-writes":               "gini-operator-system.gini-operator-secret-writes",
}

// differences are those that are meant to be. Each takes itself out of what is compared, and says whether it was there.
var differences = []struct {
	what, why string
	remove    func(inChart, inConfig map[string]any) bool
}{
	{"the namespace", "Helm makes it, or somebody else, and a chart cannot own the namespace it is in",
		func(_, inConfig map[string]any) bool { return removed(inConfig, "Namespace gini-operator-system") }},
	{"the test", "kustomize has no `helm test`",
		func(inChart, _ map[string]any) bool {
			return removed(inChart, "Pod gini-operator-test") && removed(inChart, "Service gini-operator-test")
		}},
	{"whom the policy for Secrets is about", "kustomizations on top of config/default can rename the operator, and not what an expression calls it",
		func(inChart, inConfig map[string]any) bool {
			const policy = "ValidatingAdmissionPolicy gini-operator-system.gini-operator-secret-writes"
			condition := []string{policy, "spec", "matchConditions", "0", "expression"}
			return removed(inChart, condition...) && removed(inConfig, condition...)
		}},
	{"the CRDs' keep policy", "only `helm uninstall` would delete them with the rest",
		func(inChart, _ map[string]any) bool {
			const policy = "helm.sh/resource-policy"
			return removed(inChart, "CustomResourceDefinition giniclients.credentials.gini.net", "metadata", "annotations", policy) &&
				removed(inChart, "CustomResourceDefinition giniusers.credentials.gini.net", "metadata", "annotations", policy)
		}},
}

// TestNoDrift: the chart and config/default install the same, with all that is optional and without.
func TestNoDrift(t *testing.T) {
	for name, test := range map[string]struct {
		chart, config []*unstructured.Unstructured
	}{
		"default":         {rendered(t), built(t, filepath.Join(root, "config", "default"))},
		"with components": {rendered(t, "--set", "podNudges.enabled=true,rolloutRestarts.enabled=true"), built(t, overlay(t, withComponents))},
	} {
		t.Run(name, func(t *testing.T) {
			inChart, inConfig := alike(t, test.chart, nil), alike(t, test.config, names)
			for _, difference := range differences {
				if !difference.remove(inChart, inConfig) {
					t.Errorf("%s differs no more (%s): take it from the list", difference.what, difference.why)
				}
			}
			for _, name := range slices.Sorted(maps.Keys(inConfig)) {
				if difference := cmp.Diff(inConfig[name], inChart[name]); difference != "" {
					t.Errorf("%s: -config +chart:\n%s", name, difference)
				}
			}
			for name := range inChart {
				if inConfig[name] == nil {
					t.Errorf("%s is in the chart only", name)
				}
			}
		})
	}
}

// alike are objects by kind and name, with what is called differently called the same: names, and labels by which the operator's
// pods are selected.
func alike(t *testing.T, from []*unstructured.Unstructured, names map[string]string) map[string]any {
	t.Helper()
	deployment := one(t, from, "Deployment")
	selector, _, err := unstructured.NestedMap(deployment.Object, "spec", "selector", "matchLabels")
	if err != nil || len(selector) < 2 {
		t.Fatalf("the Deployment selects its pods by %v: %v", selector, err)
	}
	labels, _, err := unstructured.NestedMap(deployment.Object, "spec", "template", "metadata", "labels")
	if err != nil {
		t.Fatal(err)
	}
	for label, value := range selector {
		if labels[label] != value {
			t.Errorf("the Deployment's pods lack the label %s: %v", label, value)
		}
	}
	found := map[string]any{}
	for _, object := range from {
		content, _ := same(object.Object, names, selector).(map[string]any)
		withoutLabels(content)
		name := object.GetName()
		if mapped, known := names[name]; known {
			name = mapped
		}
		key := object.GetKind() + " " + name
		if found[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		found[key] = content
	}
	return found
}

// same is a part of an object with names replaced, with the operator's selector replaced by a word, and with an expression that is put together of
// texts put together.
func same(part any, names map[string]string, selector map[string]any) any {
	switch part := part.(type) {
	case map[string]any:
		if cmp.Equal(part, selector) {
			return "the operator's pods"
		}
		replaced := make(map[string]any, len(part))
		for key, value := range part {
			if key == "labels" { // what the pods are given, not what they are selected by
				replaced[key] = value
				continue
			}
			replaced[key] = same(value, names, selector)
		}
		return replaced
	case []any:
		replaced := make([]any, len(part))
		for i, value := range part {
			replaced[i] = same(value, names, selector)
		}
		return replaced
	case string:
		if name, known := names[part]; known {
			return name
		}
		if strings.HasPrefix(part, "request.userInfo.username == ") {
			joined := strings.ReplaceAll(part, "' + '", "")
			for name, other := range names {
				joined = strings.ReplaceAll(joined, ":"+name+"'", ":"+other+"'")
			}
			return joined
		}
	}
	return part
}

// withoutLabels takes labels away that say which tool made an object; those that Kubernetes acts upon stay.
func withoutLabels(object map[string]any) {
	keep := func(of ...string) {
		labels, found, _ := unstructured.NestedMap(object, of...)
		if !found {
			return
		}
		maps.DeleteFunc(labels, func(label string, _ any) bool {
			return strings.HasPrefix(label, "app.kubernetes.io/") || strings.HasPrefix(label, "helm.sh/") || label == "control-plane"
		})
		unstructured.RemoveNestedField(object, of...)
		if len(labels) > 0 {
			_ = unstructured.SetNestedMap(object, labels, of...)
		}
	}
	keep("metadata", "labels")
	keep("spec", "template", "metadata", "labels")
}

// removed takes a part of an object away, or the whole of it, and says whether it was there. A number selects from a list.
func removed(from map[string]any, path ...string) bool {
	var part any = from
	for i, step := range path {
		switch inner := part.(type) {
		case map[string]any:
			value, found := inner[step]
			if !found {
				return false
			}
			if i == len(path)-1 {
				delete(inner, step)
				return true
			}
			part = value
		case []any:
			if step != "0" || len(inner) == 0 {
				return false
			}
			part = inner[0]
		default:
			return false
		}
	}
	return false
}

// TestCRDs: the chart's CRDs are those of config/ to the last field, and small enough for kubectl's client-side apply, which keeps what was
// applied in an annotation of 256 KiB at most (R5.1).
func TestCRDs(t *testing.T) {
	const most = 100 << 10
	inChart := ofKind(rendered(t), "CustomResourceDefinition")
	paths, err := filepath.Glob(filepath.Join(root, "config", "crd", "bases", "*.yaml"))
	if err != nil || len(paths) == 0 || len(paths) != len(inChart) {
		t.Fatalf("%d CRDs in the chart, and %d in config: %v", len(inChart), len(paths), err)
	}
	for _, path := range paths {
		text := read(t, path)
		inConfig := one(t, objects(t, text), "CustomResourceDefinition")
		found := slices.IndexFunc(inChart, func(crd *unstructured.Unstructured) bool { return crd.GetName() == inConfig.GetName() })
		if found < 0 {
			t.Errorf("the chart lacks %s", inConfig.GetName())
			continue
		}
		if difference := cmp.Diff(inConfig.Object["spec"], inChart[found].Object["spec"]); difference != "" {
			t.Errorf("%s: -config +chart:\n%s", inConfig.GetName(), difference)
		}
		for where, crd := range map[string]*unstructured.Unstructured{"config": inConfig, "chart": inChart[found]} {
			content, err := crd.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if len(content) >= most || len(text) >= most {
				t.Errorf("%s in %s has %d bytes as JSON and %d as YAML", crd.GetName(), where, len(content), len(text))
			}
			if conversion, found, _ := unstructured.NestedString(crd.Object, "spec", "conversion", "strategy"); found && conversion != "None" {
				t.Errorf("%s in %s needs a webhook for conversion", crd.GetName(), where)
			}
		}
	}
}

// TestCopies: what the chart shares with config/ is what hack/chart.sh makes of it now.
func TestCopies(t *testing.T) {
	fresh := t.TempDir()
	if _, err := run(t, filepath.Join(root, "hack", "chart.sh"), fresh); err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(tree(t, filepath.Join(fresh, "files")), tree(t, filepath.Join(chart, "files"))); difference != "" {
		t.Errorf("run hack/chart.sh: -now +chart:\n%s", difference)
	}
}

// tree are the files of a folder, by their path in it.
func tree(t *testing.T, folder string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*", "*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s is empty: %v", folder, err)
	}
	files := map[string]string{}
	for _, path := range paths {
		files[strings.TrimPrefix(path, folder)] = read(t, path)
	}
	return files
}
