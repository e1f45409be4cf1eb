package restore_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/operator"
	"github.com/gini-operator/gini-operator/internal/operator/operatortest"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	issuer = "https://id.acme.example"
	// lifetime is how long Gini's tokens live: none is due to be renewed while a spec runs.
	lifetime = 12 * time.Hour
	// patience is for machines that are busy with something else: what is waited for takes seconds.
	patience = 30 * time.Second
)

// world is a namespace with users of all kinds, and a Gini of its own.
type world struct {
	namespace string
	gini      *emulator.Server
	url       string
	clock     *laterClock
	// jwks is where operators serve JWK Sets.
	jwks string
	// wrap is put between the next operator and the API server, where it is not nil.
	wrap func(http.RoundTripper) http.RoundTripper
}

// laterClock is the wall clock, a while later.
type laterClock struct {
	clock.RealClock
	later atomic.Int64
}

func (c *laterClock) Now() time.Time { return time.Now().Add(time.Duration(c.later.Load())) }

func (c *laterClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c *laterClock) step(d time.Duration) { c.later.Add(int64(d)) }

// newWorld makes everything, and users with credentials. stop stops the operator that brought that about.
func newWorld(ctx context.Context) (w *world, stop func()) {
	GinkgoHelper()
	w = emptyWorld(ctx, (*emulator.Server).Start)
	w.create(ctx, w.broughtAlong()...)
	w.create(ctx, w.giniClient())
	stop = w.operate(ctx)
	w.expectJWKSet(ctx)
	w.create(ctx, w.users()...)
	w.expectReady(ctx)
	return w, stop
}

// emptyWorld is a namespace in which nothing is yet, and a Gini that knows the client and dave's account. It is served by HTTP or HTTPS.
func emptyWorld(ctx context.Context, start func(*emulator.Server) (string, error)) *world {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "spec-"}}
	Expect(k8s.Create(ctx, namespace)).To(Succeed())
	w := &world{namespace: namespace.Name, clock: &laterClock{}, jwks: operatortest.FreeAddress(ctx)}
	DeferCleanup(w.discard)
	w.gini = emulator.New(emulator.WithClock(w.clock), emulator.WithLifetime(lifetime),
		emulator.WithClient("acme", "s3cr3t", emulator.WithJWT(emulator.JWT{Issuer: issuer, JWKSURL: w.jwksURL()})))
	var err error
	w.url, err = start(w.gini)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(w.gini.Close)
	_, ok := w.gini.AddAccount("acme", "dave@users.acme.example", "his-own-password")
	Expect(ok).To(BeTrue())
	return w
}

// discard has the namespace deleted, which the next spec does not wait for.
func (w *world) discard(ctx SpecContext) {
	Expect(client.IgnoreNotFound(k8s.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}))).To(Succeed())
}

func (w *world) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name}
}

func (w *world) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: w.namespace, Name: name}
}

func (w *world) create(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, object := range objects {
		Expect(k8s.Create(ctx, object)).To(Succeed(), "%T %s", object, object.GetName())
	}
}

// broughtAlong are the Secrets that people make. The operator has nothing to do with the last one.
func (w *world) broughtAlong() []client.Object {
	return []client.Object{
		&corev1.Secret{ObjectMeta: w.named("acme-gini"), StringData: map[string]string{"client-id": "acme", "client-secret": "s3cr3t"}},
		&corev1.Secret{ObjectMeta: w.named("dave-account"), StringData: map[string]string{"email": "dave@users.acme.example", "password": "his-own-password"}},
		&corev1.Secret{ObjectMeta: w.named("iris-identifier"), StringData: map[string]string{"identifier": "iris-8f1c"}},
		&corev1.Secret{ObjectMeta: w.named("foreign"), StringData: map[string]string{"precious": "value"}},
	}
}

func (w *world) giniClient() *api.GiniClient {
	return &api.GiniClient{
		ObjectMeta: w.named("acme"),
		Spec: api.GiniClientSpec{
			CredentialsSecretRef: api.ClientCredentialsReference{Name: "acme-gini"},
			Endpoints: &api.Endpoints{
				PayAPI: &api.PayAPIEndpoint{Endpoint: api.Endpoint{URL: w.url}}, UserCenter: &api.Endpoint{URL: w.url},
			},
			AnonymousUsers: &api.AnonymousUsers{EmailDomain: "users.acme.example"},
			IdentityProvider: &api.IdentityProvider{Signer: &api.Signer{
				Issuer: issuer, Algorithm: "ES256", Key: api.SigningKey{Managed: &api.ManagedKey{SecretName: "acme-key"}},
			}},
			Requests: &api.RequestLimits{RatePerSecond: 1000, MaxInFlight: 8},
		},
	}
}

// users are a user of each kind.
func (w *world) users() []client.Object {
	carol := w.user("carol")
	carol.Spec.Anonymous = &api.AnonymousUser{AccountSecret: api.AccountSecret{Name: "carol-account"}}
	dave := w.user("dave")
	dave.Spec.Anonymous = &api.AnonymousUser{AccountSecret: api.AccountSecret{Name: "dave-account", Mode: api.ExistingAccount}}
	alice := w.user("alice")
	alice.Spec.Derived = &api.DerivedUser{Identifier: "alice-8f1c", Auth: api.BasicAuth}
	alice.Spec.Devices.Trusted = trusted("alice-backend")
	jane := w.user("jane")
	jane.Spec.Derived = &api.DerivedUser{Identifier: "jane-8f1c", Auth: api.JWTAuth}
	jane.Spec.Devices.Trusted = trusted("jane-backend")
	iris := w.user("iris")
	iris.Spec.Derived = &api.DerivedUser{IdentifierSecretRef: &api.SecretKeyReference{Name: "iris-identifier", Key: "identifier"}, Auth: api.BasicAuth}
	rita := w.user("rita")
	rita.Spec.Derived = &api.DerivedUser{Identifier: "rita-8f1c", Auth: api.BasicAuth}
	rita.Spec.Devices.Untrusted.Secret.DeletionPolicy = api.RetainSecret
	return []client.Object{carol, dave, alice, jane, iris, rita}
}

var (
	// tokens are the Secrets with access tokens: those that cost a login, one each.
	tokens = []string{"alice-token", "carol-token", "dave-token", "iris-token", "jane-token", "rita-token"}
	// owned are the Secrets that go with their users.
	owned = []string{"alice-backend", "alice-token", "carol-token", "dave-token", "iris-token", "jane-backend", "jane-token"}
	// kept are the Secrets that outlive users and clients.
	kept = []string{"acme-gini", "acme-key", "carol-account", "dave-account", "foreign", "iris-identifier", "rita-token"}
)

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

func trusted(name api.ObjectName) *api.TrustedDeviceSpec {
	return &api.TrustedDeviceSpec{Secret: api.TrustedSecret{TargetSecret: api.TargetSecret{Name: name}}}
}

// operate runs an operator, as a process of its own would be, until stop is called.
func (w *world) operate(ctx context.Context) (stop func()) {
	GinkgoHelper()
	connection := rest.CopyConfig(restConfig)
	connection.Impersonate = rest.ImpersonationConfig{UserName: operatorName}
	if w.wrap != nil {
		connection.Wrap(w.wrap)
	}
	return operatortest.Run(ctx, connection, operator.ManagerOptions(scheme), operator.Options{
		AllowedHosts: []string{w.url}, Clock: w.clock, JWKSAddress: w.jwks,
	})
}

func (w *world) jwksURL() string { return "http://" + w.jwks + "/" + w.namespace + "/acme/jwks.json" }

// expectJWKSet waits until Gini can find the keys of this world's client.
func (w *world) expectJWKSet(ctx context.Context) {
	GinkgoHelper()
	Eventually(func() (int, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.jwksURL(), http.NoBody)
		if err != nil {
			return 0, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}).WithTimeout(patience).Should(Equal(http.StatusOK))
}

// expectReady waits until all is well with the client and all users, or those named.
func (w *world) expectReady(ctx context.Context, names ...string) {
	GinkgoHelper()
	if len(names) == 0 {
		Eventually(func(g Gomega) {
			giniClient := &api.GiniClient{}
			g.Expect(k8s.Get(ctx, w.key("acme"), giniClient)).To(Succeed())
			g.Expect(meta.IsStatusConditionTrue(giniClient.Status.Conditions, api.ConditionReady)).To(BeTrue(), "%+v", giniClient.Status.Conditions)
		}).WithTimeout(patience).Should(Succeed())
		for _, user := range w.users() {
			names = append(names, user.GetName())
		}
	}
	for _, name := range names {
		w.expectReason(ctx, name, "True "+api.ReasonCredentialsReady)
	}
}

func (w *world) expectReason(ctx context.Context, name, ready string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		user := &api.GiniUser{}
		g.Expect(k8s.Get(ctx, w.key(name), user)).To(Succeed())
		found := meta.FindStatusCondition(user.Status.Conditions, api.ConditionReady)
		g.Expect(found).NotTo(BeNil())
		g.Expect(fmt.Sprintf("%s %s", found.Status, found.Reason)).To(Equal(ready), found.Message)
		g.Expect(found.ObservedGeneration).To(Equal(user.Generation))
	}).WithTimeout(patience).Should(Succeed(), "GiniUser %s", name)
}

// secrets are the data of all Secrets.
func (w *world) secrets(ctx context.Context) map[string]map[string]string {
	GinkgoHelper()
	list := &corev1.SecretList{}
	Expect(k8s.List(ctx, list, client.InNamespace(w.namespace))).To(Succeed())
	secrets := map[string]map[string]string{}
	for i := range list.Items {
		data := map[string]string{}
		for key, value := range list.Items[i].Data {
			data[key] = string(value)
		}
		secrets[list.Items[i].Name] = data
	}
	return secrets
}

// names are the names of all Secrets that there are.
func (w *world) names(ctx context.Context) func() []string {
	return func() []string {
		var names []string
		for name := range w.secrets(ctx) {
			names = append(names, name)
		}
		return names
	}
}

// logins are those of users since the mark.
func (w *world) logins(mark emulator.Mark) int {
	return w.gini.Since(mark).Count(emulator.PasswordLogin, emulator.Login, emulator.Refresh)
}

// expectSameAccounts proves that no account was made at Gini beside the two there always were.
func (w *world) expectSameAccounts(mark emulator.Mark) {
	GinkgoHelper()
	Expect(w.gini.Since(mark).Count(emulator.CreateUser)).To(BeZero(), "no account is asked for")
	Expect(w.gini.Ledger().Accounts()).To(HaveLen(2))
}
