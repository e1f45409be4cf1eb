package emulator

import (
	"fmt"
	"testing"
	"time"
)

// TestMemoryForgetsOnlyTheDead: over a long soak the number of known tokens stays near the limit, and no valid one is lost.
func TestMemoryForgetsOnlyTheDead(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := memory[*token]{limit: 100, dead: func(t *token, now time.Time) bool { return t.state(now) != tokenValid }}
	for i := range 60 {
		m.add(fmt.Sprint("lasting-", i), &token{}, now)
	}
	for i := range 10_000 {
		now = now.Add(time.Second)
		m.add(fmt.Sprint("short-", i), &token{expires: now.Add(10 * time.Second)}, now)
		if n := len(m.known); n > 130 || n != len(m.order) {
			t.Fatalf("%d known, %d in order after %d", n, len(m.order), i)
		}
	}
	for i := range 60 {
		if m.known[fmt.Sprint("lasting-", i)] == nil {
			t.Fatal("a valid token was forgotten")
		}
	}
	if m.known["short-9999"] == nil || m.known["short-1"] != nil {
		t.Error("forgets the wrong ones")
	}
}

// TestHolderDropsTheDead: what a user holds is its valid tokens, however often it logs in.
func TestHolderDropsTheDead(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	st, owner := newTokenStore(), userKey{"acme", "alice"}
	tm := terms{behaviour: &Behaviour{}, refresh: RefreshAbsent, lifetime: 10 * time.Second}
	for range 1000 {
		now = now.Add(time.Second)
		st.login(now, owner, Login, tm)
	}
	if n := len(st.holder(owner).tokens); n != 10 {
		t.Errorf("holds %d tokens, 10 are valid", n)
	}
}
