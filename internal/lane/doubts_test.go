package lane_test

import (
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
)

// expectDoubted compares which endpoint is doubted: its only one, or none.
func expectDoubted(t *testing.T, client *lane.Lane, want ...lane.Endpoint) {
	t.Helper()
	for _, endpoint := range ofCredentials {
		if got := client.Doubted(endpoint); got != (len(want) == 1 && want[0] == endpoint) {
			t.Errorf("%s is doubted: %v, want only %v", endpoint, got, want)
		}
	}
}

// TestDoubted: if one endpoint begins to refuse credentials that both accepted, they may have been revoked. The next try is the other's, and what
// that says decides how long the first waits.
func TestDoubted(t *testing.T) {
	rejected := failing(gini.CredentialsRejected)
	for _, refusing := range ofCredentials {
		other := lane.UserCenterEndpoint
		if refusing == other {
			other = lane.LoginEndpoint
		}
		begin := func(t *testing.T) (*operator, *lane.Lane) {
			t.Helper()
			o := stepped(t)
			client := o.accepted("acme", 4)
			expectDoubted(t, client)
			admitted(t, client, refusing, "alice", rejected) // may be hers alone
			expectDoubted(t, client)
			admitted(t, client, refusing, "zoe", rejected)
			expectDoubted(t, client, other)
			if at := client.StandingAt(other); !at.Accepted || at.Refused {
				t.Errorf("standing of the doubted one %+v", at)
			}
			return o, client
		}
		t.Run(string(refusing)+" waits half an hour if nobody asks the other", func(t *testing.T) {
			o, client := begin(t)
			o.clock.Step(30*time.Minute - 1)
			refused(t, client, refusing, "a", gini.CredentialsRejected)
			o.clock.Step(1)
			admitted(t, client, refusing, "a", nil)
			expectDoubted(t, client)
		})
		t.Run(string(refusing)+" is asked a minute later if the other accepts", func(t *testing.T) {
			o, client := begin(t)
			o.clock.Step(10 * time.Second)
			admitted(t, client, other, "x", nil)
			expectDoubted(t, client)
			o.clock.Step(50*time.Second - 1)
			refused(t, client, refusing, "a", gini.CredentialsRejected)
			o.clock.Step(1)
			admitted(t, client, refusing, "a", rejected) // its third refusal
			expectDoubted(t, client)                     // the other has spoken since
			o.clock.Step(59*time.Minute - 1)
			refused(t, client, refusing, "b", gini.CredentialsRejected)
			admitted(t, client, other, "x", nil)
			o.clock.Step(1)
			admitted(t, client, refusing, "b", nil)
		})
		t.Run(string(refusing)+" and the other's first refusal is the client's", func(t *testing.T) {
			o, client := begin(t)
			o.clock.Step(10 * time.Second)
			admitted(t, client, other, "x", rejected)
			expectDoubted(t, client)
			if state := client.State(); state.Accepted || state.Trouble != gini.CredentialsRejected || !state.ProbeAt.Equal(noon.Add(time.Hour)) {
				t.Errorf("state %+v, want refused, and three tries in the hour", state)
			}
		})
		t.Run(string(refusing)+" and an outage of the other says nothing", func(t *testing.T) {
			_, client := begin(t)
			admitted(t, client, other, "x", failing(gini.Unavailable))
			expectDoubted(t, client, other)
		})
		t.Run(string(refusing)+" and other credentials are not doubted", func(t *testing.T) {
			_, client := begin(t)
			client.Use("v2", lane.Accepting(), lane.Accepting())
			expectDoubted(t, client)
			admitted(t, client, other, "x", rejected)
			if at := client.StandingAt(other); at.Refused {
				t.Errorf("standing %+v", at)
			}
		})
	}
}

// TestNotDoubted: an endpoint that never accepted these credentials is not asked for the other's sake.
func TestNotDoubted(t *testing.T) {
	o := stepped(t)
	client := o.derivedOnly("acme", 4)
	two(t, client, lane.LoginEndpoint, failing(gini.CredentialsRejected))
	expectDoubted(t, client)
}

// TestDoubtedAfterThreeTries: whoever is doubted is asked once an hour has passed since the third try before, at most.
func TestDoubtedAfterThreeTries(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	for _, user := range []string{"a", "a", "b"} {
		client.Enter(t.Context(), lane.LoginEndpoint, key(user), 10, answersWith(
			failing(gini.CredentialsRejected), lane.Evidence{Proven: true, Others: true}))
	}
	expectDoubted(t, client)
	o.clock.Step(time.Hour)
	expectDoubted(t, client, lane.UserCenterEndpoint)
}

// TestTwice: a neutral request that follows a user's own refused one is the second of two tries.
func TestTwice(t *testing.T) {
	for twice, wait := range map[bool]time.Duration{false: 30 * time.Minute, true: time.Hour} {
		o := stepped(t)
		client := o.accepted("acme", 4)
		client.Enter(t.Context(), lane.UserCenterEndpoint, key("x"), 10, answersWith(
			failing(gini.CredentialsRejected), lane.Evidence{Neutral: true, Before: true, Twice: twice}))
		expectDoubted(t, client, lane.LoginEndpoint)
		admitted(t, client, lane.LoginEndpoint, "a", failing(gini.CredentialsRejected))
		if state := client.State(); state.Accepted || !state.ProbeAt.Equal(noon.Add(wait)) {
			t.Errorf("twice %v: state %+v, want a probe in %v", twice, state, wait)
		}
	}
}

// TestAskedOfOneUser: a user that is answered 429 with Retry-After is given that time, though others are well or the client is limited meanwhile.
func TestAskedOfOneUser(t *testing.T) {
	o := stepped(t)
	client := o.derivedOnly("acme", 4)
	admitted(t, client, lane.LoginEndpoint, "a", failing(gini.RateLimited))
	admitted(t, client, lane.LoginEndpoint, "b", failingFor(gini.RateLimited, time.Hour)) // the second: the client is limited
	if state := client.State(); state.Trouble != gini.RateLimited || !within(state.ProbeAt.Sub(noon), time.Second) {
		t.Fatalf("state %+v", state)
	}
	o.clock.Step(time.Second)
	admitted(t, client, lane.LoginEndpoint, "c", nil)
	admitted(t, client, lane.LoginEndpoint, "a", nil)
	o.clock.Step(time.Hour - time.Second - 1)
	refused(t, client, lane.LoginEndpoint, "b", gini.RateLimited)
	o.clock.Step(1)
	admitted(t, client, lane.LoginEndpoint, "b", nil)
}
