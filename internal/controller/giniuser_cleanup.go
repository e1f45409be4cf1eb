package controller

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/target"
)

// cleanUp deletes the Secrets that the spec no longer wants, once those that take their place are written. They are found by their
// labels, so that one is found even where no status tells of it.
func (r *GiniUserReconciler) cleanUp(ctx context.Context, s *scope) error {
	leftovers, err := r.leftovers(ctx, s)
	if err != nil {
		return err
	}
	for _, leftover := range leftovers {
		wanted := s.deviceOf(leftover)
		if wanted != nil && !wanted.written {
			continue
		}
		if metav1.GetControllerOf(leftover) == nil && (wanted == nil || !s.replaced(leftover)) {
			continue // to be retained
		}
		if err := r.remove(ctx, s, leftover.GetName()); err != nil {
			return err
		}
	}
	if s.untrusted == nil {
		s.user.Status.Devices.Untrusted = nil
	}
	if s.trusted == nil {
		s.user.Status.Devices.Trusted = nil
	}
	return nil
}

// leftovers are the Secrets that were made for the user's devices under other names than the spec has now.
func (r *GiniUserReconciler) leftovers(ctx context.Context, s *scope) ([]metav1.Object, error) {
	var secrets metav1.PartialObjectMetadataList
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := r.Metadata.List(ctx, &secrets, client.InNamespace(s.user.Namespace), client.MatchingFields{indexHolder: s.user.Name}); err != nil {
		return nil, err
	}
	var leftovers []metav1.Object
	for i := range secrets.Items {
		if found := &secrets.Items[i]; !slices.Contains(targetNames(s.user), found.Name) && target.OwnerOf(found, s.user) == target.Ours {
			leftovers = append(leftovers, found)
		}
	}
	return leftovers, nil
}

// deviceOf is the device, of those that the spec wants, that a Secret was made for.
func (s *scope) deviceOf(made metav1.Object) *device {
	for _, wanted := range s.devices() {
		if target.IsOf(made, wanted.template.Device) {
			return wanted
		}
	}
	return nil
}

// replaced reports whether the status tells that a Secret was the device's before.
func (s *scope) replaced(made metav1.Object) bool {
	devices := s.before.Status.Devices
	return devices != nil && devices.Untrusted != nil && devices.Untrusted.SecretName == made.GetName()
}

// remove deletes a Secret of the user's, as it is read now.
func (r *GiniUserReconciler) remove(ctx context.Context, s *scope, name string) error {
	if err := r.ascertain(ctx, s); err != nil {
		return err
	}
	live, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: s.user.Namespace, Name: name})
	if err != nil || live == nil || target.OwnerOf(live, s.user) != target.Ours {
		return err
	}
	return r.Secrets.Delete(ctx, live)
}

// withdraw takes back the client credentials that trusted devices were given, under whatever name, once no grant covers them any
// more, and gives up the claim to the derived user.
func (r *GiniUserReconciler) withdraw(ctx context.Context, s *scope) error {
	if s.refused {
		r.wake(r.claims.release(s.key()))
	}
	if !s.withdrawn {
		return nil
	}
	delivered, err := r.leftovers(ctx, s)
	if err != nil {
		return err
	}
	if s.trusted != nil && s.trusted.meta != nil && target.OwnerOf(s.trusted.meta, s.user) == target.Ours {
		delivered = append(delivered, s.trusted.meta)
		s.trusted.meta = nil
		*s.trusted.status = api.DeviceStatus{}
	}
	if s.untrusted != nil && s.untrusted.meta != nil {
		delivered = append(delivered, s.untrusted.meta)
	}
	for _, found := range delivered {
		if !target.IsOf(found, api.TrustedDevice) {
			continue
		}
		if err := r.remove(ctx, s, found.GetName()); err != nil {
			return err
		}
	}
	return nil
}
