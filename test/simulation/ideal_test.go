package simulation

import (
	"slices"
	"testing"
	"time"
)

// ideal is when a server would have begun with jobs that serves one after the other, at the client's limit, whenever it is open.
// due and closed are in order; the spans of closed may overlap.
func ideal(due []time.Time, closed []span, spacing time.Duration) []time.Time {
	begun := make([]time.Time, 0, len(due))
	var free time.Time
	for _, at := range due {
		if at.Before(free) {
			at = free
		}
		for len(closed) > 0 && !at.Before(closed[0].from) {
			if at.Before(closed[0].to) {
				at = closed[0].to
			}
			closed = closed[1:]
		}
		begun = append(begun, at)
		free = at.Add(spacing)
	}
	return begun
}

// compared is how jobs compare with the ideal.
type compared struct {
	// worst is the longest that one was done after it should have begun, and beyond the sum of what exceeds a grace.
	worst, beyond time.Duration
	// idle are the jobs that came when the server was open and had nothing to do, for as long as a grace.
	idle []job
}

// compare compares jobs with the ideal. It does not ask who is served, but how many are by when. What comes within a grace before the
// server closes may be begun too late.
func compare(jobs []job, closed []span, spacing, grace time.Duration) (c compared) {
	jobs = slices.SortedFunc(slices.Values(jobs), func(a, b job) int { return a.due.Compare(b.due) })
	due, done := make([]time.Time, len(jobs)), make([]time.Time, len(jobs))
	for i, job := range jobs {
		due[i], done[i] = job.due, job.done
	}
	slices.SortFunc(done, time.Time.Compare)
	sooner := make([]span, len(closed))
	for i, shut := range closed {
		sooner[i] = span{shut.from.Add(-grace), shut.to}
	}
	var busy time.Time
	for i, begun := range ideal(due, sooner, spacing) {
		late := done[i].Sub(begun)
		c.worst, c.beyond = max(c.worst, late), c.beyond+max(0, late-grace)
		if shut := func(s span) bool { return !s.from.After(due[i]) && s.to.Add(grace).After(due[i]) }; !slices.ContainsFunc(sooner, shut) &&
			begun.Equal(due[i]) && !due[i].Before(busy) {
			c.idle = append(c.idle, jobs[i])
		}
		if begun.After(due[i]) {
			busy = begun.Add(grace)
		}
	}
	return c
}

// busiest is the most that was done in any window of that width.
func busiest(done []time.Time, width time.Duration) (most int, at time.Time) {
	counts := map[int64]int{}
	for _, when := range done {
		window := int64(when.Sub(monday) / width)
		counts[window]++
		if counts[window] > most {
			most, at = counts[window], monday.Add(time.Duration(window)*width)
		}
	}
	return most, at
}

func TestIdeal(t *testing.T) {
	at := func(seconds ...int) []time.Time {
		var times []time.Time
		for _, second := range seconds {
			times = append(times, monday.Add(time.Duration(second)*time.Second))
		}
		return times
	}
	closed := func(seconds ...int) []span {
		times, spans := at(seconds...), []span{}
		for i := 0; i < len(times); i += 2 {
			spans = append(spans, span{times[i], times[i+1]})
		}
		return spans
	}
	for _, c := range []struct {
		name   string
		due    []time.Time
		closed []span
		want   []time.Time
	}{
		{"one by one", at(0, 10), nil, at(0, 10)},
		{"at the limit", at(0, 0, 1, 10), nil, at(0, 2, 4, 10)},
		{"closed", at(0, 5, 6), closed(4, 20), at(0, 20, 22)},
		{"closed meanwhile", at(0, 0, 0), closed(1, 20), at(0, 20, 22)},
		{"closed twice", at(0, 0, 0, 0), closed(1, 20, 21, 30), at(0, 20, 30, 32)},
		{"closed before anything is due", at(50), closed(1, 20, 10, 30), at(50)},
	} {
		if got := ideal(c.due, c.closed, 2*time.Second); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestCompare(t *testing.T) {
	at := func(seconds float64) time.Time { return monday.Add(time.Duration(seconds * float64(time.Second))) }
	// Two are due at once, and done in the other order; the third is late by 3 seconds, of which one is not excused.
	jobs := []job{{at(0), at(2.5)}, {at(0), at(0.5)}, {at(10), at(13)}}
	got := compare(jobs, nil, 2*time.Second, 2*time.Second)
	if got.worst != 3*time.Second || got.beyond != time.Second || len(got.idle) != 2 {
		t.Errorf("%+v", got)
	}
	shut := []span{{at(9), at(12.5)}}
	got = compare(jobs, shut, 2*time.Second, 2*time.Second)
	if got.worst != 500*time.Millisecond || got.beyond != 0 || len(got.idle) != 1 {
		t.Errorf("closed: %+v", got)
	}
	for i, want := range []time.Duration{2500 * time.Millisecond, 500 * time.Millisecond, 500 * time.Millisecond} {
		if late := jobs[i].open(append([]span{{at(-5), at(-1)}}, span{at(9), at(12)}, span{at(11), at(12.5)})); late != want {
			t.Errorf("job %d: %v while open, want %v", i, late, want)
		}
	}
}
