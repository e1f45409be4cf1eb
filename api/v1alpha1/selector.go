package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Selector makes what selects; an error where one of its demands is none, as the API server may have stored it before its rules knew better.
func (s NamespaceSelector) Selector() (labels.Selector, error) {
	selector := metav1.LabelSelector{MatchLabels: make(map[string]string, len(s.MatchLabels))}
	for name, value := range s.MatchLabels {
		selector.MatchLabels[name] = string(value)
	}
	for _, demand := range s.MatchExpressions {
		values := make([]string, 0, len(demand.Values))
		for _, value := range demand.Values {
			values = append(values, string(value))
		}
		selector.MatchExpressions = append(selector.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: demand.Key, Operator: demand.Operator, Values: values,
		})
	}
	return metav1.LabelSelectorAsSelector(&selector)
}
