package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// patience is how long what should happen may take on a busy machine.
const patience = 2 * time.Minute

// cluster is an API server, and an account of the operator that has rights where it is given them.
type cluster struct {
	client.Client
	kubeconfig string
	gini       string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	g.Expect(api.AddToScheme(scheme)).To(Succeed())
	environment := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "..", "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	config, err := environment.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = environment.Stop() })
	c := &cluster{kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	c.Client, err = client.New(config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	account, err := environment.AddUser(envtest.User{Name: "operator"}, config)
	g.Expect(err).NotTo(HaveOccurred())
	content, err := account.KubeConfig()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(c.kubeconfig, content, 0o600)).To(Succeed())
	gini := emulator.New(emulator.WithClient("acme", "s3cr3t"))
	c.gini, err = gini.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(gini.Close)
	return c
}

// operatorRules are the operator's rights, and those to leases as well.
func operatorRules(g *WithT) (rules []rbacv1.PolicyRule) {
	for _, file := range []string{"role.yaml", "leader_election_role.yaml"} {
		content, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", file))
		g.Expect(err).NotTo(HaveOccurred())
		var role rbacv1.ClusterRole
		g.Expect(yaml.Unmarshal(content, &role)).To(Succeed())
		rules = append(rules, role.Rules...)
	}
	return rules
}

// give gives the operator its rights in a namespace.
func (c *cluster) give(ctx context.Context, g *WithT, namespace string) {
	named := metav1.ObjectMeta{Namespace: namespace, Name: "operator"}
	g.Expect(c.Create(ctx, &rbacv1.Role{ObjectMeta: named, Rules: operatorRules(g)})).To(Succeed())
	g.Expect(c.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: named, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "operator"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "operator"}},
	})).To(Succeed())
}

// client makes a GiniClient in a namespace, and user a user of one.
func (c *cluster) client(ctx context.Context, g *WithT, namespace string) {
	g.Expect(c.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme"}, StringData: map[string]string{"client-id": "acme", "client-secret": "s3cr3t"},
	})).To(Succeed())
	g.Expect(c.Create(ctx, &api.GiniClient{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme"},
		Spec: api.GiniClientSpec{
			CredentialsSecretRef: api.ClientCredentialsReference{Name: "acme"},
			Endpoints: &api.Endpoints{
				PayAPI: &api.PayAPIEndpoint{Endpoint: api.Endpoint{URL: c.gini}}, UserCenter: &api.Endpoint{URL: c.gini},
			},
		},
	})).To(Succeed())
}

func (c *cluster) user(ctx context.Context, g *WithT, namespace, name string, of api.ClientReference) {
	g.Expect(c.Create(ctx, &api.GiniUser{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: api.GiniUserSpec{
			ClientRef: of, Derived: &api.DerivedUser{Identifier: name, Auth: api.BasicAuth},
			Devices: api.Devices{Untrusted: &api.UntrustedDeviceSpec{
				Secret: api.UntrustedSecret{TargetSecret: api.TargetSecret{Name: api.ObjectName(name)}},
			}},
		},
	})).To(Succeed())
}

// ready is the reason why a user is Ready or not; empty if nothing was said yet.
func (c *cluster) ready(ctx context.Context, namespace, name string) func() string {
	return func() string {
		user := &api.GiniUser{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, user); err != nil {
			return err.Error()
		}
		for _, condition := range user.Status.Conditions {
			if condition.Type == api.ConditionReady {
				return string(condition.Status) + " " + condition.Reason
			}
		}
		return ""
	}
}

// replica is an operator that tells others how it is.
type replica struct {
	*program
	metrics, probes, jwks string
}

func (c *cluster) begin(t *testing.T, flags ...string) replica {
	t.Helper()
	r := replica{metrics: freeAddress(t), probes: freeAddress(t), jwks: freeAddress(t)}
	r.program = begin(t, []string{asProgram + "=fast"}, append([]string{
		"--kubeconfig=" + c.kubeconfig, "--allowed-hosts=" + c.gini,
		"--metrics-bind-address=" + r.metrics, "--health-probe-bind-address=" + r.probes, "--jwks-bind-address=" + r.jwks,
	}, flags...)...)
	return r
}

// page is what is read at a URL.
func page(ctx context.Context, url string) func() string {
	return func() string { return get(ctx, "http://"+url) }
}

// TestNamespaces: a namespace that cannot be read stops no other one, and is served when it can be read. A program starts over for
// that in the same process, and hands its lease over: nobody would get it else for an hour. One that can no longer be read stops nobody either.
func TestNamespaces(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	g.SetDefaultEventuallyTimeout(patience)
	c := newCluster(t)
	c.give(ctx, g, "default")
	c.client(ctx, g, "default")
	c.user(ctx, g, "default", "alice", api.ClientReference{Name: "acme"})
	c.user(ctx, g, "default", "carol", api.ClientReference{Namespace: "absent", Name: "acme"})
	flags := []string{
		"--watch-namespaces=absent,default", "--leader-elect", "--leader-elect-namespace=default", "--leader-elect-lease-duration=1h",
	}
	replicas := []replica{c.begin(t, flags...), c.begin(t, flags...)}
	readable := func(namespace, value string) {
		t.Helper()
		for _, r := range replicas {
			g.Eventually(page(ctx, r.metrics+"/metrics")).Should(ContainSubstring("gini_namespace_readable{namespace=%q} %s\n", namespace, value))
			g.Eventually(page(ctx, r.probes+"/readyz")).Should(HavePrefix("200 "))
		}
	}

	g.Eventually(c.ready(ctx, "default", "alice")).Should(Equal("True CredentialsReady"))
	g.Eventually(c.ready(ctx, "default", "carol")).Should(Equal("False ClientNotGranted"))
	readable("absent", "0")
	readable("default", "1")
	for _, r := range replicas {
		g.Expect(r.said()).To(MatchRegexp(`"level":"error".*"namespace":"absent","missing":"list giniclients in namespace absent"`))
		g.Eventually(page(ctx, r.jwks+"/absent/acme/jwks.json")).Should(HavePrefix("503 "))
		g.Eventually(page(ctx, r.jwks+"/elsewhere/acme/jwks.json")).Should(HavePrefix("404 "))
	}

	t.Log("the namespace and the rights come")
	g.Expect(c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "absent"}})).To(Succeed())
	c.client(ctx, g, "absent")
	c.user(ctx, g, "absent", "bob", api.ClientReference{Name: "acme"})
	c.give(ctx, g, "absent")
	for _, r := range replicas {
		g.Eventually(r.said).Should(ContainSubstring("A namespace can be read that could not be"))
	}
	g.Eventually(c.ready(ctx, "absent", "bob")).Should(Equal("True CredentialsReady"))
	readable("absent", "1")

	t.Log("the rights go")
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "absent", Name: "operator"}}
	g.Expect(c.Delete(ctx, binding)).To(Succeed())
	readable("absent", "0")
	c.user(ctx, g, "default", "dora", api.ClientReference{Name: "acme"})
	g.Eventually(c.ready(ctx, "default", "dora")).Should(Equal("True CredentialsReady"))
	for _, r := range replicas {
		g.Expect(r.said()).To(ContainSubstring("can no longer be read"))
		g.Expect(r.process.Signal(syscall.SIGTERM)).To(Succeed())
		g.Eventually(r.ended).Should(Receive(BeNil()))
	}
}

// TestNoNamespace: an operator that can read nothing is ready, so that no rollout waits for it, and says what is missing.
func TestNoNamespace(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	g.SetDefaultEventuallyTimeout(patience)
	c := newCluster(t)
	p := c.begin(t, "--watch-namespaces=default", "--nudge-pods")
	g.Eventually(page(ctx, p.probes+"/readyz")).Should(HavePrefix("200 "))
	g.Expect(page(ctx, p.metrics+"/metrics")()).To(ContainSubstring(`gini_namespace_readable{namespace="default"} 0`))
	g.Expect(p.said()).To(ContainSubstring("list giniclients in namespace default"))

	c.client(ctx, g, "default")
	c.user(ctx, g, "default", "alice", api.ClientReference{Name: "acme"})
	c.give(ctx, g, "default")
	g.Eventually(c.ready(ctx, "default", "alice")).Should(Equal("True CredentialsReady"))
	g.Expect(p.process.Signal(syscall.SIGTERM)).To(Succeed())
	g.Eventually(p.ended).Should(Receive(BeNil()))
}

// TestForbidden: an operator of all namespaces that may not read a kind of objects is not ready, and an error in its log says which.
func TestForbidden(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	g.SetDefaultEventuallyTimeout(patience)
	c := newCluster(t)
	rules := operatorRules(g)
	for i := range rules {
		rules[i].Resources = slices.DeleteFunc(rules[i].Resources, func(resource string) bool { return resource == "configmaps" })
	}
	everywhere := metav1.ObjectMeta{Name: "operator"}
	g.Expect(c.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: everywhere, Rules: rules})).To(Succeed())
	g.Expect(c.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: everywhere, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "operator"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "operator"}},
	})).To(Succeed())
	p := c.begin(t)
	g.Eventually(p.said).Should(MatchRegexp(`"level":"error".*configmaps is forbidden`))
	g.Expect(page(ctx, p.probes+"/readyz")()).To(HavePrefix("500 "))
}
