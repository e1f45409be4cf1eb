package simulation

import (
	"os"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// TestWeek lets a week happen to 2,000 users, or to 100,000 where the environment variable SIMULATE is "full"
// (R2.1, R2.2, R2.3, R2.8, R13.3).
func TestWeek(t *testing.T) {
	users, scale, window := 2_000, 50, 20*time.Minute
	if os.Getenv("SIMULATE") == "full" {
		users, scale, window = hundredThousand, 1, time.Minute
	}
	clients := twentyClients(scale)
	byName := map[string]*application{}
	for _, client := range clients {
		byName[client.name] = client
		outage(client, day+3*time.Hour, time.Hour, gini.Unreachable, 0)
	}
	outage(byName["h"], 2*day+2*time.Hour, 2*time.Hour, gini.Timeout, 0)
	outage(byName["r"], 2*day+2*time.Hour, 30*time.Minute, gini.Unavailable, 0)
	outage(byName["i"], 3*day, 40*time.Minute, gini.RateLimited, 5*time.Minute)
	outage(byName["j"], 3*day, 20*time.Minute, gini.RateLimited, 0)
	for _, rejected := range []string{"f", "n"} {
		outage(byName[rejected], 4*day, 3*time.Hour, gini.CredentialsRejected, 0)
	}
	w := simulate(t, clients, users, week,
		restart(18*time.Hour, 20*time.Second),
		join(byName["a"], max(4, users/400), day+3*time.Hour+30*time.Minute),
		join(byName["a"], max(4, users/1000), day+4*time.Hour+20*time.Second),
		restart(4*day+100*time.Minute, 20*time.Second),
		mend(byName["f"], 4*day+3*time.Hour), mend(byName["n"], 4*day+3*time.Hour),
		suspend(5*day+5*time.Hour, time.Hour),
		join(byName["b"], max(4, users/1000), 5*day+6*time.Hour+15*time.Second),
	)
	w.expectSweepsExact(t)
	w.expectAllServed(t)
	all := w.measureAll(t)
	for _, m := range all {
		expectNothingExpired(t, m)
		expectNobodyStarves(t, m)
		expectProbed(t, m)
		expectFewTries(t, m)
		expectNothingNeedless(t, m, 7)
	}
	expectSpread(t, all, window)
}
