package simulation

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
)

// world is everything around the operator, and the operator that leads now.
type world struct {
	clock   *wallClock
	book    *ledger
	gini    *fakeGini
	cluster *cluster
	clients []*application
	byName  map[types.NamespacedName]*application

	leading *operator
	// down are the times in which no operator could do anything.
	down []span
	// began is when everybody was made, and end is when the simulation ends.
	began, end time.Time
}

// event is something that happens, so long after the beginning.
type event struct {
	after time.Duration
	do    func(ctx context.Context, w *world)
}

// daily tells how far the simulation is.
func daily(t *testing.T, length time.Duration) (story []event) {
	t.Helper()
	for after := 24 * time.Hour; after < length; after += 24 * time.Hour {
		story = append(story, event{after, func(_ context.Context, w *world) {
			requests := 0
			w.book.mu.Lock()
			defer w.book.mu.Unlock()
			for _, account := range w.book.accounts {
				requests += account.requests
			}
			t.Logf("after %v: %d requests to Gini", after, requests)
		}})
	}
	return story
}

// simulate lets a story happen to the users of clients, and returns what is left.
func simulate(t *testing.T, clients []*application, users int, length time.Duration, story ...event) (w *world) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t.Context(), clients)
		for _, client := range clients {
			for range client.size(users) {
				w.cluster.create(client)
			}
		}
		w.leading = w.startOperator(t.Context())
		story = append(story, daily(t, length)...)
		slices.SortStableFunc(story, func(a, b event) int { return int(a.after - b.after) })
		for _, event := range story {
			w.clock.until(w.began.Add(event.after))
			event.do(t.Context(), w)
		}
		w.end = w.began.Add(length)
		w.clock.until(w.end)
		w.book.ended(w.cluster.all(), w.end)
		w.leading.kill()
		time.Sleep(2 * hang) // what is under way ends
	})
	return w
}

func newWorld(ctx context.Context, clients []*application) *world {
	w := &world{clock: newWallClock(), book: &ledger{accounts: map[*application]*account{}}, clients: clients, byName: map[types.NamespacedName]*application{}}
	w.cluster = newCluster(ctx, w.clock, w.book)
	w.gini = &fakeGini{clock: w.clock, book: w.book, tokens: map[int]grant{}, logins: map[int]uint64{}}
	w.began = w.clock.Now()
	for _, client := range clients {
		client.version = oldSecret
		w.byName[client.key()] = client
	}
	return w
}

// size is how many of so many users are this client's: one at least.
func (a *application) size(users int) int { return max(1, a.share*users/hundredThousand) }

const hundredThousand = 100_000

// spacing is how far apart the client's limit sets requests.
func (a *application) spacing() time.Duration {
	return time.Second / time.Duration(a.limits.RatePerSecond)
}

// outage lets Gini fail for a client.
func outage(of *application, after, duration time.Duration, kind gini.Kind, retryAfter time.Duration) {
	from := monday.Add(after)
	of.faults = append(of.faults, &fault{span: span{from, from.Add(duration)}, kind: kind, retryAfter: retryAfter})
}

// mend puts the right client secret into the credentials Secret of a client.
func mend(of *application, after time.Duration) event {
	return event{after, func(_ context.Context, w *world) {
		of.mu.Lock()
		of.version = newSecret
		of.mu.Unlock()
		w.enqueueAll(of, agenda.Urgent)
	}}
}

// enqueueAll is what a watch does that concerns all users of a client.
func (w *world) enqueueAll(of *application, priority int) {
	for _, known := range w.cluster.all() {
		if known.of == of {
			w.leading.enqueue(keyOf(known.object), priority)
		}
	}
}

// join makes new users of a client.
func join(of *application, count int, after time.Duration) event {
	return event{after, func(_ context.Context, w *world) {
		for range count {
			w.leading.enqueue(w.cluster.create(of), agenda.First)
		}
	}}
}

// restart kills the operator; another one leads after a while.
func restart(after, pause time.Duration) event {
	return event{after, func(ctx context.Context, w *world) {
		w.leading.kill()
		from := w.clock.Now()
		time.Sleep(pause)
		w.leading = w.startOperator(ctx)
		w.down = append(w.down, span{from, w.clock.Now()})
	}}
}

// suspend suspends the machine. The time until the next sweep counts as well.
func suspend(after, duration time.Duration) event {
	return event{after, func(_ context.Context, w *world) {
		from := w.clock.Now()
		w.clock.suspend(duration)
		w.down = append(w.down, span{from, w.clock.Now().Add(agenda.Interval)})
	}}
}

// closed are the times in which a client could not be served, in order: from the beginning of a fault until Gini first answered after
// it, and whoever Gini had asked to wait had waited; and when there was no operator.
func (w *world) closed(of *application) []span {
	closed := slices.Clone(w.down)
	for _, fault := range of.faults {
		mended := fault.mended
		if mended.IsZero() {
			mended = w.end
		}
		if waited := fault.to.Add(fault.retryAfter); waited.After(mended) {
			mended = waited
		}
		closed = append(closed, span{fault.from, mended})
	}
	slices.SortFunc(closed, func(a, b span) int { return a.from.Compare(b.from) })
	return closed
}

// twentyClients are of very different size.
func twentyClients(scale int) []*application {
	var clients []*application
	for _, c := range []struct {
		name     string
		share    int
		lifetime time.Duration
		sticky   bool
		rate     int
	}{
		{"a", 30_000, 12 * time.Hour, false, 10},
		{"b", 18_000, 12 * time.Hour, false, 5},
		{"c", 12_000, 12 * time.Hour, false, 5},
		{"d", 8_000, 12 * time.Hour, false, 5},
		{"e", 6_000, 12 * time.Hour, false, 5},
		{"f", 5_000, 12 * time.Hour, false, 5},
		{"g", 4_000, 12 * time.Hour, true, 5},
		{"h", 3_500, 12 * time.Hour, false, 5},
		{"i", 3_000, 12 * time.Hour, false, 5},
		{"j", 2_500, time.Hour, false, 5},
		{"k", 2_000, 12 * time.Hour, false, 5},
		{"l", 1_500, 12 * time.Hour, false, 5},
		{"m", 1_200, 12 * time.Hour, false, 5},
		{"n", 1_000, time.Hour, false, 5},
		{"o", 800, 12 * time.Hour, false, 5},
		{"p", 600, time.Hour, true, 5},
		{"q", 300, 12 * time.Hour, false, 5},
		{"r", 150, time.Hour, false, 5},
		{"s", 50, 12 * time.Hour, false, 5},
		{"t", 1, 12 * time.Hour, true, 5},
	} {
		limits := lane.Limits{RatePerSecond: max(1, c.rate/scale), MaxInFlight: 4}
		if c.rate > 5 {
			limits.MaxInFlight = 8
		}
		clients = append(clients, &application{name: c.name, share: c.share, lifetime: c.lifetime, sticky: c.sticky, limits: limits})
	}
	return clients
}
