package delivery

import (
	"regexp"
	"slices"
	"time"
)

const (
	// hourly is how often a workload is restarted at most, where it does not say.
	hourly = time.Hour
	// shortestInterval is the least that it may say.
	shortestInterval = time.Minute
	// quiet is how long nothing must have changed until a workload is restarted, so that changes that come together cause one restart;
	// longestWait is how long it waits at most for that.
	quiet       = time.Minute
	longestWait = 5 * time.Minute
)

// consenting are the texts that give consent; the admission policy knows the same.
var consenting = regexp.MustCompile(`^(true|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$`)

// Consent reads a workload's annotation: "true" for at most one restart an hour, or a duration such as "15m".
func Consent(text string) (interval time.Duration, given bool) {
	if text == "true" {
		return hourly, true
	}
	interval, err := time.ParseDuration(text)
	if err != nil || interval <= 0 || !consenting.MatchString(text) {
		return 0, false
	}
	return max(interval, shortestInterval), true
}

// Restart is a decision on a workload.
type Restart struct {
	// Due is when it is to be restarted; zero where it is not.
	Due time.Time
	// Value is what its annotation is then.
	Value string
	// TooOften names the Secret whose credential lives too short for the workload to be restarted while the former one is still valid: it
	// is not restarted at all, as its pods would hold an expired one again and again. Empty where there is none.
	TooOften string
}

// DecideRestart decides when a workload that consents is to be restarted for the credentials that it reads. before is the value that its
// annotation has, created when the workload was. A workload that was never restarted is so once where it is not known what its pods hold.
func DecideRestart(before string, created time.Time, interval time.Duration, credentials []Credential, now time.Time) Restart {
	known, sum := parseMark(before), sumOf(credentials)
	for _, c := range credentials {
		if c.Lifetime > 0 && interval+longestWait > leftAtRenewal(c.Lifetime) {
			return Restart{TooOften: c.Secret}
		}
	}
	since := known.since(created, now)
	if known.sum == sum || !slices.ContainsFunc(credentials, func(c Credential) bool { return c.changedSince(since) }) {
		return Restart{} // nothing has changed, but perhaps for whom this is
	}
	var first, last time.Time
	for _, c := range credentials {
		if c.ObtainedAt.Before(since) {
			continue
		}
		if first.IsZero() || c.ObtainedAt.Before(first) {
			first = c.ObtainedAt
		}
		if c.ObtainedAt.After(last) {
			last = c.ObtainedAt
		}
	}
	due := now
	if !last.IsZero() {
		due = later(due, earlier(last.Add(quiet), first.Add(longestWait)))
	}
	if known.sum != "" {
		due = later(due, since.Add(interval))
	}
	return Restart{Due: due, Value: mark{at: later(due, now), sum: sum}.String()}
}

// leftAtRenewal is what is left of a lifetime when its credential is renewed, at least.
func leftAtRenewal(lifetime time.Duration) time.Duration { return lifetime / 3 }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
