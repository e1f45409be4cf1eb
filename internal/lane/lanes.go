package lane

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// Queue is where work is called back from.
type Queue interface {
	// Enqueue asks for a reconcile of a user: after a while where after is positive, else at once.
	Enqueue(key types.NamespacedName, priority int, after time.Duration)
}

// Lanes are the lanes of all clients.
type Lanes struct {
	clock  clock.WithDelayedExecution
	queue  Queue
	notify func(client types.NamespacedName)
	leads  func(context.Context) error
	inline bool
	log    logr.Logger

	running sync.WaitGroup
	mu      sync.Mutex
	lanes   map[types.UID]*Lane

	busyMu sync.Mutex
	busy   map[types.NamespacedName]bool // users whose work runs; the value: whether something happened meanwhile
	closed bool                          // no more work begins
}

// Options configure Lanes.
type Options struct {
	// Clock is the wall clock.
	Clock clock.WithDelayedExecution
	// Queue is where work is called back from.
	Queue Queue
	// Notify is called when what is known of a client has changed.
	Notify func(client types.NamespacedName)
	// Leads is asked before every request, and blocks while it is not certain that this operator leads; nil: it always does.
	Leads func(context.Context) error
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
	if options.Leads == nil {
		options.Leads = func(context.Context) error { return nil }
	}
	return &Lanes{
		clock: options.Clock, queue: options.Queue, notify: options.Notify, leads: options.Leads, inline: options.Inline, log: options.Log,
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

// begin marks a user as busy; false where it was already, or where nothing begins any more.
func (l *Lanes) begin(key types.NamespacedName) bool {
	l.busyMu.Lock()
	defer l.busyMu.Unlock()
	if l.closed {
		return false
	}
	if _, ok := l.busy[key]; ok {
		l.busy[key] = true
		return false
	}
	l.busy[key] = false
	l.running.Add(1)
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

// For returns the lane of a client, with those limits from now on.
func (l *Lanes) For(uid types.UID, client types.NamespacedName, limits Limits) *Lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane, ok := l.lanes[uid]
	if !ok {
		lane = &Lane{
			lanes: l, client: client, limits: limits, limiter: newLimiter(limits.RatePerSecond, l.clock, l.leads),
			sides: newSides(), behaviours: map[Endpoint]*behaviour{},
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

// Close lets no more work begin, and waits for what has begun.
func (l *Lanes) Close(ctx context.Context) error {
	l.busyMu.Lock()
	l.closed = true
	l.busyMu.Unlock()
	return l.Wait(ctx)
}

// Wait blocks until all work has ended, or the context does. No more should begin meanwhile.
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
