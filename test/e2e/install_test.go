package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kustomized is the Deployment of config/default.
const kustomized = "gini-operator-controller-manager"

// overlay is a folder with a kustomization on top of config/default, as people write one.
func overlay() string {
	GinkgoHelper()
	folder, err := os.MkdirTemp(filepath.Join(root, "bin"), "overlay-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, folder)
	content := `resources: [../../config/default]
images:
- name: ghcr.io/gini-operator/gini-operator
  newName: ` + registry + `/gini-operator
  newTag: ` + version + `
patches:
- target: {kind: Deployment, name: ` + kustomized + `}
  patch: |
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: "--allowed-hosts=` + allowedHosts() + `"}
`
	Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(content), 0o600)).To(Succeed())
	return folder
}

// rolledOut waits until a Deployment of the operator's namespace runs, with the number of replicas that it asks for.
func rolledOut(ctx context.Context, name string) {
	GinkgoHelper()
	run(ctx, "", kubectl, "-n", operatorNamespace, "rollout", "status", "--timeout="+soon.String(), "deployment/"+name)
}

// serves makes a user of the calm Gini, sees it Ready, and takes it away again.
func serves(ctx context.Context, name string) {
	GinkgoHelper()
	objects := append([]client.Object{namespace(name)}, calm.giniClient(name)...)
	apply(ctx, append(objects, calm.user(name, "alice", false), calm.user(name, "bob", true))...)
	awaitReady(ctx, name, "alice", "bob")
}

// gone waits until a namespace is no more.
func gone(ctx context.Context, name string) {
	GinkgoHelper()
	Eventually(func() bool {
		return apierrors.IsNotFound(k8s.Get(ctx, types.NamespacedName{Name: name}, &corev1.Namespace{}))
	}).WithTimeout(soon).WithPolling(look).Should(BeTrue(), name)
}

// installs are the specs of the ways to install the operator; the last one stays.
func installs() {
	It("is installed by kubectl apply -k config/default, and taken away", func(ctx SpecContext) {
		folder := overlay()
		run(ctx, "", kubectl, "apply", "-k", folder)
		rolledOut(ctx, kustomized)
		serves(ctx, "by-kustomize")
		run(ctx, "", kubectl, "delete", "namespace", "by-kustomize")
		run(ctx, "", kubectl, "delete", "-k", folder)
		gone(ctx, operatorNamespace)
	})

	It("is installed by one file, and runs under any user", func(ctx SpecContext) {
		manifest := run(ctx, "", kustomize, "build", overlay()) // make build-installer does the same
		run(ctx, manifest, kubectl, "apply", "-f", "-")
		run(ctx, "", kubectl, "-n", operatorNamespace, "patch", "deployment", kustomized, "--type=json",
			`--patch=[{"op": "add", "path": "/spec/template/spec/securityContext/runAsUser", "value": 1000740000}]`)
		rolledOut(ctx, kustomized)
		serves(ctx, "by-file")
		run(ctx, "", kubectl, "delete", "namespace", "by-file")
		run(ctx, manifest, kubectl, "delete", "-f", "-")
		gone(ctx, operatorNamespace)
	})

	It("waits for CustomResourceDefinitions that are not there, and does not restart for it (R4.1)", func(ctx SpecContext) {
		manifest := run(ctx, "", kustomize, "build", overlay())
		run(ctx, withoutDefinitions(manifest), kubectl, "apply", "-f", "-")
		said := func() string {
			return run(ctx, "", kubectl, "-n", operatorNamespace, "logs", "deployment/"+kustomized)
		}
		running := func(g Gomega) {
			var pods corev1.PodList
			g.Expect(k8s.List(ctx, &pods, client.InNamespace(operatorNamespace))).To(Succeed())
			g.Expect(pods.Items).To(HaveLen(2))
			for i := range pods.Items {
				g.Expect(pods.Items[i].Status.Phase).To(Equal(corev1.PodRunning))
				g.Expect(pods.Items[i].Status.ContainerStatuses[0].RestartCount).To(BeZero())
			}
		}
		Eventually(running).WithTimeout(soon).WithPolling(look).Should(Succeed())
		Eventually(said).WithTimeout(soon).WithPolling(look).Should(ContainSubstring("CustomResourceDefinitions must be those of this version"))
		var there appsv1.Deployment
		Expect(k8s.Get(ctx, types.NamespacedName{Namespace: operatorNamespace, Name: kustomized}, &there)).To(Succeed())
		Expect(there.Status.ReadyReplicas).To(BeZero())
		By("the command that the log names")
		definitions := run(ctx, "", kubectl, "-n", operatorNamespace, "exec", "deployment/"+kustomized, "--", "/manager", "--print-crds")
		run(ctx, definitions, kubectl, "apply", "--server-side", "-f", "-")
		rolledOut(ctx, kustomized)
		Eventually(running).WithTimeout(soon).WithPolling(look).Should(Succeed())
		serves(ctx, "without-definitions")
		run(ctx, "", kubectl, "delete", "namespace", "without-definitions")
		run(ctx, manifest, kubectl, "delete", "-f", "-")
		gone(ctx, operatorNamespace)
	})
}

// withoutDefinitions is a manifest without its CustomResourceDefinitions.
func withoutDefinitions(manifest string) string {
	var kept []string
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		if !strings.Contains(document, "\nkind: CustomResourceDefinition\n") {
			kept = append(kept, document)
		}
	}
	return strings.Join(kept, "\n---\n")
}

// release is the name of the Helm release, and of its Deployment.
const release = "gini-operator"

// values are what the chart is told.
func values(version string) []string {
	return []string{
		"--namespace", operatorNamespace, "--timeout", soon.String(), "--wait",
		"--set", "image.registry=" + strings.SplitN(registry, "/", 2)[0], "--set", "image.repository=" + strings.SplitN(registry, "/", 2)[1] + "/gini-operator",
		"--set", "image.tag=" + version, "--set", "podNudges.enabled=true", "--set", "rolloutRestarts.enabled=true",
		"--set", "allowedHosts={" + allowedHosts() + "}",
	}
}

func install(ctx context.Context, chart, version string) {
	GinkgoHelper()
	run(ctx, "", helm, append([]string{"install", release, chart, "--create-namespace"}, values(version)...)...)
}

func upgrade(ctx context.Context, chart, version string) {
	GinkgoHelper()
	run(ctx, "", helm, append([]string{"upgrade", release, chart}, values(version)...)...)
}
