package simulation

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/controller"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/renewal"
)

// application is a GiniClient: what its users are like, how Gini treats it, and what its status says.
type application struct {
	name     string
	share    int // of 100,000 users
	lifetime time.Duration
	sticky   bool
	limits   lane.Limits

	faults []*fault

	mu sync.Mutex
	// version is of its credentials Secret.
	version string
	// checked is the version that Gini was seen to judge, and state and behaviour are what the status tells of it.
	checked   string
	state     lane.State
	behaviour lane.Behaviour
}

func (a *application) key() types.NamespacedName {
	return types.NamespacedName{Namespace: a.name, Name: a.name}
}

// faultAt is the fault that meets a request with credentials of that version; nil where it is answered.
func (a *application) faultAt(now time.Time, version string) *fault {
	for _, fault := range a.faults {
		if fault.holds(now) && (fault.kind != gini.CredentialsRejected || version == oldSecret) {
			return fault
		}
	}
	return nil
}

const (
	oldSecret = "old"
	newSecret = "new"
)

func (a *application) current() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.version
}

// tell writes the status of the GiniClient.
func (a *application) tell(of *lane.Lane) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state, a.behaviour = of.State(), of.Behaviour(lane.LoginEndpoint)
	if a.state.Accepted || a.state.Trouble == gini.CredentialsRejected {
		a.checked = a.version
	}
}

// recalled is what the status tells an operator that has just started.
func (a *application) recalled() (lane.State, lane.Behaviour) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.checked != a.version:
		return lane.State{}, a.behaviour
	case a.state.Trouble == gini.CredentialsRejected:
		return lane.Rejected(a.state.Since, a.state.ProbeAt.Truncate(time.Second)), a.behaviour
	case a.state.Accepted:
		return lane.Accepting(), a.behaviour
	}
	return lane.State{}, a.behaviour
}

// held is what a user's Secret holds.
type held struct {
	token     renewal.Token
	refreshAt time.Time
	grant     grant
}

// record is a user as the API server has it. Objects are never changed, only replaced.
type record struct {
	of      *application
	object  *api.GiniUser
	secret  *held
	created time.Time
	version int
	overdue int // the index among those that the next sweep has to look at; -1: none
}

// cluster is the API server and the operator's cache of it.
type cluster struct {
	clock *wallClock
	book  *ledger
	// entries are what the operator's own code makes of users.
	entries func(users ...api.GiniUser) iter.Seq[agenda.Entry]

	mu     sync.Mutex
	byKey  map[types.NamespacedName]int
	users  []*record
	future planHeap
	// overdue are the users of which something is due before the next sweep.
	overdue []int
	listed  []api.GiniUser
}

func newCluster(ctx context.Context, clock *wallClock, book *ledger) *cluster {
	return &cluster{
		clock: clock, book: book, byKey: map[types.NamespacedName]int{},
		entries: func(users ...api.GiniUser) iter.Seq[agenda.Entry] {
			reconciler := &controller.GiniUserReconciler{Reader: cache{users: users}, Clock: clock}
			return reconciler.Entries(ctx)
		},
	}
}

// create makes a user.
func (c *cluster) create(of *application) types.NamespacedName {
	c.mu.Lock()
	defer c.mu.Unlock()
	number, now := len(c.users), c.clock.Now()
	sum := sha256.Sum256(fmt.Appendf(nil, "user %d", number))
	user := &api.GiniUser{ObjectMeta: metav1.ObjectMeta{
		Namespace: of.name, Name: fmt.Sprintf("user-%06d", number), Generation: 1, CreationTimestamp: metav1.NewTime(now.Truncate(time.Second)),
		UID: types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])),
	}}
	user.Spec.ClientRef.Name = api.ObjectName(of.name)
	user.Spec.Devices.Untrusted = &api.UntrustedDeviceSpec{}
	key := keyOf(user)
	c.byKey[key] = number
	c.users = append(c.users, &record{of: of, created: now, overdue: -1})
	c.book.created(of, number, now)
	c.replace(number, user)
	return key
}

// get reads a user and its Secret.
func (c *cluster) get(key types.NamespacedName) (number int, known record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	number = c.byKey[key]
	return number, *c.users[number]
}

// all are all users.
func (c *cluster) all() []record {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]record, 0, len(c.users))
	for _, known := range c.users {
		all = append(all, *known)
	}
	return all
}

// writeSecret writes a user's Secret.
func (c *cluster) writeSecret(number int, secret held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.users[number]
	c.book.written(known, secret, c.clock.Now())
	known.secret = &secret
}

// writeStatus replaces a user by one with another status.
func (c *cluster) writeStatus(number int, user *api.GiniUser) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replace(number, user)
}

// replace puts an object in its place, and plans when a sweep has to look at it.
func (c *cluster) replace(number int, user *api.GiniUser) {
	known := c.users[number]
	known.object = user
	known.version++
	if known.overdue >= 0 {
		last := c.overdue[len(c.overdue)-1]
		c.overdue[known.overdue], c.users[last].overdue = last, known.overdue
		c.overdue, known.overdue = c.overdue[:len(c.overdue)-1], -1
	}
	if entry := c.entryOf(user); !entry.DueAt.IsZero() {
		heap.Push(&c.future, plan{at: entry.DueAt, user: number, version: known.version})
	}
}

// cache reads GiniUsers as a cache does: those that it holds.
type cache struct {
	client.Reader // what nobody here calls
	users         []api.GiniUser
}

// List implements client.Reader.
func (c cache) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if users, ok := list.(*api.GiniUserList); ok {
		users.Items = c.users
	}
	return nil
}

func (c *cluster) entryOf(user *api.GiniUser) agenda.Entry {
	for entry := range c.entries(*user) {
		return entry
	}
	panic("no entry")
}

// sweep walks the entries that a sweep has to look at. Nobody else's matters: when something is due changes with a write only, and
// what is not due before the next sweep is passed over. Once an hour it makes sure of that.
func (c *cluster) sweep(context.Context) iter.Seq[agenda.Entry] {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	for len(c.future) > 0 && c.future[0].at.Before(now.Add(agenda.Interval)) {
		next, _ := heap.Pop(&c.future).(plan)
		if known := c.users[next.user]; known.version == next.version {
			known.overdue = len(c.overdue)
			c.overdue = append(c.overdue, next.user)
		}
	}
	if now.Truncate(agenda.Interval).Minute() == 0 && now.Truncate(agenda.Interval).Second() == 0 {
		c.compare(now)
	}
	c.listed = c.listed[:0] // one sweep at a time
	for _, number := range c.overdue {
		c.listed = append(c.listed, *c.users[number].object)
	}
	return c.entries(c.listed...)
}

// compare looks at all users, as the operator does in each sweep.
func (c *cluster) compare(now time.Time) {
	all := make([]api.GiniUser, 0, len(c.users))
	for _, known := range c.users {
		all = append(all, *known.object)
	}
	due := 0
	for entry := range c.entries(all...) {
		if _, ok := agenda.Due(entry, now, agenda.Interval); ok {
			due++
			if c.users[c.byKey[entry.Key]].overdue < 0 {
				c.book.missed++
			}
		}
	}
	c.book.compared++
	c.book.missed += len(c.overdue) - due
}

// plan is when something is due for a user as of one version.
type plan struct {
	at      time.Time
	user    int
	version int
}

type planHeap []plan

func (h planHeap) Len() int           { return len(h) }
func (h planHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h planHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *planHeap) Push(x any) {
	added, _ := x.(plan)
	*h = append(*h, added)
}
func (h *planHeap) Pop() any {
	popped := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return popped
}

func keyOf(user *api.GiniUser) types.NamespacedName { return client.ObjectKeyFromObject(user) }
