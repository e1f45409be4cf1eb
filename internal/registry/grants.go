package registry

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// Grants are those of a GiniClient that select a namespace by its labels. namesOnly is whether the operator sees nothing of namespaces
// but their names: then a grant that asks for another label selects nothing, rather than what happens not to have that label.
func Grants(giniClient *api.GiniClient, namespace labels.Set, namesOnly bool) []api.Grant {
	var selecting []api.Grant
	for _, grant := range giniClient.Spec.Grants {
		selector, fault := selectorOf(grant, namesOnly)
		if fault == "" && selector.Matches(namespace) {
			selecting = append(selecting, grant)
		}
	}
	return selecting
}

func selectorOf(grant api.Grant, namesOnly bool) (selector labels.Selector, fault string) {
	selector, err := grant.NamespaceSelector.Selector()
	if err != nil {
		return nil, "is no label selector, and selects nothing. Correct its matchLabels and matchExpressions."
	}
	demands, _ := selector.Requirements()
	for _, demand := range demands {
		if namesOnly && demand.Key() != corev1.LabelMetadataName {
			return nil, "asks for labels that this operator cannot see, as it watches some namespaces only (--watch-namespaces), and selects nothing. " +
				"Select by the label " + corev1.LabelMetadataName + "."
		}
	}
	return selector, ""
}

// GrantsWithoutEffect says which of a GiniClient's grants let nobody use the client who could not without them, and why; empty where
// there are none.
func GrantsWithoutEffect(giniClient *api.GiniClient, namesOnly bool) string {
	var told []string
	grants := giniClient.Spec.Grants
	for i, grant := range grants {
		at := fmt.Sprintf("spec.grants[%d]", i)
		same := slices.IndexFunc(grants[:i], func(before api.Grant) bool { return equality.Semantic.DeepEqual(before, grant) })
		switch _, fault := selectorOf(grant, namesOnly); {
		case fault != "":
			told = append(told, at+".namespaceSelector "+fault)
		case string(grant.NamespaceSelector.MatchLabels[corev1.LabelMetadataName]) == giniClient.Namespace:
			told = append(told, at+" selects the GiniClient's own namespace, whose GiniUsers need no grant and are not bound by one. Remove it.")
		case same >= 0:
			told = append(told, fmt.Sprintf("%s is the same as spec.grants[%d]. Remove one of them.", at, same))
		}
	}
	return strings.Join(told, " ")
}
