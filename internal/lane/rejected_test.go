package lane_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
)

// TestRejectedCredentials walks six hours with a thousand users that want to be served, sweeps, and whoever is called: Gini is
// asked at most three times in any hour, and at least every half hour or so (R2.4).
func TestRejectedCredentials(t *testing.T) {
	rejected := lane.Rejected(noon.Add(-time.Hour), noon.Add(10*time.Minute))
	for name, initial := range map[string][2]lane.State{
		"never accepted":        {},
		"accepted by /login":    {lane.Accepting(), {}},
		"accepted by both":      {lane.Accepting(), lane.Accepting()},
		"known from before":     {rejected, rejected},
		"one known from before": {rejected, {}},
	} {
		t.Run(name, func(t *testing.T) {
			o := stepped(t)
			client := o.lane("acme", 4)
			client.Use("v1", initial[0], initial[1])
			var tries []time.Time
			ask := func(context.Context, bool) lane.Outcome {
				tries = append(tries, o.clock.Now())
				return lane.Outcome{Asked: true, Gini: failing(gini.CredentialsRejected), Evidence: lane.Evidence{Proven: true, Others: true}}
			}
			reconcile := func(user string) {
				endpoint := lane.LoginEndpoint
				if strings.HasSuffix(user, "7") {
					endpoint = lane.UserCenterEndpoint
				}
				if _, refusal := client.Enter(t.Context(), endpoint, key(user), 10, ask); refusal != nil && refusal.Trouble == "" {
					t.Fatalf("%s is refused for %+v", user, *refusal)
				}
			}
			for tick := 0; o.clock.Now().Before(noon.Add(6 * time.Hour)); tick++ {
				if tick%60 == 0 { // everybody, as at a start
					for i := range 1000 {
						reconcile(fmt.Sprintf("user-%d", i))
					}
				}
				for i := range client.Room(10 * time.Second) { // the sweep of the agenda
					reconcile(fmt.Sprintf("user-%d", (tick+i)%1000))
				}
				for range 10 {
					o.clock.Step(time.Second)
					for _, called := range o.called() {
						reconcile(called.name)
					}
				}
			}
			most := 3
			if name == "accepted by both" { // the first refusal of each may have been one user's
				most += 2
			}
			for i, try := range tries {
				if i >= most && try.Sub(tries[i-3]) < time.Hour {
					t.Fatalf("four tries in %v, from %v on", try.Sub(tries[i-3]), tries[i-3].Sub(noon))
				}
				if i >= 1 && try.Sub(tries[i-1]) > 31*time.Minute && (i < 3 || try.Sub(tries[i-3]) > time.Hour) { // three at once use up the hour
					t.Fatalf("no try in %v, from %v on", try.Sub(tries[i-1]), tries[i-1].Sub(noon))
				}
			}
			if len(tries) < 12 || tries[len(tries)-1].Before(noon.Add(5*time.Hour+29*time.Minute)) {
				t.Errorf("%d tries in six hours", len(tries))
			}
			if name == "known from before" && !tries[0].Equal(noon.Add(10*time.Minute)) {
				t.Errorf("the first try is at %v, before the time that was planned", tries[0])
			}
		})
	}
}

// TestProbesTakeTurns: a user that fails for reasons of its own is not all that is ever tried.
func TestProbesTakeTurns(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	enter(t, client, "alice", answers(failing(gini.RateLimited)))
	enter(t, client, "broken", answers(failing(gini.RateLimited)))
	client.Leave(key("alice"))
	refuse(t, client, "broken", 40)
	refuse(t, client, "well", 10)
	o.clock.Step(time.Second)
	o.expectCalled("well")
	enter(t, client, "well", answers(nil))
	if !client.State().Healthy() {
		t.Errorf("state %+v", client.State())
	}
}

// TestUse: another version of credentials or endpoints starts clean, and those who wait are called, one at first (R2.7).
func TestUse(t *testing.T) {
	o := stepped(t)
	client := o.lane("acme", 4)
	client.Use("v1", lane.State{}, lane.State{})
	enter(t, client, "alice", answers(failing(gini.CredentialsRejected)))
	refuse(t, client, "bob", 10)
	refuse(t, client, "carol", 10)
	o.called()

	client.Use("v1", lane.Accepting(), lane.Accepting()) // the same: nothing is forgotten
	if state := client.State(); state.Trouble != gini.CredentialsRejected || state.Accepted {
		t.Errorf("state %+v", state)
	}
	o.expectCalled()

	client.Use("v2", lane.State{}, lane.State{})
	if state := client.State(); state != (lane.State{}) {
		t.Errorf("state %+v", state)
	}
	called := namesOf(o.awaitCalls(1))
	if len(called) != 1 {
		t.Fatalf("called %v, want one", called)
	}
	if !enter(t, client, "alice", answers(nil)) {
		t.Fatal("the pause of the earlier version still holds alice back")
	}
	if got := o.called(); len(got) == 0 {
		t.Error("accepted, and nobody is called")
	}

	client.Use("v3", lane.Accepting(), lane.Accepting())
	if state := client.State(); !state.Accepted {
		t.Errorf("state %+v: forgot what was known of the version", state)
	}
}

// TestRejectedBeforeRestart: what a status says of rejected credentials holds after a restart: no try before its time.
func TestRejectedBeforeRestart(t *testing.T) {
	o := stepped(t)
	client := o.lane("acme", 4)
	client.Use("v1", lane.Rejected(noon.Add(-time.Hour), noon.Add(20*time.Minute)), lane.Rejected(noon.Add(-time.Hour), noon.Add(20*time.Minute)))
	if refusal := refuse(t, client, "alice", 10); refusal.Trouble != gini.CredentialsRejected || !refusal.Since.Equal(noon.Add(-time.Hour)) {
		t.Errorf("refused for %+v", *refusal)
	}
	o.clock.Step(20*time.Minute - 1)
	o.expectCalled()
	o.clock.Step(1)
	o.expectCalled("alice")
	enter(t, client, "alice", answers(failing(gini.CredentialsRejected)))
	if state := client.State(); !state.ProbeAt.Equal(noon.Add(50 * time.Minute)) {
		t.Errorf("next try at %v", state.ProbeAt.Sub(noon))
	}
}

// TestProbeThatAsksNothing: a user that turns out to need nothing of Gini is no probe; the next one is.
func TestProbeThatAsksNothing(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	two(t, client, lane.LoginEndpoint, failing(gini.RateLimited))
	refuse(t, client, "bob", 20)
	refuse(t, client, "carol", 10)
	o.clock.Step(time.Second)
	o.expectCalled("bob")
	enter(t, client, "bob", func(context.Context, bool) lane.Outcome { return lane.Outcome{} })
	o.expectCalled("carol")
	if client.State().Healthy() {
		t.Error("well, though nobody asked")
	}
}
