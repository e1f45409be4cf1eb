package controller_test

import (
	"context"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// kept are the Events that client-go would create: those that it counts as one come once.
type kept struct {
	mu    sync.Mutex
	notes map[string][]string // by reason
}

func (k *kept) Create(_ context.Context, event *eventsv1.Event) (*eventsv1.Event, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.notes[event.Reason] = append(k.notes[event.Reason], event.Note)
	return event, nil
}

func (k *kept) Update(_ context.Context, event *eventsv1.Event) (*eventsv1.Event, error) {
	return event, nil
}

func (k *kept) Patch(_ context.Context, event *eventsv1.Event, _ []byte) (*eventsv1.Event, error) {
	return event, nil
}

func (k *kept) of(reason string) func() []string {
	return func() []string {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.notes[reason]
	}
}

var _ = Describe("Events of one reason", func() {
	It("are each kept if their texts differ, and counted as one if they do not", func(ctx SpecContext) {
		w := newWorld(ctx)
		told := &kept{notes: map[string][]string{}}
		broadcaster := events.NewBroadcaster(told)
		Expect(broadcaster.StartRecordingToSinkWithContext(ctx)).To(Succeed())
		DeferCleanup(broadcaster.Shutdown)
		recorder := broadcaster.NewRecorder(k8s.Scheme(), "gini-operator")
		w.users.Events, w.clients.Events = recorder, recorder

		By("telling of a GiniClient")
		w.signingClient(ctx)
		for _, at := range []string{"once", "twice"} {
			w.updateClient(ctx, func(object *api.GiniClient) {
				metav1.SetMetaDataAnnotation(&object.ObjectMeta, api.KeyRollRequestedAnnotation, at)
			})
			w.clientReconciled(ctx)
			w.clientReconciled(ctx)
		}
		Eventually(told.of(api.ReasonSigningKeyRolled)).Should(And(HaveLen(2), HaveEach(ContainSubstring("signs at once"))))

		By("telling of a GiniUser")
		w.secret(ctx, "one", map[string]string{"precious": "value"})
		w.secret(ctx, "other", map[string]string{"precious": "value"})
		w.reconciled(ctx, w.derived("alice"))
		for _, name := range []string{"one", "alice-token", "other", "alice-token", "one"} {
			w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = api.ObjectName(name) })
			w.edit(ctx, "alice", func(*api.GiniUser) {})
		}
		Eventually(told.of(api.ReasonConflict)).Should(ConsistOf(ContainSubstring("Secret one "), ContainSubstring("Secret other ")))
		Consistently(told.of(api.ReasonConflict)).WithTimeout(200 * time.Millisecond).Should(HaveLen(2))
	})
})
