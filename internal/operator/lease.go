package operator

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/leaderelection"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
)

// Election is how several operators agree on which of them works.
type Election struct {
	// Name is the lease's, and Namespace where it is; the operator's own where it is empty and the operator runs in a cluster.
	Name, Namespace string
	// LeaseDuration is how long the others wait for a leader that is not heard of, RenewDeadline how long a leader tries to renew its
	// lease before it gives up, and RetryPeriod how long to wait between tries.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
	// Clock is the wall clock; the real one where it is nil.
	Clock clock.PassiveClock
}

// Elect makes an operator with these options work only while it has the lease, which it returns.
func Elect(options *manager.Options, connection *rest.Config, election Election) (*Lease, error) {
	events := &lateRecorder{}
	lock, err := leaderelection.NewResourceLock(rest.CopyConfig(connection), events, leaderelection.Options{
		LeaderElection: true, LeaderElectionID: election.Name, LeaderElectionNamespace: election.Namespace, RenewDeadline: election.RenewDeadline,
	})
	if err != nil {
		return nil, fmt.Errorf("no lease to compete for: %w", err)
	}
	lease := NewLease(lock, election.RenewDeadline, election.Clock)
	lease.events = events
	options.LeaderElection, options.LeaderElectionResourceLockInterface, options.LeaderElectionReleaseOnCancel = true, lease, true
	options.LeaderElectionID = election.Name
	options.LeaseDuration, options.RenewDeadline, options.RetryPeriod = &election.LeaseDuration, &election.RenewDeadline, &election.RetryPeriod
	return lease, nil
}

// Lease is the lock that operators compete for, and knows how fresh it is. A process that was frozen, or whose machine was suspended, for
// longer than a lease lives goes on where it was, while another one leads. The leader election notices that a moment later, which may be
// too late: a login may end the token that the other one has just got. So nothing is asked of Gini on a lease that is not fresh.
type Lease struct {
	resourcelock.Interface
	clock  clock.PassiveClock
	fresh  time.Duration
	events *lateRecorder

	mu      sync.Mutex
	held    bool
	renewed time.Time     // wall clock
	renewal chan struct{} // closed at the next renewal
	lost    chan struct{} // closed when somebody else turns out to have the lease that this operator had
	once    sync.Once
}

// NewLease wraps a lock. It is taken to be fresh for a while after it was renewed.
func NewLease(lock resourcelock.Interface, fresh time.Duration, wall clock.PassiveClock) *Lease {
	if wall == nil {
		wall = clock.RealClock{}
	}
	return &Lease{Interface: lock, clock: wall, fresh: fresh, renewal: make(chan struct{}), lost: make(chan struct{})}
}

// Get implements resourcelock.Interface.
func (l *Lease) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil && record.HolderIdentity != l.Identity() {
		l.lose(record.HolderIdentity != "")
	}
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (l *Lease) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.write(ctx, record, l.Interface.Create)
}

// Update implements resourcelock.Interface.
func (l *Lease) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.write(ctx, record, l.Interface.Update)
}

func (l *Lease) write(
	ctx context.Context, record resourcelock.LeaderElectionRecord, write func(context.Context, resourcelock.LeaderElectionRecord) error,
) error {
	begun := l.clock.Now().Round(0)
	if record.HolderIdentity != l.Identity() { // it is given up: from now on nothing is done, whether or not others learn of it
		l.lose(false)
		return write(ctx, record)
	}
	if err := write(ctx, record); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held, l.renewed = true, begun
	close(l.renewal)
	l.renewal = make(chan struct{})
	return nil
}

// lose notes that this operator does not have the lease any more, or that somebody else has taken it.
func (l *Lease) lose(taken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held && taken {
		l.once.Do(func() { close(l.lost) })
	}
	l.held = false
}

// Lost is closed once somebody else has the lease that this operator had. The process should end at once: the leader election itself would
// go on trying to renew for as long as its deadline. A nil Lease is never lost.
func (l *Lease) Lost() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.lost
}

// Fresh blocks until the lease is known to be this operator's, or the context ends. It does not block where the last renewal was begun
// a moment ago by the wall clock; where that was set, forward or back, the next renewal tells. A nil Lease is always fresh.
func (l *Lease) Fresh(ctx context.Context) error {
	if l == nil {
		return nil
	}
	for {
		l.mu.Lock()
		age := l.clock.Now().Round(0).Sub(l.renewed)
		fresh, renewal := l.held && age >= 0 && age < l.fresh, l.renewal
		l.mu.Unlock()
		if fresh {
			return nil
		}
		select {
		case <-renewal:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tellBy lets Events about the lease be told by a manager's recorder.
func (l *Lease) tellBy(mgr ctrl.Manager) {
	if l != nil && l.events != nil {
		l.events.set(mgr)
	}
}

// lateRecorder tells Events by a provider that comes to exist only after the lock; what is told before is dropped.
type lateRecorder struct {
	recorder.Provider    // nil: the lock asks for one recorder only, which is this
	record.EventRecorder // nil: the lock tells by Eventf only

	mu     sync.Mutex
	source string
	events record.EventRecorder
}

// GetEventRecorderFor implements recorder.Provider.
func (r *lateRecorder) GetEventRecorderFor(source string) record.EventRecorder {
	r.source = source
	return r
}

// Eventf implements resourcelock.EventRecorder.
func (r *lateRecorder) Eventf(object runtime.Object, kind, reason, format string, arguments ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events != nil {
		r.events.Eventf(object, kind, reason, format, arguments...)
	}
}

func (r *lateRecorder) set(provider recorder.Provider) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = provider.GetEventRecorderFor(r.source) //nolint:staticcheck // the leader election knows no other Events
}
