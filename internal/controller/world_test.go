package controller_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/controller"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/registry"
	"github.com/gini-operator/gini-operator/internal/target"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	clientID     = "acme"
	clientSecret = "s3cr3t-of-acme"
)

// world is a namespace with a Gini of its own, whose reconcilers are called step by step on a clock that stands still.
type world struct {
	namespace string
	clock     *testclock.FakeClock
	gini      *emulator.Server
	url       string
	recorder  *events.FakeRecorder
	users     *controller.GiniUserReconciler
	clients   *controller.GiniClientReconciler
	lanes     *lane.Lanes
	// writes is where the reconcilers write: the API server, unless a spec puts something before it.
	writes client.Client

	// allowed are hosts that GiniClients may name beside this world's Gini, and provider is a customer's identity provider.
	allowed  []string
	provider *customersProvider

	// requestTimeout bounds requests to Gini; 0: as in production, so that a busy machine makes no failure.
	requestTimeout time.Duration
	// log is what the reconcilers log, where a spec looks at it, and context is the one that they log with.
	log     *bytes.Buffer
	context context.Context //nolint:containedctx // a spec's own

	mu       sync.Mutex
	enqueued []types.NamespacedName
}

// Enqueue implements lane.Queue: a spec looks at who is called.
func (w *world) Enqueue(key types.NamespacedName, _ int, _ time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enqueued = append(w.enqueued, key)
}

func (w *world) called() []types.NamespacedName {
	w.mu.Lock()
	defer w.mu.Unlock()
	called := w.enqueued
	w.enqueued = nil
	return called
}

func newWorld(ctx context.Context, options ...emulator.Option) *world {
	GinkgoHelper()
	return newWorldServedBy(ctx, (*emulator.Server).Start, options...)
}

// newWorldServedBy serves Gini by HTTP or HTTPS.
func newWorldServedBy(ctx context.Context, start func(*emulator.Server) (string, error), options ...emulator.Option) *world {
	GinkgoHelper()
	w := &world{namespace: newNamespace(ctx), clock: testclock.NewFakeClock(time.Now().Truncate(time.Second)), recorder: events.NewFakeRecorder(100)}
	w.gini = emulator.New(append([]emulator.Option{
		emulator.WithClock(w.clock), emulator.WithClient(clientID, clientSecret), emulator.WithLifetime(12 * time.Hour),
	}, options...)...)
	var err error
	w.url, err = start(w.gini)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(w.gini.Close)
	w.writes = k8s
	w.restart()
	return w
}

func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "spec-"}}
	Expect(k8s.Create(ctx, namespace)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { reflection.expectExact(ctx, namespace.Name) })
	return namespace.Name
}

// inNamespaceOf is the same world as seen from another namespace.
func (w *world) inNamespaceOf(namespace string) *world {
	return &world{
		namespace: namespace, clock: w.clock, gini: w.gini, url: w.url, recorder: w.recorder, users: w.users, clients: w.clients,
		lanes: w.lanes, writes: w.writes, log: w.log, context: w.context,
	}
}

// restart forgets everything that an operator remembers.
func (w *world) restart() {
	GinkgoHelper()
	allowed, err := registry.ParseAllowedHosts(append([]string{w.url, "https://*.gini.net", "http://127.0.0.1:1"}, w.allowed...))
	Expect(err).NotTo(HaveOccurred())
	reader := indexed{k8s}
	writer := client.WithFieldOwner(w.writes, controller.FieldManager)
	w.lanes = lane.New(lane.Options{Clock: w.clock, Queue: w, Inline: true, Log: GinkgoLogr})
	applications := &registry.Registry{Metadata: reader, Live: k8s, Allowed: allowed, Lanes: w.lanes, Clock: w.clock, RequestTimeout: w.requestTimeout}
	w.users = &controller.GiniUserReconciler{
		Reader: reader, Metadata: reader, Status: writer, Secrets: target.Secrets{Live: k8s, Writer: writer},
		Registry: applications, Lanes: w.lanes, Queue: w, Events: w.recorder, Clock: w.clock,
	}
	w.clients = &controller.GiniClientReconciler{
		Reader: reader, Status: writer, Registry: applications, Secrets: w.users.Secrets, Events: w.recorder, Clock: w.clock,
	}
}

func (w *world) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: w.namespace, Name: name}
}

func (w *world) objectMeta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name}
}

// secret makes a Secret.
func (w *world) secret(ctx context.Context, name string, data map[string]string) *corev1.Secret {
	GinkgoHelper()
	object := &corev1.Secret{ObjectMeta: w.objectMeta(name), StringData: data}
	Expect(k8s.Create(ctx, object)).To(Succeed())
	return object
}

// giniClient makes a GiniClient of this world's Gini, with its credentials Secret.
func (w *world) giniClient(ctx context.Context, change ...func(*api.GiniClient)) *api.GiniClient {
	GinkgoHelper()
	w.secret(ctx, "acme-gini", map[string]string{"client-id": clientID, "client-secret": clientSecret})
	object := &api.GiniClient{
		ObjectMeta: w.objectMeta("acme"),
		Spec: api.GiniClientSpec{
			CredentialsSecretRef: api.ClientCredentialsReference{Name: "acme-gini"},
			Endpoints: &api.Endpoints{
				PayAPI: &api.PayAPIEndpoint{Endpoint: api.Endpoint{URL: w.url}}, UserCenter: &api.Endpoint{URL: w.url},
			},
			AnonymousUsers: &api.AnonymousUsers{EmailDomain: "users.acme.example"},
			Requests:       &api.RequestLimits{RatePerSecond: 1000},
		},
	}
	for _, change := range change {
		change(object)
	}
	Expect(k8s.Create(ctx, object)).To(Succeed())
	return object
}

// derived is a derived user with an untrusted device.
func (w *world) derived(name string) *api.GiniUser {
	return &api.GiniUser{
		ObjectMeta: w.objectMeta(name),
		Spec: api.GiniUserSpec{
			ClientRef: api.ClientReference{Name: "acme"},
			Derived:   &api.DerivedUser{Identifier: name + "-8f1c", Auth: api.BasicAuth},
			Devices: api.Devices{Untrusted: &api.UntrustedDeviceSpec{
				Secret: api.UntrustedSecret{TargetSecret: api.TargetSecret{Name: api.ObjectName(name + "-token")}},
			}},
		},
	}
}

// anonymous is an anonymous user.
func (w *world) anonymous(name string) *api.GiniUser {
	user := w.derived(name)
	user.Spec.Derived = nil
	user.Spec.Anonymous = &api.AnonymousUser{AccountSecret: api.AccountSecret{Name: api.ObjectName(name + "-account")}}
	return user
}

func trusted(name string) *api.TrustedDeviceSpec {
	return &api.TrustedDeviceSpec{Secret: api.TrustedSecret{TargetSecret: api.TargetSecret{Name: api.ObjectName(name)}}}
}

// reconciled makes the object, unless it exists, reconciles it until it asks for no more at once, and returns it as it then is.
func (w *world) reconciled(ctx context.Context, user *api.GiniUser) *api.GiniUser {
	GinkgoHelper()
	if user.UID == "" {
		Expect(k8s.Create(ctx, user)).To(Succeed())
	}
	w.reconcile(ctx, user.Name)
	return w.user(ctx, user.Name)
}

func (w *world) reconcile(ctx context.Context, name string) ctrl.Result { //nolint:contextcheck // a spec's own, with its logger
	GinkgoHelper()
	if w.context != nil {
		ctx = w.context
	}
	result, err := w.users.Reconcile(ctx, ctrl.Request{NamespacedName: w.key(name)})
	Expect(err).NotTo(HaveOccurred())
	return result
}

func (w *world) clientReconciled(ctx context.Context) *api.GiniClient {
	GinkgoHelper()
	_, err := w.clients.Reconcile(ctx, ctrl.Request{NamespacedName: w.key("acme")})
	Expect(err).NotTo(HaveOccurred())
	object := &api.GiniClient{}
	Expect(k8s.Get(ctx, w.key("acme"), object)).To(Succeed())
	return object
}

func (w *world) user(ctx context.Context, name string) *api.GiniUser {
	GinkgoHelper()
	object := &api.GiniUser{}
	Expect(k8s.Get(ctx, w.key(name), object)).To(Succeed())
	return object
}

// data is the data of a Secret; nil where there is none.
func (w *world) data(ctx context.Context, name string) map[string]string {
	GinkgoHelper()
	object := w.stored(ctx, name)
	if object == nil {
		return nil
	}
	data := map[string]string{}
	for key, value := range object.Data {
		data[key] = string(value)
	}
	return data
}

func (w *world) stored(ctx context.Context, name string) *corev1.Secret {
	GinkgoHelper()
	object := &corev1.Secret{}
	err := k8s.Get(ctx, w.key(name), object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	Expect(err).NotTo(HaveOccurred())
	return object
}

// told returns the Events since it was last called.
func (w *world) told() []string {
	var told []string
	for {
		select {
		case event := <-w.recorder.Events:
			told = append(told, event)
		default:
			return told
		}
	}
}

func condition(conditions []metav1.Condition, conditionType string) string {
	found := meta.FindStatusCondition(conditions, conditionType)
	if found == nil {
		return "absent"
	}
	return fmt.Sprintf("%s %s", found.Status, found.Reason)
}

func ready(user *api.GiniUser) string { return condition(user.Status.Conditions, api.ConditionReady) }
