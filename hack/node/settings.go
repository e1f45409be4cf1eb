//go:build linux

package main

import (
	"errors"
	"io/fs"
	"os"
)

// settings of the kernel that a kubelet changes for the whole machine. What a node changes beside these is its network namespace's.
var settings = []string{
	"/proc/sys/kernel/keys/root_maxbytes", "/proc/sys/kernel/keys/root_maxkeys", "/proc/sys/kernel/panic", "/proc/sys/kernel/panic_on_oops",
	"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/panic_on_oom",
}

// rememberSettings keeps what they are before the node starts.
func rememberSettings() error {
	kept := map[string]string{}
	for _, setting := range settings {
		value, err := os.ReadFile(setting) //nolint:gosec // from our list
		if err != nil {
			return err
		}
		kept[setting] = string(value)
	}
	return writeJSON(settingsFile, kept)
}

// restoreSettings makes them what they were.
func restoreSettings() error {
	var kept map[string]string
	if err := readJSON(settingsFile, &kept); errors.Is(err, fs.ErrNotExist) {
		return nil // nothing has been changed yet
	} else if err != nil {
		return err
	}
	var failed error
	for setting, value := range kept {
		if now, err := os.ReadFile(setting); err == nil && string(now) == value { //nolint:gosec // from our list
			continue
		}
		failed = errors.Join(failed, os.WriteFile(setting, []byte(value), 0o600))
	}
	return failed
}
