package simulation

import (
	"container/heap"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// workQueue does what controller-runtime's priority queue does: an item is there once, with the highest of its priorities and the
// earliest of its times, and is not handed out while it is worked on. The real one leaves a ticker behind for each wait, all of
// which a simulated clock would have to fire.
type workQueue struct {
	priorityqueue.PriorityQueue[reconcile.Request] // what nobody here calls

	mu      sync.Mutex
	more    *sync.Cond
	items   map[reconcile.Request]*item
	ready   itemHeap
	waiting itemHeap
	working map[reconcile.Request]bool
	aside   map[reconcile.Request]*item // ready, but worked on
	added   int64
	wake    *time.Timer
	wakeAt  time.Time
	closed  bool
}

type item struct {
	request  reconcile.Request
	priority int
	order    int64
	readyAt  time.Time // zero: ready
	index    int
}

func newWorkQueue() *workQueue {
	q := &workQueue{
		items: map[reconcile.Request]*item{}, working: map[reconcile.Request]bool{}, aside: map[reconcile.Request]*item{},
		ready: itemHeap{before: moreUrgent}, waiting: itemHeap{before: func(a, b *item) bool { return a.readyAt.Before(b.readyAt) }},
	}
	q.more = sync.NewCond(&q.mu)
	return q
}

func moreUrgent(a, b *item) bool {
	if a.priority != b.priority {
		return a.priority > b.priority
	}
	return a.order < b.order
}

// AddWithOpts implements priorityqueue.PriorityQueue.
func (q *workQueue) AddWithOpts(options priorityqueue.AddOpts, requests ...reconcile.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	for _, request := range requests {
		q.add(request, *options.Priority, options.After)
	}
	q.setWake()
}

func (q *workQueue) add(request reconcile.Request, priority int, after time.Duration) {
	var readyAt time.Time
	if after > 0 {
		readyAt = time.Now().Add(after)
	}
	known, ok := q.items[request]
	if ok {
		q.take(known)
		if known.readyAt.IsZero() || (!readyAt.IsZero() && known.readyAt.Before(readyAt)) {
			readyAt = known.readyAt
		}
		if priority > known.priority {
			known.priority = priority
			q.number(known)
		}
	} else {
		known = &item{request: request, priority: priority}
		q.items[request] = known
		q.number(known)
	}
	known.readyAt = readyAt
	q.put(known)
}

func (q *workQueue) number(of *item) {
	q.added++
	of.order = q.added
}

// take takes an item out of where it stands.
func (q *workQueue) take(known *item) {
	switch {
	case q.aside[known.request] == known:
		delete(q.aside, known.request)
	case known.readyAt.IsZero():
		heap.Remove(&q.ready, known.index)
	default:
		heap.Remove(&q.waiting, known.index)
	}
}

// put puts it where it belongs.
func (q *workQueue) put(known *item) {
	switch {
	case !known.readyAt.IsZero():
		heap.Push(&q.waiting, known)
	case q.working[known.request]:
		q.aside[known.request] = known
	default:
		heap.Push(&q.ready, known)
		q.more.Signal()
	}
}

// setWake sees to it that whoever waits is ready in time.
func (q *workQueue) setWake() {
	if len(q.waiting.items) == 0 {
		return
	}
	first := q.waiting.items[0].readyAt
	if q.wake != nil && !q.wakeAt.After(first) {
		return
	}
	if q.wake != nil {
		q.wake.Stop()
	}
	q.wakeAt = first
	q.wake = time.AfterFunc(time.Until(first), q.ripen)
}

func (q *workQueue) ripen() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for now := time.Now(); len(q.waiting.items) > 0 && !q.waiting.items[0].readyAt.After(now); {
		ripe, _ := heap.Pop(&q.waiting).(*item)
		ripe.readyAt = time.Time{}
		q.number(ripe)
		q.put(ripe)
	}
	q.wake = nil
	q.setWake()
}

// GetWithPriority implements priorityqueue.PriorityQueue.
func (q *workQueue) GetWithPriority() (request reconcile.Request, priority int, shutdown bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready.items) == 0 && !q.closed {
		q.more.Wait()
	}
	if q.closed {
		return reconcile.Request{}, 0, true
	}
	next, _ := heap.Pop(&q.ready).(*item)
	delete(q.items, next.request)
	q.working[next.request] = true
	return next.request, next.priority, false
}

// Done implements priorityqueue.PriorityQueue.
func (q *workQueue) Done(request reconcile.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.working, request)
	if again, ok := q.aside[request]; ok {
		delete(q.aside, request)
		q.put(again)
	}
}

// ShutDown implements priorityqueue.PriorityQueue.
func (q *workQueue) ShutDown() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.wake != nil {
		q.wake.Stop()
	}
	q.more.Broadcast()
}

type itemHeap struct {
	items  []*item
	before func(a, b *item) bool
}

func (h *itemHeap) Len() int           { return len(h.items) }
func (h *itemHeap) Less(i, j int) bool { return h.before(h.items[i], h.items[j]) }
func (h *itemHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].index, h.items[j].index = i, j
}
func (h *itemHeap) Push(x any) {
	added, _ := x.(*item)
	added.index = len(h.items)
	h.items = append(h.items, added)
}
func (h *itemHeap) Pop() any {
	popped := h.items[len(h.items)-1]
	h.items[len(h.items)-1] = nil
	h.items = h.items[:len(h.items)-1]
	return popped
}
