// Package agenda says who is next: a sweep over all cached users, most urgent first. It remembers nothing, so it forgets nobody.
package agenda

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Priorities in the work queue, the most urgent highest. There are few of them, as each is a label of a metric.
const (
	// Expired: the token has expired, or there is none though there was one.
	Expired = 40
	// Urgent: two thirds of the time between the planned renewal and the expiry are over.
	Urgent = 30
	// First: a new user without any credential: before all renewals that are not urgent, and after those that are, as a bulk
	// of new users would else let tokens expire.
	First = 20
	// Rest: everything else.
	Rest = 10
)

// Entry is what the sweep knows of a user.
type Entry struct {
	Key types.NamespacedName
	// Client is the GiniClient that the user belongs to.
	Client types.NamespacedName
	// New is whether the user has no credential yet.
	New bool
	// DueAt is when something is to be done; zero where nothing is, until something changes.
	DueAt time.Time
	// ExpiresAt is when the token expires; zero where none does.
	ExpiresAt time.Time
	// Told is whether the status says already that something is wrong.
	Told bool
}

// Pick is a user to reconcile.
type Pick struct {
	Key      types.NamespacedName
	After    time.Duration
	Priority int
	// Due is when something is to be done.
	Due time.Time

	told bool
}

// picks walks the users to hand over: of each client as many as there is room for, first those that have not been told of
// trouble, the most urgent first. Whoever has not been told that its token has expired comes in any case: its status is wrong.
func picks(entries iter.Seq[Entry], now time.Time, room func(client types.NamespacedName) int) iter.Seq[Pick] {
	due := map[types.NamespacedName][]Pick{}
	var wrong []Pick
	for entry := range entries {
		pick, ok := Due(entry, now, Interval)
		switch {
		case !ok:
		case !pick.told && !entry.ExpiresAt.IsZero() && !now.Before(entry.ExpiresAt):
			wrong = append(wrong, pick)
		default:
			due[entry.Client] = append(due[entry.Client], pick)
		}
	}
	return func(yield func(Pick) bool) {
		for _, pick := range wrong {
			if !yield(pick) {
				return
			}
		}
		for client, candidates := range due {
			slices.SortFunc(candidates, Pick.compare)
			for _, pick := range candidates[:min(len(candidates), max(1, room(client)))] {
				if !yield(pick) {
					return
				}
			}
		}
	}
}

// compare sorts the most urgent first, after them those that know already that something is wrong.
func (p Pick) compare(other Pick) int {
	told := 0
	switch {
	case p.told && !other.told:
		told = 1
	case other.told && !p.told:
		told = -1
	}
	return cmp.Or(told, cmp.Compare(other.Priority, p.Priority), p.Due.Compare(other.Due))
}

// Due picks from a user's entry whether, when and how urgently it is to be reconciled before the horizon, which is when the next sweep comes.
func Due(entry Entry, now time.Time, horizon time.Duration) (Pick, bool) {
	if entry.DueAt.IsZero() {
		return Pick{}, false
	}
	after := max(0, entry.DueAt.Sub(now))
	if after >= horizon {
		return Pick{}, false
	}
	return Pick{Key: entry.Key, After: after, Priority: Priority(entry, now.Add(after)), Due: entry.DueAt, told: entry.Told}, true
}

// Priority is how urgent a user is at an instant.
func Priority(entry Entry, at time.Time) int {
	switch {
	case entry.New:
		return First
	case entry.ExpiresAt.IsZero():
		return Rest
	case !at.Before(entry.ExpiresAt):
		return Expired
	case !entry.DueAt.IsZero() && at.After(entry.DueAt.Add(entry.ExpiresAt.Sub(entry.DueAt)*2/3)):
		return Urgent
	default:
		return Rest
	}
}
