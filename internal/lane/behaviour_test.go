package lane_test

import (
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/lane"
)

func TestObserve(t *testing.T) {
	o := stepped(t)
	client := o.lane("acme", 4)
	expect := func(endpoint lane.Endpoint, want lane.Behaviour) {
		t.Helper()
		if got := client.Behaviour(endpoint); got != want {
			t.Errorf("%s: %+v, want %+v", endpoint, got, want)
		}
	}
	expect(lane.LoginEndpoint, lane.Behaviour{})
	client.Observe(lane.LoginEndpoint, key("alice"), true, noon)
	expect(lane.LoginEndpoint, lane.Behaviour{Known: true, Sticky: true, ObservedAt: noon})
	expect(lane.UserCenterEndpoint, lane.Behaviour{}) // each endpoint is its own
	if n := o.notices(); n != 1 {
		t.Errorf("told of %d changes, want 1", n)
	}
	// The same again is no news, and no write, until a day later.
	client.Observe(lane.LoginEndpoint, key("bob"), true, noon.Add(time.Hour))
	client.Observe(lane.LoginEndpoint, key("bob"), true, noon.Add(24*time.Hour-1))
	expect(lane.LoginEndpoint, lane.Behaviour{Known: true, Sticky: true, ObservedAt: noon})
	if n := o.notices(); n != 0 {
		t.Errorf("told of %d changes, want none", n)
	}
	client.Observe(lane.LoginEndpoint, key("bob"), true, noon.Add(24*time.Hour))
	expect(lane.LoginEndpoint, lane.Behaviour{Known: true, Sticky: true, ObservedAt: noon.Add(24 * time.Hour)})
	// Another behaviour is news at once.
	client.Observe(lane.LoginEndpoint, key("bob"), false, noon.Add(25*time.Hour))
	expect(lane.LoginEndpoint, lane.Behaviour{Known: true, ObservedAt: noon.Add(25 * time.Hour)})
	if n := o.notices(); n != 2 {
		t.Errorf("told of %d changes, want 2", n)
	}
}

// TestRecall: what a status says holds after a restart, until something else is seen.
func TestRecall(t *testing.T) {
	o := stepped(t)
	client := o.lane("acme", 4)
	known := lane.Behaviour{Known: true, Sticky: true, ObservedAt: noon.Add(-time.Hour)}
	client.Recall(lane.LoginEndpoint, known)
	if got := client.Behaviour(lane.LoginEndpoint); got != known {
		t.Errorf("%+v", got)
	}
	client.Observe(lane.LoginEndpoint, key("alice"), false, noon)
	client.Recall(lane.LoginEndpoint, known) // a status that lags behind
	if got := client.Behaviour(lane.LoginEndpoint); got.Sticky {
		t.Errorf("%+v", got)
	}
	if n := o.notices(); n != 1 {
		t.Errorf("told of %d changes, want 1: recalling is none", n)
	}
}

// TestLooks: once a day one user of a sticky client renews early, to see whether it still is sticky.
func TestLooks(t *testing.T) {
	o := stepped(t)
	client := o.lane("acme", 4)
	day := noon.Add(24 * time.Hour)
	expect := func(name string, at time.Time, want bool) {
		t.Helper()
		if got := client.Looks(lane.LoginEndpoint, key(name), at); got != want {
			t.Errorf("%s looks at %v: %v, want %v", name, at.Sub(noon), got, want)
		}
	}
	expect("alice", noon, false) // nothing is known yet
	client.Observe(lane.LoginEndpoint, key("alice"), false, noon)
	expect("alice", day, false) // not sticky: seen at every renewal anyway
	client.Observe(lane.LoginEndpoint, key("alice"), true, noon)
	expect("alice", day.Add(-1), false)
	expect("bob", day, true)
	expect("alice", day, false)
	expect("bob", day.Add(time.Hour), true) // until it has looked
	client.Observe(lane.LoginEndpoint, key("bob"), true, day.Add(time.Hour))
	expect("bob", day.Add(time.Hour), false)
	expect("alice", day.Add(time.Hour), false)
	expect("alice", day.Add(25*time.Hour), true)
	// What another user sees by chance frees nobody of its duty, but makes the look needless.
	client.Observe(lane.LoginEndpoint, key("carol"), true, day.Add(26*time.Hour))
	expect("alice", day.Add(26*time.Hour), false)
	// A client that stopped being sticky is not looked at.
	client.Observe(lane.LoginEndpoint, key("alice"), false, day.Add(60*time.Hour))
	expect("alice", day.Add(100*time.Hour), false)
}

// TestLoginIsOne: /login issues tokens the same way, whether it is asked with the client credentials or with a JWT.
func TestLoginIsOne(t *testing.T) {
	for _, c := range [][]lane.Endpoint{{lane.LoginEndpoint, lane.JWTLoginEndpoint}, {lane.JWTLoginEndpoint, lane.LoginEndpoint}} {
		seen, same := c[0], c[1]
		t.Run("seen at "+string(seen), func(t *testing.T) {
			o := stepped(t)
			client := o.lane("acme", 4)
			client.Observe(seen, key("alice"), true, noon)
			want := lane.Behaviour{Known: true, Sticky: true, ObservedAt: noon}
			if got := client.Behaviour(same); got != want {
				t.Errorf("%s: %+v, want %+v", same, got, want)
			}
			for _, other := range []lane.Endpoint{lane.UserCenterEndpoint, lane.ProviderEndpoint} {
				if got := client.Behaviour(other); got != (lane.Behaviour{}) {
					t.Errorf("%s: %+v", other, got)
				}
			}
			// One user of all of them looks again, and what it sees is seen for all.
			day := noon.Add(24 * time.Hour)
			if !client.Looks(same, key("bob"), day) || client.Looks(seen, key("alice"), day) {
				t.Error("each of the two has a user that looks again, or none has")
			}
			client.Observe(same, key("bob"), false, day)
			if got := client.Behaviour(seen); got.Sticky {
				t.Errorf("%s: %+v", seen, got)
			}
			client.Recall(seen, want) // a status that lags behind
			if got := client.Behaviour(seen); got.Sticky {
				t.Errorf("%s: %+v", seen, got)
			}
		})
	}
}
