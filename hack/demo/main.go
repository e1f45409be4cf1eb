// Command demo shows the operator at work on this machine: a control plane, an emulated Gini whose tokens live a minute,
// the operator, which signs JWTs that this Gini takes, the users of config/samples, and a device for each of their Secrets. `make
// demo` builds and runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gini-operator/gini-operator/hack/internal/narration"
)

// mode is what the environment asks for.
type mode struct {
	// once ends the demo by itself: DEMO_ONCE=1.
	once bool
	// sticky makes Gini give the same token until it ends: DEMO_MODE=sticky.
	sticky bool
	// assets is the folder of etcd, kube-apiserver and kubectl: KUBEBUILDER_ASSETS.
	assets string
}

func main() {
	m, err := modeOf(os.Getenv)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		out := narration.New(os.Stdout, time.Now())
		var summary string
		if summary, err = run(ctx, m, out); summary != "" {
			out.Line(summary)
		}
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo failed:", err)
		os.Exit(1)
	}
}

func modeOf(getenv func(string) string) (mode, error) {
	m := mode{assets: getenv("KUBEBUILDER_ASSETS")}
	switch v := getenv("DEMO_ONCE"); v {
	case "", "0":
	case "1":
		m.once = true
	default:
		return m, fmt.Errorf("DEMO_ONCE=%q: set it to 1 to have the demo end by itself, or leave it out", v)
	}
	switch v := getenv("DEMO_MODE"); v {
	case "", "fresh":
	case "sticky":
		m.sticky = true
	default:
		return m, fmt.Errorf("DEMO_MODE=%q: it is fresh (the default) or sticky", v)
	}
	if m.assets == "" {
		return m, errors.New("KUBEBUILDER_ASSETS is not set: start this by `make demo`, which provides a control plane")
	}
	return m, nil
}
