package agenda_test

import (
	"context"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/gini-operator/gini-operator/internal/agenda"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "team", Name: name}
}

// tickingClock tells when its ticker starts and stops.
type tickingClock struct {
	*testclock.FakeClock
	started, stopped chan struct{}
}

func newClock() *tickingClock {
	return &tickingClock{testclock.NewFakeClock(noon), make(chan struct{}), make(chan struct{})}
}

// NewTicker implements clock.WithTicker.
func (c *tickingClock) NewTicker(every time.Duration) clock.Ticker {
	defer close(c.started)
	return &ticker{c.FakeClock.NewTicker(every), c.stopped}
}

type ticker struct {
	clock.Ticker
	stopped chan struct{}
}

// Stop implements clock.Ticker.
func (t *ticker) Stop() {
	t.Ticker.Stop()
	close(t.stopped)
}

// operator is an agenda with the queue of a controller, and the users that it sweeps over.
type operator struct {
	*agenda.Agenda
	t     *testing.T
	clock *tickingClock
	queue priorityqueue.PriorityQueue[reconcile.Request]

	mu     sync.Mutex
	users  []agenda.Entry
	sweeps chan time.Time // the time of each sweep, when it begins
}

func newOperator(t *testing.T, room func(types.NamespacedName) int) *operator {
	t.Helper()
	o := &operator{t: t, clock: newClock(), queue: priorityqueue.New[reconcile.Request]("test"), sweeps: make(chan time.Time, 100)}
	t.Cleanup(o.queue.ShutDown)
	o.Agenda = &agenda.Agenda{Clock: o.clock, Room: room, Entries: func(context.Context) iter.Seq[agenda.Entry] {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.sweeps <- o.clock.Now()
		return slices.Values(slices.Clone(o.users))
	}}
	return o
}

func (o *operator) know(users ...agenda.Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.users = users
}

func (o *operator) start() {
	o.t.Helper()
	if err := o.Start(o.t.Context(), o.queue); err != nil {
		o.t.Fatal(err)
	}
}

// next takes the next user from the queue as a worker does.
func (o *operator) next() (name string, priority int) {
	o.t.Helper()
	type taken struct {
		request  reconcile.Request
		priority int
	}
	got := make(chan taken, 1)
	go func() {
		request, priority, shutdown := o.queue.GetWithPriority()
		if !shutdown {
			o.queue.Done(request)
			got <- taken{request, priority}
		}
	}()
	select {
	case taken := <-got:
		return taken.request.Name, taken.priority
	case <-time.After(30 * time.Second):
		o.t.Fatal("nobody in the queue")
		return "", 0
	}
}

// seen waits until the clock's ticker has started, or stopped.
func (o *operator) seen(event <-chan struct{}) {
	o.t.Helper()
	select {
	case <-event:
	case <-time.After(30 * time.Second):
		o.t.Fatal("the ticker did not start, or did not stop")
	}
}

func (o *operator) swept() time.Time {
	o.t.Helper()
	select {
	case at := <-o.sweeps:
		return at
	case <-time.After(30 * time.Second):
		o.t.Fatal("no sweep")
		return time.Time{}
	}
}

func user(name string, due, expires time.Duration) agenda.Entry {
	return agenda.Entry{Key: key(name), Client: key("acme"), DueAt: noon.Add(due), ExpiresAt: noon.Add(expires)}
}

// TestSweep hands over those that are due, to the queue of a real controller, the most urgent first (R2.1).
func TestSweep(t *testing.T) {
	o := newOperator(t, nil)
	o.start()
	o.know(
		user("rest", -time.Minute, time.Hour),
		user("expired", -time.Hour, -time.Second),
		agenda.Entry{Key: key("new"), Client: key("acme"), New: true, DueAt: noon},
		user("urgent", -time.Hour, time.Minute),
		user("tomorrow", 24*time.Hour, 36*time.Hour),
		agenda.Entry{Key: key("idle"), Client: key("acme")},
	)
	o.Sweep(t.Context())
	if got := o.queue.Len(); got != 4 {
		t.Fatalf("%d users in the queue, want 4", got)
	}
	for _, want := range []struct {
		name     string
		priority int
	}{{"expired", agenda.Expired}, {"urgent", agenda.Urgent}, {"new", agenda.First}, {"rest", agenda.Rest}} {
		if name, priority := o.next(); name != want.name || priority != want.priority {
			t.Errorf("next is %s with priority %d, want %s with %d", name, priority, want.name, want.priority)
		}
	}
}

// TestSweepRaisesPriority: a user that waits in the queue is moved forward when it becomes urgent, and is there once (R2.1).
func TestSweepRaisesPriority(t *testing.T) {
	o := newOperator(t, nil)
	o.start()
	o.know(user("first", -2*time.Minute, time.Hour), user("second", -time.Minute, time.Minute))
	o.Sweep(t.Context())
	o.clock.SetTime(noon.Add(2 * time.Minute))
	o.Sweep(t.Context())
	if got := o.queue.Len(); got != 2 {
		t.Fatalf("%d users in the queue, want 2", got)
	}
	if name, priority := o.next(); name != "second" || priority != agenda.Expired {
		t.Errorf("next is %s with %d", name, priority)
	}
}

// TestSweepRoom: of each client only as many as it can serve; whoever is left out comes with a later sweep.
func TestSweepRoom(t *testing.T) {
	asked := map[string]int{}
	o := newOperator(t, func(client types.NamespacedName) int {
		asked[client.Name]++
		return 2
	})
	o.start()
	o.know(user("a", -4*time.Minute, time.Hour), user("b", -3*time.Minute, time.Hour), user("c", -2*time.Minute, time.Hour))
	o.Sweep(t.Context())
	if got := o.queue.Len(); got != 2 || asked["acme"] == 0 {
		t.Fatalf("%d users in the queue, want 2; asked for the room of %v", got, asked)
	}
	o.know(user("c", -2*time.Minute, time.Hour))
	o.Sweep(t.Context())
	if got := o.queue.Len(); got != 3 {
		t.Errorf("%d users in the queue, want 3", got)
	}
}

// TestTicks: it sweeps every ten seconds of its clock, also after the clock jumped, and no more once its context has ended (R11.1).
func TestTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOperator(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		if err := o.Start(ctx, o.queue); err != nil {
			t.Fatal(err)
		}
		o.seen(o.clock.started)
		for range 3 {
			o.clock.Step(agenda.Interval)
			if got := o.swept(); !got.Equal(o.clock.Now()) {
				t.Errorf("swept at %v", got)
			}
		}
		// A machine that was suspended: one sweep at once, not thousands.
		o.know(user("slept", time.Hour, 2*time.Hour))
		o.clock.Step(12 * time.Hour)
		o.swept()
		if name, priority := o.next(); name != "slept" || priority != agenda.Expired {
			t.Errorf("next is %s with %d", name, priority)
		}
		o.clock.Step(agenda.Interval / 2)
		synctest.Wait()
		if len(o.sweeps) != 0 {
			t.Error("swept twice")
		}
		cancel()
		o.seen(o.clock.stopped)
		o.clock.Step(agenda.Interval)
		synctest.Wait()
		if len(o.sweeps) != 0 {
			t.Error("swept after its end")
		}
	})
}

// TestBeforeStart: who is enqueued before there is a queue is found by the sweep.
func TestBeforeStart(t *testing.T) {
	o := newOperator(t, nil)
	o.know(user("early", 0, time.Hour))
	o.Enqueue(key("early"), agenda.First, 0)
	o.Sweep(t.Context())
	o.start()
	if got := o.queue.Len(); got != 0 {
		t.Fatalf("%d users in the queue", got)
	}
	o.Sweep(t.Context())
	if name, priority := o.next(); name != "early" || priority != agenda.Rest {
		t.Errorf("next is %s with %d", name, priority)
	}
}

// TestEnqueue: at once, or after a while; a priority that is given, and none other.
func TestEnqueue(t *testing.T) {
	o := newOperator(t, nil)
	o.start()
	o.Enqueue(key("later"), agenda.Expired, time.Hour)
	o.Enqueue(key("rest"), agenda.Rest, 0)
	o.Enqueue(key("nothing"), 0, 0)
	o.Enqueue(key("urgent"), agenda.Urgent, -time.Second)
	for _, want := range []string{"urgent", "rest", "nothing"} {
		if name, _ := o.next(); name != want {
			t.Errorf("next is %s, want %s", name, want)
		}
	}
	if got := o.queue.Len(); got != 0 {
		t.Errorf("%d are ready, and none should be for an hour", got)
	}
}

// TestNeedsPriorities: with the plain queue the urgent would wait behind the rest, so it does not start (R2.1).
func TestNeedsPriorities(t *testing.T) {
	plain := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer plain.ShutDown()
	o := newOperator(t, nil)
	if err := o.Start(t.Context(), plain); err == nil {
		t.Error("started without priorities")
	}
}

// TestTicksOnceItLeads: one that waits to lead has the queue, and hands nobody over.
func TestTicksOnceItLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, leads := newOperator(t, nil), make(chan struct{})
		o.Leads = leads
		o.start()
		synctest.Wait()
		select {
		case <-o.clock.started:
			t.Fatal("sweeps begin before it leads")
		default:
		}
		close(leads)
		o.seen(o.clock.started)
	})
}
