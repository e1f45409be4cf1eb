package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/credential"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/renewal"
	"github.com/gini-operator/gini-operator/internal/secret"
)

// kept is a token that a login gave and that no Secret holds yet. While the Secret cannot be written, no other login is made: it would give
// nothing better, and may end the token that is waited with. It is in memory only, so that a restart costs one login.
type kept struct {
	// holder is whose it is, and with which credentials it was got; issuedFor is the hash of the subject.
	holder, issuedFor string
	// requested is the request for a new token that it answers; empty where it answers none.
	requested string
	renewed   credential.Renewal
	// account is that of an anonymous user.
	account credential.Account
}

// keptAccount is what was learned of an account that the account Secret does not tell of yet: that it was made, or that Gini knows it no longer.
type keptAccount struct {
	holder string
	made   credential.Made
	lost   error
}

// accountHolder is holder, of an account.
func (s *scope) accountHolder(account credential.Account) string {
	return s.holder() + "/" + s.application.UserCenter + "/" + fingerprintOf(account)
}

// holder is whose tokens these are, by what a login depends on beside its subject: this very user, its client, and their credentials.
func (s *scope) holder() string {
	holder := string(s.user.UID) + "/" + string(s.giniClient.UID) + "/" + s.application.ClientSecret.Fingerprint()
	if s.identity != nil {
		holder += "/" + s.identity.Version
	}
	return holder
}

// answers reports whether what was got for an earlier request for a new token answers the one that stands there now.
func (s *scope) answers(requested string) bool {
	now := s.refreshRequested()
	return now == "" || now == requested
}

// writeKept writes the token that is kept for the user, where it has one that will do. It asks nothing of Gini, and needs no turn.
func (r *GiniUserReconciler) writeKept(ctx context.Context, s *scope) error {
	if !s.untrusted.due() {
		return nil
	}
	found := r.keptFor(s)
	if found == nil {
		return nil
	}
	s.account = found.account
	return r.obtainToken(ctx, s)
}

// hasKept reports whether a token is kept for the user that is due to be written. One that is due no more is dropped: the Secret has another.
func (r *GiniUserReconciler) hasKept(s *scope) bool {
	if s.problem != nil || s.untrusted == nil || s.untrusted.refused() {
		return false
	}
	if !s.untrusted.due() {
		r.memory.dropToken(s.key())
		return false
	}
	return r.memory.token(s.key()) != nil
}

// keptFor is the token that is kept for the user, while it can take the place of what its Secret holds; nil where there is none.
func (r *GiniUserReconciler) keptFor(s *scope) *kept {
	found, wanted := r.memory.token(s.key()), s.untrusted
	if found == nil {
		return nil
	}
	grant, issuedFor := &found.renewed.Grant, s.issuedFor
	if s.anonymous() && s.account.Email != "" {
		issuedFor = s.subject(s.account.Email).Hash()
	}
	token := renewal.NewToken(grant.Requested, grant.Received, grant.ExpiresIn, grant.ExpiryKnown)
	refused := wanted.need.Cause == renewal.TokenEndedEarly && grant.AccessToken.Fingerprint() == wanted.record.Fingerprint
	newer := !wanted.readable || !token.ObtainedAt.Before(wanted.record.Token.ObtainedAt)
	lives := s.now.Add(s.setbacks.since(token.ObtainedAt)).Before(token.ExpiresAt)
	if found.holder != s.holder() || found.issuedFor != issuedFor || !s.answers(found.requested) || refused || !newer || !lives {
		r.memory.dropToken(s.key())
		return nil
	}
	return found
}

// keep keeps the token of a login until it is written. Its refresh token is never stored.
func (r *GiniUserReconciler) keep(s *scope, renewed credential.Renewal) {
	renewed.Grant.RefreshToken = secret.Text{}
	r.memory.keepToken(s.key(), &kept{
		holder: s.holder(), issuedFor: s.subject(s.userName()).Hash(), requested: s.refreshRequested(), renewed: renewed, account: s.account,
	})
}

// renew gets a token: the one that is kept, else by a login. fresh is whether Gini was asked.
func (r *GiniUserReconciler) renew(ctx context.Context, s *scope, held string, insist bool) (renewed credential.Renewal, fresh bool, err error) {
	if found := r.keptFor(s); found != nil {
		return found.renewed, false, nil
	}
	renewed, err = r.login(ctx, s, held, insist)
	return renewed, true, err
}

// ensureMade makes sure that an account exists, unless that was done, and only noting it in the account Secret failed.
func (r *GiniUserReconciler) ensureMade(ctx context.Context, s *scope, stored *storedAccount, untried bool) (credential.Made, error) {
	holder := s.accountHolder(stored.account)
	if found := r.memory.learned(s.key()); found != nil && found.holder == holder && found.lost == nil {
		made := found.made
		if made.Grant != nil && !lives(made.Grant, s.now.Add(s.setbacks.since(made.Grant.Requested))) {
			made.Grant = nil
		}
		return made, nil
	}
	made, err := credential.EnsureAccount(ctx, s.application.Gini, stored.account, untried)
	if err == nil {
		remembered := made
		if made.Grant != nil {
			grant := *made.Grant
			grant.RefreshToken = secret.Text{}
			remembered.Grant = &grant
		}
		r.memory.keepAccount(s.key(), &keptAccount{holder: holder, made: remembered})
	}
	return made, err
}

// lostBefore is why an account is known to be lost that could not be replaced yet, as the account Secret could not be written; nil where it is not.
func (r *GiniUserReconciler) lostBefore(s *scope) error {
	if found := r.memory.learned(s.key()); found != nil && found.holder == s.accountHolder(s.account) {
		return found.lost
	}
	return nil
}

// lives reports whether the token of a grant is certainly valid at now.
func lives(grant *gini.Grant, now time.Time) bool {
	return now.Before(renewal.NewToken(grant.Requested, grant.Received, grant.ExpiresIn, grant.ExpiryKnown).ExpiresAt)
}

// owedJWT reports whether the identity provider gave a JWT that the trusted device's Secret could not take, and still can.
func (r *GiniUserReconciler) owedJWT(s *scope) bool {
	token, atHand := r.memory.jwt(s.key(), s.jwtHolder(), s.now)
	requested, owed := r.memory.owed(s.key())
	return atHand && owed && s.answers(requested) && (!s.trusted.readable || !token.ObtainedAt.Before(s.trusted.record.Token.ObtainedAt))
}

// writeProviders writes a JWT of the identity provider, and takes note of one that is owed since the Secret could not be written. That is no
// trouble of the other device.
func (r *GiniUserReconciler) writeProviders(ctx context.Context, s *scope) error {
	token, err := r.jwtAtHand(s)
	if err != nil {
		return err
	}
	r.memory.owe(s.key(), s.refreshRequested(), true)
	err = r.writeJWT(ctx, s, token)
	if found, ok := problem.Of(err); ok {
		s.trusted.problem = found
		return nil
	}
	if err != nil {
		return err
	}
	r.memory.owe(s.key(), "", false)
	return nil
}

// longestWriteRetry bounds the pauses after a Secret that could not be written: each try costs no more than that, and a quota that is freed is
// noticed within a minute.
const longestWriteRetry = 50 * time.Second

func (m *memory) token(user types.NamespacedName) *kept {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.users[user]; ok {
		return known.kept
	}
	return nil
}

func (m *memory) keepToken(user types.NamespacedName, token *kept) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(user).kept = token
}

func (m *memory) dropToken(user types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.users[user]; ok {
		known.kept = nil
	}
}

func (m *memory) learned(user types.NamespacedName) *keptAccount {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.users[user]; ok {
		return known.learned
	}
	return nil
}

func (m *memory) keepAccount(user types.NamespacedName, learned *keptAccount) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(user).learned = learned
}

func (m *memory) owe(user types.NamespacedName, requested string, owed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.of(user)
	known.owed, known.owedFor = owed, requested
}

func (m *memory) owed(user types.NamespacedName) (requested string, owed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.users[user]; ok {
		return known.owedFor, known.owed
	}
	return "", false
}
