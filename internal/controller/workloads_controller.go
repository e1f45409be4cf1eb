package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/delivery"
	"github.com/gini-operator/gini-operator/internal/target"
)

// workload names one workload.
type workload struct {
	kind api.WorkloadKind
	types.NamespacedName
}

// String is as people write it: "Deployment payments/web".
func (w workload) String() string { return fmt.Sprintf("%s %s", w.kind, w.NamespacedName) }

// WorkloadReconciler restarts workloads that read a Secret only once, after its credential was renewed: where a GiniUser asks for it, and
// the workload consents. What a workload was restarted for stands in an annotation of its pods' template.
type WorkloadReconciler struct {
	// Reader reads GiniUsers and GiniClients, from the manager's cache.
	Reader client.Reader
	// Metadata reads the metadata of Secrets, from the manager's cache.
	Metadata client.Reader
	// Live reads workloads from the API server.
	Live client.Reader
	// Writer patches workloads.
	Writer client.Writer
	// Events tells people.
	Events events.EventRecorder
	// Clock is the wall clock.
	Clock clock.PassiveClock
}

// Reconcile restarts one workload, where that is due.
func (r *WorkloadReconciler) Reconcile(ctx context.Context, key workload) (ctrl.Result, error) {
	defer hidePanic()
	credentials, users, err := r.asked(ctx, key)
	if err != nil || len(credentials) == 0 {
		return ctrl.Result{}, err
	}
	object, template := newWorkload(key)
	if err := r.Live.Get(ctx, key.NamespacedName, object); err != nil {
		if apierrors.IsNotFound(err) {
			r.tell(users, api.ReasonRestartNotAllowed, "%s, which rolloutRestart names, does not exist", key)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !object.GetDeletionTimestamp().IsZero() {
		return ctrl.Result{}, nil
	}
	read := delivery.SecretsOf(&template.Spec)
	credentials = slices.DeleteFunc(credentials, func(c delivery.Credential) bool { return !read[c.Secret].Once })
	if len(credentials) == 0 {
		return ctrl.Result{}, nil // it mounts them, or does not read them at all
	}
	interval, consents := delivery.Consent(object.GetAnnotations()[api.AllowRestartAnnotation])
	if !consents {
		r.tell(users, api.ReasonRestartNotAllowed, "%s is not restarted, as it does not consent: annotate it with %s=true", key, api.AllowRestartAnnotation)
		return ctrl.Result{}, nil
	}
	if byHand(object) {
		r.tell(users, api.ReasonRestartNotAllowed, "%s is not restarted, as it is paused or replaces its pods only when they are deleted (OnDelete)", key)
		return ctrl.Result{}, nil
	}
	now := r.Clock.Now()
	decision := delivery.DecideRestart(template.Annotations[api.RestartedAtAnnotation], object.GetCreationTimestamp().Time, interval, credentials, now)
	switch {
	case decision.TooOften != "":
		r.tell(users, api.ReasonRestartTooOften, "%s is not restarted: the credential in Secret %s lives too short for a restart every %s, "+
			"which is what the annotation %s allows. Mount the Secret as a volume instead, or allow it with a shorter duration",
			key, decision.TooOften, interval, api.AllowRestartAnnotation)
		return ctrl.Result{}, nil
	case decision.Due.IsZero():
		return ctrl.Result{}, nil
	case decision.Due.After(now):
		return ctrl.Result{RequeueAfter: decision.Due.Sub(now)}, nil
	}
	return ctrl.Result{}, r.restart(ctx, key, object, decision.Value)
}

// byHand reports whether a changed template restarts no pod by itself.
func byHand(object client.Object) bool {
	switch object := object.(type) {
	case *appsv1.Deployment:
		return object.Spec.Paused
	case *appsv1.StatefulSet:
		return object.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
	case *appsv1.DaemonSet:
		return object.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType
	}
	return false
}

// asked are the credentials for which GiniUsers ask for the restart of a workload, and these users.
func (r *WorkloadReconciler) asked(ctx context.Context, key workload) (credentials []delivery.Credential, users []*api.GiniUser, err error) {
	var list api.GiniUserList
	err = r.Reader.List(ctx, &list, client.InNamespace(key.Namespace), client.MatchingFields{indexRestarts: restartKey(key.kind, key.Name)})
	if err != nil {
		return nil, nil, err
	}
	for i := range list.Items {
		user, asks := &list.Items[i], false
		for name, how := range deliveries(user) {
			if !restarts(how, key.kind, key.Name) {
				continue
			}
			held, err := deliveredBy(ctx, r.Reader, r.Metadata, types.NamespacedName{Namespace: key.Namespace, Name: name})
			if err != nil {
				return nil, nil, err
			}
			if held != nil && held.user.UID == user.UID {
				credentials, asks = append(credentials, held.credential), true
			}
		}
		if asks {
			users = append(users, user)
		}
	}
	return credentials, users, nil
}

// restart touches the annotation of the pods' template, and nothing else: an admission policy lets the operator do no more.
func (r *WorkloadReconciler) restart(ctx context.Context, key workload, object client.Object, value string) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": object.GetUID(), "resourceVersion": object.GetResourceVersion()}, // the consent that was seen
		"spec":     map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]string{api.RestartedAtAnnotation: value}}}},
	})
	if err != nil {
		return err
	}
	patched, _ := newWorkload(key)
	patched.SetNamespace(key.Namespace)
	patched.SetName(key.Name)
	err = r.Writer.Patch(ctx, patched, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldManager))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	logf.FromContext(ctx).Info("Restarted: what its pods read from Secrets has changed", "workload", key.String())
	r.Events.Eventf(object, nil, corev1.EventTypeNormal, api.ReasonRestarted, "Restart", "Restarted, as a credential that its pods read has changed")
	return nil
}

func (r *WorkloadReconciler) tell(users []*api.GiniUser, reason, format string, args ...any) {
	for _, user := range users {
		inform(r.Events, reference(user), corev1.EventTypeWarning, reason, "Restart", fmt.Sprintf(format, args...))
	}
}

// newWorkload is an empty object of a kind, and where its template will be.
func newWorkload(key workload) (client.Object, *corev1.PodTemplateSpec) {
	switch key.kind {
	case api.StatefulSetKind:
		object := &appsv1.StatefulSet{}
		return object, &object.Spec.Template
	case api.DaemonSetKind:
		object := &appsv1.DaemonSet{}
		return object, &object.Spec.Template
	default:
		object := &appsv1.Deployment{}
		return object, &object.Spec.Template
	}
}

// deliveries are how the Secrets of a user's devices reach pods, by name.
func deliveries(user *api.GiniUser) map[string]api.Delivery {
	found := map[string]api.Delivery{}
	if device := user.Spec.Devices.Untrusted; device != nil {
		found[string(device.Secret.Name)] = device.Delivery
	}
	if device := user.Spec.Devices.Trusted; device != nil {
		found[string(device.Secret.Name)] = device.Delivery
	}
	return found
}

func restarts(how api.Delivery, kind api.WorkloadKind, name string) bool {
	for _, reference := range how.RolloutRestart {
		if reference.Kind == kind && string(reference.Name) == name {
			return true
		}
	}
	return false
}

func restartKey(kind api.WorkloadKind, name string) string { return string(kind) + "/" + name }

// workloadsOf are the workloads whose restart a user asks for.
func workloadsOf(user *api.GiniUser) []workload {
	var found []workload
	for _, how := range deliveries(user) {
		for _, reference := range how.RolloutRestart {
			found = append(found, workload{kind: reference.Kind, NamespacedName: types.NamespacedName{Namespace: user.Namespace, Name: string(reference.Name)}})
		}
	}
	return found
}

type workloadQueue = workqueue.TypedRateLimitingInterface[workload]

// SetupWithManager registers the reconciler of workloads.
func (r *WorkloadReconciler) SetupWithManager(mgr ctrl.Manager) error {
	building := builder.TypedControllerManagedBy[workload](mgr).
		Named("workload").
		Watches(&api.GiniUser{}, r.ofUsers()).
		WatchesMetadata(&corev1.Secret{}, r.ofSecrets())
	for _, kind := range []api.WorkloadKind{api.DeploymentKind, api.StatefulSetKind, api.DaemonSetKind} {
		object, _ := newWorkload(workload{kind: kind})
		building = building.WatchesMetadata(object, r.ofWorkloads(kind))
	}
	return building.Complete(r)
}

// ofUsers: the workloads that a user names.
func (r *WorkloadReconciler) ofUsers() handler.TypedEventHandler[client.Object, workload] {
	named := func(_ context.Context, object client.Object) []workload {
		user, _ := object.(*api.GiniUser)
		return workloadsOf(user)
	}
	return handler.TypedFuncs[client.Object, workload]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[client.Object], q workloadQueue) {
			add(q, named(ctx, e.Object))
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[client.Object], q workloadQueue) {
			if e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() {
				add(q, named(ctx, e.ObjectNew))
			}
		},
	}
}

// ofSecrets: the workloads that are to be restarted for a Secret which has changed.
func (r *WorkloadReconciler) ofSecrets() handler.TypedEventHandler[client.Object, workload] {
	concerned := func(ctx context.Context, secret client.Object, q workloadQueue) {
		holder := target.HolderOf(secret)
		if holder == "" {
			return
		}
		user := &api.GiniUser{}
		if err := r.Reader.Get(ctx, types.NamespacedName{Namespace: secret.GetNamespace(), Name: holder}, user); err == nil {
			add(q, workloadsOf(user))
		}
	}
	return handler.TypedFuncs[client.Object, workload]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[client.Object], q workloadQueue) {
			if !e.IsInInitialList { // the users are in a list of their own
				concerned(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[client.Object], q workloadQueue) {
			if e.ObjectOld.GetAnnotations()[api.FingerprintAnnotation] != e.ObjectNew.GetAnnotations()[api.FingerprintAnnotation] {
				concerned(ctx, e.ObjectNew, q)
			}
		},
	}
}

// ofWorkloads: one that comes, or gives or takes its consent, where a user names it.
func (r *WorkloadReconciler) ofWorkloads(kind api.WorkloadKind) handler.TypedEventHandler[client.Object, workload] {
	named := func(ctx context.Context, object client.Object, q workloadQueue) {
		var users api.GiniUserList
		err := r.Reader.List(ctx, &users, client.InNamespace(object.GetNamespace()), client.MatchingFields{indexRestarts: restartKey(kind, object.GetName())})
		if err == nil && len(users.Items) > 0 {
			add(q, []workload{{kind: kind, NamespacedName: client.ObjectKeyFromObject(object)}})
		}
	}
	return handler.TypedFuncs[client.Object, workload]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[client.Object], q workloadQueue) {
			if !e.IsInInitialList {
				named(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[client.Object], q workloadQueue) {
			if e.ObjectOld.GetAnnotations()[api.AllowRestartAnnotation] != e.ObjectNew.GetAnnotations()[api.AllowRestartAnnotation] {
				named(ctx, e.ObjectNew, q)
			}
		},
	}
}

func add(q workloadQueue, keys []workload) {
	for _, key := range keys {
		q.Add(key)
	}
}
