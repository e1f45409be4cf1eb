package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	operatorNamespace = "gini-operator-system"
	giniNamespace     = "gini-emulators"
	teamNamespace     = "team"

	clientID, clientSecret = "acme", "s3cr3t-of-the-emulator"
)

// gini is an emulated Gini that runs as a pod, with its own reading of how tokens behave.
type gini struct {
	name     string
	mode     emulator.TokenMode
	lifetime time.Duration
	// nudged is whether the GiniUsers of it have pods nudged.
	nudged bool
}

func (g gini) url() string { return fmt.Sprintf("http://%s.%s.svc:8080", g.name, giniNamespace) }

// The Ginis of the long run; calm is one whose tokens are not renewed while it lasts.
var (
	fresh  = gini{"fresh", emulator.Fresh, time.Minute, true}
	alone  = gini{"alone", emulator.Fresh, 4 * time.Minute, false}
	sticky = gini{"sticky", emulator.Sticky, time.Minute, true}
	ending = gini{"ending", emulator.FreshEndsOld, time.Minute, true}
	calm   = gini{"calm", emulator.Fresh, 12 * time.Hour, false}
	ginis  = []gini{fresh, alone, sticky, ending, calm}
)

// allowedHosts are what the operator may speak to.
func allowedHosts() string {
	urls := make([]string, 0, len(ginis))
	for _, g := range ginis {
		urls = append(urls, g.url())
	}
	return strings.Join(urls, ",")
}

// restricted is what the strictest Pod Security Standard asks for.
func restricted() (*corev1.PodSecurityContext, *corev1.SecurityContext) {
	return &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		&corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}
}

// deployment runs one container under the restricted standard.
func deployment(namespace, name, image string, arguments []string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	pod, container := restricted()
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					SecurityContext: pod, AutomountServiceAccountToken: ptr.To(false), TerminationGracePeriodSeconds: ptr.To(int64(5)),
					Containers: []corev1.Container{{
						Name: name, Image: image, Args: arguments, SecurityContext: container,
						Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
						ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080)}}},
					}},
				},
			},
		},
	}
}

// emulatorObjects are a Gini's Deployment and Service.
func (g gini) objects() []client.Object {
	run := deployment(giniNamespace, g.name, image("gini-emulator", version), []string{
		"--client=" + clientID + ":" + clientSecret, "--token-lifetime=" + g.lifetime.String(), "--login-mode=" + string(g.mode), "--user-center-mode=" + string(g.mode),
	})
	return []client.Object{run, &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: giniNamespace, Name: g.name},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": g.name}, Ports: []corev1.ServicePort{{Name: "http", Port: 8080}}},
	}}
}

// giniClient is the GiniClient for a Gini, and its credentials.
func (g gini) giniClient(namespace string) []client.Object {
	return []client.Object{
		&corev1.Secret{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: g.name + "-gini"},
			StringData: map[string]string{api.DefaultClientIDKey: clientID, api.DefaultClientSecretKey: clientSecret},
		},
		&api.GiniClient{
			TypeMeta: metav1.TypeMeta{APIVersion: api.GroupVersion.String(), Kind: "GiniClient"}, ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: g.name},
			Spec: api.GiniClientSpec{
				CredentialsSecretRef: api.ClientCredentialsReference{Name: api.ObjectName(g.name + "-gini")},
				Endpoints:            &api.Endpoints{PayAPI: &api.PayAPIEndpoint{Endpoint: api.Endpoint{URL: g.url()}}, UserCenter: &api.Endpoint{URL: g.url()}},
				AnonymousUsers:       &api.AnonymousUsers{EmailDomain: "users.acme.example"},
			},
		},
	}
}

// user is a GiniUser of a Gini with an untrusted device.
func (g gini) user(namespace, name string, anonymous bool) *api.GiniUser {
	user := &api.GiniUser{
		TypeMeta: metav1.TypeMeta{APIVersion: api.GroupVersion.String(), Kind: "GiniUser"}, ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: api.GiniUserSpec{
			ClientRef: api.ClientReference{Name: api.ObjectName(g.name)},
			Devices: api.Devices{Untrusted: &api.UntrustedDeviceSpec{
				Secret: api.UntrustedSecret{TargetSecret: api.TargetSecret{Name: api.ObjectName(name + "-token")}},
			}},
		},
	}
	if g.nudged {
		user.Spec.Devices.Untrusted.NudgePods = ptr.To(true)
	}
	if anonymous {
		user.Spec.Anonymous = &api.AnonymousUser{AccountSecret: api.AccountSecret{Name: api.ObjectName(name + "-account")}}
	} else {
		user.Spec.Derived = &api.DerivedUser{Identifier: name, Auth: api.BasicAuth}
	}
	return user
}

// consumer is a Deployment whose pod mounts Secrets and uses each of them once a second, read as plain files or through pkg/tokenfile.
func (g gini) consumer(mode string, secrets ...string) *appsv1.Deployment {
	arguments := []string{"--gini-url=" + g.url(), "--mode=" + mode}
	run := deployment(teamNamespace, g.name+"-"+mode, image("gini-consumer", version), nil)
	pod := &run.Spec.Template.Spec
	for _, secret := range secrets {
		arguments = append(arguments, "--dir="+secret+"=/var/run/gini/"+secret)
		pod.Volumes = append(pod.Volumes, corev1.Volume{
			Name: secret, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}},
		})
		pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts, corev1.VolumeMount{Name: secret, MountPath: "/var/run/gini/" + secret, ReadOnly: true})
	}
	pod.Containers[0].Args = arguments
	return run
}

// apply applies objects in one go, as kubectl apply does with one file.
func apply(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	var documents []string
	for _, object := range objects {
		document, err := yaml.Marshal(object)
		Expect(err).NotTo(HaveOccurred())
		documents = append(documents, string(document))
	}
	run(ctx, strings.Join(documents, "---\n"), kubectl, "apply", "-f", "-")
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}},
	}
}

// ready is why a GiniUser is ready, or is not.
func ready(ctx context.Context, key types.NamespacedName) string {
	user := &api.GiniUser{}
	if err := k8s.Get(ctx, key, user); err != nil {
		return err.Error()
	}
	found := meta.FindStatusCondition(user.Status.Conditions, api.ConditionReady)
	if found == nil {
		return "no Ready yet"
	}
	return fmt.Sprintf("%s %s", found.Status, found.Reason)
}

const well = "True " + api.ReasonCredentialsReady

func awaitReady(ctx context.Context, namespace string, names ...string) {
	GinkgoHelper()
	for _, name := range names {
		Eventually(ready).WithArguments(ctx, types.NamespacedName{Namespace: namespace, Name: name}).
			WithTimeout(soon).WithPolling(look).Should(Equal(well), name)
	}
}

// ledger is what a Gini has counted.
func (g gini) ledger(ctx context.Context) *emulator.Ledger {
	GinkgoHelper()
	ledger := &emulator.Ledger{}
	proxied(ctx, "services", giniNamespace, g.name, "ledger", ledger)
	return ledger
}

// counts are what a consumer has counted of one Secret.
type counts struct {
	Uses, Accepted, Unanswered, Unreadable, DistinctTokens int

	Refused map[string]int
	Tokens  []struct {
		Fingerprint string
		WrittenAt   time.Time
	}
}

// consumed is what a consumer has counted, by Secret, in its one pod.
func consumed(ctx context.Context, name string) map[string]counts {
	GinkgoHelper()
	var pods corev1.PodList
	Expect(k8s.List(ctx, &pods, client.InNamespace(teamNamespace), client.MatchingLabels{"app": name})).To(Succeed())
	Expect(pods.Items).To(HaveLen(1), "%s must not have been restarted: its counts are in memory", name)
	found := map[string]counts{}
	proxied(ctx, "pods", teamNamespace, pods.Items[0].Name, "counts", &found)
	return found
}

// proxied asks a pod or a Service through the API server, which works from wherever the cluster can be reached.
func proxied(ctx context.Context, resource, namespace, name, path string, into any) {
	GinkgoHelper()
	var answer []byte
	Eventually(func() (err error) {
		answer, err = typed.CoreV1().RESTClient().Get().Namespace(namespace).Resource(resource).Name(name + ":8080").SubResource("proxy").Suffix(path).DoRaw(ctx)
		return err
	}).WithTimeout(soon).WithPolling(look).Should(Succeed(), "%s %s/%s", resource, namespace, name)
	Expect(json.Unmarshal(answer, into)).To(Succeed())
}
