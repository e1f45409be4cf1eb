//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// insideArgument makes this program the first process of the node's namespaces.
const insideArgument = "inside"

// comeAgain lies between the end of a program and its next start.
const comeAgain = time.Second

// namespaces of the node. Processes, mounts, links, addresses, packet filters and settings of the network that its programs make
// are in these alone, and the kernel takes them away when the first process ends, however it ends.
const namespaces = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC

// startNode starts the first process. It waits until begin is written to, and ends where begin is closed instead.
func startNode() (begin *os.File, err error) {
	waits, begin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = waits.Close() }()
	log, err := os.Create(filepath.Join(logFolder, "node.log"))
	if err != nil {
		return nil, errors.Join(err, begin.Close())
	}
	defer func() { _ = log.Close() }()
	command := exec.Command("/proc/self/exe", insideArgument) //nolint:noctx // it outlives this program
	command.Stdin, command.Stdout, command.Stderr, command.Dir = waits, log, log, "/"
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Setsid: true}
	if err := command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("namespaces cannot be made here: %w. %s", err, instead), begin.Close())
	}
	return begin, command.Process.Release()
}

// inside is the first process of the node: it prepares the namespaces, runs the programs, and takes in orphans. It returns where it cannot.
func inside() error {
	// Before /proc is the namespace's own, in which this is process 1.
	self, err := recordOf("self")
	if err != nil {
		return err
	}
	if err := writeJSON(recordFile, self); err != nil {
		return err
	}
	if err := mount(); err != nil {
		return fmt.Errorf("mounts cannot be made: %w", err)
	}
	if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
		return fmt.Errorf("the link does not come: %w", err)
	}
	if err := connect(); err != nil {
		return err
	}
	return supervise(programs())
}

// mount gives the node its own /proc, and folders of its own in place of those where its programs leave things whatever they are told.
func mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	hide := func(folder string) error {
		return unix.Mount(clusterName, folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
	}
	if err := hide("/run"); err != nil {
		return err
	}
	const kept = "/run/kept"
	if err := os.Mkdir(kept, 0o700); err != nil {
		return err
	}
	if err := unix.Mount(root, kept, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	for _, folder := range []string{"/var/lib", "/var/log"} {
		if err := hide(folder); err != nil {
			return err
		}
	}
	if err := os.Mkdir(root, 0o700); err != nil {
		return err
	}
	if err := unix.Mount(kept, root, "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	return unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// connect brings up the node's end of the link, and makes the node a router for its pods.
func connect() error {
	for _, arguments := range []string{
		"link set lo up",
		"address add " + nodeAddress + linkPrefix + " dev " + nodeLink,
		"link set " + nodeLink + " up",
	} {
		if err := ip(arguments); err != nil {
			return err
		}
	}
	for file, value := range map[string]string{
		"/proc/sys/net/ipv4/ip_forward":                "1",
		"/proc/sys/net/bridge/bridge-nf-call-iptables": "1", // a pod may be sent back to another one of its bridge
	} {
		if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func ip(arguments string) error {
	out, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput() //nolint:gosec,noctx // ours, and it ends at once
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", arguments, err, out)
	}
	return nil
}

// supervise runs the programs for ever, and waits for every process that the node is left with.
func supervise(wanted []program) error {
	running := map[int]program{}
	for {
		for _, one := range wanted {
			pid, err := start(one)
			if err != nil {
				return fmt.Errorf("%s does not start: %w", one.name, err)
			}
			running[pid] = one
		}
		wanted = nil
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return err
		}
		if one, ours := running[pid]; ours { // or else it is an orphan
			delete(running, pid)
			say("%s has ended (exit status %d, signal %d); it is started again", one.name, status.ExitStatus(), int(status.Signal()))
			time.Sleep(comeAgain)
			wanted = []program{one}
		}
	}
}

// start starts a program, and returns its process id. What it says is added to its log.
func start(one program) (int, error) {
	log, err := os.OpenFile(filepath.Join(logFolder, one.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { _ = log.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer func() { _ = null.Close() }()
	file := filepath.Join(binFolder, one.name)
	if _, err = os.Stat(file); err != nil {
		if file, err = exec.LookPath(one.name); err != nil { // the distribution's
			return 0, err
		}
	}
	process, err := os.StartProcess(file, append([]string{one.name}, one.arguments...),
		&os.ProcAttr{Dir: "/", Env: os.Environ(), Files: []*os.File{null, log, log}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return 0, err
	}
	pid := process.Pid // Release forgets it
	return pid, process.Release()
}
