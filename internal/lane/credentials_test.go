package lane_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
)

// try is a request that was refused.
type try struct {
	at       time.Duration // since noon
	endpoint lane.Endpoint
	user     string
}

// expectFew expects no more than so many tries in any hour.
func expectFew(t *testing.T, tries []try, most int) {
	t.Helper()
	for i := most; i < len(tries); i++ {
		if tries[i].at-tries[i-most].at < time.Hour {
			t.Fatalf("more than %d tries in an hour: %v", most, tries[i-most:i+1])
		}
	}
}

// TestAlternation walks a day with wrong credentials, and with users that want to be served at one endpoint or both: three tries in any hour,
// the first again after a minute, later every half hour, at each endpoint that is wanted in turn, and by no user twice in a row. A neutral
// probe is always first in line.
func TestAlternation(t *testing.T) {
	for name, wanted := range map[string]map[lane.Endpoint][]string{
		"derived only":   {lane.LoginEndpoint: {"a", "b", "c"}},
		"anonymous only": {lane.UserCenterEndpoint: {"probe", "x", "y"}},
		"both":           {lane.LoginEndpoint: {"a", "b", "c"}, lane.UserCenterEndpoint: {"probe", "x", "y"}},
		"one of each":    {lane.LoginEndpoint: {"a"}, lane.UserCenterEndpoint: {"x"}},
		"probe and user": {lane.LoginEndpoint: {"a"}, lane.UserCenterEndpoint: {"probe"}},
	} {
		for _, order := range [][]lane.Endpoint{ofCredentials, {lane.UserCenterEndpoint, lane.LoginEndpoint}} {
			t.Run(fmt.Sprint(name, " ", order[0]), func(t *testing.T) {
				o := stepped(t)
				client := o.lane("acme", 4)
				var tries []try
				for minute := range 24 * 60 {
					for _, endpoint := range order {
						for _, user := range wanted[endpoint] {
							_, refusal := client.Enter(t.Context(), endpoint, key(user), 10, answersWith(
								failing(gini.CredentialsRejected), lane.Evidence{Neutral: user == "probe"}))
							if refusal == nil {
								tries = append(tries, try{time.Duration(minute) * time.Minute, endpoint, user})
							} else if refusal.Trouble != gini.CredentialsRejected || refusal.Apart {
								t.Fatalf("refused for %+v", *refusal)
							}
						}
					}
					o.clock.Step(time.Minute)
				}
				expectFew(t, tries, 3)
				if len(tries) < 47 {
					t.Errorf("%d tries in a day", len(tries))
				}
				last, lastAt := map[lane.Endpoint]string{}, map[lane.Endpoint]time.Duration{}
				for i, try := range tries {
					if try.user == last[try.endpoint] && len(wanted[try.endpoint]) > 1 {
						t.Errorf("%s tries twice in a row, at %v", try.user, try.at)
					}
					if i > 1 && len(wanted) == 2 && try.endpoint == tries[i-1].endpoint {
						t.Errorf("twice in a row at %s, at %v", try.endpoint, try.at)
					}
					if i > 1 && try.at-lastAt[try.endpoint] > 31*time.Minute*time.Duration(len(wanted)) {
						t.Errorf("not tried at %s from %v to %v", try.endpoint, lastAt[try.endpoint], try.at)
					}
					last[try.endpoint], lastAt[try.endpoint] = try.user, try.at
				}
				second := map[int]time.Duration{1: time.Minute, 2: 0}[len(wanted)] // the other endpoint at once
				if tries[1].at != second || len(wanted) == 2 && tries[1].endpoint == tries[0].endpoint {
					t.Errorf("first tries %v", tries[:2])
				}
			})
		}
	}
}

// TestOtherEndpointWantedLater: whoever comes first to the other endpoint tries it at once, unless three tries were made in the hour before; then
// it is told why it waits.
func TestOtherEndpointWantedLater(t *testing.T) {
	for after, wait := range map[time.Duration]time.Duration{
		time.Second: 0, 20 * time.Minute: 0, 40 * time.Minute: 20 * time.Minute, 59 * time.Minute: time.Minute,
		// At the end of the hour both may try: who has not tried goes first.
		time.Hour: 0,
	} {
		t.Run(after.String(), func(t *testing.T) {
			o := stepped(t)
			client := o.lane("acme", 4)
			var tries []try
			for second := time.Duration(0); second <= 2*time.Hour; second += time.Second {
				if second >= after {
					refusal := ask(t, client, lane.UserCenterEndpoint, "x", failing(gini.CredentialsRejected))
					if refusal == nil {
						tries = append(tries, try{second, lane.UserCenterEndpoint, "x"})
					} else if refusal.Trouble != gini.CredentialsRejected {
						t.Fatalf("refused for %+v", *refusal)
					}
				}
				for _, user := range []string{"a", "b"} {
					if ask(t, client, lane.LoginEndpoint, user, failing(gini.CredentialsRejected)) == nil {
						tries = append(tries, try{second, lane.LoginEndpoint, user})
					}
				}
				o.clock.Step(time.Second)
			}
			expectFew(t, tries, 3)
			first := slices.IndexFunc(tries, func(try try) bool { return try.user == "x" })
			if first < 0 || tries[first].at != after+wait {
				t.Errorf("tries %v", tries)
			}
		})
	}
}

// TestClockSetBack: refusals of a time that has not come hold up nobody for longer than an hour.
func TestClockSetBack(t *testing.T) {
	for _, accepted := range []lane.State{{}, lane.Accepting()} { // by neither endpoint, or by the other
		o := stepped(t)
		client := o.lane("acme", 4)
		client.Use("v1", lane.State{}, accepted)
		users, next := []string{"a", "b", "c"}, 0
		tried := func(within time.Duration) {
			t.Helper()
			for range int(within/time.Minute) + 1 {
				if ask(t, client, lane.LoginEndpoint, users[next%3], failing(gini.CredentialsRejected)) == nil {
					next++
					return
				}
				o.clock.Step(time.Minute)
			}
			t.Fatalf("no try in %v", within)
		}
		for range 3 {
			tried(31 * time.Minute)
		}
		o.clock.SetTime(noon.Add(-10 * time.Hour))
		tried(0)
		for range 4 {
			tried(31 * time.Minute)
		}
	}
}

// TestRestartWhileRefused: an operator that starts again tries no sooner than planned, nor more often than it would have, whatever was tried before.
func TestRestartWhileRefused(t *testing.T) {
	for name, before := range map[string]lane.State{"never accepted": {}, "accepted before": lane.Accepting()} {
		for restart := 10 * time.Second; restart < 2*time.Hour; restart += 7 * time.Minute {
			t.Run(fmt.Sprint(name, " ", restart), func(t *testing.T) {
				o := stepped(t)
				client := o.lane("acme", 4)
				client.Use("v1", before, lane.State{})
				var tries []try
				for at := time.Duration(0); at < 4*time.Hour; at += 10 * time.Second {
					if at == restart {
						state := client.State()
						o.Forget("acme")
						client = o.lane("acme", 4)
						client.Use("v1", lane.Rejected(state.Since, state.ProbeAt), lane.State{})
					}
					for _, user := range []string{"a", "b", "c"} {
						if ask(t, client, lane.LoginEndpoint, user, failing(gini.CredentialsRejected)) == nil {
							tries = append(tries, try{at, lane.LoginEndpoint, user})
						}
					}
					o.clock.Step(10 * time.Second)
				}
				expectFew(t, tries, 3)
				if len(tries) < 8 {
					t.Errorf("tries %v", tries)
				}
			})
		}
	}
}

// TestApartAfterRestart: an endpoint that refuses what the other accepts is not tried sooner for a restart.
func TestApartAfterRestart(t *testing.T) {
	o := stepped(t)
	client := o.lane("acme", 4)
	client.Use("v1", lane.Accepting(), lane.Rejected(noon.Add(-5*time.Hour), noon.Add(29*time.Minute)))
	for range 29 {
		admitted(t, client, lane.LoginEndpoint, "a", nil)
		if refusal := ask(t, client, lane.UserCenterEndpoint, "x", nil); refusal == nil || !refusal.Apart {
			t.Fatalf("refused for %+v", refusal)
		}
		o.clock.Step(time.Minute)
	}
	admitted(t, client, lane.UserCenterEndpoint, "x", nil)
}

// TestRevoked: credentials that both endpoints accepted and neither does any more: an endpoint goes on until its own users are refused, and then
// the tries of both count together.
func TestRevoked(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	two(t, client, lane.LoginEndpoint, failing(gini.CredentialsRejected))
	if at := client.StandingAt(lane.LoginEndpoint); !at.Refused || client.State() != lane.Accepting() {
		t.Errorf("standing %+v, state %+v", at, client.State())
	}
	o.clock.Step(10 * time.Second)
	admitted(t, client, lane.UserCenterEndpoint, "x", nil) // is well
	two(t, client, lane.UserCenterEndpoint, failing(gini.CredentialsRejected))
	if state := client.State(); state.Accepted || state.Trouble != gini.CredentialsRejected || !state.ProbeAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("state %+v", state)
	}
	for _, endpoint := range ofCredentials {
		refused(t, client, endpoint, "b", gini.CredentialsRejected)
	}
	o.clock.Step(time.Hour)
	admitted(t, client, lane.LoginEndpoint, "b", nil)
	admitted(t, client, lane.UserCenterEndpoint, "b", nil)
}

// TestOwnRefusalsCount: what was taken for one user's, and turns out to be everybody's, counts among the three tries in any hour.
func TestOwnRefusalsCount(t *testing.T) {
	o := stepped(t)
	client := o.derivedOnly("acme", 4)
	refuses := answersWith(failing(gini.CredentialsRejected), lane.Evidence{Proven: true, Others: true})
	for range 2 { // at noon, and a minute later
		if !enter(t, client, "a", refuses) {
			t.Fatal("refused")
		}
		o.clock.Step(time.Minute)
	}
	enter(t, client, "b", refuses)
	if state := client.State(); state.Trouble != gini.CredentialsRejected || !state.ProbeAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("state %+v", state)
	}
}

// TestRefusedAtBoth: a user's refusal at one endpoint, and a neutral one at the other soon after, tell of credentials that were revoked: nobody
// tries a fourth time within the hour. If anybody was accepted in between, they tell nothing of each other.
func TestRefusedAtBoth(t *testing.T) {
	proven, neutral := lane.Evidence{Proven: true, Others: true}, lane.Evidence{Neutral: true, Before: true, Twice: true}
	for _, accepted := range []bool{false, true} {
		o := stepped(t)
		client := o.accepted("acme", 4)
		admitted(t, client, lane.UserCenterEndpoint, "d", nil)
		if !enter(t, client, "a", answersWith(failing(gini.CredentialsRejected), proven)) {
			t.Fatal("refused")
		}
		o.clock.Step(30 * time.Second)
		if accepted {
			admitted(t, client, lane.LoginEndpoint, "b", nil)
		}
		client.Enter(t.Context(), lane.UserCenterEndpoint, key("c"), 10, answersWith(failing(gini.CredentialsRejected), neutral))
		o.clock.Step(30 * time.Second)
		if accepted {
			admitted(t, client, lane.LoginEndpoint, "b", nil)
			continue
		}
		refused(t, client, lane.LoginEndpoint, "b", gini.CredentialsRejected)
		o.clock.Step(58*time.Minute + 59*time.Second)
		refused(t, client, lane.LoginEndpoint, "b", gini.CredentialsRejected)
		o.clock.Step(time.Second)
		admitted(t, client, lane.LoginEndpoint, "b", nil)
	}
}

// TestApartCountsToo: that the other endpoint goes on accepting the credentials makes nobody try sooner than three tries in any hour.
func TestApartCountsToo(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	refuses := answersWith(failing(gini.CredentialsRejected), lane.Evidence{Proven: true, Others: true})
	for _, user := range []string{"a", "a", "b"} {
		client.Enter(t.Context(), lane.UserCenterEndpoint, key(user), 10, refuses)
		o.clock.Step(time.Minute)
	}
	for range 57 {
		admitted(t, client, lane.LoginEndpoint, "well", nil)
		refused(t, client, lane.UserCenterEndpoint, "c", gini.CredentialsRejected)
		o.clock.Step(time.Minute)
	}
	admitted(t, client, lane.UserCenterEndpoint, "c", nil)
}

// TestJudge: work learns before it ends whose a failure is, and its end is not judged again.
func TestJudge(t *testing.T) {
	o := stepped(t)
	client := o.derivedOnly("acme", 4)
	judged := func(user string, evidence lane.Evidence, kind gini.Kind) (own bool) {
		t.Helper()
		if !enter(t, client, user, func(context.Context, bool) lane.Outcome {
			own = client.Judge(lane.LoginEndpoint, key(user), failing(kind), evidence)
			return lane.Outcome{Asked: true, Gini: failing(kind), Evidence: evidence}
		}) {
			t.Fatalf("%s is refused", user)
		}
		return own
	}
	proven := lane.Evidence{Proven: true, Others: true}
	if !judged("a", proven, gini.CredentialsRejected) || !judged("a", proven, gini.RateLimited) {
		t.Error("one user's refusal is everybody's")
	}
	if judged("b", proven, gini.Unavailable) || !client.State().Healthy() {
		t.Error("one user's outage is told as its own, or everybody's")
	}
	if client.Judge(lane.LoginEndpoint, key("nobody"), failing(gini.CredentialsRejected), proven) {
		t.Error("judged for whom no work runs")
	}
	if judged("c", lane.Evidence{Neutral: true, Before: true}, gini.CredentialsRejected) || client.State().Trouble != gini.CredentialsRejected {
		t.Errorf("state %+v", client.State())
	}
}

// TestGiven: what the credentials were accepted for is remembered, for one client id.
func TestGiven(t *testing.T) {
	o := stepped(t)
	client := o.lane("acme", 4)
	expect := func(want ...lane.Acceptance) {
		t.Helper()
		if given := client.Given(); !slices.Equal(given, want) {
			t.Errorf("given %v, want %v", given, want)
		}
	}
	client.Remember("id", nil)
	admitted(t, client, lane.LoginEndpoint, "a", failing(gini.CredentialsRejected))
	expect()
	admitted(t, client, lane.UserCenterEndpoint, "x", failing(gini.GrantRejected)) // which accepts the client
	expect(lane.AcceptedUserCenter)
	client.Enter(t.Context(), lane.UserCenterEndpoint, key("probe"), 10, answersWith(nil, lane.Evidence{Neutral: true}))
	expect(lane.AcceptedClientToken, lane.AcceptedUserCenter)
	client.Use("v2", lane.State{}, lane.State{}) // another secret of the same client
	client.Remember("id", []lane.Acceptance{lane.AcceptedLogin})
	expect(lane.AcceptedClientToken, lane.AcceptedLogin, lane.AcceptedUserCenter)
	client.Remember("other", []lane.Acceptance{lane.AcceptedLogin})
	expect(lane.AcceptedLogin)
}

// TestCalledAndGone: whoever is called to try, and wants nothing there any more, is not waited for.
func TestCalledAndGone(t *testing.T) {
	o := stepped(t)
	client := o.derivedOnly("acme", 4)
	admitted(t, client, lane.LoginEndpoint, "gone", failing(gini.CredentialsRejected))
	admitted(t, client, lane.LoginEndpoint, "only", failing(gini.CredentialsRejected))
	refuse(t, client, "gone", 40)
	o.clock.Step(time.Minute)
	o.expectCalled("gone")
	refuse(t, client, "only", 10) // not twice in a row
	o.expectCalled("gone")
	o.clock.Step(time.Minute)
	refuse(t, client, "only", 10)
	o.expectCalled("only")
	admitted(t, client, lane.LoginEndpoint, "only", nil)
}

// TestNobodyTwiceInARow: in any trouble, a user that fails for reasons of its own is not all that is tried, though that says nothing of the others.
func TestNobodyTwiceInARow(t *testing.T) {
	for _, kind := range []gini.Kind{gini.RateLimited, gini.Unavailable} {
		o := stepped(t)
		client := o.accepted("acme", 4)
		for _, user := range []string{"a", "b", "c"} {
			_ = ask(t, client, lane.LoginEndpoint, user, failing(kind))
			client.Leave(key(user))
		}
		o.clock.Step(10 * time.Second)
		admitted(t, client, lane.LoginEndpoint, "bad", failing(gini.CredentialsRejected))
		refuse(t, client, "well", 10)
		refuse(t, client, "bad", 40)
		o.called()
		o.clock.Step(time.Minute)
		if called := namesOf(o.awaitCalls(1)); slices.Contains(called, "bad") {
			t.Errorf("called %v", called)
		}
		refuse(t, client, "bad", 40)
		admitted(t, client, lane.LoginEndpoint, "well", nil)
	}
}
