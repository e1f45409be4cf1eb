package metrics_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/metrics"
)

// onDay is noon of a day in March.
func onDay(day int) *metav1.Time {
	at := metav1.NewTime(time.Date(2026, 3, day, 12, 0, 0, 0, time.UTC))
	return &at
}

// TestKeys: the stage of each signing key, and when it ends, stand in metrics (R11.5).
func TestKeys(t *testing.T) {
	registry := prometheus.NewRegistry()
	keys := metrics.NewKeys(registry)
	acme, beta := types.NamespacedName{Namespace: "payments", Name: "acme"}, types.NamespacedName{Namespace: "payments", Name: "beta"}
	expect := func(want ...string) {
		t.Helper()
		for i, text := range want {
			name, rest, _ := strings.Cut(text, "{")
			client, rest, _ := strings.Cut(rest, " ")
			want[i] = "gini_signing_key_stage_" + name + "timestamp_seconds{client_name=" + client + ",client_namespace=payments," + rest
		}
		if got := series(t, registry); !slices.Equal(got, want) {
			t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	expect()
	keys.Set(acme, &api.JWKSStatus{Keys: []api.SigningKeyStatus{
		{Kid: "k2", Stage: api.SigningStage, Since: onDay(2)},
		{Kid: "k3", Stage: api.NextStage, Since: onDay(3), SignsFrom: onDay(4)},
		{Kid: "k1", Stage: api.RetiredStage, Since: onDay(2), Until: onDay(5)},
	}})
	keys.Set(beta, &api.JWKSStatus{Keys: []api.SigningKeyStatus{
		{Kid: "b1", Stage: api.SigningStage}, // since when is not known
		{Kid: "b2", Stage: api.NextStage, Since: onDay(1), Until: onDay(9)},
	}})
	ofBeta := "{beta kid=b2,stage=Next} 2026-03-01T12:00:00Z" // that it signed before, and is retired then, is not when it signs again
	expect(
		"end_{acme kid=k1,stage=Retired} 2026-03-05T12:00:00Z", "end_{acme kid=k3,stage=Next} 2026-03-04T12:00:00Z",
		"{acme kid=k1,stage=Retired} 2026-03-02T12:00:00Z", "{acme kid=k2,stage=Signing} 2026-03-02T12:00:00Z",
		"{acme kid=k3,stage=Next} 2026-03-03T12:00:00Z", ofBeta,
	)
	// A key that comes to another stage leaves nothing of the former one, and one that is withdrawn leaves nothing.
	keys.Set(acme, &api.JWKSStatus{Keys: []api.SigningKeyStatus{
		{Kid: "k3", Stage: api.SigningStage, Since: onDay(4)}, {Kid: "k2", Stage: api.RetiredStage, Since: onDay(4), Until: onDay(7)},
	}})
	expect(
		"end_{acme kid=k2,stage=Retired} 2026-03-07T12:00:00Z",
		"{acme kid=k2,stage=Retired} 2026-03-04T12:00:00Z", "{acme kid=k3,stage=Signing} 2026-03-04T12:00:00Z", ofBeta,
	)
	// So does a client that signs no JWTs any more, and one that is gone.
	keys.Set(acme, nil)
	expect(ofBeta)
	keys.Forget(types.NamespacedName{Namespace: "elsewhere", Name: "beta"})
	keys.Forget(types.NamespacedName{Namespace: "payments", Name: "never-there"})
	expect(ofBeta)
	keys.Forget(beta)
	expect()
}
