package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/hack/internal/cluster"
	"github.com/gini-operator/gini-operator/hack/internal/narration"
)

const (
	// keptLogs is where the operators' logs are after a failure.
	keptLogs = "bin/soak-logs"
	// readyLimit is when the users must be Ready, at the beginning and at the end.
	readyLimit = 2 * time.Minute
	readPause  = time.Second
	// apiServerPatience is how long an API server that is restarted may take to end; then it is killed.
	apiServerPatience = 3 * time.Second
	progressPause     = 30 * time.Second
)

// soak is a run.
type soak struct {
	options      options
	out          *narration.Printer
	cluster      *cluster.Cluster
	operators    *operators
	ginis        []*gini
	applications []*application
	users        []*user
	excuses      *excuses
	faults       *faultCounts

	// api is held for writing while there is no API server.
	api sync.RWMutex
	// generations are how often the client secret of an application was rotated, and deleted the accounts of a user that were deleted,
	// in that order. Each is written by one sort of faults alone, and read when they are over.
	generations map[*application]int
	deleted     map[*user][]string
}

// run starts everything, lets it work, and stops everything. The summary is the last line to print.
func run(ctx context.Context, o options, out *narration.Printer) (summary string, err error) {
	for _, needed := range []string{cluster.OperatorBinary, cluster.InstallFolder} {
		if _, missing := os.Stat(needed); missing != nil {
			return "", fmt.Errorf("%s is missing: start this by `make soak`, in the root of the repository", needed)
		}
	}
	dir, err := os.MkdirTemp("", "gini-soak-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	out.Say("SOAK_DURATION=%s SOAK_USERS=%d SOAK_SEED=%d; starting etcd and a Kubernetes API server of %s", o.duration, o.users, o.seed, o.assets)
	k8s, err := cluster.Start(o.assets, dir, apiServerPatience)
	if err != nil {
		return "", err
	}
	defer func() { _ = k8s.Stop() }() // by force after a while: what watches it may be frozen or busy
	if err = k8s.Install(ctx); err != nil {
		return "", err
	}
	s := &soak{
		options: o, out: out, cluster: k8s, ginis: newGinis(), excuses: &excuses{}, faults: &faultCounts{byName: map[string]int{}},
		generations: map[*application]int{}, deleted: map[*user][]string{},
	}
	s.applications, s.users = populate(s.ginis, o.users)
	return s.run(ctx, dir)
}

// run starts the Ginis and the operators.
func (s *soak) run(ctx context.Context, dir string) (summary string, err error) {
	defer func() {
		for _, g := range s.ginis {
			g.server.Close()
		}
	}()
	urls := make([]string, 0, len(s.ginis))
	for _, g := range s.ginis {
		if g.url, err = g.server.Start(); err != nil {
			return "", err
		}
		urls = append(urls, g.url)
	}
	s.operators = newOperators(s.cluster, strings.Join(urls, ","), dir, s.out, s.excuses)
	jwks, url, err := startService(ctx, s.operators.jwksAddresses)
	if err != nil {
		return "", err
	}
	defer jwks.close()
	for _, a := range s.applications {
		a.register(url)
	}
	operating, stop := context.WithCancel(context.WithoutCancel(ctx)) // they are stopped after everything that needs them
	s.operators.start(operating)
	summary, err = s.work(ctx)
	stop()
	s.operators.wait()
	if err != nil {
		err = errors.Join(err, keep(dir))
	}
	return summary, err
}

// keep copies the operators' logs to where they outlive the run, and says so as an error.
func keep(dir string) error {
	if err := os.MkdirAll(keptLogs, 0o750); err != nil {
		return err
	}
	for _, name := range []string{"a", "b"} {
		data, err := os.ReadFile(logFile(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(keptLogs, filepath.Base(logFile(dir, name))), data, 0o600) //nolint:gosec // a constant folder
		}
		if err != nil {
			return fmt.Errorf("the log of operator %s cannot be kept: %w", name, err)
		}
	}
	return errors.New("the operators' logs are in " + keptLogs)
}

// work is the run itself, once everything is there.
func (s *soak) work(ctx context.Context) (string, error) {
	if _, _, err := s.operators.pair(ctx); err != nil {
		return "", err
	}
	if err := s.apply(ctx); err != nil {
		return "", err
	}
	if err := s.awaitReady(ctx); err != nil {
		return "", err
	}
	before, err := s.accounts(ctx)
	if err != nil {
		return "", err
	}
	s.out.Say("All GiniUsers are Ready. From now on a device uses each Secret every %s, and faults come for %s", usePause, s.options.duration)
	using, done := context.WithCancel(ctx)
	defer done()
	var running sync.WaitGroup
	begin := time.Now()
	s.use(using, &running)
	reading := make(chan error, 1)
	running.Go(func() { reading <- s.readLedgers(using) })

	err = s.play(ctx, begin.Add(s.options.duration))
	if err == nil {
		pause(ctx, time.Until(begin.Add(s.options.duration)))
		s.out.Say("The time is over; the users should be Ready")
		err = s.awaitReady(ctx)
	}
	if ctx.Err() != nil {
		err = cluster.Stopped(ctx)
	}
	end := time.Now()
	done()
	running.Wait()
	if e := <-reading; err == nil && e != nil {
		err = e
	}
	if ctx.Err() != nil {
		return "", err
	}
	v, e := s.conclude(ctx, before, begin, end)
	if err != nil || e != nil {
		return v.summary(), errors.Join(err, e, v.err())
	}
	return v.summary(), v.err()
}

// apply makes everything that a person would.
func (s *soak) apply(ctx context.Context) error {
	var objects []client.Object
	for _, a := range s.applications {
		objects = append(objects, a.credentials(0), a.object())
	}
	for _, u := range s.users {
		if u.flow.existing {
			objects = append(objects, u.account())
		}
		objects = append(objects, u.object())
	}
	for _, object := range objects {
		if err := s.cluster.Client.Create(ctx, object); err != nil {
			return fmt.Errorf("%T %s: %w", object, object.GetName(), err)
		}
	}
	s.out.Say("Made %d GiniClients and %d GiniUsers of %d flows", len(s.applications), len(s.users), len(flows))
	return nil
}

func (s *soak) awaitReady(ctx context.Context) error {
	for deadline := time.Now().Add(readyLimit); ; {
		var list api.GiniUserList
		err := s.cluster.Client.List(ctx, &list, client.InNamespace(namespace))
		var waiting []string
		for i := range list.Items {
			u := &list.Items[i]
			if !apimeta.IsStatusConditionTrue(u.Status.Conditions, api.ConditionReady) || u.Status.ObservedGeneration != u.Generation {
				waiting = append(waiting, u.Name+": "+reason(u))
			}
		}
		if err == nil && len(waiting) == 0 && len(list.Items) == len(s.users) {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(err, fmt.Errorf("%d of %d GiniUsers are there, and not Ready after %s are:\n  - %s",
				len(list.Items), len(s.users), readyLimit, strings.Join(waiting, "\n  - ")))
		}
		if !pause(ctx, lookPause) {
			return cluster.Stopped(ctx)
		}
	}
}

func reason(u *api.GiniUser) string {
	condition := apimeta.FindStatusCondition(u.Status.Conditions, api.ConditionReady)
	if condition == nil {
		return "the operator has not looked at it"
	}
	return condition.Reason + ": " + condition.Message
}

// use starts all devices.
func (s *soak) use(ctx context.Context, running *sync.WaitGroup) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = len(s.users)
	with := &usage{reader: s.cluster.Client, http: &http.Client{Timeout: useTimeout, Transport: transport}}
	for _, u := range s.users {
		for _, d := range u.devices {
			running.Go(func() { d.run(ctx, with) })
		}
	}
}

// readLedgers reads what the Ginis have seen until ctx ends, and then once more.
func (s *soak) readLedgers(ctx context.Context) error {
	told := time.Now()
	for {
		more := pause(ctx, readPause)
		for _, g := range s.ginis {
			ledger := g.server.Ledger()
			if err := g.readLedger(&ledger); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		if time.Since(told) >= progressPause {
			told = time.Now()
			s.tellProgress()
		}
	}
}

func (s *soak) tellProgress() {
	uses, renewals, refused := 0, 0, 0
	for _, u := range s.users {
		for _, d := range u.devices {
			moreUses, moreRenewals := d.counts()
			uses, renewals = uses+moreUses, renewals+moreRenewals
		}
	}
	for _, g := range s.ginis {
		g.mu.Lock()
		refused += len(g.refused)
		g.mu.Unlock()
	}
	faults, kills, _ := s.faults.total()
	s.out.Say("so far: %d uses, %d refused (excused or not), %d renewals, %d faults, %d kills", uses, refused, renewals, faults, kills)
}
