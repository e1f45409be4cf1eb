// Command soak lets the operator work for a while under random faults: two operator processes of which one leads, a real API
// server, emulated Ginis whose tokens live ten seconds, and a device for each Secret. Its last line says what the devices and the
// Ginis have seen, and its exit status is 0 only where nothing was lost, late or left behind. `make soak` builds and runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/gini-operator/gini-operator/hack/internal/narration"
)

const (
	defaultDuration = 10 * time.Minute
	// shortest is what each kind of fault needs to come once.
	shortest     = 2 * time.Minute
	defaultUsers = 30
	// fewestUsers make every flow meet every kind of client; mostUsers are what a laptop can use twice a second.
	fewestUsers, mostUsers = 24, 300
)

// options are what the environment asks for.
type options struct {
	// duration is how long faults come and devices use their Secrets: SOAK_DURATION.
	duration time.Duration
	// users is how many GiniUsers there are: SOAK_USERS.
	users int
	// seed decides which fault comes when, and to whom: SOAK_SEED.
	seed uint64
	// assets is the folder of etcd, kube-apiserver and kubectl: KUBEBUILDER_ASSETS.
	assets string
}

func main() {
	out := narration.New(os.Stdout, time.Now())
	var summary string
	o, err := optionsOf(os.Getenv, time.Now())
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		summary, err = run(ctx, o, out)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak failed:", err)
	}
	if summary != "" {
		out.Line(summary)
	}
	if err != nil {
		os.Exit(1)
	}
}

// optionsOf reads the environment. Without a seed, the time of day is one.
func optionsOf(getenv func(string) string, now time.Time) (options, error) {
	o := options{duration: defaultDuration, users: defaultUsers, assets: getenv("KUBEBUILDER_ASSETS")}
	o.seed = uint64(now.UnixMilli()) % 1_000_000
	var err error
	if v := getenv("SOAK_DURATION"); v != "" {
		if o.duration, err = time.ParseDuration(v); err != nil || o.duration < shortest {
			return o, fmt.Errorf("SOAK_DURATION=%q: it is a duration of at least %s, such as 10m: less does not show every kind of fault", v, shortest)
		}
	}
	if v := getenv("SOAK_USERS"); v != "" {
		if o.users, err = strconv.Atoi(v); err != nil || o.users < fewestUsers || o.users > mostUsers {
			return o, fmt.Errorf("SOAK_USERS=%q: it is a number from %d, which is every flow with every kind of client, to %d", v, fewestUsers, mostUsers)
		}
	}
	if v := getenv("SOAK_SEED"); v != "" {
		if o.seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			return o, fmt.Errorf("SOAK_SEED=%q: it is a whole number", v)
		}
	}
	if o.assets == "" {
		return o, errors.New("KUBEBUILDER_ASSETS is not set: start this by `make soak`, which provides a control plane")
	}
	return o, nil
}
