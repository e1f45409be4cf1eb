package controller

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/credential"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/registry"
)

// resolveClient finds the user's GiniClient, and checks that it serves this user: at every use, as a grant can be withdrawn.
func (r *GiniUserReconciler) resolveClient(ctx context.Context, s *scope) error {
	key := clientKey(s.user)
	foreign := key.Namespace != s.user.Namespace
	absent := problem.New(api.ReasonClientNotFound, key.Name)
	if foreign {
		absent = problem.New(api.ReasonClientNotGranted, key)
	}
	giniClient := &api.GiniClient{}
	err := r.Reader.Get(ctx, key, giniClient)
	switch {
	case apierrors.IsNotFound(err):
		return absent
	case err != nil:
		return err
	case !giniClient.DeletionTimestamp.IsZero():
		return absent
	}
	s.giniClient = giniClient
	if foreign {
		grants, err := r.grantsFor(ctx, giniClient, s.user.Namespace)
		if err != nil {
			return err
		}
		if len(grants) == 0 {
			s.refused, s.withdrawn = true, true
			return absent
		}
		if err := checkDevices(s, grants, key); err != nil {
			return err
		}
	}
	if s.anonymous() && giniClient.Spec.AnonymousUsers == nil {
		return problem.New(api.ReasonAnonymousUsersNotEnabled, key)
	}
	return nil
}

// grantsFor lists the grants of a GiniClient that select a namespace.
func (r *GiniUserReconciler) grantsFor(ctx context.Context, giniClient *api.GiniClient, namespace string) ([]api.Grant, error) {
	if len(giniClient.Spec.Grants) == 0 {
		return nil, nil
	}
	known, err := r.labelsOf(ctx, namespace)
	if err != nil || known == nil {
		return nil, err
	}
	return registry.Grants(giniClient, known, r.NamesOnly), nil
}

// labelsOf are the labels of a namespace; nil where it does not exist.
func (r *GiniUserReconciler) labelsOf(ctx context.Context, namespace string) (labels.Set, error) {
	if r.NamesOnly {
		return labels.Set{corev1.LabelMetadataName: namespace}, nil
	}
	var object metav1.PartialObjectMetadata
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.Metadata.Get(ctx, types.NamespacedName{Name: namespace}, &object); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return labels.Merge(nil, object.Labels), nil
}

func grants(grant api.Grant, kind api.DeviceKind) bool {
	if len(grant.Devices) == 0 {
		return kind == api.UntrustedDevice
	}
	return slices.Contains(grant.Devices, kind)
}

// checkDevices checks that each device that the user wants is granted.
func checkDevices(s *scope, granted []api.Grant, key types.NamespacedName) error {
	if !slices.ContainsFunc(granted, func(grant api.Grant) bool { return grants(grant, api.TrustedDevice) }) {
		s.withdrawn = true // what may be left of a trusted device that the spec has no more
	}
	for _, wanted := range s.devices() {
		if !slices.ContainsFunc(granted, func(grant api.Grant) bool { return grants(grant, wanted.template.Device) }) {
			s.refused, s.withdrawn = true, wanted == s.trusted
			return problem.New(api.ReasonDeviceNotGranted, key, strings.ToLower(string(wanted.template.Device)))
		}
	}
	return nil
}

// resolveUser finds out who the user is at Gini, makes sure that no other GiniUser is the same, and gets the application.
func (r *GiniUserReconciler) resolveUser(ctx context.Context, s *scope) error {
	if err := r.resolveIdentifier(ctx, s); err != nil {
		return err
	}
	if err := r.resolveApplication(ctx, s); err != nil {
		return err
	}
	if s.anonymous() {
		r.wake(r.claims.release(s.key())) // of a derived user of this name
		return r.claimAccount(ctx, s)
	}
	return r.claimIdentifier(s)
}

// resolveIdentifier reads the identifier of a derived user, and checks that it is granted.
func (r *GiniUserReconciler) resolveIdentifier(ctx context.Context, s *scope) error {
	if s.anonymous() {
		return nil
	}
	if err := r.readIdentifier(ctx, s); err != nil {
		return err
	}
	return r.checkIdentifier(ctx, s)
}

// resolveApplication gets the application of the client.
func (r *GiniUserReconciler) resolveApplication(ctx context.Context, s *scope) error {
	application, err := r.Registry.Resolve(ctx, s.giniClient)
	if err != nil {
		return ofClient(err, s)
	}
	s.application = application
	if !s.jwt() {
		return nil
	}
	s.identity, err = r.Registry.Identity(ctx, s.giniClient, application)
	return ofClient(err, s)
}

// ofClient tells a user of another namespace no more than that its client has a problem.
func ofClient(err error, s *scope) error {
	if found, ok := problem.Of(err); ok {
		return problem.New(found.Reason, clientKey(s.user))
	}
	return err
}

func (r *GiniUserReconciler) readIdentifier(ctx context.Context, s *scope) error {
	reference := s.user.Spec.Derived.IdentifierSecretRef
	if reference == nil {
		s.identifier = s.user.Spec.Derived.Identifier
		return nil
	}
	secret, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: s.user.Namespace, Name: string(reference.Name)})
	if err != nil {
		return err
	}
	if secret == nil || secret.Data[string(reference.Key)] == nil {
		return problem.New(api.ReasonIdentifierSecretNotFound, reference.Name, reference.Key)
	}
	identifier := string(secret.Data[string(reference.Key)])
	if !identifierLike(identifier) {
		return problem.New(api.ReasonIdentifierInvalid, reference.Name, reference.Key)
	}
	hash := credential.IdentifierHash(s.user.Namespace, s.user.Name, identifier)
	if before := s.user.Status.IdentifierHash; before != "" && before != hash {
		return problem.New(api.ReasonIdentifierChanged, reference.Name)
	}
	s.identifier, s.user.Status.IdentifierHash = identifier, hash
	return nil
}

// identifierLike is the rule of the API's field identifier.
func identifierLike(identifier string) bool {
	if identifier == "" || len(identifier) > 256 || strings.TrimSpace(identifier) != identifier {
		return false
	}
	return !strings.ContainsFunc(identifier, func(r rune) bool { return r < ' ' || r > '~' })
}

// checkIdentifier checks the identifier of a user of another namespace against the prefixes that it is granted.
func (r *GiniUserReconciler) checkIdentifier(ctx context.Context, s *scope) error {
	key := clientKey(s.user)
	if key.Namespace == s.user.Namespace {
		return nil
	}
	granted, err := r.grantsFor(ctx, s.giniClient, s.user.Namespace)
	if err != nil {
		return err
	}
	for _, wanted := range s.devices() {
		if !slices.ContainsFunc(granted, func(grant api.Grant) bool {
			return grants(grant, wanted.template.Device) && strings.HasPrefix(s.identifier, grant.IdentifierPrefix)
		}) {
			s.refused, s.withdrawn = true, wanted == s.trusted
			return problem.New(api.ReasonIdentifierNotGranted, key)
		}
	}
	return nil
}

// claimIdentifier makes sure that one derived user of Gini is one GiniUser. The holder is named within its own namespace only.
func (r *GiniUserReconciler) claimIdentifier(s *scope) error {
	holder, ok, freed := r.claims.take(s.subject(s.identifier).Hash(), s.claim())
	r.wake(freed)
	if ok {
		return nil
	}
	name := "a GiniUser of another namespace"
	if holder.Namespace == s.user.Namespace {
		name = "GiniUser " + holder.Name
	}
	return problem.New(api.ReasonIdentifierInUse, name)
}
