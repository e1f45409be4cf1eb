// Command golangci-lint is golangci-lint with the Kubernetes API linter linked in. `golangci-lint custom` would make
// the same binary, but clones golangci-lint's repository to do so; this needs the Go module proxy only.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/golangci/golangci-lint/v2/pkg/commands"
	"github.com/golangci/golangci-lint/v2/pkg/exitcodes"
	_ "sigs.k8s.io/kube-api-linter" // registers the linter kubeapilinter
)

// version is set by the Makefile to the version of golangci-lint that go.mod names.
var version = "unknown"

func main() {
	if err := commands.Execute(commands.BuildInfo{Version: version, GoVersion: runtime.Version()}); err != nil {
		fmt.Fprintf(os.Stderr, "golangci-lint: %v\n", err)
		os.Exit(exitcodes.Failure)
	}
}
