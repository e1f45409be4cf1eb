package metrics

import "github.com/prometheus/client_golang/prometheus"

// Namespaces tells which of the namespaces that the operator was told to look at it can read.
type Namespaces struct{ readable *prometheus.GaugeVec }

// NewNamespaces makes the metric and registers it.
func NewNamespaces(registry prometheus.Registerer) *Namespaces {
	namespaces := &Namespaces{readable: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gini_namespace_readable",
		Help: "1 for each namespace of --watch-namespaces that the operator can read, 0 for each that it cannot.",
	}, []string{"namespace"})}
	registry.MustRegister(namespaces.readable)
	return namespaces
}

// Set tells of a namespace.
func (n *Namespaces) Set(namespace string, readable bool) {
	value := 0.
	if readable {
		value = 1
	}
	n.readable.WithLabelValues(namespace).Set(value)
}
