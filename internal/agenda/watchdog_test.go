package agenda

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	testclock "k8s.io/utils/clock/testing"
)

// TestWatchdog: how many users of each client are late, and by how much, stands in metrics (R1.3).
func TestWatchdog(t *testing.T) {
	entries := []Entry{
		renewing("on time", "acme", time.Hour, 2*time.Hour),
		renewing("due in this sweep", "acme", -9*time.Second, time.Hour),
		renewing("late", "acme", -25*time.Second, time.Hour),
		renewing("later", "acme", -time.Minute, -40*time.Second),
		{Key: key("waits for a person"), Client: key("acme"), ExpiresAt: at(-time.Hour)},
		renewing("on time", "well", time.Hour, 2*time.Hour),
	}
	watched := &Agenda{
		Clock:   testclock.NewFakeClock(noon),
		Entries: func(context.Context) iter.Seq[Entry] { return slices.Values(entries) },
	}
	registry := prometheus.NewPedanticRegistry()
	NewWatchdog(watched, registry)
	want := `
# HELP gini_users_expired GiniUsers with a token or JWT in a Secret that has expired, by GiniClient.
# TYPE gini_users_expired gauge
gini_users_expired{client_name="acme",client_namespace="team"} 2
gini_users_expired{client_name="well",client_namespace="team"} 0
# HELP gini_users_expired_max_seconds How long ago the token or JWT expired that has been expired for the longest, by GiniClient; 0 where none has.
# TYPE gini_users_expired_max_seconds gauge
gini_users_expired_max_seconds{client_name="acme",client_namespace="team"} 3600
gini_users_expired_max_seconds{client_name="well",client_namespace="team"} 0
# HELP gini_users_past_due GiniUsers for which something was to be done more than a sweep (10 s) ago, by GiniClient.
# TYPE gini_users_past_due gauge
gini_users_past_due{client_name="acme",client_namespace="team"} 2
gini_users_past_due{client_name="well",client_namespace="team"} 0
# HELP gini_users_past_due_max_seconds How long ago something was to be done for the GiniUser that waits the longest, by GiniClient; 0 where nobody waits.
# TYPE gini_users_past_due_max_seconds gauge
gini_users_past_due_max_seconds{client_name="acme",client_namespace="team"} 60
gini_users_past_due_max_seconds{client_name="well",client_namespace="team"} 0
# HELP gini_agenda_last_sweep_timestamp_seconds When all GiniUsers were last looked at for what is due; 0 in a replica that does not lead.
# TYPE gini_agenda_last_sweep_timestamp_seconds gauge
gini_agenda_last_sweep_timestamp_seconds 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	watched.Sweep(t.Context())
	const swept = `
# HELP gini_agenda_last_sweep_timestamp_seconds When all GiniUsers were last looked at for what is due; 0 in a replica that does not lead.
# TYPE gini_agenda_last_sweep_timestamp_seconds gauge
gini_agenda_last_sweep_timestamp_seconds 1.7723664e+09
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(swept), "gini_agenda_last_sweep_timestamp_seconds"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// TestAlive: an operator that does not lead is alive, and one that leads as long as it sweeps (R13.2).
func TestAlive(t *testing.T) {
	clock := testclock.NewFakeClock(noon)
	watched := &Agenda{Clock: clock, Entries: func(context.Context) iter.Seq[Entry] { return slices.Values([]Entry(nil)) }}
	alive := func(want bool) {
		t.Helper()
		if err := watched.Alive(nil); (err == nil) != want {
			t.Errorf("after %s: %v", clock.Now().Sub(noon), err)
		}
	}
	clock.Step(time.Hour)
	alive(true)
	watched.Sweep(t.Context())
	clock.Step(2 * time.Minute)
	alive(true)
	clock.Step(time.Second)
	alive(false)
	watched.Sweep(t.Context())
	alive(true)
}
