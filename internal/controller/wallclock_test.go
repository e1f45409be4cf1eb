package controller_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// machine is the clock of the operator's machine. Its wall clock may be stepped, may drift, and goes on while the machine is
// suspended; its monotonic one, by which timers go, does none of that. Gini's clock is the truth.
type machine struct {
	*testclock.FakeClock // the wall clock
	truth                *testclock.FakeClock
	// drift is how many seconds the wall clock gains in one.
	drift float64

	mu     sync.Mutex
	awake  time.Duration // the monotonic clock
	timers []*machineTimer
	looked chan struct{} // closed when somebody looks at the clock
}

// booted is when the monotonic clock began.
var booted = time.Now()

// Now implements clock.PassiveClock: an instant as time.Now gives it, with a monotonic reading.
func (m *machine) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.looked != nil {
		close(m.looked)
		m.looked = nil
	}
	return instant(m.FakeClock.Now(), m.awake)
}

// Since implements clock.PassiveClock.
func (m *machine) Since(since time.Time) time.Duration { return m.Now().Sub(since) }

// instant puts together a wall clock's reading and a monotonic one that it has parted from. Nothing but a suspended machine makes
// such a thing, so it is written into the place where package time keeps the wall clock: seconds since 1885 and nanoseconds.
func instant(wall time.Time, monotonic time.Duration) time.Time {
	at := booted.Add(monotonic)
	parts := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&at))
	seconds := uint64(wall.Sub(time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC)) / time.Second)
	parts.wall = 1<<63 | seconds<<30 | uint64(wall.Nanosecond())
	return at
}

// pass lets time go by.
func (m *machine) pass(by time.Duration) {
	m.mu.Lock()
	m.awake += by
	m.mu.Unlock()
	m.truth.Step(by)
	m.Step(by + time.Duration(m.drift*float64(by)))
}

// sleep suspends the machine: no timer fires, and its monotonic clock stands still.
func (m *machine) sleep(by time.Duration) {
	m.truth.Step(by)
	m.Step(by)
}

// machineTimer is a timer as time.AfterFunc makes it.
type machineTimer struct {
	machine *machine
	at      time.Duration // of the monotonic clock
	run     func()
}

// AfterFunc implements clock.WithDelayedExecution.
func (m *machine) AfterFunc(after time.Duration, run func()) clock.Timer {
	m.mu.Lock()
	defer m.mu.Unlock()
	timer := &machineTimer{machine: m, at: m.awake + max(0, after), run: run}
	m.timers = append(m.timers, timer)
	return timer
}

// C implements clock.Timer.
func (t *machineTimer) C() <-chan time.Time { return nil }

// Reset implements clock.Timer.
func (t *machineTimer) Reset(time.Duration) bool { panic("nobody resets a timer of AfterFunc") }

// Stop implements clock.Timer.
func (t *machineTimer) Stop() bool {
	t.machine.mu.Lock()
	defer t.machine.mu.Unlock()
	for i, timer := range t.machine.timers {
		if timer == t {
			t.machine.timers = append(t.machine.timers[:i], t.machine.timers[i+1:]...)
			return true
		}
	}
	return false
}

// nextTimer is the timer that fires first; nil where there is none.
func (m *machine) nextTimer() *machineTimer {
	m.mu.Lock()
	defer m.mu.Unlock()
	var first *machineTimer
	for _, timer := range m.timers {
		if first == nil || timer.at < first.at {
			first = timer
		}
	}
	return first
}

// fire runs a timer, and returns once what it sets off has begun: it looks at the clock.
func (m *machine) fire(timer *machineTimer) {
	timer.Stop()
	looked := make(chan struct{})
	m.mu.Lock()
	m.looked = looked
	m.mu.Unlock()
	timer.run()
	<-looked
}

// NewTimer implements clock.Clock: whoever waits for its turn has time go by.
func (m *machine) NewTimer(after time.Duration) clock.Timer {
	m.pass(after)
	over := testclock.NewFakeClock(m.FakeClock.Now())
	timer := over.NewTimer(0)
	over.Step(0)
	return timer
}

// NewTicker implements clock.WithTicker: whoever wants a sweep begins it.
func (m *machine) NewTicker(time.Duration) clock.Ticker {
	return testclock.NewFakeClock(m.FakeClock.Now()).NewTicker(time.Hour)
}

// fleet makes users of both endpoints, some minutes apart, and returns their names.
func (o *operation) fleet(ctx context.Context, size int, apart time.Duration) (names []string) {
	GinkgoHelper()
	for number := range size {
		name := fmt.Sprintf("user-%02d", number)
		user := o.derived(name)
		if number%3 == 2 {
			user = o.anonymous(name)
		}
		o.create(ctx, user)
		o.run(ctx, apart)
		names = append(names, name)
	}
	return names
}

// expectWell expects that all is as if nothing had been.
func (o *operation) expectWell(ctx context.Context, names ...string) {
	GinkgoHelper()
	for _, name := range names {
		Expect(ready(o.user(ctx, name))).To(Equal("True CredentialsReady"), name)
		Expect(o.usable(ctx, name+"-token")).To(BeTrue(), name)
	}
	Expect(o.agenda.Alive(nil)).To(Succeed())
}

var _ = Describe("The wall clock", stepwise, func() {
	It("that went on while the machine was suspended: what is due is begun within 10 s of the resume, once (R11.1)", func(ctx SpecContext) {
		for _, behaviour := range []emulator.Behaviour{{Lifetime: 90 * time.Minute}, sticky(90 * time.Minute)} {
			o := operate(ctx, emulator.WithLogin(behaviour), emulator.WithUserCenter(behaviour))
			o.giniClient(ctx)
			names := o.fleet(ctx, 12, 5*time.Minute)
			now := o.machine.Now()
			o.machine.sleep(time.Hour)
			Expect(o.machine.Now().Sub(now)).To(BeZero(), "a monotonic clock that stands still")
			Expect(o.agenda.Alive(nil)).To(Succeed(), "sleep is no reason to start over")

			due, resumed, mark := map[string]bool{}, o.machine.truth.Now(), o.gini.Mark()
			for entry := range o.users.Entries(ctx) {
				due[entry.Key.Name] = !entry.DueAt.After(o.clock.Now())
				if behaviour.Mode == emulator.Sticky { // there is no use in asking earlier
					due[entry.Key.Name] = entry.ExpiresAt.Add(2 * time.Second).Before(o.clock.Now())
				}
			}
			o.run(ctx, 10*time.Second)
			renewed := map[string]int{}
			for _, login := range o.loginsSince(mark) {
				Expect(login.Time.Sub(resumed)).To(BeNumerically("<=", 10*time.Second))
				renewed[login.user]++
			}
			count := 0
			for _, name := range names {
				if due[name] {
					count++
					Expect(renewed).To(HaveKeyWithValue(name, 1), name)
				}
			}
			Expect(count).To(BeNumerically(">=", 4), "many were due: %v", due)
			o.run(ctx, 20*time.Second)
			Expect(o.loginsSince(mark)).To(HaveLen(len(renewed)), "and nothing twice")
			o.expectWell(ctx, names...)
		}
	})

	It("that goes on during a pause of the client: the pause is over when the wall clock says so (R11.1)", func(ctx SpecContext) {
		o := operate(ctx)
		o.giniClient(ctx)
		names := o.fleet(ctx, 3, time.Minute)
		remove := o.gini.Script(emulator.Fault{Match: emulator.Match{Operations: tokenRequests}, Effect: emulator.TooManyRequests(50 * time.Minute)})
		o.run(ctx, 9*time.Hour)
		remove()
		o.machine.sleep(time.Hour)
		o.run(ctx, 30*time.Second)
		o.expectWell(ctx, names...)
	})

	DescribeTable("that is stepped: nothing expires, and nobody renews more than once for it (R11.3)",
		func(ctx SpecContext, step time.Duration, mode emulator.TokenMode, lifetime time.Duration) {
			behaviour := emulator.Behaviour{Mode: mode, Lifetime: lifetime}
			o := operate(ctx, emulator.WithLogin(behaviour), emulator.WithUserCenter(behaviour))
			o.giniClient(ctx)
			names := o.fleet(ctx, 6, lifetime/20)
			for range 2 { // there, and back again
				mark := o.gini.Mark()
				o.machine.Step(step)
				o.run(ctx, lifetime/4)
				renewals := map[string]int{}
				for _, login := range o.loginsSince(mark) {
					renewals[login.user]++
				}
				for name, count := range renewals {
					Expect(count).To(Equal(1), name)
				}
				step = -step
			}
			o.run(ctx, 2*lifetime)
			o.expectNothingExpired(mode == emulator.Sticky)
			o.expectWell(ctx, names...)
		},
		Entry("an hour forth and back", time.Hour, emulator.Fresh, 12*time.Hour),
		Entry("an hour back and forth", -time.Hour, emulator.Fresh, 12*time.Hour),
		Entry("a year forth and back", 365*24*time.Hour, emulator.Fresh, 12*time.Hour),
		Entry("a year back and forth", -365*24*time.Hour, emulator.Fresh, 12*time.Hour),
		Entry("an hour, far more than the lifetime, forth and back", time.Hour, emulator.Fresh, 10*time.Minute),
		Entry("an hour, far more than the lifetime, back and forth", -time.Hour, emulator.Fresh, 10*time.Minute),
		Entry("fifty years back and forth", -50*365*24*time.Hour, emulator.Fresh, time.Hour),
		Entry("an hour forth and back, where a login ends the token", time.Hour, emulator.FreshEndsOld, 12*time.Hour),
	)

	DescribeTable("that is set back while tokens are in the middle of their lives: they end no later for that (R11.3)",
		func(ctx SpecContext, mode emulator.TokenMode, lifetime, age, step time.Duration) {
			behaviour := emulator.Behaviour{Mode: mode, Lifetime: lifetime}
			o := operate(ctx, emulator.WithLogin(behaviour), emulator.WithUserCenter(behaviour))
			o.giniClient(ctx)
			names := o.fleet(ctx, 9, time.Second)
			if mode == emulator.Sticky {
				o.run(ctx, 2*lifetime) // until that is known
			}
			o.run(ctx, age)
			o.machine.Step(step)
			o.run(ctx, 2*lifetime)
			o.expectNothingExpired(mode == emulator.Sticky)
			o.expectWell(ctx, names...)
		},
		Entry("fresh ones of 2 hours by an hour", emulator.Fresh, 2*time.Hour, 65*time.Minute, -time.Hour),
		Entry("fresh ones of 12 hours by an hour", emulator.Fresh, 12*time.Hour, 6*time.Hour, -time.Hour),
		Entry("sticky ones of 12 hours by an hour", emulator.Sticky, 12*time.Hour, 6*time.Hour, -time.Hour),
	)

	It("that was a year ahead holds no user back for that long (R11.3)", func(ctx SpecContext) {
		o := operate(ctx)
		o.giniClient(ctx)
		o.create(ctx, o.derived("bob"))
		o.run(ctx, time.Second)
		remove := o.gini.Script(emulator.Fault{Match: emulator.Match{User: "alice-8f1c"}, Effect: emulator.Status(422, `{"message":"no"}`)})
		o.create(ctx, o.derived("alice"))
		o.run(ctx, time.Minute)
		Expect(o.user(ctx, "alice").Status.Attempt).NotTo(BeNil())
		remove()
		o.machine.Step(-365 * 24 * time.Hour)
		o.run(ctx, time.Minute)
		o.expectWell(ctx, "alice")
	})

	It("that was a year ahead holds no client back over a restart for that long (R11.3)", func(ctx SpecContext) {
		o := operate(ctx)
		o.giniClient(ctx)
		o.gini.RotateSecret(clientID, "another")
		o.create(ctx, o.derived("alice"))
		o.run(ctx, 10*time.Minute)
		Expect(ready(o.user(ctx, "alice"))).To(HaveSuffix("CredentialsRejected"))
		o.clientReconciled(ctx)
		o.gini.RotateSecret(clientID, clientSecret)
		o.machine.Step(-365 * 24 * time.Hour)
		o.startOver()
		o.wake("alice")
		o.run(ctx, time.Minute)
		o.expectWell(ctx, "alice")
	})

	DescribeTable("that passes the time of a verification unseen: it is made after that (R1.3, R11.1)", func(ctx SpecContext, starts bool) {
		endsOld := emulator.Behaviour{Mode: emulator.FreshEndsOld, Lifetime: 12 * time.Hour}
		o := operate(ctx, emulator.WithLogin(endsOld), emulator.WithUserCenter(endsOld))
		o.giniClient(ctx)
		user := o.derived("alice")
		user.Spec.Renewal = &api.Renewal{VerifyInterval: &metav1.Duration{Duration: 2 * time.Hour}}
		o.create(ctx, user)
		o.run(ctx, 2*time.Hour+time.Minute)
		o.logInElsewhere(ctx, "alice-8f1c")
		Expect(o.usable(ctx, "alice-token")).To(BeFalse())
		o.machine.sleep(2*time.Hour + time.Minute)
		if starts {
			o.startOver()
			o.wake("alice")
		}
		o.run(ctx, 3*agenda.Interval)
		Expect(o.usable(ctx, "alice-token")).To(BeTrue())
	},
		Entry("asleep", false),
		Entry("while no operator ran", true),
	)

	DescribeTable("that drifts by a second a minute for a day is no reason to start over, nor to let anything expire (R11.2)",
		func(ctx SpecContext, drift float64) {
			o := operate(ctx, emulator.WithLifetime(2*time.Hour))
			o.machine.drift = drift
			o.giniClient(ctx)
			names := o.fleet(ctx, 3, time.Minute)
			mark := o.gini.Mark()
			for range 24 {
				o.run(ctx, time.Hour)
				o.agenda.Sweep(ctx)
				Expect(o.agenda.Alive(nil)).To(Succeed())
			}
			o.expectNothingExpired(false)
			o.expectApart(mark, 40*time.Minute-time.Minute)
			Expect(len(o.loginsSince(mark))).To(BeNumerically("<=", 3*24*60/39))
			o.expectWell(ctx, names...)
		},
		Entry("fast", 1.0/60),
		Entry("slow", -1.0/60),
	)
})

// logInElsewhere is another program that logs a derived user in.
func (w *world) logInElsewhere(ctx context.Context, identifier string) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/login", http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Accept", emulator.MediaTypeV1)
	request.Header.Set("X-User-Identifier", identifier)
	w.expectOK(request)
}

// logInAccountElsewhere is another program that logs an anonymous user in.
func (w *world) logInAccountElsewhere(ctx context.Context, email, password string) {
	GinkgoHelper()
	form := url.Values{"username": {email}, "password": {password}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/oauth/token?grant_type=password", strings.NewReader(form.Encode()))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w.expectOK(request)
}

func (w *world) expectOK(request *http.Request) {
	GinkgoHelper()
	request.SetBasicAuth(clientID, clientSecret)
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	Expect(response.StatusCode).To(Equal(http.StatusOK))
}

var _ = Describe("A token that Gini ended early", stepwise, func() {
	endsOld := emulator.Behaviour{Mode: emulator.FreshEndsOld, Lifetime: 12 * time.Hour}

	It("because somebody else logged in is noticed by the next verification, for one login (R1.5)", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithLogin(endsOld), emulator.WithUserCenter(endsOld))
		o.giniClient(ctx)
		for _, user := range []*api.GiniUser{o.derived("alice"), o.anonymous("carol")} {
			user.Spec.Renewal = &api.Renewal{VerifyInterval: &metav1.Duration{Duration: 30 * time.Minute}}
			o.create(ctx, user)
		}
		o.run(ctx, 31*time.Minute)
		account := o.data(ctx, "carol-account")
		for range 3 {
			mark := o.gini.Mark()
			o.logInElsewhere(ctx, "alice-8f1c")
			o.logInAccountElsewhere(ctx, account["email"], account["password"])
			Expect(o.usable(ctx, "alice-token")).To(BeFalse())
			Expect(o.usable(ctx, "carol-token")).To(BeFalse())
			o.run(ctx, 30*time.Minute+agenda.Interval)
			o.expectWell(ctx, "alice", "carol")
			Expect(o.gini.Since(mark).Count(emulator.Login)).To(Equal(2), "one there, one here")
			Expect(o.gini.Since(mark).Count(emulator.PasswordLogin)).To(Equal(2), "one there, one here")
		}
	})

	It("is not noticed where nobody asks for it, until a person does by the annotation (R1.5)", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithLogin(endsOld))
		o.giniClient(ctx)
		o.create(ctx, o.derived("alice"))
		o.run(ctx, time.Minute)
		o.logInElsewhere(ctx, "alice-8f1c")
		mark := o.gini.Mark()
		o.run(ctx, 3*time.Hour)
		Expect(o.gini.Since(mark).Requests()).To(BeZero(), "verification is off by default")
		update(ctx, &api.GiniUser{}, o.key("alice"), func(user *api.GiniUser) {
			user.Annotations = map[string]string{api.RefreshRequestedAnnotation: "after-401"}
		})
		o.run(ctx, agenda.Interval) // though no watch tells of it
		o.expectWell(ctx, "alice")
		Expect(o.loginsSince(mark)).To(HaveLen(1))
	})

	It("with a change of the password is noticed by verification, and mended by the right password", func(ctx SpecContext) {
		o := operate(ctx)
		o.giniClient(ctx)
		o.gini.AddAccount(clientID, "a@acme.example", "password-1")
		o.secret(ctx, "carol-account", map[string]string{"email": "a@acme.example", "password": "password-1"})
		user := o.anonymous("carol")
		user.Spec.Anonymous.AccountSecret.Mode = api.ExistingAccount
		user.Spec.Renewal = &api.Renewal{VerifyInterval: &metav1.Duration{Duration: time.Hour}}
		o.create(ctx, user)
		o.run(ctx, time.Minute)
		o.expectWell(ctx, "carol")

		o.gini.ChangePassword("a@acme.example", "password-2")
		o.gini.EndTokensOf("a@acme.example")
		o.run(ctx, time.Hour+agenda.Interval)
		Expect(ready(o.user(ctx, "carol"))).To(Equal("False AccountRejected"))
		mark := o.gini.Mark()
		o.run(ctx, 12*time.Hour)
		Expect(o.gini.Since(mark).Requests()).To(BeZero(), "only a person can help")

		o.updateSecret(ctx, "carol-account", map[string]string{"password": "password-2"})
		o.wake("carol")
		o.run(ctx, time.Second)
		o.expectWell(ctx, "carol")
		Expect(o.gini.Ledger().Accounts()).To(HaveLen(1))
	})
})
