package controller_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// refuse has Gini answer every request for tokens of some users in one way.
func (o *operation) refuse(effect emulator.Effect, users ...string) (end func()) {
	return o.gini.Script(emulator.Fault{
		Match: emulator.Match{Operations: []emulator.Operation{emulator.Login, emulator.PasswordLogin}, Users: users}, Effect: effect,
	})
}

// nameAtGini is what Gini's ledger and a fault call a user.
func (o *operation) nameAtGini(ctx context.Context, name string) string {
	GinkgoHelper()
	user := o.user(ctx, name)
	if user.Spec.Derived != nil {
		return user.Spec.Derived.Identifier
	}
	return user.Status.UserID
}

// expectOthersServed expects that no token but those of some users ever expired in a Secret, and that the others are well.
func (o *operation) expectOthersServed(ctx context.Context, names []string, but ...string) {
	GinkgoHelper()
	refused := make([]string, 0, len(but))
	for _, name := range but {
		refused = append(refused, o.nameAtGini(ctx, name))
	}
	for _, use := range o.gini.Ledger().ExpiredUseList {
		Expect(refused).To(ContainElement(use.User), "expired at %v, used at %v", use.Expired, use.Used)
	}
	for _, name := range names {
		if !slices.Contains(but, name) {
			o.expectWell(ctx, name)
		}
	}
}

// runReady lets the operator work for some minutes, in none of which the GiniClient ceases to be ready.
func (o *operation) runReady(ctx context.Context, minutes int) {
	GinkgoHelper()
	for minute := range minutes {
		o.run(ctx, time.Minute)
		object := &api.GiniClient{}
		Expect(k8s.Get(ctx, o.key("acme"), object)).To(Succeed())
		Expect(condition(object.Status.Conditions, api.ConditionReady)).To(Equal("True CredentialsAccepted"), "minute %d", minute)
		Expect(object.Status.PausedUntil).To(BeNil(), "minute %d", minute)
	}
}

// asksFor counts the requests for tokens of a user since a mark.
func (o *operation) asksFor(mark emulator.Mark, user string) (moments []time.Time) {
	for _, made := range o.gini.Ledger().CallsSince(mark) {
		if made.User == user && slices.Contains(tokenRequests, made.Operation) {
			moments = append(moments, made.Time)
		}
	}
	return moments
}

// user kinds of a crowd.
func derivedAnew(o *operation, name string) *api.GiniUser { return o.derived(name) }

// withAccount is an anonymous user whose account exists.
func withAccount(o *operation, name string) *api.GiniUser {
	user := o.anonymous(name)
	user.Spec.Anonymous.AccountSecret.Mode = api.ExistingAccount
	o.gini.AddAccount(clientID, name+"@acme.example", "brought-along")
	o.secret(context.Background(), name+"-account", map[string]string{"email": name + "@acme.example", "password": "brought-along"})
	return user
}

const (
	shortLived = 2 * time.Minute
	// first, middle and last are which one of a crowd is refused.
	first, middle, last = 0, 2, 4
	crowd               = 5
)

var _ = Describe("One user whom Gini refuses", stepwise, func() {
	DescribeTable("stops no other one",
		func(ctx SpecContext, effect emulator.Effect, reason string, turned bool, kind func(*operation, string) *api.GiniUser, numbers ...int) {
			o := operate(ctx, emulator.WithLifetime(shortLived))
			o.giniClient(ctx)
			var names, bad, refused []string
			for number := range crowd {
				names = append(names, fmt.Sprintf("user-%02d", number))
			}
			for _, number := range numbers {
				bad = append(bad, names[number])
				refused = append(refused, names[number]+"-8f1c", names[number]+"@acme.example")
			}
			if !turned {
				o.refuse(effect, refused...)
			}
			mark := o.gini.Mark()
			for _, name := range names {
				o.create(ctx, kind(o, name))
				o.run(ctx, 9*time.Second)
			}
			if turned {
				o.run(ctx, 3*time.Minute)
				mark = o.gini.Mark()
				o.refuse(effect, refused...)
			} else {
				o.run(ctx, time.Minute) // credentials that were never accepted are the first's to be refused
			}
			if len(bad) > 1 && reason == api.ReasonRateLimited { // two in a row may be everybody's limit, for as long as it takes to ask a third
				o.run(ctx, 30*time.Minute)
			} else {
				o.runReady(ctx, 30)
			}
			o.expectOthersServed(ctx, names, bad...)
			most := 40
			switch reason {
			case api.ReasonRateLimited:
				most = 50 // every minute at last, after six quicker ones as the client's, and six as its own
			case api.ReasonGiniUnavailable:
				most = 30 * 60 / 13 // every 15 s at last, or up to a tenth earlier
			}
			for _, name := range bad {
				user := o.user(ctx, name)
				Expect(ready(user)).To(Equal("False " + reason))
				if reason == "AccountRejected" {
					Expect(messageOfReady(user)).To(ContainSubstring("account Secret"))
				} else {
					Expect(messageOfReady(user)).To(ContainSubstring(o.namespace + "/acme"))
				}
				asked := o.asksFor(mark, o.nameAtGini(ctx, name))
				if effect.Header["Retry-After"] != "" {
					Expect(asked).To(HaveLen(1), name)
					continue
				}
				Expect(len(asked)).To(And(BeNumerically(">=", 1), BeNumerically("<=", most)), name)
			}
		},
		Entry("401, the first", emulator.Status(http.StatusUnauthorized, ""), "LoginRefused", false, derivedAnew, first),
		Entry("401, in the middle", emulator.Status(http.StatusUnauthorized, ""), "LoginRefused", false, derivedAnew, middle),
		Entry("401, the last", emulator.Status(http.StatusUnauthorized, ""), "LoginRefused", false, derivedAnew, last),
		Entry("401, turned", emulator.Status(http.StatusUnauthorized, ""), "LoginRefused", true, derivedAnew, middle),
		Entry("401, turned, two of them", emulator.Status(http.StatusUnauthorized, ""), "LoginRefused", true, derivedAnew, middle, middle+1),
		Entry("401, two at first", emulator.Status(http.StatusUnauthorized, ""), "LoginRefused", false, derivedAnew, first, first+1),
		Entry("403 with Retry-After", emulator.Status(http.StatusForbidden, "").WithRetryAfter(time.Hour), "LoginRefused", false, derivedAnew, middle),
		Entry("403 with Retry-After, turned", emulator.Status(http.StatusForbidden, "").WithRetryAfter(time.Hour), "LoginRefused", true, derivedAnew, first),
		Entry("429, the first", emulator.TooManyRequests(0), "RateLimited", false, derivedAnew, first),
		Entry("429, turned, two of them", emulator.TooManyRequests(0), "RateLimited", true, derivedAnew, first, last),
		Entry("429 with Retry-After, the first", emulator.TooManyRequests(time.Hour), "RateLimited", false, derivedAnew, first),
		Entry("429 with Retry-After, turned", emulator.TooManyRequests(time.Hour), "RateLimited", true, derivedAnew, middle),
		Entry("429 with Retry-After, two of them, turned", emulator.TooManyRequests(time.Hour), "RateLimited", true, derivedAnew, middle, middle+1),
		Entry("503, the first", emulator.Unavailable(), "GiniUnavailable", false, derivedAnew, first),
		Entry("503, turned", emulator.Unavailable(), "GiniUnavailable", true, derivedAnew, last),
		Entry("503 with Retry-After, in the middle", emulator.Unavailable().WithRetryAfter(time.Hour), "GiniUnavailable", false, derivedAnew, middle),
		Entry("503 with Retry-After, turned, two of them", emulator.Unavailable().WithRetryAfter(time.Hour), "GiniUnavailable", true, derivedAnew, middle, last),
		Entry("401, an account, the first", emulator.Status(http.StatusUnauthorized, ""), "AccountRejected", false, withAccount, first),
		Entry("403, an account, turned", emulator.Status(http.StatusForbidden, ""), "AccountRejected", true, withAccount, middle),
		Entry("429 with Retry-After, two accounts, turned", emulator.TooManyRequests(time.Hour), "RateLimited", true, withAccount, middle, middle+1),
	)
})

var _ = Describe("One of a hundred users", stepwise, func() {
	It("whom Gini refuses harms none of the others, and a new one is served at once", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithLifetime(shortLived))
		o.giniClient(ctx)
		o.refuse(emulator.Status(http.StatusForbidden, "").WithRetryAfter(time.Hour), "user-50-8f1c")
		var names []string
		for number := range 100 {
			names = append(names, fmt.Sprintf("user-%02d", number))
			o.create(ctx, o.derived(names[number]))
		}
		o.run(ctx, 10*time.Second)
		o.expectOthersServed(ctx, names, "user-50")
		o.runReady(ctx, 4)
		o.create(ctx, o.derived("late"))
		o.run(ctx, time.Second)
		o.expectOthersServed(ctx, append(names, "late"), "user-50")
		Expect(ready(o.user(ctx, "user-50"))).To(Equal("False LoginRefused"))
	})
})

var _ = Describe("One user of a JWT", stepwise, func() {
	DescribeTable("who is refused stops no other one",
		func(ctx SpecContext, reason string, turned bool, refuse func(*operation, *customersProvider)) {
			o := operate(ctx, emulator.WithLifetime(shortLived))
			p := o.newProvider()
			o.startOver()
			p.client(ctx)
			if !turned {
				refuse(o, p)
			}
			names := []string{"mallory", "alice", "bob", "carol"}
			for _, name := range names {
				user := o.byJWT(name)
				user.Spec.Devices.Untrusted = o.derived(name).Spec.Devices.Untrusted
				o.create(ctx, user)
				o.run(ctx, 20*time.Second)
			}
			o.run(ctx, 2*time.Minute)
			if turned {
				o.expectWell(ctx, "mallory")
				refuse(o, p)
			}
			o.told()
			o.run(ctx, 30*time.Minute)
			o.expectOthersServed(ctx, names, "mallory")
			Expect(ready(o.user(ctx, "mallory"))).To(Equal("False " + reason))
			Expect(o.toldOf("Warning JWTRejected")).To(BeEmpty())
			object := o.clientReconciled(ctx)
			Expect(condition(object.Status.Conditions, api.ConditionReady)).To(HavePrefix("True "))
			Expect(condition(object.Status.Conditions, api.ConditionIdentityProviderReady)).To(Equal("True JWTsReady"))
		},
		Entry("by Gini, from the first", "LoginRefused", false, refusedByGini),
		Entry("by Gini, later", "LoginRefused", true, refusedByGini),
		Entry("by the identity provider, from the first", "JWTNotIssued", false, refusedByProvider),
		Entry("by the identity provider, later", "JWTNotIssued", true, refusedByProvider),
	)
})

func refusedByGini(o *operation, _ *customersProvider) {
	o.refuse(emulator.Status(http.StatusForbidden, ""), "mallory-8f1c")
}

func refusedByProvider(_ *operation, p *customersProvider) {
	p.change(func(p *customersProvider) { p.refused = "mallory-8f1c" })
}

func messageOfReady(user *api.GiniUser) string {
	for _, condition := range user.Status.Conditions {
		if condition.Type == api.ConditionReady {
			return condition.Message
		}
	}
	return ""
}

var _ = Describe("A user whom Gini refused", func() {
	It("is tried with new client credentials at once: it may have been the old ones that were refused", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx, withoutAnonymous)
		for _, name := range []string{"alice", "bob"} {
			Expect(ready(w.reconciled(ctx, w.derived(name)))).To(Equal("True CredentialsReady"))
		}
		w.gini.RotateSecret(clientID, "rotated")
		w.refresh(ctx, "alice", "please")
		w.run(ctx, "alice", 2*time.Minute)
		attempt := w.user(ctx, "alice").Status.Attempt
		Expect(attempt).NotTo(BeNil())
		Expect(attempt.Reason).To(Equal(api.ReasonLoginRefused))
		Expect(attempt.NextAt.Time).To(BeTemporally(">", w.clock.Now().Add(20*time.Minute)), "bob's next login tells more")

		w.rotate(ctx, "rotated")
		w.settled(ctx, "alice")
		user := w.user(ctx, "alice")
		Expect(user.Status.Attempt).To(BeNil())
		Expect(user.Status.LastHandledRefreshRequest).To(Equal("please"))
		Expect(condition(user.Status.Conditions, api.ConditionSecretsWritten)).To(Equal("True SecretsWritten"))
	})

	It("is told why it still waits after its client was refused for a while", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx, withoutAnonymous)
		for _, name := range []string{"alice", "bob", "carol"} {
			Expect(ready(w.reconciled(ctx, w.derived(name)))).To(Equal("True CredentialsReady"))
		}
		refuse := func(name string, effect emulator.Effect) {
			w.gini.Script(emulator.Fault{
				Match: emulator.Match{Operations: []emulator.Operation{emulator.Login}, Users: []string{name + "-8f1c"}}, Effect: effect,
			})
		}
		refuse("alice", emulator.Status(http.StatusUnauthorized, "").WithRetryAfter(time.Hour))
		refuse("bob", emulator.Status(http.StatusUnauthorized, ""))
		w.refresh(ctx, "alice", "please")
		w.reconcile(ctx, "alice")
		w.refresh(ctx, "bob", "please")
		w.reconcile(ctx, "bob")
		w.reconcile(ctx, "alice")
		Expect(condition(w.user(ctx, "alice").Status.Conditions, api.ConditionSecretsWritten)).To(Equal("True CredentialsRejected"))
		w.clock.Step(time.Minute + time.Second)
		w.refresh(ctx, "carol", "please")
		w.settled(ctx, "carol", "alice")
		Expect(condition(w.user(ctx, "carol").Status.Conditions, api.ConditionSecretsWritten)).To(Equal("True SecretsWritten"))
		user := w.user(ctx, "alice")
		Expect(condition(user.Status.Conditions, api.ConditionSecretsWritten)).To(Equal("True LoginRefused"))
		Expect(messageOfReady(user)).To(ContainSubstring("Gini accepts GiniClient " + w.namespace + "/acme, and refuses to log this user in"))
	})
})
