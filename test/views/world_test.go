package views

import (
	"context"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/operator"
	"github.com/gini-operator/gini-operator/internal/operator/operatortest"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const issuer = "https://id.acme.example"

// world is a namespace with a Gini of its own.
type world struct {
	namespace string
	gini      *emulator.Server
	url       string
	// clock is Gini's and the operator's; nil where it is the real one.
	clock *testclock.FakeClock
	jwks  string
}

// newWorld has a clock that runs fast, so that 30 s pass in less than one.
func newWorld(ctx context.Context) *world {
	GinkgoHelper()
	clk := testclock.NewFakeClock(time.Now().Truncate(time.Second))
	w := newWorldOn(ctx, clk)
	w.clock = clk
	return w
}

func newWorldOn(ctx context.Context, clk clock.PassiveClock, options ...emulator.Option) *world {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "spec-"}}
	Expect(k8s.Create(ctx, namespace)).To(Succeed())
	w := &world{namespace: namespace.Name, jwks: operatortest.FreeAddress(ctx)}
	w.gini = emulator.New(append(options, emulator.WithClock(clk), emulator.WithClient("acme", "s3cr3t"), emulator.WithLifetime(12*time.Hour))...)
	w.gini.SetJWT("acme", emulator.JWT{
		Issuer: issuer, JWKSURL: "http://" + w.jwks + "/" + w.namespace + "/acme/jwks.json", CacheFor: time.Hour, RefetchOnUnknownKey: true,
	})
	var err error
	w.url, err = w.gini.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(w.gini.Close)
	DeferCleanup(w.leaveNothing)
	w.create(ctx, &corev1.Secret{ObjectMeta: w.named("acme-gini"), StringData: map[string]string{"client-id": "acme", "client-secret": "s3cr3t"}})
	return w
}

// leaveNothing deletes what operators of other specs would have to look at.
func (w *world) leaveNothing(ctx context.Context) {
	for _, object := range []client.Object{&api.GiniUser{}, &api.GiniClient{}} {
		Expect(k8s.DeleteAllOf(ctx, object, client.InNamespace(w.namespace))).To(Succeed())
	}
}

// operate runs an operator, as a process of its own would be, until stop is called.
func (w *world) operate(ctx context.Context, connection *rest.Config) (stop func()) {
	GinkgoHelper()
	given := operator.Options{AllowedHosts: []string{w.url}, JWKSAddress: w.jwks}
	if w.clock != nil {
		given.Clock = w.clock
	}
	return operatortest.Run(ctx, connection, operator.ManagerOptions(scheme), given)
}

// run lets the clock run until stop is called: a quarter of a second at a time, fifty times as fast as it should.
func (w *world) run() (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				w.clock.Step(250 * time.Millisecond)
			}
		}
	}()
	stop = sync.OnceFunc(func() { close(ended); <-done })
	DeferCleanup(stop)
	return stop
}

// pass waits until so much time has passed.
func (w *world) pass(duration time.Duration) {
	GinkgoHelper()
	until := w.clock.Now().Add(duration)
	Eventually(w.clock.Now).Should(BeTemporally(">=", until))
}

func (w *world) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name}
}

func (w *world) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: w.namespace, Name: name}
}

func (w *world) create(ctx context.Context, object client.Object) {
	GinkgoHelper()
	Expect(k8s.Create(ctx, object)).To(Succeed())
}

func update[T client.Object](ctx context.Context, key types.NamespacedName, object T, change func(T)) {
	GinkgoHelper()
	Eventually(func() error {
		if err := k8s.Get(ctx, key, object); err != nil {
			return err
		}
		change(object)
		return k8s.Update(ctx, object)
	}).Should(Succeed())
}

func (w *world) client() *api.GiniClient {
	return &api.GiniClient{
		ObjectMeta: w.named("acme"),
		Spec: api.GiniClientSpec{
			CredentialsSecretRef: api.ClientCredentialsReference{Name: "acme-gini"},
			Endpoints: &api.Endpoints{
				PayAPI: &api.PayAPIEndpoint{Endpoint: api.Endpoint{URL: w.url}}, UserCenter: &api.Endpoint{URL: w.url},
			},
			AnonymousUsers: &api.AnonymousUsers{EmailDomain: "users.acme.example"},
			Requests:       &api.RequestLimits{RatePerSecond: 1000, MaxInFlight: 8},
			IdentityProvider: &api.IdentityProvider{Signer: &api.Signer{
				Issuer: issuer, Algorithm: "ES256", Key: api.SigningKey{Managed: &api.ManagedKey{SecretName: "acme-key"}},
			}},
		},
	}
}

func (w *world) user(name string) *api.GiniUser {
	return &api.GiniUser{
		ObjectMeta: w.named(name),
		Spec: api.GiniUserSpec{
			ClientRef: api.ClientReference{Name: "acme"},
			Devices: api.Devices{Untrusted: &api.UntrustedDeviceSpec{
				Secret: api.UntrustedSecret{TargetSecret: api.TargetSecret{Name: api.ObjectName(name + "-token")}},
			}},
		},
	}
}

func (w *world) anonymous(name string) *api.GiniUser {
	user := w.user(name)
	user.Spec.Anonymous = &api.AnonymousUser{AccountSecret: api.AccountSecret{Name: api.ObjectName(name + "-account")}}
	return user
}

// derived has an untrusted device only.
func (w *world) derived(name string) *api.GiniUser {
	user := w.user(name)
	user.Spec.Derived = &api.DerivedUser{Identifier: name, Auth: api.BasicAuth}
	return user
}

// both has both devices.
func (w *world) both(name string, auth api.AuthMethod) *api.GiniUser {
	user := w.derived(name)
	user.Spec.Derived.Auth = auth
	user.Spec.Devices.Trusted = trusted(name)
	return user
}

func trusted(name string) *api.TrustedDeviceSpec {
	return &api.TrustedDeviceSpec{Secret: api.TrustedSecret{TargetSecret: api.TargetSecret{Name: api.ObjectName(name + "-backend")}}}
}

func (w *world) get(ctx context.Context, name string) *api.GiniUser {
	GinkgoHelper()
	user := &api.GiniUser{}
	Expect(k8s.Get(ctx, w.key(name), user)).To(Succeed())
	return user
}

// ready is what Ready says of a user, once it is up to date.
func (w *world) ready(ctx context.Context, name string) func() string {
	return func() string {
		user := &api.GiniUser{}
		if err := k8s.Get(ctx, w.key(name), user); err != nil {
			return err.Error()
		}
		found := meta.FindStatusCondition(user.Status.Conditions, api.ConditionReady)
		if found == nil || found.ObservedGeneration != user.Generation {
			return "behind"
		}
		return string(found.Status) + " " + found.Reason
	}
}

const ready = "True CredentialsReady"
