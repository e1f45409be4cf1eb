package controller

import (
	"bytes"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/credential"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/target"
)

// FieldManager is the operator's name in the managed fields of what it writes.
const FieldManager = "gini-operator"

// observeSecrets looks at the metadata of the Secrets that the user has and reads.
func (r *GiniUserReconciler) observeSecrets(ctx context.Context, s *scope) error {
	for _, wanted := range s.devices() {
		meta, err := r.metadata(ctx, s.user.Namespace, wanted.template.Name)
		if err != nil {
			return err
		}
		if meta != nil {
			wanted.see(meta)
		}
	}
	if s.anonymous() {
		var err error
		s.accountMeta, err = r.metadata(ctx, s.user.Namespace, string(s.user.Spec.Anonymous.AccountSecret.Name))
		return err
	}
	return nil
}

func (r *GiniUserReconciler) metadata(ctx context.Context, namespace, name string) (*metav1.PartialObjectMetadata, error) {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err := r.Metadata.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, object)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return object, nil
}

// checkTargets finds devices whose Secret belongs to somebody else. The other device is served all the same.
func (r *GiniUserReconciler) checkTargets(ctx context.Context, s *scope) error {
	for _, wanted := range s.devices() {
		var err error
		if wanted.meta != nil {
			err = mayWrite(s, wanted, wanted.meta)
		} else {
			err = r.mayCreate(ctx, s, wanted)
		}
		if found, ok := problem.Of(err); ok {
			wanted.problem = found
		} else if err != nil {
			return err
		}
	}
	return nil
}

// mayWrite checks that a Secret is this user's, or is handed over to it.
func mayWrite(s *scope, wanted *device, existing metav1.Object) error {
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
		return problem.New(api.ReasonNameClash, name, "GiniClient "+clients.Items[0].Name+" reads its credentials or CA bundle there")
	}
	return nil
}

func older(a, b *api.GiniUser) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.UID < b.UID
}

// deliverTrusted writes the Secret of the trusted device, for which nothing has to be asked of Gini.
func (r *GiniUserReconciler) deliverTrusted(ctx context.Context, s *scope) error {
	wanted := s.trusted
	if wanted == nil || wanted.refused() {
		return nil
	}
	application := s.application
	record := target.Record{
		IssuedFor:   s.subject(s.identifier).Hash(),
		Fingerprint: secret.New(application.ClientID + ":" + application.ClientSecret.Reveal()).Fingerprint(),
		Template:    wanted.template.Hash(),
	}
	if wanted.untouched() && wanted.readable && wanted.record == record {
		wanted.written = true
		return nil
	}
	repair := wanted.lost() || (wanted.meta != nil && wanted.record == record)
	err := r.apply(ctx, s, wanted, record, credential.ForTrustedBasic(application.ClientID, application.ClientSecret, s.identifier), repair)
	if found, ok := problem.Of(err); ok {
		wanted.problem = found
		return nil
	}
	return err
}

// rewriteUntrusted renders the untrusted device's Secret anew from the token that it holds, where the spec wants it otherwise or
// somebody changed it.
func (r *GiniUserReconciler) rewriteUntrusted(ctx context.Context, s *scope) error {
	wanted := s.untrusted
	if wanted == nil || wanted.refused() || wanted.written || s.application == nil || wanted.meta == nil || !wanted.readable ||
		target.OwnerOf(wanted.meta, s.user) != target.Ours {
		return nil
	}
	record := wanted.record
	record.Template = wanted.template.Hash()
	if wanted.untouched() && record.Template == wanted.record.Template {
		wanted.written = true
		return nil
	}
	if err := r.readLive(ctx, s, wanted); err != nil || wanted.live == nil {
		return err
	}
	token := secret.New(string(wanted.live.Data[credential.KeyAccessToken]))
	if token.Fingerprint() != wanted.record.Fingerprint {
		return nil // not ours: a login has to give another, once it can
	}
	return r.apply(ctx, s, wanted, record, credential.ForUntrusted(token, record.Token.ExpiresAt), record.Template == wanted.record.Template)
}

// readLive reads a device's Secret from the API server, unless it was just read.
func (r *GiniUserReconciler) readLive(ctx context.Context, s *scope, wanted *device) error {
	if wanted.read {
		return nil
	}
	live, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: s.user.Namespace, Name: wanted.template.Name})
	if err != nil {
		return err
	}
	wanted.live, wanted.read = live, true
	if live == nil {
		wanted.meta, wanted.readable = nil, false
		return nil
	}
	wanted.see(live)
	return mayWrite(s, wanted, live)
}

// writeAttempts is how often a write is tried that another writer gets ahead of: the credential is at hand, and may have
// cost a login.
const writeAttempts = 4

// apply writes a device's Secret. repair is whether that only puts right what somebody else changed: for ever, but less
// and less often.
func (r *GiniUserReconciler) apply(ctx context.Context, s *scope, wanted *device, record target.Record, values credential.Values, repair bool) error {
	data, err := wanted.template.Render(values)
	if err != nil {
		return problem.New(api.ReasonSecretNotWritten, wanted.template.Name, "its template").Because(err)
	}
	desired := target.Desired{User: s.user, Template: wanted.template, Data: data, Record: record}
	for attempt := 1; ; attempt++ {
		if err := r.readLive(ctx, s, wanted); err != nil {
			return err
		}
		if !target.Differs(wanted.live, desired) {
			break
		}
		if repair {
			if err := r.contended(s, wanted); err != nil {
				return err
			}
		}
		written, err := r.Secrets.Write(ctx, wanted.live, desired)
		if err == nil {
			if repair {
				r.memory.repaired(s.key(), wanted.template.Name, s.now)
			}
			wanted.live = written
			r.memory.wrote(s.key(), wanted.template.Name, written.ResourceVersion)
			break
		}
		wanted.live, wanted.read = nil, false
		if overtaken(err) && attempt < writeAttempts {
			continue
		}
		return notWritten(err, wanted.template.Name)
	}
	wanted.see(wanted.live)
	wanted.written = true
	wanted.status.SecretName = wanted.template.Name
	wanted.status.SecretResourceVersion = wanted.live.ResourceVersion
	return nil
}

// contended is the problem of a Secret that somebody keeps changing, while the next repair is not due.
func (r *GiniUserReconciler) contended(s *scope, wanted *device) error {
	contention := r.memory.contention(s.key(), wanted.template.Name)
	notBefore := contention.NotBefore(s.now)
	if !s.now.Before(notBefore) {
		return nil
	}
	writer := "somebody"
	if wanted.live != nil {
		writer = target.LastWriterOf(wanted.live, FieldManager)
	}
	found := problem.New(api.ReasonContended, wanted.template.Name, writer)
	found.RetryAfter = notBefore.Sub(s.now)
	return found
}

// overtaken reports whether another writer got ahead.
func overtaken(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// notWritten makes a problem of a refusal of the API server that another try will not overcome soon. Its message may
// quote an admission webhook, so that only the reason is told.
func notWritten(err error, name string) error {
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonForbidden, metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest, metav1.StatusReasonRequestEntityTooLarge,
		metav1.StatusReasonUnauthorized, metav1.StatusReasonMethodNotAllowed:
		return problem.New(api.ReasonSecretNotWritten, name, apierrors.ReasonForError(err)).Because(err)
	}
	return err
}

// cleanUp deletes the Secrets that the spec no longer wants, once those that take their place are written.
func (r *GiniUserReconciler) cleanUp(ctx context.Context, s *scope) error {
	devices := s.user.Status.Devices
	for _, kind := range []struct {
		kind   api.DeviceKind
		wanted *device
		before *api.DeviceStatus
		status **api.DeviceStatus
	}{
		{api.UntrustedDevice, s.untrusted, deviceBefore(s, api.UntrustedDevice), &devices.Untrusted},
		{api.TrustedDevice, s.trusted, deviceBefore(s, api.TrustedDevice), &devices.Trusted},
	} {
		if kind.before == nil {
			continue
		}
		replaced := kind.wanted != nil && kind.wanted.written && kind.wanted.template.Name != kind.before.SecretName
		if kind.wanted == nil || replaced {
			if err := r.remove(ctx, s, kind.before.SecretName, kind.kind, replaced); err != nil {
				return err
			}
		}
		if kind.wanted == nil {
			*kind.status = nil
		}
	}
	return nil
}

func deviceBefore(s *scope, kind api.DeviceKind) *api.DeviceStatus {
	if s.before.Status.Devices == nil {
		return nil
	}
	if kind == api.TrustedDevice {
		return s.before.Status.Devices.Trusted
	}
	return s.before.Status.Devices.Untrusted
}

// remove deletes a Secret of the user's, as it is read now. One that is to be retained, and so has no owner, goes only where another takes its place.
func (r *GiniUserReconciler) remove(ctx context.Context, s *scope, name string, kind api.DeviceKind, replaced bool) error {
	if name == "" || slices.Contains(targetNames(s.user), name) {
		return nil
	}
	live, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: s.user.Namespace, Name: name})
	if err != nil || live == nil {
		return err
	}
	if target.OwnerOf(live, s.user) != target.Ours || !target.IsOf(live, kind) {
		return nil
	}
	if metav1.GetControllerOf(live) == nil && !replaced {
		return nil
	}
	return r.Secrets.Delete(ctx, live)
}

// withdraw takes back the client credentials that a trusted device was given, once no grant covers it any more, and
// gives up the claim to the derived user.
func (r *GiniUserReconciler) withdraw(ctx context.Context, s *scope) error {
	if s.withdrawn {
		r.wake(r.claims.release(s.key()))
	}
	if !s.withdrawn || s.trusted == nil || s.trusted.meta == nil || target.OwnerOf(s.trusted.meta, s.user) != target.Ours {
		return nil
	}
	live, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: s.user.Namespace, Name: s.trusted.template.Name})
	if err != nil || live == nil || target.OwnerOf(live, s.user) != target.Ours {
		return err
	}
	if err := r.Secrets.Delete(ctx, live); err != nil {
		return err
	}
	s.trusted.meta = nil
	*s.trusted.status = api.DeviceStatus{}
	return nil
}

// holds reports whether a Secret's data holds a token with that fingerprint.
func holds(live *corev1.Secret, fingerprint string) bool {
	token := live.Data[credential.KeyAccessToken]
	return len(token) > 0 && bytes.Equal([]byte(secret.New(string(token)).Fingerprint()), []byte(fingerprint))
}
