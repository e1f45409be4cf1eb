package operator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	testclock "k8s.io/utils/clock/testing"

	"github.com/gini-operator/gini-operator/internal/operator"
)

// lock is one that nobody else competes for, unless a test says so.
type lock struct {
	resourcelock.Interface
	holder string
	fails  error
	during func()
}

func (l *lock) Identity() string { return "this" }

func (l *lock) Describe() string { return "a lease" }

func (l *lock) RecordEvent(string) {}

func (l *lock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return &resourcelock.LeaderElectionRecord{HolderIdentity: l.holder}, nil, l.fails
}

func (l *lock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.Update(ctx, record)
}

func (l *lock) Update(_ context.Context, record resourcelock.LeaderElectionRecord) error {
	if l.during != nil {
		l.during()
	}
	if l.fails == nil {
		l.holder = record.HolderIdentity
	}
	return l.fails
}

// elected is a lease of 40 s, the lock and the clock below it.
func elected() (*operator.Lease, *lock, *testclock.FakePassiveClock) {
	clk, below := testclock.NewFakePassiveClock(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)), &lock{}
	return operator.NewLease(below, 40*time.Second, clk), below, clk
}

var ours, given = resourcelock.LeaderElectionRecord{HolderIdentity: "this"}, resourcelock.LeaderElectionRecord{}

func expectFresh(t *testing.T, lease *operator.Lease, want bool, when string) {
	t.Helper()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := lease.Fresh(ended); (err == nil) != want {
		t.Errorf("%s: %v", when, err)
	}
}

func renew(t *testing.T, lease *operator.Lease) {
	t.Helper()
	if err := lease.Update(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
}

// TestLeaseIsFresh for a while after each renewal, whatever becomes of the clock (R13.1).
func TestLeaseIsFresh(t *testing.T) {
	lease, below, clk := elected()
	start := clk.Now()
	after := func(d time.Duration) { clk.SetTime(start.Add(d)) }
	expectFresh(t, lease, false, "before it is had")
	if err := lease.Create(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	expectFresh(t, lease, true, "once it is made")
	after(40*time.Second - 1)
	expectFresh(t, lease, true, "just before its end")
	after(40 * time.Second)
	expectFresh(t, lease, false, "at its end")
	below.fails = errors.New("no answer")
	if lease.Update(t.Context(), ours) == nil {
		t.Error("a failure was lost")
	}
	expectFresh(t, lease, false, "after a renewal that failed")
	below.fails = nil
	renew(t, lease)
	expectFresh(t, lease, true, "renewed")

	after(-time.Hour)
	expectFresh(t, lease, false, "set back")
	renew(t, lease)
	expectFresh(t, lease, true, "set back, and renewed")
	after(24 * time.Hour)
	expectFresh(t, lease, false, "set forward")
	renew(t, lease)
	expectFresh(t, lease, true, "set forward, and renewed")

	below.during = func() { after(24*time.Hour + 40*time.Second) }
	renew(t, lease)
	expectFresh(t, lease, false, "frozen while it was renewed")
	below.during = nil
	renew(t, lease)
	if err := lease.Update(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	expectFresh(t, lease, false, "given up")
	var none *operator.Lease
	expectFresh(t, none, true, "where operators do not compete")
}

// TestLeaseIsWaitedFor: what waits for a renewal goes on with it.
func TestLeaseIsWaitedFor(t *testing.T) {
	lease, _, clk := elected()
	renew(t, lease)
	clk.SetTime(clk.Now().Add(time.Minute))
	done := make(chan error)
	go func() { done <- lease.Fresh(t.Context()) }()
	select {
	case err := <-done:
		t.Fatal("did not wait", err)
	default:
	}
	renew(t, lease)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestLeaseIsLost to whoever has taken it, and not to nobody, nor where it was not had (R13.3).
func TestLeaseIsLost(t *testing.T) {
	lost := func(lease *operator.Lease) bool {
		select {
		case <-lease.Lost():
			return true
		default:
			return false
		}
	}
	look := func(lease *operator.Lease, below *lock, holder string) {
		below.holder = holder
		if _, _, err := lease.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	lease, below, _ := elected()
	look(lease, below, "other")
	renew(t, lease)
	look(lease, below, "this")
	expectFresh(t, lease, true, "still had")
	look(lease, below, "")
	expectFresh(t, lease, false, "taken away")
	if lost(lease) {
		t.Error("lost to nobody")
	}
	for range 2 { // whoever goes on all the same, may have it again
		renew(t, lease)
		look(lease, below, "other")
		expectFresh(t, lease, false, "taken over")
		if !lost(lease) {
			t.Error("not lost")
		}
	}
	if lost(nil) {
		t.Error("lost where operators do not compete")
	}
}

// awayLock is a lock whose API server is away for a while.
type awayLock struct {
	*lock
	from, until time.Time
	// hangs is how long a request then takes to fail.
	hangs time.Duration
}

func (l *awayLock) answer(ctx context.Context) error {
	now := time.Now()
	if now.Before(l.from) || !now.Before(l.until) {
		return nil
	}
	select {
	case <-time.After(min(l.hangs, l.until.Sub(now))):
		return errors.New("no answer")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *awayLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	if err := l.answer(ctx); err != nil {
		return nil, nil, err
	}
	return l.lock.Get(ctx)
}

func (l *awayLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	if err := l.answer(ctx); err != nil {
		return err
	}
	return l.lock.Update(ctx, record)
}

// TestLeaderOutlives an API server that is away for half a minute, whether it refuses or hangs, and gives up before others may take its
// lease where that takes longer (R13.1).
func TestLeaderOutlives(t *testing.T) {
	const lives, deadline, retry = 60 * time.Second, 40 * time.Second, 2 * time.Second       // unless flags say otherwise
	for name, hangs := range map[string]time.Duration{"refuses": 0, "hangs": deadline / 2} { // as long as such a request may take
		for gone, outlived := range map[time.Duration]bool{30 * time.Second: true, 10 * time.Minute: false} {
			t.Run(fmt.Sprintf("%s for %s", name, gone), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					from := time.Now().Add(lives + retry/4)
					lease := operator.NewLease(&awayLock{lock: &lock{}, from: from, until: from.Add(gone), hangs: hangs}, deadline, nil)
					var begun, ended time.Time
					elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
						Lock: lease, LeaseDuration: lives, RenewDeadline: deadline, RetryPeriod: retry,
						Callbacks: leaderelection.LeaderCallbacks{
							OnStartedLeading: func(context.Context) { begun = time.Now() },
							OnStoppedLeading: func() { ended = time.Now() },
						},
					})
					if err != nil {
						t.Fatal(err)
					}
					ctx, end := context.WithCancel(t.Context())
					done := make(chan struct{})
					go func() {
						defer close(done)
						elector.Run(ctx)
					}()
					time.Sleep(time.Until(from))
					synctest.Wait()
					expectFresh(t, lease, true, "in good times")

					time.Sleep(gone + lives)
					synctest.Wait()
					expectFresh(t, lease, outlived, "afterwards")
					switch {
					case begun.IsZero():
						t.Error("never led")
					case outlived && !ended.IsZero():
						t.Errorf("gave up %s after the trouble began", ended.Sub(from))
					case !outlived && (ended.IsZero() || ended.Sub(from) >= lives-retry): // it was renewed that long before at most
						t.Errorf("led from %s until %s, with trouble from %s", begun, ended, from)
					}
					end()
					<-done
				})
			})
		}
	}
}

// TestConnectionsAreAsked whether they are alive, so that a watch that dies without a word is begun anew within a minute (R13.4).
func TestConnectionsAreAsked(t *testing.T) {
	t.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "0") // turns off what client-go does
	client, err := rest.HTTPClientFor(operator.Connection(&rest.Config{Host: "https://127.0.0.1"}, operator.Silence))
	if err != nil {
		t.Fatal(err)
	}
	over := client.Transport
	for {
		wrapper, ok := over.(utilnet.RoundTripperWrapper)
		if !ok {
			break
		}
		over = wrapper.WrappedRoundTripper()
	}
	transport, ok := over.(*http.Transport)
	if !ok || transport.HTTP2 == nil {
		t.Fatalf("a %T that is not asked", over)
	}
	if silence := transport.HTTP2.SendPingTimeout + transport.HTTP2.PingTimeout; silence <= 0 || silence > 45*time.Second {
		t.Errorf("noticed after %s", silence)
	}
}
