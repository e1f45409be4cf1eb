package controller

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// turns is a pacer whose turns are compared, as times since noon.
type turns struct {
	*testing.T
	pacer pacer
}

var paceNoon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// expect asks for a turn at an instant since noon, and compares when it is.
func (t *turns) expect(client, user, issuedBy string, now, want time.Duration) {
	t.Helper()
	got := t.pacer.turn(types.UID(client), types.NamespacedName{Namespace: "team", Name: user}, issuedBy, paceNoon.Add(now))
	if got := got.Sub(paceNoon); got != want {
		t.Errorf("%s's turn at %s is %v after noon, want %v", user, client, got, want)
	}
}

// TestPacer: the first has its turn at once, and the others one after the other, however late they come.
func TestPacer(t *testing.T) {
	turns := &turns{T: t}
	turns.expect("acme", "alice", "key-1", 0, 0)
	for i := 1; i <= 20; i++ {
		turns.expect("acme", fmt.Sprintf("user-%d", i), "key-1", time.Duration(i)*time.Millisecond, time.Duration(i)*50*time.Millisecond)
	}
	// Turns that nobody waited for are not saved up.
	turns.expect("acme", "late", "key-1", time.Hour, time.Hour)
	turns.expect("acme", "later", "key-1", time.Hour, time.Hour+50*time.Millisecond)
	turns.expect("acme", "latest", "key-1", time.Hour+time.Second, time.Hour+time.Second)
}

// TestPacerKeepsTurns: however often a user asks, its turn stays until it is taken. One that needs another gets it behind the others.
func TestPacerKeepsTurns(t *testing.T) {
	turns := &turns{T: t}
	turns.expect("acme", "alice", "key-1", 0, 0)
	turns.expect("acme", "bob", "key-1", 0, 50*time.Millisecond)
	turns.expect("acme", "carol", "key-1", 0, 100*time.Millisecond)
	for now := range 5 {
		turns.expect("acme", "carol", "key-1", time.Duration(now)*10*time.Millisecond, 100*time.Millisecond)
		turns.expect("acme", "bob", "key-1", time.Duration(now)*10*time.Millisecond, 50*time.Millisecond)
	}
	turns.expect("acme", "bob", "key-1", 60*time.Millisecond, 50*time.Millisecond) // its turn has come, and is taken
	turns.expect("acme", "bob", "key-1", 60*time.Millisecond, 150*time.Millisecond)
	turns.expect("acme", "dave", "key-1", 60*time.Millisecond, 200*time.Millisecond)
	turns.expect("acme", "carol", "key-1", 100*time.Millisecond, 100*time.Millisecond)
	if known := turns.pacer.clients["acme"].turns; len(known) != 2 {
		t.Errorf("remembers %v, and two wait", known)
	}
}

// TestPacerStartsOver: another key, or other claims, concern everybody anew.
func TestPacerStartsOver(t *testing.T) {
	turns := &turns{T: t}
	for i, user := range []string{"alice", "bob", "carol"} {
		turns.expect("acme", user, "key-1", 0, time.Duration(i)*50*time.Millisecond)
	}
	turns.expect("acme", "carol", "key-2", 10*time.Millisecond, 10*time.Millisecond)
	turns.expect("acme", "bob", "key-2", 10*time.Millisecond, 60*time.Millisecond)
	turns.expect("acme", "alice", "key-2", 10*time.Millisecond, 110*time.Millisecond)
}

// TestPacerOfEachClient: clients have nothing to do with each other, and neither have users of one name in two namespaces.
func TestPacerOfEachClient(t *testing.T) {
	turns := &turns{T: t}
	turns.expect("acme", "alice", "key-1", 0, 0)
	turns.expect("acme", "bob", "key-1", 0, 50*time.Millisecond)
	turns.expect("beta", "bob", "key-1", 0, 0)
	turns.expect("beta", "carol", "key-2", 0, 0)
	turns.expect("acme", "bob", "key-1", 0, 50*time.Millisecond) // that beta has another key is nothing to acme
	at := turns.pacer.turn("acme", types.NamespacedName{Namespace: "elsewhere", Name: "bob"}, "key-1", paceNoon)
	if at.Sub(paceNoon) != 100*time.Millisecond {
		t.Errorf("another's turn is at %v", at)
	}
}

// TestPacerClockSteppedBack: turns are not earlier than they would have been, and those who come then queue up behind. How long that may
// take is for the caller to bound, who knows when a JWT has to be renewed at the latest. Another key starts over.
func TestPacerClockSteppedBack(t *testing.T) {
	turns := &turns{T: t}
	turns.expect("acme", "alice", "key-1", 0, 0)
	turns.expect("acme", "bob", "key-1", 0, 50*time.Millisecond)
	turns.expect("acme", "bob", "key-1", -time.Hour, 50*time.Millisecond)
	turns.expect("acme", "carol", "key-1", -time.Hour, 100*time.Millisecond)
	turns.expect("acme", "carol", "key-1", -time.Hour, 100*time.Millisecond)
	// Once the clock is there again, everybody has had its turn, as ever.
	turns.expect("acme", "carol", "key-1", time.Second, 100*time.Millisecond)
	turns.expect("acme", "dave", "key-1", time.Second, time.Second)
	turns.expect("acme", "erin", "key-2", -time.Hour, -time.Hour)
	turns.expect("acme", "frank", "key-2", -time.Hour, -time.Hour+50*time.Millisecond)
}
