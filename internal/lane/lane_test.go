package lane_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

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

// TestForget: a client that was deleted and made again starts clean, and work that still runs for the old one disturbs nobody.
func TestForget(t *testing.T) {
	o := running(t)
	old := o.accepted("acme", 1)
	hangs := begin(t, old, "a")
	old.Enter(t.Context(), lane.LoginEndpoint, key("b"), 10, answers(nil))
	o.Forget("acme")
	o.Forget("never-there")
	made := o.lane("acme", 1)
	if made == old {
		t.Fatal("the same lane")
	}
	if made.State() != (lane.State{}) {
		t.Errorf("state %+v", made.State())
	}
	begin(t, made, "c").end(nil)
	hangs.end(failing(gini.CredentialsRejected))
	o.settled()
	if state := made.State(); !state.Accepted || !state.Healthy() {
		t.Errorf("state %+v", state)
	}
}

// TestForKeepsState: other limits are no other lane.
func TestForKeepsState(t *testing.T) {
	o := running(t)
	client := o.accepted("acme", 1)
	a := begin(t, client, "a")
	refuse(t, client, "b", 10)
	if o.lane("acme", 2) != client {
		t.Fatal("another lane")
	}
	begin(t, client, "b").end(nil)
	a.end(nil)
}

// TestClose: whoever stops the operator waits for what is under way, but not for ever, and nothing more begins.
func TestClose(t *testing.T) {
	o := running(t)
	client := o.accepted("acme", 2)
	hangs := begin(t, client, "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if refusal := refuse(t, client, "b", 40); !refusal.Running {
		t.Errorf("refused as %+v", refusal)
	}
	hangs.end(nil)
	if err := o.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRequeueAfter: what the work asks for is done, by whoever ran it.
func TestRequeueAfter(t *testing.T) {
	again := func(context.Context, bool) lane.Outcome {
		return lane.Outcome{Asked: true, Result: ctrl.Result{RequeueAfter: 3 * time.Second}}
	}
	o := running(t)
	outcome, _ := o.accepted("acme", 1).Enter(t.Context(), lane.LoginEndpoint, key("a"), 40, again)
	o.settled()
	if called := o.called(); len(called) != 1 || called[0] != (call{"a", 40, 3 * time.Second}) || outcome != (lane.Outcome{}) {
		t.Errorf("called %+v, outcome %+v", called, outcome)
	}
	o = stepped(t)
	outcome, _ = o.accepted("acme", 1).Enter(t.Context(), lane.LoginEndpoint, key("a"), 40, again)
	if outcome.Result.RequeueAfter != 3*time.Second || len(o.called()) != 0 {
		t.Errorf("outcome %+v", outcome)
	}
}

// TestErrorIsLogged: nobody else sees the error of work in a goroutine of its own.
func TestErrorIsLogged(t *testing.T) {
	o := running(t)
	o.accepted("acme", 1).Enter(t.Context(), lane.LoginEndpoint, key("alice"), 10, func(context.Context, bool) lane.Outcome {
		return lane.Outcome{Err: errors.New("etcd is read-only")}
	})
	o.settled()
	if log := o.logged(); !strings.Contains(log, "etcd is read-only") || !strings.Contains(log, "alice") || !strings.Contains(log, "acme") {
		t.Errorf("logged %q", log)
	}
}

// TestRoom: what the rate allows, twice, as some need no request in the end; the probe alone where all is in trouble.
func TestRoom(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	expect := func(want int) {
		t.Helper()
		if got := client.Room(10 * time.Second); got != want {
			t.Errorf("room for %d, want %d", got, want)
		}
	}
	expect(100) // 5 a second
	o.For("acme", key("acme"), lane.Limits{RatePerSecond: 20, MaxInFlight: 4})
	expect(400)
	two(t, client, lane.LoginEndpoint, failing(gini.RateLimited))
	expect(400) // the other endpoint is well
	two(t, client, lane.UserCenterEndpoint, failing(gini.RateLimited))
	expect(1)
}

// TestRoomWhileRefused: credentials that an endpoint refuses, and none accepts, leave room for one try, though nobody asked the other endpoint.
func TestRoomWhileRefused(t *testing.T) {
	client := stepped(t).lane("acme", 4)
	admitted(t, client, lane.LoginEndpoint, "a", failing(gini.CredentialsRejected))
	if room := client.Room(10 * time.Second); room != 1 {
		t.Errorf("room for %d", room)
	}
	admitted(t, client, lane.UserCenterEndpoint, "b", nil)
	if room := client.Room(10 * time.Second); room != 100 {
		t.Errorf("room for %d", room)
	}
}

// TestEverybodyIsServed runs 500 users through a lane with workers, some of which fail, and a work queue: everybody is served, never
// more of them at once than allowed, and nobody twice at once.
func TestEverybodyIsServed(t *testing.T) {
	const users, most = 500, 4
	o := running(t)
	client := o.lane("acme", most)
	var now, served atomic.Int32
	var highest int32
	var mu sync.Mutex
	busy, done := map[string]bool{}, map[string]bool{}
	work := func(name string) lane.Work {
		return func(context.Context, bool) lane.Outcome {
			at := now.Add(1)
			defer now.Add(-1)
			mu.Lock()
			highest = max(highest, at)
			if busy[name] {
				t.Errorf("%s runs twice at once", name)
			}
			busy[name] = true
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				busy[name] = false
				if !done[name] {
					done[name] = true
					served.Add(1)
				}
			}()
			return lane.Outcome{Asked: true}
		}
	}
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for i := w; i < users; i += 8 {
				name := fmt.Sprintf("user-%d", i)
				client.Enter(context.Background(), lane.LoginEndpoint, key(name), 10*(i%4), work(name))
			}
		})
	}
	workers.Wait()
	for served.Load() < users {
		o.settled()
		called := o.called()
		if len(called) == 0 && served.Load() < users {
			t.Fatalf("%d of %d are served, and nobody is called", served.Load(), users)
		}
		for _, next := range called {
			client.Enter(context.Background(), lane.LoginEndpoint, key(next.name), next.priority, work(next.name))
		}
	}
	if highest > most {
		t.Errorf("%d at once, want at most %d", highest, most)
	}
}

// TestAnswersOfAnotherVersion: what still runs with credentials or endpoints that were replaced tells nothing of the new ones, and
// takes none of their room.
func TestAnswersOfAnotherVersion(t *testing.T) {
	for name, outcome := range map[string]error{"rejected": failing(gini.CredentialsRejected), "accepted": nil} {
		t.Run(name, func(t *testing.T) {
			o := running(t)
			client := o.accepted("acme", 1)
			late := begin(t, client, "alice")
			client.Use("replaced", lane.State{}, lane.State{})
			begin(t, client, "bob").end(failing(gini.Canceled)) // there is room
			late.end(outcome)
			o.settled()
			if state := client.State(); state != (lane.State{}) {
				t.Errorf("state %+v", state)
			}
		})
	}
}

// TestLateSuccess: an answer to what was asked before a failure does not end the pause that the failure began.
func TestLateSuccess(t *testing.T) {
	o := running(t)
	client := o.accepted("acme", 4)
	early := begin(t, client, "bob")
	for _, user := range []string{"alice", "carol"} {
		begin(t, client, user).end(&gini.Error{Kind: gini.RateLimited, Status: 429, RetryAfter: time.Minute})
		for o.Touch(key(user)) { // until that is taken note of
			runtime.Gosched()
		}
	}
	early.end(nil)
	o.settled()
	if state := client.State(); state.Trouble != gini.RateLimited || !state.Paused(noon) {
		t.Errorf("state %+v", state)
	}
}

// TestNothingSent: a request that was refused on this side shows nothing of Gini.
func TestNothingSent(t *testing.T) {
	o := stepped(t)
	client := o.lane("acme", 1)
	enter(t, client, "alice", answers(&gini.Error{Kind: gini.Invalid}))
	if state := client.State(); state.Accepted {
		t.Errorf("state %+v", state)
	}
}

// TestRename: what is in use is called otherwise while work runs: its room is free again, and its answer counts.
func TestRename(t *testing.T) {
	o := running(t)
	client := o.lane("acme", 2)
	client.Use("first", lane.Accepting(), lane.State{})
	a, b := begin(t, client, "a"), begin(t, client, "b")
	client.Rename("first", "second")
	a.end(nil)
	b.end(nil)
	o.settled()
	begin(t, client, "c").end(nil)
	for _, user := range []string{"d", "e"} {
		begin(t, client, user).end(&gini.Error{Kind: gini.CredentialsRejected, Status: 401})
		o.settled()
	}
	if state := client.State(); state.Trouble != gini.CredentialsRejected {
		t.Errorf("state %+v", state)
	}
}

// TestUnderWayWhenItBegan: requests that were under way when the trouble began are no probes: the first comes as soon as it would.
func TestUnderWayWhenItBegan(t *testing.T) {
	o := running(t)
	client := o.derivedOnly("acme", 4)
	var jobs []*job
	for _, name := range []string{"a", "b", "c", "d"} {
		jobs = append(jobs, begin(t, client, name))
	}
	for _, job := range jobs {
		job.end(failing(gini.CredentialsRejected))
	}
	o.settled()
	if state := client.State(); !state.ProbeAt.Equal(noon.Add(time.Minute)) {
		t.Errorf("the first probe is at %v", state.ProbeAt)
	}
}
