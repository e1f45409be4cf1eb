package lane

import (
	"errors"
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
	// alone is how often it failed in a row while the others were well, though nobody can tell yet whose those failures are. answered is how often the
	// endpoint had answered well by its last failure: whoever is the first to meet an outage, and for long the only one, does not fail alone.
	alone    int
	answered int64
	// row is how often it failed in a row, whatever the others did. That outlives what the client suffers from.
	row int
	// own is whether it is this user's alone, and outlives what the client suffers from.
	own bool
}

func (r retry) pending(now time.Time) bool { return pending(r.planned, r.notBefore, now) }

// again is the retry after one more failure. A server that asked for time of this one user, by 429 or while all others were well, is given it.
func (r retry) again(outcome Outcome, kind gini.Kind, well bool, answered int64, now time.Time) retry {
	wait := r.pause(outcome.Err)
	answer, ok := errors.AsType[*gini.Error](outcome.Gini)
	asked := ok && answer.RetryAfter > wait
	if asked {
		wait = answer.RetryAfter
	}
	alone := r.alone
	if well && outcome.Err == nil && (r.row == 0 || answered != r.answered) {
		alone++
	}
	return retry{
		kind: kind, failures: r.failures + 1, planned: now, notBefore: now.Add(wait), alone: alone, answered: answered, row: r.row + 1,
		own: asked && (well || kind == gini.RateLimited),
	}
}

// failsAlone reports whether a user failed again and again while the others were well. It will most likely go on: it must not come back with
// all others when an outage ends, nor does it tell that there is one.
func (r retry) failsAlone() bool { return r.alone >= 2 }

// echo is how long the caches are given to show what the work itself wrote, before a user is reconciled again that something
// happened to meanwhile: mostly it was just that.
const echo = 100 * time.Millisecond

// writeLongest is the longest pause after failures that are not Gini's: the API server takes no write, say. Each try may cost a login.
const writeLongest = time.Minute

// aloneLongest is the longest pause of a user that goes on failing while the others are well. Each try may take up a permit until it times out.
const aloneLongest = 2 * time.Minute

// pause is how long a user is held back after one more failure.
func (r retry) pause(err error) time.Duration {
	switch {
	case err != nil:
		return min(time.Second<<min(r.failures, 10), writeLongest)
	case r.alone >= failuresOfOne:
		return min(outageLongest<<min(r.alone-failuresOfOne+1, 10), aloneLongest)
	}
	return pause(gini.Unavailable, r.failures)
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
		side.retries[key] = side.retries[key].again(outcome, kind, side.state.Healthy(), side.answered, now)
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
	failure := Failure{User: admitted.key, Kind: gini.KindOf(err), Alone: side.retries[admitted.key].failsAlone(), Evidence: evidence}
	if answer, ok := errors.AsType[*gini.Error](err); ok {
		failure.RetryAfter = answer.RetryAfter
	}
	late := !side.state.Healthy() && admitted.number <= side.failedAt
	if late && (!refusal(failure.Kind) || side.state.Trouble == failure.Kind) {
		side.state = side.state.postponed(failure, now) // under way when the trouble began: no probe
		return false
	}
	if side.state.Healthy() && !personal(failure.Kind) && !evidence.Neutral && side.answered != admitted.answered {
		return false // others were answered since it began: it fails alone
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
			l.doubt(admitted.endpoint, before, evidence.Neutral, now)
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
	side.answered++
	if !side.state.Healthy() { // whoever failed with all others need not wait any more
		for key, held := range side.retries {
			if !held.own && !held.failsAlone() {
				side.retries[key] = retry{alone: held.alone, answered: held.answered, row: held.row}
			}
		}
	}
	side.state, side.tries, side.doubted = side.state.Succeeded(), tries{}, false
	if sibling := l.sides[endpoint.sibling()]; sibling != side {
		sibling.doubted = false // by this endpoint, which refuses nothing any more
		l.setApart(sibling, now)
	}
}
