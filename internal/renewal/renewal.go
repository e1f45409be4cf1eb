// Package renewal decides when an access token is renewed: pure functions of wall-clock instants.
//
// Instants carry no monotonic reading, because machines are suspended and clocks are stepped; the clock that decides is
// the operator's own, never Gini's.
package renewal

import (
	"hash/fnv"
	"time"
)

const (
	// AssumedLifetime is the lifetime of a token whose answer had no readable expires_in.
	AssumedLifetime = time.Hour

	// deliveryMargin is what a kubelet with default settings may take to show a changed Secret to a pod (90 s), twice:
	// tokens are renewed while that much of their lifetime is left, where it is long enough.
	deliveryMargin = 180 * time.Second

	// ArrivalDelay is how long a kubelet with default settings may take to show a changed Secret to a pod (90 s), and the write before that.
	ArrivalDelay = 100 * time.Second

	// minimumPause keeps two renewals of one token apart whatever lifetime Gini answers.
	minimumPause = time.Second

	// rounding is what expires_in, whole seconds rounded down, may lack.
	rounding = time.Second
)

// Token is what is known of a token's life.
type Token struct {
	// ObtainedAt is the instant just before the token was asked for.
	ObtainedAt time.Time
	// ExpiresAt is the safe bound: until then the token is certainly valid.
	ExpiresAt time.Time
	// EndsBy is the sticky bound: from then on the token has certainly ended.
	EndsBy time.Time
}

// Lifetime is how long the token is certainly valid, from when it was asked for.
func (t Token) Lifetime() time.Duration { return max(0, t.ExpiresAt.Sub(t.ObtainedAt)) }

// NewToken bounds the life of a token by the instants around the request that got it and the expires_in of its answer,
// which counts from some moment between the two. known is false where expires_in was absent or unreadable.
func NewToken(requested, received time.Time, expiresIn time.Duration, known bool) Token {
	requested, received = wall(requested), wall(received)
	if received.Before(requested) { // the clock was set back meanwhile
		received = requested
	}
	if !known {
		expiresIn = AssumedLifetime
	}
	expiresIn = max(0, expiresIn)
	return Token{
		ObtainedAt: requested.Truncate(time.Millisecond),
		ExpiresAt:  requested.Add(expiresIn).Truncate(time.Second),
		EndsBy:     received.Add(expiresIn + rounding).Truncate(time.Millisecond).Add(time.Millisecond),
	}
}

// Narrow combines what two answers said of one and the same token: the later safe bound, the earlier sticky bound, and
// the earlier moment of its request.
func Narrow(earlier, later Token) Token {
	narrowed := later
	if earlier.ObtainedAt.Before(later.ObtainedAt) {
		narrowed.ObtainedAt = earlier.ObtainedAt
	}
	if earlier.ExpiresAt.After(later.ExpiresAt) {
		narrowed.ExpiresAt = earlier.ExpiresAt
	}
	if earlier.EndsBy.Before(later.EndsBy) {
		narrowed.EndsBy = earlier.EndsBy
	}
	if narrowed.EndsBy.Before(narrowed.ExpiresAt) { // contradictory answers: believe the newer one
		return later
	}
	return narrowed
}

// Policy is what tunes the renewal of one user's tokens.
type Policy struct {
	// Before is spec.renewal.before; 0 where it is absent.
	Before time.Duration
	// Sticky is whether a login gives the same token until that has ended.
	Sticky bool
	// Spread in [0, 1) sets users apart from each other; see Spread.
	Spread float64
}

// Spread derives a number in [0, 1) from a user's UID: the same at every call, and different from user to user, so that
// users who were made in one moment are not renewed in one moment.
func Spread(uid string) float64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(uid))
	// FNV mixes the last bytes of short inputs badly into its high bits; one round of a finaliser mends that.
	mixed := hash.Sum64()
	mixed ^= mixed >> 33
	mixed *= 0xff51afd7ed558ccd
	mixed ^= mixed >> 33
	return float64(mixed>>11) / (1 << 53)
}

// RefreshAt is when a token is renewed.
//
// A sticky token: at its sticky bound, as no earlier login gives another one. Any other: obtained + base × (1 − spread/3), with
// base = max(L/3, min(2L/3, L − margin)) of the lifetime L, and never before a third of the lifetime, nor within
// a second. The margin is Policy.Before where it is set, and three minutes otherwise.
func RefreshAt(token Token, policy Policy) time.Time {
	if policy.Sticky {
		return later(token.EndsBy, token.ObtainedAt.Add(minimumPause))
	}
	lifetime := token.Lifetime()
	margin := deliveryMargin
	if policy.Before > 0 {
		margin = policy.Before
	}
	third := lifetime / 3
	base := max(third, min(2*third, lifetime-margin))
	after := time.Duration(float64(base) * (1 - policy.Spread/3))
	return token.ObtainedAt.Add(max(after, third, minimumPause)).Truncate(time.Millisecond)
}

// Covers reports whether enough of a token's life is left when it is renewed, late as that may be for this policy, for the new one to
// arrive in pods without help while the old one is valid still.
func Covers(token Token, policy Policy) bool {
	policy.Spread = 0
	return token.ExpiresAt.Sub(RefreshAt(token, policy)) >= ArrivalDelay
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// wall strips the monotonic reading.
func wall(t time.Time) time.Time { return t.Round(0).UTC() }
