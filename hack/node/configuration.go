package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// program is one of the processes that the node is made of. It is started again where it ends: some only wait a few seconds for another.
type program struct {
	name      string
	arguments []string
}

// programs are started in this order, without waiting.
func programs() []program {
	pki := func(file string) string { return filepath.Join(pkiFolder, file) }
	return []program{
		{"etcd", []string{
			"--data-dir=" + etcdFolder, "--unsafe-no-fsync", // the data need not outlive the machine
			"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
			"--initial-cluster=default=http://127.0.0.1:2380",
		}},
		{"containerd", []string{"--config=" + filepath.Join(configFolder, "containerd.toml")}},
		{"kube-apiserver", []string{
			"--etcd-servers=http://127.0.0.1:2379", "--secure-port=6443",
			"--advertise-address=" + nodeAddress, "--service-cluster-ip-range=" + serviceRange,
			"--tls-cert-file=" + pki("kube-apiserver.crt"), "--tls-private-key-file=" + pki("kube-apiserver.key"), "--client-ca-file=" + pki("ca.crt"),
			"--service-account-key-file=" + pki("service-accounts.key"), "--service-account-signing-key-file=" + pki("service-accounts.key"),
			"--service-account-issuer=https://kubernetes.default.svc." + clusterDomain,
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
			"--kubelet-client-certificate=" + pki("kube-apiserver-kubelet-client.crt"), "--kubelet-client-key=" + pki("kube-apiserver-kubelet-client.key"),
			"--kubelet-certificate-authority=" + pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		}},
		{"kube-controller-manager", []string{
			"--kubeconfig=" + kubeconfigOf("kube-controller-manager"), "--bind-address=127.0.0.1", "--leader-elect=false",
			"--authentication-kubeconfig=" + kubeconfigOf("kube-controller-manager"), "--authorization-kubeconfig=" + kubeconfigOf("kube-controller-manager"),
			"--service-account-private-key-file=" + pki("service-accounts.key"), "--root-ca-file=" + pki("ca.crt"),
			"--cluster-signing-cert-file=" + pki("ca.crt"), "--cluster-signing-key-file=" + pki("ca.key"), "--use-service-account-credentials",
			"--flex-volume-plugin-dir=" + root + "/volume-plugins",
		}},
		{"kube-scheduler", []string{
			"--kubeconfig=" + kubeconfigOf("kube-scheduler"), "--bind-address=127.0.0.1", "--leader-elect=false",
			"--authentication-kubeconfig=" + kubeconfigOf("kube-scheduler"), "--authorization-kubeconfig=" + kubeconfigOf("kube-scheduler"),
		}},
		{"kubelet", []string{
			"--config=" + filepath.Join(configFolder, "kubelet.yaml"), "--kubeconfig=" + kubeconfigOf("kubelet"),
			"--root-dir=" + kubeletFolder, "--cert-dir=" + pkiFolder, "--hostname-override=" + nodeName, "--node-ip=" + nodeAddress,
		}},
		{"kube-proxy", []string{"--config=" + filepath.Join(configFolder, "kube-proxy.yaml")}},
		{"coredns", []string{"-conf=" + filepath.Join(configFolder, "Corefile")}},
	}
}

// writeConfiguration writes what the programs are told in files. plugins is the folder of the CNI plugins.
func writeConfiguration(plugins string) error {
	for name, text := range map[string]string{
		"containerd.toml": fmt.Sprintf(containerdConfiguration, containerdFolder, containerdSocket, pauseImage, plugins, cniFolder),
		"kubelet.yaml": fmt.Sprintf(kubeletConfiguration, pkiFolder, clusterName, clusterDomain, dnsAddress, containerdSocket,
			filepath.Join(configFolder, "resolv.conf"), root, nodeAddress),
		"kube-proxy.yaml": fmt.Sprintf(proxyConfiguration, kubeconfigOf("kube-proxy"), nodeName, podBridge, nodeAddress),
		"Corefile":        fmt.Sprintf(corefile, nodeAddress, clusterDomain, kubeconfigOf("coredns")),
		"resolv.conf":     "nameserver " + nodeAddress + "\n", // without the machine's search domains: nobody answers for those
	} {
		if err := os.WriteFile(filepath.Join(configFolder, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(cniFolder, "10-pods.conflist"), fmt.Appendf(nil, cniConfiguration, podBridge, podRange, root), 0o600)
}

// Of a plugin's folders, only those are named that would lie elsewhere. A machine that gives no right to lower an OOM score
// starts no sandbox without restrict_oom_score_adj.
const containerdConfiguration = `version = 2
root = "%[1]s/root"
state = "%[1]s/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "%[2]s"

[plugins."io.containerd.internal.v1.opt"]
path = "%[1]s/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "%[3]s"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "%[4]s"
conf_dir = "%[5]s"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "%[1]s/runc"
`

// No ipMasq: packets leave the node for the machine alone, which knows the way back.
const cniConfiguration = `{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge", "bridge": "%[1]s", "isDefaultGateway": true, "hairpinMode": true,
      "ipam": {"type": "host-local", "ranges": [[{"subnet": "%[2]s"}]], "dataDir": "%[3]s/addresses"}
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

// syncFrequency and configMapAndSecretChangeDetectionStrategy stay at their defaults: how fast a Secret reaches a pod is measured here.
// Eviction only where the disk is full indeed: a developer's often nearly is, and images cannot be pulled again.
const kubeletConfiguration = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[8]s
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[1]s/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: %[1]s/kubelet.crt
tlsPrivateKeyFile: %[1]s/kubelet.key
cgroupDriver: cgroupfs
cgroupRoot: /%[2]s
failCgroupV1: false
enforceNodeAllocatable: []
failSwapOn: false
oomScoreAdj: 0
clusterDomain: %[3]s
clusterDNS: [%[4]s]
containerRuntimeEndpoint: unix://%[5]s
resolvConf: %[6]s
podLogsDir: %[7]s/pods
volumePluginDir: %[7]s/volume-plugins
makeIPTablesUtilChains: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi, nodefs.available: 1%%, nodefs.inodesFree: 1%%, imagefs.available: 1%%}
`

const proxyConfiguration = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: %[1]s}
hostnameOverride: %[2]s
detectLocalMode: BridgeInterface
detectLocal: {bridgeInterface: %[3]s}
bindAddress: %[4]s
oomScoreAdj: 0
iptables: {localhostNodePorts: false}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`

// There is no forward: names outside the cluster do not resolve.
const corefile = `.:53 {
    bind %[1]s
    errors
    health 127.0.0.1:8080
    ready 127.0.0.1:8181
    kubernetes %[2]s in-addr.arpa ip6.arpa {
        kubeconfig %[3]s
        pods insecure
    }
    cache 30
}
`
