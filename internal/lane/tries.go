package lane

import "time"

// tries are the last refusals of credentials at an endpoint, the newest last: no more than three in any hour, so that a wrong secret locks
// nobody out.
type tries [mostTries]time.Time

const (
	mostTries   = 3
	triesWithin = time.Hour
)

// add is the tries with one more.
func (t tries) add(at time.Time) tries { return tries{t[1], t[2], at} }

// merged are the newest of two endpoints' tries.
func (t tries) merged(other tries) tries {
	all := t
	for _, at := range other {
		for i := mostTries - 1; i >= 0; i-- {
			if !all[i].Before(at) {
				continue
			}
			copy(all[:i], all[1:i+1])
			all[i] = at
			break
		}
	}
	return all
}

// next is when the next try may be at the earliest; in the past where it may be now.
func (t tries) next() time.Time {
	if t[0].IsZero() {
		return time.Time{}
	}
	return t[0].Add(triesWithin)
}
