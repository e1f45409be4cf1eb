package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/target"
)

// finish makes the status of what the stages saw, writes it where it has changed, tells people, and says when to come again.
func (r *GiniUserReconciler) finish(ctx context.Context, s *scope) (ctrl.Result, error) {
	if s.problem == nil {
		s.problem = firstProblem(s.devices())
	}
	if err := r.setAttempt(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	setDevices(s)
	setUserConditions(s)
	if err := r.patchStatus(ctx, s); err != nil {
		if apierrors.IsConflict(err) { // this reconcile looked at an old status
			return ctrl.Result{RequeueAfter: conflictPause}, nil
		}
		return ctrl.Result{}, err
	}
	r.speak(ctx, s)
	return r.result(s), nil
}

// conflictPause is how long to wait for the cache to catch up.
const conflictPause = 200 * time.Millisecond

func firstProblem(devices []*device) *problem.Error {
	for _, wanted := range devices {
		if wanted.problem != nil {
			return wanted.problem
		}
	}
	return nil
}

const (
	// firstRetry and longestRetry bound the pauses after failures of one user.
	firstRetry   = 5 * time.Second
	longestRetry = 15 * time.Minute
)

// setAttempt notes a failure that is the user's own, so that neither a restart nor an event that changes nothing of it asks Gini again.
func (r *GiniUserReconciler) setAttempt(ctx context.Context, s *scope) error {
	if s.problem == nil {
		if !s.need.Due() && s.application != nil {
			s.user.Status.Attempt = nil
		}
		return nil
	}
	retry := s.problem.Reaction().Retry
	if s.held || s.application == nil || retry == problem.WithClient || retry == problem.Wait {
		return nil
	}
	if s.gini == nil && s.problem.Reason != api.ReasonSecretNotWritten && s.problem.Reason != api.ReasonContended {
		return nil // not what Gini was asked for: looked at again at every event
	}
	inputs, err := r.attempted(ctx, s)
	if err != nil {
		return err
	}
	attempt := &api.AttemptStatus{Reason: s.problem.Reason, Inputs: inputs, Failures: 1}
	before := s.user.Status.Attempt
	if before != nil && before.Inputs == attempt.Inputs && before.Reason == attempt.Reason && attempt.Reason != api.ReasonContended {
		attempt.Failures = before.Failures + 1
	}
	if retry == problem.Backoff {
		pause := min(firstRetry<<min(attempt.Failures-1, 10), longestRetry)
		if attempt.Reason == api.ReasonContended {
			pause = 0 // the contention itself says when
		}
		next := metav1.NewTime(s.now.Add(max(pause, s.problem.RetryAfter)).Truncate(time.Second))
		attempt.NextAt = &next
	}
	s.user.Status.Attempt = attempt
	return nil
}

// setDevices makes the status of the devices of what their Secrets say.
func setDevices(s *scope) {
	if wanted := s.untrusted; wanted != nil {
		if !wanted.readable || wanted.status.SecretName != wanted.template.Name || target.OwnerOf(wanted.meta, s.user) != target.Ours {
			wanted.status.ExpiresAt, wanted.status.RefreshAt = nil, nil
		} else {
			expires := metav1.NewTime(wanted.record.Token.ExpiresAt)
			wanted.status.ExpiresAt = &expires
			planned := wanted.record.RefreshAt
			looked := s.application != nil && !s.need.Due() && !s.renewAt.IsZero()
			if looked {
				planned = s.renewAt
			}
			if s.need.Due() && planned.After(s.now) { // a new token is due for another reason than its time
				looked, planned = wanted.status.RefreshAt == nil || wanted.status.RefreshAt.After(s.now), s.now
			}
			if looked || wanted.status.RefreshAt == nil {
				refresh := metav1.NewTime(planned.Truncate(time.Second))
				wanted.status.RefreshAt = &refresh
			}
			if wanted.status.LastRefreshAt == nil {
				obtained := metav1.NewTime(wanted.record.Token.ObtainedAt.Truncate(time.Second))
				wanted.status.LastRefreshAt = &obtained
			}
			s.user.Status.LastHandledRefreshRequest = wanted.record.RefreshHandled
		}
	}
	devices := s.user.Status.Devices
	for _, status := range []**api.DeviceStatus{&devices.Untrusted, &devices.Trusted} {
		if *status != nil && **status == (api.DeviceStatus{}) {
			*status = nil
		}
	}
	if devices.Untrusted == nil && devices.Trusted == nil {
		s.user.Status.Devices = nil
	}
}

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

// concerns reports whether the problem turns a condition False.
func (s *scope) concerns(conditionType string) bool {
	return s.problem != nil && s.problem.Reaction().Condition == conditionType
}

func clientResolved(s *scope) metav1.Condition {
	condition := metav1.Condition{Type: api.ConditionClientResolved}
	switch {
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
		if s.concerns(condition.Type) {
			return s.failed(condition)
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
	if s.untrusted != nil && (!s.tokenValid() || s.untrusted.tampered || target.OwnerOf(s.untrusted.meta, s.user) != target.Ours || s.staleSubject()) {
		return false
	}
	return s.trusted == nil || (s.trusted.meta != nil && target.OwnerOf(s.trusted.meta, s.user) == target.Ours &&
		(s.trusted.written || s.application == nil) && s.trusted.status.SecretName == s.trusted.template.Name)
}

// staleSubject reports whether the token is known to be for somebody else than the spec asks for.
func (s *scope) staleSubject() bool {
	return s.application != nil && !s.anonymous() && s.untrusted.record.IssuedFor != s.subject(s.identifier).Hash()
}

// validUntil tells until when the token at hand can be used.
func (s *scope) validUntil() string {
	if !s.tokenValid() {
		return ""
	}
	return fmt.Sprintf("; Secret %s holds a token that is valid until %s",
		s.untrusted.template.Name, s.untrusted.record.Token.ExpiresAt.Format(time.RFC3339))
}

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
	condition.Status, condition.Reason, condition.Message = metav1.ConditionUnknown, api.ReasonPending, "Not looked at yet"
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
			ready.Status, ready.Reason, ready.Message = metav1.ConditionUnknown, api.ReasonPending, "The credentials are being obtained"
			return ready
		}
	}
	ready.Message = "Every Secret holds a credential that works"
	if s.problem != nil { // the token at hand outlives it, perhaps
		written := conditions[len(conditions)-1]
		ready.Reason, ready.Message = written.Reason, written.Message
	}
	return ready
}

// suspended is Ready while spec.suspend is set: whether the credentials at hand still work, and when they expire.
func (s *scope) suspended(ready metav1.Condition) metav1.Condition {
	ready.Reason = api.ReasonSuspended
	switch {
	case !s.delivered():
		ready.Status = metav1.ConditionFalse
		ready.Message = "Suspended, and not every Secret holds a credential that works: unset spec.suspend to get new ones"
	case s.untrusted == nil:
		ready.Message = "Suspended: the Secrets stay as they are"
	default:
		ready.Message = fmt.Sprintf("Suspended: Secret %s stays as it is, and its token expires at %s",
			s.untrusted.template.Name, s.untrusted.record.Token.ExpiresAt.Format(time.RFC3339))
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

// patchStatus writes the status, where it has changed. A conflict means that this reconcile looked at an old one.
func (r *GiniUserReconciler) patchStatus(ctx context.Context, s *scope) error {
	if equality.Semantic.DeepEqual(s.before.Status, s.user.Status) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()
	base, status := s.before, s.user.Status.DeepCopy()
	for attempt := 1; ; attempt++ {
		patched := base.DeepCopy()
		status.DeepCopyInto(&patched.Status)
		patch := client.MergeFromWithOptions(base.DeepCopy(), client.MergeFromWithOptimisticLock{})
		err := r.Status.Status().Patch(ctx, patched, patch, client.FieldOwner(FieldManager))
		if !apierrors.IsConflict(err) || !s.confirmed || attempt == writeAttempts {
			return client.IgnoreNotFound(err)
		}
		// Somebody edited a label, say, while Gini was asked: what was learned there is not to be lost.
		live := &api.GiniUser{}
		if err := r.Secrets.Live.Get(ctx, s.key(), live); err != nil || live.UID != s.user.UID || live.Generation != s.user.Generation {
			return client.IgnoreNotFound(err)
		}
		base = live
	}
}

// statusTimeout bounds a status write that goes on although the operator is being stopped.
const statusTimeout = 15 * time.Second

// speak tells people what has changed, now that the status says it too.
func (r *GiniUserReconciler) speak(ctx context.Context, s *scope) {
	before := meta.FindStatusCondition(s.before.Status.Conditions, api.ConditionReady)
	after := meta.FindStatusCondition(s.user.Status.Conditions, api.ConditionReady)
	if before == nil || before.Reason != after.Reason || before.Status != after.Status {
		logf.FromContext(ctx).Info("Ready has changed", "GiniClient", clientKey(s.user),
			"status", after.Status, "reason", after.Reason, "message", after.Message)
		switch {
		case s.problem != nil && after.Reason == s.problem.Reason:
			if s.problem.Reaction().Event {
				s.tell(true, after.Reason, "Reconcile", s.problem.Message())
			}
		case after.Status == metav1.ConditionTrue && after.Reason == api.ReasonCredentialsReady:
			s.tell(false, after.Reason, "Reconcile", after.Message)
		}
	}
	for _, told := range s.notices {
		kind := corev1.EventTypeNormal
		if told.warning {
			kind = corev1.EventTypeWarning
		}
		r.Events.Eventf(reference(s.user), nil, kind, told.reason, told.action, "%s", told.message)
	}
}

// reference names an object without its resource version, so that equal Events are counted and not repeated.
func reference(user *api.GiniUser) *api.GiniUser {
	return &api.GiniUser{
		TypeMeta:   metav1.TypeMeta{APIVersion: api.GroupVersion.String(), Kind: "GiniUser"},
		ObjectMeta: metav1.ObjectMeta{Namespace: user.Namespace, Name: user.Name, UID: user.UID},
	}
}

// result says when to come again, where that is before the next sweep of the agenda.
func (r *GiniUserReconciler) result(s *scope) ctrl.Result {
	now := r.Clock.Now().Round(0)
	entry := entryOf(s.user, now)
	at := entry.DueAt
	if s.problem == nil || s.untrusted != nil && !s.untrusted.refused() && !s.need.Due() {
		at = earlier(at, s.next)
	}
	if s.next.After(at) && s.next.Sub(at) < time.Second { // the status holds whole seconds
		at = s.next
	}
	if !s.retryAt.IsZero() {
		at = s.retryAt
	}
	if at.IsZero() || at.Sub(now) >= agenda.Interval {
		return ctrl.Result{}
	}
	priority := agenda.Priority(entry, at)
	return ctrl.Result{RequeueAfter: max(at.Sub(now), time.Millisecond), Priority: &priority}
}

func messageOf(conditions []metav1.Condition, reason string) string {
	for _, condition := range conditions {
		if condition.Type != api.ConditionReady && condition.Type != api.ConditionReconciling && condition.Reason == reason {
			message, _, _ := strings.Cut(condition.Message, "; Secret ")
			return message
		}
	}
	return ""
}
