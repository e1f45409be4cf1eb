package lane_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
)

// TestUseIdentity: other keys, another issuer or another provider start clean, and the client credentials go on as they are.
func TestUseIdentity(t *testing.T) {
	o := stepped(t)
	client := o.trusted("acme", 4)
	troubleAt(t, client, lane.LoginEndpoint, gini.RateLimited)
	admitted(t, client, lane.UserCenterEndpoint, "held", failing(gini.Timeout))
	troubleAt(t, client, lane.JWTLoginEndpoint, gini.JWTRejected)
	troubleAt(t, client, lane.ProviderEndpoint, gini.CredentialsRejected)
	before := client.State()
	o.called()

	client.UseIdentity("v1") // the same: nothing is forgotten
	expectIdentity(t, client, gini.CredentialsRejected, false, lane.ProviderEndpoint)
	refused(t, client, lane.JWTLoginEndpoint, "e", gini.JWTRejected)
	o.expectCalled()

	client.UseIdentity("v2")
	expectIdentity(t, client, gini.None, false, lane.JWTLoginEndpoint)
	if state, _ := client.IdentityState(); state != (lane.State{}) {
		t.Errorf("state %+v", state)
	}
	if called := namesOf(o.awaitCalls(2)); len(called) != 2 {
		t.Errorf("called %v, want one for each endpoint", called)
	}
	if state := client.State(); state != before {
		t.Errorf("the client credentials' state is %+v, and was %+v", state, before)
	}
	refused(t, client, lane.LoginEndpoint, "e", gini.RateLimited)
	refused(t, client, lane.UserCenterEndpoint, "held", gini.Timeout)
	// Whoever failed with the former ones does not wait on, and one refusal says enough again.
	for _, user := range []string{"a", "b", "c"} {
		admitted(t, client, lane.ProviderEndpoint, user, nil)
	}
	admitted(t, client, lane.JWTLoginEndpoint, "a", nil)
	client.UseIdentity("v3")
	admitted(t, client, lane.JWTLoginEndpoint, "b", failing(gini.JWTRejected))
	refused(t, client, lane.JWTLoginEndpoint, "c", gini.JWTRejected)
}

// TestUseIdentityForgetsPauses: a user who was asked to wait for long, and nobody else was, is called at once.
func TestUseIdentityForgetsPauses(t *testing.T) {
	o := stepped(t)
	client := o.trusted("acme", 4)
	admitted(t, client, lane.JWTLoginEndpoint, "alice", failingFor(gini.Unavailable, time.Hour))
	o.clock.Step(time.Minute)
	refused(t, client, lane.JWTLoginEndpoint, "alice", gini.Unavailable)
	o.called()
	client.UseIdentity("v2")
	o.expectCalled("alice")
	admitted(t, client, lane.JWTLoginEndpoint, "alice", failing(gini.JWTRejected))
	o.called()
	o.clock.Step(time.Minute) // and its pauses begin anew
	o.expectCalled("alice")
}

// TestUseIdentityWhileAtWork: what still runs with the former identity provider takes no room, gives none when it ends, and tells
// nothing of the one in use.
func TestUseIdentityWhileAtWork(t *testing.T) {
	for name, outcome := range map[string]error{
		"accepted": nil, "refused": failing(gini.JWTRejected), "rejected": failing(gini.CredentialsRejected), "429": failing(gini.RateLimited),
	} {
		for _, endpoint := range ofIdentity {
			t.Run(name+" at "+string(endpoint), func(t *testing.T) {
				o := running(t)
				client := o.trusted("acme", 2)
				late, other := beginAt(t, client, endpoint, "late"), begin(t, client, "other")
				atGini := endpoint != lane.ProviderEndpoint // where room is another's
				if atGini {
					refused(t, client, lane.LoginEndpoint, "waits", gini.None)
				}
				client.UseIdentity("v2")
				if atGini {
					o.expectCalled("waits")
				}
				waits := begin(t, client, "waits")
				refused(t, client, lane.LoginEndpoint, "next", gini.None)
				late.end(outcome)
				for o.Touch(key("late")) { // until that is taken note of
					runtime.Gosched()
				}
				refused(t, client, lane.LoginEndpoint, "next", gini.None) // two are at work
				if state, _ := client.IdentityState(); state != (lane.State{}) {
					t.Errorf("state %+v", state)
				}
				other.end(nil)
				waits.end(nil)
				o.settled()
				o.called()
				// As many as ever have room, and no more.
				a, b := begin(t, client, "a"), begin(t, client, "b")
				refused(t, client, lane.LoginEndpoint, "c", gini.None)
				a.end(nil)
				b.end(nil)
				o.settled()
				// One tries what is in use now.
				first := beginAt(t, client, endpoint, "late")
				refused(t, client, endpoint, "d", gini.None)
				first.end(nil)
			})
		}
	}
}

// TestRefusedWithTheFormerIdentity: a user whose JWT of the former identity provider is refused is called at once.
func TestRefusedWithTheFormerIdentity(t *testing.T) {
	o := running(t)
	client := o.trusted("acme", 2)
	late := beginAt(t, client, lane.JWTLoginEndpoint, "alice")
	client.UseIdentity("v2")
	late.end(failing(gini.JWTRejected))
	o.expectCalled("alice")
	o.settled()
	beginAt(t, client, lane.JWTLoginEndpoint, "alice").end(failing(gini.JWTRejected))
	o.settled()
	o.called()
	o.clock.Step(time.Minute)
	o.expectCalled("alice")
}

// TestUseStartsOverEverywhere: other client credentials, or other endpoints, say nothing of what was known of any endpoint. What is known
// of them from before a restart is of Gini's judgement of the credentials only.
func TestUseStartsOverEverywhere(t *testing.T) {
	o := stepped(t)
	client := o.trusted("acme", 4)
	for _, endpoint := range []lane.Endpoint{lane.LoginEndpoint, lane.UserCenterEndpoint, lane.JWTLoginEndpoint, lane.ProviderEndpoint} {
		troubleAt(t, client, endpoint, gini.RateLimited)
	}
	o.called()
	client.Use("v2", lane.Accepting(), lane.Accepting())
	if state := client.State(); state != (lane.Accepting()) {
		t.Errorf("state %+v", state)
	}
	if state, _ := client.IdentityState(); state != (lane.State{}) {
		t.Errorf("the identity provider's state is %+v", state)
	}
	if called := namesOf(o.awaitCalls(4)); len(called) < 4 {
		t.Errorf("called %v", called)
	}
	for _, endpoint := range append(ofCredentials, ofIdentity...) {
		admitted(t, client, endpoint, "a", nil) // no pause of the former ones holds
	}
	client.UseIdentity("v1") // which is in use still
	expectIdentity(t, client, gini.None, true, lane.JWTLoginEndpoint)
}

// TestUseWhileAtWork: as TestUseIdentityWhileAtWork, where the client credentials change, and then the identity provider too.
func TestUseWhileAtWork(t *testing.T) {
	o := running(t)
	client := o.trusted("acme", 2)
	late := []*job{beginAt(t, client, lane.JWTLoginEndpoint, "late-1"), begin(t, client, "late-2")}
	client.Use("v2", lane.Accepting(), lane.Accepting())
	client.UseIdentity("v2")
	now := []*job{begin(t, client, "a"), beginAt(t, client, lane.JWTLoginEndpoint, "b")}
	for _, job := range late {
		job.end(nil)
	}
	for o.Touch(key("late-1")) || o.Touch(key("late-2")) {
		runtime.Gosched()
	}
	refused(t, client, lane.LoginEndpoint, "c", gini.None)
	for _, job := range now {
		job.end(nil)
	}
	o.settled()
	a, b := begin(t, client, "d"), begin(t, client, "e")
	refused(t, client, lane.LoginEndpoint, "f", gini.None)
	a.end(nil)
	b.end(nil)
}
