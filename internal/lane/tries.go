package lane

import (
	"slices"
	"time"
)

// tries are the last refusals of credentials at an endpoint since it accepted them, the newest last: no more than three in any hour, so that
// a wrong secret locks nobody out. Those that are one user's own count too: nobody knows then whether they are.
type tries [mostTries]time.Time

const (
	mostTries = 3
	perTries  = time.Hour
)

// add is the tries with one more.
func (t tries) add(at time.Time) tries { return tries{t[1], t[2], at} }

// nextTry is when the next try may be at the earliest; zero or in the past if it may be now. Tries of a time that has not come are of a clock
// that was set back since: nobody knows when they were.
func nextTry(now time.Time, each ...tries) time.Time {
	var all []time.Time
	for _, of := range each {
		for _, at := range of {
			if !at.IsZero() && !at.After(now) {
				all = append(all, at)
			}
		}
	}
	if len(all) < mostTries {
		return time.Time{}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all[len(all)-mostTries].Add(perTries)
}
