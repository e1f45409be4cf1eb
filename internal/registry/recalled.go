package registry

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/lane"
)

// recalled is what the status of a GiniClient says of credentials that were checked before a restart, at each endpoint.
func recalled(giniClient *api.GiniClient, epoch string, now time.Time) (login, userCenter lane.State) {
	status := &giniClient.Status
	accepted := meta.FindStatusCondition(status.Conditions, api.ConditionCredentialsAccepted)
	switch {
	case status.CheckedCredentials != epoch || accepted == nil:
		return lane.State{}, lane.State{}
	case accepted.Reason == api.ReasonCredentialsRejected && status.PausedUntil != nil:
		rejected := lane.Rejected(accepted.LastTransitionTime.Time, status.PausedUntil.Time)
		if meta.FindStatusCondition(status.Conditions, api.ConditionDerivedUsersAccepted) != nil {
			login = rejected
		}
		if meta.FindStatusCondition(status.Conditions, api.ConditionAnonymousUsersAccepted) != nil {
			userCenter = rejected
		}
		if login == userCenter { // both, or told by an operator that knew of one verdict only
			return rejected, rejected
		}
		return login, userCenter
	}
	derived := meta.FindStatusCondition(status.Conditions, api.ConditionDerivedUsersAccepted)
	anonymous := meta.FindStatusCondition(status.Conditions, api.ConditionAnonymousUsersAccepted)
	if accepted.Status == metav1.ConditionTrue && derived == nil && anonymous == nil { // told by an operator that knew of one verdict only
		return lane.Accepting(), lane.Accepting()
	}
	return recalledAt(status, api.ConditionDerivedUsersAccepted, now), recalledAt(status, api.ConditionAnonymousUsersAccepted, now)
}

// recallAccepted tells the lane what the status says was accepted, each time: the cache that was seen first may have been behind.
func recallAccepted(giniClient *api.GiniClient, application *Application) {
	status := &giniClient.Status
	if status.Accepted != nil && status.Accepted.ClientID == application.ClientID {
		application.Lane.Remember(application.ClientID, acceptances(status.Accepted.Requests))
	}
	if status.CheckedCredentials == application.Epoch {
		application.Lane.RecallAccepted(
			meta.IsStatusConditionTrue(status.Conditions, api.ConditionDerivedUsersAccepted),
			meta.IsStatusConditionTrue(status.Conditions, api.ConditionAnonymousUsersAccepted),
		)
	}
}

// notVerified reports whether nobody waits any longer for a verdict on these credentials.
func notVerified(giniClient *api.GiniClient, epoch string) bool {
	accepted := meta.FindStatusCondition(giniClient.Status.Conditions, api.ConditionCredentialsAccepted)
	return giniClient.Status.CheckedCredentials == epoch && accepted != nil && accepted.Reason == api.ReasonNotVerified
}

// recalledAt is what is known of one endpoint by its condition.
func recalledAt(status *api.GiniClientStatus, conditionType string, now time.Time) lane.State {
	known := meta.FindStatusCondition(status.Conditions, conditionType)
	switch {
	case known == nil:
		return lane.State{}
	case known.Status == metav1.ConditionTrue:
		return lane.Accepting()
	}
	return lane.Rejected(known.LastTransitionTime.Time, nextTry(known.LastTransitionTime.Time, now))
}

// retryRefused is how often an endpoint is tried again that refuses credentials which the other accepts.
const retryRefused = 30 * time.Minute

// nextTry is when an endpoint that refused the credentials at an instant is tried the next time: every half hour from then on, so that
// restarts neither hasten it nor put it off.
func nextTry(refused, now time.Time) time.Time {
	if !now.After(refused) {
		return now
	}
	return now.Add(retryRefused - now.Sub(refused)%retryRefused)
}

func acceptances(requests []api.AcceptedRequest) []lane.Acceptance {
	given := make([]lane.Acceptance, 0, len(requests))
	for _, request := range requests {
		given = append(given, lane.Acceptance(request))
	}
	return given
}
