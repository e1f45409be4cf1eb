//go:build !linux

// Command node runs a one-node Kubernetes cluster on this machine, which must run Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "cluster: ERROR: a node needs Linux. "+instead)
	os.Exit(1)
}
