package lane

import (
	"errors"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
)

// retry holds back one user at one endpoint after a failure that is the client's, while that is not yet known to be in trouble as a
// whole.
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

func retryPause(err error, kind gini.Kind, failures int) time.Duration {
	switch {
	case err != nil:
		return min(time.Second<<min(failures, 10), writeLongest)
	case kind == gini.JWTRejected:
		return pause(kind, failures)
	}
	return pause(gini.Unavailable, failures)
}

// ended takes note of what became of a piece of work, and calls whoever is next. Work that was begun with other credentials or
// endpoints than are in use now tells nothing of these.
func (l *Lane) ended(admitted ticket, outcome Outcome) {
	l.mu.Lock()
	now, side, key := l.lanes.now(), l.sides[admitted.endpoint], admitted.key
	current := admitted.use == side.uses
	if current {
		side.running--
	}
	before := l.snapshot()
	kind := gini.KindOf(outcome.Gini)
	switch {
	case !current, !outcome.Asked, kind == gini.Canceled, notSent(outcome.Gini):
	case gini.ClientLevel(kind):
		l.failed(admitted, outcome.Gini, now)
	case admitted.number <= side.failedAt && !side.state.Healthy():
		// Admitted before the last failure: it does not tell that the trouble is over.
	default:
		l.succeeded(admitted.endpoint)
	}
	switch {
	case outcome.Err != nil, current && gini.ClientLevel(kind):
		failures := side.retries[key].failures
		side.retries[key] = retry{kind: kind, failures: failures + 1, planned: now, notBefore: now.Add(retryPause(outcome.Err, kind, failures))}
		if outcome.Err != nil { // behind the others; the sweep tells how urgent it is
			side.waiting.leave(key)
			admitted.priority = 0
		}
		side.waiting.add(key, admitted.priority)
	case gini.ClientLevel(kind):
		side.waiting.add(key, admitted.priority) // it has not tried what is in use now
	default:
		side.waiting.leave(key)
		delete(side.retries, key)
	}
	changed := before != l.snapshot()
	l.call()
	l.mu.Unlock()
	if l.lanes.end(key) {
		l.lanes.queue.Enqueue(key, 0, echo)
	}
	if changed {
		l.lanes.notify(l.client)
	}
}

// snapshot is what is told of a client.
func (l *Lane) snapshot() [2]told {
	identity, _ := l.identityState()
	return [2]told{tell(l.combined()), tell(identity)}
}

type told struct {
	trouble  gini.Kind
	accepted bool
	probeAt  int64
}

func tell(state State) told {
	return told{trouble: state.Trouble, accepted: state.Accepted, probeAt: state.ProbeAt.UnixNano()}
}

// notSent reports whether a request was refused on this side already.
func notSent(err error) bool {
	answer, ok := errors.AsType[*gini.Error](err)
	return ok && answer.Kind == gini.Invalid && answer.Status == 0
}

// failed notes a failure that is the client's. Rejected credentials are taken to be rejected at the other endpoint as well, until that
// shows otherwise.
func (l *Lane) failed(admitted ticket, err error, now time.Time) {
	kind := gini.KindOf(err)
	var retryAfter time.Duration
	if answer, ok := errors.AsType[*gini.Error](err); ok {
		retryAfter = answer.RetryAfter
	}
	side, other := l.sides[admitted.endpoint], l.sides[admitted.endpoint.sibling()]
	late := !side.state.Healthy() && admitted.number <= side.failedAt
	if late && (kind != gini.CredentialsRejected || side.state.Trouble == kind) {
		side.state = side.state.postponed(retryAfter, now) // under way when the trouble began: no probe
		return
	}
	side.state, side.failedAt = side.state.Failed(admitted.key, kind, retryAfter, now), l.admissions
	if kind == gini.CredentialsRejected && other != side && !other.state.apart {
		inherited := other.state.Trouble != gini.CredentialsRejected || other.state.inherited
		other.state, other.failedAt = side.state, l.admissions
		other.state.inherited = inherited
	}
}

// succeeded notes that an endpoint answers well.
func (l *Lane) succeeded(endpoint Endpoint) {
	side, other := l.sides[endpoint], l.sides[endpoint.sibling()]
	if !side.state.Healthy() {
		clear(side.retries)
	}
	side.state = side.state.Succeeded()
	if other != side && other.state.Trouble == gini.CredentialsRejected {
		if other.state.inherited {
			other.state = State{}
		} else {
			side.state.apart = true // what is rejected there is accepted here
		}
	}
}
