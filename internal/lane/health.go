package lane

import (
	"fmt"
	"hash/fnv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/gini"
)

// State is what is known of a client's health at one endpoint. Its methods are pure: they take the time, and return the next state.
type State struct {
	// Accepted is whether the endpoint accepts the client credentials, as far as is known.
	Accepted bool
	// Trouble is what all users of the endpoint suffer from; "" if it is well.
	Trouble gini.Kind
	// Since is when the trouble began.
	Since time.Time
	// ProbeAt is when the next single request may try whether it is over.
	ProbeAt time.Time
	// Sole is whether the trouble is concluded from one user's refusals alone, as there was nothing to compare them with.
	Sole bool

	// once is whether the endpoint has ever accepted these credentials: from then on a refusal may be one user's.
	once bool
	// planned is when ProbeAt was set: a clock that shows less has been set back since.
	planned  time.Time
	probes   int
	other    gini.Kind // another kind of failure than the trouble, and how often it came in a row
	others   int
	failures int
	first    types.NamespacedName
	several  bool
	// prober is who failed last while all waited: the next probe is somebody else's.
	prober types.NamespacedName
	// suspicion is of a refusal that was taken for one user's.
	suspicion suspicion
	// askers are the last two who were answered with Retry-After, the newest first, and asked is the shortest of what was asked of them: what
	// one user or two are told is not everybody's.
	askers [2]types.NamespacedName
	asked  time.Duration
	// widely is whether a third was.
	widely bool
}

const (
	// failuresToOutage in a row, of two users or more, are an outage.
	failuresToOutage = 3
	// failuresOfOne in a row are one too, if a client has but one user that asks for anything.
	failuresOfOne = 6
	// rejectedFirst and rejectedLater pause an endpoint that rejects credentials or JWTs: at most three tries in any hour.
	rejectedFirst = time.Minute
	rejectedLater = 30 * time.Minute
	// outageFirst and outageLongest pause a client in an outage.
	outageFirst   = time.Second
	outageLongest = 15 * time.Second
	// limitedLongest is the longest pause after an answer 429 that does not say how long.
	limitedLongest = time.Minute
)

// Healthy reports whether requests may go out as usual.
func (s State) Healthy() bool { return s.Trouble == "" }

// rejects reports whether the endpoint refuses what all its users are asked for with: the client credentials or JWTs.
func (s State) rejects() bool { return refusal(s.Trouble) }

// Accepting is the state of an endpoint that accepted the credentials before, and is well.
func Accepting() State { return State{Accepted: true, once: true} }

// Succeeded is the state after the endpoint answered in a way that shows it well: with what was asked for, or with an error that
// concerns one user only.
func (s State) Succeeded() State { return Accepting() }

// Failed is the state after a request failed in a way that may be the client's. own reports that it was taken for one user's instead: then
// nobody else waits. See the file's verdict.go for refusals and rate limits. Anything else takes three failures in a row, of two users or
// more: every third request failing is no outage.
func (s State) Failed(f Failure, now time.Time) (next State, own bool) {
	asked := s.retryAfter(f)
	s = s.heard(f)
	if personal(f.Kind) {
		if s, own = s.judged(f, now); own {
			if !s.Healthy() { // it is no proof that the trouble is over
				s.prober = f.User
				s = s.paused(f.User, 0, now)
			}
			return s, true
		}
	}
	switch {
	case f.Alone: // one more that fails for itself makes no second user
	case s.first == types.NamespacedName{}:
		s.first = f.User
	case f.User != s.first:
		s.several = true
	}
	s.failures++
	alone := s.failures >= failuresOfOne && !(f.Others && answered(f.Kind))
	if s.Healthy() && !personal(f.Kind) && asked == 0 && !(s.failures >= failuresToOutage && s.several) && !alone {
		return s, false
	}
	if s.Healthy() {
		s.Trouble, s.Since = f.Kind, now
	}
	s.prober = f.User
	return s.changed(f.Kind).paused(f.User, asked, now), false
}

// paused is the state with the next probe planned.
func (s State) paused(user types.NamespacedName, asked time.Duration, now time.Time) State {
	s.ProbeAt, s.planned = now.Add(max(asked, jittered(s.Trouble, s.probes, user))), now
	s.probes++
	return s
}

// answered reports whether a server answered, which may dislike one user.
func answered(kind gini.Kind) bool { return kind == gini.Unavailable || kind == gini.Unexpected }

// postponed is the state after an answer that says nothing new but, perhaps, how long Gini asks to be left alone.
func (s State) postponed(f Failure, now time.Time) State {
	asked := s.retryAfter(f)
	s = s.heard(f)
	if until := now.Add(asked); until.After(s.ProbeAt) {
		s.ProbeAt, s.planned = until, now
	}
	return s
}

// changed is the state after one more failure in trouble. Rejected credentials stay rejected until they are accepted: the
// tries are few, whatever else comes. Otherwise another kind of failure becomes the trouble once it has come three times
// in a row: whoever is told, is told once, though the kinds alternate.
func (s State) changed(kind gini.Kind) State {
	switch {
	case s.Trouble == gini.CredentialsRejected, kind == s.Trouble:
		s.other, s.others = "", 0
	case kind == gini.CredentialsRejected:
		s.Trouble, s.probes, s.other, s.others = kind, 0, "", 0
	case kind != s.other:
		s.other, s.others = kind, 1
	default:
		s.others++
	}
	if s.others >= failuresToOutage {
		s.Trouble, s.other, s.others = s.other, "", 0
	}
	if s.Trouble == gini.CredentialsRejected {
		s.Accepted = false
	}
	return s
}

// Paused reports whether nothing may be asked at an instant.
func (s State) Paused(now time.Time) bool { return pending(s.planned, s.ProbeAt, now) }

// pending reports whether an instant that was planned for later has not come. Where the clock has been set back since,
// nobody knows: then it has.
func pending(planned, at, now time.Time) bool { return now.Before(at) && !now.Before(planned) }

// pause is how long to wait before the next probe after so many of them.
func pause(kind gini.Kind, probes int) time.Duration {
	switch kind {
	case gini.CredentialsRejected, gini.JWTRejected:
		if probes == 0 {
			return rejectedFirst
		}
		return rejectedLater
	case gini.RateLimited:
		return min(outageFirst<<min(probes, 6), limitedLongest)
	default:
		return min(outageFirst<<min(probes, 4), outageLongest)
	}
}

// jittered is a pause, up to a tenth shorter, differently for each probe of each client: those that one trouble has stopped do not probe
// in step. Pauses of which so many are allowed in an hour are kept whole.
func jittered(kind gini.Kind, probes int, user types.NamespacedName) time.Duration {
	whole := pause(kind, probes)
	if kind == gini.CredentialsRejected || kind == gini.JWTRejected {
		return whole
	}
	hash := fnv.New32a()
	_, _ = fmt.Fprintf(hash, "%s#%d", user, probes)
	return whole - whole/10*time.Duration(hash.Sum32()%1024)/1024
}

// Rejected is the state of an endpoint whose credentials are known to be rejected, from before a restart: no try before its time.
func Rejected(since, probeAt time.Time) State {
	planned := probeAt.Add(-perTries) // or later: a clock that shows less has been set back since
	return State{Trouble: gini.CredentialsRejected, Since: since, ProbeAt: probeAt, planned: planned, probes: 2}
}
