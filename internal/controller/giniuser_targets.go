package controller

import (
	"context"
	"errors"

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
	if wanted.meta == nil || target.OwnerOf(wanted.meta, s.user) != target.Ours || target.IsOf(wanted.meta, wanted.template.Device) {
		return nil
	}
	if err := r.ascertain(ctx, s); err != nil {
		return err
	}
	if err := r.Secrets.Delete(ctx, wanted.meta); err != nil {
		return err
	}
	wanted.meta, wanted.readable = nil, false
	return nil
}

// mayWrite checks that a Secret is this user's, or is handed over to it.
func mayWrite(s *scope, wanted *device, existing metav1.Object) error {
	if existing.GetDeletionTimestamp() != nil {
		return problem.New(api.ReasonConflict, wanted.template.Name, "a deletion that waits for its finalizers", s.user.Name)
	}
	switch target.OwnerOf(existing, s.user) {
	case target.Ours, target.Consenting:
		return nil
	case target.OtherUser:
		return problem.New(api.ReasonConflict, wanted.template.Name, "GiniUser "+target.HolderOf(existing), s.user.Name)
	default:
		return problem.New(api.ReasonConflict, wanted.template.Name, "somebody else", s.user.Name)
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
			return problem.New(api.ReasonConflict, name, "GiniUser "+other.Name, s.user.Name)
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
