package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/target"
)

// setUserConditions makes conditions of what the stages saw: one function each, and Ready of them all.
func setUserConditions(s *scope) {
	status := &s.user.Status
	status.ObservedGeneration = s.user.Generation
	status.Type = "Derived"
	if s.anonymous() {
		status.Type = "Anonymous"
	}
	conditions := []metav1.Condition{clientResolved(s)}
	if s.anonymous() {
		conditions = append(conditions, accountReady(s))
	} else {
		meta.RemoveStatusCondition(&status.Conditions, api.ConditionAccountReady)
	}
	conditions = append(conditions, secretsWritten(s))
	ready := readyOf(s, conditions)
	for _, condition := range append(conditions, ready) {
		s.set(condition)
	}
	s.setOrRemove(api.ConditionReconciling, reconciling(s, ready))
	s.setOrRemove(api.ConditionStalled, stalled(s))
	if s.application != nil { // else nothing new is known of it
		s.setOrRemove(api.ConditionArrivesLate, arrivesLate(s))
	}
}

func (s *scope) set(condition metav1.Condition) {
	condition.ObservedGeneration = s.user.Generation
	condition.LastTransitionTime = metav1.NewTime(s.now)
	meta.SetStatusCondition(&s.user.Status.Conditions, condition)
}

func (s *scope) setOrRemove(conditionType string, condition *metav1.Condition) {
	if condition == nil {
		meta.RemoveStatusCondition(&s.user.Status.Conditions, conditionType)
		return
	}
	condition.Type = conditionType
	s.set(*condition)
}

// readyFirst puts Ready before the other conditions, whose order stays as it is: kubectl describe and get -o yaml show them so. It is for a
// status that is written anyway, as their order alone is nothing to write.
func readyFirst(conditions []metav1.Condition) {
	at := slices.IndexFunc(conditions, func(c metav1.Condition) bool { return c.Type == api.ConditionReady })
	if at > 0 {
		ready := conditions[at]
		copy(conditions[1:], conditions[:at])
		conditions[0] = ready
	}
}

// concerns reports whether the problem turns a condition False.
func (s *scope) concerns(conditionType string) bool {
	return s.problem != nil && s.problem.Reaction().Condition == conditionType
}

func clientResolved(s *scope) metav1.Condition {
	condition := metav1.Condition{Type: api.ConditionClientResolved}
	switch {
	case s.keyIsMade():
		condition.Status, condition.Reason, condition.Message = metav1.ConditionUnknown, api.ReasonPending, s.beingObtained()
		return condition
	case s.concerns(condition.Type):
		return s.failed(condition)
	case s.user.Spec.Suspend:
		return s.unlooked(condition)
	default:
		condition.Status, condition.Reason = metav1.ConditionTrue, api.ReasonClientResolved
		condition.Message = fmt.Sprintf("GiniClient %s serves this user", clientKey(s.user))
		return condition
	}
}

// keyIsMade reports whether the user waits for a signing key that the operator makes itself, within seconds as a rule.
func (s *scope) keyIsMade() bool {
	if s.problem == nil || s.problem.Reason != api.ReasonSigningKeyNotFound || s.giniClient == nil {
		return false
	}
	provider := s.giniClient.Spec.IdentityProvider
	return provider != nil && provider.Signer != nil && provider.Signer.Key.Managed != nil
}

func accountReady(s *scope) metav1.Condition {
	condition := metav1.Condition{Type: api.ConditionAccountReady}
	switch {
	case s.concerns(condition.Type):
		return s.failed(condition)
	case accountKnown(s):
		condition.Status, condition.Reason = metav1.ConditionTrue, api.ReasonAccountReady
		condition.Message = fmt.Sprintf("The account in Secret %s exists at Gini", accountName(s))
		return condition
	default:
		return s.unlooked(condition)
	}
}

func secretsWritten(s *scope) metav1.Condition {
	condition := metav1.Condition{Type: api.ConditionSecretsWritten}
	if !s.delivered() {
		switch {
		case s.concerns(condition.Type):
			return s.failed(condition)
		case s.user.Spec.Suspend:
			condition.Status, condition.Reason = metav1.ConditionUnknown, api.ReasonSuspended
			condition.Message = "Not every Secret holds a credential that works"
			return condition
		}
		return s.unlooked(condition)
	}
	condition.Status, condition.Reason = metav1.ConditionTrue, api.ReasonSecretsWritten
	condition.Message = "Every Secret holds a credential that works"
	switch {
	case s.concerns(condition.Type) && s.problem.Reaction().Retry == problem.Stall:
		return s.failed(condition)
	case s.concerns(condition.Type):
		condition.Reason, condition.Message = s.problem.Reason, s.problem.Message()+s.validUntil()
	case s.untrusted != nil && s.untrusted.record.LifetimeAssumed:
		condition.Reason = api.ReasonLifetimeUnknown
		condition.Message = "Gini does not say how long its tokens live: an hour is assumed"
	case s.untrusted != nil && s.application != nil && s.application.Lane.Behaviour(s.endpoint()).Sticky:
		condition.Reason = api.ReasonStickyTokens
		condition.Message = "Gini gives a new token only once the old one has ended: at each renewal there is a gap of under two seconds"
	}
	return condition
}

// delivered reports whether every Secret that the spec wants holds a credential that has not expired.
func (s *scope) delivered() bool {
	if s.problem != nil && s.problem.Reason == api.ReasonContended {
		return false
	}
	if s.trusted != nil && s.trusted.problem != nil && s.trusted.problem.Reason == api.ReasonCredentialsRejected {
		return false // a JWT that is valid still may hold a client secret that Gini takes no more
	}
	for _, wanted := range s.devices() {
		if wanted.meta == nil || target.OwnerOf(wanted.meta, s.user) != target.Ours {
			return false
		}
		if wanted.expires && (!s.works(wanted) || wanted.tampered || s.staleSubject(wanted)) {
			return false
		}
	}
	return s.trusted == nil || ((s.trusted.expires || s.trusted.written || s.application == nil) && s.trusted.status.SecretName == s.trusted.template.Name)
}

// works reports whether a token or JWT has not expired, or only just, and nothing is wrong: a sticky one is renewed a moment after its
// end, and that is no news.
func (s *scope) works(wanted *device) bool {
	renewing := s.problem == nil && !s.user.Spec.Suspend && wanted.readable && s.now.Before(wanted.record.Token.EndsBy.Add(patience))
	return wanted.valid(s.now) || renewing
}

// staleSubject reports whether a token or JWT is known to be for somebody else than the spec asks for.
func (s *scope) staleSubject(wanted *device) bool {
	return s.application != nil && !s.anonymous() && wanted.record.IssuedFor != s.subject(s.identifier).Hash()
}

// expiring is the device whose token or JWT the messages speak of; nil where there is none.
func (s *scope) expiring() *device {
	if s.untrusted != nil {
		return s.untrusted
	}
	if s.trusted != nil && s.trusted.expires {
		return s.trusted
	}
	return nil
}

// validUntil tells until when the token or JWT at hand can be used.
func (s *scope) validUntil() string {
	wanted := s.expiring()
	if !wanted.valid(s.now) || target.OwnerOf(wanted.meta, s.user) != target.Ours {
		return ""
	}
	return fmt.Sprintf("%s%s in Secret %s is valid until %s",
		currentCredential, wanted.holding(), wanted.template.Name, wanted.record.Token.ExpiresAt.Format(time.RFC3339))
}

// currentCredential begins what a message says of the credential at hand.
const currentCredential = ". The current "

// failed makes a condition False by the problem. The details of one request, such as its id, are told once: a message
// that differs by nothing else stays as it was.
func (s *scope) failed(condition metav1.Condition) metav1.Condition {
	condition.Status, condition.Reason = metav1.ConditionFalse, s.problem.Reason
	condition.Message = s.problem.Error() + s.validUntil()
	before := meta.FindStatusCondition(s.before.Status.Conditions, condition.Type)
	if before != nil && before.Reason == condition.Reason && before.Status == condition.Status &&
		strings.HasPrefix(before.Message, s.problem.Message()) && strings.HasSuffix(before.Message, s.validUntil()) {
		condition.Message = before.Message
	}
	return condition
}

// unlooked keeps what a condition said before, where this reconcile did not come to look; at first it is Unknown.
func (s *scope) unlooked(condition metav1.Condition) metav1.Condition {
	before := meta.FindStatusCondition(s.before.Status.Conditions, condition.Type)
	if before != nil && before.Status != metav1.ConditionFalse && s.user.Spec.Suspend {
		return *before
	}
	condition.Status, condition.Reason = metav1.ConditionUnknown, api.ReasonPending
	condition.Message = "Not looked at yet: waits until the other conditions are True"
	return condition
}

func readyOf(s *scope, conditions []metav1.Condition) metav1.Condition {
	ready := metav1.Condition{Type: api.ConditionReady, Status: metav1.ConditionTrue, Reason: api.ReasonCredentialsReady}
	if s.user.Spec.Suspend {
		return s.suspended(ready)
	}
	for _, condition := range conditions {
		if condition.Status == metav1.ConditionFalse {
			ready.Status, ready.Reason, ready.Message = condition.Status, condition.Reason, condition.Message
			return ready
		}
	}
	for _, condition := range conditions {
		if condition.Status == metav1.ConditionUnknown {
			ready.Status, ready.Reason, ready.Message = metav1.ConditionUnknown, api.ReasonPending, s.beingObtained()
			return ready
		}
	}
	ready.Message = "Every Secret holds a credential that works"
	if s.problem != nil { // the token at hand outlives it, perhaps
		ready.Message = s.failingSince() + s.problem.Message() + s.validUntil()
	}
	return ready
}

// beingObtained says what is waited for, and that what is at hand works no more.
func (s *scope) beingObtained() string {
	message := "The credentials are being obtained"
	if s.keyIsMade() {
		message = fmt.Sprintf("Waits until the operator has made the signing key of GiniClient %s; if that lasts, its status says why", clientKey(s.user))
	}
	if wanted := s.expiring(); wanted != nil && wanted.readable && !s.now.Before(wanted.record.Token.ExpiresAt) {
		message += fmt.Sprintf(
			". The %s in Secret %s expired at %s", wanted.holding(), wanted.template.Name, wanted.record.Token.ExpiresAt.Format(time.RFC3339),
		)
	}
	return message
}

// failingSince begins the message of a user whose credential works, and cannot be renewed: since the time at which it was to be.
func (s *scope) failingSince() string {
	wanted := s.expiring()
	if wanted == nil || wanted.status.RefreshAt == nil || wanted.status.RefreshAt.After(s.now) {
		return ""
	}
	return fmt.Sprintf("The %s cannot be renewed since %s: ", wanted.holding(), wanted.status.RefreshAt.UTC().Format(time.RFC3339))
}

// suspended is Ready while spec.suspend is set: whether the credentials at hand still work, and when they expire.
func (s *scope) suspended(ready metav1.Condition) metav1.Condition {
	ready.Reason = api.ReasonSuspended
	switch {
	case !s.delivered():
		ready.Status = metav1.ConditionFalse
		ready.Message = "Suspended, and not every Secret holds a credential that works: unset spec.suspend to get new ones"
		if s.refused {
			ready.Message = "Suspended, and its grant was withdrawn: " + s.problem.Message()
		}
	case s.expiring() == nil:
		ready.Message = "Suspended: the Secrets stay as they are"
	default:
		wanted := s.expiring()
		ready.Message = fmt.Sprintf("Suspended: Secret %s stays as it is, and its %s expires at %s",
			wanted.template.Name, wanted.holding(), wanted.record.Token.ExpiresAt.Format(time.RFC3339))
	}
	return ready
}

// reconciling is set while the operator has something to do, or waits for something that may come by itself.
func reconciling(s *scope, ready metav1.Condition) *metav1.Condition {
	if s.user.Spec.Suspend || ready.Status == metav1.ConditionTrue || (s.problem != nil && s.problem.Reaction().Retry == problem.Stall) {
		return nil
	}
	return &metav1.Condition{Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message}
}

// stalled is set where only a person can help.
func stalled(s *scope) *metav1.Condition {
	if s.user.Spec.Suspend || s.problem == nil || s.problem.Reaction().Retry != problem.Stall {
		return nil
	}
	condition := s.failed(metav1.Condition{Type: api.ConditionStalled})
	condition.Status = metav1.ConditionTrue
	return &condition
}

func messageOf(conditions []metav1.Condition, reason string) string {
	for _, condition := range conditions {
		if condition.Type != api.ConditionReady && condition.Type != api.ConditionReconciling && condition.Reason == reason {
			message, _, _ := strings.Cut(condition.Message, currentCredential)
			return message
		}
	}
	return ""
}
