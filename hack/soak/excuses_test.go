package main

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// s is so many seconds after noon.
func s(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func TestDeadline(t *testing.T) {
	list := spans{
		{cause: leaderless, from: s(10), to: s(14), grace: 2 * time.Second},
		{cause: outage, from: s(15), to: s(20), grace: 4 * time.Second},
	}
	for _, tt := range []struct {
		name         string
		due, allowed float64
		want         float64
	}{
		{"nothing lasts", 1, 3, 4},
		{"all over", 24, 3, 27},
		{"what is over before it is due gives no time", 20, 3, 23},
		{"what begins in the time", 8, 3, 24},    // 14 + 3, within which the outage lasts: 20 + 4
		{"what lasts when it is due", 16, 5, 25}, // all of the allowance is left, as it is longer than the grace
		{"what begins later", 5, 3, 8},
	} {
		if got := list.deadline(s(tt.due), time.Duration(tt.allowed*float64(time.Second))); !got.Equal(s(tt.want)) {
			t.Errorf("%s: %s after noon instead of %v s", tt.name, got.Sub(noon), tt.want)
		}
	}
}

func TestExcusedInstants(t *testing.T) {
	list := spans{
		{cause: edited, from: s(1), to: s(1), grace: 5 * time.Second},
		{cause: leaderless, from: s(10), to: s(14), grace: 2 * time.Second},
		{cause: edited, from: s(9), to: s(9), grace: 5 * time.Second},
	}
	for at, want := range map[float64]cause{
		0.9: "", 1: edited, 6: edited, 6.1: "", 8.9: "", 9: edited, 10: leaderless, 16: leaderless,
		19: edited, 19.1: "", // five seconds after there is a leader again
	} {
		if got := list.at(s(at)); got != want {
			t.Errorf("%v: %q instead of %q", at, got, want)
		}
	}
}

func TestExcusedDelays(t *testing.T) {
	list := spans{{cause: outage, from: s(10), to: s(20), grace: 3 * time.Second}}
	for _, tt := range []struct {
		due, done float64
		want      cause
		excused   bool
	}{
		{8, 23, outage, true},
		{8, 23.1, "", false},
		{1, 5, "", false},  // nothing was the matter
		{20, 22, "", true}, // in time
		{20, 22.1, "", false},
	} {
		got, excused := list.between(s(tt.due), s(tt.done), 2*time.Second)
		if got != tt.want || excused != tt.excused {
			t.Errorf("%v to %v: %q, %v", tt.due, tt.done, got, excused)
		}
	}
}

// TestExcusesOfADevice: an excuse concerns whom it says, and one that waits for an answer is over with that.
func TestExcusesOfADevice(t *testing.T) {
	alice, bob := &device{secret: "alice"}, &device{secret: "bob"}
	var x excuses
	end := x.begin(excuse{cause: outage, concerns: func(d *device) bool { return d == alice },
		answered: func(_ *device, ended time.Time) time.Time { return ended.Add(3 * time.Second) }}, s(1))
	end(s(2))
	end(s(9)) // it is over already
	x.begin(excuse{cause: leaderless}, s(4))
	x.conclude(s(6))
	if list := x.of(bob); len(list) != 1 || list[0].cause != leaderless || !list[0].to.Equal(s(6)) {
		t.Errorf("%+v", list)
	}
	if list := x.of(alice); len(list) != 2 || !list[0].to.Equal(s(5)) {
		t.Errorf("%+v", list)
	}
}
