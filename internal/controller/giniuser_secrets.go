package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
		err := r.evict(ctx, s, wanted)
		switch {
		case err != nil:
		case wanted.meta == nil:
			err = errors.Join(r.mayCreate(ctx, s, wanted), r.nameClash(ctx, s, wanted))
		case target.OwnerOf(wanted.meta, s.user) == target.Consenting:
			err = r.nameClash(ctx, s, wanted)
		default:
			err = mayWrite(s, wanted, wanted.meta)
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
	if wanted.meta != nil && wanted.meta.GetLabels()[api.DeviceLabel] == accountDevice {
		return problem.New(api.ReasonNameClash, name, "it holds the account of a GiniUser")
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
	if wanted.problem = r.writePaused(ctx, s); wanted.refused() {
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
	if paused := r.writePaused(ctx, s); paused != nil {
		return paused
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
	wanted.tampered = wanted.template.Device == api.UntrustedDevice && wanted.readable && !holds(live, wanted.record.Fingerprint)
	return mayWrite(s, wanted, live)
}

// writePaused is the refusal of an earlier write that is not to be tried again yet; nil where there is none.
func (r *GiniUserReconciler) writePaused(ctx context.Context, s *scope) *problem.Error {
	attempt := s.user.Status.Attempt
	if attempt == nil || attempt.Reason != api.ReasonSecretNotWritten {
		return nil
	}
	held, ok := problem.Of(r.hold(ctx, s))
	if !ok {
		return nil
	}
	return held
}

// writeAttempts is how often a write is tried that another writer gets ahead of: the credential is at hand, and may have
// cost a login.
const writeAttempts = 4

// apply writes a device's Secret. repair is whether that only puts right what somebody else changed: for ever, but less
// and less often.
func (r *GiniUserReconciler) apply(ctx context.Context, s *scope, wanted *device, record target.Record, values credential.Values, repair bool) error {
	data, err := wanted.template.Render(values)
	if err != nil {
		return problem.New(api.ReasonSecretNotWritten, wanted.template.Name, "its data cannot be rendered, or is larger than 1 MiB").Because(err)
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
	wanted.written, wanted.tampered = true, false
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

// notWritten makes a problem of a refusal of the API server that another try will not overcome soon. Its message may be an
// admission webhook's, which may quote the Secret: nothing of it is told, nor wrapped, as errors are logged.
func notWritten(err error, name string) error {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return fmt.Errorf("write Secret %s: no answer of the API server (%T)", name, err)
	}
	status := answer.Status()
	if overtaken(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err) {
		return fmt.Errorf("write Secret %s: the API server answers %d", name, status.Code)
	}
	refusal := fmt.Sprintf("status %d", status.Code)
	if slices.Contains(toldRefusals, status.Reason) {
		refusal = string(status.Reason)
	}
	return problem.New(api.ReasonSecretNotWritten, name, refusal)
}

// toldRefusals are the reasons that are known to be no more than reasons.
var toldRefusals = []metav1.StatusReason{
	metav1.StatusReasonForbidden, metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest, metav1.StatusReasonRequestEntityTooLarge,
	metav1.StatusReasonUnauthorized, metav1.StatusReasonMethodNotAllowed,
}

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

// holds reports whether a Secret's data holds a token with that fingerprint.
func holds(live *corev1.Secret, fingerprint string) bool {
	token := live.Data[credential.KeyAccessToken]
	return len(token) > 0 && bytes.Equal([]byte(secret.New(string(token)).Fingerprint()), []byte(fingerprint))
}
