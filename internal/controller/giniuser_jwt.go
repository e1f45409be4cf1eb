package controller

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/renewal"
	"github.com/gini-operator/gini-operator/internal/target"
)

// deliverJWT keeps a JWT in the Secret of the trusted device: signed here and now, or, where the customer's identity provider gives
// it, in the lane of the client.
func (r *GiniUserReconciler) deliverJWT(ctx context.Context, s *scope) error {
	err := r.planJWT(ctx, s)
	if err == nil && s.trusted.due() && s.trusted.meta == nil && s.identity.Signer != nil { // a cache that lags looks the same as a Secret that is gone
		if err = r.readLive(ctx, s, s.trusted); err == nil && s.trusted.meta != nil {
			err = r.planJWT(ctx, s)
		}
	}
	if err == nil && s.trusted.due() && !s.trusted.refused() && s.identity.Provider != nil && r.owedJWT(s) {
		err = r.writeProviders(ctx, s)
	}
	if err == nil && s.trusted.due() && !s.trusted.refused() && s.identity.Signer != nil {
		var token identity.Token
		if token, err = r.jwtAtHand(s); err == nil {
			err = r.writeJWT(ctx, s, token)
		}
	}
	if found, ok := problem.Of(err); ok {
		s.trusted.problem = found
		return nil
	}
	return err
}

// planJWT decides whether the trusted device needs a JWT now, or when.
func (r *GiniUserReconciler) planJWT(ctx context.Context, s *scope) error {
	wanted := s.trusted
	if wanted.meta != nil && !wanted.untouched() {
		if err := r.readLive(ctx, s, wanted); err != nil {
			return err
		}
	}
	wanted.need = renewal.Decide(
		renewal.Held{
			Exists: wanted.meta != nil && target.OwnerOf(wanted.meta, s.user) == target.Ours, Deleted: wanted.lost(), Readable: wanted.readable,
			Token: wanted.record.Token, IssuedFor: wanted.record.IssuedFor, IssuedBy: wanted.record.IssuedBy,
			RefreshHandled: wanted.record.RefreshHandled, Tampered: wanted.tampered,
		},
		renewal.Wanted{
			IssuedFor: s.subject(s.identifier).Hash(), IssuedBy: s.identity.IssuedBy(),
			RefreshRequested: s.refreshRequested(), Policy: s.policy(wanted),
		},
		s.aged(wanted),
	)
	wanted.renewAt = wanted.need.At
	switch {
	case r.withheldJWT(s):
		wanted.renewAt = renewal.RefreshAt(wanted.record.Token, s.policy(wanted))
		wanted.need = renewal.Verdict{At: wanted.renewAt}
		if rejected := s.rejectedCredentials(wanted); rejected != nil { // a nil *problem.Error is no nil error
			return rejected
		}
		return nil
	case !wanted.due():
		return nil
	case wanted.need.Cause == renewal.IssuedByAnother && s.identity.Signer != nil:
		r.paceJWT(s)
		return nil
	}
	if paused := s.writePaused(); paused != nil {
		return paused
	}
	if wanted.lost() || wanted.tampered || wanted.need.Cause == renewal.RecordUnreadable {
		return r.contended(s, wanted)
	}
	return nil
}

// paceJWT spreads out the JWTs that are issued anew because of another key or other claims: those at hand can be used still.
func (r *GiniUserReconciler) paceJWT(s *scope) {
	at := r.pace.turn(s.giniClient.UID, s.key(), s.identity.IssuedBy(), s.now)
	planned := renewal.RefreshAt(s.trusted.record.Token, s.policy(s.trusted))
	if planned.Before(at) {
		at = planned
	}
	if s.now.Before(at) {
		s.trusted.need, s.trusted.renewAt, s.pacedAt = renewal.Verdict{At: at}, planned, at
	}
}

// errNoJWT says that the identity provider has to be asked first.
var errNoJWT = errors.New("no JWT at hand")

// jwtAtHand is a JWT of the user: signed now, or given by the identity provider a moment ago.
func (r *GiniUserReconciler) jwtAtHand(s *scope) (identity.Token, error) {
	if s.identity.Signer != nil {
		token, err := s.identity.Signer.Sign(s.identity.SubjectOf(s.identifier), s.now)
		if err != nil {
			return identity.Token{}, problem.New(api.ReasonSigningKeyInvalid, clientKey(s.user)).Because(err)
		}
		return token, nil
	}
	token, ok := r.memory.jwt(s.key(), s.jwtHolder(), s.now)
	if !ok {
		return identity.Token{}, errNoJWT
	}
	return token, nil
}

// jwtHolder is whom a JWT of the identity provider is for: this very GiniUser, its user at Gini, and the provider as it is now.
func (s *scope) jwtHolder() string {
	return string(s.user.UID) + "/" + s.subject(s.identifier).Hash() + "/" + s.identity.Version
}

// needsProvider reports whether the customer's identity provider has to be asked for a JWT, for either device.
func (r *GiniUserReconciler) needsProvider(s *scope) bool {
	if s.identity == nil || s.identity.Provider == nil {
		return false
	}
	if s.trusted.due() && !s.trusted.refused() && !r.owedJWT(s) {
		return true
	}
	_, atHand := r.memory.jwt(s.key(), s.jwtHolder(), s.now)
	return s.untrusted.due() && !s.untrusted.refused() && !atHand
}

// holdProvider keeps a user from being asked for again that the identity provider had no JWT for.
func (r *GiniUserReconciler) holdProvider(ctx context.Context, s *scope) error {
	attempt := s.user.Status.Attempt
	if attempt == nil || attempt.Reason != api.ReasonJWTNotIssued || !r.needsProvider(s) {
		return nil
	}
	return r.holdAll(ctx, s)
}

// fetchJWT is the part of a reconcile that talks to the customer's identity provider. What is to be done with the JWT at Gini
// is done in another turn.
func (r *GiniUserReconciler) fetchJWT(ctx context.Context, s *scope, _ bool) lane.Outcome {
	err := r.run(ctx, s, r.confirmJWT, r.obtainJWT)
	if err == nil && !s.gone {
		err = r.tidy(ctx, s)
	}
	outcome := outcomeOf(s, err)
	if err == nil && !s.gone {
		if s.problem == nil && s.untrusted.due() {
			s.retryAt = s.now
		}
		outcome.Result, outcome.Err = r.finish(ctx, s)
	}
	return outcome
}

// confirmJWT looks at the user, its grant and its Secret themselves before the identity provider is asked.
func (r *GiniUserReconciler) confirmJWT(ctx context.Context, s *scope) error {
	s.now = r.Clock.Now().Round(0)
	if err := r.confirmUser(ctx, s); err != nil || s.gone {
		return err
	}
	if err := r.resolveClient(ctx, s); err != nil { // the grant, at every use
		return err
	}
	if s.trusted != nil {
		s.trusted.live, s.trusted.read = nil, false
		if err := r.readLive(ctx, s, s.trusted); err != nil {
			return err
		}
		if err := r.planJWT(ctx, s); err != nil {
			return err
		}
	}
	return r.holdProvider(ctx, s)
}

// obtainJWT gets a JWT from the customer's identity provider, and writes it into the trusted device's Secret where that needs one.
func (r *GiniUserReconciler) obtainJWT(ctx context.Context, s *scope) error {
	if s.gone || !r.needsProvider(s) {
		return nil
	}
	token, err := s.identity.Provider.Obtain(ctx, s.identifier)
	s.asked, s.gini = true, err
	own := r.judge(ctx, s, lane.ProviderEndpoint, err, false)
	if err != nil {
		found := problem.FromProvider(err, clientKey(s.user).String())
		switch {
		case found == nil:
			return err
		case own:
			return found.AsJWTNotIssued()
		}
		return found
	}
	r.memory.keepJWT(s.key(), s.jwtHolder(), token)
	if err := r.resolveClient(ctx, s); err != nil { // which may have been withdrawn meanwhile
		return err
	}
	if err := r.checkIdentifier(ctx, s); err != nil {
		return err
	}
	if !s.trusted.due() || s.trusted.refused() {
		return nil
	}
	return r.writeProviders(ctx, s)
}

// writeJWT writes a JWT into the trusted device's Secret.
func (r *GiniUserReconciler) writeJWT(ctx context.Context, s *scope, token identity.Token) error {
	wanted := s.trusted
	life := renewal.Token{ObtainedAt: token.ObtainedAt.Truncate(time.Millisecond), ExpiresAt: token.ExpiresAt, EndsBy: token.ExpiresAt}
	record := target.Record{
		Token: life, RefreshAt: renewal.RefreshAt(life, s.policy(wanted)), IssuedFor: s.subject(s.identifier).Hash(), IssuedBy: s.identity.IssuedBy(),
		Fingerprint: token.JWT.Fingerprint(), Template: wanted.template.Hash(), RefreshHandled: s.refreshRequested(),
	}
	cause := wanted.need.Cause
	if err := r.apply(ctx, s, wanted, record, wanted.valuesOf(token.JWT, token.ExpiresAt), false); err != nil {
		return err
	}
	logf.FromContext(ctx).V(1).Info("Wrote a new JWT", "GiniClient", clientKey(s.user), "Secret", wanted.template.Name, "cause", cause,
		"expiresAt", life.ExpiresAt, "refreshAt", record.RefreshAt)
	obtained := metav1.NewTime(life.ObtainedAt.Truncate(time.Second))
	wanted.status.LastRefreshAt = &obtained
	if cause == renewal.RefreshRequested && s.untrusted == nil {
		s.tell(false, api.ReasonTokenRefreshed, "Refresh", "Got a new JWT, as the annotation "+api.RefreshRequestedAnnotation+" asks")
	}
	wanted.need, wanted.renewAt = renewal.Verdict{}, record.RefreshAt
	return nil
}
