package controller

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/problem"
)

// ask takes note of what a request to Gini for this user ended with, and makes a problem of a failure: this user's own, or its client's.
func (r *GiniUserReconciler) ask(ctx context.Context, s *scope, err error) error {
	return r.answered(ctx, s, err, operationOf(err) == gini.OperationClientToken)
}

// answered is ask. neutral is whether no user was part of the request.
func (r *GiniUserReconciler) answered(ctx context.Context, s *scope, err error, neutral bool) error {
	s.asked, s.gini = true, err
	own := r.judge(ctx, s, s.endpoint(), err, neutral)
	if err == nil {
		return nil
	}
	if own && neutralTells(s, err) {
		if failed := r.askNeutral(ctx, s); failed != nil {
			return failed
		}
		s.gini = err
	}
	found := problem.FromGini(err, clientKey(s.user).String())
	switch kind := gini.KindOf(err); {
	case found == nil:
		return err
	case own && operationOf(err) == gini.OperationCreateUser:
		// The client token was given: it is the making of accounts that Gini refuses.
		return ownProblem(problem.New(api.ReasonAnonymousUsersRefused, clientKey(s.user).String()).Because(err), kind)
	case own:
		found = ownProblem(found, kind)
		refusedHere := kind == gini.CredentialsRejected || kind == gini.JWTRejected
		if refusedHere && !s.anonymous() && refusedBefore(s) && r.othersHadCredentials(ctx, s) {
			found.RetryAfter = max(found.RetryAfter, refusedUntilOthersTell)
		}
		return found
	case kind == gini.CredentialsRejected:
		standing := s.application.Lane.StandingAt(s.endpoint())
		apart := standing.Refused && s.application.Lane.State().Accepted
		return rejectedAt(s.endpoint(), clientKey(s.user).String(), apart, standing.Sole).Because(err)
	}
	return found
}

// askNeutral asks for a client token, of which no user is part.
func (r *GiniUserReconciler) askNeutral(ctx context.Context, s *scope) error {
	return r.answered(ctx, s, s.application.Gini.VerifyCredentials(ctx), true)
}

// neutralTells reports whether a request for a client token shows whose a refusal is. It is no login, so it ends nobody's token.
func neutralTells(s *scope, err error) bool {
	kind, operation := gini.KindOf(err), operationOf(err)
	return s.endpoint() == lane.UserCenterEndpoint && clientTokenGiven(s) &&
		(kind == gini.RateLimited || kind == gini.CredentialsRejected && operation != gini.OperationCreateUser) && operation != gini.OperationClientToken
}

// clientTokenGiven reports whether Gini ever gave this client a client token.
func clientTokenGiven(s *scope) bool {
	return s.application.Gini.ClientTokenGiven() || s.application.Lane.Was(lane.AcceptedClientToken)
}

// judge lets the lane take note of an answer, and reports whether a failure is this user's own.
func (r *GiniUserReconciler) judge(ctx context.Context, s *scope, endpoint lane.Endpoint, err error, neutral bool) (own bool) {
	evidence := lane.Evidence{Neutral: neutral, Twice: neutral && s.twice, Before: endpoint == lane.UserCenterEndpoint && clientTokenGiven(s)}
	if gini.ClientLevel(gini.KindOf(err)) {
		evidence.Proven = hadCredential(s.before)
		evidence.Others = r.othersHadCredentials(ctx, s)
		evidence.Again = limitedBefore(s)
	}
	return s.application.Lane.Judge(endpoint, s.key(), err, evidence)
}

// othersHadCredentials reports whether another user of the client, who asks at the same endpoint, has or had a credential: when that is
// renewed, more is known of the client.
func (r *GiniUserReconciler) othersHadCredentials(ctx context.Context, s *scope) bool {
	var users api.GiniUserList
	if err := r.Reader.List(ctx, &users, client.UnsafeDisableDeepCopy, client.MatchingFields{indexClient: clientKey(s.user).String()}); err != nil {
		return true // the cache is being stopped: nothing is concluded
	}
	for i := range users.Items {
		other := &users.Items[i]
		if client.ObjectKeyFromObject(other) != s.key() && !other.Spec.Suspend && endpointOf(other) == s.endpoint() && hadCredential(other) {
			return true
		}
	}
	return false
}

// hadCredential reports whether a user was ever given a token or a JWT.
func hadCredential(user *api.GiniUser) bool {
	devices := user.Status.Devices
	if devices == nil {
		return false
	}
	given := func(device *api.DeviceStatus) *metav1.Time {
		if device == nil {
			return nil
		}
		return device.LastRefreshAt
	}
	return given(devices.Untrusted) != nil || given(devices.Trusted) != nil
}

// refusedAgainAfter is how long a user is left alone at least whom Gini refuses.
const refusedAgainAfter = time.Minute

// refusedUntilOthersTell is how long from the second refusal on, if the next login of another user will tell more: the credentials may be wrong
// after all, and are to be tried three times in any hour at most.
const refusedUntilOthersTell = 30 * time.Minute

// refusedBefore reports whether the last that was heard of this user was a refusal, too.
func refusedBefore(s *scope) bool {
	attempt := s.user.Status.Attempt
	return attempt != nil && attempt.Reason == api.ReasonLoginRefused
}

// limitedBefore reports whether the last that was heard of this user was a limit of its own.
func limitedBefore(s *scope) bool {
	attempt := s.user.Status.Attempt
	return attempt != nil && attempt.Reason == api.ReasonRateLimited
}

// ownProblem is a problem of this user alone.
func ownProblem(found *problem.Error, kind gini.Kind) *problem.Error {
	switch kind {
	case gini.CredentialsRejected, gini.JWTRejected:
		found = found.AsLoginRefused()
		found.RetryAfter = max(found.RetryAfter, refusedAgainAfter)
	case gini.RateLimited:
		found = found.Own()
	}
	return found
}

// troubleOf is the problem of a user that waits, as its endpoint is in trouble.
func troubleOf(endpoint lane.Endpoint, refusal *lane.Refusal, clientName string) *problem.Error {
	switch {
	case endpoint == lane.ProviderEndpoint:
		return problem.ProviderKind(refusal.Trouble, clientName)
	case refusal.Trouble == gini.CredentialsRejected:
		return rejectedAt(endpoint, clientName, refusal.Apart, refusal.Sole)
	}
	return problem.Kind(refusal.Trouble, clientName)
}

// rejectedAt is the problem of an endpoint that refuses the client credentials. apart is whether the other endpoint accepts them.
func rejectedAt(endpoint lane.Endpoint, clientName string, apart, sole bool) *problem.Error {
	found := problem.New(api.ReasonCredentialsRejected, clientName)
	switch {
	case apart && endpoint == lane.UserCenterEndpoint:
		found = problem.New(api.ReasonAnonymousUsersRefused, clientName)
	case apart:
		found = problem.New(api.ReasonDerivedUsersRefused, clientName)
	}
	if sole {
		found = found.Noting(soleNote)
	}
	return found
}

// soleNote names the other cause of refusals that one user alone has met.
const soleNote = "Only one user was tried, twice: if the credentials are right, Gini refuses that user, so check its identifier or account"

func operationOf(err error) string {
	if answer, ok := errors.AsType[*gini.Error](err); ok {
		return answer.Operation
	}
	return ""
}

// refreshAt is when a user's token is renewed; nil if it has none.
func refreshAt(user *api.GiniUser) *metav1.Time {
	if devices := user.Status.Devices; devices != nil && devices.Untrusted != nil {
		return devices.Untrusted.RefreshAt
	}
	return nil
}

// endpointOf is where a user's tokens come from.
func endpointOf(user *api.GiniUser) lane.Endpoint {
	switch {
	case user.Spec.Anonymous != nil:
		return lane.UserCenterEndpoint
	case usesJWT(user):
		return lane.JWTLoginEndpoint
	default:
		return lane.LoginEndpoint
	}
}
