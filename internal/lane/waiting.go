package lane

import (
	"container/heap"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// waiter is a user that was turned away and will be called.
type waiter struct {
	key      types.NamespacedName
	priority int
	order    int64
	index    int
}

// waitingList hands out the most urgent first, and those of one urgency in the order they came. Whoever is called keeps its place until
// it leaves: it may have to wait again, and after a long trouble the first in line are those whose tokens expire first.
type waitingList struct {
	byKey  map[types.NamespacedName]*waiter
	places map[types.NamespacedName]int64
	heap   waiterHeap
	next   int64
}

func newWaitingList() *waitingList {
	return &waitingList{byKey: map[types.NamespacedName]*waiter{}, places: map[types.NamespacedName]int64{}}
}

// add puts a user on the list, or raises its urgency there.
func (l *waitingList) add(key types.NamespacedName, priority int) {
	if known, ok := l.byKey[key]; ok {
		if priority > known.priority {
			known.priority = priority
			heap.Fix(&l.heap, known.index)
		}
		return
	}
	if _, ok := l.places[key]; !ok {
		l.next++
		l.places[key] = l.next
	}
	added := &waiter{key: key, priority: priority, order: l.places[key]}
	l.byKey[key] = added
	heap.Push(&l.heap, added)
}

func (l *waitingList) remove(key types.NamespacedName) {
	if known, ok := l.byKey[key]; ok {
		heap.Remove(&l.heap, known.index)
		delete(l.byKey, key)
	}
}

// leave takes a user off the list for good.
func (l *waitingList) leave(key types.NamespacedName) {
	l.remove(key)
	delete(l.places, key)
}

func (l *waitingList) pop() (*waiter, bool) {
	if len(l.heap) == 0 {
		return nil, false
	}
	popped, _ := heap.Pop(&l.heap).(*waiter)
	delete(l.byKey, popped.key)
	return popped, true
}

// least is whoever has the least of something among those that may be chosen, and of these the most urgent. It stays on the list.
func (l *waitingList) least(may func(types.NamespacedName) bool, of func(types.NamespacedName) int) (*waiter, bool) {
	var least *waiter
	for _, candidate := range l.heap {
		better := least == nil || of(candidate.key) < of(least.key) || (of(candidate.key) == of(least.key) && candidate.before(least))
		if better && may(candidate.key) {
			least = candidate
		}
	}
	return least, least != nil
}

// any reports whether somebody on the list fits.
func (l *waitingList) any(fits func(types.NamespacedName) bool) bool {
	return slices.ContainsFunc(l.heap, func(candidate *waiter) bool { return fits(candidate.key) })
}

func (l *waitingList) empty() bool { return len(l.heap) == 0 }

func (w *waiter) before(other *waiter) bool {
	if w.priority != other.priority {
		return w.priority > other.priority
	}
	return w.order < other.order
}

type waiterHeap []*waiter

func (h waiterHeap) Len() int           { return len(h) }
func (h waiterHeap) Less(i, j int) bool { return h[i].before(h[j]) }
func (h waiterHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *waiterHeap) Push(x any) {
	added, _ := x.(*waiter)
	added.index = len(*h)
	*h = append(*h, added)
}
func (h *waiterHeap) Pop() any {
	old := *h
	popped := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return popped
}
