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

// outages are all that takes three failures to be believed.
var outages = []gini.Kind{gini.Unavailable, gini.Unreachable, gini.TLS, gini.Timeout, gini.Unexpected}

// TestOutage: three failures in a row of two users or more are an outage; "ok" is a request that went well, and any other
// word a user's failure.
func TestOutage(t *testing.T) {
	for _, c := range []struct {
		requests string
		outage   bool
	}{
		{"alice", false},
		{"alice bob", false},
		{"alice bob alice", true},
		{"alice alice bob", true},
		{"alice bob carol", true},
		{"alice alice alice", false},
		{"alice alice alice alice alice", false},
		{"alice alice alice alice alice ok alice", false},
		{"alice alice alice alice alice alice", true}, // a client with but one user
		{"alice alice alice alice bob", true},
		{"alice bob ok carol", false},
		{"alice bob ok carol dave", false},
		{"alice bob ok carol dave alice", true},
		{"ok ok alice ok ok bob ok ok carol ok ok dave ok ok alice", false}, // every third
		{"alice bob ok alice bob ok alice bob ok alice bob ok", false},      // two of three
		{"alice alice alice ok bob", false},
	} {
		for _, kind := range outages {
			t.Run(fmt.Sprint(kind, " ", c.requests), func(t *testing.T) {
				o := stepped(t)
				client := o.accepted("acme", 4)
				o.notices()
				for _, user := range strings.Fields(c.requests) {
					err := failing(kind)
					if user == "ok" {
						err = nil
					}
					if !enter(t, client, user, answers(err)) {
						t.Fatalf("%s is refused", user)
					}
					o.clock.Step(20 * time.Second) // longer than any pause of one user's
					o.called()
				}
				state := client.State()
				if state.Healthy() == c.outage {
					t.Fatalf("state %+v", state)
				}
				if !state.Accepted {
					t.Error("the credentials are not accepted any more, though nobody refused them")
				}
				if notices := o.notices(); (notices > 0) != c.outage {
					t.Errorf("told of %d changes", notices)
				}
				if c.outage && (state.Trouble != kind || !state.Since.Equal(o.clock.Now().Add(-20*time.Second))) {
					t.Errorf("state %+v", state)
				}
			})
		}
	}
}

// TestSaidInSoManyWords: what Gini says to two users one after the other, or to one neutral request, is everybody's; how long it asks to be
// left alone counts from the third user on (R2.4).
func TestSaidInSoManyWords(t *testing.T) {
	for _, c := range []struct {
		name       string
		err        error
		kind       gini.Kind
		accepted   bool
		neutral    time.Duration // the pause after a neutral request
		users      string        // whose failures one after the other make it everybody's
		pause      time.Duration
		thenPauses []time.Duration
	}{
		{"429", failing(gini.RateLimited), gini.RateLimited, true, time.Second, "alice zoe", time.Second, seconds(2, 4, 8, 16, 32, 60, 60)},
		{"429 with Retry-After", failingFor(gini.RateLimited, 90*time.Second), gini.RateLimited, true, 90 * time.Second, "alice zoe", time.Second, seconds(90, 90)},
		{"429 with a Retry-After of an hour", failingFor(gini.RateLimited, time.Hour), gini.RateLimited, true, time.Hour, "alice zoe", time.Second, seconds(3600)},
		{"503 with Retry-After", failingFor(gini.Unavailable, 5*time.Minute), gini.Unavailable, true, 5 * time.Minute, "alice zoe yves", 5 * time.Minute, seconds(300)},
		{
			"503 with a Retry-After shorter than the pause", failingFor(gini.Unavailable, 3*time.Second), gini.Unavailable, true, 3 * time.Second,
			"alice zoe yves", 3 * time.Second, seconds(3, 4, 8, 15, 15),
		},
		{"rejected", failing(gini.CredentialsRejected), gini.CredentialsRejected, false, time.Minute, "alice zoe", time.Minute, seconds(59*60, 1800, 1800)},
	} {
		t.Run(c.name, func(t *testing.T) {
			neutral := stepped(t).derivedOnly("acme", 4)
			enter(t, neutral, "GiniClient", answersWith(c.err, lane.Evidence{Neutral: true, Before: true}))
			if state := neutral.State(); state.Trouble != c.kind || !within(state.ProbeAt.Sub(noon), c.neutral) {
				t.Errorf("after a neutral request: state %+v", state)
			}

			o := stepped(t)
			client := o.derivedOnly("acme", 4)
			enter(t, client, "only", answers(c.err))
			if state := client.State(); !state.Healthy() || !state.Accepted || !enter(t, client, "well", answers(nil)) {
				t.Fatalf("after one user's: state %+v", state)
			}
			users := strings.Fields(c.users)
			for i, user := range users {
				admitted(t, client, lane.LoginEndpoint, user, c.err)
				if state := client.State(); state.Healthy() != (i < len(users)-1) {
					t.Fatalf("after %s's: state %+v", user, state)
				}
			}
			state := client.State()
			if state.Trouble != c.kind || state.Accepted != c.accepted || !state.Since.Equal(noon) || !within(state.ProbeAt.Sub(noon), c.pause) {
				t.Fatalf("state %+v", state)
			}
			if refusal := refuse(t, client, "bob", 10); refusal.Trouble != c.kind || !refusal.Since.Equal(noon) {
				t.Errorf("refused for %+v", *refusal)
			}
			for _, pause := range append([]time.Duration{c.pause}, c.thenPauses...) {
				probeAfter(t, o, client, pause, c.err)
			}
			if !client.State().Since.Equal(noon) {
				t.Error("another outage than at first")
			}
		})
	}
}

func seconds(each ...time.Duration) []time.Duration {
	for i := range each {
		each[i] *= time.Second
	}
	return each
}

// within reports whether a wait is a pause, or up to a tenth shorter.
func within(wait, pause time.Duration) bool { return wait <= pause && wait > pause*9/10 }

// probeAfter checks that nobody asks Gini for so long, or up to a tenth less, and that then one user is called, who probes, with that outcome.
func probeAfter(t *testing.T, o *operator, client *lane.Lane, pause time.Duration, outcome error) {
	t.Helper()
	refuse(t, client, "waits", 40)
	o.called()
	wait := client.State().ProbeAt.Sub(o.clock.Now())
	if wait <= 0 { // that is the other host's, which inherited the trouble
		wait = pause
	}
	if !within(wait, pause) {
		t.Fatalf("nobody probes for %v, want up to %v", wait, pause)
	}
	o.clock.Step(wait - 1)
	o.expectCalled()
	refuse(t, client, "waits", 40)
	o.clock.Step(1)
	called := namesOf(o.awaitCalls(1))
	if len(called) != 1 {
		t.Fatalf("after %v, %v are called, want one", pause, called)
	}
	probed := false
	if !enter(t, client, called[0], func(_ context.Context, probe bool) lane.Outcome {
		refuse(t, client, "another", 40) //nolint:contextcheck // one at a time; another reconcile has a context of its own
		probed = probe
		return lane.Outcome{Asked: true, Gini: outcome}
	}) {
		t.Fatalf("%s is called after %v, and refused", called[0], pause)
	}
	if !probed {
		t.Error("the work does not know that it is a probe")
	}
}

// TestProbes of an outage: every second at first, every 15 s at last, by one user each.
func TestProbes(t *testing.T) {
	for _, kind := range outages {
		t.Run(string(kind), func(t *testing.T) {
			o := stepped(t)
			client := o.accepted("acme", 4)
			for _, user := range []string{"alice", "bob", "carol"} {
				enter(t, client, user, answers(failing(kind)))
			}
			for _, pause := range seconds(1, 2, 4, 8, 15, 15, 15, 15) {
				probeAfter(t, o, client, pause, failing(kind))
			}
		})
	}
}

// TestProbesAreNotInStep: clients that one outage stops at one moment probe apart from each other.
func TestProbesAreNotInStep(t *testing.T) {
	instants := map[time.Time]bool{}
	for i := range 100 {
		o := stepped(t)
		client := o.accepted("acme", 4)
		for _, user := range []string{"alice", "bob", "carol"} {
			enter(t, client, fmt.Sprintf("%s-%d", user, i), answers(failing(gini.Unavailable)))
		}
		instants[client.State().ProbeAt] = true
	}
	if len(instants) < 80 {
		t.Errorf("100 clients probe at %d instants", len(instants))
	}
}

// TestTroubleChanges: rejected credentials take over, are ill since the first trouble, and stay what they are until accepted.
func TestTroubleChanges(t *testing.T) {
	o := stepped(t)
	client := o.derivedOnly("acme", 4)
	two(t, client, lane.LoginEndpoint, failing(gini.RateLimited))
	for _, pause := range seconds(1, 2, 4) {
		probeAfter(t, o, client, pause, failing(gini.RateLimited))
	}
	o.clock.Step(8 * time.Second)
	o.awaitCalls(1)
	admitted(t, client, lane.LoginEndpoint, "refused", failing(gini.CredentialsRejected)) // which may be this user's own
	if state := client.State(); state.Trouble != gini.RateLimited || !state.Accepted {
		t.Errorf("state %+v", state)
	}
	probeAfter(t, o, client, 16*time.Second, failing(gini.CredentialsRejected))
	state := client.State()
	if state.Trouble != gini.CredentialsRejected || state.Accepted || !state.Since.Equal(noon) {
		t.Errorf("state %+v", state)
	}
	probeAfter(t, o, client, time.Minute, failing(gini.Unavailable))
	probeAfter(t, o, client, 30*time.Minute, failing(gini.Unavailable))
	if state = client.State(); state.Trouble != gini.CredentialsRejected {
		t.Errorf("state %+v", state)
	}
}

// TestAlternatingKinds: kinds of failure that alternate are one trouble, told once and probed ever less often.
func TestAlternatingKinds(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	for _, user := range []string{"alice", "bob", "carol"} {
		enter(t, client, user, answers(failing(gini.Unavailable)))
	}
	kinds := []gini.Kind{gini.Unexpected, gini.Unavailable}
	for i, pause := range seconds(1, 2, 4, 8, 15, 15) {
		probeAfter(t, o, client, pause, failing(kinds[i%2]))
		if state := client.State(); state.Trouble != gini.Unavailable {
			t.Fatalf("state %+v", state)
		}
	}
	for range 3 {
		probeAfter(t, o, client, 15*time.Second, failing(gini.TLS))
	}
	if state := client.State(); state.Trouble != gini.TLS {
		t.Errorf("after three in a row: state %+v", state)
	}
}

// TestHealing: when a probe goes well, those who wait are called as there is room, not all at once, the most urgent first.
func TestHealing(t *testing.T) {
	const most, users = 4, 40
	for name, well := range map[string]error{"an answer": nil, "a user's own failure": failing(gini.GrantRejected)} {
		t.Run(name, func(t *testing.T) {
			o := running(t)
			client := o.accepted("acme", most)
			for _, user := range []string{"prober", "another"} {
				begin(t, client, user).end(failing(gini.RateLimited))
				o.settled()
			}
			client.Leave(key("another"))
			for i := range users {
				refuse(t, client, fmt.Sprintf("user-%03d", i), 10)
			}
			refuse(t, client, "expired", 40)
			o.notices()
			o.clock.Step(time.Second)
			o.expectCalled("expired")
			probe := begin(t, client, "expired")
			refuse(t, client, "impatient", 10)
			o.expectCalled()
			probe.end(well)
			first := []string{"user-000", "user-001", "user-002", "user-003"}
			o.expectCalled(first...)
			var jobs []*job
			for _, user := range first {
				jobs = append(jobs, begin(t, client, user))
			}
			for i := most; i < users; i++ { // each that ends makes room for one
				jobs[0].end(well)
				next := fmt.Sprintf("user-%03d", i)
				o.expectCalled(next)
				jobs = append(jobs[1:], begin(t, client, next))
			}
			for _, job := range jobs {
				job.end(well)
			}
			o.settled()
			if state := client.State(); !state.Healthy() || !state.Accepted || !state.ProbeAt.IsZero() {
				t.Errorf("state %+v", state)
			}
			if n := o.notices(); n != 1 {
				t.Errorf("told of %d changes, want 1: that it is well", n)
			}
		})
	}
}

// TestHealingForgivesPauses: whoever failed in the outage need not sit out a pause of its own, whether it failed as it began or as a probe.
func TestHealingForgivesPauses(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	for _, user := range []string{"alice", "bob", "dave"} {
		admitted(t, client, lane.LoginEndpoint, user, failing(gini.Unavailable))
	}
	if client.State().Healthy() {
		t.Fatal("no outage")
	}
	for range 5 {
		for _, user := range []string{"alice", "bob", "dave"} { // whoever has failed least
			o.clock.Step(15 * time.Second)
			admitted(t, client, lane.LoginEndpoint, user, failing(gini.Unavailable))
		}
	}
	o.clock.Step(15 * time.Second)
	admitted(t, client, lane.LoginEndpoint, "carol", nil)
	for _, user := range []string{"alice", "bob", "dave"} {
		admitted(t, client, lane.LoginEndpoint, user, nil)
	}
}

// TestOneUsersFailures are no outage at first, but are not repeated without end either: 1 s … 15 s.
func TestOneUsersFailures(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	for _, pause := range seconds(1, 2, 4, 8, 15) {
		if !enter(t, client, "alice", answers(failing(gini.Timeout))) {
			t.Fatal("refused")
		}
		o.called()
		o.clock.Step(pause - 1)
		refuse(t, client, "alice", 10)
		o.expectCalled()
		if !client.State().Healthy() || !enter(t, client, "bob", func(context.Context, bool) lane.Outcome { return lane.Outcome{} }) {
			t.Errorf("others are held up; state %+v", client.State())
		}
		o.clock.Step(1)
		o.expectCalled("alice")
	}
}
