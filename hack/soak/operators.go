package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/gini-operator/gini-operator/hack/internal/cluster"
	"github.com/gini-operator/gini-operator/hack/internal/narration"
)

const (
	operatorNamespace = "gini-operator-system"
	leaseName         = "gini-operator.credentials.gini.net"

	// restartPause is what lies between the end of a process and its restart, as by a kubelet.
	restartPause = time.Second
	lookPause    = 100 * time.Millisecond
	memoryPause  = time.Second
	askTimeout   = 500 * time.Millisecond
	// slowLook at a lease is a sign of a machine too busy for a lease of 3 s.
	leaseTimeout, slowLook = 2 * time.Second, 250 * time.Millisecond
	// busyFor is how long after such a sign a finding may come from that.
	busyFor = 10 * time.Second
	// gaveUp is the exit status of an operator that ends by itself, as it does without its lease.
	gaveUp = 1
	// exitBound is how long after a fault an operator may end because of it: what is left of its renew deadline of 2 s, a try of 1 s to learn
	// who leads, and two seconds to end on a busy machine.
	exitBound = 5 * time.Second
)

// process is one life of an operator process.
type process struct {
	*cluster.Operator
	name                  string // of its place: a or b
	started               time.Time
	metrics, health, jwks string // addresses
	memory                []sample
	identity              string         // in the lease; "" until it led
	asked                 syscall.Signal // by which the soak ends it; 0 where it does not
	frozen                bool
	thawed                time.Time // until when it was frozen last; zero where it never was
	resumed               time.Time // since when it runs without a break
}

// ending is how a process ended: with an exit status, or by a signal.
type ending struct {
	status int
	signal syscall.Signal
}

func endingOf(state *os.ProcessState) ending {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return ending{signal: status.Signal()}
	}
	return ending{status: state.ExitCode()}
}

func (e ending) String() string {
	if e.signal != 0 {
		return "signal: " + e.signal.String()
	}
	return fmt.Sprintf("exit status %d", e.status)
}

// absence is a time without an API server; to is zero while it lasts.
type absence struct{ from, to time.Time }

// sample is resident memory at an instant.
type sample struct {
	at    time.Time
	bytes int64
}

// operators are two processes of which one leads, each started again when it ends.
type operators struct {
	cluster      *cluster.Cluster
	allowedHosts string
	dir          string
	out          *narration.Printer
	excuses      *excuses
	running      sync.WaitGroup

	mu     sync.Mutex
	places map[string]*process // by name; nil between two lives
	all    []*process
	leader *process
	// since is when the last leader was lost, and regained what notes that another one is there.
	since    time.Time
	regained func(time.Time)
	// without is how long nobody led, longest at one time; time without an API server counts in without alone.
	without, longest time.Duration
	absences         []absence
	leaders, exits   int
	crashes          []string // ends of processes that nothing explains
	// looks counts how often the lease was read, and slow are the moments at which that took longer than slowLook, of which worst was the
	// longest: with an API server and a machine that are not busy, it takes milliseconds.
	looks int
	slow  []time.Time
	worst time.Duration
}

func newOperators(c *cluster.Cluster, allowedHosts, dir string, out *narration.Printer, x *excuses) *operators {
	return &operators{cluster: c, allowedHosts: allowedHosts, dir: dir, out: out, excuses: x, places: map[string]*process{}}
}

func logFile(dir, name string) string { return filepath.Join(dir, "manager-"+name+".log") }

// start begins both lives, and looks after them until ctx ends; then wait.
func (o *operators) start(ctx context.Context) {
	for _, name := range []string{"a", "b"} {
		o.running.Go(func() { o.live(ctx, name) })
	}
	o.running.Go(func() { o.watch(ctx) })
}

func (o *operators) wait() { o.running.Wait() }

// live starts the process of a place whenever there is none, and ends it at last.
func (o *operators) live(ctx context.Context, name string) {
	for ctx.Err() == nil {
		p, err := o.begin(ctx, name)
		if err != nil {
			o.out.Say("operator %s does not start: %v", name, err)
		} else {
			select {
			case <-p.Ended():
			case <-ctx.Done():
				_ = p.Signal(syscall.SIGCONT)
				p.Stop()
				return
			}
			o.ended(p)
			p.Stop() // closes the log
		}
		select {
		case <-ctx.Done():
		case <-time.After(restartPause):
		}
	}
}

func (o *operators) begin(ctx context.Context, name string) (*process, error) {
	p := &process{name: name, started: time.Now(), resumed: time.Now()}
	for _, address := range []*string{&p.metrics, &p.health, &p.jwks} {
		var err error
		if *address, err = cluster.FreeAddress(ctx); err != nil {
			return nil, err
		}
	}
	var err error
	p.Operator, err = o.cluster.StartOperator(logFile(o.dir, name), "--allowed-hosts", o.allowedHosts,
		"--leader-elect", "--leader-elect-namespace", operatorNamespace,
		"--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=1s",
		"--metrics-bind-address", p.metrics, "--health-probe-bind-address", p.health, "--jwks-bind-address", p.jwks)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.places[name] = p
	o.all = append(o.all, p)
	return p, nil
}

// ended notes how a process ended.
func (o *operators) ended(p *process) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, how := time.Now(), endingOf(p.State())
	o.places[p.name] = nil
	o.lose(p, at)
	why := o.explain(p, how, at)
	if p.asked == 0 {
		o.exits++
		o.out.Say("  operator %s (process %d) ended by itself after %.0f s: %s (%s)",
			p.name, p.PID(), at.Sub(p.started).Seconds(), how, cmp.Or(why, "for no reason"))
	}
	if why == "" {
		o.crashes = append(o.crashes, fmt.Sprintf("operator %s (process %d) ended %.1f s into the run, which no fault explains: %s",
			p.name, p.PID(), at.Sub(o.out.Start()).Seconds(), how))
	}
}

// explain says why a process ended; "" where it must not have: it crashed. o.mu is held. It may end as the soak asks it to. By itself it may
// give up, no more than exitBound after one of the faults that take the lease from it, or the API server:
//   - there was no API server: a leader cannot renew its lease, and whoever starts cannot learn what is served;
//   - the process was frozen: another one has taken the lease over meanwhile.
//
// No other fault is one, nor does anything else ask for an end: a signal that is not the soak's own is a crash, as is a panic.
func (o *operators) explain(p *process, how ending, at time.Time) string {
	switch {
	case p.asked == syscall.SIGKILL && how.signal == syscall.SIGKILL, p.asked == syscall.SIGTERM && how == ending{}:
		return "asked to"
	case how != ending{status: gaveUp}:
		return ""
	case p.frozen, !p.thawed.IsZero() && at.Sub(p.thawed) <= exitBound:
		return "frozen before"
	}
	for _, a := range o.absences {
		if !at.Before(a.from) && (a.to.IsZero() || at.Sub(a.to) <= exitBound) {
			return "without an API server"
		}
	}
	return ""
}

// lose notes that a process cannot lead any more; o.mu is held.
func (o *operators) lose(p *process, at time.Time) {
	if o.leader != p {
		return
	}
	o.leader, o.since = nil, at
	o.regained = o.excuses.begin(excuse{cause: leaderless, grace: leaderGrace}, at)
}

// watch follows the lease and the memory of the processes.
func (o *operators) watch(ctx context.Context) {
	measured := time.Now()
	for pause(ctx, lookPause) {
		o.followLease(ctx)
		if time.Since(measured) >= memoryPause {
			measured = time.Now()
			o.measure()
		}
	}
}

func (o *operators) followLease(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	var lease coordinationv1.Lease
	begin := time.Now()
	if err := o.cluster.Client.Get(ctx, types.NamespacedName{Namespace: operatorNamespace, Name: leaseName}, &lease); err != nil {
		return // of a missing API server, the processes' end tells
	}
	o.looked(time.Since(begin))
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	if holder == "" || lease.Spec.RenewTime == nil {
		return
	}
	p := o.holder(ctx, holder)
	if p == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.leader == p || p.frozen || p.asked != 0 || o.places[p.name] != p || lease.Spec.RenewTime.Time.Before(p.resumed) {
		return
	}
	now := time.Now()
	if o.regained != nil {
		o.without, o.longest = o.leaderless(now)
		o.regained(now)
		o.out.Say("  operator %s (process %d) leads after %.1f s without a leader", p.name, p.PID(), now.Sub(o.since).Seconds())
	} else if o.leader == nil {
		o.out.Say("operator %s (process %d) leads", p.name, p.PID())
	}
	o.leader, o.regained = p, nil
	o.leaders++
}

// leaderless is how long nobody led until an instant, and the longest at one time, what lasts then included; o.mu is held.
func (o *operators) leaderless(at time.Time) (without, longest time.Duration) {
	without, longest = o.without, o.longest
	if o.leader != nil || o.since.IsZero() {
		return without, longest
	}
	seen := o.since
	for _, a := range o.absences {
		if a.to.IsZero() {
			seen = at
		}
		seen = later(seen, a.to)
	}
	return without + max(0, at.Sub(o.since)), max(longest, at.Sub(seen))
}

// looked notes how long reading the lease took.
func (o *operators) looked(took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.looks++
	o.worst = max(o.worst, took)
	if took > slowLook {
		o.slow = append(o.slow, time.Now())
	}
}

// busy reports whether the machine was too busy for a lease of 3 s at some time between two instants, or shortly before.
func (o *operators) busy(from, to time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(o.slow, func(t time.Time) bool { return !t.After(to) && from.Sub(t) < busyFor })
}

// holder is the process with an identity of the lease: they are told apart by asking each of them whether it leads.
func (o *operators) holder(ctx context.Context, identity string) *process {
	o.mu.Lock()
	var candidates []*process
	for _, p := range o.places {
		switch {
		case p == nil || p.frozen:
		case p.identity == identity:
			o.mu.Unlock()
			return p
		case p.identity == "":
			candidates = append(candidates, p)
		}
	}
	known := slices.ContainsFunc(o.all, func(p *process) bool { return p.identity == identity })
	o.mu.Unlock()
	if known { // and has ended, or is frozen
		return nil
	}
	for _, p := range candidates {
		if leads(ctx, p.metrics) {
			o.mu.Lock()
			p.identity = identity
			o.mu.Unlock()
			return p
		}
	}
	return nil
}

// leads asks a process whether it leads.
func leads(ctx context.Context, metrics string) bool {
	status, body := ask(ctx, "http://"+metrics+"/metrics")
	return status == http.StatusOK && strings.Contains(body, "leader_election_master_status{name=\""+leaseName+"\"} 1")
}

func ask(ctx context.Context, url string) (status int, body string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody) //nolint:gosec // the host is a process of ours
	if err != nil {
		return 0, ""
	}
	answer, err := http.DefaultClient.Do(request) //nolint:gosec // as above
	if err != nil {
		return 0, ""
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, ""
	}
	return answer.StatusCode, string(data)
}

// pair waits until one process leads and the other is ready to, and returns them.
func (o *operators) pair(ctx context.Context) (leader, standby *process, err error) {
	for deadline := time.Now().Add(steadyLimit); time.Now().Before(deadline); {
		o.mu.Lock()
		leader = o.leader
		standby = nil
		for _, p := range o.places {
			if leader != nil && p != nil && p != leader && !p.frozen {
				standby = p
			}
		}
		o.mu.Unlock()
		if standby != nil {
			if status, _ := ask(ctx, "http://"+standby.health+"/readyz"); status == http.StatusOK {
				return leader, standby, nil
			}
		}
		if !pause(ctx, lookPause) {
			return nil, nil, cluster.Stopped(ctx)
		}
	}
	return nil, nil, fmt.Errorf("there is no leader with a ready standby after %s", steadyLimit)
}

// end ends a process by a signal, and waits for its end.
func (o *operators) end(p *process, signal syscall.Signal) {
	o.mu.Lock()
	p.asked = signal
	o.lose(p, time.Now())
	o.mu.Unlock()
	_ = p.Signal(signal)
	<-p.Ended()
}

// freeze stops a process for a while without ending it.
func (o *operators) freeze(ctx context.Context, p *process, d time.Duration) {
	o.mu.Lock()
	p.frozen = true
	o.lose(p, time.Now())
	o.mu.Unlock()
	_ = p.Signal(syscall.SIGSTOP)
	pause(ctx, d)
	_ = p.Signal(syscall.SIGCONT)
	o.mu.Lock()
	defer o.mu.Unlock()
	p.frozen, p.thawed = false, time.Now()
	p.resumed = p.thawed
}

// jwksAddresses are where JWK Sets are served now.
func (o *operators) jwksAddresses() (addresses []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, name := range []string{"a", "b"} {
		if p := o.places[name]; p != nil {
			addresses = append(addresses, p.jwks)
		}
	}
	return addresses
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pause is false where ctx has ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
