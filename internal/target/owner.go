package target

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// Ownership says whose a Secret is, as seen by one GiniUser.
type Ownership int

// Whose a Secret is.
const (
	// Foreign: somebody else's, to be left alone.
	Foreign Ownership = iota
	// Ours: written for this GiniUser, by the Secret's own record or by the GiniUser's status.
	Ours
	// OtherUser: marked as another GiniUser's.
	OtherUser
	// Copied: marked as this GiniUser's, but nothing shows that the operator wrote it: a copy, as a rule.
	Copied
	// Consenting: not this GiniUser's, and handed over to it by its label.
	Consenting
)

const userKind = "GiniUser"

// OwnerOf says whose a Secret is.
//
// Labels and owner references are copied with a Secret, and prove nothing. What proves that the operator wrote it is its record, which is
// bound to its name, or its UID in the status. A record that is another GiniUser's outweighs the status: that one has taken it over.
func OwnerOf(secret metav1.Object, user *api.GiniUser) Ownership {
	controller, holder := metav1.GetControllerOf(secret), HolderOf(secret)
	others := holder != "" && holder != user.Name
	marked := controller != nil || IsOf(secret, api.UntrustedDevice) || IsOf(secret, api.TrustedDevice)
	switch {
	case controller != nil && !isUser(controller):
		return Foreign
	case Sealed(secret, user.Name), inStatus(secret, user) && (!others || !Sealed(secret, holder)), writtenBefore(secret, user, controller):
		return Ours
	case secret.GetLabels()[api.AdoptByLabel] == user.Name && (controller == nil || controller.Name == user.Name):
		return Consenting
	case others && marked:
		return OtherUser
	case marked && holder == user.Name:
		return Copied
	default:
		return Foreign
	}
}

// WrittenFor reports whether a device's state tells that a Secret is the one that was written for it.
func WrittenFor(device *api.DeviceStatus, secret metav1.Object) bool {
	switch {
	case device == nil || device.SecretName == "" || device.SecretName != secret.GetName():
		return false
	case device.SecretUID != "":
		return device.SecretUID == string(secret.GetUID())
	default: // a status from before it had UIDs
		return device.SecretResourceVersion != "" && device.SecretResourceVersion == secret.GetResourceVersion()
	}
}

// inStatus reports whether the status of a GiniUser tells that a Secret was written for it.
func inStatus(secret metav1.Object, user *api.GiniUser) bool {
	return slices.ContainsFunc(states(user), func(device *api.DeviceStatus) bool { return WrittenFor(device, secret) })
}

// writtenBefore reports whether a Secret has a record from before records were bound to names, and is where the GiniUser that owns it
// has one.
func writtenBefore(secret metav1.Object, user *api.GiniUser, controller *metav1.OwnerReference) bool {
	if controller == nil || controller.UID != user.UID || !sealedBefore(secret.GetAnnotations()) {
		return false
	}
	name, devices := secret.GetName(), user.Spec.Devices
	return (devices.Untrusted != nil && string(devices.Untrusted.Secret.Name) == name) ||
		(devices.Trusted != nil && string(devices.Trusted.Secret.Name) == name) ||
		slices.ContainsFunc(states(user), func(device *api.DeviceStatus) bool { return device != nil && device.SecretName == name })
}

func states(user *api.GiniUser) []*api.DeviceStatus {
	if user.Status.Devices == nil {
		return nil
	}
	return []*api.DeviceStatus{user.Status.Devices.Untrusted, user.Status.Devices.Trusted}
}

func isUser(reference *metav1.OwnerReference) bool {
	return reference.Kind == userKind && reference.APIVersion == api.GroupVersion.String()
}

// HolderOf names the GiniUser that a Secret is marked as made for; "" where it is marked for none. Marks can be copied: OwnerOf tells
// whether it is so.
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

// IsOf reports whether a Secret is marked as made for that kind of device.
func IsOf(secret metav1.Object, kind api.DeviceKind) bool {
	return secret.GetLabels()[api.DeviceLabel] == deviceLabelOf(kind)
}
