package agenda

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(after time.Duration) time.Time { return noon.Add(after) }

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "team", Name: name}
}

// renewing is a user whose token is renewed and expires so long after noon.
func renewing(name, client string, due, expires time.Duration) Entry {
	return Entry{Key: key(name), Client: key(client), DueAt: at(due), ExpiresAt: at(expires)}
}

func newcomer(name, client string, due time.Duration) Entry {
	return Entry{Key: key(name), Client: key(client), New: true, DueAt: at(due)}
}

func TestDue(t *testing.T) {
	for _, c := range []struct {
		name     string
		entry    Entry
		due      bool
		after    time.Duration
		priority int
	}{
		{"nothing to do until something changes", Entry{}, false, 0, 0},
		{"a new user that has nothing to do", Entry{New: true}, false, 0, 0},
		{"due now", renewing("a", "c", 0, time.Hour), true, 0, Rest},
		{"due before the next sweep", renewing("a", "c", 4*time.Second, time.Hour), true, 4 * time.Second, Rest},
		{"due a moment before the next sweep", renewing("a", "c", Interval-1, time.Hour), true, Interval - 1, Rest},
		{"due at the next sweep", renewing("a", "c", Interval, time.Hour), false, 0, 0},
		{"due later", renewing("a", "c", time.Hour, 2*time.Hour), false, 0, 0},
		{"overdue, not urgent yet", renewing("a", "c", -20*time.Minute, 10*time.Minute), true, 0, Rest},
		{"overdue and urgent", renewing("a", "c", -20*time.Minute-1, 10*time.Minute-1), true, 0, Urgent},
		{"expired this moment", renewing("a", "c", -time.Hour, 0), true, 0, Expired},
		{"expired a year ago", renewing("a", "c", -24*365*time.Hour, -24*364*time.Hour), true, 0, Expired},
		{"expires when it is due", renewing("a", "c", 3*time.Second, 3*time.Second), true, 3 * time.Second, Expired},
		{"new", newcomer("a", "c", -time.Minute), true, 0, First},
		{"new, to be tried again in a moment", newcomer("a", "c", 2*time.Second), true, 2 * time.Second, First},
		{"without expiry", Entry{DueAt: at(-time.Hour)}, true, 0, Rest},
	} {
		t.Run(c.name, func(t *testing.T) {
			pick, due := Due(c.entry, noon, Interval)
			if due != c.due {
				t.Fatalf("due %v, want %v", due, c.due)
			}
			want := Pick{}
			if due {
				want = Pick{Key: c.entry.Key, After: c.after, Priority: c.priority, Due: c.entry.DueAt}
			}
			if pick != want {
				t.Errorf("got %+v, want %+v", pick, want)
			}
		})
	}
}

func TestPriority(t *testing.T) {
	// Renewed from noon on, expires 30 minutes later: urgent after more than 20.
	entry := renewing("a", "c", 0, 30*time.Minute)
	for after, want := range map[time.Duration]int{
		-time.Hour: Rest, 0: Rest, 20 * time.Minute: Rest, 20*time.Minute + 1: Urgent, 30*time.Minute - 1: Urgent,
		30 * time.Minute: Expired, 24 * time.Hour: Expired,
	} {
		if got := Priority(entry, at(after)); got != want {
			t.Errorf("after %v: %d, want %d", after, got, want)
		}
	}
	if got := Priority(Entry{ExpiresAt: at(time.Hour)}, noon); got != Rest {
		t.Errorf("with nothing planned: %d, want Rest", got)
	}
	if got := Priority(Entry{New: true, ExpiresAt: at(-time.Hour)}, noon); got != First {
		t.Errorf("new: %d, want First", got)
	}
	order := []int{Expired, Urgent, First, Rest}
	if !slices.IsSortedFunc(order, func(a, b int) int { return b - a }) || len(slices.Compact(slices.Clone(order))) != len(order) {
		t.Errorf("%v do not fall from expired to rest", order)
	}
}

func picked(entries []Entry, room func(types.NamespacedName) int) map[string][]Pick {
	clients := map[types.NamespacedName]string{}
	for _, entry := range entries {
		clients[entry.Key] = entry.Client.Name
	}
	found := map[string][]Pick{}
	for pick := range picks(slices.Values(entries), noon, room) {
		found[clients[pick.Key]] = append(found[clients[pick.Key]], pick)
	}
	return found
}

func plenty(types.NamespacedName) int { return math.MaxInt }

func namesOf(picks []Pick) []string {
	var names []string
	for _, pick := range picks {
		names = append(names, pick.Key.Name)
	}
	return names
}

// TestPicksOrder: the most urgent first, and of equals who has waited longest (R2.2).
func TestPicksOrder(t *testing.T) {
	entries := []Entry{
		renewing("rest-late", "acme", 5*time.Second, time.Hour),
		renewing("rest-early", "acme", -time.Minute, time.Hour),
		newcomer("new-late", "acme", -time.Second),
		renewing("expired-late", "acme", -time.Minute, -time.Second),
		renewing("urgent", "acme", -time.Hour, time.Second),
		renewing("later", "acme", time.Minute, time.Hour),
		newcomer("new-early", "acme", -time.Hour),
		renewing("expired-early", "acme", -2*time.Hour, -time.Hour),
	}
	for i := range entries {
		entries[i].Told = true
	}
	want := []string{"expired-early", "expired-late", "urgent", "new-early", "new-late", "rest-early", "rest-late"}
	for room, want := range map[int][]string{math.MaxInt: want, 100: want, 3: want[:3], 1: want[:1], 0: want[:1], -5: want[:1]} {
		got := namesOf(picked(entries, func(types.NamespacedName) int { return room })["acme"])
		if !slices.Equal(got, want) {
			t.Errorf("room %d: %v, want %v", room, got, want)
		}
	}
}

// TestPicksPerClient: one client's crowd takes nothing from another's room.
func TestPicksPerClient(t *testing.T) {
	var entries []Entry
	for i := range 1000 {
		entries = append(entries, renewing(fmt.Sprintf("crowd-%d", i), "big", -time.Hour, time.Minute))
	}
	entries = append(entries, renewing("one", "small", 0, time.Hour), renewing("two", "small", time.Second, time.Hour), newcomer("three", "none", 0))
	room := func(client types.NamespacedName) int { return map[string]int{"big": 7, "small": 2}[client.Name] }
	found := picked(entries, room)
	for client, want := range map[string]int{"big": 7, "small": 2, "none": 1} {
		if got := len(found[client]); got != want {
			t.Errorf("client %s: %d picks, want %d", client, got, want)
		}
	}
}

// TestPicksStop: whoever takes only some of the picks ends the walk.
func TestPicksStop(t *testing.T) {
	entries := []Entry{newcomer("a", "x", 0), newcomer("b", "y", 0), newcomer("c", "y", 0)}
	next, stop := iter.Pull(picks(slices.Values(entries), noon, plenty))
	if _, ok := next(); !ok {
		t.Error("no pick")
	}
	stop()
}

// TestPicksCoverEverybody: over sweeps in which all that is picked is served, everybody gets a turn, whatever the room (R2.1).
func TestPicksCoverEverybody(t *testing.T) {
	waiting := map[string]Entry{}
	for i := range 200 {
		name := fmt.Sprintf("user-%03d", i)
		waiting[name] = renewing(name, "acme", -time.Duration(i)*time.Second, time.Duration(i-100)*time.Minute)
	}
	for sweep := 0; len(waiting) > 0; sweep++ {
		if sweep > 20 {
			t.Fatalf("%d users starve", len(waiting))
		}
		var entries []Entry
		for _, entry := range waiting {
			entries = append(entries, entry)
		}
		for _, pick := range picked(entries, func(types.NamespacedName) int { return 10 })["acme"] {
			delete(waiting, pick.Key.Name)
		}
	}
}

// TestPicksUntold: whoever's status is wrong comes in any case, and those that know of trouble already do not keep others away.
func TestPicksUntold(t *testing.T) {
	var entries []Entry
	for i := range 50 {
		told := renewing(fmt.Sprintf("told-%d", i), "acme", -time.Hour, -time.Minute)
		told.Told = true
		entries = append(entries, told, renewing(fmt.Sprintf("untold-%d", i), "acme", -time.Hour, -time.Minute))
	}
	entries = append(entries, renewing("valid", "acme", -time.Minute, time.Hour))
	got := namesOf(picked(entries, func(types.NamespacedName) int { return 1 })["acme"])
	if len(got) != 51 || got[50] != "valid" || !strings.HasPrefix(got[0], "untold-") {
		t.Errorf("%d picks, the last %s: want the 50 untold and the valid one", len(got), got[len(got)-1])
	}
}
