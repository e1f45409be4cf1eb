// Package v1alpha1 holds the resources of credentials.gini.net: GiniClient, a registered Gini application, and
// GiniUser, one user of it together with the Secrets that its devices read.
//
// +kubebuilder:object:generate=true
// +groupName=credentials.gini.net
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of this package.
var GroupVersion = schema.GroupVersion{Group: "credentials.gini.net", Version: "v1alpha1"}

var schemeBuilder = runtime.NewSchemeBuilder(func(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &GiniClient{}, &GiniClientList{}, &GiniUser{}, &GiniUserList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
})

// AddToScheme adds the types of this package to a scheme.
var AddToScheme = schemeBuilder.AddToScheme
