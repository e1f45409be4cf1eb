package charts_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// standIns replace what needs a kubelet: a command that speaks to pods becomes one that must find them, and the Service by which it does.
var standIns = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`kubectl logs (.*?) --tail=-1 \| .*`), `kubectl get pods $1 -o name | grep pod/`},
	{regexp.MustCompile(`port-forward (\S+) \S+`), `get $1`},
	{regexp.MustCompile(`\bNAME\b`), `untrusted-basic`},
	// What a page makes may be among the samples already.
	{regexp.MustCompile(`kubectl create secret generic (\S+)((?: --from-\S+)+)$`), `kubectl delete secret $1 --ignore-not-found && kubectl create secret generic $1$2`},
}

// besideTheSamples is what the pages speak of, beside config/samples.
const besideTheSamples = `
apiVersion: v1
kind: Secret
metadata: {name: untrusted-basic}
---
apiVersion: v1
kind: Secret
metadata: {name: trusted-jwt-backend}
stringData: {x_jwt_authorization: a.b.c}
---
apiVersion: v1
kind: Secret
metadata: {name: acme-jwt-key}
---
apiVersion: v1
kind: Secret
metadata: {name: acme-own-key}
---
apiVersion: credentials.gini.net/v1alpha1
kind: GiniUser
metadata: {name: scanner}
spec:
  clientRef: {name: acme}
  derived: {identifier: scanner-452821e638d01377, auth: Basic}
  devices: {untrusted: {secret: {name: scanner-token}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}
`

// aRoute is the kind of config/jwks that a cluster may lack.
const aRoute = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: httproutes.gateway.networking.k8s.io
  annotations: {api-approved.kubernetes.io: "unapproved, a stand-in"}
spec:
  group: gateway.networking.k8s.io
  scope: Namespaced
  names: {kind: HTTPRoute, plural: httproutes, singular: httproute, listKind: HTTPRouteList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// TestDocumentedCommands: each command of the pages that calls kubectl works with both installations, page by page and in its order.
func TestDocumentedCommands(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) < 10 {
		t.Fatalf("there are the pages %v: %v", pages, err)
	}
	pages = append(pages, filepath.Join(root, "README.md"), filepath.Join(chart, "README.md"))
	for name, install := range map[string]string{
		"by kustomize": "kubectl apply --server-side -k config/default",
		"by Helm":      "helm install gini-operator charts/gini-operator --namespace gini-operator-system --create-namespace",
	} {
		t.Run(name, func(t *testing.T) {
			server := own(t)
			if said, err := server.shell(t, root, install); err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			server.standFor(t)
			count := 0
			for i, path := range pages {
				if filepath.Base(path) == "install.md" {
					continue // it installs: TestMove runs what it says of clusters that have an operator
				}
				count += server.follow(t, path, fmt.Sprintf("page-%d", i))
			}
			if count < 15 {
				t.Errorf("only %d commands were run", count)
			}
		})
	}
}

// standFor makes a pod of the operator's Deployment, in place of the controllers that this API server lacks, and the kind HTTPRoute.
func (s *apiServer) standFor(t *testing.T) {
	t.Helper()
	s.apply(t, objects(t, aRoute)...)
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("apps/v1")
	list.SetKind("DeploymentList")
	if err := s.admin.List(t.Context(), list); err != nil || len(list.Items) != 1 {
		t.Fatalf("there are %d Deployments: %v", len(list.Items), err)
	}
	template, _, _ := unstructured.NestedMap(list.Items[0].Object, "spec", "template")
	pod := &unstructured.Unstructured{Object: template}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetNamespace(namespace)
	pod.SetName("operator")
	account, _, _ := unstructured.NestedString(pod.Object, "spec", "serviceAccountName")
	if account == "" {
		t.Fatal("the operator has no ServiceAccount")
	}
	s.apply(t, pod)
}

// follow runs a page's commands in a namespace that has the samples, and returns how many there were.
func (s *apiServer) follow(t *testing.T, path, namespace string) (count int) {
	t.Helper()
	var lines []string
	for _, line := range commands(read(t, path)) {
		if strings.Contains(line, "kubectl ") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return 0
	}
	folder := t.TempDir()
	for _, linked := range []string{"config", "charts"} {
		target, err := filepath.Abs(filepath.Join(root, linked))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(folder, linked)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"current.pem", "next.pem"} {
		write(t, filepath.Join(folder, name), "a key")
	}
	write(t, filepath.Join(folder, "beside.yaml"), besideTheSamples)
	here := *s
	here.kubeconfig = filepath.Join(folder, "kubeconfig")
	write(t, here.kubeconfig, read(t, s.kubeconfig))
	for _, line := range []string{
		"kubectl create namespace " + namespace,
		`kubectl config set-context "$(kubectl config current-context)" --namespace ` + namespace,
		"kubectl apply --server-side -k config/samples",
		"kubectl apply --server-side -f beside.yaml",
	} {
		if said, err := here.shell(t, folder, line); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, said)
		}
	}
	for _, line := range lines {
		command := line
		for _, standIn := range standIns {
			command = standIn.pattern.ReplaceAllString(command, standIn.with)
		}
		if said, err := here.shell(t, folder, command); err != nil {
			t.Errorf("%s: %s: %v\n%s", filepath.Base(path), line, err, said)
		}
	}
	return len(lines)
}
