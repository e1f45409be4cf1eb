package target

import "time"

const (
	// patience is how many repairs of one Secret are made at once within calm.
	patience = 3
	// calm is how long a Secret must stay as it was written for earlier repairs to be forgotten.
	calm = 10 * time.Minute
	// firstPause and longestPause bound the pauses between later repairs.
	firstPause   = 15 * time.Second
	longestPause = 5 * time.Minute
)

// Contention counts the repairs of one Secret, to tell an accident from a writer that keeps fighting. The zero value is calm.
type Contention struct {
	repairs int
	last    time.Time
}

// Ended returns the contention as it stands at now: calm again after a while without repairs.
func (c Contention) Ended(now time.Time) bool {
	return c.repairs == 0 || now.Sub(c.last) > calm || now.Before(c.last)
}

// NotBefore is when the next repair may be made.
func (c Contention) NotBefore(now time.Time) time.Time {
	if c.Ended(now) || c.repairs < patience {
		return now
	}
	pause := firstPause << min(c.repairs-patience, 8)
	return c.last.Add(min(pause, longestPause))
}

// Fought reports whether a writer keeps fighting.
func (c Contention) Fought(now time.Time) bool { return !c.Ended(now) && c.repairs >= patience }

// Repaired counts a repair at now.
func (c Contention) Repaired(now time.Time) Contention {
	if c.Ended(now) {
		c.repairs = 0
	}
	return Contention{repairs: c.repairs + 1, last: now}
}
