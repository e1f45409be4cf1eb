package main

import (
	"net/netip"
	"path/filepath"
)

// The addresses all lie in one range that is seldom in use. The node has a network namespace of its own, so that ports
// are free and what it does to packets ends with it; one link leads there.
const (
	clusterRange   = "10.213.0.0/16"
	linkPrefix     = "/30"
	machineAddress = "10.213.0.1"
	nodeAddress    = "10.213.0.2"
	podRange       = "10.213.1.0/24"
	serviceRange   = "10.213.2.0/24"
	apiAddress     = "10.213.2.1"
	dnsAddress     = "10.213.2.10"

	machineLink = "gini-cluster" // at most 15 characters
	nodeLink    = "node0"
	podBridge   = "pods0"

	clusterName   = "gini-cluster"
	clusterDomain = "cluster.local"
	nodeName      = "gini-node"
	apiServer     = "https://" + nodeAddress + ":6443"
)

// The root of everything that the node writes. It is one folder for the machine, because its addresses and its link exist once.
const root = "/var/lib/gini-cluster"

// Folders and files below it.
const (
	binFolder        = root + "/bin"
	logFolder        = root + "/log"
	pkiFolder        = root + "/pki"
	configFolder     = root + "/config"
	cniFolder        = root + "/cni"
	containerdFolder = root + "/containerd"
	kubeletFolder    = root + "/kubelet"
	etcdFolder       = root + "/etcd"

	containerdSocket = containerdFolder + "/containerd.sock"
	recordFile       = root + "/node.json"
	settingsFile     = root + "/settings.json"
	upFile           = root + "/up"
)

// In the checkout.
const (
	userFolder     = "bin/cluster"
	userKubeconfig = userFolder + "/kubeconfig"
	userLogs       = userFolder + "/log"
)

// Images that are made here.
const (
	pauseImage = "gini-cluster.local/pause:1"
	probeImage = "gini-cluster.local/probe:1"
)

// fromModules are the programs that hack/control-plane.sh provides by name.
var fromModules = []string{"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"}

func kubeconfigOf(who string) string { return filepath.Join(configFolder, who+".kubeconfig") }

// overlaps tells of an address range of this machine that the cluster's would hide.
func overlaps(taken []netip.Prefix) (netip.Prefix, bool) {
	ours := netip.MustParsePrefix(clusterRange)
	for _, prefix := range taken {
		if prefix.Bits() > 0 && prefix.Overlaps(ours) { // a default route is not an obstacle
			return prefix, true
		}
	}
	return netip.Prefix{}, false
}
