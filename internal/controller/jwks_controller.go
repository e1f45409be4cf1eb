package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/registry"
)

// JWKSReconciler publishes the JWK Sets of GiniClients, in every replica. It keeps public halves only, and what was published last as
// long as nothing newer can be read.
type JWKSReconciler struct {
	// Reader reads GiniClients, from the manager's cache.
	Reader client.Reader
	// Metadata reads the metadata of Secrets, from the manager's cache.
	Metadata client.Reader
	// Live reads Secrets from the API server.
	Live client.Reader
	// Sets is where they are published.
	Sets PublishedSets

	mu   sync.Mutex
	read map[types.NamespacedName]string // versions of what was published, by GiniClient
}

// PublishedSets are the JWK Sets that are served.
type PublishedSets interface {
	Put(name types.NamespacedName, body []byte)
	Remove(name types.NamespacedName)
}

// Reconcile publishes the JWK Set of one GiniClient. Its Secret is read only where its metadata has changed.
func (r *JWKSReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	defer hidePanic()
	giniClient := &api.GiniClient{}
	if err := client.IgnoreNotFound(r.Reader.Get(ctx, request.NamespacedName, giniClient)); err != nil {
		return ctrl.Result{}, err
	}
	if !publishes(giniClient) { // nor does one that is gone
		r.remember(request.NamespacedName, "")
		r.Sets.Remove(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, r.publish(ctx, giniClient)
}

// publish reads and publishes a JWK Set, where it may have changed. Of what is gone or damaged, the last is published still, for the
// JWTs that are about.
func (r *JWKSReconciler) publish(ctx context.Context, giniClient *api.GiniClient) error {
	name := client.ObjectKeyFromObject(giniClient)
	key := types.NamespacedName{Namespace: giniClient.Namespace, Name: registry.KeySecret(giniClient.Spec.IdentityProvider.Signer)}
	meta := &metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	if err := r.Metadata.Get(ctx, key, meta); err != nil {
		return client.IgnoreNotFound(err)
	}
	version, err := versionOf(giniClient, meta)
	if err != nil || r.seen(name) == version {
		return err
	}
	object := &corev1.Secret{}
	if err = r.Live.Get(ctx, key, object); err != nil {
		return client.IgnoreNotFound(err)
	}
	keys := published(giniClient, object)
	if len(keys) == 0 {
		logf.FromContext(ctx).Info("The JWK Set stays as it was: its Secret holds no key that can be used", "Secret", key.Name)
		return nil
	}
	r.Sets.Put(name, identity.Set(keys))
	r.remember(name, version)
	return nil
}

// versionOf identifies everything that a JWK Set is made from, by metadata.
func versionOf(giniClient *api.GiniClient, secret metav1.Object) (string, error) {
	known, err := json.Marshal(giniClient.Status.JWKS)
	return fmt.Sprintf("%s/%d/%s/%s/%s", giniClient.UID, giniClient.Generation, secret.GetUID(), secret.GetResourceVersion(), known), err
}

// publishes reports whether the operator has a JWK Set to publish for a GiniClient.
func publishes(giniClient *api.GiniClient) bool {
	provider := giniClient.Spec.IdentityProvider
	return provider != nil && provider.Signer != nil
}

// Publishes tells whether there is a GiniClient of that name whose JWK Set is published, or is about to be.
func (r *JWKSReconciler) Publishes(ctx context.Context, name types.NamespacedName) (bool, error) {
	giniClient := &api.GiniClient{}
	if err := r.Reader.Get(ctx, name, giniClient); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return publishes(giniClient), nil
}

func (r *JWKSReconciler) seen(name types.NamespacedName) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read[name]
}

func (r *JWKSReconciler) remember(name types.NamespacedName, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.read == nil {
		r.read = map[types.NamespacedName]string{}
	}
	if version == "" {
		delete(r.read, name)
		return
	}
	r.read[name] = version
}
