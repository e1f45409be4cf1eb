package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// figures are what the suite has measured; its last line tells of them.
var figures struct {
	renewals, uses, refused int
	// kubelet is how long renewed credentials took from the write of the Secret to the file, without help, and nudged with nudges.
	kubelet, nudged delays
}

// delays are times from write to file.
type delays []time.Duration

// quantile is the delay that this part of all does not exceed; 0 where there are none.
func (d delays) quantile(part float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}

func (d delays) String() string {
	return fmt.Sprintf("%d renewals: min %.1f s, p50 %.1f s, p90 %.1f s, max %.1f s", len(d),
		d.quantile(0).Seconds(), d.quantile(0.5).Seconds(), d.quantile(0.9).Seconds(), d.quantile(1).Seconds())
}

// writes are when Secrets were seen to be written, by the fingerprints of what they hold.
type writes struct {
	mu sync.Mutex
	at map[string]time.Time
}

// watchWrites notes the writes of all Secrets in a namespace until the spec's context ends.
func watchWrites(ctx context.Context, namespace string) *writes {
	GinkgoHelper()
	w := &writes{at: map[string]time.Time{}}
	begin := func() (watch.Interface, error) {
		return typed.CoreV1().Secrets(namespace).Watch(ctx, metav1.ListOptions{LabelSelector: api.ManagedByLabel + "=" + api.ManagedByValue})
	}
	watching, err := begin()
	Expect(err).NotTo(HaveOccurred())
	go func() {
		for ctx.Err() == nil {
			for event := range watching.ResultChan() {
				if secret, ok := event.Object.(*corev1.Secret); ok {
					w.note(secret.Annotations[api.FingerprintAnnotation], time.Now())
				}
			}
			if again, err := begin(); err == nil { // API servers end watches now and then
				watching = again
			}
		}
	}()
	return w
}

// note notes the first sight of a credential.
func (w *writes) note(fingerprint string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.at[fingerprint]; !known && fingerprint != "" {
		w.at[fingerprint] = at
	}
}

// delaysOf are how long the renewed credentials took that a consumer has seen; the first one of each Secret was there before the pod.
func (w *writes) delaysOf(seen map[string]counts) (found delays) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, of := range seen {
		for i, token := range of.Tokens {
			if written, known := w.at[token.Fingerprint]; known && i > 0 {
				found = append(found, max(0, token.WrittenAt.Sub(written)))
			}
		}
	}
	return found
}
