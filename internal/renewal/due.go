package renewal

import "time"

// Cause is why a new token is needed now.
type Cause string

// Causes, most telling first.
const (
	// SecretMissing: there is no Secret to mount yet, or no more.
	SecretMissing Cause = "SecretMissing"
	// SecretDeleted: the Secret was there, and somebody deleted it.
	SecretDeleted Cause = "SecretDeleted"
	// CredentialsTried: the client has other credentials, which this user tries before trusted devices are given them.
	CredentialsTried Cause = "CredentialsTried"
	// RecordUnreadable: the Secret does not say what it holds.
	RecordUnreadable Cause = "RecordUnreadable"
	// IssuedForAnother: the Secret's token is for another client, host or user than the spec wants.
	IssuedForAnother Cause = "IssuedForAnother"
	// IssuedByAnother: the Secret's JWT was signed by another key than signs now, or with other claims or another lifetime.
	IssuedByAnother Cause = "IssuedByAnother"
	// TokenTampered: the Secret's token is not the one that the operator wrote.
	TokenTampered Cause = "TokenTampered"
	// RefreshRequested: a person asks for a new token.
	RefreshRequested Cause = "RefreshRequested"
	// ClockSteppedBack: the token was obtained in the future, or is to be renewed after its end.
	ClockSteppedBack Cause = "ClockSteppedBack"
	// RefreshTimeReached: the token's time to be renewed has come.
	RefreshTimeReached Cause = "RefreshTimeReached"
	// TokenEndedEarly: Gini refused the token.
	TokenEndedEarly Cause = "TokenEndedEarly"
)

// Held is what a Secret says of the token that it holds.
type Held struct {
	// Exists is whether there is a Secret of the operator's, and Deleted whether there was one.
	Exists, Deleted bool
	// Readable is whether its record could be read.
	Readable bool
	// Token is the life of its token.
	Token Token
	// IssuedFor identifies what the token was issued for.
	IssuedFor string
	// IssuedBy identifies what a JWT depends on beside the user; empty for access tokens.
	IssuedBy string
	// RefreshHandled is the refresh request that was handled last.
	RefreshHandled string
	// Tampered is whether the token is known not to be the one that was recorded.
	Tampered bool
	// EndedEarly is whether Gini is known to refuse the token.
	EndedEarly bool
}

// Wanted is what the spec asks for.
type Wanted struct {
	// IssuedFor identifies what a token must be issued for.
	IssuedFor string
	// IssuedBy identifies what a JWT must depend on beside the user; empty for access tokens.
	IssuedBy string
	// RefreshRequested is the request to get a new token; empty where there is none.
	RefreshRequested string
	// TryCredentials is whether the token is to show what Gini thinks of the client's credentials.
	TryCredentials bool
	// Policy tunes the renewal.
	Policy Policy
}

// Verdict says whether a new token is needed.
type Verdict struct {
	// Cause is empty where the token at hand will do.
	Cause Cause
	// At is when a new one is needed: now where there is a Cause.
	At time.Time
}

// Due reports whether a new token is needed now.
func (v Verdict) Due() bool { return v.Cause != "" }

// clockTolerance is how far in the future a token may have been obtained, as seen by a clock that was corrected a little.
const clockTolerance = 5 * time.Second

type check func(held Held, wanted Wanted, now time.Time) Cause

// checks is the table of contents of when a token is obtained. The first that finds a cause decides.
var checks = []check{
	secretMissing,
	recordUnreadable,
	issuedForAnother,
	tokenTampered,
	refreshRequested,
	tokenEndedEarly,
	clockSteppedBack,
	refreshTimeReached,
	issuedByAnother,
	credentialsTried,
}

// Decide says whether a new token is needed at now, and else when.
func Decide(held Held, wanted Wanted, now time.Time) Verdict {
	now = wall(now)
	for _, check := range checks {
		if cause := check(held, wanted, now); cause != "" {
			return Verdict{Cause: cause, At: now}
		}
	}
	return Verdict{At: RefreshAt(held.Token, wanted.Policy)}
}

func when(condition bool, cause Cause) Cause {
	if condition {
		return cause
	}
	return ""
}

func secretMissing(held Held, _ Wanted, _ time.Time) Cause {
	if held.Deleted {
		return when(!held.Exists, SecretDeleted)
	}
	return when(!held.Exists, SecretMissing)
}

func credentialsTried(_ Held, wanted Wanted, _ time.Time) Cause {
	return when(wanted.TryCredentials, CredentialsTried)
}

func recordUnreadable(held Held, _ Wanted, _ time.Time) Cause {
	return when(!held.Readable, RecordUnreadable)
}

func issuedForAnother(held Held, wanted Wanted, _ time.Time) Cause {
	return when(held.IssuedFor != wanted.IssuedFor, IssuedForAnother)
}

func issuedByAnother(held Held, wanted Wanted, _ time.Time) Cause {
	return when(held.IssuedBy != wanted.IssuedBy, IssuedByAnother)
}

func tokenTampered(held Held, _ Wanted, _ time.Time) Cause { return when(held.Tampered, TokenTampered) }

func refreshRequested(held Held, wanted Wanted, _ time.Time) Cause {
	return when(wanted.RefreshRequested != "" && wanted.RefreshRequested != held.RefreshHandled, RefreshRequested)
}

func tokenEndedEarly(held Held, _ Wanted, _ time.Time) Cause {
	return when(held.EndedEarly, TokenEndedEarly)
}

func clockSteppedBack(held Held, _ Wanted, now time.Time) Cause {
	return when(held.Token.ObtainedAt.After(now.Add(clockTolerance)) || held.Token.EndsBy.Before(held.Token.ObtainedAt), ClockSteppedBack)
}

func refreshTimeReached(held Held, wanted Wanted, now time.Time) Cause {
	return when(!now.Before(RefreshAt(held.Token, wanted.Policy)), RefreshTimeReached)
}

// VerifyAt is when a token is to be verified, or was to be if that has not been done: at obtained + n × interval, spread over users by
// shifting that by up to an interval. verified is when it was verified last; zero where it was not.
func VerifyAt(token Token, interval time.Duration, spread float64, verified, now time.Time) time.Time {
	first := token.ObtainedAt.Add(time.Duration(float64(interval) * spread))
	elapsed := wall(now).Sub(first)
	if elapsed < 0 {
		return first
	}
	latest := first.Add(elapsed.Truncate(interval))
	if verified.Before(token.ObtainedAt) || verified.After(now.Add(clockTolerance)) { // of an earlier token, or before the clock was set back
		verified = token.ObtainedAt
	}
	if verified.Before(latest) {
		return latest
	}
	return latest.Add(interval)
}
