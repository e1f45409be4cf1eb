//go:build linux

// Command node runs a one-node Kubernetes cluster on this machine: from pinned Go modules, and Debian's containerd, runc and CNI
// plugins. `make cluster-up` and `make cluster-down` call it from the repository's root.
//
//	node up              makes the cluster, and returns once pods, DNS and Services work
//	node down            takes it away again, with everything that it made
//	node load FILE...    makes the images of an archive known to the cluster
//	node smoke           tries what pods rely on, a changed Secret among it
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = "usage: node up | node down | node load FILE... | node smoke"

func main() {
	if len(os.Args) == 2 && os.Args[1] == insideArgument {
		say("ERROR: %v", inside()) // to a log file
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		say("ERROR: %v", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 {
		return errors.New(usage)
	}
	if os.Geteuid() != 0 {
		return errors.New("a node needs root: it makes namespaces, cgroups and mounts. " + instead) //nolint:staticcheck // sentences for a person
	}
	switch command := arguments[0]; {
	case command == "up" && len(arguments) == 1:
		return exclusively(func() error { return up(ctx) })
	case command == "down" && len(arguments) == 1:
		return exclusively(down)
	case command == "load" && len(arguments) > 1:
		return whileUp(func() error { return load(ctx, arguments[1:]...) })
	case command == "smoke" && len(arguments) == 1:
		return whileUp(func() error { return smoke(ctx, true) })
	}
	return errors.New(usage)
}

// whileUp refuses what needs a cluster where there is none.
func whileUp(do func() error) error {
	if _, err := os.Stat(upFile); err != nil {
		return fmt.Errorf("no cluster is up; make one first: make cluster-up (%w)", err)
	}
	return do()
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "cluster: "+format+"\n", args...) }
