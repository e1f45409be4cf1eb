package operator_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// createAll makes many objects, several at once.
func (w *world) createAll(ctx context.Context, count int, object func(number int) client.Object) {
	GinkgoHelper()
	numbers, failures := make(chan int), make(chan error, count)
	var creating sync.WaitGroup
	for range 16 {
		creating.Go(func() {
			for number := range numbers {
				if err := k8s.Create(ctx, object(number)); err != nil {
					failures <- err
				}
			}
		})
	}
	for number := range count {
		numbers <- number
	}
	close(numbers)
	creating.Wait()
	close(failures)
	for err := range failures {
		Expect(err).NotTo(HaveOccurred())
	}
}

// readiness counts the users by what their Ready says.
func (w *world) readiness(ctx context.Context) map[string]int {
	GinkgoHelper()
	var users api.GiniUserList
	Expect(k8s.List(ctx, &users, client.InNamespace(w.namespace))).To(Succeed())
	counts := map[string]int{}
	for _, user := range users.Items {
		if found := meta.FindStatusCondition(user.Status.Conditions, api.ConditionReady); found != nil {
			counts[string(found.Status)+" "+found.Reason]++
		}
	}
	return counts
}

// warnings counts the Events that warn, by the kind of what they are about and their reason.
func (w *world) warnings(ctx context.Context) map[string]int {
	GinkgoHelper()
	var events eventsv1.EventList
	Expect(k8s.List(ctx, &events, client.InNamespace(w.namespace))).To(Succeed())
	counts := map[string]int{}
	for _, event := range events.Items {
		if event.Type == corev1.EventTypeWarning {
			counts[event.Regarding.Kind+" "+event.Reason]++
		}
	}
	return counts
}

var _ = Describe("A client in trouble", func() {
	It("that hangs with 500 users holds up nobody: another client's new user is Ready before any of its requests returns", func(ctx SpecContext) {
		const users = 500
		w := newWorld(ctx)
		w.gini.AddClient("hung", "s3cr3t")
		w.gini.Script(emulator.Fault{Match: emulator.Match{ClientID: "hung"}, Effect: emulator.Hang()})
		DeferCleanup(w.gini.Reset) // before the operator is stopped, which waits for its requests
		w.create(ctx, &corev1.Secret{ObjectMeta: w.named("hung-gini"), StringData: map[string]string{"client-id": "hung", "client-secret": "s3cr3t"}})
		hung := &api.GiniClient{}
		Expect(k8s.Get(ctx, w.key("acme"), hung)).To(Succeed())
		hung.ObjectMeta = w.named("hung")
		hung.Spec.CredentialsSecretRef.Name = "hung-gini"
		w.create(ctx, hung)
		w.createAll(ctx, users, func(number int) client.Object {
			user := w.derived(fmt.Sprintf("user-%03d", number))
			if number%2 == 0 {
				user = w.anonymous(user.Name)
			}
			user.Spec.ClientRef.Name = "hung"
			return user
		})
		stop := w.operate()
		DeferCleanup(func() { w.gini.Reset(); stop() })
		Eventually(func() int { return w.gini.Ledger().CountClient("hung") }).WithTimeout(eventually).Should(BeNumerically(">=", 1), "one hangs")
		// What hangs is the client's own probe or one user's request, of which nothing is told yet.
		Eventually(func() int { return w.readiness(ctx)["Unknown Pending"] }).WithTimeout(time.Minute).Should(BeNumerically(">=", users-1), "all of them are at it")

		w.create(ctx, w.derived("newcomer"))
		w.create(ctx, w.anonymous("stranger"))
		w.expectReady(ctx, "newcomer", ready)
		w.expectReady(ctx, "stranger", ready)
		ledger := w.gini.Ledger()
		for _, call := range ledger.Calls {
			hangs := call.ClientID == "hung"
			Expect(call.Done).To(Equal(!hangs), "what hangs has not returned, and nothing else hangs: %+v", call)
		}
		Expect(ledger.MaxInFlight("hung")).To(Equal(1), "while it is not known to be accepted")
	})

	It("whose secret is rejected costs three tries an hour and a write for each of 1,000 users, and its repair is acted on at once (R2.4, R2.7, R3.12)",
		func(ctx SpecContext) {
			const users = 1000
			w := newWorld(ctx)
			w.gini.RotateSecret("acme", "rotated")
			writes := &counter{namespace: w.namespace, requests: map[string]int{}}
			w.config = rest.CopyConfig(restConfig)
			w.config.Wrap(writes.wrap)
			mark, rejected := w.gini.Mark(), "False CredentialsRejected"
			w.operate()
			w.create(ctx, w.derived("first"))
			Eventually(func() map[string]int { // those that wait for the answer are told by a sweep, and so written to twice
				w.clock.Step(time.Second)
				return w.readiness(ctx)
			}).WithTimeout(eventually).Should(Equal(map[string]int{rejected: 1}))
			writes.taken()
			w.createAll(ctx, users, func(number int) client.Object {
				user := w.derived(fmt.Sprintf("user-%04d", number))
				if number%4 == 0 {
					user = w.anonymous(user.Name)
				}
				return user
			})
			Eventually(func() map[string]int { return w.readiness(ctx) }).WithTimeout(2*time.Minute).
				Should(Equal(map[string]int{rejected: users + 1}), "each is told")
			for range 60 {
				w.clock.Step(time.Minute)
				Expect(w.gini.Since(mark).Requests()).To(BeNumerically("<=", 3))
			}
			Eventually(func() int { return w.gini.Since(mark).Requests() }).WithTimeout(eventually).Should(BeNumerically(">=", 2), "it is tried again")
			Expect(writes.taken()["PATCH giniusers"]).To(Equal(users))
			Expect(w.warnings(ctx)).To(Equal(map[string]int{"GiniClient CredentialsRejected": 1}))
			Expect(w.gini.Since(mark).Requests()).To(BeNumerically("<=", 3))

			By("repairing it: no clock moves, so that it is the watch that is acted on")
			update(ctx, w.key("acme-gini"), &corev1.Secret{}, func(object *corev1.Secret) { object.Data["client-secret"] = []byte("rotated") })
			Eventually(func() int { return w.readiness(ctx)[ready] }).WithTimeout(eventually).Should(BeNumerically(">=", 1))
			Expect(w.gini.Ledger().CountStatus(401)).To(BeNumerically("<=", 3))

			By("all follow, at the client's rate")
			Eventually(func() map[string]int {
				w.clock.Step(time.Second)
				return w.readiness(ctx)
			}).WithTimeout(2 * time.Minute).Should(Equal(map[string]int{ready: users + 1}))
			Expect(w.gini.Ledger().CountStatus(401)).To(BeNumerically("<=", 3))
		})
})

var _ = Describe("Token requests of one user", func() {
	It("never overlap, whatever happens at once (R16.3)", func(ctx SpecContext) {
		const users = 12
		w := newWorld(ctx)
		w.gini.Configure(func(settings *emulator.Settings) { settings.FailOverlapping = true })
		w.gini.Script(emulator.Fault{
			Match:  emulator.Match{Operations: []emulator.Operation{emulator.Login, emulator.PasswordLogin}},
			Effect: emulator.Latency(20 * time.Millisecond), // for others to come meanwhile
		})
		w.operate()
		name := func(number int) string { return fmt.Sprintf("user-%02d", number) }
		for number := range users {
			user := w.derived(name(number))
			if number%2 == 0 {
				user = w.anonymous(user.Name)
			}
			w.create(ctx, user)
		}
		for round := range 3 {
			for number := range users {
				w.expectReady(ctx, name(number), ready)
				update(ctx, w.key(name(number)), &api.GiniUser{}, func(user *api.GiniUser) {
					user.Annotations = map[string]string{api.RefreshRequestedAnnotation: fmt.Sprint(round)}
				})
				_ = k8s.Delete(ctx, &corev1.Secret{ObjectMeta: w.named(name(number) + "-token")})
			}
			w.clock.Step(time.Second)
		}
		for number := range users {
			Eventually(w.data(ctx, name(number)+"-token")).WithTimeout(eventually).Should(HaveKey("access_token"))
			w.expectReady(ctx, name(number), ready)
		}
		ledger := w.gini.Ledger()
		Expect(ledger.OverlappingTokenRequests + ledger.OverlappingClientTokens).To(BeZero())
		Expect(ledger.Count(emulator.Login, emulator.PasswordLogin)).To(BeNumerically(">=", 2*users))
		Expect(ledger.CountStatus(500)).To(BeZero())
		Expect(w.warnings(ctx)).NotTo(HaveKey("GiniClient GiniUnavailable"))
	})
})
