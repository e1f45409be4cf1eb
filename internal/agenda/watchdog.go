package agenda

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// wedged is how long no sweep may have begun before the operator is taken to be stuck: many times the interval, as a busy machine is no
// reason to start over. It is measured by the monotonic clock, which stands still while a machine is suspended.
const wedged = 12 * Interval

// Alive is a liveness check: it fails where sweeps were begun and no longer are. An operator that does not lead begins none. Nothing that a
// sweep does waits for the API server or Gini, so that neither of them being slow is a reason to start over.
func (a *Agenda) Alive(*http.Request) error {
	a.mu.Lock()
	last := a.swept
	a.mu.Unlock()
	if last.IsZero() {
		return nil
	}
	if idle := a.Clock.Now().Sub(last); idle > wedged {
		return fmt.Errorf("no user was looked at for %s", idle.Truncate(time.Second))
	}
	return nil
}

// beat notes that a sweep begins.
func (a *Agenda) beat() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.swept = a.Clock.Now()
}

// Watchdog tells how late users are, of each GiniClient: computed from the cache when it is asked, so that it is right whatever
// the operator does, or does no more.
type Watchdog struct {
	agenda *Agenda
}

// NewWatchdog makes the metrics of an agenda and registers them.
func NewWatchdog(agenda *Agenda, registry prometheus.Registerer) {
	registry.MustRegister(&Watchdog{agenda: agenda})
}

var (
	ofClient = []string{"client_namespace", "client_name"}

	pastDueCount = prometheus.NewDesc("gini_users_past_due",
		"GiniUsers for which something was to be done more than a sweep (10 s) ago, by GiniClient.", ofClient, nil)
	pastDueMax = prometheus.NewDesc("gini_users_past_due_max_seconds",
		"How long ago something was to be done for the GiniUser that waits the longest, by GiniClient; 0 where nobody waits.", ofClient, nil)
	expiredCount = prometheus.NewDesc("gini_users_expired",
		"GiniUsers with a token or JWT in a Secret that has expired, by GiniClient.", ofClient, nil)
	expiredMax = prometheus.NewDesc("gini_users_expired_max_seconds",
		"How long ago the token or JWT expired that has been expired for the longest, by GiniClient; 0 where none has.", ofClient, nil)
	lastSweep = prometheus.NewDesc("gini_agenda_last_sweep_timestamp_seconds",
		"When all GiniUsers were last looked at for what is due; 0 in a replica that does not lead.", nil, nil)
)

// Describe implements prometheus.Collector.
func (w *Watchdog) Describe(descriptions chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{pastDueCount, pastDueMax, expiredCount, expiredMax, lastSweep} {
		descriptions <- description
	}
}

// lateness is how late the users of a client are.
type lateness struct {
	pastDue, expired       int
	pastDueMax, expiredMax time.Duration
}

// Collect implements prometheus.Collector.
func (w *Watchdog) Collect(metrics chan<- prometheus.Metric) {
	a := w.agenda
	now := a.Clock.Now().Round(0)
	clients := map[types.NamespacedName]*lateness{}
	for entry := range a.Entries(context.Background()) {
		of, ok := clients[entry.Client]
		if !ok {
			of = &lateness{}
			clients[entry.Client] = of
		}
		of.add(entry, now)
	}
	gauge := func(description *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...)
	}
	for client, of := range clients {
		labels := []string{client.Namespace, client.Name}
		gauge(pastDueCount, float64(of.pastDue), labels...)
		gauge(pastDueMax, of.pastDueMax.Seconds(), labels...)
		gauge(expiredCount, float64(of.expired), labels...)
		gauge(expiredMax, of.expiredMax.Seconds(), labels...)
	}
	a.mu.Lock()
	swept := a.swept
	a.mu.Unlock()
	if swept.IsZero() {
		gauge(lastSweep, 0)
		return
	}
	gauge(lastSweep, float64(swept.UnixMilli())/1000)
}

func (l *lateness) add(entry Entry, now time.Time) {
	if !entry.DueAt.IsZero() && !entry.DueAt.Add(Interval).After(now) {
		l.pastDue++
		l.pastDueMax = max(l.pastDueMax, now.Sub(entry.DueAt))
	}
	if !entry.ExpiresAt.IsZero() && !entry.ExpiresAt.After(now) {
		l.expired++
		l.expiredMax = max(l.expiredMax, now.Sub(entry.ExpiresAt))
	}
}
