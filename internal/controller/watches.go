package controller

import (
	"context"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/delivery"
	"github.com/gini-operator/gini-operator/internal/target"
)

// Workers is how many GiniUsers are reconciled at once. They never wait for Gini, only for the API server.
const Workers = 8

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// SetupWithManager registers the reconciler of GiniUsers: what it watches, and the agenda as one more source.
func (r *GiniUserReconciler) SetupWithManager(mgr ctrl.Manager, sweep *agenda.Agenda) error {
	watches := userWatches{reader: mgr.GetClient(), memory: &r.memory, clock: r.Clock}
	building := ctrl.NewControllerManagedBy(mgr)
	if !r.NamesOnly {
		building = building.WatchesMetadata(&corev1.Namespace{}, watches.ofNamespaces())
	}
	if r.Pods != nil {
		building = building.Watches(&corev1.Pod{}, watches.ofPods())
	}
	return building.
		Named("giniuser").
		Watches(&api.GiniUser{}, watches.ofUsers()).
		Watches(&api.GiniClient{}, watches.ofClients()).
		WatchesMetadata(&corev1.Secret{}, watches.ofSecrets()).
		WatchesMetadata(&corev1.ConfigMap{}, watches.ofConfigMaps()).
		WatchesRawSource(source.Func(sweep.Start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: Workers}).
		Complete(r)
}

// SetupWithManager registers the reconciler of GiniClients. changed yields those that something was learned of.
func (r *GiniClientReconciler) SetupWithManager(mgr ctrl.Manager, changed source.Source) error {
	watches := clientWatches{reader: mgr.GetClient()}
	return ctrl.NewControllerManagedBy(mgr).
		Named("giniclient").
		Watches(&api.GiniClient{}, ofClientsThemselves()).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(watches.reading(indexReads))).
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(watches.reading(indexConfigMap))).
		WatchesRawSource(changed).
		WithOptions(controller.Options{MaxConcurrentReconciles: clientWorkers}).
		Complete(r)
}

// clientWorkers is how many GiniClients are reconciled at once: making an RSA key takes a worker a second.
const clientWorkers = 4

// ofClientsThemselves: each client, and none with a lower priority because it was there at the start.
func ofClientsThemselves() handler.EventHandler {
	it := func(object client.Object, q queue) { enqueue(q, agenda.First, client.ObjectKeyFromObject(object)) }
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { it(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { it(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { it(e.Object, q) },
	}
}

// SetupWithManager registers the publisher of JWK Sets, in every replica.
func (r *JWKSReconciler) SetupWithManager(mgr ctrl.Manager) error {
	everywhere := false
	watches := clientWatches{reader: mgr.GetClient()}
	return ctrl.NewControllerManagedBy(mgr).
		Named("jwks").
		For(&api.GiniClient{}).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(watches.reading(indexReads))).
		WithOptions(controller.Options{NeedLeaderElection: &everywhere}).
		Complete(r)
}

// enqueue puts users into the work queue with a priority of ours: the start-up list does not get a lower one than all other
// events, which would starve it.
func enqueue(q queue, priority int, keys ...types.NamespacedName) {
	prioritised, ok := q.(priorityqueue.PriorityQueue[reconcile.Request])
	for _, key := range keys {
		request := reconcile.Request{NamespacedName: key}
		if ok {
			prioritised.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, request)
		} else {
			q.Add(request)
		}
	}
}

// userWatches finds the GiniUsers that an event concerns.
type userWatches struct {
	reader client.Reader
	memory *memory
	clock  clock.PassiveClock
}

// ofUsers: the user itself, unless only its status changed, and others that want the same names.
func (w userWatches) ofUsers() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			user, _ := e.Object.(*api.GiniUser)
			priority := agenda.First
			if e.IsInInitialList {
				now := w.clock.Now().Round(0)
				priority = agenda.Priority(entryOf(user, now), now)
			}
			enqueue(q, priority, client.ObjectKeyFromObject(user))
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			before, _ := e.ObjectOld.(*api.GiniUser)
			after, _ := e.ObjectNew.(*api.GiniUser)
			if before.Generation != after.Generation || !after.DeletionTimestamp.Equal(before.DeletionTimestamp) ||
				before.Annotations[api.RefreshRequestedAnnotation] != after.Annotations[api.RefreshRequestedAnnotation] {
				enqueue(q, agenda.First, client.ObjectKeyFromObject(after))
			}
			if !slices.Equal(targetNames(before), targetNames(after)) {
				enqueue(q, agenda.Rest, w.rivals(ctx, before)...)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			user, _ := e.Object.(*api.GiniUser)
			enqueue(q, agenda.Rest, client.ObjectKeyFromObject(user))
			enqueue(q, agenda.Rest, w.rivals(ctx, user)...)
		},
	}
}

// rivals are users that want a Secret which this user has, or has had.
func (w userWatches) rivals(ctx context.Context, user *api.GiniUser) []types.NamespacedName {
	reads := UserIndexes[indexReads](user) // a name that clashed with one of them is free now
	keys := make([]types.NamespacedName, 0, len(reads))
	for _, name := range append(targetNames(user), reads...) {
		keys = append(keys, w.users(ctx, user.Namespace, indexTarget, name)...)
	}
	for _, name := range reads {
		keys = append(keys, w.users(ctx, user.Namespace, indexAccount, name)...)
	}
	return keys
}

// ofClients: the users of a client whose spec has changed, or that came or went.
func (w userWatches) ofClients() handler.EventHandler {
	all := func(ctx context.Context, object client.Object, q queue) {
		enqueue(q, agenda.Rest, w.users(ctx, "", indexClient, client.ObjectKeyFromObject(object).String())...)
	}
	clashing := func(ctx context.Context, object client.Object, q queue) { // with what the client read
		for _, name := range ClientIndexes[indexReads](object) {
			enqueue(q, agenda.Rest, w.users(ctx, object.GetNamespace(), indexTarget, name)...)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList { // the users are in a list of their own
				all(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() || !e.ObjectNew.GetDeletionTimestamp().IsZero() {
				all(ctx, e.ObjectNew, q)
				clashing(ctx, e.ObjectOld, q)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			all(ctx, e.Object, q)
			clashing(ctx, e.Object, q)
		},
	}
}

// ofSecrets: the user that a Secret was made for, those that want its name, those that read it, and the users of clients that read it.
func (w userWatches) ofSecrets() handler.EventHandler {
	return w.ofObjects(func(ctx context.Context, object client.Object) []types.NamespacedName {
		namespace, name := object.GetNamespace(), object.GetName()
		var keys []types.NamespacedName
		if holder := target.HolderOf(object); holder != "" {
			keys = append(keys, types.NamespacedName{Namespace: namespace, Name: holder})
		}
		keys = append(keys, w.users(ctx, namespace, indexTarget, name)...)
		keys = append(keys, w.users(ctx, namespace, indexReads, name)...)
		return append(keys, w.usersOfReaders(ctx, namespace, indexReads, name)...)
	})
}

// ofConfigMaps: the users of clients that read a ConfigMap.
func (w userWatches) ofConfigMaps() handler.EventHandler {
	return w.ofObjects(func(ctx context.Context, object client.Object) []types.NamespacedName {
		return w.usersOfReaders(ctx, object.GetNamespace(), indexConfigMap, object.GetName())
	})
}

// ofObjects leaves out the start-up list, as all users are in one of their own.
func (w userWatches) ofObjects(concerned func(context.Context, client.Object) []types.NamespacedName) handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList && !w.ownWrite(e.Object) {
				enqueue(q, agenda.Urgent, concerned(ctx, e.Object)...)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if e.ObjectOld.GetResourceVersion() != e.ObjectNew.GetResourceVersion() && !w.ownWrite(e.ObjectNew) {
				enqueue(q, agenda.Urgent, concerned(ctx, e.ObjectNew)...)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			enqueue(q, agenda.Urgent, concerned(ctx, e.Object)...)
		},
	}
}

// ownWrite reports whether an event is the echo of what was written for the user that a Secret was made for.
func (w userWatches) ownWrite(object client.Object) bool {
	holder := types.NamespacedName{Namespace: object.GetNamespace(), Name: target.HolderOf(object)}
	return w.memory.isOwnWrite(holder, object.GetName(), object.GetResourceVersion())
}

// ofPods: the users whose Secrets a pod that comes or goes reads in a way that shows no change, as their status warns of that.
func (w userWatches) ofPods() handler.EventHandler {
	concerned := func(ctx context.Context, object client.Object, q queue) {
		pod, _ := object.(*corev1.Pod)
		for name, how := range delivery.SecretsOf(&pod.Spec) {
			if how.Once {
				enqueue(q, agenda.Rest, w.users(ctx, pod.Namespace, indexTarget, name)...)
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList { // the users are in a list of their own
				concerned(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			before, _ := e.ObjectOld.(*corev1.Pod)
			after, _ := e.ObjectNew.(*corev1.Pod)
			if delivery.Outlives(before) != delivery.Outlives(after) {
				concerned(ctx, after, q)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { concerned(ctx, e.Object, q) },
	}
}

// ofNamespaces: the users in a namespace whose labels have changed, as far as they use a client of another one.
func (w userWatches) ofNamespaces() handler.EventHandler {
	concerned := func(ctx context.Context, namespace string, q queue) {
		var users api.GiniUserList
		if err := w.reader.List(ctx, &users, client.InNamespace(namespace)); err != nil {
			return // the cache is being stopped
		}
		for i := range users.Items {
			if user := &users.Items[i]; clientKey(user).Namespace != user.Namespace {
				enqueue(q, agenda.Rest, client.ObjectKeyFromObject(user))
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList { // its users may have been seen first
				concerned(ctx, e.Object.GetName(), q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if !maps.Equal(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels()) {
				concerned(ctx, e.ObjectNew.GetName(), q)
			}
		},
	}
}

func (w userWatches) users(ctx context.Context, namespace, field, value string) []types.NamespacedName {
	var users api.GiniUserList
	if err := w.reader.List(ctx, &users, client.InNamespace(namespace), client.MatchingFields{field: value}); err != nil {
		return nil // the cache is being stopped
	}
	keys := make([]types.NamespacedName, 0, len(users.Items))
	for i := range users.Items {
		keys = append(keys, client.ObjectKeyFromObject(&users.Items[i]))
	}
	return keys
}

func (w userWatches) usersOfReaders(ctx context.Context, namespace, field, name string) []types.NamespacedName {
	object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	readers := clientWatches{reader: w.reader}.reading(field)(ctx, object)
	keys := make([]types.NamespacedName, 0, len(readers))
	for _, request := range readers {
		keys = append(keys, w.users(ctx, "", indexClient, request.String())...)
	}
	return keys
}

// clientWatches finds the GiniClients that an event concerns.
type clientWatches struct{ reader client.Reader }

// reading finds the GiniClients that read an object.
func (w clientWatches) reading(field string) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []reconcile.Request {
		var clients api.GiniClientList
		if err := w.reader.List(ctx, &clients, client.InNamespace(object.GetNamespace()), client.MatchingFields{field: object.GetName()}); err != nil {
			return nil // the cache is being stopped
		}
		requests := make([]reconcile.Request, 0, len(clients.Items))
		for i := range clients.Items {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&clients.Items[i])})
		}
		return requests
	}
}

// IsClientLaneKey reports whether a key is one of LaneKey, and whose.
func IsClientLaneKey(key types.NamespacedName) (types.NamespacedName, bool) {
	name, ok := strings.CutPrefix(key.Name, laneKeyPrefix)
	return types.NamespacedName{Namespace: key.Namespace, Name: name}, ok
}
