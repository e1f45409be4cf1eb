// Package lane keeps the work of each client apart: what talks to Gini runs in its client's own lane, within that client's
// limits, and never in a reconcile worker, so that a client that is down, slow or wrong holds up nobody else.
//
// A lane admits work while there is room, one piece at a time while the client's credentials are not known to be accepted, and a
// single probe now and then while the client is in trouble. Whoever is turned away is put on a list, and called when
// there is room again, the most urgent first.
package lane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/gini-operator/gini-operator/internal/gini"
)

// Queue is where work is called back from.
type Queue interface {
	// Enqueue asks for a reconcile of a user: after a while where after is positive, else at once.
	Enqueue(key types.NamespacedName, priority int, after time.Duration)
}

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

// Lanes are the lanes of all clients.
type Lanes struct {
	clock  clock.WithDelayedExecution
	queue  Queue
	notify func(client types.NamespacedName)
	inline bool
	log    logr.Logger

	running sync.WaitGroup
	mu      sync.Mutex
	lanes   map[types.UID]*Lane

	busyMu sync.Mutex
	busy   map[types.NamespacedName]bool // users whose work runs; the value: whether something happened meanwhile
}

// Options configure Lanes.
type Options struct {
	// Clock is the wall clock.
	Clock clock.WithDelayedExecution
	// Queue is where work is called back from.
	Queue Queue
	// Notify is called when what is known of a client has changed.
	Notify func(client types.NamespacedName)
	// Inline runs work where it is admitted, instead of in a goroutine of its own: for whoever reconciles step by step.
	Inline bool
	// Log tells of panics.
	Log logr.Logger
}

// New makes Lanes.
func New(options Options) *Lanes {
	if options.Notify == nil {
		options.Notify = func(types.NamespacedName) {}
	}
	return &Lanes{
		clock: options.Clock, queue: options.Queue, notify: options.Notify, inline: options.Inline, log: options.Log,
		lanes: map[types.UID]*Lane{}, busy: map[types.NamespacedName]bool{},
	}
}

// Touch reports whether work of a user runs, in whichever lane; if so, the user is reconciled again when it ends.
func (l *Lanes) Touch(key types.NamespacedName) bool {
	l.busyMu.Lock()
	defer l.busyMu.Unlock()
	if _, ok := l.busy[key]; !ok {
		return false
	}
	l.busy[key] = true
	return true
}

// now is the wall clock without its monotonic reading, which stands still while a machine is suspended.
func (l *Lanes) now() time.Time { return l.clock.Now().Round(0) }

// begin marks a user as busy; false where it was already.
func (l *Lanes) begin(key types.NamespacedName) bool {
	l.busyMu.Lock()
	defer l.busyMu.Unlock()
	if _, ok := l.busy[key]; ok {
		l.busy[key] = true
		return false
	}
	l.busy[key] = false
	return true
}

// end reports whether something happened to the user meanwhile.
func (l *Lanes) end(key types.NamespacedName) (touched bool) {
	l.busyMu.Lock()
	defer l.busyMu.Unlock()
	touched = l.busy[key]
	delete(l.busy, key)
	return touched
}

// Limits of a client.
type Limits struct {
	// RatePerSecond is how many requests a second may be sent.
	RatePerSecond int
	// MaxInFlight is how many pieces of work, each with one request at a time, may run at once.
	MaxInFlight int
}

// For returns the lane of a client, with those limits from now on.
func (l *Lanes) For(uid types.UID, client types.NamespacedName, limits Limits) *Lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane, ok := l.lanes[uid]
	if !ok {
		lane = &Lane{
			lanes: l, client: client, limits: limits, limiter: newLimiter(limits.RatePerSecond, l.clock),
			sides: newSides(), retries: map[types.NamespacedName]retry{},
			behaviours: map[Endpoint]*behaviour{},
		}
		l.lanes[uid] = lane
		return lane
	}
	lane.limiter.set(limits.RatePerSecond)
	lane.mu.Lock()
	lane.limits = limits
	lane.mu.Unlock()
	return lane
}

// Forget drops the lane of a client that is gone. Work that runs in it ends undisturbed.
func (l *Lanes) Forget(uid types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.lanes, uid)
}

// Room is the room of a client's lane within a time; without bound where the client has no lane yet.
func (l *Lanes) Room(client types.NamespacedName, within time.Duration) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range l.lanes {
		if lane.client == client {
			return lane.Room(within)
		}
	}
	return math.MaxInt
}

// Leave takes a user that is gone off the lists of all lanes.
func (l *Lanes) Leave(key types.NamespacedName) {
	l.mu.Lock()
	lanes := slices.Collect(maps.Values(l.lanes))
	l.mu.Unlock()
	for _, lane := range lanes {
		lane.Leave(key)
	}
}

// Wait blocks until all work has ended, or the context does.
func (l *Lanes) Wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		l.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("requests to Gini are still under way: %w", ctx.Err())
	}
}

// Lane is the lane of one client.
type Lane struct {
	lanes   *Lanes
	client  types.NamespacedName
	limiter *Limiter

	mu      sync.Mutex
	limits  Limits
	version string
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

// retry holds back one user after a failure that is the client's, while that is not yet known to be in trouble as a whole.
type retry struct {
	kind      gini.Kind
	failures  int
	planned   time.Time
	notBefore time.Time
}

func (r retry) pending(now time.Time) bool { return pending(r.planned, r.notBefore, now) }

// echo is how long the caches are given to show what the work itself wrote, before a user is reconciled again that something
// happened to meanwhile: mostly it was just that.
const echo = 100 * time.Millisecond

// writeLongest is the longest pause after failures that are not Gini's: the API server takes no write, say. Each try may cost a login.
const writeLongest = time.Minute

func retryPause(err error, failures int) time.Duration {
	if err != nil {
		return min(time.Second<<min(failures, 10), writeLongest)
	}
	return pause(gini.Unavailable, failures)
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
	l.call()
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
		endpoint: endpoint, key: key, version: l.version, number: l.admissions, probe: !side.state.Healthy(),
	}, nil
}

// ticket is what is known of work since it was admitted.
type ticket struct {
	endpoint Endpoint
	key      types.NamespacedName
	// version is of the credentials and endpoints that were in use then.
	version string
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

// ended takes note of what became of a piece of work, and calls whoever is next. Work that was begun with other credentials or
// endpoints than are in use now tells nothing of these.
func (l *Lane) ended(admitted ticket, outcome Outcome) {
	l.mu.Lock()
	now, side, key := l.lanes.now(), l.sides[admitted.endpoint], admitted.key
	current := admitted.version == l.version
	if current {
		l.running--
		side.running--
	}
	before := l.combined()
	kind := gini.KindOf(outcome.Gini)
	switch {
	case !current, !outcome.Asked, kind == gini.Canceled, notSent(outcome.Gini):
	case gini.ClientLevel(kind):
		l.failed(admitted.endpoint, key, outcome.Gini, now)
	case admitted.number <= side.failedAt && !side.state.Healthy():
		// Admitted before the last failure: it does not tell that the trouble is over.
	default:
		l.succeeded(admitted.endpoint)
	}
	if outcome.Err != nil || gini.ClientLevel(kind) {
		failures := l.retries[key].failures
		l.retries[key] = retry{kind: kind, failures: failures + 1, planned: now, notBefore: now.Add(retryPause(outcome.Err, failures))}
		side.waiting.add(key, 0) // behind the others; the sweep tells how urgent it is
	} else {
		delete(l.retries, key)
	}
	after := l.combined()
	changed := before.Trouble != after.Trouble || before.Accepted != after.Accepted || !before.ProbeAt.Equal(after.ProbeAt)
	l.call()
	l.mu.Unlock()
	if l.lanes.end(key) {
		l.lanes.queue.Enqueue(key, 0, echo)
	}
	if changed {
		l.lanes.notify(l.client)
	}
}

// notSent reports whether a request was refused on this side already.
func notSent(err error) bool {
	answer, ok := errors.AsType[*gini.Error](err)
	return ok && answer.Kind == gini.Invalid && answer.Status == 0
}

// failed notes a failure that is the client's. Rejected credentials are taken to be rejected at the other endpoint as well, until that
// shows otherwise.
func (l *Lane) failed(endpoint Endpoint, key types.NamespacedName, err error, now time.Time) {
	kind := gini.KindOf(err)
	var retryAfter time.Duration
	if answer, ok := errors.AsType[*gini.Error](err); ok {
		retryAfter = answer.RetryAfter
	}
	side, other := l.sides[endpoint], l.sides[opposite(endpoint)]
	side.state, side.failedAt = side.state.Failed(key, kind, retryAfter, now), l.admissions
	if kind == gini.CredentialsRejected && !other.state.apart {
		inherited := other.state.Trouble != gini.CredentialsRejected || other.state.inherited
		other.state, other.failedAt = side.state, l.admissions
		other.state.inherited = inherited
	}
}

// succeeded notes that an endpoint answers well.
func (l *Lane) succeeded(endpoint Endpoint) {
	side, other := l.sides[endpoint], l.sides[opposite(endpoint)]
	if !side.state.Healthy() {
		clear(l.retries)
	}
	side.state = side.state.Succeeded()
	if other.state.Trouble == gini.CredentialsRejected {
		if other.state.inherited {
			other.state = State{}
		} else {
			side.state.apart = true // what is rejected there is accepted here
		}
	}
}

func opposite(endpoint Endpoint) Endpoint {
	if endpoint == LoginEndpoint {
		return UserCenterEndpoint
	}
	return LoginEndpoint
}

// call calls as many waiting users as there is room for, or sees to it that they are called later. The lock is held.
func (l *Lane) call() {
	for _, side := range l.sides {
		l.callSide(side)
	}
}

func (l *Lane) callSide(side *side) {
	now := l.lanes.now()
	if side.state.Paused(now) {
		l.callAt(side.state.ProbeAt)
		return
	}
	var later []*waiter
	for room := l.room(side); room > 0; {
		next, ok := l.next(side)
		if !ok {
			break
		}
		if held := l.retries[next.key]; held.pending(now) {
			later = append(later, next)
			l.callAt(held.notBefore)
			continue
		}
		l.lanes.queue.Enqueue(next.key, next.priority, 0)
		room--
	}
	for _, held := range later {
		side.waiting.add(held.key, held.priority)
	}
}

// next takes a user off the list: the most urgent one. As a probe, whoever has failed least: a user that fails for reasons of its
// own must not be all that is ever tried.
func (l *Lane) next(side *side) (*waiter, bool) {
	if side.state.Healthy() {
		return side.waiting.pop()
	}
	return side.waiting.popLeast(func(key types.NamespacedName) int { return l.retries[key].failures })
}

// callAt calls at an instant, or earlier. A timer that a suspended machine delays is made up for by the next sweep.
func (l *Lane) callAt(at time.Time) {
	now := l.lanes.now()
	if l.wakeup != nil && !l.wakeupAt.After(at) && l.wakeupAt.After(now) {
		return
	}
	if l.wakeup != nil {
		l.wakeup.Stop()
	}
	l.wakeupAt = at
	l.wakeup = l.lanes.clock.AfterFunc(at.Sub(now), func() {
		go func() { // a fake clock calls back while it is locked
			l.mu.Lock()
			defer l.mu.Unlock()
			l.call()
		}()
	})
}
