package lane

import (
	"context"
	"sync"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// Limiter spaces out the requests of one client, on an injected clock, and lets only an operator that leads send them.
type Limiter struct {
	clock clock.Clock
	leads func(context.Context) error

	mu      sync.Mutex
	limiter *rate.Limiter
}

func newLimiter(ratePerSecond int, clk clock.Clock, leads func(context.Context) error) *Limiter {
	return &Limiter{clock: clk, leads: leads, limiter: rate.NewLimiter(rate.Limit(ratePerSecond), max(1, ratePerSecond))}
}

func (l *Limiter) set(ratePerSecond int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limiter.Limit() == rate.Limit(ratePerSecond) {
		return
	}
	l.limiter.SetLimitAt(l.clock.Now(), rate.Limit(ratePerSecond))
	l.limiter.SetBurstAt(l.clock.Now(), max(1, ratePerSecond))
}

// Wait blocks until the next request may be sent, or the context ends.
func (l *Limiter) Wait(ctx context.Context) error {
	if err := l.space(ctx); err != nil {
		return err
	}
	return l.leads(ctx) // last: the process may have been frozen meanwhile
}

func (l *Limiter) space(ctx context.Context) error {
	l.mu.Lock()
	now := l.clock.Now()
	reservation := l.limiter.ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	l.mu.Unlock()
	if delay == 0 {
		return ctx.Err()
	}
	timer := l.clock.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		reservation.CancelAt(l.clock.Now())
		return ctx.Err()
	}
}
