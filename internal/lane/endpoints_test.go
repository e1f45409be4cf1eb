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

// TestRejectionHoldsEverywhere: credentials that one endpoint rejects are not tried at the other, until that is known better.
func TestRejectionHoldsEverywhere(t *testing.T) {
	for here, there := range map[lane.Endpoint]lane.Endpoint{
		lane.LoginEndpoint: lane.UserCenterEndpoint, lane.UserCenterEndpoint: lane.LoginEndpoint,
	} {
		t.Run(string(here), func(t *testing.T) {
			o := stepped(t)
			client := o.accepted("acme", 4)
			admitted(t, client, here, "a", failing(gini.CredentialsRejected))
			refused(t, client, here, "b", gini.CredentialsRejected)
			refused(t, client, there, "c", gini.CredentialsRejected)
			if state := client.State(); state.Accepted || state.Trouble != gini.CredentialsRejected {
				t.Errorf("state %+v", state)
			}
			// Where it was rejected it is accepted now: that was all that was known of the other.
			o.clock.Step(time.Minute)
			admitted(t, client, here, "b", nil)
			admitted(t, client, there, "c", nil)
			if state := client.State(); !state.Accepted || !state.Healthy() {
				t.Errorf("state %+v", state)
			}
		})
	}
}

// TestRejectedAtOneEndpointOnly: where Gini lets a client log users in at one endpoint only, the users of that one go on.
func TestRejectedAtOneEndpointOnly(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	admitted(t, client, lane.UserCenterEndpoint, "a", failing(gini.CredentialsRejected))
	o.clock.Step(time.Minute)
	admitted(t, client, lane.LoginEndpoint, "b", nil)
	refusals := 0
	for minute := range 6 * 60 {
		if refusal := ask(t, client, lane.UserCenterEndpoint, "a", failing(gini.CredentialsRejected)); refusal != nil {
			refusals++
		}
		admitted(t, client, lane.LoginEndpoint, fmt.Sprintf("user-%d", minute), nil)
		o.clock.Step(time.Minute)
	}
	if tries := 6*60 - refusals; tries > 13 || tries < 11 {
		t.Errorf("%d tries in six hours", tries)
	}
	if state := client.State(); state.Trouble != gini.CredentialsRejected || !state.Accepted {
		t.Errorf("state %+v", state)
	}
}
