package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/credential"
	"github.com/gini-operator/gini-operator/internal/gini"
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

// deliverTrusted writes the Secret of the trusted device, for which nothing has to be asked of Gini.
func (r *GiniUserReconciler) deliverTrusted(ctx context.Context, s *scope) error {
	wanted := s.trusted
	if wanted == nil || wanted.refused() {
		return nil
	}
	if wanted.expires {
		return r.deliverJWT(ctx, s)
	}
	application := s.application
	record := target.Record{
		IssuedFor:   s.subject(s.identifier).Hash(),
		Fingerprint: secret.New(application.ClientID + ":" + application.ClientSecret.Reveal()).Fingerprint(),
		Template:    wanted.template.Hash(),
	}
	if wanted.meta != nil && !wanted.untouched() {
		err := r.readLive(ctx, s, wanted)
		if found, ok := problem.Of(err); ok {
			wanted.problem = found
			return nil
		} else if err != nil {
			return err
		}
	}
	withheld := r.withheld(s, wanted, record)
	current := wanted.untouched() && wanted.readable && wanted.sealed && wanted.record == record
	if current || withheld {
		wanted.problem = s.rejectedCredentials(wanted)
		wanted.written = (current || wanted.awaits) && !wanted.refused()
		return nil
	}
	if wanted.problem = s.writePaused(); wanted.refused() {
		return nil
	}
	repair := wanted.lost() || (wanted.meta != nil && !wanted.untouched() && wanted.record == record) || s.damaged(wanted)
	err := r.apply(ctx, s, wanted, record, credential.ForTrustedBasic(application.ClientID, application.ClientSecret, s.identifier), repair)
	if found, ok := problem.Of(err); ok {
		wanted.problem = found
		return nil
	}
	return err
}

// damaged reports whether a Secret is the user's by its status, and somebody edited its record.
func (s *scope) damaged(wanted *device) bool {
	return wanted.meta != nil && !wanted.readable && target.OwnerOf(wanted.meta, s.user) == target.Ours
}

// rewriteUntrusted renders the untrusted device's Secret anew.
func (r *GiniUserReconciler) rewriteUntrusted(ctx context.Context, s *scope) error {
	return r.rewrite(ctx, s, s.untrusted)
}

// rewriteTrusted renders the trusted device's Secret with a JWT anew.
func (r *GiniUserReconciler) rewriteTrusted(ctx context.Context, s *scope) error {
	return r.rewrite(ctx, s, s.trusted)
}

// rewrite renders a device's Secret anew from the token or JWT that it holds, where the spec wants it otherwise or somebody
// changed it.
func (r *GiniUserReconciler) rewrite(ctx context.Context, s *scope, wanted *device) error {
	if wanted == nil || !wanted.expires || wanted.refused() || wanted.written || s.application == nil || wanted.meta == nil || !wanted.readable ||
		target.OwnerOf(wanted.meta, s.user) != target.Ours {
		return nil
	}
	record := wanted.record
	record.Template = wanted.template.Hash()
	if wanted.untouched() && record.Template == wanted.record.Template {
		wanted.written = true
		return nil
	}
	if attempt := s.user.Status.Attempt; attempt != nil && attempt.Reason == api.ReasonSecretNotWritten {
		if err := r.hold(ctx, s); err != nil {
			return err
		}
	}
	if err := r.readLive(ctx, s, wanted); err != nil || wanted.live == nil {
		return err
	}
	token := secret.New(string(wanted.live.Data[wanted.credentialKey()]))
	if token.Fingerprint() != wanted.record.Fingerprint {
		return nil // not ours: another has to be had, once it can
	}
	return r.apply(ctx, s, wanted, record, wanted.valuesOf(token, record.Token.ExpiresAt), record.Template == wanted.record.Template)
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
	wanted.tampered = wanted.expires && wanted.readable && !wanted.holds(live, wanted.record.Fingerprint)
	return mayWrite(s, wanted, live)
}

// writePaused is the refusal of an earlier write of the trusted device's Secret that is not to be tried again yet; nil
// where there is none. Another template is tried at once.
func (s *scope) writePaused() *problem.Error {
	attempt := s.user.Status.Attempt
	if attempt == nil || attempt.Device != api.TrustedDevice || attempt.Reason == api.ReasonJWTNotIssued ||
		attempt.NextAt == nil || !s.now.Before(attempt.NextAt.Time) || s.before.Status.ObservedGeneration != s.user.Generation {
		return nil
	}
	s.held = true
	found := s.recall(attempt)
	found.RetryAfter = attempt.NextAt.Sub(s.now)
	return found
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
	if err := r.ascertain(ctx, s); err != nil {
		return err
	}
	desired := target.Desired{User: s.user, Template: wanted.template, Data: data, Record: record}
	decided := wanted.record.Fingerprint
	var done deed
	for attempt := 1; ; attempt++ {
		if err := r.readLive(ctx, s, wanted); err != nil {
			return err
		}
		if wanted.renewedBeside(decided, record) && r.superseded(ctx, s, wanted, record) {
			return errBehind // comes again, and looks at that one
		}
		if !target.Differs(wanted.live, desired) {
			done = s.foundAgain(wanted)
			break
		}
		if repair {
			if err := r.contended(s, wanted); err != nil {
				return err
			}
		}
		written, err := r.Secrets.Write(ctx, wanted.live, desired)
		if err == nil {
			if repair || wanted.mends() {
				r.memory.repaired(s.key(), wanted.template.Name, s.now)
			}
			done, wanted.live = s.deedOf(wanted, desired, repair), written
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
	wanted.status.SecretName, wanted.status.SecretUID = wanted.template.Name, string(wanted.live.UID)
	wanted.status.SecretResourceVersion = wanted.live.ResourceVersion
	if done.reason != "" {
		r.tellOf(ctx, s, done)
	}
	return nil
}

// renewedBeside reports whether another operator, which leads by now or did until a moment ago, has written a token beside the one at
// hand. decided is the fingerprint of the token that this reconcile looked at.
func (d *device) renewedBeside(decided string, record target.Record) bool {
	return d.template.Device == api.UntrustedDevice && d.live != nil && d.readable && !d.tampered && d.record.IssuedFor == record.IssuedFor &&
		d.record.Fingerprint != decided && d.record.Fingerprint != record.Fingerprint
}

// superseded reports whether the token at hand is worth less than the one that another operator has written: of two logins the later one
// may have ended the token of the other, and only Gini knows which came later. Where it does not say, the times at which they were asked for do.
func (r *GiniUserReconciler) superseded(ctx context.Context, s *scope, wanted *device, record target.Record) bool {
	if wanted.obtained.Empty() { // it stood in the Secret before
		return true
	}
	switch err := s.application.Gini.Documents(ctx, wanted.obtained); {
	case err == nil:
		return false
	case gini.KindOf(err) == gini.TokenRejected:
		return true
	}
	return wanted.record.Token.ObtainedAt.After(record.Token.ObtainedAt)
}

// ascertain makes sure, before a Secret is written or deleted for a GiniUser, that it is as the cache shows it: what an old spec wanted,
// or another object of that name, must not cost a credential that is wanted now. A reconcile that saw another comes again.
func (r *GiniUserReconciler) ascertain(ctx context.Context, s *scope) error {
	if s.confirmed || s.certain {
		return nil
	}
	_, same, err := r.readUser(ctx, s)
	switch {
	case err != nil:
		return err
	case !same:
		return errBehind
	}
	s.certain = true
	return nil
}

// readUser reads the user from the API server; same is whether that is the object and the spec that this is about.
func (r *GiniUserReconciler) readUser(ctx context.Context, s *scope) (live *api.GiniUser, same bool, err error) {
	live = &api.GiniUser{}
	if err := client.IgnoreNotFound(r.Secrets.Live.Get(ctx, s.key(), live)); err != nil {
		return nil, false, err
	}
	return live, live.UID == s.user.UID && live.Generation == s.user.Generation && live.DeletionTimestamp.IsZero(), nil
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
		apierrors.IsServiceUnavailable(err) {
		return fmt.Errorf("write Secret %s: the API server answers %d", name, status.Code)
	}
	return problem.New(api.ReasonSecretNotWritten, name, refusalOf(&status))
}

// refusalOf tells people what a refusal of the API server may come from. Validations of the Secret itself name a field; an admission policy
// names none, whatever reason it gives.
func refusalOf(status *metav1.Status) string {
	fields := status.Details != nil && slices.ContainsFunc(status.Details.Causes, func(cause metav1.StatusCause) bool { return cause.Field != "" })
	owners := status.Details != nil && slices.ContainsFunc(status.Details.Causes, func(cause metav1.StatusCause) bool {
		return strings.HasPrefix(cause.Field, "metadata.ownerReferences")
	})
	switch reason := status.Reason; {
	case reason == metav1.StatusReasonForbidden:
		return "Forbidden: a quota, an admission policy, or missing rights of the operator"
	case reason == metav1.StatusReasonInvalid && owners:
		return "Invalid: the owner references, among which another controller may be"
	case reason == metav1.StatusReasonInvalid && fields:
		return "Invalid: what the API server itself does not allow in a Secret; look at secret.labels, secret.annotations and secret.data"
	case reason == metav1.StatusReasonInvalid:
		return "Invalid: an admission policy"
	case reason == metav1.StatusReasonUnauthorized:
		return "Unauthorized: the operator's own credentials, or an admission policy"
	case reason == metav1.StatusReasonRequestEntityTooLarge:
		return "RequestEntityTooLarge: a limit of the API server, or an admission policy"
	case slices.Contains(toldRefusals, reason):
		return string(reason)
	default:
		return fmt.Sprintf("status %d", status.Code)
	}
}

// toldRefusals are the other reasons that are known to be no more than reasons.
var toldRefusals = []metav1.StatusReason{metav1.StatusReasonBadRequest, metav1.StatusReasonMethodNotAllowed}

// holds reports whether a Secret's data holds a token or JWT with that fingerprint.
func (d *device) holds(live *corev1.Secret, fingerprint string) bool {
	token := live.Data[d.credentialKey()]
	return len(token) > 0 && bytes.Equal([]byte(secret.New(string(token)).Fingerprint()), []byte(fingerprint))
}
