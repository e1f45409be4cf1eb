package registry_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/registry"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const namespace = "payments"

// world is a Gini, a GiniClient of it, and what that names, in an API server that counts what is read of it.
type world struct {
	*registry.Registry
	t      *testing.T
	gini   *emulator.Server
	k8s    client.Client
	client *api.GiniClient
	lanes  *lane.Lanes

	mu    sync.Mutex
	live  int // reads of whole objects
	fails error
	// failsLive is as fails, for whole objects.
	failsLive error
	seen      []string // requests to Gini
}

type nobody struct{}

func (nobody) Enqueue(types.NamespacedName, int, time.Duration) {}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, gini: emulator.New(emulator.WithClient("acme", "s3cr3t"), emulator.WithClient("beta", "beta-s3cr3t"))}
	url, err := w.gini.StartTLS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.gini.Close)
	w.k8s = fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, next client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.fails != nil {
				return w.fails
			}
			if _, metadataOnly := object.(*metav1.PartialObjectMetadata); !metadataOnly {
				if w.failsLive != nil {
					return w.failsLive
				}
				w.live++
			}
			return next.Get(ctx, key, object, options...)
		},
	}).WithObjects(
		&corev1.Secret{ObjectMeta: meta("acme-gini"), Data: map[string][]byte{"client-id": []byte("acme"), "client-secret": []byte("s3cr3t")}},
		&corev1.ConfigMap{ObjectMeta: meta("ca"), Data: map[string]string{"ca.crt": string(w.gini.CertPEM())}},
		&corev1.Secret{ObjectMeta: meta("ca"), Data: map[string][]byte{"bundle": w.gini.CertPEM()}},
	).Build()
	w.client = &api.GiniClient{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme", UID: "acme-uid"},
		Spec: api.GiniClientSpec{
			CredentialsSecretRef: api.ClientCredentialsReference{Name: "acme-gini"},
			Endpoints:            &api.Endpoints{PayAPI: &api.PayAPIEndpoint{Endpoint: api.Endpoint{URL: url}}, UserCenter: &api.Endpoint{URL: url}},
			TLS:                  &api.TLS{CABundleRef: api.CABundleReference{Kind: "ConfigMap", Name: "ca"}},
		},
	}
	w.restart()
	return w
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name)}
}

// restart forgets everything that an operator remembers.
func (w *world) restart() {
	w.t.Helper()
	allowed, err := registry.ParseAllowedHosts([]string{w.client.Spec.Endpoints.UserCenter.URL, "https://*.gini.net"})
	if err != nil {
		w.t.Fatal(err)
	}
	clk := testclock.NewFakeClock(noon)
	w.lanes = lane.New(lane.Options{Clock: clk, Queue: nobody{}, Inline: true, Log: logr.Discard()})
	w.Registry = &registry.Registry{Metadata: w.k8s, Live: w.k8s, Allowed: allowed, Lanes: w.lanes, Clock: clk,
		Observe: func(name types.NamespacedName, observation gini.Observation) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.seen = append(w.seen, fmt.Sprintf("%s %s %d", name, observation.Operation, observation.Status))
		},
	}
}

func (w *world) resolved() *registry.Application {
	w.t.Helper()
	application, err := w.Resolve(w.t.Context(), w.client)
	if err != nil {
		w.t.Fatal(err)
	}
	return application
}

// reads is how often whole objects were read since it was last asked.
func (w *world) reads() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.live
	w.live = 0
	return n
}

func (w *world) change(object client.Object, change func()) {
	w.t.Helper()
	if err := w.k8s.Get(w.t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		w.t.Fatal(err)
	}
	change()
	if err := w.k8s.Update(w.t.Context(), object); err != nil {
		w.t.Fatal(err)
	}
	w.reads()
}

func (w *world) changeCredentials(change func(secret *corev1.Secret)) {
	w.t.Helper()
	secret := &corev1.Secret{ObjectMeta: meta("acme-gini")}
	w.change(secret, func() { change(secret) })
}

func TestResolve(t *testing.T) {
	w := newWorld(t)
	application := w.resolved()
	url := w.client.Spec.Endpoints.UserCenter.URL
	if application.Name != (types.NamespacedName{Namespace: namespace, Name: "acme"}) || application.UID != "acme-uid" || application.Epoch == "" ||
		application.ClientID != "acme" || application.ClientSecret.Reveal() != "s3cr3t" || application.PayAPI != url || application.UserCenter != url {
		t.Errorf("%+v", application)
	}
	if len(application.Epoch) > 64 || strings.Contains(application.Epoch, "s3cr3t") {
		t.Errorf("epoch %q", application.Epoch)
	}
	// It can be used: its credentials, endpoints and certificate authorities are right, and what it asks is observed.
	if err := application.Gini.VerifyCredentials(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"payments/acme client token 200"}; len(w.seen) != 1 || w.seen[0] != want[0] {
		t.Errorf("observed %v, want %v", w.seen, want)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", application, application, application), "s3cr3t") {
		t.Error("it can be printed with its client secret")
	}
}

// TestDefaults: Gini's production hosts, the usual keys and limits.
func TestDefaults(t *testing.T) {
	w := newWorld(t)
	w.client.Spec.Endpoints, w.client.Spec.TLS = nil, nil
	application := w.resolved()
	if application.PayAPI != "https://pay-api.gini.net" || application.UserCenter != "https://user.gini.net" {
		t.Errorf("%s, %s", application.PayAPI, application.UserCenter)
	}
	if room := application.Lane.Room(time.Second); room != 2*5 {
		t.Errorf("room for %d in a second", room)
	}
	w.client.Spec.Requests = &api.RequestLimits{RatePerSecond: 50}
	if room := w.resolved().Lane.Room(time.Second); room != 2*50 {
		t.Errorf("room for %d in a second", room)
	}
}

// TestOtherKeys: the keys of the credentials and of the bundle, and a bundle in a Secret.
func TestOtherKeys(t *testing.T) {
	w := newWorld(t)
	w.changeCredentials(func(secret *corev1.Secret) {
		secret.Data = map[string][]byte{"id": []byte("beta"), "pw": []byte("beta-s3cr3t"), "client-id": []byte("acme"), "client-secret": []byte("s3cr3t")}
	})
	w.client.Spec.CredentialsSecretRef.ClientIDKey, w.client.Spec.CredentialsSecretRef.ClientSecretKey = "id", "pw"
	w.client.Spec.TLS.CABundleRef = api.CABundleReference{Kind: "Secret", Name: "ca", Key: "bundle"}
	application := w.resolved()
	if application.ClientID != "beta" {
		t.Errorf("client id %q", application.ClientID)
	}
	if err := application.Gini.VerifyCredentials(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCache: what has not changed, as its metadata tell, is not read again.
func TestCache(t *testing.T) {
	w := newWorld(t)
	first := w.resolved()
	if n := w.reads(); n != 2 {
		t.Errorf("%d objects were read, want the credentials and the bundle", n)
	}
	for range 10 {
		if w.resolved() != first {
			t.Fatal("another application")
		}
	}
	if n := w.reads(); n != 0 {
		t.Errorf("%d objects were read again", n)
	}
	w.Forget("acme-uid")
	w.Forget("never-there")
	if again := w.resolved(); again == first || again.Lane == first.Lane {
		t.Error("not forgotten")
	}
}

// known puts a client into a state that tells its lane from a new one.
func known(t *testing.T, application *registry.Application) {
	t.Helper()
	_, refusal := application.Lane.Enter(t.Context(), lane.LoginEndpoint, types.NamespacedName{Name: "alice"}, 10, func(context.Context, bool) lane.Outcome {
		return lane.Outcome{Asked: true}
	})
	if refusal != nil || !application.Lane.State().Accepted {
		t.Fatalf("%+v, %+v", refusal, application.Lane.State())
	}
}

// TestLabelEdit: another version of a Secret with the same credentials is read, and changes nothing.
func TestLabelEdit(t *testing.T) {
	for name, edit := range map[string]func(*world){
		"a label of the credentials": func(w *world) {
			w.changeCredentials(func(secret *corev1.Secret) { secret.Labels = map[string]string{"a": "b"} })
		},
		"another key of the credentials": func(w *world) {
			w.changeCredentials(func(secret *corev1.Secret) { secret.Data["note"] = []byte("x") })
		},
		"a label of the bundle": func(w *world) {
			bundle := &corev1.ConfigMap{ObjectMeta: meta("ca")}
			w.change(bundle, func() { bundle.Labels = map[string]string{"a": "b"} })
		},
		"the limits":              func(w *world) { w.client.Spec.Requests = &api.RequestLimits{RatePerSecond: 9} },
		"the GiniClient's labels": func(w *world) { w.client.Labels = map[string]string{"a": "b"} },
		"the grants": func(w *world) {
			w.client.Spec.Grants = []api.Grant{{IdentifierPrefix: "a-"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			first := w.resolved()
			known(t, first)
			edit(w)
			second := w.resolved()
			if second.Gini != first.Gini || !second.Lane.State().Accepted {
				t.Errorf("starts over: epoch %s and %s, state %+v", first.Epoch, second.Epoch, second.Lane.State())
			}
			w.reads()
			w.resolved()
			if n := w.reads(); n != 0 {
				t.Errorf("%d objects are read at every use", n)
			}
		})
	}
}

// TestNewEpoch: other credentials, endpoints or certificate authorities start clean, in the same lane.
func TestNewEpoch(t *testing.T) {
	for name, change := range map[string]func(*world){
		"client secret": func(w *world) {
			w.changeCredentials(func(secret *corev1.Secret) { secret.Data["client-secret"] = []byte("an0ther") })
		},
		"client id": func(w *world) {
			w.changeCredentials(func(secret *corev1.Secret) { secret.Data["client-id"] = []byte("beta") })
		},
		"Pay API":     func(w *world) { w.client.Spec.Endpoints.PayAPI.URL += "/prefix" },
		"User Center": func(w *world) { w.client.Spec.Endpoints.UserCenter.URL += "/prefix" },
		"no bundle":   func(w *world) { w.client.Spec.TLS = nil },
		"another bundle": func(w *world) {
			_, other, err := emulator.SelfSignedCertificate()
			if err != nil {
				w.t.Fatal(err)
			}
			bundle := &corev1.ConfigMap{ObjectMeta: meta("ca")}
			w.change(bundle, func() { bundle.Data["ca.crt"] += string(other) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			first := w.resolved()
			known(t, first)
			change(w)
			second := w.resolved()
			if second == first || second.Gini == first.Gini || second.Epoch == first.Epoch {
				t.Error("the same application")
			}
			if second.Lane != first.Lane {
				t.Error("another lane: what runs in the old one is not counted any more")
			}
			if state := second.Lane.State(); state.Accepted {
				t.Errorf("state %+v: accepted without having been tried", state)
			}
			if first.ClientSecret.Reveal() != "s3cr3t" {
				t.Error("the earlier application was changed")
			}
		})
	}
}

// TestMadeAnew: a GiniClient of the same name is another one.
func TestMadeAnew(t *testing.T) {
	w := newWorld(t)
	first := w.resolved()
	known(t, first)
	w.client.UID = "acme-uid-2"
	second := w.resolved()
	if second.Lane == first.Lane || second.Lane.State().Accepted || second.Epoch == first.Epoch {
		t.Error("goes on with what was known of its predecessor")
	}
}

func TestProblems(t *testing.T) {
	secretData := func(id, secret string) func(*world) {
		return func(w *world) {
			w.changeCredentials(func(object *corev1.Secret) {
				object.Data = map[string][]byte{"client-id": []byte(id), "client-secret": []byte(secret)}
			})
		}
	}
	bundle := func(content string) func(*world) {
		return func(w *world) {
			object := &corev1.ConfigMap{ObjectMeta: meta("ca")}
			w.change(object, func() { object.Data["ca.crt"] = content })
		}
	}
	for name, c := range map[string]struct {
		change func(*world)
		want   string
	}{
		"Pay API not allowed": {func(w *world) { w.client.Spec.Endpoints.PayAPI.URL = "https://evilgini.net" }, api.ReasonHostNotAllowed},
		"User Center not allowed": {func(w *world) {
			w.client.Spec.AnonymousUsers = &api.AnonymousUsers{EmailDomain: "users.acme.example"}
			w.client.Spec.Endpoints.UserCenter.URL = "https://kubernetes.default.svc"
		}, api.ReasonHostNotAllowed},
		"plain http":                  {func(w *world) { w.client.Spec.Endpoints.PayAPI.URL = "http://pay-api.gini.net" }, api.ReasonHostNotAllowed},
		"no URL":                      {func(w *world) { w.client.Spec.Endpoints.PayAPI.URL = "https://%zz" }, api.ReasonHostNotAllowed},
		"a path that climbs":          {func(w *world) { w.client.Spec.Endpoints.PayAPI.URL += "/../x" }, api.ReasonHostNotAllowed},
		"user info":                   {func(w *world) { w.client.Spec.Endpoints.PayAPI.URL = "https://a:b@user.gini.net" }, api.ReasonHostNotAllowed},
		"no credentials Secret":       {func(w *world) { w.client.Spec.CredentialsSecretRef.Name = "absent" }, api.ReasonClientSecretNotFound},
		"no client id":                {func(w *world) { w.client.Spec.CredentialsSecretRef.ClientIDKey = "absent" }, api.ReasonClientSecretInvalid},
		"no client secret":            {func(w *world) { w.client.Spec.CredentialsSecretRef.ClientSecretKey = "absent" }, api.ReasonClientSecretInvalid},
		"empty client secret":         {secretData("acme", ""), api.ReasonClientSecretInvalid},
		"empty client id":             {secretData("", "s3cr3t"), api.ReasonClientSecretInvalid},
		"newline after client secret": {secretData("acme", "s3cr3t\n"), api.ReasonClientSecretInvalid},
		"newline after client id":     {secretData("acme\n", "s3cr3t"), api.ReasonClientSecretInvalid},
		"control character":           {secretData("acme", "s3\x00cr3t"), api.ReasonClientSecretInvalid},
		"DEL":                         {secretData("acme", "s3cr3t\x7f"), api.ReasonClientSecretInvalid},
		"a control character of C1":   {secretData("acme", "s3cr3t\u0085"), api.ReasonClientSecretInvalid},
		"not UTF-8":                   {secretData("acme", "s3cr3t\xff"), api.ReasonClientSecretInvalid},
		"colon in client id":          {secretData("ac:me", "s3cr3t"), api.ReasonClientSecretInvalid},
		"overlong client secret":      {secretData("acme", strings.Repeat("s", 4097)), api.ReasonClientSecretInvalid},
		"no bundle":                   {func(w *world) { w.client.Spec.TLS.CABundleRef.Name = "absent" }, api.ReasonCABundleNotFound},
		"no bundle in a Secret":       {func(w *world) { w.client.Spec.TLS.CABundleRef = api.CABundleReference{Kind: "Secret", Name: "absent"} }, api.ReasonCABundleNotFound},
		"no key of the bundle":        {func(w *world) { w.client.Spec.TLS.CABundleRef.Key = "absent" }, api.ReasonCABundleNotFound},
		"no key of a Secret's bundle": {func(w *world) { w.client.Spec.TLS.CABundleRef = api.CABundleReference{Kind: "Secret", Name: "ca"} }, api.ReasonCABundleNotFound},
		"empty bundle":                {bundle(""), api.ReasonCABundleNotFound},
		"no certificate":              {bundle("hello"), api.ReasonCABundleInvalid},
		"a key, not a certificate":    {bundle("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), api.ReasonCABundleInvalid},
		"oversized bundle":            {bundle(strings.Repeat("x", 600<<10)), api.ReasonCABundleInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			good := w.client.DeepCopy()
			c.change(w)
			application, err := w.Resolve(t.Context(), w.client)
			found, ok := problem.Of(err)
			if !ok || found.Reason != c.want || application != nil {
				t.Fatalf("%+v, %v; want %s", application, err, c.want)
			}
			at := "payments/acme"
			switch c.want { // what tells the field, tells its GiniClient's own status only
			case api.ReasonHostNotAllowed:
				at = "spec.endpoints."
			case api.ReasonCABundleInvalid:
				at = "spec.tls.caBundleRef"
			case api.ReasonCABundleNotFound:
				at = "caBundleRef"
			}
			if message := found.Error(); !strings.Contains(message, at) || strings.Contains(message, "%!") || strings.Contains(message, "s3cr3t") {
				t.Errorf("message %q", message)
			}
			// What was wrong is put right again.
			secretData("acme", "s3cr3t")(w)
			bundle(string(w.gini.CertPEM()))(w)
			w.client = good
			if err := w.resolved().Gini.VerifyCredentials(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInvalidLater: credentials that become invalid are not used any longer, and the old ones are not put back by it.
func TestInvalidLater(t *testing.T) {
	w := newWorld(t)
	known(t, w.resolved())
	w.changeCredentials(func(secret *corev1.Secret) { secret.Data["client-secret"] = []byte("s3cr3t\n") })
	for range 2 {
		if _, err := w.Resolve(t.Context(), w.client); err == nil {
			t.Fatal("invalid credentials are not noticed")
		}
	}
	w.changeCredentials(func(secret *corev1.Secret) { secret.Data["client-secret"] = []byte("s3cr3t") })
	if !w.resolved().Lane.State().Accepted {
		t.Error("a bad value that was reverted does not lead back to the state before")
	}
}

// TestAPIServerErrors are nobody's problem: they are tried again.
func TestAPIServerErrors(t *testing.T) {
	w := newWorld(t)
	w.fails = errors.New("etcd is away")
	_, err := w.Resolve(t.Context(), w.client)
	if _, ok := problem.Of(err); ok || !errors.Is(err, w.fails) {
		t.Errorf("%v", err)
	}
}

// TestRecalled: what a status says of these credentials holds after a restart; of others it says nothing.
func TestRecalled(t *testing.T) {
	accepted := metav1.Condition{Type: api.ConditionCredentialsAccepted, Status: metav1.ConditionTrue, Reason: api.ReasonCredentialsAccepted}
	rejected := metav1.Condition{
		Type: api.ConditionCredentialsAccepted, Status: metav1.ConditionFalse, Reason: api.ReasonCredentialsRejected,
		LastTransitionTime: metav1.NewTime(noon.Add(-time.Hour)),
	}
	until := metav1.NewTime(noon.Add(20 * time.Minute))
	for name, c := range map[string]struct {
		conditions []metav1.Condition
		until      *metav1.Time
		another    bool // the status is of other credentials
		accepted   bool
		trouble    gini.Kind
	}{
		"accepted":                  {conditions: []metav1.Condition{accepted}, accepted: true},
		"accepted others":           {conditions: []metav1.Condition{accepted}, another: true},
		"rejected":                  {conditions: []metav1.Condition{rejected}, until: &until, trouble: gini.CredentialsRejected},
		"rejected others":           {conditions: []metav1.Condition{rejected}, until: &until, another: true},
		"rejected, until who knows": {conditions: []metav1.Condition{rejected}},
		"an outage is looked at again": {
			conditions: []metav1.Condition{{Type: api.ConditionCredentialsAccepted, Status: metav1.ConditionUnknown, Reason: api.ReasonGiniTimeout}}, until: &until,
		},
		"nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.client.Status.CheckedCredentials = w.resolved().Epoch
			if c.another {
				w.client.Status.CheckedCredentials = "another"
			}
			w.client.Status.Conditions, w.client.Status.PausedUntil = c.conditions, c.until
			w.client.Status.TokenBehaviour = &api.TokenBehaviours{
				Login: &api.TokenBehaviour{Mode: api.StickyTokens, ObservedAt: metav1.NewTime(noon)}, UserCenter: &api.TokenBehaviour{Mode: api.FreshTokens},
			}
			w.restart()
			application := w.resolved()
			state := application.Lane.State()
			if state.Accepted != c.accepted || state.Trouble != c.trouble {
				t.Errorf("state %+v", state)
			}
			if c.trouble != "" && (!state.ProbeAt.Equal(until.Time) || !state.Since.Equal(noon.Add(-time.Hour))) {
				t.Errorf("state %+v", state)
			}
			login, userCenter := application.Lane.Behaviour(lane.LoginEndpoint), application.Lane.Behaviour(lane.UserCenterEndpoint)
			if login != (lane.Behaviour{Known: true, Sticky: true, ObservedAt: noon}) || !userCenter.Known || userCenter.Sticky {
				t.Errorf("behaviour %+v and %+v", login, userCenter)
			}
			if n := w.gini.Requests(); n != 0 {
				t.Errorf("%d requests to Gini", n)
			}
		})
	}
}

// TestRecalledOfEachEndpoint: what one endpoint alone refused before a restart is not told of the other after it, and is no verdict of its.
func TestRecalledOfEachEndpoint(t *testing.T) {
	w := newWorld(t)
	refused := metav1.Condition{Status: metav1.ConditionFalse, Reason: api.ReasonCredentialsRejected, LastTransitionTime: metav1.NewTime(noon.Add(-time.Hour))}
	until := metav1.NewTime(noon.Add(20 * time.Minute))
	w.client.Status.CheckedCredentials, w.client.Status.PausedUntil = w.resolved().Epoch, &until
	w.client.Status.Accepted = &api.AcceptedRequests{ClientID: w.resolved().ClientID, Requests: []api.AcceptedRequest{api.AcceptedRequest(lane.AcceptedUserCenter)}}
	for _, conditionType := range []string{api.ConditionCredentialsAccepted, api.ConditionDerivedUsersAccepted} {
		condition := refused
		condition.Type = conditionType
		w.client.Status.Conditions = append(w.client.Status.Conditions, condition)
	}
	w.restart()
	application := w.resolved()
	if standing := application.Lane.StandingAt(lane.LoginEndpoint); !standing.Refused {
		t.Errorf("/login: %+v", standing)
	}
	if standing := application.Lane.StandingAt(lane.UserCenterEndpoint); standing.Refused || standing.Accepted {
		t.Errorf("the User Center: %+v", standing)
	}
	if known, _ := application.Lane.Check(); known == lane.CheckRejected {
		t.Error("rejected, though only an endpoint refused them that never accepted this client")
	}
	if state := application.Lane.State(); state.Trouble != gini.CredentialsRejected || !state.ProbeAt.Equal(until.Time) {
		t.Errorf("state %+v", state)
	}
}

func TestRoom(t *testing.T) {
	w := newWorld(t)
	name := types.NamespacedName{Namespace: namespace, Name: "acme"}
	if got := w.Room(name); got != math.MaxInt {
		t.Errorf("room for %d before it is known", got)
	}
	application := w.resolved()
	if got := w.Room(name); got != application.Lane.Room(10*time.Second) {
		t.Errorf("room for %d", got)
	}
	if got := w.Room(types.NamespacedName{Namespace: "elsewhere", Name: "acme"}); got != math.MaxInt {
		t.Errorf("room for %d of another's", got)
	}
}

// TestResolveAtOnce: however many ask at once, one application is made.
func TestResolveAtOnce(t *testing.T) {
	w := newWorld(t)
	var asking sync.WaitGroup
	applications := make(chan *registry.Application, 50)
	for range cap(applications) {
		asking.Go(func() {
			application, err := w.Resolve(context.Background(), w.client)
			if err != nil {
				t.Error(err)
			}
			applications <- application
		})
	}
	asking.Wait()
	first := <-applications
	for range cap(applications) - 1 {
		if <-applications != first {
			t.Fatal("two applications")
		}
	}
}
