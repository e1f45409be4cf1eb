package simulation

import (
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// monday is when the simulated week begins.
var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// wallClock is the wall clock of a synctest bubble, whose time passes at once where everybody waits. It differs from the bubble's own
// by what the machine was suspended for: that passes by the wall, and by no timer.
type wallClock struct {
	clock.RealClock
	ahead atomic.Int64
}

func newWallClock() *wallClock {
	c := &wallClock{}
	c.ahead.Store(int64(time.Until(monday)))
	return c
}

// Now implements clock.PassiveClock.
func (c *wallClock) Now() time.Time {
	return time.Now().Round(0).Add(time.Duration(c.ahead.Load())).UTC()
}

// Since implements clock.PassiveClock.
func (c *wallClock) Since(past time.Time) time.Duration { return c.Now().Sub(past) }

// suspend lets time pass while the machine sleeps.
func (c *wallClock) suspend(duration time.Duration) { c.ahead.Add(int64(duration)) }

// until waits for an instant of the wall clock.
func (c *wallClock) until(at time.Time) { time.Sleep(at.Sub(c.Now())) }

// span is a stretch of time.
type span struct{ from, to time.Time }

func (s span) holds(at time.Time) bool { return !at.Before(s.from) && at.Before(s.to) }
