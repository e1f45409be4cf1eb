package controller_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// suffers has what tokens are had by come to nothing but an effect.
func (o *operation) suffers(effect emulator.Effect) (end func()) {
	return o.gini.Script(emulator.Fault{Match: emulator.Match{Operations: tokenRequests}, Effect: effect})
}

// asked are the moments at which Gini was asked for tokens since a mark.
func (o *operation) asked(mark emulator.Mark) (moments []time.Time) {
	for _, made := range o.gini.Ledger().CallsSince(mark) {
		if slices.Contains(tokenRequests, made.Operation) {
			moments = append(moments, made.Time)
		}
	}
	return moments
}

// busiest is how many of some moments lie within a second, at most.
func busiest(moments []time.Time) (most int) {
	for i, first := range moments {
		count := 0
		for _, other := range moments[i:] {
			if other.Sub(first) < time.Second {
				count++
			}
		}
		most = max(most, count)
	}
	return most
}

// statusWrites counts what the operator writes of the status of each user.
type statusWrites struct {
	mu     sync.Mutex
	counts map[string]int
}

func (o *operation) countStatusWrites() *statusWrites {
	GinkgoHelper()
	writes := &statusWrites{counts: map[string]int{}}
	o.writes = interceptor.NewClient(k8s, interceptor.Funcs{
		SubResourcePatch: func(
			ctx context.Context, c client.Client, subResource string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption,
		) error {
			if _, ok := object.(*api.GiniUser); ok {
				writes.mu.Lock()
				writes.counts[object.GetName()]++
				writes.mu.Unlock()
			}
			return c.SubResource(subResource).Patch(ctx, object, patch, options...)
		},
	})
	o.startOver()
	return writes
}

func (s *statusWrites) taken() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.counts
	s.counts = map[string]int{}
	return taken
}

func slowClient(object *api.GiniClient) { object.Spec.Requests = &api.RequestLimits{RatePerSecond: 2} }

var _ = Describe("An outage", stepwise, func() {
	It("of an hour is told once, is probed, and ends with the expired first, at the client's rate (R2.3, R2.7)", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithLifetime(90*time.Minute))
		writes := o.countStatusWrites()
		o.giniClient(ctx, slowClient, func(object *api.GiniClient) { object.Spec.AnonymousUsers = nil })
		var names []string
		for number := range 16 {
			names = append(names, fmt.Sprintf("user-%02d", number))
			o.create(ctx, o.derived(names[number]))
			o.run(ctx, 225*time.Second)
		}
		o.told()
		writes.taken()
		mark, end := o.gini.Mark(), o.suffers(emulator.Unavailable())
		o.run(ctx, time.Hour)
		probes := o.asked(mark)
		Expect(len(probes)).To(And(BeNumerically(">=", 180), BeNumerically("<=", 3600/13.5+8)), "every 15 s at last, or up to a tenth earlier")
		told := o.told()
		Expect(told).To(HaveLen(1), "the client's: %v", told)
		Expect(told[0]).To(HavePrefix("Warning GiniUnavailable"))
		for name, count := range writes.taken() {
			Expect(count).To(BeNumerically("<=", 2), "%s: of the trouble, and when its token expired", name)
		}

		expired, behind := map[string]bool{}, map[string]bool{}
		for _, name := range names {
			expired[name] = !o.user(ctx, name).Status.Devices.Untrusted.ExpiresAt.After(o.clock.Now())
			says := ready(o.user(ctx, name))
			if expired[name] {
				Expect(says).To(Equal("False GiniUnavailable"), name)
			} else {
				Expect(says).To(HavePrefix("True"), name)
			}
		}
		for _, made := range o.gini.Ledger().CallsSince(mark) { // whoever probed since the last sweep is behind all others
			if slices.Contains(tokenRequests, made.Operation) && o.machine.truth.Now().Sub(made.Time) <= agenda.Interval {
				behind[strings.TrimSuffix(made.User, "-8f1c")] = true
			}
		}
		end()
		mark = o.gini.Mark()
		o.run(ctx, 46*time.Second) // the longest pause between probes, and half a minute
		logins := o.loginsSince(mark)
		var turns []string
		for _, login := range logins[1:] { // after the probe
			if !behind[login.user] {
				turns = append(turns, map[bool]string{true: "expired", false: "valid"}[expired[login.user]])
			}
		}
		Expect(turns).To(And(ContainElement("expired"), ContainElement("valid")))
		Expect(slices.IsSorted(turns)).To(BeTrue(), "%v", turns)
		Expect(busiest(o.asked(mark))).To(BeNumerically("<=", 4), "two a second, after a burst of two")
		o.expectWell(ctx, names...)
		Expect(o.toldOf("Normal CredentialsAccepted")).To(HaveLen(1))
	})

	It("of almost a third of a lifetime, from the moment at which a token is due, lets none expire (R1.5)", func(ctx SpecContext) {
		for range 4 { // of different spreads
			o := operate(ctx, emulator.WithLifetime(time.Hour))
			o.giniClient(ctx)
			o.create(ctx, o.derived("alice"))
			o.run(ctx, time.Second)
			o.run(ctx, o.user(ctx, "alice").Status.Devices.Untrusted.RefreshAt.Sub(o.clock.Now())-time.Second)
			end := o.suffers(emulator.Unavailable())
			o.run(ctx, 18*time.Minute)
			end()
			o.run(ctx, time.Hour)
			o.expectNothingExpired(false)
			o.expectWell(ctx, "alice")
		}
	})

	DescribeTable("of any kind is over when it is over: within one pause, and the conditions say so (R1.4)",
		func(ctx SpecContext, effect emulator.Effect) {
			o := operate(ctx, emulator.WithLifetime(8*time.Minute)) // none is renewed in the first three minutes
			o.giniClient(ctx)
			user := o.derived("alice")
			user.Spec.Renewal = &api.Renewal{VerifyInterval: duration(time.Minute)}
			o.create(ctx, user)
			o.create(ctx, o.anonymous("carol"))
			o.run(ctx, 5*time.Second)
			data := o.data(ctx, "alice-token")

			By("a verification that fails, which changes no data")
			remove := o.gini.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.Documents}, User: "alice-8f1c"}, Effect: effect})
			o.run(ctx, time.Minute+10*time.Second)
			remove()
			o.run(ctx, 46*time.Second)
			Expect(o.data(ctx, "alice-token")).To(Equal(data))
			o.expectWell(ctx, "alice", "carol")

			By("renewals that fail")
			end := o.suffers(effect)
			o.run(ctx, 8*time.Minute)
			Expect(ready(o.user(ctx, "alice"))).To(HavePrefix("False "))
			Expect(ready(o.user(ctx, "carol"))).To(HavePrefix("False "))
			end()
			o.run(ctx, time.Minute+time.Second) // the longest pause, after many an answer 429
			o.expectWell(ctx, "alice", "carol")
			Expect(condition(o.clientReconciled(ctx).Status.Conditions, api.ConditionReady)).To(HavePrefix("True "))
			Expect(o.gini.Ledger().Accounts()).To(HaveLen(1))
		},
		Entry("503", emulator.Unavailable()),
		Entry("429", emulator.TooManyRequests(45*time.Second)),
		Entry("cut before the answer", emulator.CutBeforeHeader()),
		Entry("cut in the middle of the body", emulator.CutMidBody()),
		Entry("JSON that ends too early", emulator.BrokenJSON()),
		Entry("a web page", emulator.HTML()),
		Entry("a redirect", emulator.Redirect(http.StatusFound, "https://login.acme.example")),
		Entry("another API", emulator.Status(http.StatusNotFound, "no such page")),
	)

	It("is none where every third call fails", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithLifetime(10*time.Minute))
		o.giniClient(ctx)
		names := o.fleet(ctx, 9, 20*time.Second)
		o.told()
		o.gini.Script(emulator.Fault{Match: emulator.Match{Operations: tokenRequests, Every: 3}, Effect: emulator.Unavailable()})
		mark := o.gini.Mark()
		o.run(ctx, 30*time.Minute)
		counts := o.gini.Since(mark)
		Expect(counts.CountStatus(http.StatusServiceUnavailable)).To(BeNumerically(">=", 10))
		Expect(counts.CountStatus(http.StatusServiceUnavailable)).To(BeNumerically("<=", len(o.asked(mark))/3), "each is tried again by itself, once")
		Expect(o.toldOf("Warning")).To(BeEmpty())
		Expect(condition(o.clientReconciled(ctx).Status.Conditions, api.ConditionReady)).To(Equal("True CredentialsAccepted"))
		o.expectNothingExpired(false)
		o.gini.Reset()
		o.run(ctx, 10*time.Second)
		o.expectWell(ctx, names...)
	})

	It("forgets nobody, though the work queue loses every other item (R1.3)", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithLifetime(10*time.Minute))
		o.giniClient(ctx)
		names := o.fleet(ctx, 6, time.Minute)
		random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 2))
		o.dropped = func() bool { return random.IntN(2) == 0 }
		o.run(ctx, time.Hour)
		o.expectNothingExpired(false)
		end := o.suffers(emulator.Unavailable())
		o.run(ctx, 12*time.Minute)
		end()
		o.run(ctx, 2*time.Minute)
		o.expectWell(ctx, names...)
	})
})

var _ = Describe("Too many requests", stepwise, func() {
	DescribeTable("pause the client as long as Gini asks, with one try then (R2.4)",
		func(ctx SpecContext, effect emulator.Effect, pause time.Duration, most int) {
			o := operate(ctx, emulator.WithLifetime(time.Hour))
			o.giniClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers = nil })
			var names []string
			for number := range 4 {
				names = append(names, fmt.Sprintf("user-%02d", number))
				o.create(ctx, o.derived(names[number]))
			}
			o.run(ctx, time.Second)
			mark, end := o.gini.Mark(), o.suffers(effect)
			o.run(ctx, 50*time.Minute) // the first is due after 26 minutes at most
			tries := o.asked(mark)
			told := map[string]bool{}
			third := slices.IndexFunc(o.gini.Ledger().CallsSince(mark), func(made emulator.Call) bool {
				if made.Status == http.StatusTooManyRequests {
					told[made.User] = true
				}
				return len(told) == 3
			})
			Expect(third).To(BeNumerically(">=", 0), "three users are told so, before it is everybody's")
			since := o.gini.Ledger().CallsSince(mark)[third].Time
			for i := 1; i < len(tries); i++ {
				if !tries[i].After(since) {
					continue
				}
				Expect(tries[i].Sub(tries[i-1])).To(BeNumerically(">=", pause))
			}
			Expect(len(tries)).To(And(BeNumerically(">=", most/3), BeNumerically("<=", most)))
			warned := o.toldOf("Warning RateLimited")
			Expect(warned).To(And(ContainElement(ContainSubstring("for this user alone")), ContainElement(ContainSubstring("lower spec.requests"))))
			Expect(warned).To(HaveLen(2), "the first user's, and then the client's")
			end()
			o.run(ctx, 2*time.Minute+time.Second)
			o.expectWell(ctx, names...)
		},
		Entry("in seconds", emulator.TooManyRequests(2*time.Minute), 2*time.Minute, 17),
		Entry("until a date", emulator.Effect{Status: http.StatusTooManyRequests, Header: map[string]string{
			"Date": "Tue, 01 Dec 2026 00:00:00 GMT", "Retry-After": "Tue, 01 Dec 2026 00:02:00 GMT",
		}}, 2*time.Minute, 17),
		Entry("not saying how long: a second at first, a minute at last", emulator.TooManyRequests(0), time.Second, 36),
	)
})

var _ = Describe("Accounts that Gini has lost", stepwise, func() {
	It("all at once are each made anew once, at the client's rate, with one Event each (R3.7)", func(ctx SpecContext) {
		const size = 12
		o := operate(ctx, emulator.WithLifetime(time.Hour))
		o.giniClient(ctx, slowClient)
		var names []string
		for number := range size {
			names = append(names, fmt.Sprintf("user-%02d", number))
			o.create(ctx, o.anonymous(names[number]))
		}
		o.run(ctx, 30*time.Second)
		o.expectWell(ctx, names...)
		o.told()
		lost := map[string]string{}
		for _, name := range names {
			lost[name] = o.data(ctx, name+"-account")["email"]
		}
		Expect(o.gini.DeleteAllAccounts()).To(Equal(size))
		o.machine.sleep(2 * time.Hour) // so that all are due at once
		mark := o.gini.Mark()
		o.run(ctx, 2*time.Minute)
		o.expectWell(ctx, names...)
		Expect(o.gini.Ledger().Accounts()).To(HaveLen(size))
		Expect(o.gini.Since(mark).Count(emulator.CreateUser)).To(Equal(size))
		Expect(busiest(o.asked(mark))).To(BeNumerically("<=", 4))
		Expect(o.toldOf("Warning AccountRecreated")).To(HaveLen(size))
		for _, name := range names {
			Expect(o.data(ctx, name+"-account")).To(HaveKeyWithValue("previous_email", lost[name]))
		}
		mark = o.gini.Mark()
		o.startOver()
		o.wake(names...)
		o.run(ctx, 10*time.Minute)
		Expect(o.asked(mark)).To(BeEmpty())
	})

	It("stay lost where the client says so: told once each, and not asked about again (R3.7)", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithLifetime(time.Hour))
		o.giniClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers.OnAccountLost = api.StallOnLostAccount })
		names := []string{"carol", "dave", "erin"}
		for _, name := range names {
			o.create(ctx, o.anonymous(name))
		}
		o.run(ctx, time.Minute)
		o.told()
		before := o.data(ctx, "carol-account")
		o.gini.DeleteAllAccounts()
		o.run(ctx, 50*time.Minute)
		Expect(o.toldOf("Warning AccountLost")).To(HaveLen(3))
		mark := o.gini.Mark()
		o.run(ctx, day)
		Expect(o.asked(mark)).To(BeEmpty())
		Expect(o.gini.Ledger().Accounts()).To(BeEmpty())
		Expect(o.data(ctx, "carol-account")).To(Equal(before))

		By("until it says otherwise")
		o.updateClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers.OnAccountLost = api.RecreateLostAccount })
		o.wake(names...)
		o.run(ctx, 5*time.Second)
		o.expectWell(ctx, names...)
		Expect(o.gini.Ledger().Accounts()).To(HaveLen(3))
	})
})

var _ = Describe("Endpoints that are edited to another host and back", stepwise, func() {
	move := func(ctx context.Context, o *operation, to string) {
		GinkgoHelper()
		o.updateClient(ctx, func(object *api.GiniClient) {
			object.Spec.Endpoints.PayAPI.URL, object.Spec.Endpoints.UserCenter.URL = to, to
		})
		o.wake("alice", "carol")
		o.run(ctx, 5*time.Second)
	}

	It("cost a login each way where the other host answers, and no account (R17.4)", func(ctx SpecContext) {
		o := operate(ctx)
		other := emulator.New(emulator.WithClock(o.machine.truth), emulator.WithClient(clientID, clientSecret))
		elsewhere, err := other.Start()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(other.Close)
		o.allowed = append(o.allowed, elsewhere)
		o.startOver()
		o.giniClient(ctx)
		o.create(ctx, o.derived("alice"))
		o.create(ctx, o.anonymous("carol"))
		o.run(ctx, time.Minute)
		here, carol, account := o.data(ctx, "alice-token"), o.data(ctx, "carol-token"), o.data(ctx, "carol-account")
		mark := o.gini.Mark()

		move(ctx, o, elsewhere)
		Expect(other.Ledger().Count(emulator.Login)).To(Equal(1))
		Expect(o.data(ctx, "alice-token")["access_token"]).NotTo(Equal(here["access_token"]), "it is the other host's user now")
		Expect(ready(o.user(ctx, "alice"))).To(Equal("True CredentialsReady"))
		Expect(ready(o.user(ctx, "carol"))).To(Equal("False AccountOfAnotherClient"))
		Expect(other.Ledger().AccountsCreated).To(BeZero())
		Expect(o.data(ctx, "carol-account")).To(Equal(account))

		move(ctx, o, o.url)
		o.expectWell(ctx, "alice", "carol")
		Expect(o.loginsSince(mark)).To(HaveLen(1), "alice's; carol kept hers")
		Expect(o.data(ctx, "carol-token")).To(Equal(carol))
		Expect(o.data(ctx, "carol-account")).To(Equal(account))
		Expect(o.gini.Ledger().Accounts()).To(HaveLen(1))
	})

	It("cost nothing where the other host is dead: the Secrets keep what they hold (R2.7, R17.4)", func(ctx SpecContext) {
		o := operate(ctx)
		o.giniClient(ctx)
		o.create(ctx, o.derived("alice"))
		o.create(ctx, o.anonymous("carol"))
		o.run(ctx, time.Minute)
		alice, carol := o.data(ctx, "alice-token"), o.data(ctx, "carol-token")
		mark := o.gini.Mark()
		move(ctx, o, "http://127.0.0.1:1")
		o.run(ctx, 10*time.Minute)
		Expect(o.data(ctx, "alice-token")).To(Equal(alice))
		Expect(ready(o.user(ctx, "alice"))).To(Equal("False GiniUnreachable"), "what it holds is for another host")
		move(ctx, o, o.url)
		o.expectWell(ctx, "alice", "carol")
		Expect(o.data(ctx, "alice-token")).To(Equal(alice))
		Expect(o.data(ctx, "carol-token")).To(Equal(carol))
		Expect(o.loginsSince(mark)).To(BeEmpty())
	})
})

// door stands before a server, and lets nobody through while it is shut.
type door struct {
	*httptest.Server
	shut atomic.Bool
}

func newDoor(before string) *door {
	GinkgoHelper()
	address, err := url.Parse(before)
	Expect(err).NotTo(HaveOccurred())
	d, behind := &door{}, httputil.NewSingleHostReverseProxy(address)
	d.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, request *http.Request) {
		if d.shut.Load() {
			out.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		behind.ServeHTTP(out, request)
	}))
	DeferCleanup(d.Close)
	return d
}

var _ = Describe("A JWK Set that Gini cannot fetch", stepwise, func() {
	exchanging := func(w *world) *api.GiniUser {
		user := w.byJWT("alice")
		user.Spec.Devices = w.derived("alice").Spec.Devices
		return user
	}

	It("holds up the users of JWTs and nobody else, at three tries an hour, until it can (R2.4)", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithLifetime(4*time.Hour))
		p := o.signingClient(ctx)
		unreachable := emulator.JWT{Issuer: issuer, JWKSURL: "http://127.0.0.1:1/jwks.json"}
		o.gini.SetJWT(clientID, unreachable)
		o.create(ctx, exchanging(o.world))
		o.create(ctx, o.derived("bob"))
		mark := o.gini.Mark()
		o.run(ctx, time.Hour)
		Expect(ready(o.user(ctx, "alice"))).To(Equal("False JWTRejected"))
		Expect(o.loginsSince(mark)).To(HaveLen(1), "bob's")
		Expect(o.gini.Ledger().JWTUses.NoKeySet).To(And(BeNumerically(">=", 2), BeNumerically("<=", 3)))
		Expect(o.toldOf("Warning JWTRejected")).To(HaveLen(1), "the client's")

		o.gini.SetJWT(clientID, emulator.JWT{Issuer: issuer, JWKSURL: p.address(o.world)})
		o.run(ctx, 31*time.Minute)
		o.expectWell(ctx, "alice", "bob")
	})

	It("but has from before, for an hour, is no trouble: a token outlives it (R11.5)", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithLifetime(2*time.Hour))
		p := o.signingClient(ctx)
		served := newDoor(p.url)
		address := served.URL + strings.TrimPrefix(p.address(o.world), p.url)
		cached := emulator.JWT{Issuer: issuer, JWKSURL: address, CacheFor: time.Hour, StaleIfError: true}
		o.gini.SetJWT(clientID, cached)
		o.create(ctx, exchanging(o.world))
		o.run(ctx, 10*time.Minute)
		o.expectWell(ctx, "alice")
		served.shut.Store(true)
		o.run(ctx, 10*time.Hour)
		o.expectNothingExpired(false)
		Expect(o.gini.Ledger().JWTUses.Refused).To(BeZero())

		By("also where Gini forgets it: the token at hand goes on for the time that is left")
		o.gini.SetJWT(clientID, emulator.JWT{Issuer: issuer, JWKSURL: address, CacheFor: time.Minute})
		o.run(ctx, agenda.Interval)
		Expect(o.usable(ctx, "alice-token")).To(BeTrue())
		o.run(ctx, 3*time.Hour)
		Expect(ready(o.user(ctx, "alice"))).To(Equal("False JWTRejected"))
		served.shut.Store(false)
		o.run(ctx, 31*time.Minute)
		o.expectWell(ctx, "alice")
	})
})
