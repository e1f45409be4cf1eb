package controller

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/delivery"
	"github.com/gini-operator/gini-operator/internal/target"
)

// PodReconciler nudges pods that mount a Secret whose credential was renewed: a kubelet looks at a pod's Secrets at once when one of the
// pod's annotations changes. What was nudged for stands in that annotation, so that a restart nudges nobody again.
type PodReconciler struct {
	// Reader reads pods, GiniUsers and GiniClients, from the manager's cache.
	Reader client.Reader
	// Metadata reads the metadata of Secrets, from the manager's cache.
	Metadata client.Reader
	// Writer patches pods.
	Writer client.Writer
	// Clock is the wall clock.
	Clock clock.PassiveClock
}

// Reconcile nudges one pod, where it needs to be.
func (r *PodReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	defer hidePanic()
	pod := &corev1.Pod{}
	if err := r.Reader.Get(ctx, request.NamespacedName, pod); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !delivery.Runs(pod) {
		return ctrl.Result{}, nil
	}
	credentials, err := r.mounted(ctx, pod)
	if err != nil {
		return ctrl.Result{}, err
	}
	value, needed := delivery.Nudge(pod.Annotations[api.NudgedAtAnnotation], pod.CreationTimestamp.Time, credentials, r.Clock.Now())
	if !needed {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, r.nudge(ctx, pod, value)
}

// mounted are the credentials in the Secrets that a pod mounts, as far as their GiniUsers want pods to be nudged.
func (r *PodReconciler) mounted(ctx context.Context, pod *corev1.Pod) ([]delivery.Credential, error) {
	var credentials []delivery.Credential
	read := delivery.SecretsOf(&pod.Spec)
	for _, name := range slices.Sorted(maps.Keys(read)) {
		if !read[name].Mounted {
			continue
		}
		held, err := deliveredBy(ctx, r.Reader, r.Metadata, types.NamespacedName{Namespace: pod.Namespace, Name: name})
		if err != nil {
			return nil, err
		}
		if held == nil {
			continue
		}
		if wantsNudges(ctx, r.Reader, held) {
			credentials = append(credentials, held.credential)
		}
	}
	return credentials, nil
}

// nudge touches the annotation, and nothing else: an admission policy lets the operator do no more.
func (r *PodReconciler) nudge(ctx context.Context, pod *corev1.Pod, value string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": pod.UID, "annotations": map[string]string{api.NudgedAtAnnotation: value}, // another pod of that name has its own event
	}})
	if err != nil {
		return err
	}
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
	err = r.Writer.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldManager))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err == nil {
		logf.FromContext(ctx).V(1).Info("Nudged: its kubelet looks at its Secrets now")
	}
	return err
}

// SetupWithManager registers the reconciler of pods.
func (r *PodReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("pod").
		Watches(&corev1.Pod{}, &handler.EnqueueRequestForObject{}).
		WatchesMetadata(&corev1.Secret{}, r.ofSecrets()).
		WithOptions(controller.Options{MaxConcurrentReconciles: podWorkers}).
		Complete(r)
}

// podWorkers is how many pods are nudged at once.
const podWorkers = 4

// ofSecrets: the pods that mount a Secret of ours which has changed, once their kubelets have heard of that.
func (r *PodReconciler) ofSecrets() handler.EventHandler {
	mounting := func(ctx context.Context, secret client.Object, q queue) {
		if target.HolderOf(secret) == "" {
			return
		}
		var pods corev1.PodList
		err := r.Reader.List(ctx, &pods, client.InNamespace(secret.GetNamespace()), client.MatchingFields{indexSecret: secret.GetName()})
		if err != nil {
			return // the cache is being stopped
		}
		for i := range pods.Items {
			q.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&pods.Items[i])}, delivery.Settle)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList { // the pods are in a list of their own
				mounting(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if e.ObjectOld.GetAnnotations()[api.FingerprintAnnotation] != e.ObjectNew.GetAnnotations()[api.FingerprintAnnotation] {
				mounting(ctx, e.ObjectNew, q)
			}
		},
	}
}
