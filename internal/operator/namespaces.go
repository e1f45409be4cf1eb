package operator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/metrics"
)

const (
	// namespacesPause lies between two looks at what can be read.
	namespacesPause = 15 * time.Second
	// startOverPause lies between two starts of the operator at least: whoever gives rights and takes them away must not keep it from working.
	startOverPause = time.Minute
)

// cachedRights are what a namespace is read with. One informer that may not list holds up all others, those of other namespaces among them:
// so a namespace is read as a whole, or not at all.
var cachedRights = []right{
	{"credentials.gini.net", "giniclients", []string{"list", "watch"}},
	{"credentials.gini.net", "giniusers", []string{"list", "watch"}},
	{"", "secrets", []string{"list", "watch"}},
	{"", "configmaps", []string{"list", "watch"}},
}

// Namespaces are those that the operator is told to look at, and what it may read of them. A nil one stands for all namespaces.
type Namespaces struct {
	asked      client.Client
	clock      clock.Clock
	log        logr.Logger
	metrics    *metrics.Namespaces
	started    time.Time
	wanted     []string
	unreadable []string          // when the operator started: nothing in these is served
	missing    map[string]string // the right that is missing, as it was seen last, by namespace
	changed    chan struct{}
}

// FindNamespaces looks which namespaces can be read; none are all of them. It needs no rights but those that every account has, and takes
// a namespace for readable unless the API server denies it. Metrics are registered in controller-runtime's registry where registry is nil.
func FindNamespaces(
	ctx context.Context, asked client.Client, wanted []string, registry prometheus.Registerer, clock clock.Clock, log logr.Logger,
) *Namespaces {
	if len(wanted) == 0 {
		return nil
	}
	if registry == nil {
		registry = ctrlmetrics.Registry
	}
	n := &Namespaces{
		asked: asked, clock: clock, log: log, metrics: metrics.NewNamespaces(registry), started: clock.Now().Round(0), wanted: wanted,
		missing: map[string]string{}, changed: make(chan struct{}),
	}
	if err := n.look(ctx); err != nil {
		log.Error(err, "The namespaces of --watch-namespaces cannot be looked at: they are taken for readable, and this is tried again")
	}
	for _, namespace := range wanted {
		if n.missing[namespace] != "" {
			n.unreadable = append(n.unreadable, namespace)
		}
	}
	return n
}

// Readable are the namespaces that could be read at the start.
func (n *Namespaces) Readable() []string {
	if n == nil {
		return nil
	}
	return without(n.wanted, n.unreadable)
}

// Unreadable are the namespaces that could not be read at the start.
func (n *Namespaces) Unreadable() []string {
	if n == nil {
		return nil
	}
	return n.unreadable
}

// Changed is closed when the operator should start over, as a namespace can be read that could not be. A nil one never changes.
func (n *Namespaces) Changed() <-chan struct{} {
	if n == nil {
		return nil
	}
	return n.changed
}

// Watch looks again and again, until the context ends or the operator should start over. Filled waits until the caches are filled, and tells
// whether they are.
func (n *Namespaces) Watch(ctx context.Context, filled func(context.Context) bool) {
	if n == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.clock.After(namespacesPause):
		}
		if err := n.look(ctx); err != nil {
			if ctx.Err() == nil {
				n.log.Error(err, "The namespaces of --watch-namespaces cannot be looked at: this is tried again")
			}
			continue
		}
		if n.clock.Now().Round(0).Sub(n.started) >= startOverPause && n.startsOver(ctx, filled) {
			close(n.changed)
			return
		}
	}
}

// startsOver decides whether other namespaces are to be served. One that can no longer be read is no reason: its watches go on by themselves
// when it comes back, and whoever may take rights away in one namespace must not stop the others. It is one only if the caches were
// not filled before, as they never would be.
func (n *Namespaces) startsOver(ctx context.Context, filled func(context.Context) bool) bool {
	for _, namespace := range n.unreadable {
		if n.missing[namespace] == "" {
			n.log.Info("A namespace can be read that could not be: the operator starts over, to serve it too", "namespace", namespace)
			return true
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, namespace := range n.Readable() {
		if n.missing[namespace] != "" && !filled(ctx) {
			n.log.Info("A namespace cannot be read that was taken for readable: the operator starts over, without it", "namespace", namespace)
			return true
		}
	}
	return false
}

// look asks for each namespace whether it can be read, and tells what has changed.
func (n *Namespaces) look(ctx context.Context) error {
	for _, namespace := range n.wanted {
		missing, err := missingRight(ctx, n.asked, cachedRights, []string{namespace})
		if err != nil {
			return fmt.Errorf("the API server does not say what rights the operator has: %w", err)
		}
		before, known := n.missing[namespace]
		switch {
		case missing != "" && known && before == "":
			n.log.Error(nil, "A namespace of --watch-namespaces can no longer be read: what the operator knows of it gets old, and everything else is served. "+
				"If it was deleted, take it out. Else give the operator its rights there again: it will notice", "namespace", namespace, "missing", missing)
		case missing != "" && !known:
			n.log.Error(nil, "A namespace of --watch-namespaces cannot be read: nothing in it is served, and everything else is. "+
				"If it does not exist, create it. Give the operator its rights there: it will notice", "namespace", namespace, "missing", missing)
		case missing == "" && known && before != "":
			n.log.Info("A namespace of --watch-namespaces can be read now", "namespace", namespace)
		}
		n.missing[namespace] = missing
		n.metrics.Set(namespace, missing == "")
	}
	return nil
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(some, name) })
}

// within reads from a cache of these namespaces: what is in any other is not there. The cache itself answers with an error there.
type within struct {
	client.Reader
	namespaces []string
}

// Get implements client.Reader.
func (w within) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if !slices.Contains(w.namespaces, key.Namespace) {
		return apierrors.NewNotFound(api.GroupVersion.WithResource("objects").GroupResource(), key.String())
	}
	return w.Reader.Get(ctx, key, object, options...)
}
