package controller

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/registry"
	"github.com/gini-operator/gini-operator/internal/target"
)

// Client credentials reach trusted devices only once Gini has accepted them, if the operator can find that out: a mistyped secret would stop every
// pod at once. A client that only trusted users use is never asked, as Gini has no request for that.

// withheld reports whether the credentials in use are not to be written into a trusted device's Secret now. A Secret that holds them already
// may be repaired.
func (r *GiniUserReconciler) withheld(s *scope, wanted *device, record target.Record) bool {
	held := wanted.meta != nil && wanted.readable && target.OwnerOf(wanted.meta, s.user) == target.Ours
	known, until := s.application.Lane.Check()
	switch {
	case known == lane.CheckRejected:
		s.application.Lane.Await(s.key())
		return true
	case known != lane.CheckPending || (held && wanted.record.Fingerprint == record.Fingerprint):
		return false
	}
	s.application.Lane.Await(s.key())
	wanted.awaits = held
	s.pacedAt = earlier(s.pacedAt, until)
	return true
}

// rejectedCredentials is the problem of a trusted device while Gini rejects the client's credentials; nil if it does not.
func (s *scope) rejectedCredentials(wanted *device) *problem.Error {
	known, _ := s.application.Lane.Check()
	if known != lane.CheckRejected {
		return nil
	}
	note := "No Secret is written for the trusted device until Gini accepts them"
	if wanted.meta != nil {
		note = "Secret " + wanted.template.Name + " stays as it is until Gini accepts them"
	}
	return problem.New(api.ReasonCredentialsRejected, clientKey(s.user).String()).Noting(note)
}

// verify sees to it that credentials are tried which nobody may need to try. Those of a client that makes anonymous users are tried by a client
// token, once for each version. Other ones are tried if trusted devices wait for them: by a client token if Gini ever gave one, else by
// one untrusted user, which gets the token.
func (r *GiniClientReconciler) verify(ctx context.Context, giniClient *api.GiniClient, application *registry.Application) error {
	known, _ := application.Lane.Check()
	awaited := false
	if known == lane.CheckPending || known == lane.CheckRejected {
		var users api.GiniUserList
		if err := r.Reader.List(ctx, &users, client.UnsafeDisableDeepCopy, client.MatchingFields{indexClient: application.Name.String()}); err != nil {
			return err
		}
		awaited = containsTrustedBasic(users.Items)
		if user := soonest(users.Items); awaited && user != nil && !application.Lane.Was(lane.AcceptedClientToken) {
			application.Lane.Try(client.ObjectKeyFromObject(user))
		}
	}
	doubted := application.Lane.Doubted(lane.UserCenterEndpoint)
	if (giniClient.Spec.AnonymousUsers != nil && known != lane.CheckAccepted) ||
		((awaited || doubted) && application.Lane.Was(lane.AcceptedClientToken)) {
		r.probe(ctx, application)
	} else {
		application.Lane.Leave(LaneKey(application.Name))
	}
	return nil
}

func containsTrustedBasic(users []api.GiniUser) bool {
	for i := range users {
		if users[i].Spec.Devices.Trusted != nil && !usesJWT(&users[i]) {
			return true
		}
	}
	return false
}

// soonest is the user that logs in with the client credentials, has a token, and is to renew it soonest; nil if there is none.
func soonest(users []api.GiniUser) *api.GiniUser {
	var found *api.GiniUser
	for i := range users {
		user := &users[i]
		if user.Spec.Suspend || !user.DeletionTimestamp.IsZero() || endpointOf(user) == lane.JWTLoginEndpoint || refreshAt(user) == nil {
			continue
		}
		if found == nil || refreshAt(user).Before(refreshAt(found)) {
			found = user
		}
	}
	return found
}
