package main

import (
	"sync"
	"time"
)

// What follows is why a use may be refused, or a renewal be late, without the operator being to blame. Nothing else is excused.
//
// An excuse lasts while what it names does; then the operator has some time to make good, the grace. Grace does not pass while another
// excuse lasts that concerns the same device.
const (
	// leaderless: from when the leader is killed, stopped, frozen or ends, until another process (or it itself) holds the lease. Grace: 2 s,
	// in which the new leader begins. Concerns everybody.
	leaderless cause = "leaderless"
	// outage: Gini cannot be reached, cuts connections, answers garbage, or asks to be left alone (429), until the first request of the
	// client at the host is answered (of its JWTs where the user has one), which must come within probeLimit of the end. Grace: what the
	// client's rate limit takes for all its users, and 2 s. Concerns access tokens from that Gini; JWTs are signed without it.
	outage cause = "outage"
	// rotated: Gini has another client secret than the cluster. As an outage, except that the answer must come within repairLimit of
	// the Secret's repair. Concerns all of that client's Secrets but JWTs.
	rotated cause = "rotated"
	// hindered: Gini is slow, or fails at every third request, which is no outage. Grace: 2 s. Concerns sticky tokens only: as each is renewed
	// once it has ended, what a request takes longer, or a second one, is time without a token. Everybody else must not notice.
	hindered cause = "hindered"
	// edited: somebody edited the Secret, or deleted its GiniUser and has not made it again. Grace: repairLimit.
	edited cause = "edited"
	// accountLost: somebody deleted the account at Gini, which ends its tokens at once. The operator sees it at the next renewal. Grace: the
	// lifetime of a token, and repairLimit. Concerns that user.
	accountLost cause = "account lost"
	// keyRolled: somebody withdrew the signing key. Grace: repairLimit. Concerns the JWTs of that client.
	keyRolled cause = "key rolled"
	// sticky: a sticky token ended less than stickyGap ago: no other can be had before. Only for uses.
	sticky cause = "sticky gap"
	// superseded: the operator asked for another token less than supersededGap ago, and Gini ended this one before its time, as it does
	// where a fresh token ends the old one, and wherever a refresh token is used. Only for uses, and of one token for each time.
	superseded cause = "superseded"
)

const (
	leaderGrace = 2 * time.Second
	queueGrace  = 2 * time.Second
	// repairLimit is "in seconds": what is broken by hand is repaired so soon.
	repairLimit = 5 * time.Second
	// probeLimit is the longest pause between two probes, and the request.
	probeLimit = 16 * time.Second
	// stickyGap is the two seconds of the design, and half a second for the request and for the device's own.
	stickyGap     = 2*time.Second + 500*time.Millisecond
	supersededGap = 2 * time.Second
)

// cause is why something is excused.
type cause string

// excuse is one time of one cause.
type excuse struct {
	cause    cause
	from, to time.Time // to is zero while it lasts
	grace    time.Duration
	// concerns says whom; nil: everybody.
	concerns func(*device) bool
	// answered, where set, says when what ended at an instant was over for a device: the first answered probe.
	answered func(d *device, ended time.Time) time.Time
}

// excuses are all of a run.
type excuses struct {
	mu   sync.Mutex
	list []*excuse
}

// begin notes that something begins, and returns what notes that it has ended.
func (x *excuses) begin(e excuse, at time.Time) (end func(at time.Time)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.from = at
	x.list = append(x.list, &e)
	return func(at time.Time) {
		x.mu.Lock()
		defer x.mu.Unlock()
		if e.to.IsZero() {
			e.to = at
		}
	}
}

// conclude ends what lasts still.
func (x *excuses) conclude(at time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.list {
		if e.to.IsZero() {
			e.to = at
		}
	}
}

// of is the list for one device, with the instants at which each was over for it. Only after conclude.
func (x *excuses) of(d *device) spans {
	x.mu.Lock()
	defer x.mu.Unlock()
	var list spans
	for _, e := range x.list {
		if e.concerns != nil && !e.concerns(d) {
			continue
		}
		s := span{cause: e.cause, from: e.from, to: e.to, grace: e.grace}
		if e.answered != nil {
			s.to = e.answered(d, e.to)
		}
		list = append(list, s)
	}
	return list
}

// span is an excuse for one device.
type span struct {
	cause    cause
	from, to time.Time
	grace    time.Duration
}

// spans are all excuses of one device.
type spans []span

// deadline is until when something must be done that is due at an instant, and may take so long: time in which an excuse lasts does not
// count, and after it all of the allowance is left, or its grace where that is longer.
func (list spans) deadline(due time.Time, allowed time.Duration) time.Time {
	deadline := due.Add(allowed)
	for moved := true; moved; {
		moved = false
		for _, s := range list {
			if s.from.After(deadline) || !s.to.After(due) {
				continue
			}
			if later := s.to.Add(max(allowed, s.grace)); later.After(deadline) {
				deadline, moved = later, true
			}
		}
	}
	return deadline
}

// at is what excuses an instant; "" where nothing does.
func (list spans) at(t time.Time) cause {
	for _, s := range list {
		if !t.Before(s.from) && !t.After(list.deadline(s.to, s.grace)) {
			return s.cause
		}
	}
	return ""
}

// between is what excuses that something due was done later; "" where nothing does.
func (list spans) between(due, done time.Time, allowed time.Duration) (c cause, excused bool) {
	if done.After(list.deadline(due, allowed)) {
		return "", false
	}
	for _, s := range list {
		if s.from.Before(done) && s.to.After(due) {
			return s.cause, true
		}
	}
	return "", true
}
