package views

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// acts are what people and the clock do to three users: alice is anonymous, bob derived with both devices, and carol uses JWTs. After
// each the operator has to settle.
var acts = []struct {
	name string
	do   func(ctx context.Context, w *world)
}{
	{"from nothing", func(ctx context.Context, w *world) {
		w.create(ctx, w.client())
		w.create(ctx, w.anonymous("alice"))
		w.create(ctx, w.both("bob", api.BasicAuth))
		w.create(ctx, w.both("carol", api.JWTAuth))
	}},
	{"a renewal", renewal},
	{"other names, and a device less", func(ctx context.Context, w *world) {
		update(ctx, w.key("alice"), &api.GiniUser{}, func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "alice-other" })
		update(ctx, w.key("bob"), &api.GiniUser{}, func(user *api.GiniUser) { user.Spec.Devices.Trusted = nil })
		update(ctx, w.key("carol"), &api.GiniUser{}, func(user *api.GiniUser) { user.Spec.Devices.Trusted.Secret.Name = "carol-other" })
	}},
	{"a user made again", makeAgain},
}

// played is what became of the acts.
type played struct {
	states   [][]string
	requests []map[string]int
}

var reference *played

// referenceRun is what becomes of the acts where nothing happens.
func referenceRun(ctx context.Context) *played {
	GinkgoHelper()
	if reference != nil {
		return reference
	}
	w := newWorld(ctx)
	p := newProxy(w.clock)
	stop, halt := w.operate(ctx, &rest.Config{Host: p.url, QPS: -1}), w.run()
	run := &played{}
	for _, act := range acts {
		act.do(ctx, w)
		w.settled(ctx)
		run.states, run.requests = append(run.states, w.state(ctx)), append(run.requests, w.tokenRequests())
		w.provesItself(ctx)
	}
	p.expectCareful()
	Expect(p.deletions).NotTo(BeEmpty())
	halt()
	stop()
	w.leaveNothing(ctx)
	reference = run
	return run
}

// playAgainst plays the acts on a cluster that is shown wrongly, after each of which it may be put right for a while, and expects the
// same end of each, for as many requests to Gini.
func playAgainst(ctx context.Context, wrong func(p *proxy), right func(ctx context.Context, w *world, p *proxy)) {
	GinkgoHelper()
	wanted := referenceRun(ctx)
	w := newWorld(ctx)
	p := newProxy(w.clock)
	p.set(func() { wrong(p) })
	w.operate(ctx, &rest.Config{Host: p.url, QPS: -1})
	w.run()
	for i, act := range acts {
		By(act.name)
		p.set(func() { p.act = act.name; wrong(p) })
		act.do(ctx, w)
		right(ctx, w, p)
		Eventually(func() []string { return difference(w.state(ctx), wanted.states[i]) }).Should(BeEmpty(), "after the act %q", act.name)
		w.provesItself(ctx)
		Expect(w.tokenRequests()).To(Equal(wanted.requests[i]), "after the act %q", act.name)
	}
	p.expectCareful()
}

func asTheyCome(context.Context, *world, *proxy) {}

// touched lets no event be missed any more, and brings one of every object there is.
func touched(ctx context.Context, w *world, p *proxy) {
	GinkgoHelper()
	w.pass(40 * time.Second)
	p.set(func() { p.dropped = nil })
	for _, list := range []client.ObjectList{&api.GiniClientList{}, &api.GiniUserList{}, &corev1.SecretList{}} {
		Expect(k8s.List(ctx, list, client.InNamespace(w.namespace))).To(Succeed())
		Expect(meta.EachListItem(list, func(item runtime.Object) error {
			object, _ := item.(client.Object)
			for _, value := range []string{`"now"`, "null"} {
				patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"touched":`+value+`}}}`))
				if err := client.IgnoreNotFound(k8s.Patch(ctx, object, patch)); err != nil {
					return err
				}
			}
			return nil
		})).To(Succeed())
	}
}

var _ = Describe("An operator", func() {
	It("that sees everything 30 s late does nothing twice (R1.8, R2.6, R17.1, R17.3)", func(ctx SpecContext) {
		playAgainst(ctx, func(p *proxy) { p.lag = 30 * time.Second }, asTheyCome)
	})

	for name, parity := range map[string]int{"the first": 0, "the second": 1} {
		It("that misses every second event, "+name+" to begin with, is right once it sees the next one of each object (R17.3)", func(ctx SpecContext) {
			playAgainst(ctx, func(p *proxy) { p.dropped = func(number int) bool { return number%2 == parity } }, touched)
		})
	}

	for _, told := range []lie{timeout, conflict, noAnswer} {
		It("that is answered by "+string(told)+" to the writes that it does does none twice (R1.8, R2.6, R17.2)", func(ctx SpecContext) {
			playAgainst(ctx, func(p *proxy) { p.lie = told }, asTheyCome)
		})
	}
})
