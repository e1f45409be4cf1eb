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
	// Accepted is whether Gini accepted the client credentials.
	Accepted bool
	// Trouble is what the client as a whole suffers from; "" where it is well.
	Trouble gini.Kind
	// Since is when the trouble began.
	Since time.Time
	// ProbeAt is when the next single request may try whether it is over.
	ProbeAt time.Time

	// planned is when ProbeAt was set: a clock that shows less has been set back since.
	planned  time.Time
	probes   int
	other    gini.Kind // another kind of failure than the trouble, and how often it came in a row
	others   int
	failures int
	refusals int // of JWTs, in a row
	first    types.NamespacedName
	several  bool
	// inherited: the credentials were rejected at the other endpoint, not at this one.
	inherited bool
	// apart: the credentials were accepted here while they were rejected at the other endpoint.
	apart bool
}

const (
	// failuresToOutage in a row, of two users or more, are an outage.
	failuresToOutage = 3
	// failuresOfOne in a row are one too, where a client has but one user that asks for anything.
	failuresOfOne = 6
	// failuresOfJWT in a row, of two users or more, are one where JWTs are refused that were accepted before: others may be a single user's.
	failuresOfJWT = 2
	// rejectedFirst and rejectedLater pause a client whose credentials or JWTs are rejected: at most three tries in any hour.
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

// Succeeded is the state after Gini answered a request of the client in a way that shows it well: with what was asked
// for, or with an error that concerns one user only.
func (s State) Succeeded() State { return State{Accepted: true, apart: s.apart} }

// Failed is the state after a request for a user failed with a kind of failure that belongs to the client.
// Rejected credentials, JWTs of which none was ever accepted, and a rate limit are known from one answer; anything else takes
// three in a row, of two users or more: every third request failing is no outage.
func (s State) Failed(user types.NamespacedName, kind gini.Kind, retryAfter time.Duration, now time.Time) State {
	if s.failures == 0 {
		s.first = user
	} else if user != s.first {
		s.several = true
	}
	s.failures++
	if s.refusals++; kind != gini.JWTRejected {
		s.refusals = 0
	}
	outage := !s.Healthy() || retryAfter > 0 || kind == gini.CredentialsRejected || kind == gini.RateLimited ||
		(kind == gini.JWTRejected && (!s.Accepted || s.refusals >= failuresOfJWT && s.several)) ||
		(s.failures >= failuresToOutage && s.several) || s.failures >= failuresOfOne
	if !outage {
		return s
	}
	if s.Healthy() {
		s.Trouble, s.Since = kind, now
	}
	s = s.changed(kind)
	probes := s.probes
	if s.Trouble == gini.JWTRejected && !s.several { // perhaps this user's alone: another one may try soon
		probes = 0
	}
	s.ProbeAt, s.planned = now.Add(max(retryAfter, jittered(s.Trouble, probes, user))), now
	s.probes++
	return s
}

// postponed is the state after an answer that says nothing new but, perhaps, how long Gini asks to be left alone.
func (s State) postponed(retryAfter time.Duration, now time.Time) State {
	if until := now.Add(retryAfter); until.After(s.ProbeAt) {
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

// Rejected is the state of a client whose credentials are known to be rejected, from before a restart.
func Rejected(since, probeAt time.Time) State {
	planned := probeAt.Add(-rejectedLater) // or later: a clock that shows less has been set back since
	return State{Trouble: gini.CredentialsRejected, Since: since, ProbeAt: probeAt, planned: planned, probes: 1}
}
