package charts_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

// everything switches all on that has a name of its own.
const everything = "podNudges.enabled=true,rolloutRestarts.enabled=true,networkPolicy.enabled=true,metrics.serviceMonitor.enabled=true," +
	"jwks.giniClients={a/b},jwks.ingress.enabled=true,jwks.ingress.host=a.test,jwks.httpRoute.enabled=true," +
	"jwks.httpRoute.hostnames={a.test},jwks.httpRoute.parentRefs[0].name=public"

// namesOf are the names of a release's objects, as namespace/kind/name. CRDs and objects that are there once in a cluster are left out.
func namesOf(t *testing.T, release, namespace string, arguments ...string) map[string]*unstructured.Unstructured {
	t.Helper()
	text, err := helmTemplate(t, release, namespace, append([]string{"--set", everything}, arguments...)...)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*unstructured.Unstructured{}
	for _, object := range objects(t, text) {
		if object.GetKind() == "CustomResourceDefinition" {
			continue
		}
		key := object.GetNamespace() + "/" + object.GetKind() + "/" + object.GetName()
		if found[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		found[key] = object
	}
	return found
}

// TestNames: whatever a release is called, every name has 63 characters at most, is one that Kubernetes takes, and begins with the
// release's, or with the namespace's where it is cluster-scoped (R5.5).
func TestNames(t *testing.T) {
	longest := strings.Repeat("long-", 10) + "abc" // Helm takes 53
	for _, test := range []struct{ name, release, namespace, override, begins string }{
		{"like the chart", "gini-operator", "gini", "", "gini-operator"},
		{"short", "a", "b", "", "a-gini-operator"},
		{"longest", longest, strings.Repeat("n", 63), "", longest[:34]},
		{"60 characters", "a", "b", strings.Repeat("o", 60), strings.Repeat("o", 34)},
		{"with dots", "acme.v1", "b", "", "acme-v1-gini-operator"},
		{"beginning with a digit", "1st", "b", "", "gini-1st-gini-operator"},
	} {
		t.Run(test.name, func(t *testing.T) {
			found := namesOf(t, test.release, test.namespace, "--set", "fullnameOverride="+test.override)
			if len(found) < 20 {
				t.Errorf("only %d objects", len(found))
			}
			for key, object := range found {
				name := object.GetName()
				if len(name) > 63 {
					t.Errorf("%s has %d characters", key, len(name))
				}
				if problems := validation.IsDNS1123Subdomain(name); problems != nil {
					t.Errorf("%s: %v", key, problems)
				}
				begins := test.begins
				if object.GetNamespace() == "" {
					begins = test.namespace[:min(len(test.namespace), 34)]
				} else if problems := validation.IsDNS1035Label(name); problems != nil {
					t.Errorf("%s: %v", key, problems)
				}
				if !strings.HasPrefix(name, begins) {
					t.Errorf("%s does not begin with %s", key, begins)
				}
				for label, value := range object.GetLabels() {
					if problems := validation.IsValidLabelValue(value); problems != nil {
						t.Errorf("%s: the label %s: %v", key, label, problems)
					}
				}
			}
		})
	}
}

// TestTwoReleases: releases share no name, neither in a cluster nor in a namespace, however alike their names are (R5.5).
func TestTwoReleases(t *testing.T) {
	long := strings.Repeat("x", 52)
	for _, test := range []struct {
		name          string
		first, second [2]string // release, namespace
	}{
		{"two namespaces", [2]string{"gini-operator", "team-a"}, [2]string{"gini-operator", "team-b"}},
		{"two long namespaces", [2]string{"gini-operator", long + "a"}, [2]string{"gini-operator", long + "b"}},
		{"two long releases", [2]string{long + "a", "team"}, [2]string{long + "b", "team"}},
		{"names that could be read either way", [2]string{"b-gini-operator", "a"}, [2]string{"gini-operator", "a-b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			first := namesOf(t, test.first[0], test.first[1])
			second := namesOf(t, test.second[0], test.second[1])
			for _, key := range slices.Sorted(maps.Keys(first)) {
				if second[key] != nil {
					t.Errorf("both have %s", key)
				}
			}
		})
	}
}

// TestWatchedNamespaces: an operator that looks at some namespaces has rights in these, in its own for the lease, and nowhere else; each
// release has its own (R5.5).
func TestWatchedNamespaces(t *testing.T) {
	found := rendered(t, "--set", "watchNamespaces={payments,team-a},podNudges.enabled=true,rolloutRestarts.enabled=true,rbac.userRoles=false")
	for _, kind := range []string{"ClusterRole", "ClusterRoleBinding"} {
		for _, object := range ofKind(found, kind) {
			t.Errorf("there is the %s %s", kind, object.GetName())
		}
	}
	roles := map[string]int{}
	for _, role := range ofKind(found, "Role") {
		roles[role.GetNamespace()]++
		rules, _, _ := unstructured.NestedSlice(role.Object, "rules")
		for _, rule := range rules {
			rule, _ := rule.(map[string]any)
			for _, resource := range rule["resources"].([]any) {
				if resource == "namespaces" {
					t.Errorf("%s grants what no Role can", role.GetName())
				}
			}
		}
	}
	if want := map[string]int{"payments": 3, "team-a": 3, namespace: 1}; !maps.Equal(roles, want) {
		t.Errorf("the Roles are in %v, and should be in %v", roles, want)
	}
	bindings := map[string]int{}
	for _, binding := range ofKind(found, "RoleBinding") {
		bindings[binding.GetNamespace()]++
	}
	if !maps.Equal(bindings, roles) {
		t.Errorf("the RoleBindings are in %v, the Roles in %v", bindings, roles)
	}
}
