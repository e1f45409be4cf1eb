package controller

import (
	"context"
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
	found := firstProblem(s.devices())
	same := found != nil && s.problem != nil && found.Reason == s.problem.Reason && found.Reaction().Retry == problem.WithClient
	if s.problem == nil || same { // what a device says of it tells more
		s.problem = found
	}
	r.setAttempt(s)
	setDevices(s)
	if err := r.observeReaders(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
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

// pauseOf is how long a user is left alone after so many failures in a row. A limit passes soon, as a rule: it is asked about as a client's is.
func pauseOf(reason string, failures int32) time.Duration {
	first, longest := firstRetry, longestRetry
	switch reason {
	case api.ReasonSecretNotWritten:
		longest = longestWriteRetry
	case api.ReasonRateLimited:
		first, longest = time.Second, time.Minute
	}
	return min(first<<min(failures-1, 10), longest)
}

// setAttempt notes a failure that is the user's own, so that neither a restart nor an event that changes nothing of it asks Gini again.
func (r *GiniUserReconciler) setAttempt(s *scope) {
	s.clearAttempt()
	if s.problem == nil {
		return
	}
	retry := s.problem.Reaction().Retry
	if s.held || s.application == nil || retry == problem.WithClient || retry == problem.Wait {
		return
	}
	if s.gini == nil && s.problem.Reason != api.ReasonSecretNotWritten && s.problem.Reason != api.ReasonContended {
		return // not what Gini was asked for: looked at again at every event
	}
	attempt := &api.AttemptStatus{Reason: s.problem.Reason, Device: api.UntrustedDevice, Inputs: r.attempted(s), Failures: 1}
	if s.trusted != nil && (s.trusted.problem == s.problem || (s.problem.Reason == api.ReasonJWTNotIssued && s.trusted.due())) {
		attempt.Device = api.TrustedDevice
	}
	before := s.user.Status.Attempt
	if before != nil && before.Inputs == attempt.Inputs && before.Reason == attempt.Reason && attempt.Reason != api.ReasonContended {
		attempt.Failures = before.Failures + 1
	}
	if retry == problem.Backoff {
		pause := pauseOf(attempt.Reason, attempt.Failures)
		if attempt.Reason == api.ReasonContended {
			pause = 0 // the contention itself says when
		}
		next := metav1.NewTime(s.now.Add(max(pause, s.problem.RetryAfter) + time.Second - 1).Truncate(time.Second))
		attempt.NextAt = &next
	}
	s.user.Status.Attempt = attempt
}

// clearAttempt forgets a failed attempt of a device that is well now.
func (s *scope) clearAttempt() {
	attempt := s.user.Status.Attempt
	if attempt == nil || s.held || s.application == nil {
		return
	}
	if attempt.Device == api.TrustedDevice {
		if s.trusted == nil || s.trusted.written {
			s.user.Status.Attempt = nil
		}
		return
	}
	if !s.untrusted.due() && (s.untrusted == nil || !s.untrusted.refused()) && (s.problem == nil || s.problem.Reason != attempt.Reason) {
		s.user.Status.Attempt = nil
	}
}

// setDevices makes the status of the devices of what their Secrets say.
func setDevices(s *scope) {
	for _, wanted := range s.devices() { // the untrusted one last: its token is what a person asks to be refreshed first of all
		s.setDevice(wanted)
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
	s.user.Status.ExpiresAt = firstExpiry(expiringDevices(s.user))
}

// firstExpiry is when the first of the devices' credentials expires; nil where none does.
func firstExpiry(devices []*api.DeviceStatus) (first *metav1.Time) {
	for _, device := range devices {
		if first == nil || device.ExpiresAt.Before(first) {
			first = device.ExpiresAt.DeepCopy()
		}
	}
	return first
}

// setDevice makes the status of a device of what its Secret says of its token or JWT.
func (s *scope) setDevice(wanted *device) {
	s.noteSecret(wanted)
	if !wanted.expires || !wanted.readable || wanted.status.SecretName != wanted.template.Name || target.OwnerOf(wanted.meta, s.user) != target.Ours {
		wanted.status.ExpiresAt, wanted.status.RefreshAt = nil, nil
		if !wanted.expires {
			wanted.status.LastRefreshAt = nil
		}
		return
	}
	expires := metav1.NewTime(wanted.record.Token.ExpiresAt)
	wanted.status.ExpiresAt = &expires
	planned := wanted.record.RefreshAt
	looked := s.application != nil && !wanted.due() && !wanted.renewAt.IsZero()
	if looked {
		planned = wanted.renewAt
	}
	if wanted.due() && planned.After(s.now) { // a new one is due for another reason than its time
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

// noteSecret notes which Secret is the device's, also where a status from before it had UIDs knows its name alone; and forgets one that is somebody
// else's by now.
func (s *scope) noteSecret(wanted *device) {
	switch {
	case wanted.meta == nil || wanted.status.SecretName != wanted.template.Name:
	case target.OwnerOf(wanted.meta, s.user) == target.Ours:
		wanted.status.SecretUID = string(wanted.meta.GetUID())
	default:
		wanted.status.SecretUID = ""
	}
}

// patchStatus writes the status, where it has changed. A conflict means that this reconcile looked at an old one.
func (r *GiniUserReconciler) patchStatus(ctx context.Context, s *scope) error {
	if equality.Semantic.DeepEqual(s.before.Status, s.user.Status) {
		return nil
	}
	readyFirst(s.user.Status.Conditions)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()
	base, status := s.before, s.user.Status.DeepCopy()
	for attempt := 1; ; attempt++ {
		patched := base.DeepCopy()
		status.DeepCopyInto(&patched.Status)
		patch := client.MergeFromWithOptions(base.DeepCopy(), client.MergeFromWithOptimisticLock{})
		err := r.Status.Status().Patch(ctx, patched, patch, client.FieldOwner(FieldManager))
		if err == nil {
			r.memory.wroteStatus(s.key(), patched.ResourceVersion, s.now)
		}
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
	if before, after := standingOf(s.before), standingOf(s.user); before != after {
		ready := meta.FindStatusCondition(s.user.Status.Conditions, api.ConditionReady)
		logChange(ctx, *ready, after.failing, "GiniClient", clientKey(s.user))
		switch {
		case s.problem != nil && after.failing == s.problem.Reason:
			if s.problem.Reaction().Event {
				s.tell(true, after.failing, "Reconcile", s.problem.Message())
			}
		case ready.Status == metav1.ConditionTrue && ready.Reason == api.ReasonCredentialsReady:
			s.tell(false, ready.Reason, "Reconcile", ready.Message)
		}
	}
	for _, told := range s.notices {
		kind := corev1.EventTypeNormal
		if told.warning {
			kind = corev1.EventTypeWarning
		}
		inform(r.Events, reference(s.user), kind, told.reason, told.action, told.message)
	}
}

// standing is what people are told when it changes: Ready, and what keeps credentials from being renewed though those at hand work.
type standing struct {
	status  metav1.ConditionStatus
	reason  string
	failing string
}

func standingOf(user *api.GiniUser) standing {
	ready := meta.FindStatusCondition(user.Status.Conditions, api.ConditionReady)
	if ready == nil {
		return standing{}
	}
	found := standing{status: ready.Status, reason: ready.Reason}
	if _, isProblem := problem.Lookup(ready.Reason); isProblem {
		found.failing = ready.Reason
	}
	if written := meta.FindStatusCondition(user.Status.Conditions, api.ConditionSecretsWritten); written != nil && found.failing == "" {
		if _, isProblem := problem.Lookup(written.Reason); isProblem {
			found.failing = written.Reason
		}
	}
	return found
}

// logChange logs that Ready has changed. What is wrong is an error line, so that filters by level find it.
func logChange(ctx context.Context, ready metav1.Condition, failing string, keysAndValues ...any) {
	log := logf.FromContext(ctx).WithValues(keysAndValues...).WithValues("status", ready.Status, "reason", ready.Reason, "message", ready.Message)
	switch {
	case ready.Status == metav1.ConditionFalse:
		log.Error(nil, "Ready has changed to False")
	case failing != "":
		log.Error(nil, "Credentials cannot be renewed; those at hand still work", "failing", failing)
	default:
		log.Info("Ready has changed")
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
	at, next := entry.DueAt, s.next()
	if s.problem == nil || s.untrusted != nil && !s.untrusted.refused() && !s.untrusted.due() {
		at = earlier(at, next)
	}
	if next.After(at) && next.Sub(at) < time.Second { // the status holds whole seconds
		at = next
	}
	if !s.retryAt.IsZero() {
		at = s.retryAt
		if !at.After(now) {
			at = now.Add(time.Millisecond) // the next step, at once
		}
	}
	if paced := s.pacedAt; paced.After(now) && at.Sub(now) >= agenda.Interval {
		return ctrl.Result{RequeueAfter: paced.Sub(now)} // no sweep knows of it
	}
	if at.After(s.now) && !at.After(now) { // it became due while this reconcile looked at what was before
		at = now.Add(time.Millisecond)
	}
	if !at.After(now) || at.Sub(now) >= agenda.Interval {
		return ctrl.Result{} // what is due and was not done is called by its lane, or found by the next sweep
	}
	priority := agenda.Priority(entry, at)
	return ctrl.Result{RequeueAfter: at.Sub(now), Priority: &priority}
}
