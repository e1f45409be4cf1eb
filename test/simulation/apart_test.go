package simulation

import (
	"slices"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
)

// TestApart compares a morning on which clients are in trouble, among them the largest, with the same morning without: the other clients'
// users, new ones among them, notice nothing.
func TestApart(t *testing.T) {
	live := func(trouble bool) map[string]measured {
		clients := twentyClients(50)
		a, b, c, d, e := clients[0], clients[1], clients[2], clients[3], clients[4]
		if trouble {
			outage(a, 6*time.Hour, 3*time.Hour, gini.Timeout, 0)
			outage(c, 6*time.Hour, 3*time.Hour, gini.CredentialsRejected, 0)
			outage(d, 6*time.Hour, 3*time.Hour, gini.RateLimited, 0)
			outage(e, 6*time.Hour, 3*time.Hour, gini.Unavailable, time.Minute)
		}
		w := simulate(t, clients, 2_000, 13*time.Hour, join(b, 10, 7*time.Hour), mend(c, 9*time.Hour))
		found := map[string]measured{}
		for _, client := range clients {
			found[client.name] = w.measure(client)
		}
		return found
	}
	calm, troubled := live(false), live(true)
	for _, name := range []string{"a", "c", "d", "e"} {
		if latest(troubled[name].renewals) < time.Hour {
			t.Errorf("%s is in no trouble", name)
		}
		delete(calm, name)
	}
	for name, want := range calm {
		got := troubled[name]
		for kind, jobs := range map[string][2][]job{
			"first tokens": {want.firsts, got.firsts}, "renewals": {want.renewals, got.renewals}, "expired tokens": {want.expired, got.expired},
		} {
			before, after := latest(jobs[0]), latest(jobs[1])
			if len(jobs[0]) != len(jobs[1]) || after > before+time.Second {
				t.Errorf("%s: %d %s, the latest by %v; without the trouble of others %d, the latest by %v",
					name, len(jobs[1]), kind, after, len(jobs[0]), before)
			}
		}
	}
	t.Logf("first tokens of %d new users of b: within %v, and without the trouble of others within %v", 10,
		latest(troubled["b"].firsts[len(troubled["b"].firsts)-10:]), latest(calm["b"].firsts[len(calm["b"].firsts)-10:]))
}

// latest is the longest that a job was done after it was due.
func latest(jobs []job) time.Duration {
	late := []time.Duration{0}
	for _, job := range jobs {
		late = append(late, job.done.Sub(job.due))
	}
	return slices.Max(late)
}
