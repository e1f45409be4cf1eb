package charts_test

import (
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// renderings are all that the tests render, by a name.
func renderings(t *testing.T) map[string][]*unstructured.Unstructured {
	t.Helper()
	found := map[string][]*unstructured.Unstructured{
		"config/default":  built(t, filepath.Join(root, "config", "default")),
		"with components": built(t, overlay(t, withComponents)),
	}
	for _, values := range valueFiles(t) {
		found[filepath.Base(values)] = rendered(t, "--values", values)
	}
	return found
}

// pod is what an object makes pods of.
type pod struct {
	metadata metav1.ObjectMeta
	spec     corev1.PodSpec
}

// containers are all containers of the pod.
func (p pod) containers() []corev1.Container {
	return append(append([]corev1.Container{}, p.spec.InitContainers...), p.spec.Containers...)
}

// pods are those of rendered objects, by kind and name. It knows the kinds that are there, and fails at others that run pods.
func pods(t *testing.T, from []*unstructured.Unstructured) map[string]pod {
	t.Helper()
	found := map[string]pod{}
	for _, object := range from {
		name := object.GetKind() + " " + object.GetName()
		switch object.GetKind() {
		case "Pod":
			var of corev1.Pod
			convert(t, object, &of)
			found[name] = pod{of.ObjectMeta, of.Spec}
		case "Deployment":
			var of appsv1.Deployment
			convert(t, object, &of)
			found[name] = pod{of.Spec.Template.ObjectMeta, of.Spec.Template.Spec}
		default:
			if _, has, _ := unstructured.NestedMap(object.Object, "spec", "template", "spec"); has {
				t.Errorf("%s runs pods that nobody looks at", name)
			}
		}
	}
	if len(found) == 0 {
		t.Error("nothing runs pods")
	}
	return found
}

func convert(t *testing.T, object *unstructured.Unstructured, into any) {
	t.Helper()
	const strict = true
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, into, strict); err != nil {
		t.Fatal(err)
	}
}

// TestRestricted: every pod meets the Pod Security Standard "restricted", so any namespace takes it (R5.4).
func TestRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, objects := range renderings(t) {
		for of, pod := range pods(t, objects) {
			results := evaluator.EvaluatePod(psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}, &pod.metadata, &pod.spec)
			if result := policy.AggregateCheckResults(results); !result.Allowed {
				t.Errorf("%s: %s: %s", name, of, result.ForbiddenDetail())
			}
		}
	}
}

// TestArbitraryUser: no pod says as which user or group it runs, or that it writes where it cannot: OpenShift chooses a user for each
// namespace (R5.4).
func TestArbitraryUser(t *testing.T) {
	for name, objects := range renderings(t) {
		for of, pod := range pods(t, objects) {
			if security := pod.spec.SecurityContext; security.RunAsUser != nil || security.RunAsGroup != nil || security.FSGroup != nil {
				t.Errorf("%s: %s says as whom it runs: %v", name, of, security)
			}
			for _, container := range pod.containers() {
				security := container.SecurityContext
				if security == nil || security.RunAsUser != nil || security.RunAsGroup != nil {
					t.Errorf("%s: %s: the container %s says as whom it runs: %v", name, of, container.Name, security)
				} else if security.ReadOnlyRootFilesystem == nil || !*security.ReadOnlyRootFilesystem {
					t.Errorf("%s: %s: the container %s may write its root file system", name, of, container.Name)
				}
			}
		}
	}
}

// TestImages: all that runs is one image, by its digest where one is given, from the registry that the installation names, with its pull
// secrets; and nothing runs before or after but `helm test` (R14.2).
func TestImages(t *testing.T) {
	objects := rendered(t, "--values", filepath.Join("testdata", "values", "image.yaml"))
	for of, pod := range pods(t, objects) {
		for _, container := range pod.containers() {
			const want = "mirror.acme.example/third-party/gini-operator@sha256:4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865"
			if container.Image != want {
				t.Errorf("%s runs %s", of, container.Image)
			}
			if container.ImagePullPolicy != corev1.PullIfNotPresent {
				t.Errorf("%s pulls it %s", of, container.ImagePullPolicy)
			}
		}
		if secrets := pod.spec.ImagePullSecrets; len(secrets) != 2 || secrets[0].Name != "mirror" || secrets[1].Name != "team" {
			t.Errorf("%s pulls with %v", of, secrets)
		}
	}
	for name, objects := range renderings(t) {
		for _, object := range objects {
			if object.GetKind() == "Job" || object.GetKind() == "CronJob" {
				t.Errorf("%s: there is a %s", name, object.GetKind())
			}
			if hook := object.GetAnnotations()["helm.sh/hook"]; hook != "" && hook != "test" {
				t.Errorf("%s: %s is a hook: %s", name, object.GetName(), hook)
			}
		}
	}
	for name, images := range map[string][]string{
		"":                            {"ghcr.io/gini-operator/gini-operator:v0.1.0"},
		"image.registry=":             {"gini-operator/gini-operator:v0.1.0"},
		"global.imageRegistry=r.test": {"r.test/gini-operator/gini-operator:v0.1.0"},
		"image.tag=v2":                {"ghcr.io/gini-operator/gini-operator:v2"},
	} {
		for of, pod := range pods(t, rendered(t, "--set", name)) {
			if image := pod.spec.Containers[0].Image; image != images[0] {
				t.Errorf("%s: %s runs %s", name, of, image)
			}
		}
	}
}

// TestNoWebhooks: nothing that the operator or its installation does stands in the way of an apply while the operator is down (R5.3).
func TestNoWebhooks(t *testing.T) {
	for name, objects := range renderings(t) {
		for _, object := range objects {
			if strings.HasSuffix(object.GetKind(), "WebhookConfiguration") || object.GetKind() == "APIService" {
				t.Errorf("%s: there is a %s", name, object.GetKind())
			}
		}
	}
}

// TestMemory: Go's collector is told nine tenths of the memory limit, whatever that is.
func TestMemory(t *testing.T) {
	for set, want := range map[string]string{
		"":                                   "230MiB",
		"resources.limits.memory=1Gi":        "921MiB",
		"resources.limits.memory=512Mi":      "460MiB",
		"resources.limits.memory=1000000000": "",
		"resources.limits=null":              "",
		"extraEnv[0].name=GOMEMLIMIT,extraEnv[0].value=off": "off",
	} {
		deployment := pods(t, rendered(t, "--set", set))["Deployment gini-operator"]
		found, count := "", 0
		for _, variable := range deployment.spec.Containers[0].Env {
			if variable.Name == "GOMEMLIMIT" {
				found, count = variable.Value, count+1
			}
		}
		if found != want || count > 1 {
			t.Errorf("with %q, GOMEMLIMIT is %q, %d times", set, found, count)
		}
	}
}
