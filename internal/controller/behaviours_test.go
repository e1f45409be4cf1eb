package controller_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/controller"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// tokenRequests are what tokens are had by, in place of what they are used for.
var tokenRequests = []emulator.Operation{emulator.Login, emulator.PasswordLogin, emulator.ClientToken, emulator.CreateUser, emulator.Refresh}

// operation is a world whose operator works by itself: the agenda's sweep, the work queue and the timers of the lanes, in one thread
// and by the clock of a machine. No watch tells it of anything; see wake. Just before a token is replaced, it is used.
type operation struct {
	*world
	machine *machine
	agenda  *agenda.Agenda
	// dropped loses an item of the work queue.
	dropped func() bool

	sweepAt time.Duration // these go by the monotonic clock
	queue   map[types.NamespacedName]item
	order   int
	fails   map[types.NamespacedName]int

	priorityqueue.PriorityQueue[reconcile.Request] // of which nothing is used but AddWithOpts

	mu      sync.Mutex
	calls   []call
	learned bool
}

// item is a user in the work queue.
type item struct {
	at              time.Duration
	priority, order int
}

// call is a user that its lane calls.
type call struct {
	key      types.NamespacedName
	priority int
	after    time.Duration
}

// operate makes a world that works by itself.
func operate(ctx context.Context, options ...emulator.Option) *operation {
	GinkgoHelper()
	return operateServedBy(ctx, func(_ *operation, gini *emulator.Server) (string, error) { return gini.Start() }, options...)
}

// operateServedBy has something stand before Gini.
func operateServedBy(ctx context.Context, start func(*operation, *emulator.Server) (string, error), options ...emulator.Option) *operation {
	GinkgoHelper()
	truth := testclock.NewFakeClock(time.Now().Truncate(time.Second))
	o := &operation{queue: map[types.NamespacedName]item{}, fails: map[types.NamespacedName]int{}}
	o.machine = &machine{truth: truth}
	w := newWorldServedBy(ctx, func(gini *emulator.Server) (string, error) { return start(o, gini) },
		append([]emulator.Option{emulator.WithClock(truth)}, options...)...)
	w.clock.SetTime(truth.Now())
	o.world, o.machine.FakeClock = w, w.clock
	o.recorder = events.NewFakeRecorder(10_000)
	o.startOver() //nolint:contextcheck // whatever has this context ends with the spec
	return o
}

// slowly has Gini take its time to answer all but the use of a token: half of it before, half of it after it has done what was asked.
func slowly(takes time.Duration) func(*operation, *emulator.Server) (string, error) {
	return func(o *operation, gini *emulator.Server) (string, error) {
		server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, request *http.Request) {
			if request.URL.Path == "/documents" {
				gini.ServeHTTP(out, request)
				return
			}
			o.machine.pass(takes / 2)
			gini.ServeHTTP(out, request)
			o.machine.pass(takes / 2)
		}))
		DeferCleanup(server.Close)
		return server.URL, nil
	}
}

// startOver forgets everything that an operator remembers.
func (o *operation) startOver() {
	GinkgoHelper()
	o.world.restart()
	o.lanes = lane.New(lane.Options{Clock: o.machine, Queue: o, Notify: o.learn, Inline: true, Log: GinkgoLogr})
	reader := within{indexed{k8s}, o.namespace}
	o.users.Reader, o.users.Clock, o.users.Lanes, o.users.Queue = reader, o.machine, o.lanes, o
	o.users.Registry.Lanes, o.users.Registry.Clock = o.lanes, o.machine
	o.clients.Clock = o.machine
	o.agenda = &agenda.Agenda{Clock: o.machine, Entries: o.users.Entries, Room: o.users.Registry.Room}
	clear(o.queue)
	never, cancel := context.WithCancel(context.Background())
	cancel()
	Expect(o.agenda.Start(never, o)).To(Succeed())
	o.sweepAt = o.machine.awake + agenda.Interval
}

// within reads one namespace only: other specs' users are not this operator's.
type within struct {
	client.Reader
	namespace string
}

func (r within) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return r.Reader.List(ctx, list, append(options, client.InNamespace(r.namespace))...)
}

// Enqueue implements lane.Queue.
func (o *operation) Enqueue(key types.NamespacedName, priority int, after time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, call{key, priority, after})
}

// AddWithOpts implements priorityqueue.PriorityQueue: the earlier of two times, and the higher of two priorities.
func (o *operation) AddWithOpts(options priorityqueue.AddOpts, requests ...reconcile.Request) {
	for _, request := range requests {
		o.add(request.NamespacedName, *options.Priority, options.After)
	}
}

func (o *operation) add(key types.NamespacedName, priority int, after time.Duration) {
	if o.dropped != nil && o.dropped() {
		return
	}
	o.order++
	added := item{at: o.machine.awake + after, priority: priority, order: o.order}
	if known, ok := o.queue[key]; ok {
		added.at, added.priority, added.order = min(known.at, added.at), max(known.priority, added.priority), known.order
	}
	o.queue[key] = added
}

func (o *operation) learn(types.NamespacedName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.learned = true
}

// wake is what a watch does.
func (o *operation) wake(names ...string) {
	for _, name := range names {
		o.add(o.key(name), agenda.First, 0)
	}
	o.learn(o.key("acme"))
}

// create makes a user, of which a watch tells.
func (o *operation) create(ctx context.Context, user *api.GiniUser) {
	GinkgoHelper()
	Expect(k8s.Create(ctx, user)).To(Succeed())
	o.wake(user.Name)
}

// run lets the operator work for a while.
func (o *operation) run(ctx context.Context, duration time.Duration) {
	GinkgoHelper()
	for end := o.machine.awake + duration; ; {
		for o.work(ctx) {
		}
		if o.machine.awake >= end { // who waits for its turn lets time go by
			return
		}
		o.wait(ctx, end)
	}
}

// work does one piece of what is to be done now, and reports whether there was any.
func (o *operation) work(ctx context.Context) bool {
	GinkgoHelper()
	o.mu.Lock()
	called, learned := o.calls, o.learned
	o.calls, o.learned = nil, false
	o.mu.Unlock()
	for _, call := range called {
		if _, ok := controller.IsClientLaneKey(call.key); ok {
			learned = true
			continue
		}
		o.add(call.key, call.priority, call.after)
	}
	if learned {
		o.clientReconciled(ctx)
		return true
	}
	var first types.NamespacedName
	for key, next := range o.queue {
		if best, ok := o.queue[first]; next.at <= o.machine.awake && (!ok || next.before(best)) {
			first = key
		}
	}
	next, ok := o.queue[first]
	if !ok {
		return len(called) > 0
	}
	delete(o.queue, first)
	o.reconcileAs(ctx, first, next.priority)
	return true
}

func (i item) before(other item) bool {
	if i.priority != other.priority {
		return i.priority > other.priority
	}
	return i.order < other.order
}

func (o *operation) reconcileAs(ctx context.Context, key types.NamespacedName, priority int) {
	GinkgoHelper()
	token := &corev1.Secret{}
	if err := (indexed{k8s}).Get(ctx, o.key(key.Name+"-token"), token); err == nil && token.Data["authorization"] != nil {
		o.present(ctx, string(token.Data["authorization"]))
	}
	result, err := o.users.Reconcile(ctx, ctrl.Request{NamespacedName: key})
	if result.Priority != nil {
		priority = *result.Priority
	}
	switch {
	case err != nil:
		o.fails[key]++
		o.add(key, priority, 5*time.Millisecond<<min(o.fails[key], 17))
		return
	case result.RequeueAfter > 0:
		o.add(key, priority, result.RequeueAfter)
	}
	delete(o.fails, key)
}

// present uses a token, for Gini to tell what it thinks of it: see expectNothingExpired.
func (o *operation) present(ctx context.Context, authorization string) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url+"/documents", http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Accept", emulator.MediaTypeV1)
	request.Header.Set("Authorization", authorization)
	if response, err := http.DefaultTransport.RoundTrip(request); err == nil { // a spec's fault, else
		_ = response.Body.Close()
	}
}

// wait lets time go by until there is something to do, at most until end. Sweeps that find nobody due are left out.
func (o *operation) wait(ctx context.Context, end time.Duration) {
	GinkgoHelper()
	until := end
	for _, next := range o.queue {
		until = min(until, next.at)
	}
	timer := o.machine.nextTimer()
	if timer != nil {
		until = min(until, timer.at)
	}
	if o.sweepAt < until {
		o.sweepAt += o.idle(ctx, until)
	}
	until = max(o.machine.awake, min(until, o.sweepAt))
	o.machine.pass(until - o.machine.awake)
	switch {
	case timer != nil && timer.at <= until:
		o.machine.fire(timer)
		o.lanes.Room(o.key("acme"), 0) // has to wait until the lane has called whom it calls
	case o.sweepAt <= until:
		o.agenda.Sweep(ctx)
		o.sweepAt += agenda.Interval
	}
}

// idle is how long no sweep from the next one on finds anybody due, in whole intervals.
func (o *operation) idle(ctx context.Context, until time.Duration) time.Duration {
	GinkgoHelper()
	left := until - o.sweepAt
	for entry := range o.users.Entries(ctx) {
		if !entry.DueAt.IsZero() {
			ahead := float64(entry.DueAt.Sub(o.clock.Now())-agenda.Interval) / (1 + o.machine.drift)
			left = min(left, time.Duration(ahead)-(o.sweepAt-o.machine.awake))
		}
	}
	return max(0, left.Truncate(agenda.Interval))
}

// login is a login that gave a token.
type login struct {
	emulator.Call
	user string
}

// loginsSince are the logins after a mark that gave a token.
func (o *operation) loginsSince(mark emulator.Mark) (logins []login) {
	GinkgoHelper()
	names := map[string]string{}
	var users api.GiniUserList
	Expect(k8s.List(context.Background(), &users, client.InNamespace(o.namespace))).To(Succeed())
	for _, user := range users.Items {
		if user.Spec.Derived != nil {
			names[user.Spec.Derived.Identifier] = user.Name
		} else {
			names[user.Status.UserID] = user.Name
		}
	}
	ledger := o.gini.Ledger()
	for _, account := range ledger.Accounts() {
		names[account.Email] = names[account.ID]
	}
	for _, made := range ledger.CallsSince(mark) {
		if (made.Operation == emulator.Login || made.Operation == emulator.PasswordLogin) && made.Status == 200 {
			logins = append(logins, login{made, names[made.User]})
		}
	}
	return logins
}

// expectApart expects logins of one user to keep apart.
func (o *operation) expectApart(mark emulator.Mark, least time.Duration) {
	GinkgoHelper()
	last := map[string]time.Time{}
	for _, login := range o.loginsSince(mark) {
		if before, ok := last[login.user]; ok {
			Expect(login.Time.Sub(before)).To(BeNumerically(">=", least), login.user)
		}
		last[login.user] = login.Time
	}
}

// expectNothingExpired expects that no token in a Secret ever expired or ended before its successor came; a sticky one
// was at most two seconds late.
func (o *operation) expectNothingExpired(sticky bool) {
	GinkgoHelper()
	ledger := o.gini.Ledger()
	Expect(ledger.TokenUses.Accepted).NotTo(BeZero())
	Expect(ledger.TokenUses.UsedEnded).To(BeZero())
	for _, use := range ledger.ExpiredUseList {
		Expect(sticky).To(BeTrue(), "expired at %v, used at %v", use.Expired, use.Used)
		Expect(use.Used.Sub(use.Expired)).To(BeNumerically("<=", 2*time.Second))
	}
}

// lifetimes are fixed ones and some by chance.
func lifetimes(longest time.Duration, more int) []time.Duration {
	chosen := []time.Duration{5, 6, 7, 10, 59, 181, 300, 540, 3600, 43200}
	random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 1))
	for range more {
		chosen = append(chosen, time.Duration(5*math.Exp(random.Float64()*math.Log(longest.Seconds()/5))))
	}
	for i := range chosen {
		chosen[i] *= time.Second
	}
	return append(chosen, longest)
}

const day = 24 * time.Hour

var _ = Describe("Tokens of every lifetime", stepwise, func() {
	It("never expire in a Secret, and are renewed no sooner than after a third of it (R1.1, R1.5, R1.7)", func(ctx SpecContext) {
		for i, lifetime := range lifetimes(3650*day, 8) {
			By(lifetime.String())
			behaviour := emulator.Behaviour{Lifetime: lifetime, Mode: []emulator.TokenMode{emulator.Fresh, emulator.FreshEndsOld}[i%2]}
			o := operate(ctx, emulator.WithLogin(behaviour), emulator.WithUserCenter(behaviour))
			o.giniClient(ctx)
			mark := o.gini.Mark()
			o.create(ctx, o.derived("alice"))
			impatient := o.anonymous("carol") // an interval longer than the lifetime, and a margin
			more := min(2*lifetime, 3650*day) // as much as may be asked for
			impatient.Spec.Renewal = &api.Renewal{Before: duration(more), VerifyInterval: duration(max(time.Minute, more))}
			o.create(ctx, impatient)
			o.run(ctx, 3*lifetime)
			o.expectNothingExpired(false)
			o.expectApart(mark, max(time.Second, (lifetime-2*time.Second)/3))
			o.expectWell(ctx, "alice", "carol")
			Expect(len(o.loginsSince(mark))).To(BeNumerically(">=", 8))
		}
	})

	It("are late by less than two seconds where they are sticky, for at most three logins each (R1.6, R16.1)", func(ctx SpecContext) {
		for _, lifetime := range lifetimes(30*day, 4) {
			By(lifetime.String())
			behaviour := sticky(lifetime)
			o := operate(ctx, emulator.WithLogin(behaviour), emulator.WithUserCenter(behaviour))
			o.giniClient(ctx)
			mark := o.gini.Mark()
			o.create(ctx, o.derived("alice"))
			o.create(ctx, o.anonymous("carol"))
			o.run(ctx, 4*lifetime+lifetime/2)
			o.expectNothingExpired(true)
			o.expectApart(mark, time.Second)
			for name, tokens := range o.loginsForEach(mark) {
				Expect(len(tokens)).To(BeNumerically(">=", 4), name)
				for _, logins := range tokens {
					Expect(logins).To(BeNumerically("<=", 3), name)
				}
			}
			for _, name := range []string{"alice", "carol"} {
				Expect(condition(o.user(ctx, name).Status.Conditions, api.ConditionSecretsWritten)).To(Equal("True StickyTokens"))
			}
			o.expectWell(ctx, "alice", "carol")
			Expect(o.toldOf("Normal CredentialsReady")).To(HaveLen(2), "Ready does not flap at a renewal")
		}
	})

	DescribeTable("are renewed neither late nor twice where Gini takes its time to answer (R1.2)",
		func(ctx SpecContext, mode emulator.TokenMode, takes time.Duration) {
			lifetime := time.Hour
			behaviour := emulator.Behaviour{Mode: mode, Lifetime: lifetime}
			o := operateServedBy(ctx, slowly(takes), emulator.WithLogin(behaviour))
			o.giniClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers = nil })
			mark := o.gini.Mark()
			o.create(ctx, o.derived("alice"))
			o.run(ctx, 10*lifetime)
			logins := o.loginsSince(mark)
			if mode == emulator.Sticky {
				for _, use := range o.gini.Ledger().ExpiredUseList {
					Expect(use.Used.Sub(use.Expired)).To(BeNumerically("<=", 2*time.Second+takes))
				}
				Expect(len(logins)).To(BeNumerically("<=", 12))
				return
			}
			o.expectNothingExpired(false)
			for i := 2; i < len(logins); i++ { // its own period, from request to request
				Expect(logins[i].Time.Sub(logins[i-1].Time)).To(BeNumerically("~", logins[1].Time.Sub(logins[0].Time), time.Second))
			}
			Expect(len(logins)).To(And(BeNumerically(">=", 15), BeNumerically("<=", 23)))
		},
		Entry("5 s", emulator.Fresh, 5*time.Second),
		Entry("30 s", emulator.Fresh, 30*time.Second),
		Entry("40 s", emulator.Fresh, 40*time.Second),
		Entry("40 s, sticky", emulator.Sticky, 40*time.Second),
	)

	DescribeTable("are not asked for in circles, whatever expires_in says (R1.7, R16.2)",
		func(ctx SpecContext, raw string, runs, apart time.Duration, most int, secretsWritten string) {
			o := operate(ctx, emulator.WithLogin(emulator.Behaviour{Lifetime: 2 * time.Hour, ExpiresInRaw: raw}))
			o.giniClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers = nil })
			mark := o.gini.Mark()
			o.create(ctx, o.derived("alice"))
			o.run(ctx, runs)
			o.expectApart(mark, apart)
			Expect(len(o.loginsSince(mark))).To(And(BeNumerically(">=", 1), BeNumerically("<=", most)))
			Expect(condition(o.user(ctx, "alice").Status.Conditions, api.ConditionSecretsWritten)).To(Equal(secretsWritten))
			Expect(o.usable(ctx, "alice-token")).To(BeTrue())
		},
		// A third of the assumed hour and more each, and three more logins for an answer that may mean a token that just ends.
		Entry("0", "0", 4*time.Hour, time.Second, 4*13, "True LifetimeUnknown"),
		Entry("negative", "-5", 4*time.Hour, time.Second, 4*13, "True LifetimeUnknown"),
		Entry("null", "null", 4*time.Hour, 20*time.Minute, 12, "True LifetimeUnknown"),
		Entry("text", `"abc"`, 4*time.Hour, 20*time.Minute, 12, "True LifetimeUnknown"),
		Entry("1", "1", 30*time.Second, time.Second, 31, "True SecretsWritten"),
		Entry("huge", "1e12", 90*time.Minute, time.Hour, 1, "True SecretsWritten"),
		Entry("as text", `"3599"`, 4*time.Hour, 20*time.Minute, 12, "True SecretsWritten"),
		Entry("with a fraction", "3600.0", 4*time.Hour, 20*time.Minute, 12, "True SecretsWritten"),
	)
})

// toldOf returns the Events that begin so, of all since it was last asked.
func (o *operation) toldOf(prefix string) (told []string) {
	for _, event := range o.world.told() {
		if strings.HasPrefix(event, prefix) {
			told = append(told, event)
		}
	}
	return told
}

// early is how many logins gave a token that was given before.
func (o *operation) early() (early int) {
	for _, user := range o.gini.Ledger().Users {
		early += user.Logins - user.TokensIssued
	}
	return early
}

// loginsForEach counts how many logins gave each token of each user.
func (o *operation) loginsForEach(mark emulator.Mark) map[string]map[int]int {
	counts := map[string]map[int]int{}
	issued := map[string]time.Time{}
	number := map[string]int{}
	lifetime := o.gini.Settings().Login.Lifetime
	for _, login := range o.loginsSince(mark) {
		if at, ok := issued[login.user]; !ok || !login.Time.Before(at.Add(lifetime)) {
			issued[login.user] = login.Time
			number[login.user]++
		}
		if counts[login.user] == nil {
			counts[login.user] = map[int]int{}
		}
		counts[login.user][number[login.user]]++
	}
	return counts
}

var _ = Describe("How Gini issues tokens", stepwise, func() {
	It("is recognised for each endpoint apart, and each has its own schedule", func(ctx SpecContext) {
		for _, swapped := range []bool{false, true} {
			login, userCenter := sticky(time.Hour), emulator.Behaviour{Lifetime: time.Hour}
			if swapped {
				login, userCenter = userCenter, login
			}
			o := operate(ctx, emulator.WithLogin(login), emulator.WithUserCenter(userCenter))
			o.giniClient(ctx)
			mark := o.gini.Mark()
			o.create(ctx, o.derived("alice"))
			o.create(ctx, o.anonymous("carol"))
			o.run(ctx, 6*time.Hour+time.Minute)
			known := o.clientReconciled(ctx).Status.TokenBehaviour
			stuck, free := "alice", "carol"
			if swapped {
				stuck, free = free, stuck
				Expect(known.Login.Mode).To(Equal(api.FreshTokens))
				Expect(known.UserCenter.Mode).To(Equal(api.StickyTokens))
			} else {
				Expect(known.Login.Mode).To(Equal(api.StickyTokens))
				Expect(known.UserCenter.Mode).To(Equal(api.FreshTokens))
			}
			counts := map[string]int{}
			for _, login := range o.loginsSince(mark) {
				counts[login.user]++
			}
			Expect(counts[stuck]).To(Equal(8), "one for each of seven tokens, and one that found out")
			Expect(counts[free]).To(And(BeNumerically(">=", 9), BeNumerically("<=", 14)), "each half of an hour or so")
			for _, use := range o.gini.Ledger().ExpiredUseList {
				Expect(use.User).NotTo(Equal(o.user(ctx, free).Status.UserID))
				Expect(use.Used.Sub(use.Expired)).To(BeNumerically("<=", 2*time.Second))
			}
			o.expectWell(ctx, "alice", "carol")
		}
	})

	It("is noticed when it becomes sticky, by the next renewal of each user", func(ctx SpecContext) {
		o := operate(ctx)
		o.giniClient(ctx)
		names := o.fleet(ctx, 4, time.Minute)
		o.run(ctx, day)
		Expect(o.clientReconciled(ctx).Status.TokenBehaviour.Login.Mode).To(Equal(api.FreshTokens))
		o.gini.Configure(func(settings *emulator.Settings) {
			settings.Login.Mode, settings.UserCenter.Mode = emulator.Sticky, emulator.Sticky
		})
		mark := o.gini.Mark()
		o.run(ctx, 4*day)
		known := o.clientReconciled(ctx).Status.TokenBehaviour
		Expect(known.Login.Mode).To(Equal(api.StickyTokens))
		Expect(known.UserCenter.Mode).To(Equal(api.StickyTokens))
		o.expectNothingExpired(true)
		// Eight tokens each, one login that found out for each, and one user's daily look at each endpoint.
		Expect(len(o.loginsSince(mark))).To(BeNumerically("<=", len(names)*(9+1)+2*4))
		o.expectWell(ctx, names...)
	})

	It("is noticed when it is sticky no more: one user looks again, once a day", func(ctx SpecContext) {
		lifetime := 2 * time.Hour
		o := operate(ctx, emulator.WithLogin(sticky(lifetime)))
		o.giniClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers = nil })
		names := []string{"alice", "bob", "carla"}
		for _, name := range names {
			o.create(ctx, o.derived(name))
		}
		o.run(ctx, 12*time.Hour)
		early := o.early()
		o.run(ctx, 3*day)
		// Sticky tokens are renewed at their end, and not before: but for the looks.
		// The user whose turn it is asks a moment before the end of its token, and early in the life of the next one.
		Expect(o.early()-early).To(And(BeNumerically(">=", 2), BeNumerically("<=", 2*3)), "a look a day, by one of three")

		o.gini.Configure(func(settings *emulator.Settings) { settings.Login.Mode = emulator.Fresh })
		o.run(ctx, day+2*lifetime)
		Expect(o.clientReconciled(ctx).Status.TokenBehaviour.Login.Mode).To(Equal(api.FreshTokens))
		before := o.gini.Ledger().ExpiredUses()
		o.run(ctx, day)
		Expect(o.gini.Ledger().ExpiredUses()).To(Equal(before), "and nobody has a gap any more")
		for _, name := range names {
			Expect(condition(o.user(ctx, name).Status.Conditions, api.ConditionSecretsWritten)).To(Equal("True SecretsWritten"))
		}
		o.expectWell(ctx, names...)
	})

	It("is known after a restart: no login finds out again", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithLogin(sticky(time.Hour)))
		o.giniClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers = nil })
		o.create(ctx, o.derived("alice"))
		o.run(ctx, 90*time.Minute)
		mark := o.gini.Mark()
		o.startOver()
		o.wake("alice")
		o.run(ctx, 3*time.Hour)
		Expect(o.loginsSince(mark)).To(HaveLen(3))
		o.expectNothingExpired(true)
	})
})

func duration(of time.Duration) *metav1.Duration { return &metav1.Duration{Duration: of} }

var _ = Describe("Refresh tokens", stepwise, func() {
	type expectation struct {
		refreshes int
		replaced  bool
	}
	DescribeTable("are used for nothing but what a person asks for, and never stored (R16.5)",
		func(ctx SpecContext, mode emulator.TokenMode, refresh emulator.RefreshMode, lifetime time.Duration, want expectation) {
			behaviour := emulator.Behaviour{Mode: mode, Lifetime: time.Hour, Refresh: refresh, RefreshLifetime: lifetime}
			o := operate(ctx, emulator.WithLogin(behaviour), emulator.WithUserCenter(behaviour))
			o.giniClient(ctx)
			for _, user := range []*api.GiniUser{o.derived("alice"), o.anonymous("carol")} {
				o.create(ctx, user)
			}
			o.run(ctx, 5*time.Hour+10*time.Minute)
			Expect(o.gini.Ledger().Count(emulator.Refresh)).To(BeZero(), "a renewal is a login")
			o.expectNothingExpired(mode == emulator.Sticky)

			mark := o.gini.Mark()
			for _, name := range []string{"alice", "carol"} {
				before := o.data(ctx, name+"-token")["access_token"]
				user := o.refresh(ctx, name, "please")
				Expect(user.Status.LastHandledRefreshRequest).To(Equal("please"))
				if want.replaced {
					Expect(o.data(ctx, name+"-token")["access_token"]).NotTo(Equal(before), name)
				} else {
					Expect(o.data(ctx, name+"-token")["access_token"]).To(Equal(before), name)
				}
				Expect(o.data(ctx, name+"-token")).NotTo(HaveKey("refresh_token"))
				Expect(o.data(ctx, name+"-account")).NotTo(HaveKey("refresh_token"))
				o.wake(name)
			}
			Expect(o.gini.Since(mark).Count(emulator.Refresh)).To(Equal(2 * want.refreshes))
			o.run(ctx, 3*time.Hour)
			o.expectWell(ctx, "alice", "carol")
		},
		Entry("fresh, without", emulator.Fresh, emulator.RefreshAbsent, time.Duration(0), expectation{0, true}),
		Entry("fresh, stable", emulator.Fresh, emulator.RefreshStable, 30*day, expectation{0, true}),
		Entry("fresh, rotating", emulator.Fresh, emulator.RefreshRotating, 30*day, expectation{0, true}),
		Entry("ends the old, rotating", emulator.FreshEndsOld, emulator.RefreshRotating, 30*day, expectation{0, true}),
		Entry("sticky, without", emulator.Sticky, emulator.RefreshAbsent, time.Duration(0), expectation{0, false}),
		Entry("sticky, stable", emulator.Sticky, emulator.RefreshStable, 30*day, expectation{1, true}),
		Entry("sticky, rotating", emulator.Sticky, emulator.RefreshRotating, 30*day, expectation{1, true}),
		Entry("sticky, expired by then, which ends the access token all the same", emulator.Sticky, emulator.RefreshStable, time.Minute, expectation{1, true}),
	)

	DescribeTable("that come to nothing lock nobody out: the login is the root (R16.5)",
		func(ctx SpecContext, effect emulator.Effect) {
			behaviour := emulator.Behaviour{Mode: emulator.Sticky, Lifetime: time.Hour, Refresh: emulator.RefreshRotating, RefreshLifetime: 30 * day}
			o := operate(ctx, emulator.WithLogin(behaviour))
			o.giniClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers = nil })
			o.create(ctx, o.derived("alice"))
			o.run(ctx, 90*time.Minute)
			o.gini.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.Refresh}}, Effect: effect})
			o.refresh(ctx, "alice", "please")
			o.wake("alice")
			o.run(ctx, time.Minute)
			Expect(o.user(ctx, "alice").Status.LastHandledRefreshRequest).To(Equal("please"))
			o.expectWell(ctx, "alice")
		},
		Entry("the answer is cut after it took effect", emulator.CutMidBody().AfterTakingEffect()),
		Entry("the answer is lost after it took effect", emulator.Unavailable().AfterTakingEffect()),
		Entry("401", emulator.Status(401, `{"error":"invalid_client"}`)),
	)
})

var _ = Describe("Client tokens", stepwise, func() {
	It("that are sticky end before their use: another one is asked for (R16.6)", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithClientToken(sticky(10*time.Minute)))
		o.giniClient(ctx)
		mark := o.gini.Mark()
		var names []string
		for number := range 12 { // some of them just before an end, and just after
			name := fmt.Sprintf("user-%02d", number)
			o.create(ctx, o.anonymous(name))
			names = append(names, name)
			o.run(ctx, 199*time.Second+500*time.Millisecond)
		}
		o.expectWell(ctx, names...)
		Expect(o.gini.Ledger().Accounts()).To(HaveLen(12))
		Expect(o.gini.Since(mark).Count(emulator.ClientToken)).To(BeNumerically("<=", 10))
		Expect(o.gini.Ledger().ExpiredClientTokenUses()).To(BeNumerically("<=", 4))
	})

	DescribeTable("that Gini ended early are replaced, whatever it answers to them (R16.6)",
		func(ctx SpecContext, status int) {
			o := operate(ctx, emulator.WithSettings(func(settings *emulator.Settings) { settings.StaleClientTokenStatus = status }))
			o.giniClient(ctx)
			o.create(ctx, o.anonymous("carol"))
			o.run(ctx, time.Minute)
			o.gini.EndClientTokens(clientID)
			mark := o.gini.Mark()
			o.create(ctx, o.anonymous("dave"))
			o.run(ctx, 5*time.Second)
			o.expectWell(ctx, "carol", "dave")
			Expect(o.gini.Since(mark).Count(emulator.ClientToken)).To(BeNumerically("<=", 2))
			Expect(o.gini.Ledger().Accounts()).To(HaveLen(2))
			for _, event := range o.told() {
				Expect(event).NotTo(ContainSubstring("Warning"))
			}
		},
		Entry("400", 400), Entry("401", 401), Entry("403", 403), Entry("500", 500),
	)
})
