package lane_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
)

// hanging are users whose requests time out after a minute of the clock, in a lane that works inline.
type hanging struct {
	t        *testing.T
	o        *operator
	client   *lane.Lane
	endpoint lane.Endpoint
	running  map[string]*hung
}

type hung struct {
	since   time.Time
	timeOut chan struct{}
	ended   chan struct{}
}

// enter has a user ask, and reports whether it hangs now, or did already.
func (h *hanging) enter(user string) bool {
	if h.running[user] != nil {
		return true
	}
	begun, next := make(chan struct{}), &hung{since: h.o.clock.Now(), timeOut: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(next.ended)
		h.client.Enter(h.t.Context(), h.endpoint, key(user), 40, func(context.Context, bool) lane.Outcome {
			close(begun)
			<-next.timeOut
			return lane.Outcome{Asked: true, Gini: failing(gini.Timeout), Evidence: lane.Evidence{Others: true}}
		})
	}()
	select {
	case <-begun:
		h.running[user] = next
		return true
	case <-next.ended:
		return false
	}
}

// timeOut ends those that have hung for so long.
func (h *hanging) timeOut(after time.Duration) {
	for user, hung := range h.running {
		if h.o.clock.Since(hung.since) >= after {
			close(hung.timeOut)
			<-hung.ended
			delete(h.running, user)
		}
	}
}

// TestHungUsersStarveNobody runs twenty users with tokens of two minutes through two hours, beside eight whose requests hang until they time out,
// and which ask before all others and are more urgent. If these come one after the other, no token ever ends before there is another. If all
// are there from the start, four hold every permit for a minute, and each of the other four is taken for a probe once; after that, all are known.
func TestHungUsersStarveNobody(t *testing.T) {
	const good, bad, lifetime, renewBefore = 20, 8, 2 * time.Minute, 30 * time.Second
	for name, c := range map[string]struct{ first, apart, toldApart time.Duration }{
		"one after the other": {4 * time.Minute, time.Minute, lifetime},
		"all from the start":  {0, 0, 5*time.Minute + 40*time.Second},
	} {
		for _, endpoint := range ofCredentials {
			t.Run(fmt.Sprint(name, " ", endpoint), func(t *testing.T) {
				o := stepped(t)
				client := o.accepted("acme", 4)
				hangs := &hanging{t, o, client, endpoint, map[string]*hung{}}
				defer hangs.timeOut(0)
				ends, late := map[int]time.Duration{}, 0
				for now := time.Duration(0); now < 2*time.Hour; now += time.Second {
					hangs.timeOut(time.Minute)
					for user := range bad {
						if now >= c.first+time.Duration(user)*c.apart {
							hangs.enter(fmt.Sprint("bad-", user))
						}
					}
					for user := range good {
						wants := now >= time.Duration(user)*lifetime/good && now >= ends[user]-renewBefore
						if wants && ask(t, client, endpoint, fmt.Sprint(user), nil) == nil {
							ends[user] = now + lifetime
						}
						if now >= c.toldApart && now >= ends[user] {
							late++
						}
					}
					o.called() // the loop above asks for everybody
					o.clock.Step(time.Second)
				}
				if late > 0 || len(ends) != good {
					t.Errorf("%d seconds without a token; %d users were served", late, len(ends))
				}
			})
		}
	}
}

// TestShareOfFailing: users that failed before get half of the permits at a host, but one at least; others pass them by, and they are called as
// soon as one of them ends.
func TestShareOfFailing(t *testing.T) {
	for most, share := range map[int]int{2: 1, 3: 1, 4: 2, 7: 3} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			o := stepped(t)
			client := o.accepted("acme", most)
			at := map[lane.Endpoint]*hanging{}
			for _, endpoint := range ofCredentials {
				at[endpoint] = &hanging{t, o, client, endpoint, map[string]*hung{}}
				t.Cleanup(func() { at[endpoint].timeOut(0) })
			}
			hangs := at[lane.LoginEndpoint]
			users := []string{}
			for i := range share + 1 {
				users = append(users, fmt.Sprint("bad-", i))
				admitted(t, client, lane.LoginEndpoint, users[i], failing(gini.Timeout))
				admitted(t, client, lane.LoginEndpoint, "well", nil)
			}
			admitted(t, client, lane.UserCenterEndpoint, "other", failing(gini.Timeout))
			o.clock.Step(time.Second)
			o.awaitCalls(share) // no more at once than may begin
			for _, user := range users[:share] {
				if !hangs.enter(user) {
					t.Fatalf("%s is refused", user)
				}
			}
			last := users[share]
			if hangs.enter(last) || at[lane.UserCenterEndpoint].enter("other") {
				t.Fatal("those that failed before hold more than their share")
			}
			if refusal := refuse(t, client, last, 40); refusal.Trouble != gini.Timeout {
				t.Errorf("refused for %+v", *refusal)
			}
			admitted(t, client, lane.LoginEndpoint, "well", nil)
			var holders []*hanging
			for i := range most - share { // all other permits
				holder := &hanging{t, o, client, lane.LoginEndpoint, map[string]*hung{}}
				t.Cleanup(func() { holder.timeOut(0) })
				if !holder.enter(fmt.Sprint("new-", i)) {
					t.Fatalf("new-%d is refused", i)
				}
				holders = append(holders, holder)
			}
			refuse(t, client, "new", 10) // waits behind the last one, which is more urgent
			o.called()
			holders[0].timeOut(0)
			if called := namesOf(o.called()); !slices.Equal(called, []string{"new"}) {
				t.Errorf("called %v, want the one behind those that have their share", called)
			}
			admitted(t, client, lane.LoginEndpoint, "new", nil)
			o.called()
			for user := range hangs.running {
				close(hangs.running[user].timeOut)
				<-hangs.running[user].ended
				delete(hangs.running, user)
				break
			}
			if called := namesOf(o.called()); !slices.Contains(called, last) && !slices.Contains(called, "other") {
				t.Errorf("called %v, want one of those that failed before", called)
			}
			if !hangs.enter(last) {
				t.Errorf("%s is refused, though there is room for it", last)
			}
		})
	}
}

// TestPausesOfOneThatFailsAlone go on doubling, up to two minutes, and start over with a success.
func TestPausesOfOneThatFailsAlone(t *testing.T) {
	o := stepped(t)
	client := o.accepted("acme", 4)
	for range 2 {
		for _, pause := range seconds(1, 2, 4, 8, 15, 15, 30, 60, 120, 120, 120) {
			admitted(t, client, lane.LoginEndpoint, "alice", failing(gini.Timeout))
			admitted(t, client, lane.LoginEndpoint, "bob", nil)
			o.called()
			o.clock.Step(pause - 1)
			refuse(t, client, "alice", 10)
			o.expectCalled()
			o.clock.Step(1)
			o.expectCalled("alice")
		}
		admitted(t, client, lane.LoginEndpoint, "alice", nil)
	}
}

// TestHealingForgivesNoneThatFailsAlone: whoever failed twice in a row while all others were well does not come back with those that an outage
// stopped; whoever failed once does.
func TestHealingForgivesNoneThatFailsAlone(t *testing.T) {
	for failures, forgiven := range map[int]bool{1: true, 2: false, 6: false} {
		o := stepped(t)
		client := o.accepted("acme", 4)
		for i := range failures {
			if i > 0 {
				o.clock.Step(15 * time.Second)
			}
			admitted(t, client, lane.LoginEndpoint, "hung", failing(gini.Timeout))
			admitted(t, client, lane.LoginEndpoint, "well", nil)
		}
		for _, user := range []string{"a", "b", "c"} {
			admitted(t, client, lane.LoginEndpoint, user, failing(gini.Unavailable))
		}
		o.clock.SetTime(client.State().ProbeAt) // within a second
		admitted(t, client, lane.LoginEndpoint, "well", nil)
		for _, user := range []string{"a", "b", "c"} {
			admitted(t, client, lane.LoginEndpoint, user, nil)
		}
		if got := ask(t, client, lane.LoginEndpoint, "hung", nil) == nil; got != forgiven {
			t.Errorf("after %d failures alone: forgiven %v, want %v", failures, got, forgiven)
		}
	}
}

// TestRealOutage: after ten minutes without Gini, everybody is served as soon as the next probe goes well, which is within 15 s.
func TestRealOutage(t *testing.T) {
	const users, lifetime, renewBefore, begins, ends = 10, 2 * time.Minute, 30 * time.Second, 5 * time.Minute, 15 * time.Minute
	for _, kind := range outages {
		for _, endpoint := range ofCredentials {
			t.Run(fmt.Sprint(kind, endpoint), func(t *testing.T) {
				o := stepped(t)
				client := o.accepted("acme", 4)
				valid := map[int]time.Duration{}
				for now := time.Duration(0); now <= ends+15*time.Second; now += time.Second {
					var err error
					if now >= begins && now < ends {
						err = failing(kind)
					}
					for user := range users {
						if now >= time.Duration(user)*lifetime/users && now >= valid[user]-renewBefore &&
							ask(t, client, endpoint, fmt.Sprint(user), err) == nil && err == nil {
							valid[user] = now + lifetime
						}
					}
					o.called() // the loop above asks for everybody
					o.clock.Step(time.Second)
				}
				for user := range users {
					if valid[user] < ends+lifetime {
						t.Errorf("user %d is not served; state %+v", user, client.State())
					}
				}
			})
		}
	}
}

// TestAnsweredMeanwhile: requests that hang together are no outage, if others were answered since they began.
func TestAnsweredMeanwhile(t *testing.T) {
	for name, answered := range map[string]bool{"others were answered": true, "nobody was": false} {
		t.Run(name, func(t *testing.T) {
			o := running(t)
			client := o.accepted("acme", 8)
			var hung []*job
			for _, user := range []string{"a", "b", "c", "d"} {
				hung = append(hung, begin(t, client, user))
			}
			if answered {
				begin(t, client, "well").end(nil)
				for o.Touch(key("well")) { // until that is taken note of
					runtime.Gosched()
				}
			}
			for _, job := range hung {
				job.end(failing(gini.Timeout))
			}
			o.settled()
			if state := client.State(); state.Healthy() != answered {
				t.Errorf("state %+v", state)
			}
		})
	}
}

// TestFirstInAnOutage: whoever is the first to meet an outage, and for a while the only one, comes back with all others when it ends. If others were
// answered well meanwhile, it fails alone, and does not.
func TestFirstInAnOutage(t *testing.T) {
	for name, alone := range map[string]bool{"the first": false, "alone": true} {
		t.Run(name, func(t *testing.T) {
			o := stepped(t)
			client := o.accepted("acme", 4)
			down := answersWith(failing(gini.Unavailable), lane.Evidence{Proven: true, Others: true})
			for range 8 {
				o.clock.Step(2 * time.Minute)
				if !enter(t, client, "a", down) {
					t.Fatal("refused")
				}
				if alone {
					admitted(t, client, lane.LoginEndpoint, "well", nil)
				}
			}
			for _, user := range []string{"b", "c", "d"} {
				enter(t, client, user, down)
			}
			if client.State().Healthy() {
				t.Fatal("there is no outage")
			}
			o.clock.Step(15 * time.Second)
			admitted(t, client, lane.LoginEndpoint, "e", nil)
			if refusal := ask(t, client, lane.LoginEndpoint, "a", nil); (refusal != nil) != alone {
				t.Errorf("%+v", refusal)
			}
		})
	}
}

// TestNewUsersLeaveRoom: however many new users hang, one permit is left to urgent renewals.
func TestNewUsersLeaveRoom(t *testing.T) {
	o := running(t)
	client := o.accepted("acme", 4)
	enterAs := func(user string, priority int) (*job, bool) {
		begun := newJob(t)
		if _, refusal := client.Enter(t.Context(), lane.LoginEndpoint, key(user), priority, begun.work); refusal != nil {
			return nil, false
		}
		<-begun.started
		return begun, true
	}
	var hung []*job
	for i := range 6 {
		if job, ok := enterAs(fmt.Sprintf("new-%d", i), agenda.First); ok {
			hung = append(hung, job)
		}
	}
	if len(hung) != 3 {
		t.Errorf("%d new users ask at once, want 3 of 4", len(hung))
	}
	if _, ok := enterAs("not urgent", agenda.Rest); ok {
		t.Error("what is not urgent goes before new users")
	}
	urgent, ok := enterAs("renews", agenda.Urgent)
	if !ok {
		t.Fatal("there is no room for what is urgent")
	}
	urgent.end(nil)
	for o.Touch(key("renews")) {
		runtime.Gosched()
	}
	o.called()
	hung[0].end(nil)
	called := namesOf(o.awaitCalls(1))
	if slices.Equal(called, []string{"renews"}) { // as it was touched while it worked
		called = namesOf(o.awaitCalls(1))
	}
	if !slices.Contains(called, "new-3") {
		t.Errorf("called %v, want the next new user", called)
	}
	for _, job := range hung[1:] {
		job.end(nil)
	}
}
