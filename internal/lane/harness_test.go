package lane_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// steppedClock is a fake clock whose AfterFunc runs, as a real one's does, without holding the clock.
type steppedClock struct {
	*testclock.FakeClock
	mu     sync.Mutex
	fired  []func()
	timers chan time.Duration // each timer as it is set
}

// AfterFunc implements clock.WithDelayedExecution.
func (c *steppedClock) AfterFunc(after time.Duration, run func()) clock.Timer {
	return c.FakeClock.AfterFunc(after, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fired = append(c.fired, run)
	})
}

// NewTimer implements clock.Clock.
func (c *steppedClock) NewTimer(after time.Duration) clock.Timer {
	timer := c.FakeClock.NewTimer(after)
	c.timers <- after
	return timer
}

// Step moves the clock. What that sets off may go on for a while: see expectCalled.
func (c *steppedClock) Step(by time.Duration) {
	c.FakeClock.Step(by)
	c.mu.Lock()
	fired := c.fired
	c.fired = nil
	c.mu.Unlock()
	for _, run := range fired {
		run()
	}
}

// call is a user that was called back.
type call struct {
	name     string
	priority int
	after    time.Duration
}

// operator is lanes, and what they do to the world around them.
type operator struct {
	*lane.Lanes
	t     *testing.T
	clock *steppedClock

	calls chan call

	mu       sync.Mutex
	notified []string
	known    []*lane.Lane
	log      strings.Builder
}

// Enqueue implements lane.Queue.
func (o *operator) Enqueue(key types.NamespacedName, priority int, after time.Duration) {
	o.calls <- call{key.Name, priority, after}
}

// called returns who was called back since it was last asked.
func (o *operator) called() []call {
	var calls []call
	for {
		select {
		case next := <-o.calls:
			calls = append(calls, next)
		default:
			return calls
		}
	}
}

func namesOf(calls []call) []string {
	names := []string{}
	for _, call := range calls {
		names = append(names, call.name)
	}
	return names
}

// awaitCalls returns who was called back since it was last asked: at least so many, for which it waits, and all that came with them.
func (o *operator) awaitCalls(least int) []call {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 20*time.Second)
	defer cancel()
	var calls []call
	for len(calls) < least {
		select {
		case next := <-o.calls:
			calls = append(calls, next)
		case <-ctx.Done():
			o.t.Fatalf("called %v, want at least %d", namesOf(calls), least)
		}
	}
	o.mu.Lock()
	known := slices.Clone(o.known)
	o.mu.Unlock()
	for _, lane := range known {
		_ = lane.State() // waits until a lane that is just calling has called all
	}
	return append(calls, o.called()...)
}

// expectCalled compares the names of those called back since it was last asked. Where there are names, it waits for them.
func (o *operator) expectCalled(want ...string) {
	o.t.Helper()
	if got := namesOf(o.awaitCalls(len(want))); !slices.Equal(got, want) {
		o.t.Fatalf("called %v, want %v", got, want)
	}
}

// notices is how often the client was said to have changed since it was last asked.
func (o *operator) notices() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(o.notified)
	o.notified = nil
	return n
}

func (o *operator) logged() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.log.String()
}

func newOperator(t *testing.T, inline bool) *operator {
	t.Helper()
	o := &operator{t: t, calls: make(chan call, 100_000), clock: &steppedClock{FakeClock: testclock.NewFakeClock(noon), timers: make(chan time.Duration, 100)}}
	o.Lanes = lane.New(lane.Options{
		Clock: o.clock, Queue: o, Inline: inline,
		Notify: func(client types.NamespacedName) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.notified = append(o.notified, client.Name)
		},
		Log: funcr.New(func(prefix, args string) {
			o.mu.Lock()
			defer o.mu.Unlock()
			_, _ = fmt.Fprintln(&o.log, prefix, args)
		}, funcr.Options{}),
	})
	return o
}

// stepped runs work where it is admitted, so that tests go step by step.
func stepped(t *testing.T) *operator { t.Helper(); return newOperator(t, true) }

// running runs work in goroutines of its own, as the operator does; at the end of the test none is left.
func running(t *testing.T) *operator {
	t.Helper()
	o := newOperator(t, false)
	t.Cleanup(o.settled)
	return o
}

// settled waits until no work runs.
func (o *operator) settled() {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := o.Wait(ctx); err != nil {
		o.t.Fatal(err)
	}
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "team", Name: name}
}

func (o *operator) lane(name string, maxInFlight int) *lane.Lane {
	client := o.For(types.UID(name), key(name), lane.Limits{RatePerSecond: 5, MaxInFlight: maxInFlight})
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known = append(o.known, client)
	return client
}

// accepted is the lane of a client whose credentials Gini accepted.
func (o *operator) accepted(name string, maxInFlight int) *lane.Lane {
	client := o.lane(name, maxInFlight)
	client.Remember("", []lane.Acceptance{lane.AcceptedLogin, lane.AcceptedUserCenter})
	client.Use("v1", lane.Accepting(), lane.Accepting())
	return client
}

// derivedOnly is the lane of a client whose credentials /login accepted; nobody has asked the User Center.
func (o *operator) derivedOnly(name string, maxInFlight int) *lane.Lane {
	client := o.lane(name, maxInFlight)
	client.Use("v1", lane.Accepting(), lane.State{})
	return client
}

// answers is work of a user that had a token before: it asks Gini and ends with that error.
func answers(err error) lane.Work {
	return answersWith(err, lane.Evidence{Proven: true})
}

// answersWith is work that asks Gini and ends with that error, with what is known beside it.
func answersWith(err error, evidence lane.Evidence) lane.Work {
	return func(context.Context, bool) lane.Outcome {
		return lane.Outcome{Asked: true, Gini: err, Evidence: evidence}
	}
}

// two users fail one after the other: what one says may be its own.
func two(t *testing.T, client *lane.Lane, endpoint lane.Endpoint, err error) {
	t.Helper()
	for _, user := range []string{"alice", "zoe"} {
		admitted(t, client, endpoint, user, err)
	}
}

func failing(kind gini.Kind) error { return &gini.Error{Kind: kind, Operation: gini.OperationLogin} }

func failingFor(kind gini.Kind, retryAfter time.Duration) error {
	return &gini.Error{Kind: kind, Operation: gini.OperationLogin, RetryAfter: retryAfter}
}

// enter runs work inline, and reports whether it was admitted.
func enter(t *testing.T, client *lane.Lane, name string, work lane.Work) bool {
	t.Helper()
	_, refusal := client.Enter(t.Context(), lane.LoginEndpoint, key(name), 10, work)
	return refusal == nil
}

// job is work that runs until it is told to end.
type job struct {
	t       *testing.T
	started chan bool // whether it was a probe
	outcome chan lane.Outcome
}

func newJob(t *testing.T) *job {
	t.Helper()
	return &job{t, make(chan bool, 1), make(chan lane.Outcome, 1)}
}

func (j *job) work(_ context.Context, probe bool) lane.Outcome {
	j.started <- probe
	return <-j.outcome
}

// end ends it, with what Gini answered.
func (j *job) end(err error) {
	j.outcome <- lane.Outcome{Asked: true, Gini: err, Evidence: lane.Evidence{Proven: true}}
}

// begin enters a job, and fails the test where it is not admitted.
func begin(t *testing.T, client *lane.Lane, name string) *job {
	t.Helper()
	return beginAt(t, client, lane.LoginEndpoint, name)
}

func beginAt(t *testing.T, client *lane.Lane, endpoint lane.Endpoint, name string) *job {
	t.Helper()
	begun := newJob(t)
	if _, refusal := client.Enter(t.Context(), endpoint, key(name), 10, begun.work); refusal != nil {
		t.Fatalf("%s is refused at %s: %+v", name, endpoint, *refusal)
	}
	<-begun.started
	return begun
}

// refuse expects a user to be turned away.
func refuse(t *testing.T, client *lane.Lane, name string, priority int) *lane.Refusal {
	t.Helper()
	_, refusal := client.Enter(t.Context(), lane.LoginEndpoint, key(name), priority, func(context.Context, bool) lane.Outcome {
		t.Errorf("%s was admitted", name)
		return lane.Outcome{}
	})
	if refusal == nil {
		t.Fatalf("%s was admitted", name)
	}
	return refusal
}
