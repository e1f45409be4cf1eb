package lane_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
)

// ask enters work that ends with that error, and returns why it is refused.
func ask(t *testing.T, client *lane.Lane, endpoint lane.Endpoint, name string, err error) *lane.Refusal {
	t.Helper()
	_, refusal := client.Enter(t.Context(), endpoint, key(name), 10, answers(err))
	return refusal
}

func admitted(t *testing.T, client *lane.Lane, endpoint lane.Endpoint, name string, err error) {
	t.Helper()
	if refusal := ask(t, client, endpoint, name, err); refusal != nil {
		t.Fatalf("%s is refused at %s: %+v", name, endpoint, *refusal)
	}
}

func refused(t *testing.T, client *lane.Lane, endpoint lane.Endpoint, name string, trouble gini.Kind) {
	t.Helper()
	refusal := ask(t, client, endpoint, name, nil)
	if refusal == nil || refusal.Trouble != trouble {
		t.Fatalf("%s at %s: %+v, want to be refused for %q", name, endpoint, refusal, trouble)
	}
}

// TestEndpointsFailApart: an outage of one endpoint holds up nobody at the other, and shows in the client's state.
func TestEndpointsFailApart(t *testing.T) {
	for ill, well := range map[lane.Endpoint]lane.Endpoint{
		lane.LoginEndpoint: lane.UserCenterEndpoint, lane.UserCenterEndpoint: lane.LoginEndpoint,
	} {
		for _, kind := range append([]gini.Kind{gini.RateLimited}, outages...) {
			t.Run(fmt.Sprint(ill, kind), func(t *testing.T) {
				o := stepped(t)
				client := o.accepted("acme", 4)
				for _, user := range []string{"a", "b", "c"} {
					_ = ask(t, client, ill, user, failing(kind))
				}
				refused(t, client, ill, "d", kind)
				for i := range 10 {
					admitted(t, client, well, fmt.Sprintf("user-%d", i), nil)
				}
				if state := client.State(); state.Trouble != kind || !state.Accepted {
					t.Errorf("state %+v", state)
				}
				refused(t, client, ill, "d", kind) // what goes well there says nothing of here
				o.clock.Step(time.Minute)
				admitted(t, client, ill, "d", nil)
				if state := client.State(); !state.Healthy() {
					t.Errorf("state %+v", state)
				}
			})
		}
	}
}

// TestEndpointsShareLimits: maxInFlight is of the client, and so is the one try of credentials that are not known to be accepted.
func TestEndpointsShareLimits(t *testing.T) {
	o := running(t)
	client := o.accepted("acme", 2)
	a, b := begin(t, client, "a"), begin(t, client, "b")
	if refusal := ask(t, client, lane.UserCenterEndpoint, "c", nil); refusal == nil {
		t.Error("three at once")
	}
	a.end(nil)
	b.end(nil)
	o.settled()

	unknown := o.lane("unknown", 4)
	first := begin(t, unknown, "d")
	if refusal := ask(t, unknown, lane.UserCenterEndpoint, "e", nil); refusal == nil {
		t.Error("two try credentials that may be wrong")
	}
	first.end(nil)
	o.settled()
	admitted(t, unknown, lane.UserCenterEndpoint, "e", nil)
}

// TestRejectedByOneOfTwo: while no endpoint accepts the credentials, the other one is tried at once after a first refusal, and that refusal
// too is everybody's. Once one accepts them, the other refuses its own users alone.
func TestRejectedByOneOfTwo(t *testing.T) {
	for here, there := range map[lane.Endpoint]lane.Endpoint{
		lane.LoginEndpoint: lane.UserCenterEndpoint, lane.UserCenterEndpoint: lane.LoginEndpoint,
	} {
		t.Run(string(here), func(t *testing.T) {
			o := stepped(t)
			client := o.lane("acme", 4)
			admitted(t, client, here, "a", failing(gini.CredentialsRejected))
			refused(t, client, here, "b", gini.CredentialsRejected)
			if state := client.State(); state.Accepted || state.Trouble != gini.CredentialsRejected {
				t.Errorf("state %+v", state)
			}
			admitted(t, client, there, "c", nil)
			if state := client.State(); state != lane.Accepting() {
				t.Errorf("state %+v", state)
			}
			for i := range 20 {
				admitted(t, client, there, fmt.Sprintf("user-%d", i), nil)
			}
			refusal := ask(t, client, here, "b", nil)
			if refusal == nil || refusal.Trouble != gini.CredentialsRejected || !refusal.Apart || !refusal.Since.Equal(noon) {
				t.Errorf("refused for %+v", refusal)
			}
			if at := client.StandingAt(here); at.Accepted || !at.Refused || at.Sole || !at.Since.Equal(noon) {
				t.Errorf("standing %+v", at)
			}
			if at := client.StandingAt(there); !at.Accepted || at.Refused {
				t.Errorf("standing %+v", at)
			}
			o.clock.Step(time.Minute - 1)
			refused(t, client, here, "b", gini.CredentialsRejected)
			o.clock.Step(1)
			admitted(t, client, here, "b", nil)
			if at := client.StandingAt(here); !at.Accepted || at.Refused {
				t.Errorf("standing %+v", at)
			}
		})
	}
}

// TestRejectedAtOneEndpointOnly: where Gini lets a client log users in at one endpoint only, the users of that one go on, whichever is
// asked first, and whether a neutral request or a user asks there. The other one is tried after a minute, then every half hour.
func TestRejectedAtOneEndpointOnly(t *testing.T) {
	for here, there := range map[lane.Endpoint]lane.Endpoint{
		lane.LoginEndpoint: lane.UserCenterEndpoint, lane.UserCenterEndpoint: lane.LoginEndpoint,
	} {
		for name, first := range map[string][]lane.Endpoint{"refused first": {here, there}, "accepted first": {there, here}} {
			for _, evidence := range []lane.Evidence{{}, {Neutral: true}, {Others: true}} {
				t.Run(fmt.Sprintf("%s %s %+v", here, name, evidence), func(t *testing.T) {
					o := stepped(t)
					client := o.lane("acme", 4)
					answer := map[lane.Endpoint]lane.Work{here: answersWith(failing(gini.CredentialsRejected), evidence), there: answers(nil)}
					for _, endpoint := range first {
						if _, refusal := client.Enter(t.Context(), endpoint, key("first"), 10, answer[endpoint]); refusal != nil {
							t.Fatalf("refused at %s: %+v", endpoint, *refusal)
						}
					}
					var tries []time.Duration
					for minute := range 6 * 60 {
						if _, refusal := client.Enter(t.Context(), here, key("first"), 10, answer[here]); refusal == nil {
							tries = append(tries, time.Duration(minute)*time.Minute)
						} else if !refusal.Apart {
							t.Fatalf("refused for %+v", *refusal)
						}
						admitted(t, client, there, fmt.Sprintf("user-%d", minute), nil)
						o.clock.Step(time.Minute)
					}
					if len(tries) != 12 || tries[0] != time.Minute || tries[1] != 31*time.Minute || tries[2] != 61*time.Minute {
						t.Errorf("tries at %v", tries)
					}
					if state := client.State(); state != lane.Accepting() {
						t.Errorf("state %+v", state)
					}
				})
			}
		}
	}
}
