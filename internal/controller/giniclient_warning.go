package controller

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/registry"
)

// withoutEffect warns of what in a GiniClient's spec, or in the CA bundle that it names, has no effect; nil where everything has.
func withoutEffect(giniClient *api.GiniClient, application *registry.Application, namesOnly bool) *metav1.Condition {
	warning := metav1.Condition{Type: api.ConditionWithoutEffect, Status: metav1.ConditionTrue, Reason: api.ReasonGrantWithoutEffect}
	grants, authorities := registry.GrantsWithoutEffect(giniClient, namesOnly), ""
	if application != nil {
		authorities = application.Authorities()
	}
	switch {
	case grants == "" && authorities == "":
		return nil
	case grants == "":
		warning.Reason = api.ReasonCABundleIncomplete
	}
	warning.Message = strings.TrimSpace(grants + " " + authorities)
	return &warning
}
