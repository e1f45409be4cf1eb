package simulation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/controller"
	"github.com/gini-operator/gini-operator/internal/gini"
)

// slowest is how long a request to Gini takes with what is read and written around it.
const slowest = 500 * time.Millisecond

// stickyGap is how long a sticky token may have expired.
const stickyGap = 2*time.Second + slowest

// grace is how late a client's user may be beyond the ideal: the gap of a sticky token, and what is under way already when it becomes due.
func (a *application) grace() time.Duration {
	return stickyGap + time.Duration(a.limits.MaxInFlight)*a.spacing()
}

// measured is how a client fared.
type measured struct {
	*application
	*account
	closed []span
	// expiredLag and dueLag compare with a server that serves the expired, and all that are due, at the client's limit.
	expiredLag, dueLag compared
	// latest is by how much a renewal was late, without the time in which the client could not be served.
	latest time.Duration
	// steady are the renewals but for those that make up for a time in which the client could not be served, and rate is how many there
	// were in a minute.
	steady []time.Time
	rate   float64
}

func (w *world) measure(of *application) measured {
	m := measured{application: of, account: w.book.accounts[of], closed: w.closed(of)}
	m.expiredLag = compare(m.expired, m.closed, of.spacing(), of.grace())
	m.dueLag = compare(slices.Concat(w.onceListed(m.firsts), m.renewals), m.closed, of.spacing(), of.grace()+agenda.Interval)
	for _, renewal := range m.renewals {
		m.latest = max(m.latest, renewal.open(m.closed))
	}
	m.steady, m.rate = w.steady(m)
	return m
}

// onceListed are first tokens, those of the bulk at the beginning once each of its users has been looked at, and had its status written.
func (w *world) onceListed(firsts []job) []job {
	listing := time.Duration(len(w.cluster.all())) * (reading + writing) / controller.Workers
	listed := make([]job, len(firsts))
	for i, first := range firsts {
		if first.due.Equal(w.began) {
			first.due = earliest(w.began.Add(listing), first.done)
		}
		listed[i] = first
	}
	return listed
}

// open is how much of a job's delay was not in closed spans, which are in order.
func (j job) open(closed []span) time.Duration {
	open, from := time.Duration(0), j.due
	for _, shut := range closed {
		if shut.from.After(from) {
			open += max(0, earliest(shut.from, j.done).Sub(from))
		}
		if shut.to.After(from) {
			from = earliest(shut.to, j.done)
		}
	}
	return open + j.done.Sub(from)
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// restarting is how long an operator may be away without the load being expected to show it.
const restarting = time.Minute

// firstCycle is how long after a moment no token that was obtained since is renewed.
func (a *application) firstCycle() time.Duration { return a.lifetime * 4 / 9 }

// steady leaves out the first cycle after each time in which a client could not be served.
func (w *world) steady(m measured) (done []time.Time, rate float64) {
	begin := w.began.Add(m.firstCycle())
	open := w.end.Sub(begin)
	var catchingUp []span
	for _, shut := range m.closed {
		if shut.to.Sub(shut.from) < restarting {
			continue
		}
		until := shut.to.Add(m.firstCycle())
		for _, renewal := range m.renewals {
			if renewal.due.Before(shut.to) && renewal.done.After(until) {
				until = renewal.done
			}
		}
		catchingUp = append(catchingUp, span{shut.from, until})
		open -= until.Sub(shut.from)
	}
	for _, renewal := range m.renewals {
		if !slices.ContainsFunc(catchingUp, func(s span) bool { return s.holds(renewal.done) }) {
			done = append(done, renewal.done)
		}
	}
	return done, float64(len(done)) / open.Minutes()
}

// measureAll measures all clients, and prints what it finds.
func (w *world) measureAll(t *testing.T) []measured {
	t.Helper()
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "client\ttokens of\tlimit\tusers\trequests\trenewals\texpired\tseconds\tbeyond\tdue: beyond\tlatest\tneedless\ttries\tper minute")
	all := make([]measured, 0, len(w.clients))
	for _, client := range w.clients {
		m := w.measure(client)
		all = append(all, m)
		kind, seconds := "", 0.0
		if m.sticky {
			kind = " sticky"
		}
		for _, gap := range m.expired {
			seconds += gap.done.Sub(gap.due).Seconds()
		}
		_, _ = fmt.Fprintf(table, "%s\t%v%s\t%d/s\t%d\t%d\t%d\t%d\t%.0f\t%.3f\t%.3f\t%.1f\t%d\t%d\t%.2f\n", m.name, m.lifetime, kind, m.limits.RatePerSecond,
			len(m.firsts), m.requests, len(m.renewals), len(m.expired), seconds, m.expiredLag.beyond.Seconds(), m.dueLag.beyond.Seconds(),
			m.latest.Seconds(), len(m.needless), len(m.tries), m.rate)
	}
	_ = table.Flush()
	t.Logf("%d sweeps compared with a look at all users; seconds of each client:\n%s", w.book.compared, text.String())
	return all
}

// expectSweepsExact: what the simulation leaves out of its sweeps, no sweep would have found due.
func (w *world) expectSweepsExact(t *testing.T) {
	t.Helper()
	if w.book.missed > 0 || w.book.compared < 100 {
		t.Errorf("%d sweeps compared with a look at all users, which found %d users more or less", w.book.compared, w.book.missed)
	}
}

// expectNothingExpired: seconds with an expired token in a Secret, while Gini answered and the client's limit allowed.
func expectNothingExpired(t *testing.T, m measured) {
	t.Helper()
	if m.expiredLag.beyond > 0 {
		t.Errorf("%s: tokens were expired for %v longer than Gini and the limit were the cause of, one of them for %v", m.name, m.expiredLag.beyond, m.expiredLag.worst)
	}
	if !m.sticky {
		if n := len(m.expiredLag.idle); n > 0 {
			first := m.expiredLag.idle[0]
			t.Errorf("%s: %d tokens expired while Gini answered and nobody was ahead, the first %v after the beginning, for %v",
				m.name, n, first.due.Sub(monday), first.done.Sub(first.due))
		}
		return
	}
	longest := latest(m.expiredLag.idle)
	t.Logf("%s: %d sticky tokens whose turn it was at once were expired for %v at most", m.name, len(m.expiredLag.idle), longest)
	if longest > stickyGap {
		t.Errorf("%s: a sticky token was expired for %v, want %v at most", m.name, longest, stickyGap)
	}
}

// expectNobodyStarves: whoever is due has its turn, as far as the limit allows; new users come before renewals that are not urgent.
func expectNobodyStarves(t *testing.T, m measured) {
	t.Helper()
	if m.dueLag.beyond > 0 {
		t.Errorf("%s: users waited for %v longer than Gini and the limit were the cause of, one of them for %v", m.name, m.dueLag.beyond, m.dueLag.worst)
	}
	if m.latest > m.lifetime/3 {
		t.Errorf("%s: a renewal was %v late", m.name, m.latest)
	}
	if m.jumped > 0 {
		t.Errorf("%s: %d renewals that were not urgent went before a new user", m.name, m.jumped)
	}
	if len(m.waiting) > 0 {
		t.Errorf("%s: nothing was ever asked for %d users", m.name, len(m.waiting))
	}
}

// expectAllServed: at the end every Secret holds a token that is good, and is not to be renewed yet.
func (w *world) expectAllServed(t *testing.T) {
	t.Helper()
	without := 0
	for _, known := range w.cluster.all() {
		if known.secret == nil || (!known.of.sticky && known.secret.refreshAt.Before(w.end.Add(-known.of.grace()))) {
			without++
		}
	}
	if without > 0 {
		t.Errorf("at the end %d users have no token, or one that should have been renewed", without)
	}
}

// expectProbed: an outage is noticed to be over within the longest pause between probes, and a mended secret within seconds.
func expectProbed(t *testing.T, m measured) {
	t.Helper()
	for _, fault := range m.faults {
		needed := slices.ContainsFunc(slices.Concat(m.firsts, m.renewals), func(j job) bool { return j.due.Before(fault.to) && j.done.After(fault.to) })
		longest := map[gini.Kind]time.Duration{
			gini.Unreachable: 15 * time.Second, gini.Unavailable: 15 * time.Second, gini.Timeout: 15*time.Second + hang,
			gini.RateLimited: max(fault.retryAfter, time.Minute), gini.CredentialsRejected: 5 * time.Second,
		}[fault.kind] + 2*slowest
		if after := fault.mended.Sub(fault.to); needed && (fault.mended.IsZero() || after > longest) {
			t.Errorf("%s: the first answer came %v after %s had ended, want %v", m.name, after, fault.kind, longest)
		}
	}
}

// expectFewTries: rejected credentials are tried three times an hour at most.
func expectFewTries(t *testing.T, m measured) {
	t.Helper()
	rejected := slices.ContainsFunc(m.faults, func(f *fault) bool { return f.kind == gini.CredentialsRejected })
	if rejected && len(m.tries) < 3 {
		t.Errorf("%s: rejected credentials were tried %d times in 3 hours", m.name, len(m.tries))
	}
	for i, try := range m.tries {
		within := 0
		for _, later := range m.tries[i:] {
			if later.Before(try.Add(time.Hour)) && later.Before(m.mendedAt()) {
				within++
			}
		}
		if within > 3 {
			t.Errorf("%s: rejected credentials were tried %d times in the hour from %v on", m.name, within, try)
		}
	}
}

// mendedAt is when the right client secret was there.
func (a *application) mendedAt() (at time.Time) {
	for _, fault := range a.faults {
		if fault.kind == gini.CredentialsRejected {
			at = fault.to
		}
	}
	return at
}

// expectNothingNeedless: no request for a user that is not due, after a restart or otherwise; but one a day may look whether
// tokens are sticky still.
func expectNothingNeedless(t *testing.T, m measured, days int) {
	t.Helper()
	if n := len(m.needless); n > 0 && (!m.sticky || n > days) {
		t.Errorf("%s: %d requests for users that were not due, the first at %v", m.name, n, m.needless[0])
	}
}

// expectSpread: the busiest window has under three times the mean, of all clients whose tokens live equally long. Where tokens are
// sticky, their expiry decides.
func expectSpread(t *testing.T, all []measured, window time.Duration) {
	t.Helper()
	for _, lifetime := range []time.Duration{time.Hour, 12 * time.Hour} {
		var done []time.Time
		mean := 0.0
		for _, m := range all {
			if m.lifetime == lifetime && !m.sticky {
				done = append(done, m.steady...)
				mean += m.rate * window.Minutes()
			}
		}
		most, at := busiest(done, window)
		t.Logf("tokens of %v: the busiest %v had %d renewals, %.2f times the mean of %.1f, from %v on", lifetime, window, most, float64(most)/mean, mean, at)
		if float64(most) >= 3*mean || mean == 0 {
			t.Errorf("tokens of %v: %d renewals in %v, want under 3 × %.1f", lifetime, most, window, mean)
		}
	}
}
