package controller_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// flow is what becomes of one GiniUser, alice, in acts: in each, people, the clock or Gini do something, and the operator has to settle.
type flow struct {
	name string
	acts []act
}

type act struct {
	name string
	do   func(ctx context.Context, d *drill)
}

// drill is a world with a gate, in which a flow runs.
type drill struct {
	*world
	gate      *gate
	life      *life
	publisher *publisher
	warnings  map[string]bool
}

// played is what is known of a flow that was run to its end.
type played struct {
	steps []step
	// states are what the cluster and Gini looked like after each act, and learned is what the GiniClient said in the end.
	states  []string
	learned string
	// warnings are the reasons of Events that tell people of trouble.
	warnings map[string]bool
	// done counts requests that were served and writes that were done.
	done map[string]int
}

// play runs a flow, in which something happens at a step; reference is a run of it in which nothing does.
func (f flow) play(ctx context.Context, happens event, at int, reference *played) *played {
	GinkgoHelper()
	g := &gate{happens: happens, at: at, done: map[string]int{}}
	d := &drill{gate: g, warnings: map[string]bool{}}
	var behaviour []emulator.Option
	if happens == isOvertaken { // of two logins the later one counts: where an operator keeps the token of the earlier one, that no longer works
		endsOld := emulator.Behaviour{Mode: emulator.FreshEndsOld}
		behaviour = []emulator.Option{emulator.WithLogin(endsOld), emulator.WithUserCenter(endsOld)}
	}
	d.world = newWorldServedBy(ctx, func(gini *emulator.Server) (string, error) { return g.before("", gini), nil }, behaviour...)
	g.overlap = func() { d.reconcileOther(ctx) }
	d.revive()
	defer d.leaveNothing(ctx)

	var states []string
	for _, act := range f.acts {
		g.begin(act.name)
		act.do(ctx, d)
		d.settled(ctx)
		states = append(states, d.state(ctx))
		d.provesItself(ctx, act.name)
		if reference != nil {
			Expect(difference(states[len(states)-1], reference.states[len(states)-1])).To(BeEmpty(), "unlike the reference run after the act %q", act.name)
		}
	}
	learned := d.learned(ctx)
	if reference != nil {
		Expect(difference(learned, reference.learned)).To(BeEmpty(), "unlike the reference run in the end")
	}

	By("having nothing left to do, also after a start")
	before, done := g.taken(), maps.Clone(g.done)
	d.revive()
	d.everything(ctx)
	Expect(g.steps[before:]).To(BeEmpty(), "steps of an operator that was started when all was done")
	return &played{steps: g.steps[:before], states: states, learned: learned, warnings: d.warnings, done: done}
}

// difference lists the lines that only one of two texts has.
func difference(is, wanted string) (lines []string) {
	only := func(which, has, lacks string) {
		for line := range strings.Lines(has) {
			if !strings.Contains(lacks, line) {
				lines = append(lines, which+": "+line)
			}
		}
	}
	only("is", is, wanted)
	only("wanted", wanted, is)
	return lines
}

// revive starts an operator that remembers nothing, in place of the one there was.
func (d *drill) revive() {
	GinkgoHelper()
	if d.life != nil {
		d.life.end()
	}
	d.life = &life{gate: d.gate}
	d.world.liveBy(d.life)
}

// liveBy starts an operator that sees and changes the cluster by this life only.
func (w *world) liveBy(l *life) {
	GinkgoHelper()
	through := l.client(w.namespace)
	w.writes = through
	w.restart()
	reader := l.cache(w.namespace)
	w.users.Reader, w.users.Metadata, w.users.Secrets.Live = reader, reader, through
	w.users.Registry.Metadata, w.users.Registry.Live = reader, through
	w.clients.Reader, w.clients.Secrets = reader, w.users.Secrets
}

// settled lets the operator work until there is nothing left to do. A dead one is replaced.
func (d *drill) settled(ctx context.Context) {
	GinkgoHelper()
	for range 40 {
		before := d.gate.taken()
		again := d.everything(ctx)
		switch {
		case d.gate.isDead():
			d.revive()
		case again > 0:
			d.clock.Step(again)
		case d.gate.taken() != before: // that may have been cause for more
		case d.isReady(ctx):
			return
		default:
			d.clock.Step(16 * time.Second) // the pause that a failure deserves
		}
	}
	Expect(d.state(ctx)).To(BeEmpty(), "the operator does not settle; people are warned of %v", keysIn(d.warnings))
}

// everything reconciles all there is once, and returns when an object asked to be looked at again before the next sweep.
func (d *drill) everything(ctx context.Context) (again time.Duration) {
	GinkgoHelper()
	defer d.listen()
	d.gate.watch(theOperator)
	defer d.gate.watch(theSpec)
	note := func(result ctrl.Result, err error) {
		switch {
		case d.gate.isDead():
		case err != nil:
			Expect(d.gate.happens).To(Equal(isOvertaken), "only another operator may be in the way: %v", err)
			again = time.Millisecond
		case result.RequeueAfter > 0 && result.RequeueAfter < agenda.Interval:
			again = max(again, result.RequeueAfter)
		}
	}
	note(d.clients.Reconcile(ctx, ctrl.Request{NamespacedName: d.key("acme")}))
	if d.publisher != nil { // another replica
		d.publisher.publish(ctx, d.world)
	}
	note(d.users.Reconcile(ctx, ctrl.Request{NamespacedName: d.key("alice")}))
	return again
}

// listen takes note of what people are warned of.
func (d *drill) listen() {
	for _, told := range d.told() {
		if words := strings.Fields(told); words[0] == corev1.EventTypeWarning {
			d.warnings[words[1]] = true
		}
	}
}

// reconcileOther starts another operator, which reconciles all there is once.
func (d *drill) reconcileOther(ctx context.Context) {
	GinkgoHelper()
	other := d.inNamespaceOf(d.namespace)
	other.allowed = d.allowed
	other.liveBy(&life{gate: d.gate})
	_, _ = other.clients.Reconcile(ctx, ctrl.Request{NamespacedName: d.key("acme")})
	_, _ = other.users.Reconcile(ctx, ctrl.Request{NamespacedName: d.key("alice")})
}

func (d *drill) isReady(ctx context.Context) bool {
	GinkgoHelper()
	object := &api.GiniClient{}
	Expect(k8s.Get(ctx, d.key("acme"), object)).To(Succeed())
	return meta.IsStatusConditionTrue(object.Status.Conditions, api.ConditionReady) && ready(d.user(ctx, "alice")) == "True CredentialsReady"
}

// leaveNothing deletes what other specs would have to look at.
func (d *drill) leaveNothing(ctx context.Context) {
	for _, object := range []client.Object{&api.GiniUser{}, &api.GiniClient{}} {
		_ = k8s.DeleteAllOf(ctx, object, client.InNamespace(d.namespace))
	}
}

// may is how many requests and writes of each kind something that happens at a step may cost beyond the reference run. An operator
// that dies may cost a status write, one request of each kind whose answer stood nowhere yet, and one login where it stood nowhere
// whether the account had been made. Anything else would be a needless renewal, or a second write of a Secret. Where two
// operators overlap, each may do everything once.
func (p *played) may(happens event, at int) map[string]int {
	more := map[string]int{clientTokenRequest: 1} // whose answer stands in an operator's memory only
	for name := range p.done {
		if happens == isOvertaken || (step{name: name}).isStatus() {
			more[name] = 1
		}
	}
	if happens == isOvertaken {
		for name := range p.done {
			if made, ok := strings.CutPrefix(name, "POST secrets "); ok { // what the other one made is written over by the later login
				more["PUT secrets "+made] = 1
			}
			if (step{name: name}).isStatus() {
				more[name] = 2 // what each of them saw
			}
		}
		more["GET /documents"] = 2 // each verifies, and asks which of two tokens is the later one
		// 400 for an e-mail address that exists may also stand for a client token that has ended.
		more[clientTokenRequest], more[createRequest], more[checkTokenRequest] = 2, 2, 1
		if p.done[createRequest] > 0 { // each looks for an account before it makes one, and finds that of the other
			more[passwordRequest] = 3 // and once more, where that ended the token which the other one then finds refused
		}
		return more
	}
	if happens == diesBefore {
		at--
	}
	if at < 0 {
		return more
	}
	for i := at; i >= 0 && (p.steps[i].isRequest() || p.steps[i].isStatus()); i-- {
		if p.steps[i].isRequest() {
			more[p.steps[i].name] = 1
		}
	}
	if p.holdsID(at) {
		more[checkTokenRequest] = 1
	}
	if p.holdsJWT(at) {
		more[providerRequest] = 1
	}
	if more[createRequest] > 0 { // the account is found by a login, which does not tell its id
		more[checkTokenRequest] = 1
	}
	next := p.next(at)
	if next == createRequest { // a login finds no account
		more[passwordRequest] = 1
	}
	if last := p.steps[at].name; strings.HasPrefix(last, "DELETE secrets ") && next == strings.Replace(last, "DELETE", "POST", 1) {
		more[loginRequest] = 1 // the token was in no Secret for a moment
	}
	return more
}

// The names of steps.
const (
	loginRequest       = "POST /login"
	passwordRequest    = "POST /oauth/token password"
	createRequest      = "POST /api/users"
	clientTokenRequest = "GET /oauth/token client_credentials"
	checkTokenRequest  = "GET /oauth/check_token"
	providerRequest    = "POST /provider/token client_credentials"
)

// holdsID reports whether an operator that has done a step holds the id of an account that it asked Gini for: it is in its memory until
// it stands in the status.
func (p *played) holdsID(at int) bool {
	for ; at >= 0 && !p.steps[at].isStatus(); at-- {
		if p.steps[at].name == checkTokenRequest {
			return true
		}
	}
	return false
}

// holdsJWT reports whether an operator that has done a step needs a JWT that it was given in the same act: it stands in
// its memory until it was exchanged for an access token, and that stands in its Secret.
func (p *played) holdsJWT(at int) bool {
	given := at
	for ; p.steps[given].name != providerRequest; given-- {
		if given == 0 || p.steps[given-1].act != p.steps[at].act || strings.HasSuffix(p.steps[given].name, " secrets alice-token") {
			return false
		}
	}
	return slices.Contains(p.steps[given:], step{act: p.steps[at].act, name: loginRequest})
}

// next is the step after another one that is no status write; "" where there is none.
func (p *played) next(at int) string {
	for _, following := range p.steps[at+1:] {
		if !following.isStatus() {
			return following.name
		}
	}
	return ""
}

// survives plays a flow in which something happens at a step, and says what is wrong with the outcome.
func (f flow) survives(ctx context.Context, happens event, at int, reference *played) error {
	return InterceptGomegaFailure(func() {
		run := f.play(ctx, happens, at, reference)
		Expect(len(run.steps)).To(BeNumerically(">", at))
		Expect(run.steps[:at+1]).To(Equal(reference.steps[:at+1]), "the run is the reference run up to there")
		for reason := range run.warnings {
			Expect(reference.warnings).To(HaveKey(reason), "a false alarm")
		}
		may := reference.may(happens, at)
		for _, name := range slices.Sorted(maps.Keys(run.done)) {
			Expect(run.done[name]).To(BeNumerically("<=", reference.done[name]+may[name]), "needless: %s", name)
		}
	})
}

// distinct are the steps that no later one is like.
func (p *played) distinct() []int {
	var points []int
	for at, one := range p.steps {
		if !slices.ContainsFunc(p.steps[at+1:], func(later step) bool { return later.name == one.name }) {
			points = append(points, at)
		}
	}
	return points
}

// everywhere are all steps.
func (p *played) everywhere() []int {
	points := make([]int, len(p.steps))
	for at := range p.steps {
		points[at] = at
	}
	return points
}

// firstSecret is the step that writes a Secret with a credential first.
func (p *played) firstSecret() []int {
	at := slices.IndexFunc(p.steps, func(one step) bool {
		return strings.Contains(one.name, " secrets ") && !strings.HasSuffix(one.name, "-key") && !strings.HasSuffix(one.name, "-account")
	})
	return []int{at}
}

// describe names a step of a flow.
func (p *played) describe(happens event, at int) string {
	return fmt.Sprintf("%s step %d of %d, %s (%s)", happens, at+1, len(p.steps), p.steps[at].name, p.steps[at].act)
}
