package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gini-operator/gini-operator/hack/internal/cluster"
	"github.com/gini-operator/gini-operator/hack/internal/narration"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	// tokenLifetime is short, so that renewals can be watched.
	tokenLifetime = time.Minute

	// keptLog is the operator's log after a failure.
	keptLog = "bin/demo-manager.log"
)

// run starts everything, shows it, and stops everything; after a failure the operator's log stays. The summary is the last line to print.
func run(ctx context.Context, m mode, out *narration.Printer) (summary string, err error) {
	for _, needed := range []string{cluster.OperatorBinary, overlayFolder, cluster.InstallFolder} {
		if _, missing := os.Stat(needed); missing != nil {
			return "", fmt.Errorf("%s is missing: start this by `make demo`, in the root of the repository", needed)
		}
	}
	dir, err := os.MkdirTemp("", "gini-demo-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	out.Say("Starting etcd and a Kubernetes API server of %s", m.assets)
	k8s, err := cluster.Start(m.assets, dir, cluster.Patience)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, k8s.Stop()) }()
	if ctx.Err() != nil {
		return "", cluster.Stopped(ctx)
	}

	wanted, err := renderSamples(ctx, k8s)
	if err != nil {
		return "", err
	}
	jwksAddress, err := cluster.FreeAddress(ctx)
	if err != nil {
		return "", err
	}
	jwksURL := "http://" + jwksAddress + wanted.jwksPath
	gini, url, err := startGini(m, wanted, jwksURL)
	if err != nil {
		return "", err
	}
	defer gini.Close()
	out.Say("Started the Gini emulator at %s; %s", url, describe(m))
	out.Say("It takes JWTs of the issuer %s, and knows that their JWK Set is %s", wanted.issuer, jwksURL)

	err = k8s.Install(ctx)
	if err != nil {
		return "", err
	}
	op, err := k8s.StartOperator(filepath.Join(dir, "operator.log"), "--allowed-hosts", url,
		"--jwks-bind-address", jwksAddress, "--metrics-bind-address=0", "--health-probe-bind-address=0")
	if err != nil {
		return "", err
	}
	defer func() {
		out.Say("Stopping the operator, the emulator and the control plane")
		op.Stop()
	}()
	out.Say("Installed %s; the operator runs as process %d with the rights it gets there, and logs to %s until the end",
		cluster.InstallFolder, op.PID(), op.Log())

	watched, release := op.Watch(ctx)
	defer release()
	s := &show{mode: m, out: out, k8s: k8s, gini: gini, url: url, jwksURL: jwksURL, samples: wanted}
	summary, err = s.perform(watched)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, op.Advice(keptLog))
	}
	return summary, err
}

// startGini starts an emulator that knows the client and the accounts of the samples, and where the JWK Set is.
func startGini(m mode, wanted *samples, jwksURL string) (gini *emulator.Server, url string, err error) {
	behaviour := emulator.Behaviour{Mode: emulator.Fresh}
	if m.sticky {
		behaviour.Mode = emulator.Sticky
	}
	gini = emulator.New(emulator.WithLifetime(tokenLifetime), emulator.WithLogin(behaviour), emulator.WithUserCenter(behaviour))
	gini.AddClient(wanted.clientID, wanted.clientSecret)
	gini.SetJWT(wanted.clientID, emulator.JWT{Issuer: wanted.issuer, JWKSURL: jwksURL})
	for email, password := range wanted.accounts {
		gini.AddAccount(wanted.clientID, email, password)
	}
	url, err = gini.Start()
	return gini, url, err
}

func describe(m mode) string {
	life := fmt.Sprintf("tokens live %.0f s", tokenLifetime.Seconds())
	if m.sticky {
		return life + " and are sticky: until a token has ended, each login gives the same one again"
	}
	return life + ", and each login gives a fresh one"
}
