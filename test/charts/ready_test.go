package charts_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// TestHelmTest: `helm test` asks the operator's pods for readyz, by a Service that leads to them, and through the NetworkPolicy. What its pod runs is
// what the operator's program takes.
func TestHelmTest(t *testing.T) {
	objects := rendered(t, "--values", filepath.Join("testdata", "values", "network.yaml"))
	all := pods(t, objects)
	operator, asker := all["Deployment gini-operator"], all["Pod gini-operator-test"]
	arguments := asker.spec.Containers[0].Args
	if len(arguments) != 2 {
		t.Fatalf("it runs %v", arguments)
	}
	asked, err := url.Parse(arguments[1])
	if err != nil {
		t.Fatal(err)
	}

	var service corev1.Service
	for _, object := range ofKind(objects, "Service") {
		if object.GetName()+"."+object.GetNamespace()+".svc" == asked.Hostname() {
			convert(t, object, &service)
		}
	}
	if service.Annotations["helm.sh/hook"] != "test" || service.Annotations["helm.sh/hook-weight"] != "-1" {
		t.Errorf("%s leads to the Service %v", asked, service.ObjectMeta)
	}
	if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(operator.metadata.Labels)) {
		t.Errorf("the Service selects %v", service.Spec.Selector)
	}
	probe := operator.spec.Containers[0].ReadinessProbe.HTTPGet
	if port := service.Spec.Ports[0]; asked.Port() != "8081" || port.Port != 8081 || port.TargetPort != probe.Port || asked.Path != probe.Path {
		t.Errorf("it asks %s by the port %v, and the kubelet %v", asked, port, probe)
	}
	if labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(asker.metadata.Labels)) {
		t.Error("the Service leads to the test itself")
	}

	var policy networkingv1.NetworkPolicy
	convert(t, one(t, objects, "NetworkPolicy"), &policy)
	selects := func(selector *metav1.LabelSelector, pod pod) bool {
		selected, invalid := metav1.LabelSelectorAsSelector(selector)
		if invalid != nil {
			t.Fatal(invalid)
		}
		return selected.Matches(labels.Set(pod.metadata.Labels))
	}
	if !selects(&policy.Spec.PodSelector, operator) || selects(&policy.Spec.PodSelector, asker) {
		t.Errorf("the NetworkPolicy is about %v", policy.Spec.PodSelector)
	}
	letIn := slices.ContainsFunc(policy.Spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
		return rule.Ports[0].Port.StrVal == probe.Port.StrVal && slices.ContainsFunc(rule.From, func(peer networkingv1.NetworkPolicyPeer) bool {
			return peer.NamespaceSelector == nil && peer.PodSelector != nil && selects(peer.PodSelector, asker)
		})
	})
	if !letIn {
		t.Error("the NetworkPolicy does not let the test in")
	}

	ready := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != probe.Path {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer ready.Close()
	said, err := run(t, "go", "run", "-C", root, "./cmd/manager", arguments[0], strings.Replace(arguments[1], "http://"+asked.Host, ready.URL, 1))
	if err != nil || !strings.Contains(said, "is ready") {
		t.Errorf("the program says %q: %v", said, err)
	}
}
