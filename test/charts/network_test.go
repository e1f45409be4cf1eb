package charts_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// TestNetworkPolicy: as rendered, it selects the operator's pods, and lets through what they need and no more (R5.4).
func TestNetworkPolicy(t *testing.T) {
	ingress := []string{"8080/TCP", "8081/TCP", "8082/TCP"}
	for _, test := range []struct {
		name, set       string
		ingress, egress []string
	}{
		{"default", "", ingress, []string{"443/TCP", "53/TCP", "53/UDP", "6443/TCP"}},
		{"no metrics", "metrics.enabled=false", []string{"8081/TCP", "8082/TCP"}, []string{"443/TCP", "53/TCP", "53/UDP", "6443/TCP"}},
		{"no JWK Sets", "jwks.enabled=false", []string{"8080/TCP", "8081/TCP"}, []string{"443/TCP", "53/TCP", "53/UDP", "6443/TCP"}},
		{
			"other hosts", "allowedHosts={*.gini.net,gini-proxy.acme.example:8443,http://gini-emulator.test:8080}", ingress,
			[]string{"443/TCP", "53/TCP", "53/UDP", "6443/TCP", "8080/TCP", "8443/TCP"},
		},
		{
			"one API server", "networkPolicy.egress.apiServer.ports={6443},networkPolicy.egress.gini.enabled=false", ingress,
			[]string{"53/TCP", "53/UDP", "6443/TCP"},
		},
		{
			"OpenShift", "networkPolicy.egress.dns.ports={5353},networkPolicy.egress.apiServer.ports={6443}", ingress,
			[]string{"443/TCP", "5353/TCP", "5353/UDP", "6443/TCP"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			objects := rendered(t, "--set", "networkPolicy.enabled=true", "--set", test.set)
			var policy networkingv1.NetworkPolicy
			convert(t, one(t, objects, "NetworkPolicy"), &policy)
			pod := pods(t, objects)["Deployment gini-operator"]
			if len(policy.Spec.PodSelector.MatchLabels) < 2 {
				t.Errorf("it selects by %v", policy.Spec.PodSelector)
			}
			for label, value := range policy.Spec.PodSelector.MatchLabels {
				if pod.metadata.Labels[label] != value {
					t.Errorf("it does not select the operator's pods: %s", label)
				}
			}
			if !slices.Equal(policy.Spec.PolicyTypes, []networkingv1.PolicyType{"Ingress", "Egress"}) {
				t.Errorf("it is about %v", policy.Spec.PolicyTypes)
			}
			// Rules without ports would let everything through.
			var in, out []string
			for _, rule := range policy.Spec.Ingress {
				in = append(in, ports(t, pod, rule.Ports)...)
			}
			for _, rule := range policy.Spec.Egress {
				out = append(out, ports(t, pod, rule.Ports)...)
			}
			for direction, found := range map[string][2][]string{"in": {in, test.ingress}, "out": {out, test.egress}} {
				slices.Sort(found[0])
				if difference := cmp.Diff(found[1], slices.Compact(found[0])); difference != "" {
					t.Errorf("%s: -wanted +there:\n%s", direction, difference)
				}
			}
			// What the operator listens at is all that comes in.
			if listened := len(pod.spec.Containers[0].Ports); listened != len(test.ingress) {
				t.Errorf("the pod has %d ports, and the policy %v", listened, test.ingress)
			}
		})
	}
}

// ports are those of a rule, as number and protocol. Names are those of the pod's ports.
func ports(t *testing.T, pod pod, of []networkingv1.NetworkPolicyPort) (found []string) {
	t.Helper()
	if len(of) == 0 {
		t.Error("a rule lets all ports through")
	}
	for _, port := range of {
		if port.Port == nil || port.EndPort != nil || port.Protocol == nil {
			t.Errorf("a rule lets many ports through: %v", port)
			continue
		}
		number := port.Port.IntVal
		if name := port.Port.StrVal; name != "" {
			named := slices.IndexFunc(pod.spec.Containers[0].Ports, func(port corev1.ContainerPort) bool { return port.Name == name })
			if named < 0 {
				t.Errorf("the pod has no port %s", name)
				continue
			}
			number = pod.spec.Containers[0].Ports[named].ContainerPort
		}
		found = append(found, fmt.Sprintf("%d/%s", number, *port.Protocol))
	}
	return found
}

// TestNetworkPeers: each list of peers narrows its own rule, and none other (R5.4).
func TestNetworkPeers(t *testing.T) {
	var policy networkingv1.NetworkPolicy
	convert(t, one(t, rendered(t, "--values", filepath.Join("testdata", "values", "network.yaml")), "NetworkPolicy"), &policy)
	var peers []string
	for _, rule := range policy.Spec.Ingress {
		for _, peer := range rule.From {
			peers = append(peers, peerOf(peer))
		}
	}
	peers = append(peers, "|")
	for _, rule := range policy.Spec.Egress {
		for _, peer := range rule.To {
			peers = append(peers, peerOf(peer))
		}
	}
	want := []string{"the test", "10.1.0.0/16", "monitoring", "ingress", "debug", "|", "openshift-dns", "10.0.0.1/32", "0.0.0.0/0"}
	if difference := cmp.Diff(want, peers); difference != "" {
		t.Errorf("-wanted +there:\n%s", difference)
	}
}

func peerOf(peer networkingv1.NetworkPolicyPeer) string {
	if peer.IPBlock != nil {
		return peer.IPBlock.CIDR
	}
	if peer.NamespaceSelector == nil && peer.PodSelector.MatchLabels["app.kubernetes.io/component"] == "test" {
		return "the test"
	}
	return peer.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]
}
