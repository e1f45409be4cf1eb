package lane

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/gini"
)

// Whose a failure is. Once an endpoint has accepted the credentials, its refusal of one user (401, 403, 429) is that user's: a firewall
// may dislike the identifier. It becomes everybody's when neutral evidence fails too, which is something that these credentials got there
// before: a client token, or another user's login that is due anyway. If there is neither, the same user's second refusal counts, a
// minute later. Credentials that were never accepted are refused by the first refusal.

// Evidence is what is known beside a failure.
type Evidence struct {
	// Neutral is whether no user was part of the request: it was for a client token.
	Neutral bool
	// Before is whether this client was ever given a client token: neutral evidence can be had then.
	Before bool
	// Twice is whether a user's own request was refused just before this neutral one.
	Twice bool
	// Proven is whether this user has, or had, a token of this endpoint.
	Proven bool
	// Others is whether another user has one, whose next login will tell more.
	Others bool
	// Again is whether the last that was heard of this user was the same, and its own.
	Again bool
}

// Failure is a request that failed in a way that may be the client's.
type Failure struct {
	// User is who it was made for.
	User types.NamespacedName
	// Kind is what it ended with.
	Kind gini.Kind
	// RetryAfter is how long the server asks to be left alone; 0 if it does not say.
	RetryAfter time.Duration
	// Alone is whether this user failed again and again before, while the others were well.
	Alone bool
	Evidence
}

// secondLook is how long after a user's refusal its next one counts for the client, if nobody else can tell.
const secondLook = time.Minute

// suspicion is a refusal that was taken for one user's, and may turn out to be everybody's.
type suspicion struct {
	user   types.NamespacedName
	kind   gini.Kind
	at     time.Time
	proven bool
}

// suspects reports whether a refusal of the credentials was taken for one user's that had a token, within the last hour and with nothing heard since
// that speaks for them.
func (s State) suspects(now time.Time) bool {
	before := s.suspicion
	return before.kind == gini.CredentialsRejected && before.proven && !now.Before(before.at) && now.Sub(before.at) < perTries
}

// confirmed is the state once that refusal is known to have been everybody's.
func (s State) confirmed(now time.Time) State {
	s.Trouble, s.Since, s.Accepted, s.Sole = gini.CredentialsRejected, now, false, false
	s.prober = s.suspicion.user
	return s.paused(s.suspicion.user, 0, now)
}

// refusal reports whether a kind says that credentials or JWTs are not accepted.
func refusal(kind gini.Kind) bool {
	return kind == gini.CredentialsRejected || kind == gini.JWTRejected
}

// personal reports whether a kind of failure may be one user's alone.
func personal(kind gini.Kind) bool { return refusal(kind) || kind == gini.RateLimited }

// judged decides whose a refusal or a rate limit is.
func (s State) judged(f Failure, now time.Time) (next State, own bool) {
	s.Sole = s.Sole && !f.Neutral && f.User == s.suspicion.user
	switch {
	case f.Neutral:
		// What was never given is not missed: some clients may log users in, and have no client tokens.
		return s, refusal(f.Kind) && s.once && !f.Before
	case !s.once, s.rejects(), s.Trouble == f.Kind:
		return s, false
	case f.Kind == gini.RateLimited && f.Again && f.Others:
		return s, true // it shows nothing new: a second user is one that was well
	}
	before := s.suspicion
	switch {
	case before.kind != f.Kind, now.Before(before.at): // the first of its kind, or the clock was set back
		s.suspicion = suspicion{user: f.User, kind: f.Kind, at: now, proven: f.Proven}
		return s, true
	case f.Before:
		return s, true // the neutral request will tell
	}
	alone := !f.Others && now.Sub(before.at) >= secondLook
	switch {
	case f.User == before.user:
		s.Sole = alone
		return s, !alone
	case f.Kind == gini.RateLimited, f.Proven, before.proven, alone:
		return s, false
	}
	return s, true
}

// heard is the state after an answer, with who was asked to wait.
func (s State) heard(f Failure) State {
	switch {
	case f.RetryAfter == 0:
		s.askers, s.asked, s.widely = [2]types.NamespacedName{}, 0, false
	case s.askers[0] == types.NamespacedName{}:
		s.askers[0], s.asked = f.User, f.RetryAfter
	case f.User != s.askers[0]:
		s.widely = s.asksWidely(f)
		s.askers, s.asked = [2]types.NamespacedName{f.User, s.askers[0]}, min(s.asked, f.RetryAfter)
	}
	return s
}

// retryAfter is how long everybody is to wait after an answer: as long as a neutral request is told to, or three users one after the other,
// whichever is the shortest. One tenant may have two users whom a server dislikes, or make new ones: if anybody has had a token, the
// third has.
func (s State) retryAfter(f Failure) time.Duration {
	switch {
	case f.Neutral:
		return f.RetryAfter
	case s.asksWidely(f) && (f.Proven || !f.Others):
		return min(f.RetryAfter, s.asked)
	}
	return 0
}

// asksWidely reports whether three users, of whom the failure's may be one, were answered with Retry-After in a row.
func (s State) asksWidely(f Failure) bool {
	return s.widely || (s.askers[1] != types.NamespacedName{} && f.User != s.askers[0] && f.User != s.askers[1])
}
