package lane

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/gini"
)

// Both endpoints that take the client credentials have a verdict of their own. While neither accepts them, they are tried in turn, and the
// refusals of both count together: a wrong secret is no reason to be locked out. Once one accepts them, what the other refuses is its own
// affair: Gini lets some clients have derived users only, and some anonymous ones only.

// apart reports whether an endpoint refuses credentials that the other accepts.
func (l *Lane) apart(endpoint Endpoint) bool {
	sibling := endpoint.sibling()
	return sibling != endpoint && l.sides[endpoint].state.Trouble == gini.CredentialsRejected && l.sides[sibling].state.Accepted
}

// spaceTries plans the next try after a refusal at an endpoint.
func (l *Lane) spaceTries(endpoint Endpoint, now time.Time) {
	side, sibling := l.sides[endpoint], l.sides[endpoint.sibling()]
	if sibling == side || l.accepted(endpoint) {
		side.state.ProbeAt = later(side.state.ProbeAt, nextTry(now, side.tries))
		if sibling.doubted { // the next try is the other's
			side.state.ProbeAt = later(side.state.ProbeAt, now.Add(rejectedLater))
		}
		return
	}
	l.lastTried = endpoint
	if sibling.state.rejects() { // both are known to refuse: half an hour between two tries, whoever makes them
		side.state.ProbeAt = later(side.state.ProbeAt, now.Add(rejectedLater))
	}
	side.state.ProbeAt = later(side.state.ProbeAt, l.nextTry(now))
	if sibling.state.rejects() {
		sibling.state.ProbeAt, sibling.state.planned = side.state.ProbeAt, now
	}
}

// nextTry is when credentials that no endpoint accepts may be tried the next time, at the earliest.
func (l *Lane) nextTry(now time.Time) time.Time {
	return nextTry(now, l.sides[LoginEndpoint].tries, l.sides[UserCenterEndpoint].tries)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// doubt has the other endpoint asked once more, if it can be without a user, when one refuses credentials that both accepted: they may have
// been revoked since. They have been if no user was part of the refusal, and the other endpoint has just refused a user that it accepted before:
// then nobody tries them there once more to be sure.
func (l *Lane) doubt(refusing Endpoint, before State, neutral bool, now time.Time) {
	side, sibling := l.sides[refusing], l.sides[refusing.sibling()]
	side.doubted = false
	if sibling == side || !before.Accepted || !sibling.state.Accepted {
		return
	}
	sibling.doubted = true
	if neutral && sibling.state.suspects(now) {
		sibling.doubted, sibling.state = false, sibling.state.confirmed(now)
	}
}

// Doubted reports whether an endpoint accepted the credentials before the other, which accepted them too, began to refuse them, and may be
// asked now.
func (l *Lane) Doubted(endpoint Endpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.lanes.now()
	return l.sides[endpoint].doubted && !now.Before(l.nextTry(now))
}

// setApart lets an endpoint that refused the credentials be tried soon, once the other has accepted them: that they are wrong is no longer
// to be feared, and the refusal may have been one user's.
func (l *Lane) setApart(refusing *side, now time.Time) {
	if state := &refusing.state; state.Trouble == gini.CredentialsRejected && state.probes <= 1 {
		if soon := later(state.planned.Add(rejectedFirst), nextTry(now, refusing.tries)); soon.Before(state.ProbeAt) {
			state.ProbeAt = soon
		}
	}
}

// pausedUntil is when something may be asked at an endpoint again; zero or in the past if it may be now.
func (l *Lane) pausedUntil(endpoint Endpoint, now time.Time) time.Time {
	side := l.sides[endpoint]
	if side.state.Paused(now) {
		return side.state.ProbeAt
	}
	sibling := l.sides[endpoint.sibling()]
	if sibling == side || l.accepted(endpoint) || !sibling.state.rejects() {
		return time.Time{}
	}
	return l.nextTry(now)
}

// mayTry reports whether a user may ask at an endpoint. In trouble, nobody tries twice in a row while somebody else waits, nor while somebody
// waits who has failed less, so that those whose requests hang are not all that is tried; and credentials that no endpoint accepts are tried at
// each in turn.
func (l *Lane) mayTry(endpoint Endpoint, key types.NamespacedName, now time.Time) bool {
	side, sibling := l.sides[endpoint], l.sides[endpoint.sibling()]
	if now.Before(l.pausedUntil(endpoint, now)) {
		return false
	}
	if side.state.Healthy() {
		return true
	}
	if sibling != side && !l.accepted(endpoint) && l.lastTried == endpoint && !now.Before(l.pausedUntil(endpoint.sibling(), now)) &&
		sibling.waiting.any(sibling.ready(now)) {
		return false
	}
	isReady, prober, failures := side.ready(now), side.state.prober, side.retries[key].row
	return !side.waiting.any(func(other types.NamespacedName) bool {
		first := key == prober || (other != prober && side.retries[other].row < failures)
		return other != key && first && isReady(other)
	})
}

// ready reports which users are not held back for reasons of their own.
func (s *side) ready(now time.Time) func(types.NamespacedName) bool {
	return func(key types.NamespacedName) bool { return !s.retries[key].pending(now) }
}

// Acceptance is a kind of request that shows that Gini accepts a client's credentials.
type Acceptance string

// Kinds of request.
const (
	// AcceptedLogin is one for the token of a derived user, at the Pay API's /login.
	AcceptedLogin Acceptance = "Login"
	// AcceptedUserCenter is any at the User Center.
	AcceptedUserCenter Acceptance = "UserCenter"
	// AcceptedClientToken is one for a client token, at the User Center.
	AcceptedClientToken Acceptance = "ClientToken"
)

// accept notes what the credentials were accepted for.
func (l *Lane) accept(endpoint Endpoint, evidence Evidence) {
	if l.given == nil {
		l.given = map[Acceptance]bool{}
	}
	switch endpoint {
	case LoginEndpoint:
		l.given[AcceptedLogin] = true
	case UserCenterEndpoint:
		l.given[AcceptedUserCenter] = true
		if evidence.Neutral || evidence.Before {
			l.given[AcceptedClientToken] = true
		}
	}
}

// Remember tells the lane what a client id was ever accepted for, before a restart. Another client id starts over, but that the client was
// accepted before is reason enough to try that one too before it is handed to anybody.
func (l *Lane) Remember(clientID string, given []Acceptance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(clientID)
	for _, acceptance := range given {
		l.given[acceptance] = true
	}
}

// RecallAccepted tells the lane which endpoints accepted the credentials in use before a restart. What has been heard since counts more.
func (l *Lane) RecallAccepted(login, userCenter bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for endpoint, accepted := range map[Endpoint]bool{LoginEndpoint: login, UserCenterEndpoint: userCenter} {
		if side := l.sides[endpoint]; accepted && side.state == (State{}) {
			side.state = Accepting()
		}
	}
}

func (l *Lane) remember(clientID string) {
	if l.given == nil || l.clientID != clientID {
		if len(l.given) > 0 {
			l.former = l.given
		}
		l.clientID, l.given = clientID, map[Acceptance]bool{}
	}
}

// Was reports whether the client was ever accepted for a kind of request.
func (l *Lane) Was(acceptance Acceptance) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.given[acceptance]
}

// Given are the kinds of request that the client was ever accepted for, sorted.
func (l *Lane) Given() []Acceptance {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.given))
}
