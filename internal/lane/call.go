package lane

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// call calls as many waiting users as there is room for, or sees to it that they are called later. The lock is held.
func (l *Lane) call() {
	for endpoint := range l.sides {
		l.callSide(endpoint)
	}
}

func (l *Lane) callSide(endpoint Endpoint) {
	now, side := l.lanes.now(), l.sides[endpoint]
	if side.state.Paused(now) {
		l.callAt(side.state.ProbeAt)
		return
	}
	var later []*waiter
	for room := l.room(endpoint); room > 0; {
		next, ok := l.next(side)
		if !ok {
			break
		}
		if held := side.retries[next.key]; held.pending(now) {
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
	return side.waiting.popLeast(func(key types.NamespacedName) int { return side.retries[key].failures })
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
