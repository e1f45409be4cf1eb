package main

import (
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// ledgerOf is a ledger of uses by one user: at which second, of which token ("" is Basic), and with which answer.
func ledgerOf(calls ...emulator.Call) emulator.Ledger {
	for i := range calls {
		calls[i].Sequence, calls[i].Done, calls[i].User, calls[i].Operation = i+1, true, "alice", emulator.Documents
	}
	return emulator.Ledger{Calls: calls}
}

func used(after time.Duration, token string, status int) emulator.Call {
	return emulator.Call{Time: noon.Add(after), Token: token, Status: status}
}

func TestTallyFresh(t *testing.T) {
	ledger := ledgerOf(
		used(0, "a", 200), used(time.Second, "a", 200), used(2*time.Second, "b", 200), used(2*time.Second, "", 200),
		used(3*time.Second, "b", 401), used(4*time.Second, "a", 401), used(5*time.Second, "", 401),
	)
	ledger.ExpiredUseList = []emulator.ExpiredUse{{Token: "a", Expired: noon.Add(3500 * time.Millisecond)}}
	counts := newTally(false)
	for range 2 { // what has been read is not counted again
		if err := counts.add(ledger); err != nil {
			t.Fatal(err)
		}
	}
	sum := counts.total()
	if sum.uses != 4 || sum.refused != 3 || sum.expired != 1 || sum.gaps != 0 || sum.renewals != 1 {
		t.Errorf("%+v", sum)
	}
	if lacks := counts.missing(map[kind]int{byCredentials: 1, byToken: 2}); len(lacks) != 4 {
		t.Errorf("%q", lacks)
	}
}

// TestTallyJWT: a user's JWT and its access token are two devices, and a JWT is never sticky.
func TestTallyJWT(t *testing.T) {
	signed := func(call emulator.Call) emulator.Call {
		call.JWT = true
		return call
	}
	ledger := ledgerOf(
		signed(used(0, "j1", 200)), used(0, "a", 200), signed(used(time.Second, "j2", 200)), used(time.Second, "a", 200),
		signed(used(2*time.Second, "j1", 401)), // expired half a second ago
		signed(used(9*time.Second, "j3", 200)), // long after the end of j1: no gap of a sticky token
	)
	ledger.ExpiredUseList = []emulator.ExpiredUse{{Token: "j1", Expired: noon.Add(1500 * time.Millisecond)}}
	counts := newTally(true)
	if err := counts.add(ledger); err != nil {
		t.Fatal(err)
	}
	sum := counts.total()
	if sum.uses != 5 || sum.refused != 1 || sum.expired != 1 || sum.gaps != 0 || sum.renewals != 2 || sum.worst != 0 {
		t.Errorf("%+v", sum)
	}
	lacks := strings.Join(counts.missing(map[kind]int{byJWT: 2, byToken: 1}), "\n")
	for _, want := range []string{"JWT of alice: 2 renewals of 3", "access token of alice: 0 renewals of 3", "of 2 devices with JWT, the emulator saw 1"} {
		if !strings.Contains(lacks, want) {
			t.Errorf("%q lacks %q", lacks, want)
		}
	}
}

func TestTallySticky(t *testing.T) {
	end := 1500 * time.Millisecond
	ledger := ledgerOf(
		used(time.Second, "a", 200),
		used(2*time.Second, "a", 401), used(2250*time.Millisecond, "a", 401), // in the gap
		used(2500*time.Millisecond, "b", 200), // 1 s after the end
		used(3500*time.Millisecond, "c", 200), // b was good 1 s before
		used(end+gapBound, "a", 401),          // too late
	)
	ledger.ExpiredUseList = []emulator.ExpiredUse{{Token: "a", Expired: noon.Add(end)}}
	counts := newTally(true)
	if err := counts.add(ledger); err != nil {
		t.Fatal(err)
	}
	sum := counts.total()
	if sum.uses != 3 || sum.gaps != 2 || sum.refused != 1 || sum.expired != 1 || sum.renewals != 2 || sum.worst != time.Second {
		t.Errorf("%+v", sum)
	}
}

func TestTallyWaitsForCallsUnderWay(t *testing.T) {
	ledger := ledgerOf(used(0, "a", 200), used(time.Second, "a", 0), used(2*time.Second, "b", 200))
	ledger.Calls[1].Done = false
	counts := newTally(false)
	if err := counts.add(ledger); err != nil || counts.total().uses != 1 {
		t.Errorf("%v, %+v", err, counts.total())
	}
	ledger.Calls[1].Done, ledger.Calls[1].Status = true, 200
	if err := counts.add(ledger); err != nil || counts.total().uses != 3 || counts.total().renewals != 1 {
		t.Errorf("%v, %+v", err, counts.total())
	}
	ledger.Calls = []emulator.Call{{Sequence: 9, Done: true}}
	if err := counts.add(ledger); err == nil {
		t.Error("calls that were dropped are not noticed")
	}
}

func TestVerdict(t *testing.T) {
	good := verdict{samples: 5, anonymous: 2, users: 5, ready: 5, accounts: 2, total: record{uses: 360, renewals: 12}}
	if err := good.err(); err != nil {
		t.Error(err)
	}
	if got := good.summary(); got != "demo: users=5 ready=5 renewals=12 uses=360 refused=0 expired=0 accounts=2" {
		t.Error(got)
	}
	sticky := good
	sticky.sticky, sticky.total.gaps = true, 7
	if err := sticky.err(); err != nil || !strings.HasSuffix(sticky.summary(), " accounts=2 gap=7") {
		t.Error(err, sticky.summary())
	}
	for want, change := range map[string]func(*verdict){
		"the cluster has 4":          func(v *verdict) { v.users, v.ready = 4, 4 },
		"4 are Ready":                func(v *verdict) { v.ready = 4 },
		"have 3 accounts":            func(v *verdict) { v.accounts = 3 },
		"1 uses were refused":        func(v *verdict) { v.total.refused = 1 },
		"without a valid token":      func(v *verdict) { v.total.worst = gapBound },
		"access token of x: too few": func(v *verdict) { v.missing = []string{"access token of x: too few"} },
	} {
		bad := good
		change(&bad)
		if err := bad.err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v instead of %q", err, want)
		}
	}
}
