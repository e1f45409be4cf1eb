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
)

// entryOf says when a user is to be looked at next, as its status has it.
func entryOf(user *api.GiniUser) agenda.Entry {
	entry := agenda.Entry{Key: client.ObjectKeyFromObject(user), Client: clientKey(user)}
	status := &user.Status
	ready := meta.FindStatusCondition(status.Conditions, api.ConditionReady)
	var untrusted *api.DeviceStatus
	if status.Devices != nil {
		untrusted = status.Devices.Untrusted
	}
	entry.New = ready == nil || (untrusted == nil && ready.Status != metav1.ConditionTrue)
	if untrusted != nil && untrusted.ExpiresAt != nil {
		entry.ExpiresAt = untrusted.ExpiresAt.Time
	}
	if ready == nil || status.ObservedGeneration != user.Generation {
		entry.DueAt = user.CreationTimestamp.Time
		return entry
	}
	// The moment at which a credential that still works no longer does, which Ready has to say.
	var expiry time.Time
	if ready.Status == metav1.ConditionTrue {
		expiry = entry.ExpiresAt
	}
	reaction, isProblem := problem.Lookup(ready.Reason)
	switch {
	case user.Spec.Suspend:
		entry.DueAt = expiry
	case status.Attempt != nil && status.Attempt.NextAt != nil:
		entry.DueAt = earlier(status.Attempt.NextAt.Time, expiry)
	case isProblem && (reaction.Retry == problem.Wait || reaction.Retry == problem.Stall):
		entry.DueAt = expiry
	case untrusted != nil && untrusted.RefreshAt != nil:
		entry.DueAt = untrusted.RefreshAt.Time
	case ready.Status != metav1.ConditionTrue:
		entry.DueAt = ready.LastTransitionTime.Time
	}
	return entry
}

// Entries walks all users that the cache has, for the agenda.
func (r *GiniUserReconciler) Entries(ctx context.Context) iter.Seq[agenda.Entry] {
	return func(yield func(agenda.Entry) bool) {
		var users api.GiniUserList
		if err := r.Reader.List(ctx, &users, client.UnsafeDisableDeepCopy); err != nil {
			return // the cache is not there yet, or no more
		}
		for i := range users.Items {
			if !yield(entryOf(&users.Items[i])) {
				return
			}
		}
	}
}
