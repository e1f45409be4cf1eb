//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// needed are programs that come from the distribution, and Debian's packages that have them.
var needed = []struct{ program, debianPackage string }{
	{"containerd", "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"iptables", "iptables"},
	{"ip", "iproute2"},
}

const pluginsPackage = "containernetworking-plugins"

// pluginFolders are where distributions put CNI plugins; Debian's is the first.
var pluginFolders = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// plugins that the pods' network is made of.
var plugins = []string{"bridge", "host-local", "loopback", "portmap"}

// exclusively keeps two of these programs from working on the one cluster at once. The kernel frees the name, however this one ends.
func exclusively(do func() error) error {
	lock, err := net.Listen("unix", "@"+clusterName)
	if err != nil {
		return fmt.Errorf("another `make cluster-up` or `make cluster-down` is at work on this machine; wait for it (%w)", err)
	}
	defer func() { _ = lock.Close() }()
	return do()
}

// suitable tells why this machine cannot have the cluster.
func suitable(ctx context.Context) error {
	if _, err := os.Stat("hack/control-plane.sh"); err != nil {
		return fmt.Errorf("run this in the root of the repository: %w", err)
	}
	for file, module := range map[string]string{"/proc/sys/net/bridge/bridge-nf-call-iptables": "br_netfilter", "/sys/module/overlay": "overlay"} {
		if _, err := os.Stat(file); err == nil {
			continue
		}
		if out, err := exec.CommandContext(ctx, "modprobe", module).CombinedOutput(); err != nil { //nolint:gosec // one of two
			return fmt.Errorf("a node needs the kernel module %s, which cannot be loaded: %w: %s %s", module, err, bytes.TrimSpace(out), instead)
		}
	}
	if missing := missingCgroups(); len(missing) > 0 { // last, because it makes some
		return errors.Join(removeCgroups(0),
			fmt.Errorf("a node needs cgroups, and %s cannot be had in %s. %s", strings.Join(missing, ", "), cgroupRoot, instead))
	}
	return nil
}

// addressesFree tells of another user of the cluster's addresses or of its link's name.
func addressesFree(ctx context.Context) error {
	if _, err := net.InterfaceByName(machineLink); err == nil {
		return fmt.Errorf("a network link called %s is here already, and not by this program. Remove it with: ip link delete %[1]s", machineLink)
	}
	taken, err := takenRanges(ctx)
	if err != nil {
		return err
	}
	if prefix, found := overlaps(taken); found {
		return fmt.Errorf("the cluster's addresses, %s, are in use here: there is a route to %s. %s", clusterRange, prefix, instead)
	}
	return nil
}

// takenRanges are the destinations that this machine has routes to.
func takenRanges(ctx context.Context) ([]netip.Prefix, error) {
	out, err := exec.CommandContext(ctx, "ip", "-json", "-4", "route", "show", "table", "all").Output()
	if err != nil {
		return nil, fmt.Errorf("ip tells no routes: %w", err)
	}
	return destinations(out)
}

func destinations(routes []byte) (taken []netip.Prefix, err error) {
	var listed []struct {
		Dst string `json:"dst"`
	}
	if err := json.Unmarshal(routes, &listed); err != nil {
		return nil, fmt.Errorf("ip tells routes that cannot be read: %w", err)
	}
	for _, route := range listed {
		if prefix, err := netip.ParsePrefix(route.Dst); err == nil {
			taken = append(taken, prefix)
		} else if address, err := netip.ParseAddr(route.Dst); err == nil {
			taken = append(taken, netip.PrefixFrom(address, address.BitLen()))
		}
	}
	return taken, nil
}

// install gets what is missing from Debian, and returns the folder of the CNI plugins.
func install(ctx context.Context) (string, error) {
	missing := missingPackages()
	if len(missing) == 0 {
		return pluginFolder(), nil
	}
	names := strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", fmt.Errorf("a node needs what Debian packages as %s, and there is no apt-get here. Install it by other means. %s", names, instead)
	}
	say("installing %s with apt-get", names)
	for _, arguments := range [][]string{{"update", "-q"}, append([]string{"install", "-q", "-y", "--no-install-recommends"}, missing...)} {
		command := exec.CommandContext(ctx, "apt-get", arguments...) //nolint:gosec // the arguments are ours
		command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := command.CombinedOutput(); err != nil {
			return "", fmt.Errorf("apt-get %s: %w\n%s\nInstall %s by other means. %s", arguments[0], err, out, names, instead)
		}
	}
	if missing := missingPackages(); len(missing) > 0 {
		return "", fmt.Errorf("apt-get brought no usable %s. %s", strings.Join(missing, " "), instead)
	}
	return pluginFolder(), nil
}

func missingPackages() (missing []string) {
	wanted := map[string]bool{}
	for _, one := range needed {
		if _, err := exec.LookPath(one.program); err != nil && !wanted[one.debianPackage] {
			wanted[one.debianPackage] = true
			missing = append(missing, one.debianPackage)
		}
	}
	if pluginFolder() == "" {
		missing = append(missing, pluginsPackage)
	}
	return missing
}

// pluginFolder is empty where no folder has all plugins.
func pluginFolder() string {
	for _, folder := range pluginFolders {
		complete := true
		for _, plugin := range plugins {
			if _, err := os.Stat(filepath.Join(folder, plugin)); err != nil {
				complete = false
			}
		}
		if complete {
			return folder
		}
	}
	return ""
}
