package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// Keys tells of the signing keys of GiniClients: in which stage each of them is, and since when.
type Keys struct {
	since *prometheus.GaugeVec
	due   *prometheus.GaugeVec
}

// NewKeys makes the metrics and registers them.
func NewKeys(registry prometheus.Registerer) *Keys {
	labels := []string{"client_namespace", "client_name", "kid", "stage"}
	keys := &Keys{
		since: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gini_signing_key_stage_timestamp_seconds",
			Help: "When a key of a GiniClient's JWK Set came to its stage: Next (published), Signing or Retired (published still).",
		}, labels),
		due: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gini_signing_key_stage_end_timestamp_seconds",
			Help: "When a managed key in stage Next begins to sign, and when one in stage Retired leaves the JWK Set.",
		}, labels),
	}
	registry.MustRegister(keys.since, keys.due)
	return keys
}

// Set tells of all keys of a GiniClient; none where jwks is nil.
func (k *Keys) Set(client types.NamespacedName, jwks *api.JWKSStatus) {
	k.Forget(client)
	if jwks == nil {
		return
	}
	for _, key := range jwks.Keys {
		labels := []string{client.Namespace, client.Name, key.Kid, string(key.Stage)}
		if key.Since != nil {
			k.since.WithLabelValues(labels...).Set(float64(key.Since.Unix()))
		}
		end := key.SignsFrom
		if key.Stage == api.RetiredStage {
			end = key.Until
		}
		if end != nil {
			k.due.WithLabelValues(labels...).Set(float64(end.Unix()))
		}
	}
}

// Forget drops the series of a GiniClient that is gone.
func (k *Keys) Forget(client types.NamespacedName) {
	labels := prometheus.Labels{"client_namespace": client.Namespace, "client_name": client.Name}
	k.since.DeletePartialMatch(labels)
	k.due.DeletePartialMatch(labels)
}
