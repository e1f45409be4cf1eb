package views

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// freeze is less than what is left of a lease of 3 s, which its holder must renew within 2 s and tries to every half second.
const freeze = time.Second

// process is an operator as a program of its own.
type process struct {
	*proxy
	command *exec.Cmd
	ended   chan struct{}
	err     error
}

// process starts one whose lease lives 3 s.
func (w *world) process() *process {
	GinkgoHelper()
	return w.processWith("--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=500ms")
}

// processWith starts one with these flags more.
func (w *world) processWith(flags ...string) *process {
	GinkgoHelper()
	p := &process{proxy: newProxy(nil), ended: make(chan struct{})}
	kubeconfig := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(os.WriteFile(kubeconfig, fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Config", "current-context": "spec",
		"clusters": [{"name": "spec", "cluster": {"server": %q}}],
		"contexts": [{"name": "spec", "context": {"cluster": "spec", "user": ""}}]}`, p.url), 0o600)).To(Succeed())
	p.command = exec.Command(manager, append([]string{ //nolint:noctx // it is ended as each spec wants it
		"--kubeconfig", kubeconfig, "--allowed-hosts", w.url,
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--jwks-bind-address=0",
		"--leader-elect", "--leader-elect-namespace", w.namespace,
	}, flags...)...)
	p.command.Stdout, p.command.Stderr = GinkgoWriter, GinkgoWriter
	Expect(p.command.Start()).To(Succeed())
	go func() {
		defer close(p.ended)
		p.err = p.command.Wait()
	}()
	DeferCleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
	})
	Eventually(p.counted).Should(HaveKeyWithValue("WATCH giniclients", BeNumerically(">=", 1)))
	return p
}

func (p *process) signal(what syscall.Signal) {
	GinkgoHelper()
	Expect(p.command.Process.Signal(what)).To(Succeed())
}

// holder is who has the lease; "" where nobody has.
func (w *world) holder(ctx context.Context) func() string {
	return func() string {
		lease := &coordinationv1.Lease{}
		if err := k8s.Get(ctx, w.key("gini-operator.credentials.gini.net"), lease); err != nil {
			return ""
		}
		return ptr.Deref(lease.Spec.HolderIdentity, "")
	}
}

// succession waits until somebody else than before leads, and returns who.
func (w *world) succession(ctx context.Context, before string) string {
	GinkgoHelper()
	Eventually(w.holder(ctx)).Should(And(Not(BeEmpty()), Not(Equal(before))))
	return w.holder(ctx)()
}

// kept are the watches that an operator with all rights needs.
var kept = []string{"WATCH giniclients", "WATCH giniusers", "WATCH secrets", "WATCH configmaps", "WATCH namespaces"}

var _ = Describe("Operators that compete", func() {
	It("take over from each other with what they have seen already, and ask Gini for nothing but what is new (R13.1, R13.3)", func(ctx SpecContext) {
		w := newWorldOn(ctx, clock.RealClock{})
		giniClient := w.client()
		giniClient.Spec.IdentityProvider = nil // whose keys no process serves here
		w.create(ctx, giniClient)
		first := w.process()
		leader := w.succession(ctx, "")
		second := w.process()
		w.create(ctx, w.anonymous("alice"))
		w.create(ctx, w.both("bob", api.BasicAuth))
		for _, name := range []string{"alice", "bob"} {
			Eventually(w.ready(ctx, name)).Should(Equal(ready))
		}
		expectNothingNew := func(newcomer string) {
			GinkgoHelper()
			before, mark := w.versions(ctx), w.gini.Mark()
			w.create(ctx, w.derived(newcomer))
			Eventually(w.ready(ctx, newcomer)).Should(Equal(ready))
			Expect(w.versions(ctx)).To(ContainElements(before))
			Expect(w.gini.Since(mark).Requests()).To(Equal(1), "the newcomer's login")
		}

		By("asking the leader to end")
		for _, watch := range kept {
			Eventually(second.counted).Should(HaveKey(watch), "that which waits looks already")
		}
		looked := second.counted()
		first.signal(syscall.SIGTERM)
		Eventually(first.ended).Should(BeClosed())
		Expect(first.err).NotTo(HaveOccurred())
		leader = w.succession(ctx, leader)
		expectNothingNew("carol")
		for _, watch := range kept {
			list := strings.Replace(watch, "WATCH", "LIST", 1)
			Expect(second.counted()[list]).To(Equal(looked[list]), list)
		}

		By("killing the leader")
		third := w.process()
		second.signal(syscall.SIGKILL)
		leader = w.succession(ctx, leader)
		expectNothingNew("dave")

		By("freezing the leader for less than its lease lives")
		fourth := w.process()
		Expect(w.holder(ctx)()).To(Equal(leader))
		third.signal(syscall.SIGSTOP)
		time.Sleep(freeze) // the fault is that time passes
		third.signal(syscall.SIGCONT)
		expectNothingNew("erin")
		Expect(w.holder(ctx)()).To(Equal(leader))
		Expect(third.ended).NotTo(BeClosed(), "it leads still")
		w.provesItself(ctx)
		Expect(w.gini.Ledger().Accounts()).To(HaveLen(1))
		for _, p := range []*process{first, second, third, fourth} {
			p.expectCareful()
		}
	})

	It("need not wait for a lease of a minute where its holder is asked to end, which gives it up (R13.1)", func(ctx SpecContext) {
		w := newWorldOn(ctx, clock.RealClock{})
		first := w.processWith()
		leader := w.succession(ctx, "")
		lease := &coordinationv1.Lease{}
		Expect(k8s.Get(ctx, w.key("gini-operator.credentials.gini.net"), lease)).To(Succeed())
		Expect(time.Duration(ptr.Deref(lease.Spec.LeaseDurationSeconds, 0))*time.Second).To(BeNumerically(">", eventually+10*time.Second), "it is not over by then")
		w.processWith()
		first.signal(syscall.SIGTERM)
		w.succession(ctx, leader)
		Eventually(first.ended).Should(BeClosed())
		Expect(first.err).NotTo(HaveOccurred())
	})

	It("leave it to the one that leads, when another wakes in the middle of its work (R1.8, R13.1)", func(ctx SpecContext) {
		const users = 5
		w := newWorldOn(ctx, clock.RealClock{}, emulator.WithLogin(emulator.Behaviour{Mode: emulator.FreshEndsOld}))
		giniClient := w.client()
		giniClient.Spec.IdentityProvider, giniClient.Spec.AnonymousUsers = nil, nil
		w.create(ctx, giniClient)
		first := w.process()
		leader := w.succession(ctx, "")
		w.process()
		name := func(number int) string { return fmt.Sprintf("user-%d", number) }
		for number := range users {
			w.create(ctx, w.derived(name(number)))
		}
		for number := range users {
			Eventually(w.ready(ctx, name(number))).Should(Equal(ready))
		}
		handled := func() (handled int) {
			for number := range users {
				if w.get(ctx, name(number)).Status.LastHandledRefreshRequest != "" {
					handled++
				}
			}
			return handled
		}

		By("freezing the leader while all but one user wait for their turn at Gini")
		update(ctx, w.key("acme"), &api.GiniClient{}, func(object *api.GiniClient) { object.Spec.Requests.RatePerSecond = 1 })
		mark := w.gini.Mark()
		for number := range users {
			update(ctx, w.key(name(number)), &api.GiniUser{}, func(user *api.GiniUser) {
				user.Annotations = map[string]string{api.RefreshRequestedAnnotation: "now"}
			})
		}
		Eventually(handled).WithPolling(20 * time.Millisecond).Should(BeNumerically(">=", 1))
		first.signal(syscall.SIGSTOP)
		Expect(w.gini.Since(mark).Requests()).To(BeNumerically("<", users), "some wait")
		w.succession(ctx, leader)
		Eventually(handled).Should(Equal(users))

		By("waking it")
		mark = w.gini.Mark()
		first.signal(syscall.SIGCONT)
		Eventually(first.ended).Should(BeClosed())
		Expect(first.err).To(HaveOccurred())
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
		w.provesItself(ctx)
	})
})
