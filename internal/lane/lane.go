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
	// Asked is whether Gini was asked anything, and Gini what a request ended with, nil if well.
	Asked bool
	Gini  error
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
	// uses counts how often other credentials or endpoints came into use.
	uses    int
	running int
	// admissions counts all that was admitted.
	admissions int64
	sides      map[Endpoint]*side
	retries    map[types.NamespacedName]retry
	wakeup     clock.Timer
	wakeupAt   time.Time

	behaviours map[Endpoint]*behaviour
}

// side is one of the client's endpoints: they fail apart from each other.
type side struct {
	state   State
	running int
	waiting *waitingList
	// failedAt is how many admissions there had been at the last failure.
	failedAt int64
}

// Limiter spaces out the client's requests.
func (l *Lane) Limiter() *Limiter { return l.limiter }

func newSides() map[Endpoint]*side {
	return map[Endpoint]*side{
		LoginEndpoint: {waiting: newWaitingList()}, UserCenterEndpoint: {waiting: newWaitingList()},
	}
}

// State is what is known of the client's health: of both endpoints, the worse.
func (l *Lane) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.combined()
}

func (l *Lane) combined() State {
	worse := l.sides[LoginEndpoint].state
	if other := l.sides[UserCenterEndpoint].state; worse.Healthy() || other.Trouble == gini.CredentialsRejected {
		if !other.Healthy() || !worse.Accepted {
			worse = other
		}
	}
	worse.Accepted = l.accepted()
	return worse
}

// accepted reports whether Gini accepted the client credentials at either endpoint.
func (l *Lane) accepted() bool {
	return l.sides[LoginEndpoint].state.Accepted || l.sides[UserCenterEndpoint].state.Accepted
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
// a clean slate; initial is what is known of it already.
func (l *Lane) Use(version string, initial State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.version == version {
		return
	}
	l.version = version
	l.uses++
	l.running = 0 // what still runs with the version before holds up nobody
	for _, side := range l.sides {
		side.state, side.running = initial, 0
	}
	clear(l.retries)
	l.call()
}

// Room is how many pieces of work can be begun within a time, each with one request: twice of what the rate allows, as some
// need none in the end. In trouble, at both endpoints, it is one, the probe.
func (l *Lane) Room(within time.Duration) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.sides[LoginEndpoint].state.Healthy() && !l.sides[UserCenterEndpoint].state.Healthy() {
		return 1
	}
	return 2 * int(within.Seconds()*float64(l.limits.RatePerSecond))
}

// Refusal is why work was not admitted.
type Refusal struct {
	// Running is whether work of this user runs already; it is reconciled again when that ends.
	Running bool
	// Trouble is what the client suffers from; "" where there just is no room.
	Trouble gini.Kind
	// Since is when the trouble began.
	Since time.Time
}

// Enter runs work for a user that asks an endpoint, or refuses it. Where it refuses, the user is called again by itself.
// The outcome is empty where the work goes on in a goroutine of its own, with a context that outlives the reconcile.
func (l *Lane) Enter(ctx context.Context, endpoint Endpoint, key types.NamespacedName, priority int, work Work) (Outcome, *Refusal) {
	admitted, refusal := l.admit(endpoint, key, priority)
	if refusal != nil {
		return Outcome{}, refusal
	}
	l.lanes.running.Add(1)
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
		side.waiting.remove(key)
	}
	delete(l.retries, key)
	l.call() // it may have been called, and passes its turn on
}

func (l *Lane) admit(endpoint Endpoint, key types.NamespacedName, priority int) (ticket, *Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, side, held := l.lanes.now(), l.sides[endpoint], l.retries[key]
	if held.pending(now) || l.room(side) < 1 || side.state.Paused(now) {
		side.waiting.add(key, priority)
		l.call()
		refusal := &Refusal{Trouble: side.state.Trouble, Since: side.state.Since}
		if side.state.Healthy() && held.pending(now) {
			refusal.Trouble = held.kind
		}
		return ticket{}, refusal
	}
	if !l.lanes.begin(key) {
		return ticket{}, &Refusal{Running: true}
	}
	side.waiting.remove(key)
	l.running++
	side.running++
	l.admissions++
	return ticket{
		endpoint: endpoint, key: key, use: l.uses, number: l.admissions, probe: !side.state.Healthy(),
	}, nil
}

// ticket is what is known of work since it was admitted.
type ticket struct {
	endpoint Endpoint
	key      types.NamespacedName
	// use is of the credentials and endpoints that were in use then.
	use int
	// number counts admissions.
	number int64
	probe  bool
}

// room is how many more pieces of work may begin at an endpoint: one in all while the credentials are not known to be
// accepted, one at the endpoint while it is in trouble.
func (l *Lane) room(side *side) int {
	room := l.limits.MaxInFlight - l.running
	if !l.accepted() {
		room = min(room, 1-l.running)
	}
	if !side.state.Healthy() {
		room = min(room, 1-side.running)
	}
	return room
}

func (l *Lane) run(ctx context.Context, admitted ticket, work Work) (outcome Outcome) {
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
