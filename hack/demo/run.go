package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	// tokenLifetime is short, so that renewals can be watched.
	tokenLifetime = time.Minute

	operatorBinary = "bin/manager"
	// keptLog is the operator's log after a failure.
	keptLog = "bin/demo-manager.log"
)

// run starts everything, shows it, and stops everything; after a failure the operator's log stays. The summary is the last line to print.
func run(ctx context.Context, m mode, out *printer) (summary string, err error) {
	for _, needed := range []string{operatorBinary, overlayFolder, installFolder} {
		if _, missing := os.Stat(needed); missing != nil {
			return "", fmt.Errorf("%s is missing: start this by `make demo`, in the root of the repository", needed)
		}
	}
	dir, err := os.MkdirTemp("", "gini-demo-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	out.say("Starting etcd and a Kubernetes API server of %s", m.assets)
	k8s, err := startCluster(m.assets, dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, k8s.stop()) }()
	if ctx.Err() != nil {
		return "", stopped(ctx)
	}

	wanted, err := k8s.renderSamples(ctx)
	if err != nil {
		return "", err
	}
	jwksAddress, err := freeAddress(ctx)
	if err != nil {
		return "", err
	}
	jwksURL := "http://" + jwksAddress + wanted.jwksPath
	gini, url, err := startGini(m, wanted, jwksURL)
	if err != nil {
		return "", err
	}
	defer gini.Close()
	out.say("Started the Gini emulator at %s; %s", url, describe(m))
	out.say("It takes JWTs of the issuer %s, and knows that their JWK Set is %s", wanted.issuer, jwksURL)

	err = k8s.install(ctx)
	if err != nil {
		return "", err
	}
	op, err := startOperator(dir, k8s.operatorConfig, url, jwksAddress)
	if err != nil {
		return "", err
	}
	defer func() {
		out.say("Stopping the operator, the emulator and the control plane")
		op.stop()
	}()
	out.say("Installed %s; the operator runs as process %d with the rights it gets there, and logs to %s until the end", installFolder, op.pid(), op.log.Name())

	watched, release := op.watch(ctx)
	defer release()
	s := &show{mode: m, out: out, cluster: k8s, gini: gini, url: url, jwksURL: jwksURL, samples: wanted}
	summary, err = s.perform(watched)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, op.advice())
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

// stopped tells an interruption from an operator that ended.
func stopped(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return errors.New("interrupted")
}
