package operator_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/operator"
	"github.com/gini-operator/gini-operator/internal/operator/operatortest"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// world is a namespace with a Gini of its own. Its clock stands still, so that no sweep of the agenda ever comes: what is
// acted on was seen by a watch.
type world struct {
	namespace string
	gini      *emulator.Server
	url       string
	clock     *testclock.FakeClock
	// config is how the operator connects; as everybody does where it is nil.
	config *rest.Config
	// lease is what operators compete for; they do not where it is empty. jwks is where the next one serves JWK Sets.
	lease, jwks string
	// allowed are hosts besides Gini's that GiniClients may name.
	allowed []string
	// probes is where the next one answers whether it is alive; nowhere where it is empty.
	probes string
	// cache is what it looks through; the usual one where it is nil.
	cache cache.NewCacheFunc
	// delivers is whether it may nudge pods and restart workloads.
	delivers bool
}

func newWorld(ctx context.Context) *world {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "spec-"}}
	Expect(k8s.Create(ctx, namespace)).To(Succeed())
	w := &world{namespace: namespace.Name, clock: testclock.NewFakeClock(time.Now().Truncate(time.Second))}
	w.gini = emulator.New(emulator.WithClock(w.clock), emulator.WithClient("acme", "s3cr3t"), emulator.WithLifetime(12*time.Hour))
	var err error
	w.url, err = w.gini.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(w.gini.Close)
	w.create(ctx, &corev1.Secret{ObjectMeta: w.named("acme-gini"), StringData: map[string]string{"client-id": "acme", "client-secret": "s3cr3t"}})
	w.create(ctx, &api.GiniClient{
		ObjectMeta: w.named("acme"),
		Spec: api.GiniClientSpec{
			CredentialsSecretRef: api.ClientCredentialsReference{Name: "acme-gini"},
			Endpoints: &api.Endpoints{
				PayAPI: &api.PayAPIEndpoint{Endpoint: api.Endpoint{URL: w.url}}, UserCenter: &api.Endpoint{URL: w.url},
			},
			AnonymousUsers: &api.AnonymousUsers{EmailDomain: "users.acme.example"},
			Requests:       &api.RequestLimits{RatePerSecond: 1000, MaxInFlight: 8},
		},
	})
	return w
}

// operate runs an operator, as a process of its own would be, until stop is called. It looks at all namespaces, or at some.
func (w *world) operate(namespaces ...string) (stop func()) {
	GinkgoHelper()
	options := operator.ManagerOptions(scheme, namespaces...)
	options.HealthProbeBindAddress, options.NewCache = w.probes, w.cache
	connection := restConfig
	if w.config != nil {
		connection = w.config
	}
	var lease *operator.Lease
	if w.lease != "" {
		var err error
		lease, err = operator.Elect(&options, connection, operator.Election{
			Name: w.lease, Namespace: w.namespace, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: time.Second,
		})
		Expect(err).NotTo(HaveOccurred())
	}
	return operatortest.Run(context.Background(), connection, options, operator.Options{
		AllowedHosts: append([]string{w.url}, w.allowed...), Clock: w.clock, JWKSAddress: w.jwks, WatchNamespaces: namespaces, Lease: lease,
		NudgePods: w.delivers, RolloutRestarts: w.delivers,
	})
}

func (w *world) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name}
}

func (w *world) create(ctx context.Context, object client.Object) {
	GinkgoHelper()
	Expect(k8s.Create(ctx, object)).To(Succeed())
}

func (w *world) derived(name string) *api.GiniUser {
	return &api.GiniUser{
		ObjectMeta: w.named(name),
		Spec: api.GiniUserSpec{
			ClientRef: api.ClientReference{Name: "acme"},
			Derived:   &api.DerivedUser{Identifier: name, Auth: api.BasicAuth},
			Devices: api.Devices{Untrusted: &api.UntrustedDeviceSpec{
				Secret: api.UntrustedSecret{TargetSecret: api.TargetSecret{Name: api.ObjectName(name + "-token")}},
			}},
		},
	}
}

func (w *world) anonymous(name string) *api.GiniUser {
	user := w.derived(name)
	user.Spec.Derived = nil
	user.Spec.Anonymous = &api.AnonymousUser{AccountSecret: api.AccountSecret{Name: api.ObjectName(name + "-account")}}
	return user
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

func (w *world) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: w.namespace, Name: name}
}

// eventually is generous: that it comes at all, though no sweep ever does, is what is tested.
const eventually = 30 * time.Second

func (w *world) expectReady(ctx context.Context, name, ready string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		user := &api.GiniUser{}
		g.Expect(k8s.Get(ctx, w.key(name), user)).To(Succeed())
		found := meta.FindStatusCondition(user.Status.Conditions, api.ConditionReady)
		g.Expect(found).NotTo(BeNil())
		g.Expect(fmt.Sprintf("%s %s", found.Status, found.Reason)).To(Equal(ready), found.Message)
		g.Expect(found.ObservedGeneration).To(Equal(user.Generation))
	}).WithTimeout(eventually).Should(Succeed())
}

func (w *world) data(ctx context.Context, name string) func() map[string]string {
	return func() map[string]string {
		object := &corev1.Secret{}
		if err := k8s.Get(ctx, w.key(name), object); err != nil {
			return nil
		}
		data := map[string]string{}
		for key, value := range object.Data {
			data[key] = string(value)
		}
		return data
	}
}

const ready = "True CredentialsReady"

var _ = Describe("A running operator", func() {
	It("sees every change that concerns a user by watch (R1.10, R2.7, R3.12)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.operate()
		w.create(ctx, w.derived("alice"))
		w.create(ctx, w.anonymous("carol"))
		w.expectReady(ctx, "alice", ready)
		w.expectReady(ctx, "carol", ready)
		data := w.data(ctx, "alice-token")
		token := data()["access_token"]

		By("a Secret edited by hand")
		update(ctx, w.key("alice-token"), &corev1.Secret{}, func(object *corev1.Secret) { object.Data["access_token"] = []byte("forged") })
		Eventually(data).WithTimeout(eventually).Should(HaveKeyWithValue("access_token", Not(Or(Equal("forged"), Equal(token)))))

		By("a Secret deleted")
		Expect(k8s.Delete(ctx, &corev1.Secret{ObjectMeta: w.named("alice-token")})).To(Succeed())
		Eventually(data).WithTimeout(eventually).Should(HaveKey("access_token"))
		w.expectReady(ctx, "alice", ready)

		By("the spec changed")
		update(ctx, w.key("alice"), &api.GiniUser{}, func(user *api.GiniUser) {
			user.Spec.Devices.Untrusted.Secret.Data = map[string]api.Template{"TOKEN": "$(access_token)"}
		})
		Eventually(data).WithTimeout(eventually).Should(HaveKey("TOKEN"))

		By("a new token asked for")
		token = data()["access_token"]
		update(ctx, w.key("alice"), &api.GiniUser{}, func(user *api.GiniUser) {
			user.Annotations = map[string]string{api.RefreshRequestedAnnotation: "now"}
		})
		Eventually(data).WithTimeout(eventually).Should(HaveKeyWithValue("access_token", Not(Equal(token))))

		By("the client's credentials changed, and changed back")
		backend := w.derived("backend")
		backend.Spec.Devices = api.Devices{Trusted: &api.TrustedDeviceSpec{Secret: api.TrustedSecret{TargetSecret: api.TargetSecret{Name: "backend"}}}}
		w.create(ctx, backend)
		w.expectReady(ctx, "backend", ready)
		w.gini.RotateSecret("acme", "rotated")
		update(ctx, w.key("acme-gini"), &corev1.Secret{}, func(object *corev1.Secret) { object.Data["client-secret"] = []byte("rotated") })
		Eventually(w.data(ctx, "backend")).WithTimeout(eventually).Should(HaveKeyWithValue("client_secret", "rotated"))

		By("the account Secret deleted")
		account := &corev1.Secret{}
		Expect(k8s.Get(ctx, w.key("carol-account"), account)).To(Succeed())
		Expect(k8s.Delete(ctx, account)).To(Succeed())
		w.expectReady(ctx, "carol", "False AccountSecretMissing")
		account.ResourceVersion, account.UID = "", ""
		Expect(k8s.Create(ctx, account)).To(Succeed())
		w.expectReady(ctx, "carol", ready)

		By("the client deleted, and made again")
		giniClient := &api.GiniClient{}
		Expect(k8s.Get(ctx, w.key("acme"), giniClient)).To(Succeed())
		Expect(k8s.Delete(ctx, giniClient)).To(Succeed())
		w.expectReady(ctx, "alice", "False ClientNotFound")
		giniClient.ResourceVersion, giniClient.UID = "", ""
		Expect(k8s.Create(ctx, giniClient)).To(Succeed())
		w.expectReady(ctx, "alice", ready)
		Expect(w.gini.Ledger().Accounts()).To(HaveLen(1))
	})

	It("sees grants and labels of namespaces by watch (R2.7)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.operate()
		there := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "there-"}}
		Expect(k8s.Create(ctx, there)).To(Succeed())
		home := &world{namespace: there.Name, gini: w.gini, url: w.url, clock: w.clock}
		user := home.derived("alice")
		user.Spec.ClientRef.Namespace = w.namespace
		home.create(ctx, user)
		home.expectReady(ctx, "alice", "False ClientNotGranted")

		By("a grant for namespaces with a label")
		update(ctx, w.key("acme"), &api.GiniClient{}, func(object *api.GiniClient) {
			object.Spec.Grants = []api.Grant{{
				NamespaceSelector: api.NamespaceSelector{MatchLabels: map[string]api.LabelValue{"gini": "yes"}}, IdentifierPrefix: "a",
			}}
		})
		update(ctx, types.NamespacedName{Name: there.Name}, &corev1.Namespace{}, func(object *corev1.Namespace) {
			object.Labels["gini"] = "yes"
		})
		home.expectReady(ctx, "alice", ready)

		By("the label taken away")
		update(ctx, types.NamespacedName{Name: there.Name}, &corev1.Namespace{}, func(object *corev1.Namespace) {
			delete(object.Labels, "gini")
		})
		home.expectReady(ctx, "alice", "False ClientNotGranted")
	})

	It("takes a Secret over as soon as it consents, or its other owner lets go (R2.7, R3.2, R3.3)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.operate()
		w.create(ctx, &corev1.Secret{ObjectMeta: w.named("alice-token"), StringData: map[string]string{"precious": "value"}})
		w.create(ctx, w.derived("alice"))
		w.expectReady(ctx, "alice", "False Conflict")
		update(ctx, w.key("alice-token"), &corev1.Secret{}, func(object *corev1.Secret) {
			object.Labels = map[string]string{api.AdoptByLabel: "alice"}
		})
		w.expectReady(ctx, "alice", ready)

		rival := w.derived("rival")
		rival.Spec.Devices.Untrusted.Secret.Name = "alice-token"
		w.create(ctx, rival)
		w.expectReady(ctx, "rival", "False Conflict")
		update(ctx, w.key("alice"), &api.GiniUser{}, func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "elsewhere" })
		w.expectReady(ctx, "rival", ready)
	})

	It("asks Gini nothing and writes nothing when it is started over, and serves a new user at once (R2.8, R4.4)", func(ctx SpecContext) {
		const users = 200
		w := newWorld(ctx)
		stop := w.operate()
		for number := range users {
			name := fmt.Sprintf("user-%03d", number)
			if number%4 == 0 {
				w.create(ctx, w.anonymous(name))
			} else {
				w.create(ctx, w.derived(name))
			}
		}
		for number := range users {
			w.expectReady(ctx, fmt.Sprintf("user-%03d", number), ready)
		}
		stop()
		before, mark, reconciles := w.versions(ctx), w.gini.Mark(), reconciled()

		w.operate()
		w.create(ctx, w.derived("newcomer"))
		w.expectReady(ctx, "newcomer", ready)
		Eventually(reconciled).WithTimeout(eventually).Should(BeNumerically(">=", reconciles+users), "all users have been looked at")

		after := w.versions(ctx)
		for key, version := range before {
			Expect(after).To(HaveKeyWithValue(key, version), "nothing is written")
		}
		Expect(w.gini.Since(mark).Requests()).To(Equal(1), "the newcomer's login")
		Expect(w.gini.Ledger().Accounts()).To(HaveLen(users / 4))
	})
})

// counter counts the requests to the API server for Secrets and GiniUsers of one namespace, watches left out.
type counter struct {
	namespace string
	mu        sync.Mutex
	requests  map[string]int
}

func (c *counter) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		parts := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
		for _, kind := range []string{"secrets", "giniusers"} {
			if slices.Contains(parts, c.namespace) && slices.Contains(parts, kind) && request.URL.Query().Get("watch") == "" {
				c.mu.Lock()
				c.requests[request.Method+" "+kind]++
				c.mu.Unlock()
			}
		}
		return next.RoundTrip(request)
	})
}

func (c *counter) taken() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.requests
	c.requests = map[string]int{}
	return taken
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

var _ = Describe("The cost of a user", func() {
	It("is one Gini request, one Secret write and one status write for each renewal, after a read of each that confirms it (R1.9)", func(ctx SpecContext) {
		w := newWorld(ctx)
		requests := &counter{namespace: w.namespace, requests: map[string]int{}}
		w.config = rest.CopyConfig(restConfig)
		w.config.Wrap(requests.wrap)
		w.operate()
		w.create(ctx, w.derived("first")) // reads the client credentials
		w.expectReady(ctx, "first", ready)
		requests.taken()

		By("making one")
		w.create(ctx, w.derived("alice"))
		w.expectReady(ctx, "alice", ready)
		Expect(requests.taken()).To(Equal(map[string]int{"GET giniusers": 1, "GET secrets": 1, "POST secrets": 1, "PATCH giniusers": 1}))

		By("renewing two")
		user, mark := &api.GiniUser{}, w.gini.Mark()
		Expect(k8s.Get(ctx, w.key("alice"), user)).To(Succeed())
		w.clock.SetTime(w.clock.Now().Add(8 * time.Hour))
		for _, name := range []string{"first", "alice"} {
			Eventually(func(g Gomega) {
				renewed := &api.GiniUser{}
				g.Expect(k8s.Get(ctx, w.key(name), renewed)).To(Succeed())
				g.Expect(renewed.Status.Devices.Untrusted.ExpiresAt.Time).To(BeTemporally(">", w.clock.Now().Add(11*time.Hour)))
			}).WithTimeout(eventually).Should(Succeed())
		}
		Expect(w.gini.Since(mark).Requests()).To(Equal(2))
		Expect(requests.taken()).To(Equal(map[string]int{"GET giniusers": 2, "GET secrets": 2, "PUT secrets": 2, "PATCH giniusers": 2}))
	})
})

// versions are the resource versions of everything that the operator could write.
func (w *world) versions(ctx context.Context) map[string]string {
	GinkgoHelper()
	versions := map[string]string{}
	for _, list := range []client.ObjectList{&corev1.SecretList{}, &api.GiniUserList{}, &api.GiniClientList{}} {
		Expect(k8s.List(ctx, list, client.InNamespace(w.namespace))).To(Succeed())
		Expect(meta.EachListItem(list, func(item runtime.Object) error {
			object, _ := item.(client.Object)
			versions[fmt.Sprintf("%T/%s", object, object.GetName())] = object.GetResourceVersion()
			return nil
		})).To(Succeed())
	}
	return versions
}

// reconciled counts the reconciles of GiniUsers in this process.
func reconciled() int {
	GinkgoHelper()
	families, err := ctrlmetrics.Registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	count := 0.0
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "controller" && label.GetValue() == "giniuser" {
					count += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return int(count)
}
