// Package lane keeps the work of each client apart: what talks to Gini runs in its client's own lane, within that client's
// limits, and never in a reconcile worker, so that a client that is down, slow or wrong holds up nobody else.
//
// A lane admits work while there is room, one piece at a time while the client's credentials are not known to be accepted, and a
// single probe now and then while the client is in trouble. Whoever is turned away is put on a list, and called when
// there is room again, the most urgent first.
package lane

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/gini-operator/gini-operator/internal/gini"
)

// Work talks to Gini for one user. probe is whether it is to find out first whether the client is well again.
type Work func(ctx context.Context, probe bool) Outcome

// Outcome is what became of a piece of work.
type Outcome struct {
	// Result and Err are as a reconciler returns them.
	Result ctrl.Result
	Err    error
	// Asked is whether the endpoint was asked anything, and Gini what the last request ended with, nil if well.
	Asked bool
	Gini  error
	// Evidence is what is known beside that answer, unless it was judged already (Judge).
	Evidence Evidence
}

// Limits of a client.
type Limits struct {
	// RatePerSecond is how many requests a second may be sent.
	RatePerSecond int
	// MaxInFlight is how many pieces of work, each with one request at a time, may run at once.
	MaxInFlight int
}

// Lane is the lane of one client.
type Lane struct {
	lanes   *Lanes
	client  types.NamespacedName
	limiter *Limiter

	mu      sync.Mutex
	limits  Limits
	version string
	// since is when somebody began to wait for a verdict on that version, and gaveUp whether nobody does any more.
	since  time.Time
	gaveUp bool
	// trial is the user that tries these credentials before others are given them, and awaiting are those that were told that awaited is known.
	trial    types.NamespacedName
	awaiting map[types.NamespacedName]bool
	awaited  Check
	// identity is the version of the client's identity provider.
	identity string
	// given are the kinds of request that this client's credentials were ever accepted for, whatever their version, and clientID whose they are.
	given    map[Acceptance]bool
	clientID string
	// former are those of the client id that was in use before.
	former map[Acceptance]bool
	// lastTried is the endpoint that refused the credentials last, while neither accepted them.
	lastTried Endpoint
	// admissions counts all that was admitted.
	admissions int64
	sides      map[Endpoint]*side
	wakeup     clock.Timer
	wakeupAt   time.Time

	behaviours map[Endpoint]*behaviour
}

// side is one of the client's endpoints: they fail apart from each other.
type side struct {
	state   State
	running int
	waiting *waitingList
	// turns are the pieces of work that run there.
	turns map[types.NamespacedName]*ticket
	// tries are the last times that credentials were refused there.
	tries tries
	// retries hold back users that failed there.
	retries map[types.NamespacedName]retry
	// used is whether anything was ever asked there, and uses how often other credentials came into use for it.
	used bool
	uses int
	// doubted is whether the other endpoint has begun to refuse credentials that both accepted.
	doubted bool
	// failedAt is how many admissions there had been at the last failure, and answered how often the endpoint answered well.
	failedAt, answered int64
	// called is who was called to find out whether it is well again, and has not come yet, and calledAt when.
	called   types.NamespacedName
	calledAt time.Time
}

// Limiter spaces out the client's requests.
func (l *Lane) Limiter() *Limiter { return l.limiter }

func newSides() map[Endpoint]*side {
	sides := map[Endpoint]*side{}
	for _, endpoint := range []Endpoint{LoginEndpoint, UserCenterEndpoint, JWTLoginEndpoint, ProviderEndpoint} {
		sides[endpoint] = &side{
			waiting: newWaitingList(), retries: map[types.NamespacedName]retry{}, turns: map[types.NamespacedName]*ticket{},
		}
	}
	return sides
}

// State is what is known of the client's health, as far as its own credentials go. They are rejected only while no endpoint accepts them: what
// one endpoint alone refuses is told by StandingAt. Of two endpoints in an outage, it is the one of /login.
func (l *Lane) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.combined()
}

func (l *Lane) combined() State {
	login, userCenter := l.sides[LoginEndpoint].state, l.sides[UserCenterEndpoint].state
	accepted := l.accepted(LoginEndpoint)
	told := login
	for _, state := range []State{userCenter, login} {
		switch {
		case state.Trouble == gini.CredentialsRejected && accepted:
			// that endpoint's alone
		case told.rejects() && !accepted && !state.rejects():
		case !state.Healthy():
			told = state
		}
	}
	if told.Trouble == gini.CredentialsRejected {
		if accepted {
			return State{Accepted: true, once: true}
		}
		told.ProbeAt = later(told.ProbeAt, l.nextTry(l.lanes.now()))
	}
	told.Accepted = accepted
	return told
}

// Standing is what an endpoint has made of the credentials.
type Standing struct {
	// Accepted and Refused are whether it accepts or refuses them; neither while it has not been asked.
	Accepted, Refused bool
	// Since is when it began to refuse them, and Sole is whether that rests on one user alone.
	Since time.Time
	Sole  bool
}

// StandingAt is what an endpoint has made of the credentials, whatever the other did.
func (l *Lane) StandingAt(endpoint Endpoint) Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := l.sides[endpoint].state
	return Standing{Accepted: state.Accepted, Refused: state.Trouble == gini.CredentialsRejected, Since: state.Since, Sole: state.Sole}
}

// IdentityState is what is known of the health of the client's identity provider, and of whether Gini accepts its JWTs; failed
// is the endpoint that it speaks of.
func (l *Lane) IdentityState() (state State, failed Endpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.identityState()
}

func (l *Lane) identityState() (State, Endpoint) {
	if provider := l.sides[ProviderEndpoint]; !provider.state.Healthy() {
		return provider.state, ProviderEndpoint
	}
	state := l.sides[JWTLoginEndpoint].state
	state.Accepted = state.Accepted || l.accepted(ProviderEndpoint)
	return state, JWTLoginEndpoint
}

// accepted reports whether what an endpoint judges was accepted: the client credentials, at either endpoint that takes them.
func (l *Lane) accepted(endpoint Endpoint) bool {
	return l.sides[endpoint].state.Accepted || l.sides[endpoint.sibling()].state.Accepted
}

// Rename tells the lane that what is in use is called otherwise now.
func (l *Lane) Rename(before, after string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.version == before {
		l.version = after
	}
}

// Use tells the lane which version of the client's credentials and endpoints is in use. Another one than before starts over with
// a clean slate; login and userCenter are what is known of it already.
func (l *Lane) Use(version string, login, userCenter State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.version == version {
		return
	}
	l.version, l.since, l.gaveUp, l.trial = version, time.Time{}, false, types.NamespacedName{}
	for _, side := range l.sides {
		l.startOver(side)
	}
	l.sides[LoginEndpoint].state, l.sides[UserCenterEndpoint].state = login, userCenter
	for _, endpoint := range []Endpoint{LoginEndpoint, UserCenterEndpoint} { // a refusal that was taken for one user's may have gone before
		if side := l.sides[endpoint]; side.state.rejects() {
			side.tries = tries{}.add(side.state.Since).add(side.state.Since).add(side.state.Since)
		}
	}
	l.call()
}

// UseIdentity tells the lane which version of the client's identity provider is in use: its keys, issuer and claims, or its endpoint
// and credentials. Another one than before starts over with a clean slate.
func (l *Lane) UseIdentity(version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.identity == version {
		return
	}
	l.identity = version
	for _, endpoint := range []Endpoint{JWTLoginEndpoint, ProviderEndpoint} {
		if side := l.sides[endpoint]; side.used {
			l.startOver(side)
		}
	}
	l.call()
}

// startOver forgets what is known of an endpoint. What still runs there holds up nobody. The lock is held.
func (l *Lane) startOver(side *side) {
	side.state, side.running, side.tries, side.doubted = State{}, 0, tries{}, false
	side.uses++
	clear(side.turns)
	clear(side.retries)
}

// Room is how many pieces of work can be begun within a time, each with one request: twice of what the rate allows, as some
// need none in the end. In trouble, at all endpoints that are in use, it is one, the probe.
func (l *Lane) Room(within time.Duration) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	wellOrUnknown := func(endpoint Endpoint) bool {
		return l.sides[endpoint].state.Healthy() && (l.accepted(endpoint) || !l.sides[endpoint.sibling()].state.rejects())
	}
	inUse := func(endpoint Endpoint) bool { return l.sides[endpoint].used && wellOrUnknown(endpoint) }
	if wellOrUnknown(LoginEndpoint) || wellOrUnknown(UserCenterEndpoint) || inUse(JWTLoginEndpoint) || inUse(ProviderEndpoint) {
		return 2 * int(within.Seconds()*float64(l.limits.RatePerSecond))
	}
	return 1
}

// Refusal is why work was not admitted.
type Refusal struct {
	// Running is whether work of this user runs already, and it is reconciled again when that ends; or whether the operator is about to end.
	Running bool
	// Trouble is what the client suffers from; "" where there just is no room.
	Trouble gini.Kind
	// Since is when the trouble began.
	Since time.Time
	// Apart is whether the credentials are refused here and accepted at the other endpoint.
	Apart bool
	// Sole is whether the trouble is concluded from one user's refusals alone.
	Sole bool
}

// Enter runs work for a user that asks an endpoint, or refuses it. Where it refuses, the user is called again by itself.
// The outcome is empty where the work goes on in a goroutine of its own, with a context that outlives the reconcile.
func (l *Lane) Enter(ctx context.Context, endpoint Endpoint, key types.NamespacedName, priority int, work Work) (Outcome, *Refusal) {
	admitted, refusal := l.admit(endpoint, key, priority)
	if refusal != nil {
		return Outcome{}, refusal
	}
	if l.lanes.inline {
		defer l.lanes.running.Done()
		return l.run(ctx, admitted, work), nil
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer l.lanes.running.Done()
		outcome := l.run(ctx, admitted, work)
		if outcome.Err != nil {
			l.lanes.log.Error(outcome.Err, "Reconciling failed; it is tried again", "GiniClient", l.client, "GiniUser", key)
		}
		if outcome.Result.RequeueAfter > 0 {
			l.lanes.queue.Enqueue(key, priority, outcome.Result.RequeueAfter)
		}
	}()
	return Outcome{}, nil
}

// Leave takes a user off the list, where it needs nothing of Gini any more.
func (l *Lane) Leave(key types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, side := range l.sides {
		side.waiting.leave(key)
		delete(side.retries, key)
	}
	l.call() // it may have been called, and passes its turn on
}

func (l *Lane) admit(endpoint Endpoint, key types.NamespacedName, priority int) (*ticket, *Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, side := l.lanes.now(), l.sides[endpoint]
	if side.called == key {
		side.called = types.NamespacedName{}
	}
	held := side.retries[key]
	crowded := l.crowded(endpoint, held, priority)
	if held.pending(now) || crowded || l.room(endpoint) < 1 || !l.mayTry(endpoint, key, now) {
		side.waiting.add(key, priority)
		l.call()
		state := side.state
		if now.Before(l.pausedUntil(endpoint, now)) && state.Healthy() { // for what the other endpoint says
			state = l.sides[endpoint.sibling()].state
		}
		refusal := &Refusal{Trouble: state.Trouble, Since: state.Since, Sole: state.Sole, Apart: l.apart(endpoint)}
		if state.Healthy() && (crowded && held.row > 0 || held.pending(now)) {
			refusal.Trouble = held.kind
		}
		return nil, refusal
	}
	if !l.lanes.begin(key) {
		return nil, &Refusal{Running: true}
	}
	side.waiting.remove(key)
	side.running++
	side.used = true
	l.admissions++
	admitted := &ticket{
		endpoint: endpoint, key: key, priority: priority, use: side.uses, number: l.admissions, probe: !side.state.Healthy(),
		again: held.row > 0, answered: side.answered,
	}
	side.turns[key] = admitted
	return admitted, nil
}

// ticket is what is known of work since it was admitted.
type ticket struct {
	endpoint Endpoint
	key      types.NamespacedName
	priority int
	// use is of the credentials that were in use there then.
	use int
	// number counts admissions, and answered is how often the endpoint had answered well then.
	number, answered int64

	probe bool
	// again is whether the user failed there before.
	again bool
	// judged is whether an answer was judged already, and failed whether the last one was everybody's failure.
	judged, failed bool
}

// room is how many more pieces of work may begin at an endpoint: one while it has not accepted the credentials, or is in trouble; one with
// the same credentials while no endpoint has.
func (l *Lane) room(endpoint Endpoint) int {
	side, room := l.sides[endpoint], l.limits.MaxInFlight-l.inFlight(endpoint)
	if !side.state.Accepted || !side.state.Healthy() {
		room = min(room, 1-side.running)
	}
	if sibling := endpoint.sibling(); sibling != endpoint && !l.accepted(endpoint) {
		room = min(room, 1-side.running-l.sides[sibling].running)
	}
	return room
}

// inFlight is how much work runs at the host of an endpoint: an identity provider that hangs takes no room from Gini.
func (l *Lane) inFlight(endpoint Endpoint) int {
	running := 0
	for _, side := range l.atHost(endpoint) {
		running += side.running
	}
	return running
}

func (l *Lane) run(ctx context.Context, admitted *ticket, work Work) (outcome Outcome) {
	defer func() {
		if panicked := recover(); panicked != nil {
			// The value is not logged: it may hold what must not be.
			l.lanes.log.Error(nil, "Panic while talking to Gini; this user is tried again later",
				"GiniClient", l.client, "GiniUser", admitted.key, "type", fmt.Sprintf("%T", panicked), "stack", string(debug.Stack()))
			outcome = Outcome{Err: fmt.Errorf("panic of type %T", panicked)}
		}
		l.ended(admitted, outcome)
	}()
	return work(ctx, admitted.probe)
}
