package controller

import (
	"context"
	"iter"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/renewal"
)

// entryOf says when a user is to be looked at next, as its spec and status have it at now.
func entryOf(user *api.GiniUser, now time.Time) agenda.Entry {
	entry := agenda.Entry{Key: client.ObjectKeyFromObject(user), Client: clientKey(user)}
	status := &user.Status
	ready := meta.FindStatusCondition(status.Conditions, api.ConditionReady)
	untrusted := untrustedStatus(status)
	entry.New = ready == nil || (untrusted.ExpiresAt == nil && ready.Status != metav1.ConditionTrue)
	if untrusted.ExpiresAt != nil {
		entry.ExpiresAt = untrusted.ExpiresAt.Time
	}
	if ready == nil || status.ObservedGeneration != user.Generation {
		entry.DueAt = user.CreationTimestamp.Time
		return entry
	}
	reaction, isProblem := problem.Lookup(ready.Reason)
	entry.Told = ready.Status != metav1.ConditionTrue || (isProblem && reaction.Retry == problem.WithClient)
	if user.Spec.Suspend {
		entry.Told = ready.Status != metav1.ConditionTrue
	} else {
		entry.DueAt = plannedAt(user, ready, untrusted, now)
	}
	if ready.Status == metav1.ConditionTrue { // the moment at which a credential that works no longer does, which Ready has to say
		entry.DueAt = earlier(entry.DueAt, entry.ExpiresAt)
	}
	return entry
}

func untrustedStatus(status *api.GiniUserStatus) api.DeviceStatus {
	if status.Devices == nil || status.Devices.Untrusted == nil {
		return api.DeviceStatus{}
	}
	return *status.Devices.Untrusted
}

// plannedAt is when something is to be done for a user; zero where nothing is, until something changes that a watch tells of.
func plannedAt(user *api.GiniUser, ready *metav1.Condition, untrusted api.DeviceStatus, now time.Time) time.Time {
	attempt := user.Status.Attempt
	reaction, isProblem := problem.Lookup(ready.Reason)
	waits := isProblem && (reaction.Retry == problem.Wait || reaction.Retry == problem.Stall)
	switch {
	case attempt != nil && attempt.NextAt != nil && attempt.Device != api.TrustedDevice:
		return attempt.NextAt.Time
	case attempt != nil && attempt.NextAt != nil:
		return earlier(attempt.NextAt.Time, planOf(user, untrusted, now))
	case attempt != nil, waits && reaction.Condition != api.ConditionSecretsWritten:
		return time.Time{}
	case user.Spec.Devices.Untrusted == nil, untrusted.RefreshAt == nil && waits:
		return time.Time{}
	case untrusted.RefreshAt == nil:
		return ready.LastTransitionTime.Time
	default:
		return planOf(user, untrusted, now)
	}
}

// planOf is when the token is renewed or verified, or was asked for anew.
func planOf(user *api.GiniUser, untrusted api.DeviceStatus, now time.Time) time.Time {
	if untrusted.RefreshAt == nil || untrusted.LastRefreshAt == nil {
		return time.Time{}
	}
	if request := user.Annotations[api.RefreshRequestedAnnotation]; request != "" && refreshRequest(request) != user.Status.LastHandledRefreshRequest {
		return now
	}
	plan := untrusted.RefreshAt.Time
	if user.Spec.Renewal != nil && user.Spec.Renewal.VerifyInterval != nil {
		_, next := renewal.Verification(renewal.Token{ObtainedAt: untrusted.LastRefreshAt.Time}, user.Spec.Renewal.VerifyInterval.Duration,
			renewal.Spread(string(user.UID)), now)
		plan = earlier(plan, next)
	}
	return plan
}

// Entries walks all users that the cache has, for the agenda.
func (r *GiniUserReconciler) Entries(ctx context.Context) iter.Seq[agenda.Entry] {
	return func(yield func(agenda.Entry) bool) {
		var users api.GiniUserList
		if err := r.Reader.List(ctx, &users, client.UnsafeDisableDeepCopy); err != nil {
			return // the cache is not there yet, or no more
		}
		now := r.Clock.Now().Round(0)
		for i := range users.Items {
			if !yield(entryOf(&users.Items[i], now)) {
				return
			}
		}
	}
}
