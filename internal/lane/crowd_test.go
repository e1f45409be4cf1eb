package lane_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
)

// TestBadAmongMany runs a hundred users with tokens of two minutes through half an hour: those that Gini refuses hold up nobody else.
func TestBadAmongMany(t *testing.T) {
	const users, lifetime, renewBefore = 100, 2 * time.Minute, 30 * time.Second
	for _, bad := range [][]int{{0}, {50}, {99}, {0, 1}, {49, 50}, {0, 99}} {
		for name, err := range map[string]error{
			"refused": failing(gini.CredentialsRejected), "429": failing(gini.RateLimited), "429 for an hour": failingFor(gini.RateLimited, time.Hour),
			"503": failing(gini.Unavailable), "503 for an hour": failingFor(gini.Unavailable, time.Hour),
			"refused for an hour": failingFor(gini.CredentialsRejected, time.Hour),
		} {
			for start, state := range map[string]lane.State{"accepted": lane.Accepting(), "new": {}} {
				if len(bad) > 1 && (name != "refused" || start == "new") {
					continue // two users one after the other are evidence
				}
				for _, endpoint := range ofCredentials {
					t.Run(fmt.Sprint(bad, name, start, endpoint), func(t *testing.T) {
						o := stepped(t)
						client := o.lane("acme", 4)
						client.Use("v1", state, state)
						ends, again := map[int]time.Duration{}, map[int]time.Duration{} // and when its status lets a user try again
						expired := 0
						reconcile := func(user int, now time.Duration) {
							if now < again[user] || now < ends[user]-renewBefore {
								return
							}
							name := key(fmt.Sprint(user))
							client.Enter(t.Context(), endpoint, name, 10, func(context.Context, bool) lane.Outcome {
								answer := err
								if !slices.Contains(bad, user) {
									answer, ends[user] = nil, now+lifetime
								}
								evidence := lane.Evidence{Proven: ends[user] > 0, Others: len(ends) > 1}
								if client.Judge(endpoint, name, answer, evidence) {
									again[user] = now + time.Minute
								}
								return lane.Outcome{Asked: true, Gini: answer}
							})
						}
						for second := range 30 * 60 {
							now := time.Duration(second) * time.Second
							for user := range users {
								reconcile(user, now)
								if end, ok := ends[user]; ok && now >= end {
									expired++
								}
							}
							o.called() // the loop above asks for everybody
							o.clock.Step(time.Second)
						}
						if expired > 0 || len(ends) != users-len(bad) {
							t.Errorf("%d expired seconds; %d users served", expired, len(ends))
						}
					})
				}
			}
		}
	}
}

// TestAnyOrder lets chance decide who asks when, and what else fails: wrong credentials are refused no more than three times in any hour, and
// once they are accepted, everybody that waits is called without asking again.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			chance := rand.New(rand.NewPCG(seed, seed))
			o := stepped(t)
			client := o.lane("acme", 1+chance.IntN(4))
			endpointOf := func(user int) lane.Endpoint { return ofCredentials[user%2] }
			most := 1 + chance.IntN(12)
			accepts, answersBadly := false, chance.IntN(3) == 0
			waits := map[int]bool{}
			var tries []try
			reconcile := func(user int) {
				endpoint, name := endpointOf(user), fmt.Sprint(user)
				_, refusal := client.Enter(t.Context(), endpoint, key(name), 10*chance.IntN(4), func(context.Context, bool) lane.Outcome {
					evidence := lane.Evidence{Neutral: user == 1, Proven: chance.IntN(2) == 0, Others: chance.IntN(2) == 0, Before: chance.IntN(2) == 0}
					switch {
					case accepts:
						return lane.Outcome{Asked: true}
					case answersBadly && chance.IntN(3) == 0:
						kinds := []gini.Kind{gini.Unavailable, gini.Timeout, gini.RateLimited}
						err := failingFor(kinds[chance.IntN(len(kinds))], time.Duration(chance.IntN(2)*chance.IntN(600))*time.Second)
						return lane.Outcome{Asked: true, Gini: err, Evidence: evidence}
					}
					tries = append(tries, try{o.clock.Since(noon), endpoint, name})
					return lane.Outcome{Asked: true, Gini: failing(gini.CredentialsRejected), Evidence: evidence}
				})
				waits[user] = refusal != nil || !accepts // whoever failed with all others is called too
			}
			numbered := func(called call) (user int) {
				_, _ = fmt.Sscan(called.name, &user)
				return user
			}
			for o.clock.Since(noon) < 8*time.Hour {
				switch chance.IntN(3) {
				case 0:
					reconcile(chance.IntN(most))
				case 1:
					o.clock.Step(time.Duration(chance.IntN(300)) * time.Second)
				default:
					for _, called := range o.called() {
						reconcile(numbered(called))
					}
				}
			}
			expectFew(t, tries, 3)
			if len(tries) < 5 {
				t.Errorf("%d tries in eight hours", len(tries))
			}
			accepts = true
			deadline := time.Now().Add(20 * time.Second) // of this machine's clock: nobody is ever called again
			for slices.Contains(slices.Collect(maps.Values(waits)), true) {
				if time.Now().After(deadline) {
					t.Fatalf("nobody is called of those that wait: %v; state %+v", waits, client.State())
				}
				for _, called := range o.called() {
					reconcile(numbered(called))
				}
				o.clock.Step(10 * time.Second)
				_ = client.State()
			}
		})
	}
}
