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
	// First: a new user without any credential.
	First = 30
	// Urgent: two thirds of the time between the planned renewal and the expiry are over.
	Urgent = 20
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
}

// Pick is a user to reconcile.
type Pick struct {
	Key      types.NamespacedName
	After    time.Duration
	Priority int
	// Due is when something is to be done.
	Due time.Time
}

// picks walks the users to hand over.
func picks(entries iter.Seq[Entry], now time.Time, room func(client types.NamespacedName) int) iter.Seq[Pick] {
	due := map[types.NamespacedName][]Pick{}
	for entry := range entries {
		if pick, ok := Due(entry, now, Interval); ok {
			due[entry.Client] = append(due[entry.Client], pick)
		}
	}
	return func(yield func(Pick) bool) {
		for client, candidates := range due {
			slices.SortFunc(candidates, func(a, b Pick) int {
				return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.Due.Compare(b.Due))
			})
			for _, pick := range candidates[:min(len(candidates), max(1, room(client)))] {
				if !yield(pick) {
					return
				}
			}
		}
	}
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
	return Pick{Key: entry.Key, After: after, Priority: Priority(entry, now.Add(after)), Due: entry.DueAt}, true
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
