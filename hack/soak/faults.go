package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// settle is how long before the end the last faults begin to be over.
	settle = 15 * time.Second
	// steadyLimit is how long two processes may take until one leads and the other is ready, on a busy machine.
	steadyLimit = 40 * time.Second
)

// fault is one kind of fault.
type fault struct {
	name string
	// inject does it and returns once its cause is over; the draw decides what is left open.
	inject func(ctx context.Context, s *soak, draw *rand.Rand) error
	// kill says that it kills a process.
	kill bool
}

// faultCounts counts faults by name.
type faultCounts struct {
	mu     sync.Mutex
	byName map[string]int
}

func (c *faultCounts) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byName[name]++
}

// total counts all, those that killed a process, and names the kinds that never came.
func (c *faultCounts) total() (all, kills int, absent []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range allFaults() {
		n := c.byName[f.name]
		all += n
		if f.kill {
			kills += n
		}
		if n == 0 {
			absent = append(absent, f.name)
		}
	}
	return all, kills, absent
}

func allFaults() []fault {
	return slices.Concat(leaderFaults, []fault{standbyFault}, giniFaults, clusterFaults)
}

// play lets faults of three sorts come at the same time, each sort one after the other, until the end is near. A fault that has begun
// is ended.
func (s *soak) play(ctx context.Context, end time.Time) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	beginning, cancel := context.WithDeadline(ctx, end.Add(-settle))
	defer cancel()
	var playing sync.WaitGroup
	for i, sort := range []func(*act) error{
		func(a *act) error { return s.playProcesses(ctx, a, end) },
		func(a *act) error { return s.rounds(ctx, a, giniFaults, time.Second, 5*time.Second) },
		func(a *act) error { return s.rounds(ctx, a, clusterFaults, time.Second, 5*time.Second) },
	} {
		draw := rand.New(rand.NewPCG(s.options.seed, uint64(i))) //nolint:gosec // repeatable on purpose
		playing.Go(func() {
			if err := sort(&act{draw: draw, over: beginning.Done()}); err != nil {
				fail(err) // the first one counts
			}
		})
	}
	playing.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return nil
}

// act is one sort of faults.
type act struct {
	draw *rand.Rand
	// over is closed when no more faults begin.
	over <-chan struct{}
}

// wait lets some time pass before the next fault; false where there is to be none.
func (a *act) wait(least, most time.Duration) bool {
	select {
	case <-a.over:
		return false
	case <-time.After(between(a.draw, least, most)):
		return true
	}
}

// rounds injects all kinds in a random order, again and again, until the act is over.
func (s *soak) rounds(ctx context.Context, a *act, kinds []fault, least, most time.Duration) error {
	for {
		for _, i := range a.draw.Perm(len(kinds)) {
			if !a.wait(least, most) {
				return nil
			}
			if err := s.inject(ctx, a, kinds[i]); err != nil {
				return err
			}
		}
	}
}

func (s *soak) inject(ctx context.Context, a *act, f fault) error {
	if err := f.inject(ctx, s, a.draw); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	s.faults.add(f.name)
	return nil
}

// between draws a duration.
func between(draw *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(draw.Int64N(int64(most-least)))
}

func pick[T any](draw *rand.Rand, from []T) T { return from[draw.IntN(len(from))] }
