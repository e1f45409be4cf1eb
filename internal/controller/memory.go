package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/target"
)

// memory is what the reconciler remembers of GiniUsers between reconciles, and may forget at any time: it only makes
// it quicker, or more polite.
type memory struct {
	mu    sync.Mutex
	users map[types.NamespacedName]*remembered
}

type remembered struct {
	// contentions are the fights over Secrets, by their names.
	contentions map[string]target.Contention
	// writes are the versions of Secrets that were written last, by their names.
	writes map[string]string
	// status is the version of the GiniUser as its status was written last, and written is when that was.
	status  string
	written time.Time
	// endings counts logins in a row that gave a token with no lifetime left, and ended is when the last one did.
	endings int
	ended   time.Time
	// token is the JWT that the identity provider gave last, and tokenOf whom it is for, and by which identity provider.
	token   identity.Token
	tokenOf string
	// kept is a token, and learned what is known of an account, that could not be written yet; nil where there is none. owed is whether token could
	// not be written into the trusted device's Secret, and owedFor the request for a new one that it answers.
	kept    *kept
	learned *keptAccount
	owed    bool
	owedFor string
	// account is the account Secret as it was seen last.
	account accountSeen
	// searched says that the id of an account that was brought along was looked for once more.
	searched bool
	// verifyPaused is until when the token is not verified again.
	verifyPaused time.Time
}

// accountSeen is a version of an account Secret and its content, to tell another content from other labels.
type accountSeen struct {
	version     string
	fingerprint string
}

// of returns what is remembered of a user. The lock is held.
func (m *memory) of(user types.NamespacedName) *remembered {
	if m.users == nil {
		m.users = map[types.NamespacedName]*remembered{}
	}
	known, ok := m.users[user]
	if !ok {
		known = &remembered{contentions: map[string]target.Contention{}, writes: map[string]string{}}
		m.users[user] = known
	}
	return known
}

func (m *memory) forget(user types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.users, user)
}

// pauseVerification keeps the token from being verified again for a while.
func (m *memory) pauseVerification(user types.NamespacedName, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(user).verifyPaused = until
}

// verificationPaused is until when the token is not verified again; zero where it may be.
func (m *memory) verificationPaused(user types.NamespacedName) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.users[user]; ok {
		return known.verifyPaused
	}
	return time.Time{}
}

// isFirstSearch reports whether the id of a user's account is searched for the first time, and takes note that it was.
func (m *memory) isFirstSearch(user types.NamespacedName) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.of(user)
	first := !known.searched
	known.searched = true
	return first
}

// contention returns the contention over a Secret.
func (m *memory) contention(user types.NamespacedName, secret string) target.Contention {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of(user).contentions[secret]
}

// repaired counts a repair of a Secret.
func (m *memory) repaired(user types.NamespacedName, secret string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.of(user)
	known.contentions[secret] = known.contentions[secret].Repaired(now)
}

// wrote notes the version of a Secret that was just written for a user, so that the event of it is known to be no news.
func (m *memory) wrote(user types.NamespacedName, secret, version string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(user).writes[secret] = version
}

// wroteStatus notes the version of a GiniUser whose status was just written.
func (m *memory) wroteStatus(user types.NamespacedName, version string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.of(user)
	known.status, known.written = version, now
}

// longestLag bounds how long a cache is waited for: a cluster that was restored from a backup may never show that version.
const longestLag = 10 * time.Second

// isBehind reports whether a version of a GiniUser, as a cache has it, is older than the status that was just written.
func (m *memory) isBehind(user types.NamespacedName, version string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.users[user]
	if !ok || known.status == "" || now.Sub(known.written) > longestLag {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(version, known.status)
	return err == nil && order < 0
}

// isOwnWrite reports whether a version of a Secret is the one that was written last for a user.
func (m *memory) isOwnWrite(user types.NamespacedName, secret, version string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.users[user]
	return ok && version != "" && known.writes[secret] == version
}

// endedAt counts logins in a row that gave a token with no lifetime left.
func (m *memory) endedAt(user types.NamespacedName, now time.Time) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.of(user)
	known.endings++
	known.ended = now
	return known.endings
}

// endedUntil is when the next login is due after one that gave a token with no lifetime left.
func (m *memory) endedUntil(user types.NamespacedName) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.users[user]; ok && !known.ended.IsZero() {
		return known.ended.Add(time.Second)
	}
	return time.Time{}
}

// jwtMargin is how much of a JWT's life has to be left for it to be sent to Gini.
const jwtMargin = 10 * time.Second

// jwt is the JWT that the identity provider gave a moment ago, while it can be used: of is whom it has to be for, as keepJWT was
// told. The name of a GiniUser is not enough, as another user may have it by now.
func (m *memory) jwt(user types.NamespacedName, of string, now time.Time) (token identity.Token, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, remembered := m.users[user]
	if !remembered || known.tokenOf != of || now.Before(known.token.ObtainedAt) || !now.Add(jwtMargin).Before(known.token.ExpiresAt) {
		return identity.Token{}, false
	}
	return known.token, true
}

func (m *memory) keepJWT(user types.NamespacedName, of string, token identity.Token) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.of(user)
	known.token, known.tokenOf = token, of
}

// accountSeen returns what was seen last of a user's account Secret.
func (m *memory) accountSeen(user types.NamespacedName) accountSeen {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of(user).account
}

func (m *memory) seeAccount(user types.NamespacedName, seen accountSeen) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(user).account = seen
}

func (m *memory) alive(user types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.of(user)
	known.endings, known.ended = 0, time.Time{}
}
