package lane_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
)

// TestMaxInFlight: as much work at once as the client allows, and each end makes room for one that waits.
func TestMaxInFlight(t *testing.T) {
	o := running(t)
	client := o.accepted("acme", 3)
	a, b, c := begin(t, client, "a"), begin(t, client, "b"), begin(t, client, "c")
	for _, name := range []string{"d", "e"} {
		if refusal := refuse(t, client, name, 10); refusal.Trouble != "" || refusal.Running {
			t.Errorf("%s is refused for %+v, and there just is no room", name, *refusal)
		}
	}
	o.expectCalled()
	a.end(nil)
	o.expectCalled("d")
	d := begin(t, client, "d")
	refuse(t, client, "f", 10)
	b.end(nil)
	o.expectCalled("e")
	c.end(nil)
	o.expectCalled("f")
	d.end(nil)
}

// TestOneAtATimeUntilAccepted: credentials that may be wrong are tried once, not by everybody at once.
func TestOneAtATimeUntilAccepted(t *testing.T) {
	o := running(t)
	client := o.lane("acme", 3)
	first := begin(t, client, "a")
	refuse(t, client, "b", 10)
	refuse(t, client, "c", 10)
	refuse(t, client, "d", 10)
	refuse(t, client, "e", 10)
	first.end(nil)
	o.expectCalled("b", "c", "d") // accepted: there is room for three
	begin(t, client, "b").end(nil)
	o.expectCalled("e")
}

// TestCanceledTellsNothing: what says nothing of the client neither accepts nor blames it.
func TestCanceledTellsNothing(t *testing.T) {
	o := stepped(t)
	client := o.lane("acme", 3)
	for _, name := range []string{"a", "b", "c", "d"} {
		enter(t, client, name, answers(failing(gini.Canceled)))
		enter(t, client, name+"2", answers(context.Canceled))
		enter(t, client, name+"3", func(context.Context, bool) lane.Outcome { return lane.Outcome{Gini: failing(gini.Unavailable)} })
	}
	if state := client.State(); state != (lane.State{}) {
		t.Errorf("state %+v", state)
	}
	if o.notices() != 0 {
		t.Error("told of a change")
	}
}

// TestOneUsersFailureIsAcceptance: an answer that concerns one user shows that Gini accepts the client.
func TestOneUsersFailureIsAcceptance(t *testing.T) {
	for _, kind := range []gini.Kind{gini.None, gini.GrantRejected, gini.TokenRejected, gini.Invalid, gini.NotFound} {
		o := stepped(t)
		client := o.lane("acme", 3)
		err := failing(kind)
		switch kind {
		case gini.None:
			err = nil
		case gini.Invalid: // as Gini says it, not what was refused on this side
			err = &gini.Error{Kind: kind, Status: 400}
		}
		enter(t, client, "a", answers(err))
		if state := client.State(); !state.Accepted || !state.Healthy() {
			t.Errorf("%q: state %+v", kind, state)
		}
		if n := o.notices(); n != 1 {
			t.Errorf("%q: told of %d changes, want 1", kind, n)
		}
		enter(t, client, "b", answers(err))
		if n := o.notices(); n != 0 {
			t.Errorf("%q: told of a change again", kind)
		}
	}
}

// TestCallOrder: of those who wait the most urgent is called first, of equals who came first.
func TestCallOrder(t *testing.T) {
	o := running(t)
	client := o.accepted("acme", 1)
	now := begin(t, client, "now")
	for _, wait := range []struct {
		name     string
		priority int
	}{{"rest-1", 10}, {"expired-1", 40}, {"urgent", 20}, {"rest-2", 10}, {"raised", 10}, {"new", 30}, {"expired-2", 40}, {"lowered", 40}} {
		refuse(t, client, wait.name, wait.priority)
	}
	refuse(t, client, "raised", 30)
	refuse(t, client, "lowered", 0) // an event of no importance does not make a user less urgent
	want := []string{"expired-1", "expired-2", "lowered", "raised", "new", "urgent", "rest-1", "rest-2"}
	var got []string
	for range want {
		now.end(nil)
		o.settled()
		called := o.called()
		if len(called) != 1 {
			t.Fatalf("called %v, want one", called)
		}
		got = append(got, called[0].name)
		now = begin(t, client, called[0].name)
	}
	now.end(nil)
	if strings.Join(got, " ") != "expired-1 expired-2 lowered raised new urgent rest-1 rest-2" {
		t.Errorf("called in the order %v, want %v", got, want)
	}
}

// TestCallPriority: whoever is called keeps its urgency in the work queue.
func TestCallPriority(t *testing.T) {
	o := running(t)
	client := o.accepted("acme", 1)
	now := begin(t, client, "now")
	refuse(t, client, "later", 20)
	now.end(nil)
	o.settled()
	if called := o.called(); len(called) != 1 || called[0] != (call{"later", 20, 0}) {
		t.Errorf("called %+v", called)
	}
}

// TestHungClient: work that hangs holds up nobody of another client, nor whoever enters it.
func TestHungClient(t *testing.T) {
	o := running(t)
	hung, well := o.accepted("hung", 2), o.accepted("well", 20)
	jobs := []*job{begin(t, hung, "a"), begin(t, hung, "b")}
	for i := range 100 {
		refuse(t, hung, fmt.Sprintf("waits-%d", i), 40)
	}
	for i := range 10 {
		begin(t, well, fmt.Sprintf("user-%d", i)).end(nil)
	}
	if state := well.State(); !state.Healthy() || !state.Accepted {
		t.Errorf("the other client's state is %+v", state)
	}
	for _, job := range jobs {
		job.end(failing(gini.Timeout))
	}
}

// TestContextOutlivesReconcile: the reconcile that began the work ends long before it does.
func TestContextOutlivesReconcile(t *testing.T) {
	o := running(t)
	client := o.accepted("acme", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancelled, ended := make(chan struct{}), make(chan error, 1)
	_, refusal := client.Enter(ctx, lane.LoginEndpoint, key("a"), 10, func(ctx context.Context, _ bool) lane.Outcome {
		<-cancelled
		ended <- ctx.Err()
		return lane.Outcome{}
	})
	if refusal != nil {
		t.Fatal("refused")
	}
	cancel()
	close(cancelled)
	if err := <-ended; err != nil {
		t.Errorf("the work's context ended with the reconcile's: %v", err)
	}
}

// TestRunning: a user's work is never run twice at once, in whichever lane; what came meanwhile is looked at when it ends.
func TestRunning(t *testing.T) {
	o := running(t)
	client, other := o.accepted("acme", 3), o.accepted("other", 3)
	if o.Touch(key("a")) {
		t.Error("touched before anything runs")
	}
	a := begin(t, client, "a")
	for _, lane := range []*lane.Lane{client, other} {
		if refusal := refuse(t, lane, "a", 10); !refusal.Running {
			t.Errorf("refused for %+v", *refusal)
		}
	}
	if o.Touch(key("b")) {
		t.Error("another user's work does not run")
	}
	if !o.Touch(key("a")) {
		t.Error("its work runs")
	}
	a.end(nil)
	o.settled()
	o.expectCalled("a")
	if o.Touch(key("a")) {
		t.Error("its work has ended")
	}
	// Nothing happened meanwhile: nothing to look at.
	begin(t, client, "a").end(nil)
	o.settled()
	o.expectCalled()
	// An admission that failed as the user runs elsewhere took no room.
	begin(t, other, "x").end(nil)
	begin(t, other, "y").end(nil)
	o.settled()
}

// TestTouchWhileFailing: what came while the work failed is looked at at once; whether Gini is asked again is another matter.
func TestTouchWhileFailing(t *testing.T) {
	o := running(t)
	client := o.accepted("acme", 3)
	a := begin(t, client, "a")
	o.Touch(key("a"))
	a.end(failing(gini.Unavailable))
	o.settled()
	o.expectCalled("a")
	refuse(t, client, "a", 10)
}

// explosion is what work panics with.
type explosion struct{ token string }

// TestPanic: the worker survives, what the panic held is in no log line, and the user is tried again later.
func TestPanic(t *testing.T) {
	const secret = "s3cr3t-of-acme"
	for name, newOperator := range map[string]func(*testing.T) *operator{"inline": stepped, "in a goroutine": running} {
		t.Run(name, func(t *testing.T) {
			o := newOperator(t)
			client := o.accepted("acme", 1)
			outcome, refusal := client.Enter(t.Context(), lane.LoginEndpoint, key("a"), 10, func(context.Context, bool) lane.Outcome {
				panic(explosion{secret})
			})
			o.settled()
			if refusal != nil {
				t.Fatal("refused")
			}
			log := o.logged()
			if strings.Contains(log, secret) || strings.Contains(fmt.Sprint(outcome.Err), secret) {
				t.Error("what the panic held was told")
			}
			for _, want := range []string{"Panic", "lane_test.explosion", "lane_test.go", "acme"} {
				if !strings.Contains(log, want) {
					t.Errorf("%q is not in the log: %s", want, log)
				}
			}
			if name == "inline" && outcome.Err == nil {
				t.Error("no error for the reconciler")
			}
			refuse(t, client, "a", 10) // not at once
			if state := client.State(); !state.Accepted || !state.Healthy() {
				t.Errorf("state %+v", state)
			}
			if !enter(t, client, "b", answers(nil)) {
				t.Error("its room was not given back")
			}
			o.settled()
			o.expectCalled()
			o.clock.Step(time.Second)
			o.expectCalled("a")
			if !enter(t, client, "a", answers(nil)) {
				t.Error("refused for ever")
			}
			o.settled()
		})
	}
}

// TestErrBackoff: where the API server takes no write, say, each try may cost a login; others go on.
func TestErrBackoff(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	broken := func(context.Context, bool) lane.Outcome {
		return lane.Outcome{Asked: true, Err: errors.New("etcd is read-only")}
	}
	for _, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		pause *= time.Second
		if !enter(t, client, "a", broken) {
			t.Fatalf("refused before the pause of %v", pause)
		}
		if !enter(t, client, "b", answers(nil)) {
			t.Fatal("another user has to wait for it")
		}
		o.called()
		refuse(t, client, "a", 10)
		o.clock.Step(pause - 1)
		refuse(t, client, "a", 10)
		o.expectCalled()
		o.clock.Step(1)
		o.expectCalled("a")
	}
	// Once it is well, it starts over.
	enter(t, client, "a", answers(nil))
	enter(t, client, "a", broken)
	o.called()
	o.clock.Step(time.Second)
	o.expectCalled("a")
}

// TestLeave: whoever needs nothing of Gini any more is not called, and holds up nobody.
func TestLeave(t *testing.T) {
	o := running(t)
	client := o.accepted("acme", 1)
	now := begin(t, client, "now")
	refuse(t, client, "gone", 40)
	refuse(t, client, "stays", 10)
	client.Leave(key("gone"))
	client.Leave(key("never-there"))
	now.end(nil)
	o.settled()
	o.expectCalled("stays")
	// Called, and then it turns out to need nothing: the next is called.
	refuse2 := begin(t, client, "other")
	refuse(t, client, "x", 10)
	refuse(t, client, "y", 10)
	refuse2.end(nil)
	o.settled()
	o.expectCalled("x")
	client.Leave(key("x"))
	o.expectCalled("y")
}

// TestLeaveForgetsFailures: a spec that was corrected is tried at once.
func TestLeaveForgetsFailures(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	enter(t, client, "a", func(context.Context, bool) lane.Outcome { return lane.Outcome{Err: errors.New("no")} })
	refuse(t, client, "a", 10)
	client.Leave(key("a"))
	if !enter(t, client, "a", answers(nil)) {
		t.Error("still held back")
	}
}
