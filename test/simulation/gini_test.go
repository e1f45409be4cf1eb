package simulation

import (
	"hash/fnv"
	"sync"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
)

// fault is a time in which Gini gives no tokens to a client.
type fault struct {
	span
	kind       gini.Kind
	retryAfter time.Duration
	// mended is when Gini first answered well again; zero until then.
	mended time.Time
}

// grant is a token that Gini gave.
type grant struct {
	token     uint64
	expiresIn time.Duration // as Gini says it: whole seconds, rounded down
	ends      time.Time     // what nobody but Gini knows
}

// fakeGini issues tokens after a while, or fails.
type fakeGini struct {
	clock *wallClock
	book  *ledger

	mu     sync.Mutex
	issued uint64
	tokens map[int]grant  // the latest of each user
	logins map[int]uint64 // how often each user asked
}

const (
	// hang is how long a request may take.
	hang = time.Minute
	// unreached is how long it takes to find nobody there.
	unreached = 50 * time.Millisecond
)

// login answers a user's login with the credentials of that version.
func (g *fakeGini) login(of *application, user int, version string) (grant, error) {
	half := g.latency(user) / 2
	time.Sleep(half)
	now := g.clock.Now()
	if failing := of.faultAt(now, version); failing != nil {
		pause := half
		switch failing.kind {
		case gini.Timeout:
			pause = hang - half
		case gini.Unreachable:
			pause = unreached
		}
		time.Sleep(pause)
		g.book.answered(of, failing.kind, g.clock.Now())
		return grant{}, &gini.Error{Kind: failing.kind, Operation: gini.OperationLogin, RetryAfter: failing.retryAfter}
	}
	given := g.issue(of, user, now)
	time.Sleep(half)
	g.book.answered(of, gini.None, g.clock.Now())
	return given, nil
}

func (g *fakeGini) issue(of *application, user int, now time.Time) grant {
	g.mu.Lock()
	defer g.mu.Unlock()
	given := g.tokens[user]
	if !of.sticky || !now.Before(given.ends) {
		g.issued++
		given = grant{token: g.issued, ends: now.Add(of.lifetime)}
		g.tokens[user] = given
	}
	given.expiresIn = (given.ends.Sub(now) - 1).Truncate(time.Second)
	return given
}

// latency is between 80 and 400 ms, the same in every run.
func (g *fakeGini) latency(user int) time.Duration {
	g.mu.Lock()
	g.logins[user]++
	times := g.logins[user]
	g.mu.Unlock()
	hash := fnv.New32a()
	for _, part := range []uint64{uint64(user), times} {
		for shift := 0; shift < 64; shift += 8 {
			_, _ = hash.Write([]byte{byte(part >> shift)})
		}
	}
	return 80*time.Millisecond + time.Duration(hash.Sum32()%320)*time.Millisecond
}
