package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/registry"
)

// kindsOfUsers are the conditions that say which kinds of users Gini lets a client have, and the endpoint that each kind asks.
var kindsOfUsers = []struct {
	condition string
	endpoint  lane.Endpoint
}{
	{api.ConditionDerivedUsersAccepted, lane.LoginEndpoint},
	{api.ConditionAnonymousUsersAccepted, lane.UserCenterEndpoint},
}

// usersAccepted says whether Gini lets the client have the users that ask an endpoint; nil while it was not asked with the credentials in use, or there
// are none to ask it with, for which the other conditions have the reason.
func usersAccepted(application *registry.Application, endpoint lane.Endpoint) *metav1.Condition {
	if application == nil {
		return nil
	}
	standing := application.Lane.StandingAt(endpoint)
	switch {
	case standing.Refused:
		apart := application.Lane.State().Accepted
		found := rejectedAt(endpoint, application.Name.String(), apart, standing.Sole)
		return &metav1.Condition{Status: metav1.ConditionFalse, Reason: found.Reason, Message: found.ClientMessage()}
	case standing.Accepted:
		message := "Gini's /login accepted the client credentials"
		if endpoint == lane.UserCenterEndpoint {
			message = "Gini's User Center accepted the client credentials"
		}
		return &metav1.Condition{Status: metav1.ConditionTrue, Reason: api.ReasonCredentialsAccepted, Message: message}
	}
	return nil
}

// speakOfUsers tells people when Gini does not let a client have one kind of users. Ready says nothing of that.
func (r *GiniClientReconciler) speakOfUsers(ctx context.Context, before, after *api.GiniClient) {
	for _, kind := range kindsOfUsers {
		was := meta.FindStatusCondition(before.Status.Conditions, kind.condition)
		is := meta.FindStatusCondition(after.Status.Conditions, kind.condition)
		if is == nil || is.Status != metav1.ConditionFalse || is.Reason == api.ReasonCredentialsRejected || (was != nil && was.Reason == is.Reason) {
			continue
		}
		logf.FromContext(ctx).Error(nil, "One kind of users is refused", "condition", kind.condition, "reason", is.Reason, "message", is.Message)
		inform(r.Events, clientReference(after), corev1.EventTypeWarning, is.Reason, "Reconcile", is.Message)
	}
}

// unverified reports whether credentials are handed to trusted devices though Gini, which accepted this client before, has not said what it thinks of them.
func unverified(application *registry.Application) bool {
	if application == nil {
		return false
	}
	known, _ := application.Lane.Check()
	return known == lane.CheckUnverified
}

// acceptedRequests is what Gini has accepted the client for, for the status. What it accepted of another client id stays until it accepts this one.
func acceptedRequests(application *registry.Application, before *api.AcceptedRequests) *api.AcceptedRequests {
	given := application.Lane.Given()
	if len(given) == 0 {
		return before
	}
	accepted := &api.AcceptedRequests{ClientID: application.ClientID}
	for _, request := range given {
		accepted.Requests = append(accepted.Requests, api.AcceptedRequest(request))
	}
	return accepted
}

// identityProblem is the problem of an endpoint that JWTs come from or are sent to.
func identityProblem(endpoint lane.Endpoint, trouble gini.Kind, clientName string) *problem.Error {
	if endpoint == lane.ProviderEndpoint {
		return problem.ProviderKind(trouble, clientName)
	}
	return problem.Kind(trouble, clientName)
}
