package controller_test

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// right is what a client may have, and what it may not.
type right struct {
	may             emulator.UserKind
	served, refused func(*operation, string) *api.GiniUser
	// reason is what the refused are told, in the condition that the client has it in too, and not is what Gini is asked for them alone.
	reason, condition, other string
	not                      []emulator.Operation
}

var (
	anonymousAnew = func(o *operation, name string) *api.GiniUser { return o.anonymous(name) }
	derivedOnly   = right{
		may: emulator.DerivedUsers, served: derivedAnew, refused: anonymousAnew,
		reason: api.ReasonAnonymousUsersRefused, condition: api.ConditionAnonymousUsersAccepted, other: api.ConditionDerivedUsersAccepted,
		not: []emulator.Operation{emulator.ClientToken, emulator.CreateUser, emulator.PasswordLogin},
	}
	anonymousOnly = right{
		may: emulator.AnonymousUsers, served: anonymousAnew, refused: derivedAnew,
		reason: api.ReasonDerivedUsersRefused, condition: api.ConditionDerivedUsersAccepted, other: api.ConditionAnonymousUsersAccepted,
		not: []emulator.Operation{emulator.Login},
	}
)

var _ = Describe("A client that may have one kind of users only", stepwise, func() {
	DescribeTable("serves these as if nothing were, and tells the others what it lacks",
		func(ctx SpecContext, of right, status int, worked bool) {
			o := operate(ctx, emulator.WithLifetime(shortLived))
			o.gini.Restrict(clientID, emulator.Restriction{To: of.may, Status: status})
			if worked {
				o.giniClient(ctx, func(object *api.GiniClient) {
					if of.may == emulator.DerivedUsers {
						object.Spec.AnonymousUsers = nil
					}
				})
			} else {
				o.giniClient(ctx) // with anonymousUsers, as in the sample
				o.wake()
				o.run(ctx, time.Second) // so that its own probe comes first
			}
			o.create(ctx, of.served(o, "served"))
			o.run(ctx, 5*time.Second)
			o.expectWell(ctx, "served")
			if worked {
				o.run(ctx, 5*time.Minute)
				o.updateClient(ctx, func(object *api.GiniClient) {
					object.Spec.AnonymousUsers = &api.AnonymousUsers{EmailDomain: "users.acme.example"}
				})
				o.wake("served")
				o.run(ctx, time.Second)
			}
			o.create(ctx, of.refused(o, "refused"))
			o.run(ctx, 5*time.Second)
			expectTold := func() {
				GinkgoHelper()
				object := o.clientReconciled(ctx)
				Expect(condition(object.Status.Conditions, api.ConditionReady)).To(Equal("True CredentialsAccepted"))
				Expect(condition(object.Status.Conditions, of.other)).To(Equal("True CredentialsAccepted"))
				Expect(condition(object.Status.Conditions, of.condition)).To(Equal("False " + of.reason))
				Expect(object.Status.PausedUntil).To(BeNil())
				user := o.user(ctx, "refused")
				Expect(ready(user)).To(Equal("False " + of.reason))
				Expect(messageOfReady(user)).To(And(ContainSubstring("does not let GiniClient"), Not(ContainSubstring("secret"))))
			}
			expectTold()

			mark := o.gini.Mark()
			o.runReady(ctx, 60)
			o.expectOthersServed(ctx, []string{"served"})
			Expect(o.gini.Since(mark).Count(of.not...)).To(And(BeNumerically(">=", 1), BeNumerically("<=", 3)))
			expectTold()

			By("a restart, after which nobody asks what is known")
			mark = o.gini.Mark()
			o.startOver()
			o.wake("served", "refused")
			o.run(ctx, 5*time.Second)
			Expect(o.gini.Since(mark).Count(of.not...)).To(BeZero())
			expectTold()
			o.expectOthersServed(ctx, []string{"served"})

			By("the right is given")
			o.gini.Restrict(clientID, emulator.Restriction{})
			o.run(ctx, 31*time.Minute)
			o.expectOthersServed(ctx, []string{"served", "refused"})
			object := o.clientReconciled(ctx)
			Expect(condition(object.Status.Conditions, of.condition)).To(Equal("True CredentialsAccepted"))
		},
		Entry("derived, by 401, from the first", derivedOnly, http.StatusUnauthorized, false),
		Entry("derived, by 403, after it worked", derivedOnly, http.StatusForbidden, true),
		Entry("anonymous, by 401, after it worked", anonymousOnly, http.StatusUnauthorized, true),
		Entry("anonymous, by 403, from the first", anonymousOnly, http.StatusForbidden, false),
	)
})

// tried are the moments at which Gini refused requests for tokens since a mark.
func (o *operation) tried(mark emulator.Mark) (moments []time.Time) {
	for _, made := range o.gini.Ledger().CallsSince(mark) {
		if made.Status == http.StatusUnauthorized && made.WrongCredentials {
			moments = append(moments, made.Time)
		}
	}
	return moments
}

var _ = Describe("A client secret that Gini does not accept", stepwise, func() {
	DescribeTable("is tried at most three times in any hour, and is used again once it is right",
		func(ctx SpecContext, revoked bool, within time.Duration, kinds ...func(*operation, string) *api.GiniUser) {
			o := operate(ctx, emulator.WithLifetime(10*time.Minute), emulator.WithCallLog(100_000))
			o.giniClient(ctx)
			o.wake()
			var names []string
			for number, kind := range kinds {
				for _, name := range []string{"alice", "bob"} {
					names = append(names, name+string(rune('a'+number)))
					o.create(ctx, kind(o, names[len(names)-1]))
				}
			}
			o.run(ctx, time.Minute)
			o.expectWell(ctx, names...)
			mark := o.gini.Mark()
			if revoked {
				o.gini.RotateSecret(clientID, "another")
			} else {
				o.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": "wrong"})
				o.wake(names...)
			}
			o.run(ctx, within)
			tried := o.tried(mark)
			Expect(len(tried)).To(BeNumerically(">=", int(within.Hours())+1))
			for i := 3; i < len(tried); i++ {
				Expect(tried[i].Sub(tried[i-3])).To(BeNumerically(">=", time.Hour), "%v", tried)
			}
			Expect(condition(o.clientReconciled(ctx).Status.Conditions, api.ConditionReady)).To(Equal("False CredentialsRejected"))
			o.wake(names...)
			o.run(ctx, time.Second)
			for _, name := range names {
				Expect(ready(o.user(ctx, name))).To(Equal("False CredentialsRejected"), name)
			}
			if revoked {
				o.gini.RotateSecret(clientID, clientSecret)
				o.run(ctx, 61*time.Minute)
			} else {
				o.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": clientSecret})
				o.wake(names...)
				o.run(ctx, 10*time.Second)
			}
			o.expectWell(ctx, names...)
			Expect(condition(o.clientReconciled(ctx).Status.Conditions, api.ConditionReady)).To(Equal("True CredentialsAccepted"))
		},
		Entry("a new one, derived users", false, 2*time.Hour, derivedAnew),
		Entry("a new one, anonymous users", false, 2*time.Hour, anonymousAnew),
		Entry("a new one, both", false, 6*time.Hour, derivedAnew, anonymousAnew),
		Entry("a revoked one, derived users", true, 2*time.Hour, derivedAnew),
		Entry("a revoked one, anonymous users", true, 2*time.Hour, anonymousAnew),
		Entry("a revoked one, both", true, 6*time.Hour, derivedAnew, anonymousAnew),
	)
})

var _ = Describe("What is said of one user", stepwise, func() {
	It("outlives the client's recovery", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithLifetime(shortLived))
		o.giniClient(ctx)
		for _, name := range []string{"alice", "bob", "mallory"} {
			o.create(ctx, o.derived(name))
		}
		o.run(ctx, time.Minute)
		mark := o.gini.Mark()
		o.refuse(emulator.TooManyRequests(time.Hour), "mallory-8f1c")
		o.run(ctx, 2*time.Minute)
		end := o.suffers(emulator.Unavailable())
		o.run(ctx, 3*time.Minute)
		end()
		o.run(ctx, 50*time.Minute)
		o.expectWell(ctx, "alice", "bob")
		Expect(o.asksFor(mark, "mallory-8f1c")).To(HaveLen(1))
		o.gini.Reset()
		o.run(ctx, 8*time.Minute)
		o.expectWell(ctx, "mallory")
	})

	DescribeTable("by the Pay API is nothing that the User Center says, nor does it stop a renewal there",
		func(ctx SpecContext, effect emulator.Effect) {
			o := operate(ctx, emulator.WithLifetime(shortLived))
			o.giniClient(ctx)
			user := o.anonymous("carol")
			user.Spec.Renewal = &api.Renewal{VerifyInterval: duration(time.Minute)}
			o.create(ctx, user)
			o.create(ctx, o.anonymous("dave"))
			o.run(ctx, 10*time.Second)
			id := o.user(ctx, "carol").Status.UserID
			o.gini.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.Documents}, User: id}, Effect: effect})
			mark := o.gini.Mark()
			o.runReady(ctx, 20)
			for _, use := range o.gini.Ledger().ExpiredUseList {
				Fail(use.User + " expired")
			}
			Expect(len(o.asksFor(mark, id))).To(BeNumerically(">=", 10), "a login each 80 s, or sooner")
			o.expectWell(ctx, "dave")
		},
		Entry("429 with Retry-After", emulator.TooManyRequests(time.Hour)),
		Entry("503 with Retry-After", emulator.Unavailable().WithRetryAfter(time.Hour)),
		Entry("403", emulator.Status(http.StatusForbidden, "")),
	)
})
