//go:build linux

package main

import (
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// started starts a process that ends with the test.
func started(t *testing.T) int {
	t.Helper()
	command := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	return command.Process.Pid
}

func TestTheNodeOnRecordIsKilled(t *testing.T) {
	recorded, err := recordOf(strconv.Itoa(started(t)))
	if err != nil {
		t.Fatal(err)
	}
	found, err := recorded.find()
	if err != nil || found == nil {
		t.Fatalf("the process was not found: %v", err)
	}
	defer found.release()
	if found.ended(0) {
		t.Fatal("it is said to have ended")
	}
	if err := found.kill(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if again, err := recorded.find(); err != nil || again != nil {
		t.Fatalf("it is found although it has ended: %v", err)
	}
}

func TestAProcessThatGotTheIDOfTheNodeIsLeftAlone(t *testing.T) {
	recorded, err := recordOf(strconv.Itoa(started(t)))
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]record{
		"started later":      {PID: recorded.PID, Started: recorded.Started - 1, Boot: recorded.Boot},
		"since another boot": {PID: recorded.PID, Started: recorded.Started, Boot: "another"},
	} {
		if found, err := other.find(); err != nil || found != nil {
			t.Errorf("%s: taken for the node (%v)", name, err)
		}
	}
}

func TestAddressesInUseAreSeen(t *testing.T) {
	for name, test := range map[string]struct {
		routes string
		want   string
	}{
		"default and others": {`[{"dst": "default", "gateway": "192.0.2.1"}, {"dst": "0.0.0.0/0"}, {"dst": "192.0.2.0/24"}, {"dst": "127.0.0.1"}]`, ""},
		"a wider network":    {`[{"dst": "10.0.0.0/8"}]`, "10.0.0.0/8"},
		"one host":           {`[{"dst": "10.213.7.7"}]`, "10.213.7.7/32"},
		"a neighbour":        {`[{"dst": "10.214.0.0/16"}, {"dst": "10.212.0.0/16"}]`, ""},
	} {
		taken, err := destinations([]byte(test.routes))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if prefix, found := overlaps(taken); found {
			got = prefix.String()
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestAddressesLieInTheClustersRange(t *testing.T) {
	ours := netip.MustParsePrefix(clusterRange)
	services := netip.MustParsePrefix(serviceRange)
	for _, address := range []string{machineAddress, nodeAddress, apiAddress, dnsAddress} {
		if !ours.Contains(netip.MustParseAddr(address)) {
			t.Errorf("%s lies outside", address)
		}
	}
	for _, inner := range []netip.Prefix{services, netip.MustParsePrefix(podRange)} {
		if !ours.Contains(inner.Addr()) || inner.Bits() <= ours.Bits() {
			t.Errorf("%s lies outside", inner)
		}
	}
	if services.Addr().Next() != netip.MustParseAddr(apiAddress) {
		t.Error("the API server's Service gets the first address of the range, not " + apiAddress)
	}
}

func TestManifestsNameEveryValue(t *testing.T) {
	if _, err := filled(systemManifest, map[string]any{"DNSAddress": dnsAddress}); err == nil {
		t.Error("a manifest without a value passes")
	}
	with, err := filled(smokeManifest, map[string]any{"Namespace": "a", "Image": "b", "Secret": true})
	if err != nil {
		t.Fatal(err)
	}
	without, err := filled(smokeManifest, map[string]any{"Namespace": "a", "Image": "b", "Secret": false})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(with, "/etc/changing/value]") || strings.Contains(without, "/etc/changing/value]") {
		t.Error("the Secret is looked at where it was not asked for, or not where it was")
	}
}

// What the local cluster is made for is to measure how long a kubelet takes by default.
func TestTheKubeletKeepsItsDefaults(t *testing.T) {
	for _, field := range []string{"syncFrequency", "configMapAndSecretChangeDetectionStrategy", "nodeStatusUpdateFrequency"} {
		if strings.Contains(kubeletConfiguration, field) {
			t.Errorf("%s is set", field)
		}
	}
}

func TestEveryProgramHasAName(t *testing.T) {
	var names []string
	for _, one := range programs() {
		names = append(names, one.name)
	}
	for _, want := range append([]string{"etcd", "kube-apiserver", "containerd", "coredns"}, fromModules...) {
		if !slices.Contains(names, want) {
			t.Errorf("%s does not run", want)
		}
	}
}
