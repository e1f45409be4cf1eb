package renewal_test

import (
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/renewal"
)

// fresh is a Secret that holds what is wanted, with a token of an hour from noon.
func fresh() renewal.Held {
	return renewal.Held{Exists: true, Readable: true, Token: living(time.Hour), IssuedFor: "acme.alice", RefreshHandled: "yesterday"}
}

func wanted() renewal.Wanted {
	return renewal.Wanted{IssuedFor: "acme.alice", RefreshRequested: "yesterday"}
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*renewal.Held, *renewal.Wanted)
		after  time.Duration // since noon
		want   renewal.Cause
	}{
		{"nothing to do", nil, 0, ""},
		{"no Secret", func(h *renewal.Held, _ *renewal.Wanted) { *h = renewal.Held{} }, 0, renewal.SecretMissing},
		{"unreadable", func(h *renewal.Held, _ *renewal.Wanted) { h.Readable = false }, 0, renewal.RecordUnreadable},
		{"issued for another", func(h *renewal.Held, _ *renewal.Wanted) { h.IssuedFor = "acme.bob" }, 0, renewal.IssuedForAnother},
		{"issued for nobody", func(h *renewal.Held, _ *renewal.Wanted) { h.IssuedFor = "" }, 0, renewal.IssuedForAnother},
		{"issued by another", func(h *renewal.Held, w *renewal.Wanted) { h.IssuedBy, w.IssuedBy = "key-1", "key-2" }, 0, renewal.IssuedByAnother},
		{"issued by nobody", func(_ *renewal.Held, w *renewal.Wanted) { w.IssuedBy = "key-1" }, 0, renewal.IssuedByAnother},
		{"issued by whom it should", func(h *renewal.Held, w *renewal.Wanted) { h.IssuedBy, w.IssuedBy = "key-1", "key-1" }, 0, ""},
		{
			"issued by another, and its time", func(_ *renewal.Held, w *renewal.Wanted) { w.IssuedBy = "key-1" }, 40 * time.Minute,
			renewal.RefreshTimeReached, // which does not wait for its turn
		},
		{"tampered", func(h *renewal.Held, _ *renewal.Wanted) { h.Tampered = true }, 0, renewal.TokenTampered},
		{"refresh requested", func(_ *renewal.Held, w *renewal.Wanted) { w.RefreshRequested = "today" }, 0, renewal.RefreshRequested},
		{"the request is taken back", func(_ *renewal.Held, w *renewal.Wanted) { w.RefreshRequested = "" }, 0, ""},
		{"never requested", func(h *renewal.Held, w *renewal.Wanted) { h.RefreshHandled, w.RefreshRequested = "", "" }, 0, ""},
		{"requested for the first time", func(h *renewal.Held, _ *renewal.Wanted) { h.RefreshHandled = "" }, 0, renewal.RefreshRequested},
		{"ended early", func(h *renewal.Held, _ *renewal.Wanted) { h.EndedEarly = true }, 0, renewal.TokenEndedEarly},
		{"ends before it began", func(h *renewal.Held, _ *renewal.Wanted) { h.Token.EndsBy = noon.Add(-second) }, 0, renewal.ClockSteppedBack},
		{"the moment before its time", nil, 40*time.Minute - time.Millisecond, ""},
		{"its time", nil, 40 * time.Minute, renewal.RefreshTimeReached},
		{"long expired", nil, 24 * 365 * time.Hour, renewal.RefreshTimeReached},
		{"sticky, expired but not certainly ended", func(_ *renewal.Held, w *renewal.Wanted) { w.Policy.Sticky = true }, time.Hour, ""},
		{"sticky, ended", func(_ *renewal.Held, w *renewal.Wanted) { w.Policy.Sticky = true }, time.Hour + 2*second, renewal.RefreshTimeReached},
		// A clock that was corrected a little is no reason to log in; one that was set back is.
		{"clock 5 s back", nil, -5 * second, ""},
		{"clock 6 s back", nil, -6 * second, renewal.ClockSteppedBack},
		{"clock an hour back", nil, -time.Hour, renewal.ClockSteppedBack},
		{"clock a year back", nil, -year, renewal.ClockSteppedBack},
		{"sticky, clock a year back", func(_ *renewal.Held, w *renewal.Wanted) { w.Policy.Sticky = true }, -year, renewal.ClockSteppedBack},
		{"clock an hour forward", nil, time.Hour, renewal.RefreshTimeReached},
		{"clock a year forward", nil, year, renewal.RefreshTimeReached},
	} {
		t.Run(c.name, func(t *testing.T) {
			held, want := fresh(), wanted()
			if c.change != nil {
				c.change(&held, &want)
			}
			now := noon.Add(c.after)
			verdict := renewal.Decide(held, want, now)
			if verdict.Cause != c.want || verdict.Due() != (c.want != "") {
				t.Fatalf("cause %q, due %v; want %q", verdict.Cause, verdict.Due(), c.want)
			}
			at := now
			if c.want == "" {
				at = renewal.RefreshAt(held.Token, want.Policy)
			}
			if !verdict.At.Equal(at) {
				t.Errorf("at %v, want %v", verdict.At, at)
			}
		})
	}
}

// TestDecideOrder: where several causes hold, the one is told that says most.
func TestDecideOrder(t *testing.T) {
	causes := []struct {
		cause renewal.Cause
		cure  func(*renewal.Held, *renewal.Wanted, *time.Time)
	}{
		{renewal.SecretMissing, func(h *renewal.Held, _ *renewal.Wanted, _ *time.Time) { h.Exists = true }},
		{renewal.RecordUnreadable, func(h *renewal.Held, _ *renewal.Wanted, _ *time.Time) { h.Readable = true }},
		{renewal.IssuedForAnother, func(h *renewal.Held, w *renewal.Wanted, _ *time.Time) { h.IssuedFor = w.IssuedFor }},
		{renewal.TokenTampered, func(h *renewal.Held, _ *renewal.Wanted, _ *time.Time) { h.Tampered = false }},
		{renewal.RefreshRequested, func(h *renewal.Held, w *renewal.Wanted, _ *time.Time) { h.RefreshHandled = w.RefreshRequested }},
		{renewal.TokenEndedEarly, func(h *renewal.Held, _ *renewal.Wanted, _ *time.Time) { h.EndedEarly = false }},
		{renewal.ClockSteppedBack, func(h *renewal.Held, _ *renewal.Wanted, _ *time.Time) { h.Token.EndsBy = h.Token.ExpiresAt }},
		{renewal.RefreshTimeReached, func(_ *renewal.Held, _ *renewal.Wanted, now *time.Time) { *now = noon }},
		{renewal.IssuedByAnother, func(h *renewal.Held, w *renewal.Wanted, _ *time.Time) { h.IssuedBy = w.IssuedBy }},
	}
	// All at once: each of them is seen when those before it are cured.
	held := renewal.Held{IssuedFor: "acme.bob", Tampered: true, EndedEarly: true, Token: living(time.Hour)}
	held.Token.EndsBy = noon.Add(-second)
	want, now := renewal.Wanted{IssuedFor: "acme.alice", IssuedBy: "key-1", RefreshRequested: "today"}, noon.Add(50*time.Minute)
	for _, next := range causes {
		if got := renewal.Decide(held, want, now); got.Cause != next.cause {
			t.Fatalf("cause %q, want %q", got.Cause, next.cause)
		}
		next.cure(&held, &want, &now)
	}
	if got := renewal.Decide(held, want, now); got.Due() {
		t.Errorf("all cured, and yet %q", got.Cause)
	}
}

// TestSteppedClockSettles: whatever a step of the clock causes, one renewal is enough, and the next is planned as ever (R11.3).
func TestSteppedClockSettles(t *testing.T) {
	for _, step := range []time.Duration{-year, -time.Hour, -6 * second, -second, second, time.Hour, year} {
		for _, sticky := range []bool{false, true} {
			want := wanted()
			want.Policy.Sticky = sticky
			now := noon.Add(10*time.Minute + step)
			renewals := 0
			for held := fresh(); ; renewals++ {
				verdict := renewal.Decide(held, want, now)
				if !verdict.Due() {
					if ahead := verdict.At.Sub(now); ahead <= 0 || ahead > time.Hour+2*second {
						t.Errorf("step %v: planned %v ahead", step, ahead)
					}
					break
				}
				held.Token = renewal.NewToken(now, now, time.Hour, true)
			}
			if renewals > 1 {
				t.Errorf("step %v, sticky %v: %d renewals", step, sticky, renewals)
			}
		}
	}
}

func TestVerifyAt(t *testing.T) {
	token := living(12 * time.Hour)
	const never = -time.Minute // before the token
	for _, c := range []struct {
		name            string
		interval        time.Duration
		spread          float64
		verified, after time.Duration
		at              time.Duration
	}{
		{"before the first", time.Hour, 0.5, never, 29 * time.Minute, 30 * time.Minute},
		{"the first is due", time.Hour, 0.5, never, 30 * time.Minute, 30 * time.Minute},
		{"the first is late", time.Hour, 0.5, never, 80 * time.Minute, 30 * time.Minute},
		{"the first is done", time.Hour, 0.5, 30 * time.Minute, 30 * time.Minute, 90 * time.Minute},
		{"done late", time.Hour, 0.5, 80 * time.Minute, 81 * time.Minute, 90 * time.Minute},
		{"the second is due", time.Hour, 0.5, 80 * time.Minute, 90 * time.Minute, 90 * time.Minute},
		{"missed ones are one", time.Hour, 0.5, 30 * time.Minute, 11 * time.Hour, 10*time.Hour + 30*time.Minute},
		{"one within the tolerance of the clock", time.Hour, 0.5, 30*time.Minute + 4*second, 30 * time.Minute, 90 * time.Minute},
		{"without spread a new token is not verified at once", time.Hour, 0, never, 0, time.Hour},
		{"verified before the clock was set back", time.Hour, 0.5, year, 40 * time.Minute, 30 * time.Minute},
		{"clock an hour back", time.Hour, 0.25, never, -time.Hour, 15 * time.Minute},
		{"clock a year back", time.Hour, 0.25, never, -year, 15 * time.Minute},
		{"clock a year forward", time.Hour, 0, never, year, year},
		{"ten years apart", 10 * year, 0.1, year, year, 11 * year},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := renewal.VerifyAt(token, c.interval, c.spread, noon.Add(c.verified), noon.Add(c.after))
			if got := at.Sub(noon); (got - c.at).Abs() > time.Microsecond {
				t.Errorf("after %v, want %v", got, c.at)
			}
		})
	}
}

// TestVerificationOncePerInterval: a walk that looks every 10 seconds verifies an interval apart, and at once after it could not look.
func TestVerificationOncePerInterval(t *testing.T) {
	const interval = 7 * time.Minute
	token, verified, count := living(12*time.Hour), time.Time{}, 0
	for now := noon; now.Before(noon.Add(12 * time.Hour)); now = now.Add(10 * second) {
		if now.Equal(noon.Add(6 * time.Hour)) {
			now = now.Add(time.Hour) // asleep
			if !renewal.VerifyAt(token, interval, 0.3, verified, now).Before(now) {
				t.Fatal("what fell into the sleep is not due after it")
			}
		}
		at := renewal.VerifyAt(token, interval, 0.3, verified, now)
		if at.After(now) {
			continue
		}
		if now.Sub(at) >= interval {
			t.Fatalf("due since %v, which is more than one interval", now.Sub(at))
		}
		verified, count = now.Add(second), count+1 // as a status does that holds whole seconds
	}
	if count < 90 || count > 103 {
		t.Errorf("%d verifications in 12 hours, one of which was slept through", count)
	}
}
