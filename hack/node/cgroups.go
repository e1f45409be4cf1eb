//go:build linux

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cgroupRoot is where the kernel's groups of processes are.
const cgroupRoot = "/sys/fs/cgroup"

// controllers that a kubelet cannot do without.
var controllers = []string{"cpu", "cpuset", "memory", "pids"}

// hierarchies are the folders that hold a group each: one of all controllers (version 2), or one of each controller (version 1).
func hierarchies() []string {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{cgroupRoot}
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil
	}
	var found []string
	for _, entry := range entries {
		folder := filepath.Join(cgroupRoot, entry.Name())
		// cpu,cpuacct may be one, with links to it.
		if _, err := os.Stat(filepath.Join(folder, "cgroup.procs")); err == nil && entry.IsDir() {
			found = append(found, folder)
		}
	}
	return found
}

// missingCgroups are the controllers in which no group for the pods can be made; it makes it in the others.
func missingCgroups() (missing []string) {
	all := hierarchies()
	for _, folder := range all {
		if err := makeCgroup(folder); err != nil {
			missing = append(missing, filepath.Base(folder))
		}
	}
	if len(all) == 1 && all[0] == cgroupRoot {
		available, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
		has := strings.Fields(string(available))
		if err != nil || len(missing) > 0 {
			return controllers
		}
		return slices.DeleteFunc(slices.Clone(controllers), func(name string) bool { return slices.Contains(has, name) })
	}
	for _, name := range controllers {
		if _, err := os.Stat(filepath.Join(cgroupRoot, name)); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// makeCgroup makes the group that the kubelet puts its own into; it wants to find it.
func makeCgroup(hierarchy string) error {
	folder := filepath.Join(hierarchy, clusterName)
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as the kernel makes them
		return err
	}
	return nil
}

// removeCgroups removes the groups of the pods, innermost first. A group can be removed a moment after its last process has ended.
func removeCgroups(patience time.Duration) error {
	var failed error
	for _, hierarchy := range hierarchies() {
		var groups []string
		_ = filepath.WalkDir(filepath.Join(hierarchy, clusterName), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				groups = append(groups, path)
			}
			return nil // what is gone is no obstacle
		})
		slices.Reverse(groups)
		for _, group := range groups {
			failed = errors.Join(failed, removeCgroup(group, patience))
		}
	}
	return failed
}

func removeCgroup(group string, patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		err := os.Remove(group)
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline):
			return err
		}
	}
}
