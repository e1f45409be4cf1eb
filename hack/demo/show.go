package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/hack/internal/cluster"
	"github.com/gini-operator/gini-operator/hack/internal/narration"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	// wantRenewals of each access token and JWT and wantUses of each Secret end a demo that ends by itself.
	wantRenewals, wantUses = 3, 60
	// readyLimit is when the users must be Ready, and watchLimit when all that is wanted must have been seen.
	readyLimit, watchLimit = 2 * time.Minute, 6 * time.Minute
	lookPause              = 500 * time.Millisecond
	// progressPause lies between two lines that only say that all is well.
	progressPause = 15 * time.Second
)

// show is what there is to see once everything runs.
type show struct {
	mode    mode
	out     *narration.Printer
	k8s     *cluster.Cluster
	gini    *emulator.Server
	url     string
	jwksURL string
	samples *samples
}

// perform applies the samples, waits until they are Ready, uses them, and says what came of it.
func (s *show) perform(ctx context.Context) (summary string, err error) {
	s.out.Say("kubectl apply --server-side -k %s", overlayFolder)
	applied, err := s.k8s.Kubectl(ctx, s.samples.at(s.url), "apply", "--server-side", "-f", "-")
	if err != nil {
		return "", err
	}
	s.out.Show(applied)
	if err := s.awaitReady(ctx); err != nil {
		return "", err
	}
	if err := s.tour(ctx); err != nil {
		return "", err
	}
	return s.useSecrets(ctx)
}

func (s *show) awaitReady(ctx context.Context) error {
	told, deadline := "", time.Now().Add(readyLimit)
	for {
		all, ready, waiting, err := s.users(ctx)
		if err != nil {
			return err
		}
		if now := progress(all, ready, waiting); now != told {
			s.out.Say("%s", now)
			told = now
		}
		if all > 0 && ready == all {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d GiniUsers are Ready after %s; not so:\n  - %s", ready, all, readyLimit, strings.Join(lines(waiting), "\n  - "))
		}
		if !pause(ctx, lookPause) {
			return cluster.Stopped(ctx)
		}
	}
}

// notReady is why a GiniUser is not Ready.
type notReady struct{ user, reason, message string }

// users counts GiniUsers, those that are Ready, and tells of the others.
func (s *show) users(ctx context.Context) (all, ready int, waiting []notReady, err error) {
	var list api.GiniUserList
	if err := s.k8s.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		if ctx.Err() != nil {
			err = cluster.Stopped(ctx)
		}
		return 0, 0, nil, err
	}
	for i := range list.Items {
		user := &list.Items[i]
		condition := meta.FindStatusCondition(user.Status.Conditions, api.ConditionReady)
		switch {
		case condition == nil:
			waiting = append(waiting, notReady{user.Name, api.ReasonPending, "the operator has not looked at it yet"})
		case condition.Status != metav1.ConditionTrue || user.Status.ObservedGeneration != user.Generation:
			waiting = append(waiting, notReady{user.Name, condition.Reason, condition.Message})
		default:
			ready++
		}
	}
	return len(list.Items), ready, waiting, nil
}

func progress(all, ready int, waiting []notReady) string {
	line := fmt.Sprintf("%d of %d GiniUsers are Ready", ready, all)
	for i, w := range waiting {
		line += fmt.Sprintf("%s %s (%s)", []string{"; waiting for", ","}[min(i, 1)], w.user, w.reason)
	}
	return line
}

func lines(waiting []notReady) []string {
	told := make([]string, 0, len(waiting))
	for _, w := range waiting {
		told = append(told, fmt.Sprintf("%s: %s: %s", w.user, w.reason, w.message))
	}
	return told
}

// tour shows what the cluster has now, and how to look at it.
func (s *show) tour(ctx context.Context) error {
	resources, err := s.k8s.Kubectl(ctx, "", "get", "gini")
	if err != nil {
		return err
	}
	secrets, err := s.k8s.Kubectl(ctx, "", "get", "secrets", "-l", api.ManagedByLabel+"="+api.ManagedByValue, "-L", api.UserLabel, "-L", api.DeviceLabel)
	if err != nil {
		return err
	}
	set, err := fetch(ctx, s.jwksURL)
	if err != nil {
		return err
	}
	s.out.Show("$ kubectl get gini\n" + resources + "\n$ kubectl get secrets -l " + api.ManagedByLabel + "=" + api.ManagedByValue + "\n" + secrets +
		"\n$ curl " + s.jwksURL + "\n" + set)
	s.out.Show("To look around, in another terminal:\n\n" +
		"  export KUBECONFIG=" + s.k8s.Config + "\n" +
		"  export PATH=" + s.k8s.Assets() + ":$PATH\n" +
		"  kubectl get gini -o wide\n" +
		"  kubectl describe giniclient acme-jwt               # the key that signs JWTs, and the next one\n" +
		"  kubectl delete secret untrusted-basic-token        # it is back within seconds\n" +
		"  kubectl annotate giniuser untrusted-basic " + api.RefreshRequestedAnnotation + `="$(date)" --overwrite` + "\n" +
		"  kubectl get events\n" +
		"  curl '" + s.url + "/ledger?summary=true'   # what the emulator has seen")
	if !s.mode.once {
		s.out.Line("Stop it with Ctrl-C.\n")
	}
	return nil
}

// fetch reads a JWK Set, as Gini does.
func fetch(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	answer, err := (&http.Client{Timeout: useTimeout}).Do(request)
	if err != nil {
		return "", fmt.Errorf("the JWK Set cannot be fetched: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the JWK Set cannot be fetched: %s answers %s", url, answer.Status)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", fmt.Errorf("the JWK Set cannot be read: %w", err)
	}
	return string(body), nil
}

// useSecrets lets a device use each Secret until there is enough, or somebody stops it.
func (s *show) useSecrets(ctx context.Context) (string, error) {
	devices := devicesOf(s.samples.users, s.url, s.k8s.Client, s.out)
	s.out.Say("%d devices use a Secret each, once a second", len(devices))
	using, done := context.WithCancel(ctx)
	defer done()
	var running sync.WaitGroup
	for _, d := range devices {
		running.Go(func() { d.run(using) })
	}
	counts := newTally(s.mode.sticky)
	err := s.watch(ctx, counts, devices)
	interrupted := err != nil && ctx.Err() != nil
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), useTimeout)
	defer cancel()
	v, looked := s.conclude(final, counts, devices, func() { done(); running.Wait() })
	switch {
	case interrupted && !s.mode.once && errors.Is(context.Cause(ctx), context.Canceled):
		return v.summary(), nil // a person has seen enough
	case err != nil || looked != nil:
		return v.summary(), errors.Join(err, looked)
	}
	return v.summary(), v.err()
}

// watch reads the ledger until it holds all that is wanted, and says now and then that all is well.
func (s *show) watch(ctx context.Context, counts *tally, devices []*device) error {
	begin, told := time.Now(), time.Now()
	wanted := kinds(devices)
	for {
		if err := counts.add(s.gini.Ledger()); err != nil {
			return err
		}
		if s.mode.once && (len(counts.missing(wanted)) == 0 || time.Since(begin) > watchLimit) {
			return nil
		}
		if time.Since(told) >= progressPause {
			told = time.Now()
			sum := counts.total()
			s.out.Say("%s", strings.TrimSpace(fmt.Sprintf("so far: %d uses, %d refused, %d renewals %s", sum.uses, sum.refused, sum.renewals, s.gaps(sum))))
		}
		if !pause(ctx, lookPause) {
			return cluster.Stopped(ctx)
		}
	}
}

func (s *show) gaps(sum record) string {
	if !s.mode.sticky {
		return ""
	}
	return fmt.Sprintf("(%d uses in gaps, of %s at most)", sum.gaps, sum.worst.Round(time.Millisecond))
}

// conclude looks at the cluster, stops the devices, and reads the rest of the ledger.
func (s *show) conclude(ctx context.Context, counts *tally, devices []*device, stop func()) (verdict, error) {
	v := verdict{samples: len(s.samples.users), anonymous: s.samples.anonymous(), sticky: s.mode.sticky}
	var err error
	if v.users, v.ready, _, err = s.users(ctx); err != nil {
		stop()
		return v, err
	}
	resources, err := s.k8s.Kubectl(ctx, "", "get", "gini")
	stop()
	if err != nil {
		return v, err
	}
	s.out.Show("$ kubectl get gini\n" + resources)
	ledger := s.gini.Ledger()
	err = counts.add(ledger)
	v.total, v.accounts = counts.total(), len(ledger.Accounts())
	v.missing = counts.missing(kinds(devices))
	if s.mode.sticky {
		s.out.Say("no device went without a valid token for longer than %s; each looks once a second", v.total.worst.Round(time.Millisecond))
	}
	return v, err
}

// kinds counts the devices of each kind.
func kinds(devices []*device) map[kind]int {
	counts := map[kind]int{}
	for _, d := range devices {
		counts[d.kind]++
	}
	return counts
}

// pause is false where ctx has ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
