// Package operator puts the parts of the operator together in a manager.
package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/controller"
	"github.com/gini-operator/gini-operator/internal/delivery"
	"github.com/gini-operator/gini-operator/internal/jwks"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/metrics"
	"github.com/gini-operator/gini-operator/internal/registry"
	"github.com/gini-operator/gini-operator/internal/target"
)

// Options of the operator.
type Options struct {
	// AllowedHosts are the hosts that GiniClients may name; see registry.ParseAllowedHosts.
	AllowedHosts []string
	// ConnectTimeout and RequestTimeout bound requests to Gini; 0: 15 s and 60 s.
	ConnectTimeout, RequestTimeout time.Duration
	// Clock is the wall clock; the real one where it is nil.
	Clock clock.WithTickerAndDelayedExecution
	// JWKSAddress is where JWK Sets are served, as in ":8082"; "" or "0": nowhere.
	JWKSAddress string
	// WatchNamespaces are the only namespaces that the operator looks at; none: all of them. Unreadable are those of them that it cannot
	// read: nothing in these is served.
	WatchNamespaces, Unreadable []string
	// NudgePods lets the operator look at pods, and touch an annotation of those that mount a Secret whose credential was renewed.
	NudgePods bool
	// RolloutRestarts lets the operator restart workloads that consent, for GiniUsers that name them.
	RolloutRestarts bool
	// Lease is what operators compete for; nil where they do not.
	Lease *Lease
	// Metrics is where metrics are registered; controller-runtime's registry where it is nil.
	Metrics prometheus.Registerer
}

// ManagerOptions are the options of a manager that the operator runs in: Secrets, ConfigMaps and Namespaces are cached as
// metadata only, and of Secrets that are not the operator's no more than what tells that they have changed.
//
// With namespaces, it looks at those only, and needs no right in others, nor to Namespaces themselves.
func ManagerOptions(scheme *runtime.Scheme, namespaces ...string) manager.Options {
	var watched map[string]cache.Config
	for _, namespace := range namespaces {
		if watched == nil {
			watched = map[string]cache.Config{}
		}
		watched[namespace] = cache.Config{}
	}
	grace := 30 * time.Second
	return manager.Options{
		Scheme:                  scheme,
		GracefulShutdownTimeout: &grace,
		// One that waits to lead has seen all there is already.
		Controller: config.Controller{EnableWarmup: ptr.To(true)},
		Cache: cache.Options{
			DefaultTransform:  cache.TransformStripManagedFields(),
			DefaultNamespaces: watched,
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Secret{}:    {Transform: slim},
				&corev1.ConfigMap{}: {Transform: slim},
				&corev1.Pod{}:       {Transform: slimPod},
			},
			ReaderFailOnMissingInformer: true,
		},
	}
}

// slim takes out of an object's metadata what nobody reads: of Secrets that are ours, or consent to become so, the managed
// fields only.
func slim(object any) (any, error) {
	meta, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	meta.ManagedFields = nil
	if meta.Labels[api.ManagedByLabel] == api.ManagedByValue || meta.Labels[api.AdoptByLabel] != "" {
		return meta, nil
	}
	var controllers []metav1.OwnerReference
	if owner := metav1.GetControllerOf(meta); owner != nil {
		controllers = []metav1.OwnerReference{*owner}
	}
	meta.ObjectMeta = metav1.ObjectMeta{
		Name: meta.Name, Namespace: meta.Namespace, UID: meta.UID, ResourceVersion: meta.ResourceVersion, OwnerReferences: controllers,
	}
	return meta, nil
}

// slimPod keeps of a pod what tells how it reads Secrets.
func slimPod(object any) (any, error) {
	if pod, ok := object.(*corev1.Pod); ok {
		return delivery.Slim(pod, api.NudgedAtAnnotation), nil
	}
	return object, nil
}

// AddTo adds the operator to a manager. If it is told to look at namespaces, and can read none of them, there is nothing to add.
func AddTo(ctx context.Context, mgr ctrl.Manager, options Options) error {
	allowed, err := registry.ParseAllowedHosts(options.AllowedHosts)
	if err != nil {
		return err
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Metrics == nil {
		options.Metrics = ctrlmetrics.Registry
	}
	var reader client.Reader = mgr.GetClient()
	if len(options.WatchNamespaces) > 0 {
		readable := without(options.WatchNamespaces, options.Unreadable)
		if len(readable) == 0 {
			return nil // a cache of no namespaces is one of all
		}
		reader = within{reader, readable}
	}
	requests, keys := metrics.NewRequests(options.Metrics), metrics.NewKeys(options.Metrics)
	if err := controller.AddIndexes(ctx, mgr.GetFieldIndexer(), options.NudgePods); err != nil {
		return fmt.Errorf("the cache cannot be indexed: %w", err)
	}
	live := bounded{reader: mgr.GetAPIReader()}
	learned := &notifier{}
	sweep := &agenda.Agenda{Clock: options.Clock, Leads: mgr.Elected()}
	queue := router{users: sweep, clients: learned}
	options.Lease.tellBy(mgr)
	lanes := lane.New(lane.Options{
		Clock: options.Clock, Queue: queue, Notify: learned.notify, Leads: options.Lease.Fresh, Log: mgr.GetLogger().WithName("lane"),
	})
	applications := &registry.Registry{
		Metadata: mgr.GetCache(), Live: live, Allowed: allowed, Lanes: lanes, Clock: options.Clock, Observe: requests.Observe,
		ConnectTimeout: options.ConnectTimeout, RequestTimeout: options.RequestTimeout,
	}
	secrets := target.Secrets{Live: live, Writer: client.WithFieldOwner(mgr.GetClient(), controller.FieldManager)}
	users := &controller.GiniUserReconciler{
		Reader: reader, Metadata: mgr.GetCache(), Status: mgr.GetClient(), Secrets: secrets, NamesOnly: len(options.WatchNamespaces) > 0,
		Registry: applications, Lanes: lanes, Queue: queue, Events: mgr.GetEventRecorder("gini-operator"), Clock: options.Clock,
	}
	if options.NudgePods {
		users.Pods = mgr.GetClient()
	}
	users.Restarts = options.RolloutRestarts
	sweep.Entries, sweep.Room = users.Entries, applications.Room
	agenda.NewWatchdog(sweep, options.Metrics)
	clients := &controller.GiniClientReconciler{
		Reader: mgr.GetClient(), Status: mgr.GetClient(), Registry: applications, Secrets: secrets,
		Events: mgr.GetEventRecorder("gini-operator"), Clock: options.Clock, Keys: keys.Set, NamesOnly: len(options.WatchNamespaces) > 0,
		Gone: func(name types.NamespacedName) {
			requests.Forget(name)
			keys.Forget(name)
		},
	}
	return errors.Join(
		serveJWKS(mgr, live, options),
		deliverToPods(mgr, live, options),
		mgr.AddHealthzCheck("agenda", sweep.Alive),
		users.SetupWithManager(mgr, sweep),
		clients.SetupWithManager(mgr, source.Func(learned.start)),
		mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
			<-ctx.Done()
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), lanesGrace)
			defer cancel()
			return lanes.Close(ending)
		})),
	)
}

// deliverToPods adds what brings changed Secrets to pods, as far as the installation wants it.
func deliverToPods(mgr ctrl.Manager, live client.Reader, options Options) error {
	var err error
	if options.NudgePods {
		err = (&controller.PodReconciler{
			Reader: mgr.GetClient(), Metadata: mgr.GetCache(), Writer: mgr.GetClient(), Clock: options.Clock,
		}).SetupWithManager(mgr)
	}
	if options.RolloutRestarts {
		err = errors.Join(err, (&controller.WorkloadReconciler{
			Reader: mgr.GetClient(), Metadata: mgr.GetCache(), Live: live, Writer: mgr.GetClient(),
			Events: mgr.GetEventRecorder("gini-operator"), Clock: options.Clock,
		}).SetupWithManager(mgr))
	}
	return err
}

// serveJWKS publishes the JWK Sets of GiniClients, in every replica.
func serveJWKS(mgr ctrl.Manager, live client.Reader, options Options) error {
	if options.JWKSAddress == "" || options.JWKSAddress == "0" {
		return nil
	}
	publisher := &controller.JWKSReconciler{Reader: mgr.GetClient(), Metadata: mgr.GetCache(), Live: live}
	sets := jwks.NewSets(func(ctx context.Context, name types.NamespacedName) (bool, error) {
		if len(options.WatchNamespaces) > 0 && !slices.Contains(options.WatchNamespaces, name.Namespace) {
			return false, nil
		}
		if slices.Contains(options.Unreadable, name.Namespace) {
			return false, errUnreadable
		}
		return publisher.Publishes(ctx, name)
	})
	publisher.Sets = sets
	return errors.Join(
		publisher.SetupWithManager(mgr),
		mgr.Add(&jwks.Server{
			Address: options.JWKSAddress, Sets: sets, Requests: jwks.NewRequests(options.Metrics), Log: mgr.GetLogger().WithName("jwks"),
		}),
	)
}

// errUnreadable keeps those who fetch JWK Sets from taking a namespace that cannot be read for one without any.
var errUnreadable = errors.New("the operator cannot read this namespace")

// lanesGrace is how long requests to Gini that are under way may take to end, when the operator is stopped.
const lanesGrace = 25 * time.Second

// CachesSynced is ready once the operator has seen the cluster.
func CachesSynced(mgr ctrl.Manager) func(*http.Request) error {
	return func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
}

// notifier hands GiniClients that something was learned of to their controller. It never blocks.
type notifier struct {
	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// start is the source: it takes hold of the controller's queue. What was learned before then is seen by the start-up list.
func (n *notifier) start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue = queue
	return nil
}

func (n *notifier) notify(key types.NamespacedName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.queue != nil {
		n.queue.Add(reconcile.Request{NamespacedName: key})
	}
}

// router sends each key back to where it came from: to the users' work queue, or to the clients'.
type router struct {
	users   *agenda.Agenda
	clients *notifier
}

// Enqueue implements lane.Queue.
func (r router) Enqueue(key types.NamespacedName, priority int, after time.Duration) {
	if giniClient, ok := controller.IsClientLaneKey(key); ok {
		r.clients.notify(giniClient)
		return
	}
	r.users.Enqueue(key, priority, after)
}
