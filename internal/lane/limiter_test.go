package lane_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/lane"
)

// waiting begins to wait, and returns for how long, and what becomes of it.
func waiting(ctx context.Context, t *testing.T, o *operator, limiter *lane.Limiter) (time.Duration, <-chan error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- limiter.Wait(ctx) }()
	return <-o.clock.timers, done
}

func pass(t *testing.T, limiter *lane.Limiter, n int) {
	t.Helper()
	for i := range n {
		if err := limiter.Wait(t.Context()); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
}

// TestLimiter: a second's worth at once, and then one after the other at the rate.
func TestLimiter(t *testing.T) {
	o := stepped(t)
	limiter := o.lane("acme", 4).Limiter() // 5 a second
	pass(t, limiter, 5)
	first, firstDone := waiting(t.Context(), t, o, limiter)
	second, secondDone := waiting(t.Context(), t, o, limiter)
	if first != 200*time.Millisecond || second != 400*time.Millisecond {
		t.Errorf("wait for %v and %v", first, second)
	}
	o.clock.Step(200 * time.Millisecond)
	if err := <-firstDone; err != nil {
		t.Error(err)
	}
	select {
	case err := <-secondDone:
		t.Error("the second went with the first", err)
	default:
	}
	o.clock.Step(200 * time.Millisecond)
	if err := <-secondDone; err != nil {
		t.Error(err)
	}
	// A pause makes up for what was used, and for no more.
	o.clock.Step(time.Hour)
	pass(t, limiter, 5)
	wait, done := waiting(t.Context(), t, o, limiter)
	if wait != 200*time.Millisecond {
		t.Errorf("wait for %v", wait)
	}
	o.clock.Step(wait)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestLimiterCancel: whoever gives up leaves its place to the next.
func TestLimiterCancel(t *testing.T) {
	o := stepped(t)
	limiter := o.lane("acme", 4).Limiter()
	pass(t, limiter, 5)
	ctx, cancel := context.WithCancel(t.Context())
	_, done := waiting(ctx, t, o, limiter)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	wait, next := waiting(t.Context(), t, o, limiter)
	if wait != 200*time.Millisecond {
		t.Errorf("the next waits for %v", wait)
	}
	o.clock.Step(wait)
	if err := <-next; err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	o.clock.Step(time.Hour)
	if err := limiter.Wait(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("sent with a context that had ended: %v", err)
	}
}

// TestLimiterChange: another spec.requests holds from the next request on; the same one changes nothing.
func TestLimiterChange(t *testing.T) {
	o := stepped(t)
	client := o.lane("acme", 4)
	pass(t, client.Limiter(), 5)
	o.lane("acme", 4)
	if wait, _ := waiting(t.Context(), t, o, client.Limiter()); wait != 200*time.Millisecond {
		t.Errorf("wait for %v", wait)
	}
	o.clock.Step(time.Minute)
	faster := o.For("acme", key("acme"), lane.Limits{RatePerSecond: 100, MaxInFlight: 4})
	if faster.Limiter() != client.Limiter() {
		t.Fatal("another limiter")
	}
	o.clock.Step(time.Minute)
	pass(t, client.Limiter(), 100)
	if wait, _ := waiting(t.Context(), t, o, client.Limiter()); wait != 10*time.Millisecond {
		t.Errorf("wait for %v", wait)
	}
	o.clock.Step(time.Minute)
	o.For("acme", key("acme"), lane.Limits{RatePerSecond: 1, MaxInFlight: 4})
	o.clock.Step(time.Minute)
	pass(t, client.Limiter(), 1)
	if wait, _ := waiting(t.Context(), t, o, client.Limiter()); wait != time.Second {
		t.Errorf("wait for %v", wait)
	}
	o.clock.Step(time.Minute)
}

// TestLimiterOfOneThatDoesNotLead: it is asked last, as whoever waits for a turn may be frozen meanwhile.
func TestLimiterOfOneThatDoesNotLead(t *testing.T) {
	o := stepped(t)
	notLeading := errors.New("not leading")
	asked := 0
	o.Lanes = lane.New(lane.Options{Clock: o.clock, Queue: o, Inline: true, Leads: func(context.Context) error { asked++; return notLeading }})
	limiter := o.lane("acme", 4).Limiter() // 5 a second
	for range 5 {
		if err := limiter.Wait(t.Context()); !errors.Is(err, notLeading) {
			t.Error(err)
		}
	}
	wait, done := waiting(t.Context(), t, o, limiter)
	if asked != 5 {
		t.Errorf("asked %d times, before the turn had come", asked)
	}
	o.clock.Step(wait)
	if err := <-done; !errors.Is(err, notLeading) {
		t.Error(err)
	}
}
