package simulation

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/controller"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/renewal"
)

const (
	// reading and writing are how long the API server takes.
	reading = 5 * time.Millisecond
	writing = 10 * time.Millisecond
)

// operator is one run of the operator: its agenda, its lanes and its workers are the real ones, and what it remembers ends with it.
type operator struct {
	*world
	queue *workQueue
	lanes *lane.Lanes
	// agenda is the queue's other end.
	agenda *agenda.Agenda
	stop   context.CancelFunc
	dead   atomic.Bool

	mu    sync.Mutex
	using map[*application]string
	ended map[int]ending
	// refused is until when users wait that were refused for themselves, as their status holds it.
	refused map[int]time.Time
}

// ending is what is remembered of logins in a row that gave a token with no lifetime left.
type ending struct {
	times int
	last  time.Time
}

// startOperator starts an operator, with what the API server and the statuses have.
func (w *world) startOperator(ctx context.Context) *operator {
	ctx, stop := context.WithCancel(ctx)
	o := &operator{world: w, queue: newWorkQueue(), stop: stop, using: map[*application]string{}, ended: map[int]ending{}, refused: map[int]time.Time{}}
	o.agenda = &agenda.Agenda{Clock: w.clock, Entries: w.cluster.sweep, Room: o.room}
	o.lanes = lane.New(lane.Options{Clock: w.clock, Queue: o.agenda, Notify: o.notify, Log: logr.Discard()})
	if err := o.agenda.Start(ctx, o.queue); err != nil {
		panic(err)
	}
	for range controller.Workers {
		go o.work(ctx)
	}
	for _, known := range w.cluster.all() { // the start-up list
		o.enqueue(keyOf(known.object), agenda.Priority(w.cluster.entryOf(known.object), w.clock.Now()))
	}
	return o
}

// kill ends an operator without a word to anybody: what is under way is never heard of.
func (o *operator) kill() {
	o.dead.Store(true)
	o.stop()
	o.queue.ShutDown()
}

func (o *operator) room(of types.NamespacedName) int { return o.lanes.Room(of, agenda.Interval) }

func (o *operator) enqueue(key types.NamespacedName, priority int) {
	o.queue.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, reconcile.Request{NamespacedName: key})
}

// notify writes the status of a GiniClient.
func (o *operator) notify(name types.NamespacedName) {
	if of := o.byName[name]; !o.dead.Load() {
		of.tell(o.lane(of))
	}
}

// lane is the lane of a client, told which credentials are in use.
func (o *operator) lane(of *application) *lane.Lane {
	at := o.lanes.For(types.UID(of.name), of.key(), of.limits)
	version := of.current()
	o.mu.Lock()
	used := o.using[of]
	o.using[of] = version
	o.mu.Unlock()
	if used != version {
		state, behaviour := of.recalled()
		at.Use(version, state, lane.State{})
		if behaviour.Known {
			at.Recall(lane.LoginEndpoint, behaviour)
		}
	}
	return at
}

// work is a worker.
func (o *operator) work(ctx context.Context) {
	for {
		request, priority, shutdown := o.queue.GetWithPriority()
		if shutdown {
			return
		}
		result := o.reconcile(ctx, request.NamespacedName)
		o.queue.Done(request)
		if result.RequeueAfter > 0 {
			if result.Priority != nil {
				priority = *result.Priority
			}
			o.queue.AddWithOpts(priorityqueue.AddOpts{Priority: &priority, After: result.RequeueAfter}, request)
		}
	}
}

// reconcile does what the reconciler of GiniUsers does where all is well in Kubernetes.
func (o *operator) reconcile(ctx context.Context, key types.NamespacedName) ctrl.Result {
	if o.lanes.Touch(key) {
		return ctrl.Result{}
	}
	s := o.look(key)
	if !s.need.Due() {
		s.lane.Leave(key)
		return o.finish(s)
	}
	if again := o.endedUntil(s.number); s.now.Before(again) && !s.lane.StandingAt(lane.LoginEndpoint).Refused {
		s.lane.Leave(key) // its turn passes on
		return ctrl.Result{RequeueAfter: again.Sub(s.now)}
	}
	priority := agenda.Priority(o.cluster.entryOf(s.object), s.now)
	_, refusal := s.lane.Enter(ctx, lane.LoginEndpoint, key, priority, func(ctx context.Context, probe bool) lane.Outcome {
		o.book.admitted(s.of, s.number, priority, probe, o.clock.Now())
		return o.talk(ctx, key)
	})
	switch {
	case refusal == nil, refusal.Running:
		return ctrl.Result{}
	case refusal.Trouble != "":
		s.trouble = refusal.Trouble
	case s.served():
		return ctrl.Result{}
	}
	return o.finish(s)
}

// look reads a user and decides.
func (o *operator) look(key types.NamespacedName) *scope {
	number, known := o.cluster.get(key)
	s := &scope{number: number, record: known, key: key, credentials: known.of.current(), now: o.clock.Now()}
	s.lane = o.lane(known.of)
	secret := renewal.Held{}
	if s.secret != nil {
		secret = renewal.Held{Exists: true, Readable: true, Token: s.secret.token}
	}
	s.need = renewal.Decide(secret, renewal.Wanted{Policy: s.policy()}, s.now)
	s.renewAt = s.need.At
	return s
}

// refusedAgain and refusedLater are how long after the first refusal of its own, and after the next ones, a user tries again; limitedAgain is
// how long after a 429, at least.
const (
	limitedAgain = time.Second
	refusedAgain = time.Minute
	refusedLater = 30 * time.Minute
)

// talk is what runs in the lane.
func (o *operator) talk(ctx context.Context, key types.NamespacedName) lane.Outcome {
	time.Sleep(reading)
	s := o.look(key)
	if !s.need.Due() {
		return lane.Outcome{Result: o.finish(s)}
	}
	if err := s.lane.Limiter().Wait(ctx); err != nil || o.dead.Load() {
		return lane.Outcome{Err: err}
	}
	requested := o.clock.Now()
	o.book.sent(&s.record, requested)
	given, err := o.gini.login(s.of, s.number, s.credentials)
	received := o.clock.Now()
	if o.dead.Load() {
		return lane.Outcome{}
	}
	if err != nil {
		s.trouble = gini.KindOf(err)
		if s.lane.Judge(lane.LoginEndpoint, key, err, lane.Evidence{Proven: s.secret != nil, Others: true}) {
			o.refuse(s.number, err, s.now)
		}
		return lane.Outcome{Asked: true, Gini: err, Result: o.finish(s)}
	}
	o.take(s, given, requested, received)
	return lane.Outcome{Asked: true, Result: o.finish(s)}
}

// take writes a token into the Secret, and learns from it how Gini issues tokens.
func (o *operator) take(s *scope, given grant, requested, received time.Time) {
	same := s.secret != nil && s.secret.grant.token == given.token
	if s.secret != nil && requested.Before(s.secret.token.ExpiresAt) {
		s.lane.Observe(lane.LoginEndpoint, s.key, same, s.now)
	}
	known := given.expiresIn > 0
	if !known && o.endedAt(s.number, s.now) < maxEndings {
		s.retryAt = s.now.Add(time.Second)
		return
	}
	o.alive(s.number)
	token := renewal.NewToken(requested, received, given.expiresIn, known)
	if same {
		token = renewal.Narrow(s.secret.token, token)
	}
	time.Sleep(reading + writing)
	if o.dead.Load() {
		return
	}
	secret := held{token: token, refreshAt: renewal.RefreshAt(token, s.policy()), grant: given}
	o.cluster.writeSecret(s.number, secret)
	s.secret, s.need, s.renewAt = &secret, renewal.Verdict{}, secret.refreshAt
}

// finish writes the status where it has changed, and says when to come again.
func (o *operator) finish(s *scope) ctrl.Result {
	if s.setStatus() {
		time.Sleep(writing)
		if o.dead.Load() {
			return ctrl.Result{}
		}
		o.cluster.writeStatus(s.number, s.object)
	}
	return s.result(o.cluster.entryOf(s.object), o.clock.Now())
}

// maxEndings is how often in a row a token without any lifetime left is not taken.
const maxEndings = 3

func (o *operator) endedAt(number int, now time.Time) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.ended[number]
	o.ended[number] = ending{times: known.times + 1, last: now}
	return known.times + 1
}

func (o *operator) endedUntil(number int) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, ok := o.ended[number]; ok {
		return known.last.Add(time.Second)
	}
	return o.refused[number]
}

func (o *operator) alive(number int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.ended, number)
	delete(o.refused, number)
}

func (o *operator) refuse(number int, err error, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	wait := refusedAgain
	if _, again := o.refused[number]; again {
		wait = refusedLater
	}
	if answer, ok := errors.AsType[*gini.Error](err); ok && answer.Kind == gini.RateLimited {
		wait = max(limitedAgain, answer.RetryAfter)
	}
	o.refused[number] = now.Add(wait)
}
