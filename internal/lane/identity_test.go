package lane_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
)

var (
	// ofCredentials are the endpoints that take the client credentials, and ofIdentity those of the identity provider and its JWTs.
	ofCredentials = []lane.Endpoint{lane.LoginEndpoint, lane.UserCenterEndpoint}
	ofIdentity    = []lane.Endpoint{lane.JWTLoginEndpoint, lane.ProviderEndpoint}
)

// trusted is the lane of a client whose credentials are accepted, and whose identity provider and JWTs are too.
func (o *operator) trusted(name string, maxInFlight int) *lane.Lane {
	o.t.Helper()
	client := o.accepted(name, maxInFlight)
	client.UseIdentity("v1")
	for _, endpoint := range ofIdentity {
		admitted(o.t, client, endpoint, "first", nil)
		o.settled()
	}
	o.notices()
	return client
}

// troubleAt brings an endpoint into trouble.
func troubleAt(t *testing.T, client *lane.Lane, endpoint lane.Endpoint, kind gini.Kind) {
	t.Helper()
	for _, user := range []string{"a", "b", "c"} {
		_ = ask(t, client, endpoint, user, failing(kind))
	}
	refused(t, client, endpoint, "d", kind)
}

// expectIdentity compares what is known of the identity provider.
func expectIdentity(t *testing.T, client *lane.Lane, trouble gini.Kind, accepted bool, at lane.Endpoint) {
	t.Helper()
	if state, failed := client.IdentityState(); state.Trouble != trouble || state.Accepted != accepted || failed != at {
		t.Errorf("the identity provider's state, at %s, is %+v; want %q, accepted %v, at %s", failed, state, trouble, accepted, at)
	}
}

// TestIdentityFailsApart: whatever is wrong at one endpoint of the identity provider or of the client credentials holds up nobody at an
// endpoint that takes others, and passes there alone.
func TestIdentityFailsApart(t *testing.T) {
	all := slices.Concat(ofCredentials, ofIdentity)
	for _, ill := range all {
		kinds := append([]gini.Kind{gini.RateLimited, gini.CredentialsRejected}, outages...)
		if ill == lane.JWTLoginEndpoint {
			kinds = append(kinds, gini.JWTRejected)
		}
		for _, kind := range kinds {
			t.Run(fmt.Sprint(ill, kind), func(t *testing.T) {
				o := stepped(t)
				client := o.trusted("acme", 4)
				well := slices.DeleteFunc(slices.Clone(all), func(other lane.Endpoint) bool {
					return other == ill
				})
				troubleAt(t, client, ill, kind)
				if o.notices() == 0 {
					t.Error("nobody was told")
				}
				for _, endpoint := range well {
					for _, user := range []string{"a", "b", "c", "d", "e"} {
						admitted(t, client, endpoint, user, nil)
					}
				}
				refused(t, client, ill, "d", kind) // what goes well there says nothing of here
				told := kind
				if kind == gini.CredentialsRejected && slices.Contains(ofCredentials, ill) {
					told = gini.None // the other endpoint accepts them
					if !client.StandingAt(ill).Refused {
						t.Error("refused, and it does not stand so")
					}
				}
				expectTrouble(t, client, ill, told)
				o.notices()
				o.clock.Step(time.Minute)
				admitted(t, client, ill, "d", nil)
				if o.notices() == 0 {
					t.Error("nobody was told that it has passed")
				}
				expectTrouble(t, client, ill, gini.None)
			})
		}
	}
}

// expectTrouble expects that of all endpoints at most one is in trouble, and that the states tell so.
func expectTrouble(t *testing.T, client *lane.Lane, ill lane.Endpoint, kind gini.Kind) {
	t.Helper()
	credentials, identity, at := kind, gini.None, lane.JWTLoginEndpoint
	if slices.Contains(ofIdentity, ill) {
		credentials, identity = gini.None, kind
		if kind != gini.None {
			at = ill
		}
	}
	if state := client.State(); state.Trouble != credentials || state.Accepted != (credentials != gini.CredentialsRejected) {
		t.Errorf("state %+v", state)
	}
	expectIdentity(t, client, identity, at != lane.ProviderEndpoint || identity != gini.CredentialsRejected, at)
}

// TestUserFailsApart: a single user's failure at one endpoint holds it back there, and nowhere else.
func TestUserFailsApart(t *testing.T) {
	for here, there := range map[lane.Endpoint]lane.Endpoint{
		lane.JWTLoginEndpoint: lane.ProviderEndpoint, lane.ProviderEndpoint: lane.JWTLoginEndpoint,
	} {
		for name, outcome := range map[string]lane.Outcome{
			"timeout":  {Asked: true, Gini: failing(gini.Timeout)},
			"no write": {Asked: true, Err: errors.New("etcd is read-only")},
		} {
			t.Run(fmt.Sprint(here, " ", name), func(t *testing.T) {
				o := stepped(t)
				client := o.trusted("acme", 4)
				_, refusal := client.Enter(t.Context(), here, key("alice"), 10, func(context.Context, bool) lane.Outcome { return outcome })
				if refusal != nil {
					t.Fatalf("refused: %+v", *refusal)
				}
				admitted(t, client, there, "alice", nil)
				refused(t, client, here, "alice", gini.KindOf(outcome.Gini)) // what goes well there says nothing of here
				// What passes there, for others, is nothing to this user here.
				troubleAt(t, client, there, gini.Unavailable)
				o.clock.Step(time.Second - 1)
				refused(t, client, here, "alice", gini.KindOf(outcome.Gini))
				// Whoever needs nothing any more is held back nowhere.
				client.Leave(key("alice"))
				admitted(t, client, here, "alice", nil)
			})
		}
	}
}

// TestHealingForgivesHereOnly: that one endpoint is well again forgives nobody who failed at another.
func TestHealingForgivesHereOnly(t *testing.T) {
	o := stepped(t)
	client := o.trusted("acme", 4)
	admitted(t, client, lane.JWTLoginEndpoint, "alice", failingFor(gini.Unavailable, time.Minute))
	troubleAt(t, client, lane.ProviderEndpoint, gini.Unavailable)
	troubleAt(t, client, lane.LoginEndpoint, gini.Unavailable)
	o.clock.Step(10 * time.Second)
	admitted(t, client, lane.ProviderEndpoint, "d", nil)
	admitted(t, client, lane.LoginEndpoint, "d", nil)
	refused(t, client, lane.JWTLoginEndpoint, "alice", gini.Unavailable)
}

// TestJWTRejectedAtFirst: where Gini has never taken a JWT of this identity provider, one refusal says enough: everybody waits, and one
// tries again after a minute, and then every half hour.
func TestJWTRejectedAtFirst(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	client.UseIdentity("v1")
	admitted(t, client, lane.ProviderEndpoint, "alice", nil) // that there are JWTs does not mean that Gini takes them
	admitted(t, client, lane.JWTLoginEndpoint, "alice", failing(gini.JWTRejected))
	at, last := noon, "alice"
	for _, pause := range []time.Duration{time.Minute, 30 * time.Minute, 30 * time.Minute, 30 * time.Minute} {
		expectIdentity(t, client, gini.JWTRejected, true, lane.JWTLoginEndpoint)
		at = at.Add(pause)
		if state, _ := client.IdentityState(); !state.ProbeAt.Equal(at) || !state.Since.Equal(noon) {
			t.Errorf("state %+v, want the next try at %v", state, at)
		}
		refused(t, client, lane.JWTLoginEndpoint, "alice", gini.JWTRejected)
		refused(t, client, lane.JWTLoginEndpoint, "bob", gini.JWTRejected)
		o.called()
		o.clock.Step(pause - 1)
		o.expectCalled()
		o.clock.Step(1)
		called := namesOf(o.awaitCalls(1))
		if len(called) != 1 || called[0] == last {
			t.Fatalf("called %v, want one, and not %s again", called, last)
		}
		last = called[0]
		refused(t, client, lane.JWTLoginEndpoint, map[string]string{"alice": "bob", "bob": "alice"}[last], gini.JWTRejected)
		admitted(t, client, lane.JWTLoginEndpoint, last, failing(gini.JWTRejected))
	}
	o.called()
	o.clock.Step(30 * time.Minute)
	o.awaitCalls(1)
	admitted(t, client, lane.JWTLoginEndpoint, "dave", nil)
	expectIdentity(t, client, gini.None, true, lane.JWTLoginEndpoint)
	// Now it has: one refusal may be a single user's.
	admitted(t, client, lane.JWTLoginEndpoint, "alice", failing(gini.JWTRejected))
	admitted(t, client, lane.JWTLoginEndpoint, "bob", nil)
}

// TestJWTRejectedLater: of JWTs that Gini took before, those of two users refused in a row are the identity provider's trouble; "ok" is a request that
// went well, "503" an outage, and any other word a user whose JWT is refused.
func TestJWTRejectedLater(t *testing.T) {
	for requests, trouble := range map[string]gini.Kind{
		"alice": gini.None, "alice bob": gini.JWTRejected, "alice ok bob": gini.None, "ok alice ok bob ok carol ok": gini.None,
		"alice ok bob carol": gini.JWTRejected, "503 alice": gini.None, "alice 503": gini.None, "503 alice bob": gini.JWTRejected,
		"alice 503 ok bob": gini.None,
	} {
		t.Run(requests, func(t *testing.T) {
			o := stepped(t)
			client := o.trusted("acme", 4)
			for _, user := range strings.Fields(requests) {
				switch user {
				case "ok":
					admitted(t, client, lane.JWTLoginEndpoint, "well", nil)
				case "503":
					admitted(t, client, lane.JWTLoginEndpoint, "unlucky", failing(gini.Unavailable))
				default:
					admitted(t, client, lane.JWTLoginEndpoint, user, failing(gini.JWTRejected))
				}
			}
			expectIdentity(t, client, trouble, true, lane.JWTLoginEndpoint)
			if state, _ := client.IdentityState(); trouble != gini.None && !state.ProbeAt.Equal(noon.Add(time.Minute)) {
				t.Errorf("state %+v", state)
			}
			if state := client.State(); !state.Healthy() || !state.Accepted {
				t.Errorf("state %+v", state)
			}
		})
	}
}

// TestJWTsOfOneUserRefused: however often one user's JWT is refused, nobody else waits while another one has a token; whoever is alone may not
// be the only one that is refused.
func TestJWTsOfOneUserRefused(t *testing.T) {
	o := stepped(t)
	client := o.trusted("acme", 4)
	refusal := failing(gini.JWTRejected)
	for range 5 {
		if _, refused := client.Enter(t.Context(), lane.JWTLoginEndpoint, key("alice"), 10, answersWith(refusal, lane.Evidence{Others: true})); refused != nil {
			t.Fatalf("refused for %+v", *refused)
		}
		expectIdentity(t, client, gini.None, true, lane.JWTLoginEndpoint)
		o.clock.Step(30 * time.Minute)
		o.expectCalled() // its status holds it back, and it comes by itself
	}
	admitted(t, client, lane.JWTLoginEndpoint, "alice", refusal)
	expectIdentity(t, client, gini.JWTRejected, true, lane.JWTLoginEndpoint)
	if state, _ := client.IdentityState(); !state.Sole {
		t.Errorf("state %+v", state)
	}
	o.clock.Step(time.Minute - 1)
	refused(t, client, lane.JWTLoginEndpoint, "bob", gini.JWTRejected)
	o.clock.Step(1)
	admitted(t, client, lane.JWTLoginEndpoint, "bob", nil)
	expectIdentity(t, client, gini.None, true, lane.JWTLoginEndpoint)
	admitted(t, client, lane.JWTLoginEndpoint, "carol", nil)
}

// TestOneAtATimePerCredentials: client credentials, JWTs and the provider's credentials that may be wrong are tried once each, which is
// once for each of them.
func TestOneAtATimePerCredentials(t *testing.T) {
	o := running(t)
	client := o.lane("acme", 8)
	client.Use("v1", lane.State{}, lane.State{})
	client.UseIdentity("v1")
	first := map[lane.Endpoint]*job{}
	for _, endpoint := range append([]lane.Endpoint{lane.UserCenterEndpoint}, ofIdentity...) {
		first[endpoint] = beginAt(t, client, endpoint, "first-"+string(endpoint))
	}
	for _, endpoint := range slices.Concat(ofCredentials, ofIdentity) {
		refused(t, client, endpoint, "second-"+string(endpoint), gini.None)
	}
	// Each is accepted for itself.
	first[lane.JWTLoginEndpoint].end(nil)
	o.expectCalled("second-jwtLogin")
	accepted := []*job{beginAt(t, client, lane.JWTLoginEndpoint, "second"), beginAt(t, client, lane.JWTLoginEndpoint, "third")}
	for _, endpoint := range append([]lane.Endpoint{lane.ProviderEndpoint}, ofCredentials...) {
		refused(t, client, endpoint, "third-"+string(endpoint), gini.None)
	}
	if state := client.State(); state.Accepted {
		t.Errorf("state %+v", state)
	}
	first[lane.ProviderEndpoint].end(nil)
	if called := namesOf(o.awaitCalls(2)); !slices.Equal(called, []string{"second-identityProvider", "third-identityProvider"}) {
		t.Errorf("called %v", called)
	}
	refused(t, client, lane.LoginEndpoint, "fourth", gini.None)
	first[lane.UserCenterEndpoint].end(nil)
	o.awaitCalls(2)
	accepted = append(accepted, begin(t, client, "fourth"), beginAt(t, client, lane.UserCenterEndpoint, "fifth"))
	for _, job := range accepted {
		job.end(nil)
	}
}

// TestLimitsOfHosts: maxInFlight is of all that is asked of Gini, however it is asked; an identity provider that hangs takes none of it.
func TestLimitsOfHosts(t *testing.T) {
	o := running(t)
	client := o.trusted("acme", 2)
	hang := []*job{beginAt(t, client, lane.ProviderEndpoint, "a"), beginAt(t, client, lane.ProviderEndpoint, "b")}
	refused(t, client, lane.ProviderEndpoint, "c", gini.None)
	atGini := []*job{beginAt(t, client, lane.JWTLoginEndpoint, "d"), begin(t, client, "e")}
	for _, endpoint := range append([]lane.Endpoint{lane.JWTLoginEndpoint}, ofCredentials...) {
		refused(t, client, endpoint, "waits-"+string(endpoint), gini.None)
	}
	for _, job := range append(hang, atGini...) {
		job.end(nil)
	}
	o.awaitCalls(2)
}

// TestIdentityState: the provider's trouble is told first, as nobody gets a JWT then; either of the two accepts.
func TestIdentityState(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	client.UseIdentity("v1")
	expectIdentity(t, client, gini.None, false, lane.JWTLoginEndpoint) // that the client credentials are accepted says nothing
	admitted(t, client, lane.ProviderEndpoint, "alice", nil)           // a client with trusted devices only never logs in
	expectIdentity(t, client, gini.None, true, lane.JWTLoginEndpoint)
	client.UseIdentity("v2")
	expectIdentity(t, client, gini.None, false, lane.JWTLoginEndpoint)
	admitted(t, client, lane.JWTLoginEndpoint, "alice", nil) // and one that signs itself asks no provider
	expectIdentity(t, client, gini.None, true, lane.JWTLoginEndpoint)
	troubleAt(t, client, lane.JWTLoginEndpoint, gini.JWTRejected)
	expectIdentity(t, client, gini.JWTRejected, true, lane.JWTLoginEndpoint)
	troubleAt(t, client, lane.ProviderEndpoint, gini.CredentialsRejected)
	expectIdentity(t, client, gini.CredentialsRejected, false, lane.ProviderEndpoint)
	o.clock.Step(time.Minute)
	admitted(t, client, lane.ProviderEndpoint, "d", nil)
	expectIdentity(t, client, gini.JWTRejected, true, lane.JWTLoginEndpoint)
	if state := client.State(); state != (lane.Accepting()) {
		t.Errorf("state %+v", state)
	}
}

// TestRoomOfIdentity: where the client credentials are in trouble everywhere, JWTs that are in use and well make room for all.
func TestRoomOfIdentity(t *testing.T) {
	for _, endpoint := range ofIdentity {
		t.Run(string(endpoint), func(t *testing.T) {
			o := stepped(t)
			client := o.accepted("acme", 4)
			expect := func(want int) {
				t.Helper()
				if got := client.Room(10 * time.Second); got != want {
					t.Errorf("room for %d, want %d", got, want)
				}
			}
			expect(100)
			two(t, client, lane.LoginEndpoint, failing(gini.CredentialsRejected))
			admitted(t, client, lane.UserCenterEndpoint, "alice", failing(gini.CredentialsRejected)) // doubted: its first refusal counts
			expect(1)                                                                                // nobody has used a JWT yet
			admitted(t, client, endpoint, "b", nil)
			expect(100)
			troubleAt(t, client, endpoint, gini.RateLimited)
			expect(1)
			o.clock.Step(time.Hour)
			admitted(t, client, lane.LoginEndpoint, "c", nil)
			expect(100)
		})
	}
}
