package target

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// Ownership says whose a Secret is, as seen by one GiniUser.
type Ownership int

// Whose a Secret is.
const (
	// Foreign: somebody else's, to be left alone.
	Foreign Ownership = iota
	// Ours: made for this GiniUser.
	Ours
	// OtherUser: made for another GiniUser.
	OtherUser
	// Consenting: somebody else's, who hands it over by its label.
	Consenting
)

const userKind = "GiniUser"

// OwnerOf says whose a Secret is.
//
// The owner reference decides. Without one, or with a stale one of a GiniUser of this name (after a restore from a backup), the
// operator's own labels do: managed-by, and the name of the GiniUser.
func OwnerOf(secret metav1.Object, user *api.GiniUser) Ownership {
	controller := metav1.GetControllerOf(secret)
	if controller != nil && controller.UID == user.UID {
		return Ours
	}
	labels := secret.GetLabels()
	marked := labels[api.ManagedByLabel] == api.ManagedByValue && labels[api.UserLabel] != ""
	made := marked && (labels[api.DeviceLabel] == deviceLabelOf(api.UntrustedDevice) || labels[api.DeviceLabel] == deviceLabelOf(api.TrustedDevice))
	switch {
	case controller != nil && !isUser(controller), marked && !made: // an account Secret, say
		return consentOr(Foreign, secret, user)
	case made && labels[api.UserLabel] == user.Name && (controller == nil || controller.Name == user.Name):
		return Ours
	case made, controller != nil:
		return consentOr(OtherUser, secret, user)
	default:
		return consentOr(Foreign, secret, user)
	}
}

// consentOr heeds the label that hands a Secret over, where no controller has it, which would make it anew or put it right.
func consentOr(otherwise Ownership, secret metav1.Object, user *api.GiniUser) Ownership {
	if secret.GetLabels()[api.AdoptByLabel] == user.Name && metav1.GetControllerOf(secret) == nil {
		return Consenting
	}
	return otherwise
}

func isUser(reference *metav1.OwnerReference) bool {
	return reference.Kind == userKind && reference.APIVersion == api.GroupVersion.String()
}

// HolderOf names the GiniUser that a Secret was made for; "" where it was made for none.
func HolderOf(secret metav1.Object) string {
	if controller := metav1.GetControllerOf(secret); controller != nil {
		if isUser(controller) {
			return controller.Name
		}
		return ""
	}
	if labels := secret.GetLabels(); labels[api.ManagedByLabel] == api.ManagedByValue {
		return labels[api.UserLabel]
	}
	return ""
}

// ownerReferences are those of a Secret with the GiniUser's laid over: in place of any other GiniUser's, and absent where the
// Secret is to outlive it.
//
// blockOwnerDeletion stays unset: it would need the right to update finalizers, and nothing waits for the Secret.
func ownerReferences(existing []metav1.OwnerReference, user *api.GiniUser, retain bool) []metav1.OwnerReference {
	var references []metav1.OwnerReference
	for _, reference := range existing {
		if !isUser(&reference) {
			references = append(references, reference)
		}
	}
	if retain {
		return references
	}
	isController := true
	return append(references, metav1.OwnerReference{
		APIVersion: api.GroupVersion.String(), Kind: userKind, Name: user.Name, UID: user.UID, Controller: &isController,
	})
}

func deviceLabelOf(kind api.DeviceKind) string {
	if kind == api.TrustedDevice {
		return "trusted"
	}
	return "untrusted"
}

// IsOf reports whether a Secret was made for that kind of device.
func IsOf(secret metav1.Object, kind api.DeviceKind) bool {
	return secret.GetLabels()[api.DeviceLabel] == deviceLabelOf(kind)
}
