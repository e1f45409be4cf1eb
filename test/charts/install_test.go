package charts_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// helm runs Helm against the API server.
func (s *apiServer) helm(t *testing.T, arguments ...string) error {
	t.Helper()
	_, err := run(t, tool(t, "helm"), append(arguments, "--kubeconfig", s.kubeconfig)...)
	return err
}

// mustHelm is helm, of which the test does not go on without success.
func (s *apiServer) mustHelm(t *testing.T, arguments ...string) {
	t.Helper()
	if err := s.helm(t, arguments...); err != nil {
		t.Fatal(err)
	}
}

// foreign are groups of kinds that are others', whose CRDs are not at hand.
var foreign = []string{"monitoring.coreos.com", "gateway.networking.k8s.io"}

// admits: the API server takes an object, to the last field.
func (s *apiServer) admits(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	if slices.Contains(foreign, object.GroupVersionKind().Group) || object.GetKind() == "Namespace" {
		return
	}
	if namespaced, err := s.admin.IsObjectNamespaced(object); err != nil {
		t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		return
	} else if namespaced && object.GetNamespace() == "" {
		object.SetNamespace(namespace) // as Helm does
	}
	body, err := object.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	options := &client.PatchOptions{FieldManager: "test", FieldValidation: "Strict", DryRun: []string{"All"}}
	forced := true
	options.Force = &forced
	if err := s.admin.Patch(t.Context(), object.DeepCopy(), client.RawPatch(types.ApplyPatchType, body), options); err != nil {
		t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
}

// TestAdmitted: the API server takes all that is rendered, to the last field (R5.4).
func TestAdmitted(t *testing.T) {
	server := shared(t)
	for _, name := range []string{namespace, "payments", "team-a"} {
		server.makeNamespace(t, name)
	}
	for name, objects := range renderings(t) {
		t.Run(name, func(t *testing.T) {
			for _, object := range objects {
				server.admits(t, object)
			}
		})
	}
}

// TestClientSideApply: kubectl's own apply, which keeps the whole object in an annotation, takes config/default (R5.1).
func TestClientSideApply(t *testing.T) {
	server := own(t)
	text, err := run(t, tool(t, "kustomize"), "build", filepath.Join(root, "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "install.yaml")
	write(t, path, text)
	if _, err := run(t, server.kubectl, "--kubeconfig", server.kubeconfig, "apply", "-f", path); err != nil {
		t.Error(err)
	}
}

const aClient, aUser, aToken = `
apiVersion: credentials.gini.net/v1alpha1
kind: GiniClient
metadata: {name: acme, namespace: default}
spec:
  credentialsSecretRef: {name: acme-gini}
`, `
apiVersion: credentials.gini.net/v1alpha1
kind: GiniUser
metadata: {name: scanner, namespace: default}
spec:
  clientRef: {name: acme}
  derived: {identifier: scanner-452821e638d01377, auth: Basic}
  devices: {untrusted: {secret: {name: scanner-token}}}
`, `
apiVersion: v1
kind: Secret
metadata: {name: scanner-token, namespace: default}
stringData: {access_token: something}
`

// uids are the UIDs of what belongs to users.
func (s *apiServer) uids(t *testing.T) map[string]types.UID {
	t.Helper()
	found := map[string]types.UID{}
	for _, kind := range []schema.GroupVersionKind{
		{Group: "credentials.gini.net", Version: "v1alpha1", Kind: "GiniClient"},
		{Group: "credentials.gini.net", Version: "v1alpha1", Kind: "GiniUser"},
		{Version: "v1", Kind: "Secret"},
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := s.admin.List(t.Context(), list, client.InNamespace("default")); err != nil {
			t.Fatal(err)
		}
		for _, object := range list.Items {
			found[object.GetKind()+" "+object.GetName()] = object.GetUID()
		}
	}
	return found
}

// TestLife: users and their Secrets are as they were after install, upgrade, uninstall and reinstall (R3.4), and upgrades bring new CRDs (R5.2).
// All can be applied while no operator runs (R5.3).
func TestLife(t *testing.T) {
	server := own(t)
	at := []string{release, chart, "--namespace", "gini", "--create-namespace"}
	server.mustHelm(t, "install", release, formerChart(t), "--namespace", "gini", "--create-namespace")
	for _, text := range []string{aClient, aUser, aToken} {
		server.apply(t, objects(t, text)...)
	}
	before := server.uids(t)
	if len(before) != 3 {
		t.Fatalf("there are %v", before)
	}
	same := func(after string) {
		t.Helper()
		if now := server.uids(t); !maps.Equal(before, now) {
			t.Errorf("after %s there are %v in place of %v", after, now, before)
		}
	}

	if columns := server.columns(t); columns != 0 {
		t.Fatalf("the former CRD has %d printer columns", columns)
	}
	server.mustHelm(t, append([]string{"upgrade", "--set", "replicas=3"}, at...)...)
	same("an upgrade")
	if columns := server.columns(t); columns == 0 {
		t.Error("the upgrade did not bring the new CRD")
	}
	server.mustHelm(t, "uninstall", release, "--namespace", "gini")
	same("an uninstall")
	if deployments := server.count(t, "apps", "Deployment", "gini"); deployments != 0 {
		t.Errorf("%d Deployments are left", deployments)
	}
	server.mustHelm(t, append([]string{"install"}, at...)...)
	same("a reinstall")
	server.mustHelm(t, "uninstall", release, "--namespace", "gini")
	// Under another name, Helm asks for consent.
	other := []string{"install", "other", chart, "--namespace", "other", "--create-namespace"}
	if err := server.helm(t, other...); err == nil || !strings.Contains(err.Error(), "invalid ownership metadata") {
		t.Errorf("the CRDs of a former release are taken over: %v", err)
	}
	server.mustHelm(t, append(other, "--take-ownership")...)
	same("a reinstall under another name")
}

// formerChart is the chart as if an earlier version had had a CRD without printer columns.
func formerChart(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "gini-operator")
	if err := os.CopyFS(folder, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "files", "crds", "credentials.gini.net_giniusers.yaml")
	crd := parsed(t, read(t, path))
	withoutColumns(t, crd)
	write(t, path, marshalled(t, crd))
	return folder
}

// withoutColumns takes the printer columns of a CRD away.
func withoutColumns(t *testing.T, crd map[string]any) {
	t.Helper()
	versions, _, _ := unstructured.NestedSlice(crd, "spec", "versions")
	version, _ := versions[0].(map[string]any)
	delete(version, "additionalPrinterColumns")
	if err := unstructured.SetNestedSlice(crd, versions, "spec", "versions"); err != nil {
		t.Fatal(err)
	}
}

// columns is how many printer columns GiniUsers have.
func (s *apiServer) columns(t *testing.T) int {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	if err := s.admin.Get(t.Context(), types.NamespacedName{Name: "giniusers.credentials.gini.net"}, crd); err != nil {
		t.Fatal(err)
	}
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	version, _ := versions[0].(map[string]any)
	columns, _ := version["additionalPrinterColumns"].([]any)
	return len(columns)
}

// count is how many objects of a kind a namespace has.
func (s *apiServer) count(t *testing.T, group, kind, namespace string) int {
	t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind + "List"})
	if err := s.admin.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

// TestTwice: two releases with the longest names live together, each with its own lease and rights; the second one leaves the CRDs to the
// first, and goes without harm to it (R5.5).
func TestTwice(t *testing.T) {
	server := own(t)
	first, second := strings.Repeat("f", 53), strings.Repeat("s", 53)
	install := func(release string, arguments ...string) error {
		return server.helm(t, append([]string{
			"install", release, chart, "--namespace", release, "--create-namespace", "--set", "podNudges.enabled=true,rolloutRestarts.enabled=true",
		}, arguments...)...)
	}
	if err := install(first); err != nil {
		t.Fatal(err)
	}
	if err := install(second); err == nil || !strings.Contains(err.Error(), "invalid ownership metadata") {
		t.Errorf("two releases have the CRDs: %v", err)
	}
	server.mustHelm(t, "uninstall", second, "--namespace", second, "--ignore-not-found")
	server.makeNamespace(t, "team-a")
	if err := install(second, "--set", "crds.enabled=false,watchNamespaces={team-a},fullnameOverride="+strings.Repeat("o", 60)); err != nil {
		t.Fatal(err)
	}
	for _, release := range []string{first, second} {
		if deployments := server.count(t, "apps", "Deployment", release); deployments != 1 {
			t.Errorf("%s has %d Deployments", release, deployments)
		}
		server.mayHaveLease(t, release)
	}
	server.mustHelm(t, "uninstall", second, "--namespace", second)
	if deployments := server.count(t, "apps", "Deployment", first); deployments != 1 {
		t.Errorf("the first release has %d Deployments", deployments)
	}
}

// mayHaveLease: the release's operator may get the lease in its own namespace, and in no other.
func (s *apiServer) mayHaveLease(t *testing.T, in string) {
	t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "ServiceAccountList"})
	if err := s.admin.List(t.Context(), list, client.InNamespace(in)); err != nil || len(list.Items) != 1 {
		t.Fatalf("%s has the ServiceAccounts %v: %v", in, list.Items, err)
	}
	operator := s.asServiceAccount(t, in, list.Items[0].GetName())
	lease := func(namespace string) *unstructured.Unstructured {
		object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}}
		object.SetName("gini-operator.credentials.gini.net")
		object.SetNamespace(namespace)
		return object
	}
	eventually(t, "the operator in "+in+" may have its lease", func(ctx context.Context) bool {
		return operator.Create(ctx, lease(in)) == nil
	})
	if err := operator.Create(t.Context(), lease("default")); !refused(err) {
		t.Errorf("the operator in %s may have a lease elsewhere: %v", in, err)
	}
}
