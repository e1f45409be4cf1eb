package main

import (
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// leadsFrom lets a process lead from an instant, as followLease does.
func (o *operators) leadsFrom(p *process, at time.Time) {
	if o.regained != nil {
		o.without, o.longest = o.leaderless(at)
		o.regained(at)
	}
	o.leader, o.regained = p, nil
}

// TestNobodyLeadsAtTheEnd: time without a leader counts that nobody has ended.
func TestNobodyLeadsAtTheEnd(t *testing.T) {
	a, b := &process{name: "a"}, &process{name: "b"}
	o := operators{excuses: &excuses{}}
	expect := func(at float64, without, longest time.Duration) {
		t.Helper()
		if w, l := o.leaderless(s(at)); w != without || l != longest {
			t.Errorf("at %v: %s and %s instead of %s and %s", at, w, l, without, longest)
		}
	}
	expect(1, 0, 0) // nobody has led yet: the soak has not begun
	o.leadsFrom(a, s(2))
	o.lose(b, s(3)) // which does not lead
	expect(9, 0, 0)
	o.lose(a, s(10))
	expect(14, 4*time.Second, 4*time.Second)
	o.leadsFrom(b, s(15))
	expect(40, 5*time.Second, 5*time.Second)
	o.lose(b, s(50))
	expect(70, 25*time.Second, 20*time.Second)
	expect(49, 5*time.Second, 5*time.Second) // it was lost after the end
	if w, l := o.leaderless(s(70)); w != 25*time.Second || l <= leaderlessBound {
		t.Errorf("the verdict is good: %s, %s", w, l)
	}
	// Time without an API server counts in the sum alone.
	o.seesNothing(s(52))
	expect(58, 13*time.Second, 5*time.Second)
	o.seesAgain(s(60))
	expect(70, 25*time.Second, 10*time.Second)
}

// TestExplainedEnds: what no fault explains is a crash, and a fault explains only what may come of it.
func TestExplainedEnds(t *testing.T) {
	gaveUp := ending{status: gaveUp}
	never := func(*operators, *process) {}
	asked := func(signal syscall.Signal) func(*operators, *process) {
		return func(_ *operators, p *process) { p.asked = signal }
	}
	thawed := func(_ *operators, p *process) { p.thawed = s(20) }
	away := func(o *operators, _ *process) {
		o.seesNothing(s(5))
		o.seesAgain(s(6))
		o.seesNothing(s(10))
		o.seesAgain(s(20))
	}
	for _, tt := range []struct {
		name  string
		how   ending
		at    float64
		fault func(*operators, *process)
		fine  bool
	}{
		{"it gave up for no reason", gaveUp, 20, never, false},
		{"it ended well for no reason", ending{}, 20, never, false},
		{"somebody's SIGKILL", ending{signal: syscall.SIGKILL}, 20, never, false},
		{"it panicked", ending{status: 2}, 20, never, false},

		{"our SIGKILL", ending{signal: syscall.SIGKILL}, 20, asked(syscall.SIGKILL), true},
		{"our SIGTERM", ending{}, 20, asked(syscall.SIGTERM), true},
		{"our SIGTERM, and somebody's SIGKILL", ending{signal: syscall.SIGKILL}, 20, asked(syscall.SIGTERM), false},
		{"our SIGTERM, for which it is not prepared", ending{signal: syscall.SIGTERM}, 20, asked(syscall.SIGTERM), false},
		{"our SIGTERM, and it gave up", gaveUp, 20, asked(syscall.SIGTERM), false},
		{"our SIGTERM, and it panicked", ending{status: 2}, 20, asked(syscall.SIGTERM), false},
		{"our SIGKILL, before which it gave up", gaveUp, 20, asked(syscall.SIGKILL), false},

		{"frozen", gaveUp, 20, func(_ *operators, p *process) { p.frozen = true }, true},
		{"frozen before", gaveUp, 25, thawed, true},
		{"frozen long before", gaveUp, 25.1, thawed, false},
		{"frozen, and it panicked", ending{status: 2}, 21, thawed, false},
		{"frozen, and somebody's SIGKILL", ending{signal: syscall.SIGKILL}, 21, thawed, false},
		{"frozen, and it ended well", ending{}, 21, thawed, false},

		{"before the API server went away", gaveUp, 4.9, away, false},
		{"without an API server", gaveUp, 15, away, true},
		{"the API server was away before", gaveUp, 25, away, true},
		{"the API server was away long before", gaveUp, 25.1, away, false},
		{"without an API server, and it panicked", ending{status: 2}, 15, away, false},
		{"without an API server until the end", gaveUp, 99, func(o *operators, _ *process) { o.seesNothing(s(10)) }, true},
	} {
		o, p := &operators{}, &process{name: "a", started: noon, resumed: noon}
		tt.fault(o, p)
		if why := o.explain(p, tt.how, s(tt.at)); (why != "") != tt.fine {
			t.Errorf("%s: %q", tt.name, why)
		}
	}
	// Another process' frost is no reason.
	o, b := &operators{places: map[string]*process{"a": {frozen: true, thawed: s(20)}}}, &process{name: "b"}
	if why := o.explain(b, gaveUp, s(21)); why != "" {
		t.Error(why)
	}
}

func TestEndings(t *testing.T) {
	for script, want := range map[string]ending{
		"exit 0": {}, "exit 1": {status: 1}, "exit 2": {status: 2}, "exit 137": {status: 137}, "kill -KILL $$": {signal: syscall.SIGKILL},
	} {
		command := exec.CommandContext(t.Context(), "sh", "-c", script)
		_ = command.Run()
		if got := endingOf(command.ProcessState); got != want {
			t.Errorf("%s: %s instead of %s", script, got, want)
		}
	}
}
