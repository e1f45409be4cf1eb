package target

import (
	"testing"
	"time"
)

// TestContention: three repairs at once, then after growing pauses, until a calm of ten minutes (R1.10).
func TestContention(t *testing.T) {
	var c Contention
	if !c.Ended(noon) || c.Fought(noon) || !c.NotBefore(noon).Equal(noon) {
		t.Fatalf("at first %+v", c)
	}
	now := noon
	for i := range 3 {
		if at := c.NotBefore(now); !at.Equal(now) || c.Fought(now) {
			t.Fatalf("repair %d: not before %v, fought %v", i, at.Sub(now), c.Fought(now))
		}
		c = c.Repaired(now)
		now = now.Add(time.Second)
	}
	for i, pause := range []time.Duration{15, 30, 60, 120, 240, 300, 300, 300, 300, 300, 300, 300} {
		pause *= time.Second
		last := now.Add(-time.Second)
		if at := c.NotBefore(now); at.Sub(last) != pause || !c.Fought(now) {
			t.Fatalf("repair %d: %v after the last, want %v; fought %v", i+3, at.Sub(last), pause, c.Fought(now))
		}
		now = last.Add(pause)
		c = c.Repaired(now)
		now = now.Add(time.Second)
	}
	last := now.Add(-time.Second)
	if c.Ended(last.Add(10*time.Minute)) || !c.Fought(last.Add(10*time.Minute)) {
		t.Error("forgotten within ten minutes")
	}
	calm := last.Add(10*time.Minute + 1)
	if !c.Ended(calm) || c.Fought(calm) || !c.NotBefore(calm).Equal(calm) {
		t.Error("not forgotten after ten minutes")
	}
	if c = c.Repaired(calm); c.Fought(calm) || !c.NotBefore(calm).Equal(calm) {
		t.Errorf("after the calm it does not start over: %+v", c)
	}
}

// TestContentionClockSetBack: no pause of a year where the clock is set back by one.
func TestContentionClockSetBack(t *testing.T) {
	var c Contention
	for range 5 {
		c = c.Repaired(noon)
	}
	for _, back := range []time.Duration{time.Second, time.Hour, 365 * 24 * time.Hour} {
		if now := noon.Add(-back); c.Fought(now) || !c.NotBefore(now).Equal(now) {
			t.Errorf("%v back: not before %v", back, c.NotBefore(now).Sub(now))
		}
	}
}
