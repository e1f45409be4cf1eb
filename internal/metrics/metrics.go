// Package metrics counts what is asked of Gini. Series that belong to a GiniClient are kept by its name.
package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/gini"
)

// Requests counts the requests to Gini.
type Requests struct {
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// NewRequests makes the metrics and registers them.
func NewRequests(registry prometheus.Registerer) *Requests {
	requests := &Requests{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gini_requests_total",
			Help: "Requests to Gini by GiniClient, operation, HTTP status (0: no answer) and kind of failure (empty: none).",
		}, []string{"client_namespace", "client_name", "operation", "status", "kind"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gini_request_duration_seconds", Help: "How long requests to Gini take, by operation.", Buckets: prometheus.ExponentialBuckets(0.01, 2.5, 10),
		}, []string{"operation"}),
	}
	registry.MustRegister(requests.total, requests.duration)
	return requests
}

// Observe counts a request.
func (r *Requests) Observe(client types.NamespacedName, observation gini.Observation) {
	r.total.WithLabelValues(client.Namespace, client.Name, observation.Operation, strconv.Itoa(observation.Status), string(observation.Kind)).Inc()
	r.duration.WithLabelValues(observation.Operation).Observe(observation.Duration.Seconds())
}

// Forget drops the series of a GiniClient that is gone.
func (r *Requests) Forget(client types.NamespacedName) {
	r.total.DeletePartialMatch(prometheus.Labels{"client_namespace": client.Namespace, "client_name": client.Name})
}
