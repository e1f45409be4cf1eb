package operator_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/operator"
)

// seedVariable names the environment variable with another seed for the generated objects.
const seedVariable = "ABSURD_SEED"

// slot is one object to be made, of the first generated spec that the API server takes.
type slot struct {
	number          int
	kind            string
	degree          degree
	namespace, name string
}

// quotas are how many objects of each kind there are.
var quotas = []struct {
	kind   string
	degree degree
	count  int
}{
	{"GiniClient", minimal, 50}, {"GiniClient", full, 70}, {"GiniClient", absurd, 80},
	{"GiniUser", minimal, 280}, {"GiniUser", full, 220}, {"GiniUser", absurd, 300},
}

// slots are as many as the quotas want, under short and long names. Some absurd users are elsewhere.
func slots(namespace, elsewhere string) []slot {
	var all []slot
	for _, quota := range quotas {
		for range quota.count {
			next := slot{number: len(all), kind: quota.kind, degree: quota.degree, namespace: namespace}
			next.name = fmt.Sprintf("%s-%04d", strings.ToLower(strings.TrimPrefix(quota.kind, "Gini")), next.number)
			lengths := map[int]int{7: 63}
			if quota.kind == "GiniClient" {
				lengths = map[int]int{6: 63, 7: 64, 8: 253}
			}
			if length := lengths[next.number%10]; length > 0 {
				next.name += long(length-len(next.name), "x")
			}
			if next.number%10 == 9 {
				next.name += ".a.0"
			}
			if quota.degree == absurd && quota.kind == "GiniUser" && next.number%5 == 0 {
				next.namespace = elsewhere
			}
			all = append(all, next)
		}
	}
	return all
}

// atOnce runs something for many items, 32 of them at a time.
func atOnce[T any](items []T, run func(T)) {
	queue := make(chan T)
	var waiting sync.WaitGroup
	for range 32 {
		waiting.Go(func() {
			for item := range queue {
				func() {
					defer GinkgoRecover()
					run(item)
				}()
			}
		})
	}
	for _, item := range items {
		queue <- item
	}
	close(queue)
	waiting.Wait()
}

// populated makes all objects at once. What is refused is generated again, differently; it returns how much was.
func populated(ctx context.Context, seed uint64, all []slot, vocabulary map[string]word) (refused int64) {
	schemas := map[string]schema{"GiniClient": specOf("GiniClient"), "GiniUser": specOf("GiniUser")}
	var total atomic.Int64
	atOnce(all, func(next slot) {
		tries, err := next.create(ctx, seed, schemas[next.kind], vocabulary)
		Expect(err).NotTo(HaveOccurred(), "%s %s", next.kind, next.name)
		total.Add(int64(tries))
	})
	return total.Load()
}

// longestSearch is how many specs are tried for one slot.
const longestSearch = 300

func (s slot) create(ctx context.Context, seed uint64, spec schema, vocabulary map[string]word) (refused int, err error) {
	for attempt := range longestSearch {
		err = k8s.Create(ctx, s.generated(seed, attempt, spec, vocabulary))
		if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) && !apierrors.IsRequestEntityTooLargeError(err) {
			return attempt, err
		}
	}
	return longestSearch, err
}

// generated is always the same for a seed.
func (s slot) generated(seed uint64, attempt int, spec schema, vocabulary map[string]word) *unstructured.Unstructured {
	source := mathrand.NewPCG(seed, uint64(s.number*longestSearch+attempt))
	g := &generator{random: mathrand.New(source), degree: s.degree, words: words{name: s.name, vocabulary: vocabulary}}
	switch s.degree {
	case full:
		g.density = 0.8
	case absurd:
		g.density = pick(g, []float64{0.1, 0.4, 0.6, 0.9, 1})
	}
	object := &unstructured.Unstructured{Object: map[string]any{"spec": g.value(spec, "spec")}}
	object.SetGroupVersionKind(api.GroupVersion.WithKind(s.kind))
	object.SetNamespace(s.namespace)
	object.SetName(s.name)
	object.SetLabels(map[string]string{"degree": string(s.degree)})
	if s.degree == absurd && g.chance(0.3) {
		text := pick(g, odd)
		object.SetAnnotations(map[string]string{api.RefreshRequestedAnnotation: text, api.KeyRollRequestedAnnotation: text})
	}
	return object
}

// oddSecrets are what the generated objects name, in a namespace, among them what is there already with somebody else's content.
func oddSecrets(namespace string, users []string) []client.Object {
	key, certificate := keyPair()
	everywhere := func(value []byte) map[string][]byte {
		data := map[string][]byte{}
		for _, name := range []string{"client-id", "client-secret", "identifier", "ca.crt", "tls.key", "next.key", "email", "password", "user_id", "access_token"} {
			data[name] = value
		}
		return data
	}
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	good := everywhere([]byte("team-a-8f1c"))
	good["client-id"], good["client-secret"], good["ca.crt"], good["tls.key"], good["next.key"] = []byte("acme"), []byte("s3cr3t"), certificate, key, key
	terminating := named("terminating")
	terminating.Finalizers = []string{"acme.example/stay"}
	huge := bytes.Repeat(certificate, 450_000/len(certificate))
	objects := []client.Object{
		&corev1.Secret{ObjectMeta: named("good"), Data: good},
		&corev1.Secret{ObjectMeta: named("identifiers"), Data: good},
		&corev1.Secret{ObjectMeta: named("authority"), Data: good},
		&corev1.ConfigMap{ObjectMeta: named("authority"), Data: map[string]string{"ca.crt": string(certificate)}},
		&corev1.Secret{ObjectMeta: named("empty")},
		&corev1.ConfigMap{ObjectMeta: named("empty")},
		&corev1.Secret{ObjectMeta: named("binary"), Data: everywhere([]byte("\x00\xff\xfe\n\r\x80"))},
		&corev1.ConfigMap{ObjectMeta: named("binary"), BinaryData: map[string][]byte{"ca.crt": []byte("\x00\xff")}},
		&corev1.Secret{ObjectMeta: named("huge"), Data: map[string][]byte{"ca.crt": huge, "tls.key": huge, "client-id": []byte("acme"), "client-secret": []byte(long(1024, "s"))}},
		&corev1.Secret{ObjectMeta: named("typed"), Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": []byte("x"), "tls.key": []byte(long(1024, "-----BEGIN "))}},
		&corev1.Secret{ObjectMeta: named("immutable"), Data: everywhere([]byte("text\n")), Immutable: ptr.To(true)},
		&corev1.Secret{ObjectMeta: terminating, Data: good},
	}
	for number, user := range users { // what the operator is to believe that it has made, or may take over
		device := []string{"untrusted", "trusted", "account", "signing-key", "", "nonsense"}[number%6]
		suffix := []string{"-untrusted", "-trusted", "-account"}[number%3]
		forged := named(user + suffix)
		switch number % 4 {
		case 0:
			forged.Labels = map[string]string{api.AdoptByLabel: user}
		default:
			forged.Labels = map[string]string{api.ManagedByLabel: api.ManagedByValue, api.UserLabel: user, api.DeviceLabel: device}
		}
		forged.Annotations = map[string]string{}
		for at, name := range []string{
			api.ObtainedAtAnnotation, api.ExpiresAtAnnotation, api.EndsByAnnotation, api.RefreshAtAnnotation, api.IssuedForAnnotation, api.IssuedByAnnotation,
			api.FingerprintAnnotation, api.TemplateAnnotation, api.RecordAnnotation, api.AppliedLabelsAnnotation, api.AppliedAnnotationsAnnotation,
		} {
			forged.Annotations[name] = append([]string{"9999-12-31T23:59:59.999Z", "0000-01-01T00:00:00Z", ",,,"}, odd...)[(number+at)%(len(odd)+3)]
		}
		data := []map[string][]byte{good, nil, everywhere([]byte("\x00")), everywhere(nil)}[number%4]
		kind := []corev1.SecretType{corev1.SecretTypeOpaque, "", "acme.example/odd"}[number%3]
		objects = append(objects, &corev1.Secret{ObjectMeta: forged, Data: data, Type: kind, Immutable: ptr.To(number%5 == 0)})
	}
	return objects
}

// keyPair is a private key and its certificate in PEM.
func keyPair() (key, certificate []byte) {
	GinkgoHelper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	Expect(err).NotTo(HaveOccurred())
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})
}

// witness watches an operator from outside: what it logs of panics, and what of its requests the API server cannot make sense of.
type witness struct {
	mu       sync.Mutex
	panics   []string
	nonsense []string
}

// log passes on what is logged of errors, and notes panics.
func (w *witness) log() logr.Logger {
	return funcr.New(func(prefix, line string) {
		if strings.HasPrefix(line, `"level"`) { // not an error
			return
		}
		_, _ = fmt.Fprintln(GinkgoWriter, prefix, line)
		if strings.Contains(strings.ToLower(line), "panic") {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.panics = append(w.panics, line)
		}
	}, funcr.Options{})
}

// wrap notes requests that no repetition will make good.
func (w *witness) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		switch response.StatusCode {
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusInternalServerError:
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil {
				return nil, err
			}
			response.Body = io.NopCloser(bytes.NewReader(body))
			w.mu.Lock()
			defer w.mu.Unlock()
			w.nonsense = append(w.nonsense, fmt.Sprintf("%s %s: %.700q", request.Method, request.URL.Path, body))
		}
		return response, nil
	})
}

// expectNoPanic asks what recovers panics: controller-runtime in reconciles, lanes in what talks to Gini.
func (w *witness) expectNoPanic() {
	GinkgoHelper()
	w.mu.Lock()
	defer w.mu.Unlock()
	Expect(strings.Join(w.panics, "\n")).To(BeEmpty(), "panics that were logged")
	Expect(panicsByController()).To(Equal(map[string]int{"giniuser": 0, "giniclient": 0, "jwks": 0, "pod": 0, "workload": 0}), "panics in reconciles")
}

// expectSense asks whether every request was one that the API server could grant.
func (w *witness) expectSense() {
	GinkgoHelper()
	w.mu.Lock()
	defer w.mu.Unlock()
	Expect(strings.Join(w.nonsense, "\n")).To(BeEmpty(), "requests that the API server refuses for ever")
}

// operateOn runs an operator on the real clock that a witness watches, with a server of JWK Sets, until stop is called.
func (w *world) operateOn(watched *witness) (ended <-chan error, stop func()) {
	GinkgoHelper()
	options := operator.ManagerOptions(scheme)
	options.Metrics = metricsserver.Options{BindAddress: "0"}
	options.HealthProbeBindAddress = "0"
	options.Controller.SkipNameValidation = ptr.To(true)
	options.Logger = watched.log()
	connection := rest.CopyConfig(restConfig)
	connection.Wrap(watched.wrap)
	mgr, err := ctrl.NewManager(connection, options)
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	Expect(operator.AddTo(ctx, mgr, operator.Options{
		AllowedHosts: []string{w.url}, JWKSAddress: "127.0.0.1:0", Metrics: prometheus.NewRegistry(),
		NudgePods: true, RolloutRestarts: true,
	})).To(Succeed())
	result := make(chan error, 1)
	go func() { result <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		Eventually(result).WithTimeout(time.Minute).Should(Receive(BeNil()))
	})
	DeferCleanup(stop)
	return result, stop
}

// panicsByController are the panics in this process that controller-runtime has counted.
func panicsByController() map[string]int {
	GinkgoHelper()
	families, err := ctrlmetrics.Registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	counts := map[string]int{}
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_panics_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "controller" {
					counts[label.GetValue()] = int(metric.GetCounter().GetValue())
				}
			}
		}
	}
	return counts
}

// removeAll deletes all that is in namespaces.
func removeAll(ctx context.Context, namespaces ...string) {
	GinkgoHelper()
	for _, namespace := range namespaces {
		for _, object := range []client.Object{&api.GiniUser{}, &api.GiniClient{}, &corev1.Secret{}, &corev1.ConfigMap{}} {
			Expect(k8s.DeleteAllOf(ctx, object, client.InNamespace(namespace))).To(Succeed())
		}
		terminating := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "terminating"}}
		unhold := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		Expect(client.IgnoreNotFound(k8s.Patch(ctx, terminating, unhold))).To(Succeed())
	}
}

// expectStatus waits until the status of an object speaks of its spec, for one of some reasons, or for any; it returns that.
func expectStatus(ctx context.Context, of slot, reasons ...string) string {
	GinkgoHelper()
	var (
		object     client.Object
		conditions *[]metav1.Condition
	)
	if of.kind == "GiniUser" {
		user := &api.GiniUser{}
		object, conditions = user, &user.Status.Conditions
	} else {
		giniClient := &api.GiniClient{}
		object, conditions = giniClient, &giniClient.Status.Conditions
	}
	var reason string
	Eventually(func(g Gomega) {
		*conditions = nil
		g.Expect(k8s.Get(ctx, client.ObjectKey{Namespace: of.namespace, Name: of.name}, object)).To(Succeed())
		found := meta.FindStatusCondition(*conditions, api.ConditionReady)
		g.Expect(found).NotTo(BeNil())
		g.Expect(found.ObservedGeneration).To(Equal(object.GetGeneration()))
		reason = found.Reason
		if len(reasons) > 0 {
			g.Expect(reasons).To(ContainElement(reason), found.Message)
		}
	}).WithTimeout(absurdPatience).WithPolling(100*time.Millisecond).Should(Succeed(), func() string {
		object.SetManagedFields(nil)
		text, _ := yaml.Marshal(object)
		return fmt.Sprintf("%s %s:\n%.20000s", of.kind, of.name, text)
	})
	return reason
}

// known are the resource versions of Secrets, by their UIDs.
func known(ctx context.Context, namespaces ...string) map[types.UID]string {
	GinkgoHelper()
	versions := map[types.UID]string{}
	for _, found := range secretsIn(ctx, namespaces...) {
		versions[found.UID] = found.ResourceVersion
	}
	return versions
}

func secretsIn(ctx context.Context, namespaces ...string) []corev1.Secret {
	GinkgoHelper()
	var all []corev1.Secret
	for _, namespace := range namespaces {
		var list corev1.SecretList
		Expect(k8s.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
		all = append(all, list.Items...)
	}
	return all
}

// heirs are what may be left of users: their UIDs, as owners whose Secrets the garbage collector takes, which does not run here, and the
// names of the Secrets that they wanted to be retained.
func heirs(ctx context.Context, namespaces ...string) (owners map[types.UID]bool, retained map[types.NamespacedName]bool) {
	GinkgoHelper()
	owners, retained = map[types.UID]bool{}, map[types.NamespacedName]bool{}
	for _, namespace := range namespaces {
		var users api.GiniUserList
		Expect(k8s.List(ctx, &users, client.InNamespace(namespace))).To(Succeed())
		for _, user := range users.Items {
			owners[user.UID] = true
			if device := user.Spec.Devices.Untrusted; device != nil && device.Secret.DeletionPolicy == api.RetainSecret {
				retained[types.NamespacedName{Namespace: namespace, Name: string(device.Secret.Name)}] = true
			}
		}
	}
	return owners, retained
}

// leftover says what is wrong with a Secret of ours that nobody wants any more; "" where it is to be left.
func leftover(
	found *corev1.Secret, owners map[types.UID]bool, retained map[types.NamespacedName]bool,
) string {
	device, owner := found.Labels[api.DeviceLabel], metav1.GetControllerOf(found)
	switch {
	case owner != nil && owner.Kind == "GiniUser" && owners[owner.UID]:
	case owner == nil && (device == "account" || device == "signing-key"):
	case owner == nil && device == "untrusted" && retained[client.ObjectKeyFromObject(found)]:
	default:
		return fmt.Sprintf("%s/%s of %q, owned by %v", found.Namespace, found.Name, device, owner)
	}
	return ""
}

// absurdPatience is for a slow machine: that it comes at all is what is tested.
const absurdPatience = 2 * time.Minute

func absurdSeed() uint64 {
	GinkgoHelper()
	text := os.Getenv(seedVariable)
	if text == "" {
		return 1
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	Expect(err).NotTo(HaveOccurred(), seedVariable)
	return seed
}

var _ = Describe("A thousand objects that only the schema approves of", func() {
	It("neither stop nor hold up the operator, and each is told how it is (R3.9)", func(ctx SpecContext) {
		seed := absurdSeed()
		AddReportEntry(fmt.Sprintf("generated with %s=%d", seedVariable, seed), ReportEntryVisibilityFailureOrVerbose)
		w := newWorld(ctx)
		other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "elsewhere-", Labels: map[string]string{"team": "a"}}}
		Expect(k8s.Create(ctx, other)).To(Succeed())
		DeferCleanup(removeAll, w.namespace, other.Name)

		all := slots(w.namespace, other.Name)
		speakOf := cast{
			url: w.url, namespace: w.namespace, elsewhere: other.Name,
			secrets: []string{"good", "authority", "identifiers", "empty", "binary", "huge", "typed", "immutable", "terminating", "absent-1", "absent-2"},
		}
		for _, next := range all {
			switch {
			case next.kind == "GiniUser":
				speakOf.users = append(speakOf.users, next.name)
			case next.degree == full:
				speakOf.sensible = append(speakOf.sensible, next.name)
				fallthrough
			default:
				speakOf.clients = append(speakOf.clients, next.name)
			}
		}
		for _, namespace := range []string{w.namespace, other.Name} {
			for _, object := range oddSecrets(namespace, speakOf.users[250:320]) {
				w.create(ctx, object)
			}
			Expect(k8s.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "terminating"}})).To(Succeed())
		}

		theirs := known(ctx, w.namespace, other.Name)
		watched := &witness{}
		ended, stop := w.operateOn(watched)
		refused := populated(ctx, seed, all, speakOf.vocabulary())
		AddReportEntry(fmt.Sprintf("%d specs were refused", refused), ReportEntryVisibilityFailureOrVerbose)

		By("a client and its users that come last are served")
		late := &api.GiniClient{}
		Expect(k8s.Get(ctx, w.key("acme"), late)).To(Succeed())
		late.ObjectMeta = w.named("late")
		w.create(ctx, late)
		for _, user := range []*api.GiniUser{w.derived("healthy"), w.anonymous("nameless")} {
			user.Spec.ClientRef.Name = "late"
			w.create(ctx, user)
		}
		for _, name := range []string{"healthy", "nameless"} {
			expectStatus(ctx, slot{kind: "GiniUser", namespace: w.namespace, name: name}, api.ReasonCredentialsReady)
		}
		watched.expectNoPanic() // who was reconciled in vain waits for a status in vain

		By("each object has a status")
		reasons := map[string]int{}
		for _, next := range all {
			reasons[next.kind+" "+expectStatus(ctx, next)]++
		}
		AddReportEntry(fmt.Sprintf("reasons: %v", reasons), ReportEntryVisibilityFailureOrVerbose)
		for _, quota := range quotas {
			list := &metav1.PartialObjectMetadataList{}
			list.SetGroupVersionKind(api.GroupVersion.WithKind(quota.kind + "List"))
			Expect(k8s.List(ctx, list, client.MatchingLabels{"degree": string(quota.degree)})).To(Succeed())
			Expect(list.Items).To(HaveLen(quota.count), "%s %s", quota.degree, quota.kind)
		}
		Expect(len(reasons)).To(BeNumerically(">", 20), "they come to different ends")
		Expect(reasons["GiniUser "+api.ReasonCredentialsReady]).To(BeNumerically(">", 10), "some of them get as far as Gini")

		owners, retained := heirs(ctx, w.namespace, other.Name)
		By("all of them go at once")
		atOnce(all, func(next slot) {
			object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: next.namespace, Name: next.name}}
			object.SetGroupVersionKind(api.GroupVersion.WithKind(next.kind))
			Expect(k8s.Delete(ctx, object)).To(Succeed())
		})

		By("the operator has run all the time, and stops well")
		Expect(ended).NotTo(Receive())
		stop()
		watched.expectNoPanic()
		watched.expectSense()

		By("nothing is left but what is to be")
		for _, kind := range []string{"GiniUser", "GiniClient"} {
			list := &metav1.PartialObjectMetadataList{}
			list.SetGroupVersionKind(api.GroupVersion.WithKind(kind + "List"))
			Expect(k8s.List(ctx, list, client.HasLabels{"degree"})).To(Succeed())
			Expect(list.Items).To(BeEmpty(), "nothing holds up a deletion")
		}
		var left []string
		ours := map[string]int{}
		for _, found := range secretsIn(ctx, w.namespace, other.Name) {
			Expect(found.Finalizers).To(Or(BeEmpty(), Equal([]string{"acme.example/stay"})))
			if found.Labels[api.ManagedByLabel] != api.ManagedByValue || theirs[found.UID] == found.ResourceVersion {
				continue
			}
			ours[found.Labels[api.DeviceLabel]]++
			if wrong := leftover(&found, owners, retained); wrong != "" {
				left = append(left, wrong)
			}
		}
		AddReportEntry(fmt.Sprintf("Secrets of ours by device: %v", ours), ReportEntryVisibilityFailureOrVerbose)
		Expect(left).To(BeEmpty())
		Expect(ours).To(And(HaveKey("untrusted"), HaveKey("account"), HaveKey("signing-key")), "there are some to judge")
	})
})
