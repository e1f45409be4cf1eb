package operator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/operator/operatortest"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const issuer = "https://id.acme.example"

// signs makes the operator the identity provider of the client.
func (w *world) signs(ctx context.Context) {
	GinkgoHelper()
	update(ctx, w.key("acme"), &api.GiniClient{}, func(object *api.GiniClient) {
		object.Spec.IdentityProvider = &api.IdentityProvider{Signer: &api.Signer{
			Issuer: issuer, Algorithm: "ES256", Key: api.SigningKey{Managed: &api.ManagedKey{SecretName: "acme-key"}},
		}}
	})
}

func (w *world) path() string { return "/" + w.namespace + "/acme/jwks.json" }

// served is what an operator answers: the ids of the keys in the set, else the status.
func served(ctx context.Context, address, path string) func() []string {
	return func() []string {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
		Expect(err).NotTo(HaveOccurred())
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return []string{"no answer"}
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return []string{response.Status}
		}
		content, err := io.ReadAll(response.Body)
		Expect(err).NotTo(HaveOccurred())
		var set struct {
			Keys []map[string]string `json:"keys"`
		}
		Expect(json.Unmarshal(content, &set)).To(Succeed())
		var kids []string
		for _, key := range set.Keys {
			kids = append(kids, key["kid"])
		}
		return kids
	}
}

// kids are the ids of the keys that the status tells of.
func (w *world) kids(ctx context.Context) func() []string {
	return func() []string {
		object := &api.GiniClient{}
		Expect(k8s.Get(ctx, w.key("acme"), object)).To(Succeed())
		if object.Status.JWKS == nil {
			return nil
		}
		var kids []string
		for _, key := range object.Status.JWKS.Keys {
			kids = append(kids, key.Kid)
		}
		return kids
	}
}

func (w *world) byJWT(name string) *api.GiniUser {
	user := w.derived(name)
	user.Spec.Derived.Auth = api.JWTAuth
	user.Spec.Devices.Trusted = &api.TrustedDeviceSpec{Secret: api.TrustedSecret{TargetSecret: api.TargetSecret{Name: api.ObjectName(name + "-backend")}}}
	return user
}

var _ = Describe("JWK Sets", func() {
	It("are served by every replica, also while none leads", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.lease = "jwks.credentials.gini.net"
		first, second := operatortest.FreeAddress(ctx), operatortest.FreeAddress(ctx)
		w.gini.SetJWT("acme", emulator.JWT{Issuer: issuer, JWKSURL: "http://" + second + w.path()})
		w.signs(ctx)
		w.jwks = first
		stop := w.operate()
		Eventually(served(ctx, first, w.path())).WithTimeout(eventually).Should(HaveLen(1))
		Eventually(w.kids(ctx)).WithTimeout(eventually).Should(HaveLen(1))
		w.jwks = second
		w.operate() // which waits for the lease
		Eventually(served(ctx, second, w.path())).WithTimeout(eventually).Should(Equal(w.kids(ctx)()))
		Expect(served(ctx, second, "/"+w.namespace+"/nobody/jwks.json")()).To(Equal([]string{"404 Not Found"}))
		Expect(served(ctx, second, "/")()).To(Equal([]string{"404 Not Found"}))

		By("a JWT that Gini checks with the replica that does not lead")
		w.create(ctx, w.byJWT("alice"))
		w.expectReady(ctx, "alice", ready)

		By("another key, seen by both")
		before := w.kids(ctx)()
		update(ctx, w.key("acme"), &api.GiniClient{}, func(object *api.GiniClient) {
			metav1.SetMetaDataAnnotation(&object.ObjectMeta, api.KeyRollRequestedAnnotation, "now")
		})
		Eventually(w.kids(ctx)).WithTimeout(eventually).ShouldNot(Equal(before))
		for _, address := range []string{first, second} {
			Eventually(served(ctx, address, w.path())).WithTimeout(eventually).Should(Equal(w.kids(ctx)()))
		}

		By("the key Secret gone, and the leader with it")
		stop()
		kept := w.kids(ctx)()
		Expect(served(ctx, second, w.path())()).To(Equal(kept))
	})

	It("are served where the operator has rights in one namespace only", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.jwks = operatortest.FreeAddress(ctx)
		w.gini.SetJWT("acme", emulator.JWT{Issuer: issuer, JWKSURL: "http://" + w.jwks + w.path()})
		w.signs(ctx)
		w.confine(ctx)
		w.operate(w.namespace)
		w.create(ctx, w.byJWT("alice"))
		w.create(ctx, w.derived("basic"))
		w.expectReady(ctx, "alice", ready)
		w.expectReady(ctx, "basic", ready)
		Expect(served(ctx, w.jwks, w.path())()).To(Equal(w.kids(ctx)()))
		Expect(served(ctx, w.jwks, "/elsewhere/acme/jwks.json")()).To(Equal([]string{"404 Not Found"}))
	})
})

// confine lets the next operator act as somebody with the operator's rights in this namespace, and none elsewhere.
func (w *world) confine(ctx context.Context) {
	GinkgoHelper()
	content, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", "role.yaml"))
	Expect(err).NotTo(HaveOccurred())
	var everywhere rbacv1.ClusterRole
	Expect(yaml.Unmarshal(content, &everywhere)).To(Succeed())
	rules := slices.DeleteFunc(everywhere.Rules, func(rule rbacv1.PolicyRule) bool {
		return slices.Contains(rule.Resources, "namespaces") && len(rule.Resources) == 1
	})
	w.create(ctx, &rbacv1.Role{ObjectMeta: w.named("operator"), Rules: rules})
	name := fmt.Sprintf("operator-of-%s", w.namespace)
	w.create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: w.named("operator"),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "operator"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	})
	w.config = rest.CopyConfig(restConfig)
	w.config.Impersonate = rest.ImpersonationConfig{UserName: name}
}
