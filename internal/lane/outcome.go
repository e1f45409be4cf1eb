package lane

import (
	"errors"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/gini"
)

// retry holds back one user at one endpoint after a failure that is the client's, while that is not yet known to be in trouble as a
// whole.
type retry struct {
	kind      gini.Kind
	failures  int
	planned   time.Time
	notBefore time.Time
	// own is whether it is this user's alone, and outlives what the client suffers from.
	own bool
}

func (r retry) pending(now time.Time) bool { return pending(r.planned, r.notBefore, now) }

// again is the retry after one more failure. A server that asked for time of this one user, by 429 or while all others were well, is given it.
func (r retry) again(outcome Outcome, kind gini.Kind, well bool, now time.Time) retry {
	wait := retryPause(outcome.Err, r.failures)
	answer, ok := errors.AsType[*gini.Error](outcome.Gini)
	asked := ok && answer.RetryAfter > wait
	if asked {
		wait = answer.RetryAfter
	}
	return retry{kind: kind, failures: r.failures + 1, planned: now, notBefore: now.Add(wait), own: asked && (well || kind == gini.RateLimited)}
}

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

// Judge takes note of what a request of work that runs for a user at an endpoint ended with, before that work ends. It reports whether a
// failure is this user's own, so that nobody else is to wait for it.
func (l *Lane) Judge(endpoint Endpoint, key types.NamespacedName, err error, evidence Evidence) (own bool) {
	l.mu.Lock()
	before := l.snapshot()
	if admitted, ok := l.sides[endpoint].turns[key]; ok && admitted.use == l.sides[endpoint].uses {
		own = l.judge(admitted, err, evidence, l.lanes.now())
	}
	changed := before != l.snapshot()
	l.mu.Unlock()
	if changed {
		l.lanes.notify(l.client)
	}
	return own
}

func (l *Lane) judge(admitted *ticket, err error, evidence Evidence, now time.Time) (own bool) {
	side, kind := l.sides[admitted.endpoint], gini.KindOf(err)
	if kind == gini.Canceled || notSent(err) {
		return false
	}
	admitted.judged, admitted.failed = true, false
	switch {
	case evidence.Elsewhere:
		admitted.failed = gini.ClientLevel(kind)
	case gini.ClientLevel(kind):
		own = l.failed(admitted, err, evidence, now)
		admitted.failed = !own
	case admitted.number <= side.failedAt && !side.state.Healthy():
		// Admitted before the last failure: it does not tell that the trouble is over.
	default:
		l.accept(admitted.endpoint, evidence)
		l.succeeded(admitted.endpoint, now)
	}
	return own
}

// ended takes note of what became of a piece of work, and calls whoever is next. Work that was begun with other credentials or
// endpoints than are in use now tells nothing of these.
func (l *Lane) ended(admitted *ticket, outcome Outcome) {
	l.mu.Lock()
	now, side, key := l.lanes.now(), l.sides[admitted.endpoint], admitted.key
	before := l.snapshot()
	kind := gini.KindOf(outcome.Gini)
	current := admitted.use == side.uses
	if current {
		side.running--
		delete(side.turns, key)
		if outcome.Asked && !admitted.judged {
			l.judge(admitted, outcome.Gini, outcome.Evidence, now)
		}
	}
	switch {
	case outcome.Err != nil, current && admitted.failed:
		side.retries[key] = side.retries[key].again(outcome, kind, side.state.Healthy(), now)
		if outcome.Err != nil { // behind the others; the sweep tells how urgent it is
			side.waiting.leave(key)
			admitted.priority = 0
		}
		side.waiting.add(key, admitted.priority)
	case !current && gini.ClientLevel(kind):
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
func (l *Lane) snapshot() told {
	identity, _ := l.identityState()
	return told{
		client: tell(l.combined()), identity: tell(identity),
		login: tell(l.sides[LoginEndpoint].state), userCenter: tell(l.sides[UserCenterEndpoint].state), given: len(l.given),
	}
}

type told struct {
	client, identity, login, userCenter toldState

	given int
}

type toldState struct {
	trouble  gini.Kind
	accepted bool
	probeAt  int64
}

func tell(state State) toldState {
	return toldState{trouble: state.Trouble, accepted: state.Accepted, probeAt: state.ProbeAt.UnixNano()}
}

// notSent reports whether a request was refused on this side already.
func notSent(err error) bool {
	answer, ok := errors.AsType[*gini.Error](err)
	return ok && answer.Kind == gini.Invalid && answer.Status == 0
}

// failed notes a failure, and reports whether it is one user's own.
func (l *Lane) failed(admitted *ticket, err error, evidence Evidence, now time.Time) (own bool) {
	side := l.sides[admitted.endpoint]
	failure := Failure{User: admitted.key, Kind: gini.KindOf(err), Evidence: evidence}
	if answer, ok := errors.AsType[*gini.Error](err); ok {
		failure.RetryAfter = answer.RetryAfter
	}
	late := !side.state.Healthy() && admitted.number <= side.failedAt
	if late && (!refusal(failure.Kind) || side.state.Trouble == failure.Kind) {
		side.state = side.state.postponed(failure, now) // under way when the trouble began: no probe
		return false
	}
	before := side.state
	if side.doubted && refusal(failure.Kind) { // it is the first that is heard of them since
		side.state.once = false
	}
	side.state, own = side.state.Failed(failure, now)
	if refusal(failure.Kind) {
		side.tries = side.tries.add(now)
		if evidence.Twice && !own {
			side.tries = side.tries.add(now)
		}
		if !own {
			l.doubt(admitted.endpoint, before)
		}
		if !own || side.state.rejects() {
			l.spaceTries(admitted.endpoint, now)
		}
	}
	if !own {
		side.failedAt = l.admissions
	}
	return own
}

// succeeded notes that an endpoint answers well.
func (l *Lane) succeeded(endpoint Endpoint, now time.Time) {
	side := l.sides[endpoint]
	if !side.state.Healthy() { // whoever failed with all others need not wait any more
		maps.DeleteFunc(side.retries, func(_ types.NamespacedName, held retry) bool { return !held.own })
	}
	side.state, side.tries, side.doubted = side.state.Succeeded(), tries{}, false
	if sibling := endpoint.sibling(); sibling != endpoint {
		l.setApart(l.sides[sibling], now)
	}
}
