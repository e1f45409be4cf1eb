package registry_test

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/registry"
)

func byLabels(of map[string]api.LabelValue) api.NamespaceSelector {
	return api.NamespaceSelector{MatchLabels: of}
}

func byDemand(key string, operator metav1.LabelSelectorOperator, values ...api.SelectedValue) api.NamespaceSelector {
	return api.NamespaceSelector{MatchExpressions: []api.NamespaceSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
}

// TestGrants: a grant selects as Kubernetes does, and one that cannot select anything hides none of the others.
func TestGrants(t *testing.T) {
	const name = "kubernetes.io/metadata.name"
	namespace := labels.Set{name: "team-a", "team": "a"}
	for caption, c := range map[string]struct {
		selector                 api.NamespaceSelector
		selects, selectsByName   bool // where labels can be seen, and where only names can
		withoutEffect, withNames string
	}{
		"every namespace": {api.NamespaceSelector{}, true, true, "", ""},
		"empty maps":      {api.NamespaceSelector{MatchLabels: map[string]api.LabelValue{}, MatchExpressions: []api.NamespaceSelectorRequirement{}}, true, true, "", ""},
		"its name":        {byLabels(map[string]api.LabelValue{name: "team-a"}), true, true, "", ""},
		"another name":    {byLabels(map[string]api.LabelValue{name: "team-b"}), false, false, "", ""},
		"names":           {byDemand(name, "In", "team-b", "team-a"), true, true, "", ""},
		"a label":         {byLabels(map[string]api.LabelValue{"team": "a"}), true, false, "", unseen},
		"not a label":     {byDemand("team", "NotIn", "b"), true, false, "", unseen},
		"no label":        {byDemand("blocked", "DoesNotExist"), true, false, "", unseen},
		"no operator":     {byDemand("team", "in", "a"), false, false, invalid, invalid},
		"a value":         {byDemand("team", "Exists", "a"), false, false, invalid, invalid},
		"no label's name": {byLabels(map[string]api.LabelValue{"a b": "c"}), false, false, invalid, invalid},
		"its own namespace": {
			byLabels(map[string]api.LabelValue{name: namespaceOfClient}), false, false, "spec.grants[0]" + own, "spec.grants[0]" + own,
		},
	} {
		t.Run(caption, func(t *testing.T) {
			last := api.Grant{IdentifierPrefix: "last-", NamespaceSelector: byLabels(map[string]api.LabelValue{name: "team-a"})}
			giniClient := &api.GiniClient{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOfClient, Name: "acme"}, Spec: api.GiniClientSpec{
				Grants: []api.Grant{{IdentifierPrefix: "first-", NamespaceSelector: c.selector}, last},
			}}
			for namesOnly, want := range map[bool]struct {
				selects bool
				told    string
			}{false: {c.selects, c.withoutEffect}, true: {c.selectsByName, c.withNames}} {
				selecting := registry.Grants(giniClient, namespace, namesOnly)
				prefixes := make([]string, 0, len(selecting))
				for _, grant := range selecting {
					prefixes = append(prefixes, grant.IdentifierPrefix)
				}
				expected := []string{"last-"}
				if want.selects {
					expected = []string{"first-", "last-"}
				}
				if !slices.Equal(prefixes, expected) {
					t.Errorf("names only %v: granted by %v, want %v", namesOnly, prefixes, expected)
				}
				if got := registry.GrantsWithoutEffect(giniClient, namesOnly); got != want.told {
					t.Errorf("names only %v: %q, want %q", namesOnly, got, want.told)
				}
			}
		})
	}
}

const (
	namespaceOfClient = "payments"

	unseen = "spec.grants[0].namespaceSelector asks for labels that this operator cannot see, as it watches some namespaces only (--watch-namespaces), " +
		"and selects nothing. Select by the label kubernetes.io/metadata.name."
	invalid = "spec.grants[0].namespaceSelector is no label selector, and selects nothing. Correct its matchLabels and matchExpressions."
	own     = " selects the GiniClient's own namespace, whose GiniUsers need no grant and are not bound by one. Remove it."
)

// TestGrantsTwice: the same grant twice is told, and so is each other one that has no effect.
func TestGrantsTwice(t *testing.T) {
	twice := api.Grant{IdentifierPrefix: "a-", Devices: []api.DeviceKind{api.TrustedDevice}, NamespaceSelector: byDemand("team", "Exists")}
	again, other := *twice.DeepCopy(), *twice.DeepCopy()
	again.NamespaceSelector.MatchLabels = map[string]api.LabelValue{} // empty, and so absent
	other.IdentifierPrefix = "b-"
	giniClient := &api.GiniClient{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOfClient}, Spec: api.GiniClientSpec{Grants: []api.Grant{twice, other, again, {NamespaceSelector: byDemand("team", "Is")}}}}
	const want = "spec.grants[2] is the same as spec.grants[0]. Remove one of them. " +
		"spec.grants[3].namespaceSelector is no label selector, and selects nothing. Correct its matchLabels and matchExpressions."
	if got := registry.GrantsWithoutEffect(giniClient, false); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
