package metrics_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gini-operator/gini-operator/internal/metrics"
)

// TestNamespaces: each namespace is there from the first look on, with the last that was seen of it.
func TestNamespaces(t *testing.T) {
	registry := prometheus.NewRegistry()
	namespaces := metrics.NewNamespaces(registry)
	namespaces.Set("default", true)
	namespaces.Set("absent", true)
	namespaces.Set("absent", false)
	want := []string{ // numbers are shown as instants: 0 and 1 seconds
		"gini_namespace_readable{namespace=absent} 1970-01-01T00:00:00Z", "gini_namespace_readable{namespace=default} 1970-01-01T00:00:01Z",
	}
	if got := series(t, registry); !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
