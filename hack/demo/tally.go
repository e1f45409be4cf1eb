package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// gapBound is how long after the end of a sticky token its Secret may still hold it: under two seconds, and the time of the
// request for the next. What a device needs to see it is a part of that time here.
const gapBound = 2*time.Second + 500*time.Millisecond

// kind is what a device shows Gini.
type kind string

const (
	byCredentials kind = "client credentials"
	byJWT         kind = "JWT"
	byToken       kind = "access token"
)

// renewed reports whether it expires, so that the operator renews it.
func (k kind) renewed() bool { return k != byCredentials }

// kindOf is what a call showed.
func kindOf(call emulator.Call) kind {
	switch {
	case call.JWT:
		return byJWT
	case call.Token != "":
		return byToken
	default:
		return byCredentials
	}
}

// deviceKey is a device as the emulator's ledger knows it.
type deviceKey struct {
	user string // identifier or account id
	kind kind
}

// record is what the ledger has of one device.
type record struct {
	uses, refused, expired, gaps int
	renewals                     int
	// worst is the longest that a sticky device was without a valid token.
	worst time.Duration

	token string
	last  time.Time // of the last accepted use
}

// tally reads the emulator's ledger as it grows.
type tally struct {
	sticky  bool
	read    int // the sequence of the last call that was read
	devices map[deviceKey]*record
	// ends are when tokens and JWTs ended that were used after their end, by fingerprint.
	ends map[string]time.Time
}

func newTally(sticky bool) *tally {
	return &tally{sticky: sticky, devices: map[deviceKey]*record{}, ends: map[string]time.Time{}}
}

// add reads the calls that are new in the ledger, up to the first that is still under way.
func (t *tally) add(ledger emulator.Ledger) error {
	for _, use := range ledger.ExpiredUseList {
		t.ends[use.Token] = use.Expired
	}
	for _, call := range ledger.Calls {
		switch {
		case call.Sequence <= t.read:
			continue
		case call.Sequence > t.read+1:
			return fmt.Errorf("the ledger has dropped calls: %d follows %d", call.Sequence, t.read)
		case !call.Done:
			return nil
		}
		t.read = call.Sequence
		if call.Operation == emulator.Documents {
			t.use(call)
		}
	}
	return nil
}

func (t *tally) use(call emulator.Call) {
	key := deviceKey{user: call.User, kind: kindOf(call)}
	r := t.devices[key]
	if r == nil {
		r = &record{}
		t.devices[key] = r
	}
	if call.Status != 200 {
		t.refuse(r, call)
		return
	}
	r.uses++
	if r.token != "" && r.token != call.Token {
		r.renewals++
		if t.sticky && key.kind == byToken {
			r.worst = max(r.worst, call.Time.Sub(later(r.last, t.ends[r.token])))
		}
	}
	r.token, r.last = call.Token, call.Time
}

// refuse counts a refused use. One of a sticky token just after its end is no fault, as no other token can be had before. A JWT
// is never sticky.
func (t *tally) refuse(r *record, call emulator.Call) {
	end, expired := t.ends[call.Token]
	if t.sticky && kindOf(call) == byToken && expired && call.Time.Sub(end) < gapBound {
		r.gaps++
		return
	}
	r.refused++
	if expired {
		r.expired++
	}
}

// total adds all devices up.
func (t *tally) total() (sum record) {
	for _, r := range t.devices {
		sum.uses += r.uses
		sum.refused += r.refused
		sum.expired += r.expired
		sum.gaps += r.gaps
		sum.renewals += r.renewals
		sum.worst = max(sum.worst, r.worst)
	}
	return sum
}

// missing says what a device lacks, of renewals and uses for each Secret; empty where all have enough.
func (t *tally) missing(wanted map[kind]int) (lacks []string) {
	have := map[kind]int{}
	for key, r := range t.devices {
		have[key.kind]++
		if r.uses < wantUses {
			lacks = append(lacks, fmt.Sprintf("%s: %d uses of %d", key, r.uses, wantUses))
		}
		if key.kind.renewed() && r.renewals < wantRenewals {
			lacks = append(lacks, fmt.Sprintf("%s: %d renewals of %d", key, r.renewals, wantRenewals))
		}
	}
	for _, k := range []kind{byCredentials, byJWT, byToken} {
		if have[k] != wanted[k] {
			lacks = append(lacks, fmt.Sprintf("of %d devices with %s, the emulator saw %d", wanted[k], k, have[k]))
		}
	}
	slices.SortFunc(lacks, cmp.Compare)
	return lacks
}

func (k deviceKey) String() string { return string(k.kind) + " of " + k.user }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
