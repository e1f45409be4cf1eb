package controller

import (
	"context"
	"errors"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/registry"
	"github.com/gini-operator/gini-operator/internal/target"
)

// checkTargets finds devices whose Secret belongs to somebody else. The other device is served all the same.
func (r *GiniUserReconciler) checkTargets(ctx context.Context, s *scope) error {
	for _, wanted := range s.devices() {
		err := r.evict(ctx, s, wanted)
		switch {
		case err != nil:
		case wanted.meta == nil:
			err = errors.Join(r.mayCreate(ctx, s, wanted), r.nameClash(ctx, s, wanted))
		case target.OwnerOf(wanted.meta, s.user) == target.Consenting:
			err = r.nameClash(ctx, s, wanted)
		default:
			if err = mayWrite(s, wanted, wanted.meta); err != nil {
				err = errors.Join(r.nameClash(ctx, s, wanted), err) // the more telling first
			}
		}
		if found, ok := problem.Of(err); ok {
			wanted.problem = found
		} else if err != nil {
			return err
		}
	}
	return nil
}

// evict deletes a Secret of this user's that was the other kind of device's: what that may see is not for this one, not even
// until its own credential is there.
func (r *GiniUserReconciler) evict(ctx context.Context, s *scope, wanted *device) error {
	others := func(secret metav1.Object) bool {
		return target.OwnerOf(secret, s.user) == target.Ours && !target.IsOf(secret, wanted.template.Device) && !target.WrittenFor(wanted.status, secret)
	}
	if wanted.meta == nil || wanted.meta.GetDeletionTimestamp() != nil || !others(wanted.meta) {
		return nil
	}
	deleted, err := r.remove(ctx, s, wanted.template.Name, others)
	if err != nil || !deleted {
		return err
	}
	r.tellOf(ctx, s, deed{reason: api.ReasonSecretDeleted, secret: wanted.template.Name, why: "it was the other device's, which may see other things"})
	wanted.meta, wanted.readable = nil, false
	return nil
}

// mayWrite checks that a Secret is this user's, or is handed over to it.
func mayWrite(s *scope, wanted *device, existing metav1.Object) error {
	owner := target.OwnerOf(existing, s.user)
	if existing.GetDeletionTimestamp() == nil && (owner == target.Ours || owner == target.Consenting) {
		return nil
	}
	return problem.New(api.ReasonConflict, wanted.template.Name, whoseAndWhatNow(existing, owner, s.user))
}

// toldFinalizers is how many finalizers a message names at most.
const toldFinalizers = 3

// whoseAndWhatNow tells people what keeps a Secret from being written, and the ways out.
func whoseAndWhatNow(existing metav1.Object, owner target.Ownership, user *api.GiniUser) string {
	ways := "choose another name, delete that Secret, or label it " + api.AdoptByLabel + "=" + user.Name + " to hand it over"
	controller := metav1.GetControllerOf(existing)
	switch {
	case existing.GetDeletionTimestamp() != nil:
		finalizers := existing.GetFinalizers()
		return "it is being deleted, and waits for whoever set its finalizers (" + strings.Join(finalizers[:min(len(finalizers), toldFinalizers)], ", ") +
			") to take them away; then it is made again"
	case owner == target.OtherUser:
		return "it belongs to GiniUser " + target.HolderOf(existing) + ": " + ways
	case owner == target.Copied:
		return "it has the labels of a Secret of this GiniUser, but the operator did not write it under this name in this namespace, so it is a copy: " + ways
	case controller != nil:
		return "it belongs to " + controller.Kind + " " + controller.Name + ", which its owner references name: choose another name, or delete that Secret"
	default:
		return "it belongs to somebody else: " + ways
	}
}

// mayCreate checks that nobody else has a better claim to the name of a Secret that does not exist: an older GiniUser, or one
// of equal age with a lower UID, or whoever keeps a secret of another kind there.
func (r *GiniUserReconciler) mayCreate(ctx context.Context, s *scope, wanted *device) error {
	name := wanted.template.Name
	var users api.GiniUserList
	if err := r.Reader.List(ctx, &users, client.InNamespace(s.user.Namespace), client.MatchingFields{indexTarget: name}); err != nil {
		return err
	}
	for i := range users.Items {
		if other := &users.Items[i]; other.UID != s.user.UID && older(other, s.user) {
			return problem.New(api.ReasonConflict, name, "it is to be GiniUser "+other.Name+"'s, which is older: choose another name")
		}
	}
	return nil
}

// nameClash finds whoever reads an account, an identifier or credentials from the Secret: it is not for devices, even
// if it consents.
func (r *GiniUserReconciler) nameClash(ctx context.Context, s *scope, wanted *device) error {
	name := wanted.template.Name
	if wanted.meta != nil {
		switch wanted.meta.GetLabels()[api.DeviceLabel] {
		case accountDevice:
			return problem.New(api.ReasonNameClash, name, "it holds the account of a GiniUser")
		case registry.KeyDevice:
			return problem.New(api.ReasonNameClash, name, "it holds the signing keys of a GiniClient")
		}
	}
	var readers api.GiniUserList
	if err := r.Reader.List(ctx, &readers, client.InNamespace(s.user.Namespace), client.MatchingFields{indexReads: name}); err != nil {
		return err
	}
	if len(readers.Items) > 0 {
		return problem.New(api.ReasonNameClash, name, "GiniUser "+readers.Items[0].Name+" reads its account or identifier there")
	}
	var clients api.GiniClientList
	if err := r.Reader.List(ctx, &clients, client.InNamespace(s.user.Namespace), client.MatchingFields{indexReads: name}); err != nil {
		return err
	}
	if len(clients.Items) > 0 {
		return problem.New(api.ReasonNameClash, name, "GiniClient "+clients.Items[0].Name+" reads its credentials, keys or CA bundle there")
	}
	return nil
}

func older(a, b *api.GiniUser) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.UID < b.UID
}
