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
// labels, so that one is found even where no status tells of it, and judged by what cannot be copied.
func (r *GiniUserReconciler) cleanUp(ctx context.Context, s *scope) error {
	leftovers, err := r.leftovers(ctx, s)
	if err != nil {
		return err
	}
	for _, leftover := range leftovers {
		if !s.superfluous(leftover) {
			continue
		}
		deleted, err := r.remove(ctx, s, leftover.GetName(), s.superfluous)
		if err != nil {
			return err
		}
		switch wanted := s.deviceOf(leftover); {
		case !deleted:
		case wanted == nil:
			r.tellOf(ctx, s, deed{reason: api.ReasonSecretDeleted, secret: leftover.GetName(), why: "spec.devices no longer has its device"})
		default:
			r.tellOf(ctx, s, deed{reason: api.ReasonSecretRenamed, secret: leftover.GetName(), why: "Secret " + wanted.template.Name + " has taken its place"})
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

// superfluous reports whether a Secret was written for the user, and is neither wanted now nor to be retained.
func (s *scope) superfluous(leftover metav1.Object) bool {
	if !s.wrote(leftover) {
		return false
	}
	wanted := s.deviceOf(leftover)
	if wanted != nil && !wanted.written {
		return false
	}
	return metav1.GetControllerOf(leftover) != nil || (wanted != nil && s.replaced(leftover))
}

// wrote reports whether the operator wrote a Secret for the user, by the status that it found: what it has written since speaks of other Secrets.
func (s *scope) wrote(secret metav1.Object) bool {
	return target.OwnerOf(secret, s.before) == target.Ours
}

// leftovers are the Secrets that were written for the user's devices under other names than the spec has now.
func (r *GiniUserReconciler) leftovers(ctx context.Context, s *scope) ([]metav1.Object, error) {
	var secrets metav1.PartialObjectMetadataList
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := r.Metadata.List(ctx, &secrets, client.InNamespace(s.user.Namespace), client.MatchingFields{indexHolder: s.user.Name}); err != nil {
		return nil, err
	}
	seen := targetNames(s.user)
	var leftovers []metav1.Object
	add := func(found *metav1.PartialObjectMetadata) {
		if found == nil || slices.Contains(seen, found.Name) || !s.wrote(found) {
			return
		}
		seen, leftovers = append(seen, found.Name), append(leftovers, found)
	}
	for i := range secrets.Items {
		add(&secrets.Items[i])
	}
	untrusted, trusted := s.states()
	for _, state := range []*api.DeviceStatus{untrusted, trusted} { // one whose labels somebody took away
		if state == nil || state.SecretName == "" || slices.Contains(seen, state.SecretName) {
			continue
		}
		found, err := r.metadata(ctx, s.user.Namespace, state.SecretName)
		if err != nil {
			return nil, err
		}
		add(found)
	}
	return leftovers, nil
}

// states are what the status told of the devices when this reconcile found it.
func (s *scope) states() (untrusted, trusted *api.DeviceStatus) {
	if s.before.Status.Devices == nil {
		return nil, nil
	}
	return s.before.Status.Devices.Untrusted, s.before.Status.Devices.Trusted
}

// stateOf is what the status told of a device when this reconcile found it.
func (s *scope) stateOf(wanted *device) *api.DeviceStatus {
	untrusted, trusted := s.states()
	if wanted.template.Device == api.TrustedDevice {
		return trusted
	}
	return untrusted
}

// deviceOf is the device, of those that the spec wants, that a Secret was made for: by its label, or by the status where that is gone.
func (s *scope) deviceOf(made metav1.Object) *device {
	for _, wanted := range s.devices() {
		if target.IsOf(made, wanted.template.Device) || target.WrittenFor(s.stateOf(wanted), made) {
			return wanted
		}
	}
	return nil
}

// replaced reports whether the status tells that a Secret was the untrusted device's before.
func (s *scope) replaced(made metav1.Object) bool {
	untrusted, _ := s.states()
	return target.WrittenFor(untrusted, made)
}

// remove deletes a Secret that is still to be deleted as it is read now, and reports whether it did.
func (r *GiniUserReconciler) remove(ctx context.Context, s *scope, name string, still func(metav1.Object) bool) (deleted bool, err error) {
	if err = r.ascertain(ctx, s); err != nil {
		return false, err
	}
	live, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: s.user.Namespace, Name: name})
	if err != nil || live == nil || live.DeletionTimestamp != nil || !still(live) {
		return false, err
	}
	return true, r.Secrets.Delete(ctx, live)
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
	holds := func(secret metav1.Object) bool { return s.wrote(secret) && s.holdsClientCredentials(secret) }
	found, err := r.leftovers(ctx, s)
	if err != nil {
		return err
	}
	for _, wanted := range s.devices() {
		if wanted.meta != nil {
			found = append(found, wanted.meta)
		}
	}
	for _, delivered := range found {
		if !holds(delivered) {
			continue
		}
		deleted, err := r.remove(ctx, s, delivered.GetName(), holds)
		if err != nil {
			return err
		}
		if deleted {
			r.tellOf(ctx, s, deed{reason: api.ReasonSecretDeleted, secret: delivered.GetName(), why: "no grant covers its device any more"})
		}
	}
	if s.trusted != nil && s.trusted.meta != nil && holds(s.trusted.meta) {
		s.trusted.meta = nil
		*s.trusted.status = api.DeviceStatus{}
	}
	return nil
}

// holdsClientCredentials reports whether a Secret was written for the trusted device, as its label says, or the status where that is gone.
func (s *scope) holdsClientCredentials(secret metav1.Object) bool {
	_, trusted := s.states()
	return target.IsOf(secret, api.TrustedDevice) || target.WrittenFor(trusted, secret)
}
