//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pause lies between two looks at something that will not take long.
const pause = 50 * time.Millisecond

// record tells which process is the node's first one: all others end with it, because its process namespace ends. A process
// id alone would not do: the kernel gives it to others once its process has ended.
type record struct {
	PID int `json:"pid"`
	// Started is in the kernel's ticks since it booted, and Boot names that boot.
	Started uint64 `json:"started"`
	Boot    string `json:"boot"`
}

// recordOf describes a process as /proc does, where a number or "self" names it.
func recordOf(process string) (record, error) {
	stat, err := os.ReadFile("/proc/" + process + "/stat") //nolint:gosec // a number
	if err != nil {
		return record{}, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return record{}, err
	}
	found := record{Boot: strings.TrimSpace(string(boot))}
	// The second field is the program's name, in which anything may stand, in parentheses.
	before, after, _ := strings.Cut(string(stat), " (")
	fields := strings.Fields(after[strings.LastIndex(after, ")")+1:])
	const startTime = 22 - 3 // counted from one, and after the first two
	if len(fields) <= startTime {
		return record{}, fmt.Errorf("/proc/%s/stat is too short", process)
	}
	if found.PID, err = strconv.Atoi(before); err != nil {
		return record{}, err
	}
	found.Started, err = strconv.ParseUint(fields[startTime], 10, 64)
	return found, err
}

// writeJSON leaves either the old file or the whole new one.
func writeJSON(file string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func readJSON(file string, value any) error {
	data, err := os.ReadFile(file) //nolint:gosec // ours
	if err != nil {
		return err
	}
	return json.Unmarshal(data, value)
}

// node is the process of a record, held so that its id cannot become another's.
type node struct{ handle int }

// findNode finds the node that runs, or nil.
func findNode() (*node, error) {
	var recorded record
	if err := readJSON(recordFile, &recorded); errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none runs
	} else if err != nil {
		return nil, fmt.Errorf("%s cannot be read, so that it is unknown which process is the node: %w", recordFile, err)
	}
	return recorded.find()
}

func (r record) find() (*node, error) {
	handle, err := unix.PidfdOpen(r.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, nil //nolint:nilnil // it has ended
	} else if err != nil {
		return nil, err
	}
	n := &node{handle: handle}
	// Compared once it is held: what has that id now will keep it.
	if now, err := recordOf(strconv.Itoa(r.PID)); err != nil || now != r || n.ended(0) {
		n.release()
		return nil, nil //nolint:nilnil,nilerr // another process got its id, or it has just ended
	}
	return n, nil
}

func (n *node) release() { _ = unix.Close(n.handle) }

// ended waits for the end of the node for so long.
func (n *node) ended(patience time.Duration) bool {
	for deadline := time.Now().Add(patience); ; {
		left := max(0, time.Until(deadline))
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(n.handle), Events: unix.POLLIN}}, int(left.Milliseconds())) //nolint:gosec // small
		if err == nil {
			return ready > 0
		}
		if !errors.Is(err, unix.EINTR) {
			return false
		}
	}
}

// kill ends the node, and all processes in it with it.
func (n *node) kill(patience time.Duration) error {
	if err := unix.PidfdSendSignal(n.handle, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("the node cannot be ended: %w", err)
	}
	if !n.ended(patience) {
		return fmt.Errorf("the node has not ended within %s", patience)
	}
	return nil
}
