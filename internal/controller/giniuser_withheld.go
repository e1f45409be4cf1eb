package controller

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
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
// may be repaired while nothing is known of them.
func (r *GiniUserReconciler) withheld(s *scope, wanted *device, record target.Record) bool {
	held := wanted.meta != nil && wanted.readable && target.OwnerOf(wanted.meta, s.user) == target.Ours
	holdsThem := held && wanted.record.Fingerprint == record.Fingerprint
	known, until := r.verdict(s, !holdsThem)
	if known == lane.CheckPending && !holdsThem {
		wanted.awaits = held
		s.pacedAt = earlier(s.pacedAt, until)
		return true
	}
	return known == lane.CheckRejected
}

// verdict is what is known of the credentials in use, and until when it is waited for. The user comes again when that changes. needed is
// whether it waits for a verdict, so that one has to be had.
func (r *GiniUserReconciler) verdict(s *scope, needed bool) (known lane.Check, until time.Time) {
	follow := s.application.Lane.Follow
	if needed {
		follow = s.application.Lane.Await
	}
	for {
		told := follow(s.key())
		if known, until = s.application.Lane.Check(); known == told {
			return known, until
		}
	}
}

// withheldJWT reports whether no JWT is issued now whatever it is due for, as it would hold client credentials that Gini rejects or has not accepted
// yet. The one at hand, which holds the client secret of before, stays.
func (r *GiniUserReconciler) withheldJWT(s *scope) bool {
	if s.identity.Signer == nil || s.identity.Signer.Names.ClientSecret == "" {
		return false
	}
	wanted := s.trusted
	holdsThem := wanted.meta != nil && wanted.readable && wanted.record.IssuedBy == s.identity.IssuedBy()
	known, until := r.verdict(s, !holdsThem)
	if known == lane.CheckPending && !holdsThem {
		s.pacedAt = earlier(s.pacedAt, until)
		return true
	}
	return known == lane.CheckRejected
}

// rejectedCredentials is the problem of a trusted device while Gini rejects the client's credentials; nil if it does not.
func (s *scope) rejectedCredentials(wanted *device) *problem.Error {
	known, _ := s.application.Lane.Check()
	if known != lane.CheckRejected {
		return nil
	}
	note := "Secret " + wanted.template.Name + " is not written until Gini accepts them"
	if wanted.meta != nil {
		note = "Secret " + wanted.template.Name + " stays as it is until Gini accepts them"
	}
	return problem.New(api.ReasonCredentialsRejected, clientKey(s.user).String()).Noting(note)
}

// verify sees to it that credentials are tried which nobody may need to try. Those of a client that makes anonymous users are tried by a client
// token, once for each version. Other ones are tried if trusted devices wait for them: by a client token if Gini ever gave one, and by one untrusted
// user, which gets the token, if Gini did not or that does not tell.
func (r *GiniClientReconciler) verify(ctx context.Context, giniClient *api.GiniClient, application *registry.Application) error {
	known, until := application.Lane.Check()
	awaited := !until.IsZero() && (known == lane.CheckPending || known == lane.CheckRejected)
	byToken := application.UserCenterAllowed && application.Lane.Was(lane.AcceptedClientToken)
	if awaited && (!byToken || r.tokenTellsTooLittle(application, known, until)) {
		var users api.GiniUserList
		if err := r.Reader.List(ctx, &users, client.UnsafeDisableDeepCopy, client.MatchingFields{indexClient: application.Name.String()}); err != nil {
			return err
		}
		if !byToken && !slices.ContainsFunc(users.Items, triesCredentials) {
			application.Lane.GiveUp() // only trusted devices use them: Gini has no request that would tell
		}
		application.Lane.Try(triers(users.Items)...)
	}
	doubted := byToken && application.Lane.Doubted(lane.UserCenterEndpoint)
	if (giniClient.Spec.AnonymousUsers != nil && known != lane.CheckAccepted) || (awaited && byToken) || doubted {
		r.probe(ctx, application)
	} else {
		application.Lane.Leave(LaneKey(application.Name))
	}
	return nil
}

// tokenTellsWithin is how long credentials are tried by a client token alone: half of the time that a verdict is waited for.
const tokenTellsWithin = 30 * time.Second

// tokenTellsTooLittle reports whether a login has to tell what Gini thinks of credentials that were to be tried by a client token: the User Center does
// not answer; or it refuses them, which it may do because Gini took the right to anonymous users away.
func (r *GiniClientReconciler) tokenTellsTooLittle(application *registry.Application, known lane.Check, until time.Time) bool {
	if known == lane.CheckRejected {
		return !application.Lane.StandingAt(lane.LoginEndpoint).Refused
	}
	return until.Sub(r.Clock.Now().Round(0)) <= tokenTellsWithin
}

// triesCredentials reports whether a user logs in with the client credentials.
func triesCredentials(user api.GiniUser) bool {
	return user.Spec.Devices.Untrusted != nil && !usesJWT(&user) && !user.Spec.Suspend && user.DeletionTimestamp.IsZero()
}

// triers are the users that can log in early: they have a token, and nothing is wrong with them. Whoever is to renew it soonest comes first.
func triers(users []api.GiniUser) []types.NamespacedName {
	fit := slices.DeleteFunc(slices.Clone(users), func(user api.GiniUser) bool {
		return !triesCredentials(user) || refreshAt(&user) == nil || user.Status.Attempt != nil ||
			!meta.IsStatusConditionTrue(user.Status.Conditions, api.ConditionClientResolved)
	})
	slices.SortStableFunc(fit, func(a, b api.GiniUser) int { return refreshAt(&a).Compare(refreshAt(&b).Time) })
	keys := make([]types.NamespacedName, 0, len(fit))
	for i := range fit {
		keys = append(keys, client.ObjectKeyFromObject(&fit[i]))
	}
	return keys
}
