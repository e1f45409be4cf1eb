package lane

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/gini-operator/gini-operator/internal/agenda"
)

// call calls as many waiting users as there is room for, or sees to it that they are called later. The lock is held.
func (l *Lane) call() {
	for endpoint := range l.sides {
		l.callSide(endpoint)
	}
	l.callAwaiting()
}

func (l *Lane) callSide(endpoint Endpoint) {
	now, side := l.lanes.now(), l.sides[endpoint]
	if until := l.pausedUntil(endpoint, now); now.Before(until) {
		if !side.waiting.empty() {
			l.callAt(until)
		}
		return
	}
	if !side.state.Healthy() {
		l.callProber(endpoint, now)
		return
	}
	var later []*waiter
	failed, doubtful := l.share(endpoint)
	for room := l.room(endpoint); room > 0; {
		next, ok := side.waiting.pop()
		if !ok {
			break
		}
		if held := side.retries[next.key]; held.pending(now) {
			later = append(later, next)
			l.callAt(held.notBefore)
			continue
		} else if held.row > 0 {
			if failed < 1 { // whoever ends has it called
				later = append(later, next)
				continue
			}
			failed--
			doubtful--
		} else if next.priority <= agenda.First {
			if doubtful < 1 { // nor are those behind it urgent
				later = append(later, next)
				break
			}
			doubtful--
			failed = min(failed, doubtful)
		}
		l.lanes.queue.Enqueue(next.key, next.priority, 0)
		room--
	}
	for _, held := range later {
		side.waiting.add(held.key, held.priority)
	}
}

// overdue is how long somebody who was called is waited for. It may want something else by now: of another endpoint, or of another client.
// Whoever comes next, with a sweep at the latest, finds that out.
const overdue = time.Minute

// callProber calls whoever is to find out whether an endpoint is well again. It keeps its place until it comes.
func (l *Lane) callProber(endpoint Endpoint, now time.Time) {
	side := l.sides[endpoint]
	if side.waiting.empty() || l.room(endpoint) < 1 {
		return
	}
	if since := now.Sub(side.calledAt); since >= overdue || since < 0 {
		side.waiting.leave(side.called) // it comes again by itself, if it needs to
		side.called = types.NamespacedName{}
	}
	if next, ok := l.nextProber(endpoint, now); ok {
		if next.key != side.called {
			side.called, side.calledAt = next.key, now
		}
		l.lanes.queue.Enqueue(next.key, next.priority, 0)
	}
}

// nextProber is whoever is to find out whether an endpoint is well again: of those that may try now, whoever has failed least there, and of
// these the most urgent. A user that fails for reasons of its own must not be all that is ever tried.
func (l *Lane) nextProber(endpoint Endpoint, now time.Time) (*waiter, bool) {
	side := l.sides[endpoint]
	return side.waiting.least(
		func(key types.NamespacedName) bool {
			if held := side.retries[key]; held.pending(now) {
				l.callAt(held.notBefore)
				return false
			}
			return l.mayTry(endpoint, key, now)
		},
		func(key types.NamespacedName) int { return side.retries[key].row },
	)
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
	var timer clock.Timer
	timer = l.lanes.clock.AfterFunc(at.Sub(now), func() {
		go func() { // a fake clock calls back while it is locked
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.wakeup == timer { // else another was set meanwhile
				l.wakeup = nil
			}
			l.call()
		}()
	})
	l.wakeup = timer
}
