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
	o.settled()
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
