package simulation

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/renewal"
)

// scope is what one reconcile has seen and done.
type scope struct {
	record
	number int
	key    types.NamespacedName
	lane   *lane.Lane
	now    time.Time
	// credentials is the version of the client's credentials Secret.
	credentials string

	need    renewal.Verdict
	renewAt time.Time
	retryAt time.Time
	// trouble is what the client suffers from, as far as this user has met it.
	trouble gini.Kind
}

func (s *scope) policy() renewal.Policy {
	behaviour := s.lane.Behaviour(lane.LoginEndpoint)
	return renewal.Policy{
		Spread: renewal.Spread(string(s.object.UID)),
		Sticky: behaviour.Sticky && !s.lane.Looks(lane.LoginEndpoint, s.key, s.now),
	}
}

// patience is how long a token may have expired for want of room before the status says so.
const patience = 10 * time.Second

func (s *scope) served() bool {
	return s.secret != nil && s.now.Before(s.secret.token.EndsBy.Add(patience)) &&
		meta.IsStatusConditionTrue(s.object.Status.Conditions, api.ConditionReady)
}

// setStatus makes the status of what was seen, and reports whether it has changed.
func (s *scope) setStatus() bool {
	after := s.object.DeepCopy()
	changed := after.Status.ObservedGeneration != after.Generation
	after.Status.ObservedGeneration = after.Generation
	if s.secret != nil && s.setDevice(after) {
		changed = true
	}
	ready := metav1.Condition{Type: api.ConditionReady, Status: metav1.ConditionTrue, Reason: api.ReasonCredentialsReady}
	ready.LastTransitionTime = metav1.NewTime(s.now)
	delivered := s.secret != nil && (s.now.Before(s.secret.token.ExpiresAt) || (s.trouble == "" && s.now.Before(s.secret.token.EndsBy.Add(patience))))
	switch {
	case s.trouble != "":
		found := problem.Kind(s.trouble, s.of.name)
		ready.Reason, ready.Message = found.Reason, found.Message()
		if !delivered {
			ready.Status = metav1.ConditionFalse
		}
	case !delivered:
		ready.Status, ready.Reason = metav1.ConditionUnknown, api.ReasonPending
	}
	if meta.SetStatusCondition(&after.Status.Conditions, ready) {
		changed = true
	}
	if changed {
		s.object = after
	}
	return changed
}

// setDevice says when the token expires and is renewed, and reports whether that is news.
func (s *scope) setDevice(of *api.GiniUser) bool {
	if of.Status.Devices == nil {
		of.Status.Devices = &api.DevicesStatus{Untrusted: &api.DeviceStatus{}}
	}
	status, planned, looked := of.Status.Devices.Untrusted, s.secret.refreshAt, !s.need.Due() && !s.renewAt.IsZero()
	if looked {
		planned = s.renewAt
	}
	if s.need.Due() && planned.After(s.now) {
		looked, planned = status.RefreshAt == nil || status.RefreshAt.After(s.now), s.now
	}
	before := *status
	expires, obtained := metav1.NewTime(s.secret.token.ExpiresAt), metav1.NewTime(s.secret.token.ObtainedAt.Truncate(time.Second))
	status.ExpiresAt, status.LastRefreshAt = &expires, &obtained
	if looked || status.RefreshAt == nil {
		refresh := metav1.NewTime(planned.Truncate(time.Second))
		status.RefreshAt = &refresh
	}
	return !status.ExpiresAt.Equal(before.ExpiresAt) || !status.RefreshAt.Equal(before.RefreshAt) || !status.LastRefreshAt.Equal(before.LastRefreshAt)
}

// result says when to come again, where that is before the next sweep.
func (s *scope) result(entry agenda.Entry, now time.Time) ctrl.Result {
	at := entry.DueAt
	if (s.trouble == "" || !s.need.Due()) && (at.IsZero() || s.renewAt.Before(at)) {
		at = s.renewAt
	}
	if s.renewAt.After(at) && s.renewAt.Sub(at) < time.Second {
		at = s.renewAt
	}
	if !s.retryAt.IsZero() {
		at = s.retryAt
		if !at.After(now) {
			at = now.Add(time.Millisecond)
		}
	}
	if !at.After(now) || at.Sub(now) >= agenda.Interval {
		return ctrl.Result{}
	}
	priority := agenda.Priority(entry, at)
	return ctrl.Result{RequeueAfter: at.Sub(now), Priority: &priority}
}
