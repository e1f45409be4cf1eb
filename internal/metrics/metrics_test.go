package metrics_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/metrics"
)

// series are all series of a registry, as text, in order; gauges are instants. Names and help are as Prometheus wants them.
func series(t *testing.T, registry *prometheus.Registry) []string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	var all []string
	for _, family := range families {
		if family.GetHelp() == "" || !strings.HasPrefix(family.GetName(), "gini_") {
			t.Errorf("%s: %q", family.GetName(), family.GetHelp())
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			value := fmt.Sprint(metric.GetCounter().GetValue())
			if gauge := metric.GetGauge(); gauge != nil {
				value = time.Unix(int64(gauge.GetValue()), 0).UTC().Format(time.RFC3339)
			}
			if histogram := metric.GetHistogram(); histogram != nil {
				value = fmt.Sprintf("%d in %.2fs", histogram.GetSampleCount(), histogram.GetSampleSum())
			}
			all = append(all, fmt.Sprintf("%s{%s} %s", family.GetName(), strings.Join(labels, ","), value))
		}
	}
	return all
}

func TestRequests(t *testing.T) {
	registry := prometheus.NewRegistry()
	requests := metrics.NewRequests(registry)
	acme, beta := types.NamespacedName{Namespace: "payments", Name: "acme"}, types.NamespacedName{Namespace: "payments", Name: "beta"}
	requests.Observe(acme, gini.Observation{Operation: gini.OperationLogin, Status: 200, Duration: 20 * time.Millisecond})
	requests.Observe(acme, gini.Observation{Operation: gini.OperationLogin, Status: 200, Duration: 3 * time.Second})
	requests.Observe(acme, gini.Observation{Operation: gini.OperationLogin, Kind: gini.Timeout, Duration: time.Minute})
	requests.Observe(beta, gini.Observation{Operation: gini.OperationCreateUser, Status: 400, Kind: gini.Invalid})
	const ofBeta = "gini_requests_total{client_name=beta,client_namespace=payments,kind=Invalid,operation=create user,status=400} 1"
	durations := []string{"gini_request_duration_seconds{operation=create user} 1 in 0.00s", "gini_request_duration_seconds{operation=login} 3 in 63.02s"}
	want := append(slices.Clone(durations),
		"gini_requests_total{client_name=acme,client_namespace=payments,kind=,operation=login,status=200} 2",
		"gini_requests_total{client_name=acme,client_namespace=payments,kind=Timeout,operation=login,status=0} 1", ofBeta)
	if got := series(t, registry); !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// The series of a client that is gone go with it, and no other's.
	requests.Forget(acme)
	requests.Forget(types.NamespacedName{Namespace: "elsewhere", Name: "beta"})
	if got, want := series(t, registry), append(slices.Clone(durations), ofBeta); !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
