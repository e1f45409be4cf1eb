package renewal_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/renewal"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	second = time.Second
	year   = 365 * 24 * time.Hour
)

// living is a token that was asked for at noon and answered at once.
func living(lifetime time.Duration) renewal.Token {
	return renewal.NewToken(noon, noon, lifetime, true)
}

// formula is the design's, word for word: base × (1 − j/3) with base = max(L/3, min(2L/3, L − margin)), never under L/3,
// nor under the second that keeps renewals apart.
func formula(lifetime, margin time.Duration, j float64) time.Duration {
	l := lifetime.Seconds()
	base := math.Max(l/3, math.Min(2*l/3, l-margin.Seconds()))
	after := math.Max(1, math.Max(l/3, base*(1-j/3)))
	return time.Duration(after * float64(time.Second))
}

func TestRefreshAt(t *testing.T) {
	for _, c := range []struct {
		lifetime, before time.Duration
		spread           float64
		want             time.Duration
	}{
		// 12 h: two thirds, less up to a third of that.
		{12 * time.Hour, 0, 0, 8 * time.Hour},
		{12 * time.Hour, 0, 0.5, 6*time.Hour + 40*time.Minute},
		{12 * time.Hour, 0, 0.9999999, 5*time.Hour + 20*time.Minute},
		// L − 180 s begins to count where it is less than two thirds: under 9 min.
		{9 * time.Minute, 0, 0, 6 * time.Minute},
		{6 * time.Minute, 0, 0, 3 * time.Minute},
		{6 * time.Minute, 0, 0.5, 150 * second},
		{300 * second, 0, 0, 120 * second},
		// And a third where even that is more, with jitter or without.
		{270 * second, 0, 0, 90 * second},
		{60 * second, 0, 0, 20 * second},
		{60 * second, 0, 0.9, 20 * second},
		{3 * second, 0, 0, second},
		{3 * second, 0, 0.9, second},
		// Never within a second.
		{second, 0, 0, second},
		{2 * second, 0, 0.99, second},
		{0, 0, 0, second},
		// renewal.before sets the base within the same bounds.
		{12 * time.Hour, 6 * time.Hour, 0, 6 * time.Hour},
		{12 * time.Hour, 6 * time.Hour, 0.5, 5 * time.Hour},
		{12 * time.Hour, 6 * time.Hour, 0.9, 4*time.Hour + 12*time.Minute},
		{12 * time.Hour, 7 * time.Hour, 0.9, 4 * time.Hour},
		{12 * time.Hour, 1 * time.Minute, 0, 8 * time.Hour},
		{12 * time.Hour, 11 * time.Hour, 0, 4 * time.Hour},
		{12 * time.Hour, 20 * time.Hour, 0, 4 * time.Hour},
		{12 * time.Hour, 10 * year, 0, 4 * time.Hour},
		{60 * second, 30 * second, 0, 30 * second},
		{60 * second, 30 * second, 0.6, 24 * second},
		// Ten years.
		{10 * year, 0, 0, 20 * year / 3},
		{10 * year, 5 * year, 0, 5 * year},
	} {
		t.Run(fmt.Sprint(c.lifetime, " before ", c.before, " spread ", c.spread), func(t *testing.T) {
			got := renewal.RefreshAt(living(c.lifetime), renewal.Policy{Before: c.before, Spread: c.spread}).Sub(noon)
			if diff := (got - c.want).Abs(); diff > 20*time.Millisecond {
				t.Errorf("renewed after %v, want %v", got, c.want)
			}
		})
	}
}

// TestRefreshAtFormula holds the code against the design's formula for lifetimes of a second to ten years.
func TestRefreshAtFormula(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		lifetime := time.Duration(math.Exp(random.Float64()*math.Log(float64(10*year/second)))) * second
		policy := renewal.Policy{Spread: random.Float64()}
		margin := 180 * second
		if random.IntN(2) == 0 {
			margin = time.Duration(math.Exp(random.Float64()*math.Log(float64(10*year/second)))) * second
			policy.Before = margin
		}
		got := renewal.RefreshAt(living(lifetime), policy).Sub(noon)
		want := formula(lifetime, margin, policy.Spread)
		if diff := (got - want).Abs(); diff > 2*time.Millisecond+want/1_000_000_000 {
			t.Fatalf("L=%v %+v: after %v, want %v", lifetime, policy, got, want)
		}
	}
}

// TestRenewalsKeepApart: never two renewals within max(L/3, 1 s), never one after the expiry of a token that lives three
// seconds or more, whatever the request took, and to the millisecond that instants are cut to (R1.7).
func TestRenewalsKeepApart(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		at := noon.Add(time.Duration(random.Int64N(int64(time.Hour))))
		took := time.Duration(random.Int64N(int64(60 * second)))
		expiresIn := time.Duration(math.Exp(random.Float64()*math.Log(float64(10*year/second)))) * second
		policy := renewal.Policy{Spread: random.Float64(), Before: time.Duration(random.Int64N(3)) * expiresIn / 2}
		token := renewal.NewToken(at, at.Add(took), expiresIn, true)
		if token.ExpiresAt.After(at.Add(expiresIn)) || token.ExpiresAt.Before(at.Add(expiresIn-second)) {
			t.Fatalf("expires_in %v at %v: safe bound %v", expiresIn, at, token.ExpiresAt)
		}
		next := renewal.RefreshAt(token, policy)
		apart, least := next.Sub(token.ObtainedAt), max(token.Lifetime()/3, second)
		if apart < least-time.Millisecond {
			t.Fatalf("L=%v %+v: renewed after %v, less than %v", token.Lifetime(), policy, apart, least)
		}
		if token.Lifetime() >= 3*second && next.After(token.ExpiresAt) {
			t.Fatalf("L=%v %+v: renewed %v after the expiry", token.Lifetime(), policy, next.Sub(token.ExpiresAt))
		}
		sticky := renewal.RefreshAt(token, renewal.Policy{Sticky: true, Spread: policy.Spread})
		if sticky.Before(token.ExpiresAt) || sticky.Before(token.ObtainedAt.Add(second)) {
			t.Fatalf("L=%v: sticky at %v, before its end", token.Lifetime(), sticky)
		}
	}
}

func TestNewToken(t *testing.T) {
	requested := noon.Add(250*time.Millisecond + 300*time.Microsecond)
	received := requested.Add(1500 * time.Millisecond)
	for _, c := range []struct {
		name      string
		expiresIn time.Duration
		known     bool
		safe      time.Time // requested + expires_in, cut to the second
		sticky    time.Time // received + expires_in + 1 s, rounded up to the millisecond
	}{
		{"half a day", 43199 * second, true, noon.Add(43199 * second), noon.Add(43199*second + 2751*time.Millisecond)},
		{"a second", second, true, noon.Add(second), noon.Add(second + 2751*time.Millisecond)},
		{"ten years", 10 * year, true, noon.Add(10 * year), noon.Add(10*year + 2751*time.Millisecond)},
		{"a century, the most that is read", 100 * year, true, noon.Add(100 * year), noon.Add(100*year + 2751*time.Millisecond)},
		{"zero", 0, true, noon, noon.Add(2751 * time.Millisecond)},
		{"negative", -5 * second, true, noon, noon.Add(2751 * time.Millisecond)},
		{"absent", 0, false, noon.Add(time.Hour), noon.Add(time.Hour + 2751*time.Millisecond)},
		{"unreadable, with a value all the same", 5 * second, false, noon.Add(time.Hour), noon.Add(time.Hour + 2751*time.Millisecond)},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := renewal.NewToken(requested, received, c.expiresIn, c.known)
			if want := noon.Add(250 * time.Millisecond); !token.ObtainedAt.Equal(want) {
				t.Errorf("obtained at %v, want just before the request %v", token.ObtainedAt, want)
			}
			if !token.ExpiresAt.Equal(c.safe) {
				t.Errorf("safe bound %v, want %v", token.ExpiresAt, c.safe)
			}
			if !token.EndsBy.Equal(c.sticky) {
				t.Errorf("sticky bound %v, want %v", token.EndsBy, c.sticky)
			}
			if token.Lifetime() < 0 {
				t.Errorf("lifetime %v", token.Lifetime())
			}
			if at := renewal.RefreshAt(token, renewal.Policy{Sticky: true}); !at.Equal(token.EndsBy) {
				t.Errorf("a sticky token is renewed at %v, want its sticky bound %v", at, token.EndsBy)
			}
		})
	}
}

// TestClockSetBackDuringRequest: the answer came "before" the request. The sticky bound still is not before the end.
func TestClockSetBackDuringRequest(t *testing.T) {
	token := renewal.NewToken(noon, noon.Add(-time.Hour), 60*second, true)
	if token.EndsBy.Before(noon.Add(61*second)) || token.ExpiresAt.After(noon.Add(60*second)) {
		t.Errorf("bounds %v and %v", token.ExpiresAt, token.EndsBy)
	}
}

// TestMonotonicReading: where a machine was suspended, the monotonic clock stood still, and only the wall clock counts (R11.1).
func TestMonotonicReading(t *testing.T) {
	now := time.Now()
	if now == now.Round(0) { //nolint:staticcheck // Equal does not tell whether there is a monotonic reading
		t.Fatal("this platform gives no monotonic reading")
	}
	for _, policy := range []renewal.Policy{{}, {Sticky: true}} {
		with := renewal.NewToken(now, now.Add(second), time.Hour, true)
		without := renewal.NewToken(now.Round(0), now.Add(second).Round(0), time.Hour, true)
		for name, pair := range map[string][2]time.Time{
			"obtained": {with.ObtainedAt, without.ObtainedAt}, "expires": {with.ExpiresAt, without.ExpiresAt}, "ends": {with.EndsBy, without.EndsBy},
			"refresh": {renewal.RefreshAt(with, policy), renewal.RefreshAt(without, policy)},
		} {
			// == and not Equal: a monotonic reading would tell them apart.
			if pair[0] != pair[1] {
				t.Errorf("%s: %#v and %#v differ", name, pair[0], pair[1])
			}
		}
		held := renewal.Held{Exists: true, Readable: true, Token: with}
		for _, after := range []time.Duration{0, 30 * time.Minute, 2 * time.Hour} {
			if a, b := renewal.Decide(held, renewal.Wanted{Policy: policy}, now.Add(after)),
				renewal.Decide(held, renewal.Wanted{Policy: policy}, now.Add(after).Round(0)); a != b {
				t.Errorf("after %v: %+v and %+v", after, a, b)
			}
		}
	}
}

func TestNarrow(t *testing.T) {
	token := func(obtained, expires, ends time.Duration) renewal.Token {
		return renewal.Token{ObtainedAt: noon.Add(obtained), ExpiresAt: noon.Add(expires), EndsBy: noon.Add(ends)}
	}
	for _, c := range []struct {
		name                  string
		earlier, later, wants renewal.Token
	}{
		{
			"the later answer lies within the earlier", token(0, 60*second, 63*second), token(20*second, 61*second, 62*second),
			token(0, 61*second, 62*second),
		},
		{
			"the earlier answer lies within the later", token(0, 61*second, 62*second), token(20*second, 60*second, 63*second),
			token(0, 61*second, 62*second),
		},
		{
			"each has one tighter bound", token(0, 61*second, 63*second), token(20*second, 60*second, 62*second),
			token(0, 61*second, 62*second),
		},
		{"bounds that meet", token(0, 60*second, 61*second), token(20*second, 61*second, 63*second), token(0, 61*second, 61*second)},
		{
			"contradictory answers: the newer is believed", token(0, 60*second, 61*second), token(20*second, 90*second, 92*second),
			token(20*second, 90*second, 92*second),
		},
		{
			"contradictory the other way round", token(0, 90*second, 92*second), token(20*second, 30*second, 32*second),
			token(20*second, 30*second, 32*second),
		},
		{
			"a clock that was set back between them", token(20*second, 60*second, 62*second), token(0, 60*second, 62*second),
			token(0, 60*second, 62*second),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := renewal.Narrow(c.earlier, c.later); got != c.wants {
				t.Errorf("got %+v, want %+v", got, c.wants)
			}
		})
	}
}

// TestNarrowNeverWidens: what several answers say of one token never lets the bounds part, and never excludes its true end.
func TestNarrowNeverWidens(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 5_000 {
		end := noon.Add(time.Duration(random.Int64N(int64(12 * time.Hour))))
		ask := func(at time.Time) renewal.Token {
			answered := at.Add(time.Duration(random.Int64N(int64(second))))
			received := answered.Add(time.Duration(random.Int64N(int64(second))))
			return renewal.NewToken(at, received, end.Sub(answered).Truncate(second), true)
		}
		token := ask(noon)
		for asked := noon; asked.Before(end.Add(-3 * second)); asked = asked.Add(end.Sub(noon)/5 + second) {
			narrowed := renewal.Narrow(token, ask(asked))
			if narrowed.ExpiresAt.Before(token.ExpiresAt) || narrowed.EndsBy.After(token.EndsBy) || narrowed.ObtainedAt.After(token.ObtainedAt) {
				t.Fatalf("%+v became %+v", token, narrowed)
			}
			token = narrowed
		}
		if token.ExpiresAt.After(end) || token.EndsBy.Before(end) {
			t.Fatalf("%+v excludes the true end %v", token, end)
		}
	}
}

func TestSpread(t *testing.T) {
	const users, buckets = 10_000, 20
	uid := func(i int) string { return fmt.Sprintf("8f1c52a0-6d3e-4b57-9a34-%012x", i) }
	for name, uid := range map[string]func(int) string{
		"UIDs that differ in their last digits": uid,
		"UIDs that differ in their first":       func(i int) string { return fmt.Sprintf("%08x-6d3e-4b57-9a34-0123456789ab", i) },
		"random UIDs": func(i int) string {
			random := rand.New(rand.NewPCG(uint64(i), 9))
			return fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64())
		},
	} {
		t.Run(name, func(t *testing.T) {
			var counts [buckets]int
			seen := map[float64]bool{}
			sum := 0.0
			for i := range users {
				spread := renewal.Spread(uid(i))
				if spread < 0 || spread >= 1 {
					t.Fatalf("%v is not in [0, 1)", spread)
				}
				if renewal.Spread(uid(i)) != spread {
					t.Fatal("not the same at every call")
				}
				seen[spread] = true
				counts[int(spread*buckets)]++
				sum += spread
			}
			if len(seen) != users {
				t.Errorf("%d users share %d values", users, len(seen))
			}
			if mean := sum / users; mean < 0.49 || mean > 0.51 {
				t.Errorf("mean %v", mean)
			}
			// Chi-squared with 19 degrees of freedom is under 60 with a probability of 1 − 4e-6.
			chi := 0.0
			for _, count := range counts {
				expected := float64(users) / buckets
				chi += (float64(count) - expected) * (float64(count) - expected) / expected
			}
			if chi > 60 {
				t.Errorf("chi-squared %v: %v", chi, counts)
			}
		})
	}
	// Stable over releases too: an upgrade must not move everybody's renewal.
	if got := renewal.Spread("8f1c52a0-6d3e-4b57-9a34-0123456789ab"); math.Abs(got-stableSpread) > 1e-12 {
		t.Errorf("Spread of a known UID is %.15f, and was %.15f", got, stableSpread)
	}
}

// stableSpread is what Spread gave for a UID when this test was written.
const stableSpread = 0.601369502698397

// TestBusiestMinute: users who were made in one moment spread out from the second cycle on: the busiest minute stays
// under three times the mean (R2.3).
func TestBusiestMinute(t *testing.T) {
	const users = 10_000
	lifetime := 12 * time.Hour
	renewals := map[int]int{}
	total := 0
	for i := range users {
		policy := renewal.Policy{Spread: renewal.Spread(fmt.Sprintf("8f1c52a0-6d3e-4b57-9a34-%012x", i))}
		at := noon
		for cycle := 0; at.Before(noon.Add(10 * 24 * time.Hour)); cycle++ {
			at = renewal.RefreshAt(renewal.NewToken(at, at, lifetime, true), policy)
			if cycle > 0 {
				renewals[int(at.Sub(noon)/time.Minute)]++
				total++
			}
		}
	}
	first, last, most := math.MaxInt, 0, 0
	for minute, count := range renewals {
		first, last, most = min(first, minute), max(last, minute), max(most, count)
	}
	if mean := float64(total) / float64(last-first+1); float64(most) >= 3*mean {
		t.Errorf("busiest minute %d, mean %.1f", most, mean)
	}
}

// TestCovers: of a token that lives 2½ minutes, 100 s are left when it is renewed as late as it may be; of a shorter one fewer are.
func TestCovers(t *testing.T) {
	for _, c := range []struct {
		name     string
		lifetime time.Duration
		policy   renewal.Policy
		want     bool
	}{
		{"just enough", 150 * time.Second, renewal.Policy{}, true},
		{"a little less", 149 * time.Second, renewal.Policy{}, false},
		{"a little less, for a user who is early", 149 * time.Second, renewal.Policy{Spread: 0.9}, false},
		{"four minutes", 4 * time.Minute, renewal.Policy{}, true},
		{"four minutes, renewed as late as that can be", 4 * time.Minute, renewal.Policy{Before: time.Second}, false},
		{"five minutes, renewed as late as that can be", 5 * time.Minute, renewal.Policy{Before: time.Second}, true},
		{"twelve hours", 12 * time.Hour, renewal.Policy{}, true},
		{"sticky ones of twelve hours", 12 * time.Hour, renewal.Policy{Sticky: true}, false},
	} {
		if got := renewal.Covers(living(c.lifetime), c.policy); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
