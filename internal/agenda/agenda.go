package agenda

import (
	"context"
	"iter"
	"math"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Interval is how often the sweep looks at all users: the time by which a wake-up can be late after a machine was suspended.
const Interval = 10 * time.Second

// Agenda hands users over to the work queue of their controller. It is a source of that controller.
type Agenda struct {
	// Clock is the wall clock.
	Clock clock.WithTicker
	// Entries walks all users as the cache has them.
	Entries func(ctx context.Context) iter.Seq[Entry]
	// Room is how many users of a client can be served until the next sweep; nil: any number.
	Room func(client types.NamespacedName) int
	// Leads is closed once this operator leads, and sweeps begin; nil: it leads from the start.
	Leads <-chan struct{}

	mu    sync.Mutex
	swept time.Time // when the last sweep began
	queue priorityqueue.PriorityQueue[reconcile.Request]
}

// Start implements source.Source: it takes hold of the queue, and sweeps until the context ends.
func (a *Agenda) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	prioritised, ok := queue.(priorityqueue.PriorityQueue[reconcile.Request])
	if !ok {
		return errNoPriorities
	}
	a.mu.Lock()
	a.queue = prioritised
	a.mu.Unlock()
	go func() {
		if a.Leads != nil {
			select {
			case <-ctx.Done():
				return
			case <-a.Leads:
			}
		}
		ticker := a.Clock.NewTicker(Interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C():
				a.Sweep(ctx)
			}
		}
	}()
	return nil
}

// Sweep looks at every user once, and hands over those that are due before the next sweep: of each client as many as it
// has room for, the most urgent first.
func (a *Agenda) Sweep(ctx context.Context) {
	a.beat()
	for pick := range picks(a.Entries(ctx), a.Clock.Now().Round(0), a.room) {
		a.Enqueue(pick.Key, pick.Priority, pick.After)
	}
}

func (a *Agenda) room(client types.NamespacedName) int {
	if a.Room == nil {
		return math.MaxInt
	}
	return a.Room(client)
}

// Enqueue hands one user over: after a while where after is positive, else at once.
func (a *Agenda) Enqueue(key types.NamespacedName, priority int, after time.Duration) {
	a.mu.Lock()
	queue := a.queue
	a.mu.Unlock()
	if queue == nil { // not started: whoever is due then is found by the sweep
		return
	}
	queue.AddWithOpts(priorityqueue.AddOpts{Priority: &priority, After: after}, reconcile.Request{NamespacedName: key})
}
