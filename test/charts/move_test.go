package charts_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// page is a page of the documentation, by its path in the repository.
func page(t *testing.T, path string) string {
	t.Helper()
	return read(t, filepath.Join(root, path))
}

var shellBlock = regexp.MustCompile("(?s)(?:^|\n) *```shell\n(.*?)\n *```")

// commands are those of a text's blocks of shell, each as one line.
func commands(text string) (found []string) {
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", " ")) {
			if line = strings.TrimSpace(line); line != "" {
				found = append(found, line)
			}
		}
	}
	return found
}

// shell runs a command as people would who are in a folder, with helm and kubectl at hand that are about this API server.
func (s *apiServer) shell(t *testing.T, folder, command string) (string, error) {
	t.Helper()
	path := filepath.Dir(tool(t, "helm")) + string(os.PathListSeparator) + filepath.Dir(s.kubectl)
	home := t.TempDir()
	bash := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command)
	bash.Dir = folder
	bash.Env = append(os.Environ(), "PATH="+path+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+home, "KUBECONFIG="+s.kubeconfig,
		"HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	output, err := bash.CombinedOutput()
	return string(output), err
}

// remaining are the objects that an installation is made of, but for CRDs, as kind and name.
func (s *apiServer) remaining(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, kind := range []schema.GroupVersionKind{
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
		{Version: "v1", Kind: "Service"},
		{Version: "v1", Kind: "ServiceAccount"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"},
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := s.admin.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		for _, object := range list.Items {
			if strings.Contains(object.GetName(), "gini-operator") {
				found[kind.Kind+" "+object.GetName()] = true
			}
		}
	}
	return found
}

// installed are the names of what objects install, but for CRDs, namespaces and tests.
func installed(from []*unstructured.Unstructured) map[string]bool {
	found := map[string]bool{}
	for _, object := range from {
		if kind := object.GetKind(); kind != "CustomResourceDefinition" && kind != "Namespace" && object.GetAnnotations()["helm.sh/hook"] == "" {
			found[kind+" "+object.GetName()] = true
		}
	}
	return found
}

// TestMove: whoever installed by kubectl can go on with Helm, and the other way round, by the commands of docs/install.md and no others: users and
// their Secrets stay, the CRDs become those of the new version, nothing of the former installation is left, and the next upgrade works. Each way takes
// over from an earlier version, whose CRDs were other ones, and from the same one.
func TestMove(t *testing.T) {
	chapter := page(t, "docs/install.md")
	_, chapter, found := strings.Cut(chapter, "\n## From one way to another\n")
	chapter, _, ends := strings.Cut(chapter, "\n## ")
	toHelm, toKubectl, parts := strings.Cut(chapter, "\nFrom Helm to kubectl:\n")
	if !found || !ends || !parts {
		t.Fatal("docs/install.md does not say how to move")
	}
	former := filepath.Join(t.TempDir(), "former.yaml")
	var documents []string
	for _, object := range built(t, overlay(t, withComponents)) {
		if object.GetName() == "giniusers.credentials.gini.net" {
			withoutColumns(t, object.Object)
		}
		documents = append(documents, marshalled(t, object.Object))
	}
	write(t, former, strings.Join(documents, "---\n"))
	formerly := formerChart(t)
	current := filepath.Join(t.TempDir(), "current.yaml")
	currently, err := run(t, tool(t, "kustomize"), "build", filepath.Join(root, "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, current, currently)

	inChart, inConfig := installed(rendered(t)), installed(built(t, filepath.Join(root, "config", "default")))
	const at = " --namespace " + namespace
	upgrade := "helm upgrade gini-operator " + formerly + at
	apply := "kubectl apply --server-side -f " + former
	for name, test := range map[string]struct {
		from, chapter string
		want          map[string]bool
		// later is an upgrade by the new tool. Where both tools have set the same, it needs the flag once more.
		later string
	}{
		"from kubectl apply --server-side to Helm":  {apply, toHelm, inChart, upgrade},
		"from kubectl apply to Helm":                {"kubectl apply -f " + former, toHelm, inChart, upgrade},
		"from kubectl to Helm, in the same version": {"kubectl apply --server-side -f " + current, toHelm, inChart, upgrade + " --force-conflicts"},
		"from Helm to kubectl": {
			"helm install gini-operator " + formerly + " --create-namespace --set podNudges.enabled=true" + at, toKubectl, inConfig, apply,
		},
		"from Helm to kubectl, in the same version": {
			"helm install gini-operator charts/gini-operator --create-namespace" + at, toKubectl, inConfig, apply + " --force-conflicts",
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := own(t)
			sh := func(command string) {
				t.Helper()
				if said, err := server.shell(t, root, command); err != nil {
					t.Fatalf("%s: %v\n%s", command, err, said)
				}
			}
			sh(test.from)
			for _, text := range []string{aClient, aUser, aToken} {
				server.apply(t, objects(t, text)...)
			}
			before := server.uids(t)
			if len(before) != 3 {
				t.Fatalf("there are %v", before)
			}
			for _, command := range commands(test.chapter) {
				sh(command)
			}
			if now := server.uids(t); !maps.Equal(before, now) {
				t.Errorf("there are %v in place of %v", now, before)
			}
			if columns := server.columns(t); columns == 0 {
				t.Error("the CRDs are those of the former version")
			}
			if left := server.remaining(t); !maps.Equal(left, test.want) {
				t.Errorf("there are %v, and should be %v", slices.Sorted(maps.Keys(left)), slices.Sorted(maps.Keys(test.want)))
			}
			sh(test.later)
			if columns := server.columns(t); columns != 0 {
				t.Error("the next upgrade does not change the CRDs")
			}
		})
	}
}

// TestNobodysLabel: nothing that is applied says which tool manages it: Helm adds that itself, and two tools would disagree about it.
func TestNobodysLabel(t *testing.T) {
	for name, objects := range renderings(t) {
		for _, object := range objects {
			if value, has := object.GetLabels()["app.kubernetes.io/managed-by"]; has {
				t.Errorf("%s: %s %s is managed by %s", name, object.GetKind(), object.GetName(), value)
			}
		}
	}
}

// TestServiceNames: whoever names a Service of the operator need not know how it was installed.
func TestServiceNames(t *testing.T) {
	names := func(from []*unstructured.Unstructured) (found []string) {
		for _, service := range ofKind(from, "Service") {
			if service.GetAnnotations()["helm.sh/hook"] == "" {
				found = append(found, service.GetNamespace()+"/"+service.GetName())
			}
		}
		return slices.Sorted(slices.Values(found))
	}
	inChart, inConfig := names(rendered(t)), names(built(t, filepath.Join(root, "config", "default")))
	if len(inChart) != 2 || !slices.Equal(inChart, inConfig) {
		t.Errorf("the chart has the Services %v, config/default %v", inChart, inConfig)
	}
	for _, route := range built(t, filepath.Join(root, "config", "jwks")) {
		if text := marshalled(t, route.Object); !strings.Contains(text, "name: "+strings.TrimPrefix(inChart[0], namespace+"/")+"\n") {
			t.Errorf("the %s leads elsewhere than to %s:\n%s", route.GetKind(), inChart[0], text)
		}
	}
}
