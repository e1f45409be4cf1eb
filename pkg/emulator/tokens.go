package emulator

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// maxKnownTokens is how many tokens are remembered. Dead ones beyond it are forgotten, oldest first, and are unknown from then on; valid
// ones never.
const maxKnownTokens = 250_000

// userKey names a user: name is the account id of an anonymous one, the identifier of a derived one. Identifiers are unique for each
// client only. An empty name is the client itself.
type userKey struct{ client, name string }

// token is an access token.
type token struct {
	value   string
	owner   userKey
	from    Operation // ClientToken, PasswordLogin or Login: whose Behaviour holds for it
	expires time.Time // zero: never
	ended   bool
	refresh *refreshToken
}

type refreshToken struct {
	value   string
	owner   userKey
	from    Operation
	expires time.Time
	ended   bool
}

type tokenState int

const (
	tokenUnknown tokenState = iota
	tokenValid
	tokenExpired
	tokenEnded
)

func (t *token) state(now time.Time) tokenState {
	switch {
	case t == nil:
		return tokenUnknown
	case t.ended:
		return tokenEnded
	case past(now, t.expires):
		return tokenExpired
	}
	return tokenValid
}

func (t *token) isClientToken() bool { return t.owner.name == "" }

// past tells whether a moment has come; the zero time never comes.
func past(now, moment time.Time) bool { return !moment.IsZero() && !now.Before(moment) }

// holder has the valid tokens of one user or client, oldest first, and its stable refresh token.
type holder struct {
	tokens  []*token
	refresh *refreshToken
}

func (h *holder) latestValid(now time.Time) *token {
	for _, t := range slices.Backward(h.tokens) {
		if t.state(now) == tokenValid {
			return t
		}
	}
	return nil
}

// endAll ends every valid token, or only those that belong to a refresh token, and says how many. One that expired before stays an
// expired one, so that its use is counted as that.
func (h *holder) endAll(now time.Time, of *refreshToken) (ended int) {
	for _, t := range h.tokens {
		if (of == nil || t.refresh == of) && t.state(now) == tokenValid {
			t.ended = true
			ended++
		}
	}
	h.dropDead(now)
	return ended
}

func (h *holder) dropDead(now time.Time) {
	// Most have one lifetime, so the dead are in front: a walk over all of them at every login would be slow in a long soak.
	for len(h.tokens) > 0 && h.tokens[0].state(now) != tokenValid {
		h.tokens = h.tokens[1:]
	}
}

// tokenStore knows all tokens. Guarded by Server.mu.
type tokenStore struct {
	access  memory[*token]
	refresh memory[*refreshToken]
	holders map[userKey]*holder
}

func newTokenStore() *tokenStore {
	return &tokenStore{
		access:  memory[*token]{limit: maxKnownTokens, dead: func(t *token, now time.Time) bool { return t.state(now) != tokenValid }},
		refresh: memory[*refreshToken]{limit: maxKnownTokens, dead: func(t *refreshToken, now time.Time) bool { return t.ended || past(now, t.expires) }},
		holders: map[userKey]*holder{},
	}
}

func (st *tokenStore) holder(owner userKey) *holder {
	h := st.holders[owner]
	if h == nil {
		h = &holder{}
		st.holders[owner] = h
	}
	return h
}

// terms are what tokens are issued under.
type terms struct {
	behaviour       *Behaviour
	refresh         RefreshMode
	lifetime        time.Duration
	refreshLifetime time.Duration
	form            TokenForm
}

// login gives the token that a login gets; fresh is false where it is one that was given before.
func (st *tokenStore) login(now time.Time, owner userKey, from Operation, tm terms) (t *token, fresh bool) {
	h := st.holder(owner)
	switch tm.behaviour.Mode {
	case Sticky:
		if t := h.latestValid(now); t != nil {
			return t, false
		}
	case FreshEndsOld:
		h.endAll(now, nil)
		if h.refresh != nil && tm.refresh == RefreshRotating {
			h.refresh.ended = true
		}
	}
	h.dropDead(now)
	if h.refresh == nil || h.refresh.ended || past(now, h.refresh.expires) || tm.refresh != RefreshStable {
		h.refresh = st.newRefresh(now, owner, from, tm)
	}
	return st.issue(now, owner, from, h.refresh, tm), true
}

// renew is the refresh grant for a refresh token that is known and the client's own. The old access tokens end in any case; nil is given
// where the refresh token has expired.
func (st *tokenStore) renew(now time.Time, rt *refreshToken, tm terms) *token {
	h := st.holder(rt.owner)
	h.endAll(now, rt)
	if past(now, rt.expires) {
		return nil
	}
	if tm.behaviour.Mode == FreshEndsOld {
		h.endAll(now, nil)
	}
	if tm.refresh == RefreshRotating {
		rt.ended = true
		rt = st.newRefresh(now, rt.owner, rt.from, tm)
		h.refresh = rt
	}
	return st.issue(now, rt.owner, rt.from, rt, tm)
}

func (st *tokenStore) issue(now time.Time, owner userKey, from Operation, rt *refreshToken, tm terms) *token {
	t := &token{value: newTokenValue(tm.form), owner: owner, from: from, expires: expiry(now, tm.lifetime), refresh: rt}
	h := st.holder(owner)
	h.tokens = append(h.tokens, t)
	st.access.add(t.value, t, now)
	return t
}

func (st *tokenStore) newRefresh(now time.Time, owner userKey, from Operation, tm terms) *refreshToken {
	if tm.refresh == RefreshAbsent {
		return nil
	}
	rt := &refreshToken{value: newTokenValue(tm.form), owner: owner, from: from, expires: expiry(now, tm.refreshLifetime)}
	st.refresh.add(rt.value, rt, now)
	return rt
}

// forget ends all that a user or client has, refresh tokens too.
func (st *tokenStore) forget(now time.Time, owned func(userKey) bool) {
	for owner, h := range st.holders {
		if owned(owner) {
			h.endAll(now, nil)
			delete(st.holders, owner)
		}
	}
	for _, rt := range st.refresh.known {
		if owned(rt.owner) {
			rt.ended = true
		}
	}
}

func newTokenValue(form TokenForm) string {
	if form == FormUUID {
		return uuid.NewString()
	}
	for {
		var b [20]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		v := base64.StdEncoding.EncodeToString(b[:])
		if form != FormAwkward || strings.Contains(v, "+") && strings.Contains(v, "/") {
			return v
		}
	}
}

// Fingerprint names a token in the ledger without giving it away: the first 8 hex digits of its SHA-256.
func Fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:4])
}

// memory is a map that forgets its oldest dead entries beyond the limit.
type memory[T any] struct {
	limit int
	known map[string]T
	order []string
	dead  func(T, time.Time) bool
}

func (m *memory[T]) add(key string, value T, now time.Time) {
	if m.known == nil {
		m.known = map[string]T{}
	}
	m.known[key] = value
	m.order = append(m.order, key)
	// Two for each new one: more than are added, at a constant price.
	for i := 0; i < 2 && len(m.known) > m.limit; i++ {
		oldest := m.order[0]
		m.order = m.order[1:]
		if m.dead(m.known[oldest], now) {
			delete(m.known, oldest)
		} else {
			m.order = append(m.order, oldest)
		}
	}
}
