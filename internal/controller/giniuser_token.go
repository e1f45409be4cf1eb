package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/credential"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/renewal"
	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/target"
)

// decide finds out whether Gini has to be asked for a token, or about one.
func (r *GiniUserReconciler) decide(ctx context.Context, s *scope) error {
	wanted := s.untrusted
	if wanted == nil || wanted.refused() {
		return nil
	}
	if wanted.meta != nil && !wanted.untouched() {
		if err := r.readLive(ctx, s, wanted); err != nil {
			return err
		}
	}
	issuedFor, err := r.issuedFor(ctx, s)
	if err != nil {
		return err
	}
	s.plan(issuedFor)
	logf.FromContext(ctx).V(1).Info("Decided", "due", s.untrusted.due(), "cause", s.untrusted.need.Cause, "at", s.untrusted.need.At)
	if !s.untrusted.due() {
		if s.planVerification(); s.verify {
			return r.hold(ctx, s)
		}
		return nil
	}
	if err := r.hold(ctx, s); err != nil {
		return err
	}
	if wanted.lost() || wanted.tampered {
		return r.contended(s, wanted)
	}
	return nil
}

// plan decides whether a token is needed now, or when.
func (s *scope) plan(issuedFor string) {
	wanted := s.untrusted
	s.issuedFor = issuedFor
	wanted.need = renewal.Decide(
		renewal.Held{
			Exists: wanted.meta != nil && target.OwnerOf(wanted.meta, s.user) == target.Ours, Deleted: wanted.lost(), Readable: wanted.readable,
			Token: wanted.record.Token, IssuedFor: wanted.record.IssuedFor, RefreshHandled: wanted.record.RefreshHandled, Tampered: wanted.tampered,
		},
		renewal.Wanted{
			IssuedFor: issuedFor, RefreshRequested: s.refreshRequested(), TryCredentials: s.application.Lane.Tries(s.key()), Policy: s.policy(wanted),
		},
		s.aged(wanted),
	)
	wanted.renewAt = wanted.need.At
}

// issuedFor is the hash of whom a token has to be for. The e-mail address of an anonymous user is read only where its account Secret has changed.
func (r *GiniUserReconciler) issuedFor(ctx context.Context, s *scope) (string, error) {
	if !s.anonymous() {
		return s.subject(s.identifier).Hash(), nil
	}
	if s.accountMeta == nil && !s.confirmed {
		return s.subject("").Hash(), nil // absent, or not in the cache yet: once more when that is confirmed
	}
	known := s.user.Status.Account
	if known != nil && s.accountMeta != nil && known.SecretResourceVersion == s.accountMeta.ResourceVersion && s.untrusted.readable {
		return s.subject("").SameUser(s.untrusted.record.IssuedFor), nil
	}
	stored, err := r.readAccount(ctx, s)
	if err != nil || stored == nil {
		return s.subject("").Hash(), err
	}
	s.accountMeta = metadataOf(stored.object)
	issuedFor := s.subject(stored.account.Email).Hash()
	switch {
	case known != nil:
		known.SecretResourceVersion = stored.object.ResourceVersion
		if managed(s) && stored.userID != "" { // another operator may have made another account
			s.user.Status.UserID = stored.userID
		}
	case s.untrusted.readable && s.untrusted.record.IssuedFor == issuedFor:
		// The status is lost, but the token shows that this account is this client's.
		stored.clientID, stored.userCenter = s.application.ClientID, s.application.UserCenter
		r.rememberAccount(s, stored)
	}
	return issuedFor, nil
}

// planVerification finds out whether the token is to be verified now, or when.
func (s *scope) planVerification() {
	s.verify, s.verifyAt = false, time.Time{}
	if s.user.Spec.Renewal == nil || s.user.Spec.Renewal.VerifyInterval == nil {
		s.untrusted.status.LastVerifiedAt = nil
		return
	}
	s.verifyAt = verifyAt(s.user, s.untrusted.record.Token.ObtainedAt, s.now)
	if ahead := s.verifyPaused.Sub(s.now); ahead <= time.Hour && s.verifyPaused.After(s.verifyAt) { // further ahead, the clock was set back
		s.verifyAt = s.verifyPaused
	}
	s.verify = !s.now.Before(s.verifyAt)
}

// noteVerified notes that the token was verified just now; not before it was due, though the status holds whole seconds.
func (s *scope) noteVerified() {
	verified := metav1.NewTime(s.now.Add(time.Second - 1).Truncate(time.Second))
	s.untrusted.status.LastVerifiedAt = &verified
}

// hold keeps a user from being tried again after a failure of its own, until its time comes or anything that was tried has
// changed. The failure stands in the status, so that a restart does not try again either.
func (r *GiniUserReconciler) hold(ctx context.Context, s *scope) error {
	if attempt := s.user.Status.Attempt; attempt == nil || attempt.Device == api.TrustedDevice {
		return nil
	}
	return r.holdAll(ctx, s)
}

// holdAll is hold for what concerns both kinds of device.
func (r *GiniUserReconciler) holdAll(ctx context.Context, s *scope) error {
	attempt := s.user.Status.Attempt
	if attempt == nil || (attempt.NextAt != nil && !s.now.Before(heldUntil(attempt, s.now))) {
		return nil
	}
	if attempt.Reason == api.ReasonLoginRefused && s.application.Lane.StandingAt(s.endpoint()).Refused {
		return nil // it was the client that was refused: the user waits with all others, and is told so
	}
	unchanged, err := r.unchanged(ctx, s, attempt)
	if err != nil || !unchanged {
		return err
	}
	found := s.recall(attempt)
	if attempt.NextAt != nil {
		found.RetryAfter = attempt.NextAt.Sub(s.now)
	}
	s.held = true
	return found
}

// recall is the problem of an earlier attempt, in the words of the status. They are gone where the status told of something else since.
func (s *scope) recall(attempt *api.AttemptStatus) *problem.Error {
	if message := messageOf(s.user.Status.Conditions, attempt.Reason); message != "" {
		return problem.Recall(attempt.Reason, message).Own()
	}
	switch attempt.Reason {
	case api.ReasonAccountRejected:
		return problem.New(api.ReasonAccountRejected, accountName(s))
	case api.ReasonAccountLost:
		return problem.New(api.ReasonAccountLost, accountName(s))
	case api.ReasonAccountOfAnotherClient:
		return problem.New(api.ReasonAccountOfAnotherClient, accountName(s), clientKey(s.user))
	case api.ReasonEmailDomainRefused:
		return problem.New(api.ReasonEmailDomainRefused, accountName(s), clientKey(s.user))
	case api.ReasonSecretNotWritten:
		return problem.New(api.ReasonSecretNotWritten, s.attemptedSecret(attempt), "as the operator's log said")
	case api.ReasonContended:
		return problem.New(api.ReasonContended, s.attemptedSecret(attempt), "somebody")
	case api.ReasonJWTNotIssued:
		return problem.New(api.ReasonJWTNotIssued, clientKey(s.user))
	case api.ReasonAnonymousUsersRefused:
		return problem.New(api.ReasonAnonymousUsersRefused, clientKey(s.user)).Own()
	case api.ReasonRateLimited:
		return problem.New(api.ReasonRateLimited, clientKey(s.user)).Own()
	}
	return problem.New(api.ReasonLoginRefused, clientKey(s.user))
}

// attemptedSecret names the Secret of the device that an attempt was made for.
func (s *scope) attemptedSecret(attempt *api.AttemptStatus) string {
	for _, wanted := range s.devices() {
		if wanted.template.Device == attempt.Device {
			return wanted.template.Name
		}
	}
	return ""
}

// unchanged reports whether an attempt would be made with the same inputs again. Where only the labels of the account Secret
// have changed, it is, and the attempt goes by the new version from now on.
func (r *GiniUserReconciler) unchanged(ctx context.Context, s *scope, attempt *api.AttemptStatus) (bool, error) {
	account := ""
	if s.accountMeta != nil {
		account = s.accountMeta.ResourceVersion
	}
	inputs := s.inputs(account)
	if attempt.Inputs == inputs || s.accountMeta == nil {
		return attempt.Inputs == inputs, nil
	}
	seen := r.memory.accountSeen(s.key())
	if attempt.Inputs != s.inputs(seen.version) {
		return false, nil
	}
	fingerprint, err := r.accountFingerprint(ctx, s)
	if err != nil || fingerprint != seen.fingerprint {
		return false, err
	}
	r.memory.seeAccount(s.key(), accountSeen{version: account, fingerprint: fingerprint})
	s.user.Status.Attempt.Inputs = inputs
	return true, nil
}

// attempted identifies the inputs of an attempt that was just made.
func (r *GiniUserReconciler) attempted(s *scope) string {
	if s.accountMeta == nil {
		return s.inputs("")
	}
	if s.account.Email != "" { // what was tried, not what may stand there by now
		r.memory.seeAccount(s.key(), accountSeen{version: s.accountMeta.ResourceVersion, fingerprint: fingerprintOf(s.account)})
	}
	return s.inputs(s.accountMeta.ResourceVersion)
}

// inputs identifies what an attempt is made with: what Gini is told, and what decides what is made of its answer. Labels, limits
// and the like are none of it.
func (s *scope) inputs(account string) string {
	parts := []string{
		string(s.giniClient.UID), s.application.ClientID, s.application.ClientSecret.Fingerprint(), s.application.PayAPI, s.application.UserCenter,
		s.user.Status.IdentifierHash, s.refreshRequested(), account,
	}
	if s.identity != nil {
		parts = append(parts, s.identity.Version)
	}
	if users := s.giniClient.Spec.AnonymousUsers; s.anonymous() && users != nil {
		parts = append(parts, users.EmailDomain, string(users.OnAccountLost))
	}
	for _, wanted := range s.devices() {
		parts = append(parts, wanted.template.Name)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// accountFingerprint identifies the content of the account Secret. It is kept in memory only.
func (r *GiniUserReconciler) accountFingerprint(ctx context.Context, s *scope) (string, error) {
	stored, err := r.readAccount(ctx, s)
	if _, isProblem := problem.Of(err); isProblem || (err == nil && stored == nil) {
		return "unusable", nil
	}
	if err != nil {
		return "", err
	}
	return fingerprintOf(stored.account), nil
}

func fingerprintOf(account credential.Account) string {
	return account.Email + "/" + account.Password.Fingerprint()
}

// confirm looks at the Secret itself before Gini is asked for anything: a cache may lag behind what was written last.
func (r *GiniUserReconciler) confirm(ctx context.Context, s *scope) error {
	wanted := s.untrusted
	wanted.live, wanted.read, s.now = nil, false, r.Clock.Now().Round(0)
	if err := r.confirmUser(ctx, s); err != nil || s.gone {
		return err
	}
	if err := r.resolveClient(ctx, s); err != nil { // the grant, at every use
		return err
	}
	if err := r.readLive(ctx, s, wanted); err != nil {
		return err
	}
	issuedFor, err := r.issuedFor(ctx, s)
	if err != nil {
		return err
	}
	s.plan(issuedFor)
	if s.untrusted.due() {
		return r.hold(ctx, s)
	}
	return nil
}

// confirmUser reads the GiniUser itself: what it remembers of its account and of failed attempts must not be missed. Another
// spec or another object of that name is left to the reconcile that its event brings.
func (r *GiniUserReconciler) confirmUser(ctx context.Context, s *scope) error {
	live, same, err := r.readUser(ctx, s)
	if err != nil {
		return err
	}
	if !same {
		s.gone, s.verify = true, false
		for _, wanted := range s.devices() {
			wanted.need = renewal.Verdict{}
		}
		return nil
	}
	s.before, s.confirmed = live, true
	identifier := s.user.Status.IdentifierHash
	s.adopt(live.DeepCopy())
	switch known := s.user.Status.IdentifierHash; {
	case identifier == "", identifier == known:
	case known == "":
		s.user.Status.IdentifierHash = identifier
	default:
		return problem.New(api.ReasonIdentifierChanged, s.user.Spec.Derived.IdentifierSecretRef.Name)
	}
	return nil
}

// probeClient finds out with one request whether the client is well again.
func (r *GiniUserReconciler) probeClient(ctx context.Context, s *scope) error {
	return r.askNeutral(ctx, s)
}

// verifyToken asks Gini whether the token is still good.
func (r *GiniUserReconciler) verifyToken(ctx context.Context, s *scope) error {
	if !s.verify || s.untrusted.due() || s.untrusted.live == nil {
		return nil
	}
	token := secret.New(string(s.untrusted.live.Data[credential.KeyAccessToken]))
	err := s.application.Gini.Documents(ctx, token)
	if gini.KindOf(err) == gini.TokenRejected {
		s.untrusted.need = renewal.Verdict{Cause: renewal.TokenEndedEarly, At: s.now}
		return nil
	}
	if err != nil {
		return r.notVerified(ctx, s, err)
	}
	s.noteVerified()
	s.planVerification()
	return nil
}

// verifyAgainAfter is how long a verification that came to no result is left alone at least.
const verifyAgainAfter = time.Minute

// notVerified is the problem of a verification that came to no result. It was asked of the Pay API: an anonymous user's own endpoint is another
// one, of which that says nothing, so that it only puts off the next verification.
func (r *GiniUserReconciler) notVerified(ctx context.Context, s *scope, err error) error {
	answer, ok := errors.AsType[*gini.Error](err)
	if !s.anonymous() || !ok || answer.Kind == gini.Canceled {
		return r.ask(ctx, s, err)
	}
	logf.FromContext(ctx).Error(answer, "Verifying the token came to no result; it is tried again later", "GiniClient", clientKey(s.user))
	s.verifyPaused = s.now.Add(max(verifyAgainAfter, answer.RetryAfter))
	r.memory.pauseVerification(s.key(), s.verifyPaused)
	s.planVerification()
	return nil
}

// obtainToken gets a token and writes it into the Secret.
func (r *GiniUserReconciler) obtainToken(ctx context.Context, s *scope) error {
	wanted := s.untrusted
	if !s.untrusted.due() {
		return nil
	}
	held, heldToken := r.heldToken(s)
	insist := s.untrusted.need.Cause == renewal.RefreshRequested || s.untrusted.need.Cause == renewal.TokenEndedEarly
	renewed, fresh, err := r.renew(ctx, s, held, insist)
	if errors.Is(err, errNoJWT) { // it has expired since: the next turn gets another
		s.retryAt = s.now
		return nil
	}
	if err != nil {
		return err
	}
	grant := renewed.Grant
	if fresh && held != "" && grant.Requested.Before(heldToken.ExpiresAt) {
		s.application.Lane.Observe(s.endpoint(), s.key(), renewed.Sticky, s.now)
	}
	known := grant.ExpiryKnown
	if known && grant.ExpiresIn <= 0 {
		// The token ends this very second, as a sticky one does now and then: the next login gives another.
		if r.memory.endedAt(s.key(), s.now) < maxEndings {
			s.retryAt = s.now.Add(time.Second)
			return nil
		}
		known = false // or lives for ever, as some servers mean by it
	}
	r.memory.alive(s.key())
	token := renewal.NewToken(grant.Requested, grant.Received, grant.ExpiresIn, known)
	if !renewed.Replaced {
		token = renewal.Narrow(heldToken, token)
	}
	record := target.Record{
		Token: token, RefreshAt: renewal.RefreshAt(token, s.policy(wanted)), IssuedFor: s.subject(s.userName()).Hash(),
		Fingerprint: grant.AccessToken.Fingerprint(), Template: wanted.template.Hash(), RefreshHandled: s.refreshRequested(), LifetimeAssumed: !known,
	}
	wanted.obtained = grant.AccessToken
	if fresh {
		r.keep(s, renewed)
	}
	err = r.apply(ctx, s, wanted, record, credential.ForUntrusted(grant.AccessToken, token.ExpiresAt), false)
	if err == nil || errors.Is(err, errBehind) { // which may mean that another operator has written a later one
		r.memory.dropToken(s.key())
	}
	if err != nil {
		return err
	}
	logf.FromContext(ctx).Info("Wrote a new token", "GiniClient", clientKey(s.user), "Secret", wanted.template.Name, "cause", s.untrusted.need.Cause,
		"replaced", renewed.Replaced, "expiresAt", token.ExpiresAt, "refreshAt", record.RefreshAt)
	lastRefresh := metav1.NewTime(token.ObtainedAt.Truncate(time.Second))
	wanted.status.LastRefreshAt = &lastRefresh
	s.tellOfRefresh(renewed)
	wanted.need, wanted.renewAt = renewal.Verdict{}, record.RefreshAt
	if s.verify { // Gini refused the token, and may have given it once more
		s.noteVerified()
	}
	s.planVerification()
	return nil
}

// maxEndings is how often in a row a token without any lifetime left is not taken.
const maxEndings = 3

// heldToken is the fingerprint and the life of the token in the Secret, where it is this subject's and genuine.
func (r *GiniUserReconciler) heldToken(s *scope) (fingerprint string, token renewal.Token) {
	wanted := s.untrusted
	if wanted.live == nil || !wanted.readable || wanted.record.IssuedFor != s.subject(s.userName()).Hash() ||
		!wanted.holds(wanted.live, wanted.record.Fingerprint) {
		return "", renewal.Token{}
	}
	return wanted.record.Fingerprint, wanted.record.Token
}

func (s *scope) userName() string {
	if s.anonymous() {
		return s.account.Email
	}
	return s.identifier
}

// login gets a token by the flow of this user.
func (r *GiniUserReconciler) login(ctx context.Context, s *scope, held string, insist bool) (credential.Renewal, error) {
	if s.anonymous() {
		return r.loginAnonymous(ctx, s, held, insist)
	}
	var login credential.Login = credential.DerivedBasic{Identifier: s.identifier}
	if s.jwt() {
		token, err := r.jwtAtHand(s)
		if err != nil {
			return credential.Renewal{}, err
		}
		login = credential.DerivedJWT{Identifier: s.identifier, JWT: token.JWT}
	}
	renewed, err := credential.Renew(ctx, s.application.Gini, login, held, insist)
	return renewed, r.ask(ctx, s, err)
}

// tellOfRefresh answers whoever asked for a new token.
func (s *scope) tellOfRefresh(renewed credential.Renewal) {
	if s.untrusted.need.Cause != renewal.RefreshRequested {
		return
	}
	if renewed.Replaced {
		s.tell(false, api.ReasonTokenRefreshed, "Refresh", "Got a new token, as the annotation "+api.RefreshRequestedAnnotation+" asks")
		return
	}
	s.tell(true, api.ReasonRefreshHadNoEffect, "Refresh",
		"Gini gives the same token until it ends, and no refresh token: the Secret holds it still; it is renewed when it ends")
}
