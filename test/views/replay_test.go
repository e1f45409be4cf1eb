package views

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// all are the resources that an operator lists.
var all = []string{"giniclients", "giniusers", "secrets", "configmaps", "namespaces"}

// past is what happened before the lists that an operator is shown were taken, and since.
type past struct {
	resources     []string
	before, since func(ctx context.Context, w *world)
}

var _ = DescribeTable("An operator that starts with lists from before, and is told 30 s later what happened since, changes nothing (R2.6, R17.1)",
	func(ctx SpecContext, shown past) {
		w := newWorld(ctx)
		p := newProxy(w.clock)
		connection := &rest.Config{Host: p.url, QPS: -1}
		w.create(ctx, w.client())
		stop, _ := w.operate(ctx, connection), w.run()
		w.create(ctx, w.anonymous("first"))
		w.settled(ctx)
		shown.before(ctx, w)
		w.settled(ctx)
		replay := p.record(ctx, shown.resources...)
		shown.since(ctx, w)
		w.settled(ctx)
		stop()

		By("starting over")
		versions, mark := w.versions(ctx), w.gini.Mark()
		replay()
		p.set(func() { p.lag = 30 * time.Second })
		w.operate(ctx, connection)
		for range 10 {
			w.pass(5 * time.Second)
			Expect(difference(w.versions(ctx), versions)).To(BeEmpty())
		}
		w.settled(ctx)
		Expect(difference(w.versions(ctx), versions)).To(BeEmpty())
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
		w.provesItself(ctx)
		p.expectCareful()
	},
	Entry("of before there were users", past{all, nobody, threeUsers}),
	Entry("of before a token was renewed, a Secret renamed, and a device added and taken away", past{all, threeUsers, inTurn(renewal, rename, addAndTake)}),
	Entry("of before a user was made again", past{all, threeUsers, makeAgain}),
	Entry("of GiniUsers alone, of before a device was added", past{[]string{"giniusers"}, threeUsers, addAndTake}),
	Entry("of GiniUsers alone, of before a Secret was renamed", past{[]string{"giniusers"}, threeUsers, rename}),
	Entry("of GiniUsers alone, of before a user was made again", past{[]string{"giniusers"}, threeUsers, makeAgain}),
	Entry("of Secrets alone, of before there were any", past{[]string{"secrets"}, nobody, threeUsers}),
	Entry("of Secrets alone, of before a token was renewed", past{[]string{"secrets"}, threeUsers, inTurn(renewal, rename)}),
)

func nobody(context.Context, *world) {}

func threeUsers(ctx context.Context, w *world) {
	GinkgoHelper()
	w.create(ctx, w.anonymous("alice"))
	w.create(ctx, w.both("bob", api.BasicAuth))
	w.create(ctx, w.both("carol", api.JWTAuth))
	w.create(ctx, w.derived("dave"))
}

func inTurn(acts ...func(ctx context.Context, w *world)) func(ctx context.Context, w *world) {
	return func(ctx context.Context, w *world) {
		for _, act := range acts {
			act(ctx, w)
			w.settled(ctx)
		}
	}
}

func rename(ctx context.Context, w *world) {
	update(ctx, w.key("alice"), &api.GiniUser{}, func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "alice-other" })
	update(ctx, w.key("carol"), &api.GiniUser{}, func(user *api.GiniUser) { user.Spec.Devices.Trusted.Secret.Name = "carol-other" })
}

func addAndTake(ctx context.Context, w *world) {
	update(ctx, w.key("bob"), &api.GiniUser{}, func(user *api.GiniUser) { user.Spec.Devices.Trusted = nil })
	update(ctx, w.key("dave"), &api.GiniUser{}, func(user *api.GiniUser) { user.Spec.Devices.Trusted = trusted("dave") })
}

func renewal(ctx context.Context, w *world) {
	at := w.clock.Now()
	for _, name := range w.names(ctx) {
		if due := w.get(ctx, name).Status.Devices.Untrusted.RefreshAt.Time; due.After(at) {
			at = due
		}
	}
	w.clock.SetTime(at.Add(time.Second))
}

// makeAgain deletes a user, and its Secret as the garbage collector does. Its account stays.
func makeAgain(ctx context.Context, w *world) {
	user := w.get(ctx, "alice")
	Expect(k8s.Delete(ctx, user)).To(Succeed())
	Expect(k8s.Delete(ctx, &corev1.Secret{ObjectMeta: w.named(string(user.Spec.Devices.Untrusted.Secret.Name))})).To(Succeed())
	w.create(ctx, w.anonymous("alice"))
}

// names are those of all users.
func (w *world) names(ctx context.Context) (names []string) {
	GinkgoHelper()
	var users api.GiniUserList
	Expect(k8s.List(ctx, &users, client.InNamespace(w.namespace))).To(Succeed())
	for i := range users.Items {
		names = append(names, users.Items[i].Name)
	}
	return names
}

// settled waits until all users are ready, and whatever was late or put off has come.
func (w *world) settled(ctx context.Context) {
	GinkgoHelper()
	for _, name := range w.names(ctx) {
		Eventually(w.ready(ctx, name)).Should(Equal(ready), name)
	}
	w.pass(40 * time.Second)
}
