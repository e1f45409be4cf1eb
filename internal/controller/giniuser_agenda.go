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
	expiring := expiringDevices(user)
	for _, device := range expiring {
		if device.ExpiresAt != nil {
			entry.ExpiresAt = earlier(entry.ExpiresAt, device.ExpiresAt.Time)
		}
	}
	entry.New = ready == nil || (entry.ExpiresAt.IsZero() && ready.Status != metav1.ConditionTrue)
	if ready == nil || status.ObservedGeneration != user.Generation {
		entry.DueAt = user.CreationTimestamp.Time
		return entry
	}
	entry.Told = ready.Status != metav1.ConditionTrue || (failsWithClient(status) && !expired(&entry, now))
	if user.Spec.Suspend {
		entry.Told = ready.Status != metav1.ConditionTrue
	} else {
		entry.DueAt = plannedAt(user, ready, expiring, now)
	}
	if ready.Status == metav1.ConditionTrue { // the moment at which a credential that works no longer does, which Ready has to say
		for _, device := range expiring {
			entry.DueAt = earlier(entry.DueAt, endOf(device))
		}
	}
	return entry
}

// failsWithClient reports whether the status says that renewals fail with the client, though the credentials at hand work.
func failsWithClient(status *api.GiniUserStatus) bool {
	written := meta.FindStatusCondition(status.Conditions, api.ConditionSecretsWritten)
	if written == nil {
		return false
	}
	reaction, isProblem := problem.Lookup(written.Reason)
	return isProblem && reaction.Retry == problem.WithClient
}

// expired reports whether a credential has expired, which is news to a user who was told that it still works.
func expired(entry *agenda.Entry, now time.Time) bool {
	return !entry.ExpiresAt.IsZero() && !now.Before(entry.ExpiresAt)
}

// endOf is when a credential has expired, zero where there is none: a sticky one when it is renewed, a moment later.
func endOf(device *api.DeviceStatus) time.Time {
	switch {
	case device.ExpiresAt == nil:
		return time.Time{}
	case device.RefreshAt != nil && device.RefreshAt.After(device.ExpiresAt.Time):
		return device.RefreshAt.Time
	default:
		return device.ExpiresAt.Time
	}
}

// expiringDevices are the states of the devices that the spec wants and whose credentials expire.
func expiringDevices(user *api.GiniUser) []*api.DeviceStatus {
	known := user.Status.Devices
	if known == nil {
		known = &api.DevicesStatus{}
	}
	var states []*api.DeviceStatus
	for _, device := range []struct {
		wanted bool
		state  *api.DeviceStatus
	}{
		{user.Spec.Devices.Untrusted != nil, known.Untrusted},
		{user.Spec.Devices.Trusted != nil && usesJWT(user), known.Trusted},
	} {
		switch {
		case !device.wanted:
		case device.state == nil:
			states = append(states, &api.DeviceStatus{})
		default:
			states = append(states, device.state)
		}
	}
	return states
}

// plannedAt is when something is to be done for a user; zero where nothing is, until something changes that a watch tells of.
func plannedAt(user *api.GiniUser, ready *metav1.Condition, expiring []*api.DeviceStatus, now time.Time) time.Time {
	attempt := user.Status.Attempt
	reaction, isProblem := problem.Lookup(ready.Reason)
	waits := isProblem && (reaction.Retry == problem.Wait || reaction.Retry == problem.Stall)
	switch {
	case attempt != nil && attempt.NextAt != nil && attempt.Device != api.TrustedDevice:
		return heldUntil(attempt, now)
	case attempt != nil && attempt.NextAt != nil:
		return earlier(heldUntil(attempt, now), planOf(user, expiring, now))
	case attempt != nil, waits && reaction.Condition != api.ConditionSecretsWritten:
		return time.Time{}
	}
	plan := planOf(user, expiring, now)
	for _, device := range expiring { // what was never written is due since
		if device.RefreshAt == nil && !waits {
			plan = earlier(plan, ready.LastTransitionTime.Time)
		}
	}
	return plan
}

// longestHold is how long anything is held at most: Gini may ask to be left alone for an hour.
const longestHold = time.Hour + time.Second

// heldUntil is until when an attempt that has an end is not made again. One that is held for longer than anything is was planned before
// the clock was set back: it may be made now.
func heldUntil(attempt *api.AttemptStatus, now time.Time) time.Time {
	if attempt.NextAt.Sub(now) > longestHold {
		return now
	}
	return attempt.NextAt.Time
}

// planOf is when a token or JWT is renewed or verified, or was asked for anew; zero where there is none.
func planOf(user *api.GiniUser, expiring []*api.DeviceStatus, now time.Time) time.Time {
	var plan time.Time
	for _, device := range expiring {
		if device.RefreshAt == nil || device.LastRefreshAt == nil {
			continue
		}
		plan = earlier(plan, device.RefreshAt.Time)
		if steppedBack(device, now) {
			plan = earlier(plan, now)
		}
	}
	if plan.IsZero() {
		return plan
	}
	if request := user.Annotations[api.RefreshRequestedAnnotation]; request != "" && echoOf(request) != user.Status.LastHandledRefreshRequest {
		return now
	}
	if untrusted := user.Status.Devices.Untrusted; user.Spec.Renewal != nil && user.Spec.Renewal.VerifyInterval != nil &&
		untrusted != nil && untrusted.LastRefreshAt != nil {
		plan = earlier(plan, verifyAt(user, untrusted.LastRefreshAt.Time, now))
	}
	return plan
}

// verifyAt is when the token of a user with renewal.verifyInterval is, or was, to be verified.
func verifyAt(user *api.GiniUser, obtained, now time.Time) time.Time {
	var verified time.Time
	if devices := user.Status.Devices; devices != nil && devices.Untrusted != nil && devices.Untrusted.LastVerifiedAt != nil {
		verified = devices.Untrusted.LastVerifiedAt.Time
	}
	return renewal.VerifyAt(renewal.Token{ObtainedAt: obtained}, user.Spec.Renewal.VerifyInterval.Duration, renewal.Spread(string(user.UID)), verified, now)
}

// steppedBack reports whether the clock was set back since a credential was obtained: its plan may be a year ahead then.
func steppedBack(device *api.DeviceStatus, now time.Time) bool {
	obtained := renewal.Token{ObtainedAt: device.LastRefreshAt.Time, ExpiresAt: device.RefreshAt.Time, EndsBy: device.RefreshAt.Time}
	return renewal.Decide(renewal.Held{Exists: true, Readable: true, Token: obtained}, renewal.Wanted{}, now).Cause == renewal.ClockSteppedBack
}

// Entries walks all users that the cache has, for the agenda.
func (r *GiniUserReconciler) Entries(ctx context.Context) iter.Seq[agenda.Entry] {
	return func(yield func(agenda.Entry) bool) {
		var users api.GiniUserList
		if err := r.Reader.List(ctx, &users, client.UnsafeDisableDeepCopy); err != nil {
			return // the cache is not there yet, or no more
		}
		now := r.Clock.Now().Round(0)
		r.setbacks.observe(now)
		for i := range users.Items {
			if !yield(r.setbacks.correct(&users.Items[i], entryOf(&users.Items[i], now))) {
				return
			}
		}
	}
}
