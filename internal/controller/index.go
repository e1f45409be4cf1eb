package controller

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/delivery"
	"github.com/gini-operator/gini-operator/internal/registry"
	"github.com/gini-operator/gini-operator/internal/target"
)

// Indexes by which the cache finds resources.
const (
	// indexClient finds GiniUsers by namespace/name of their GiniClient.
	indexClient = "client"
	// indexTarget finds GiniUsers by the names of their devices' Secrets.
	indexTarget = "target"
	// indexAccount finds GiniUsers by the name of their account Secret.
	indexAccount = "account"
	// indexReads finds GiniUsers and GiniClients by the names of the Secrets that they read.
	indexReads = "reads"
	// indexHolder finds Secrets by the name of the GiniUser that they were made for.
	indexHolder = "holder"
	// indexConfigMap finds GiniClients by the name of the ConfigMap that they read.
	indexConfigMap = "configmap"
	// indexSecret finds pods by the names of the Secrets that they read.
	indexSecret = "secret"
	// indexRestarts finds GiniUsers by kind/name of the workloads whose restart they ask for.
	indexRestarts = "restarts"
)

// UserIndexes are the indexes of GiniUsers.
var UserIndexes = map[string]client.IndexerFunc{
	indexClient: func(object client.Object) []string {
		user, _ := object.(*api.GiniUser)
		return []string{clientKey(user).String()}
	},
	indexTarget: func(object client.Object) []string {
		user, _ := object.(*api.GiniUser)
		return targetNames(user)
	},
	indexAccount: func(object client.Object) []string {
		user, _ := object.(*api.GiniUser)
		if user.Spec.Anonymous == nil {
			return nil
		}
		return []string{string(user.Spec.Anonymous.AccountSecret.Name)}
	},
	indexReads: func(object client.Object) []string {
		user, _ := object.(*api.GiniUser)
		switch {
		case user.Spec.Anonymous != nil:
			return []string{string(user.Spec.Anonymous.AccountSecret.Name)}
		case user.Spec.Derived != nil && user.Spec.Derived.IdentifierSecretRef != nil:
			return []string{string(user.Spec.Derived.IdentifierSecretRef.Name)}
		}
		return nil
	},
	indexRestarts: func(object client.Object) []string {
		user, _ := object.(*api.GiniUser)
		all := workloadsOf(user)
		keys := make([]string, 0, len(all))
		for _, named := range all {
			keys = append(keys, restartKey(named.kind, named.Name))
		}
		slices.Sort(keys)
		return slices.Compact(keys)
	},
}

// PodIndexes are the indexes of pods.
var PodIndexes = map[string]client.IndexerFunc{
	indexSecret: func(object client.Object) []string {
		pod, _ := object.(*corev1.Pod)
		return slices.Collect(maps.Keys(delivery.SecretsOf(&pod.Spec)))
	},
}

// ClientIndexes are the indexes of GiniClients.
var ClientIndexes = map[string]client.IndexerFunc{
	indexReads: func(object client.Object) []string {
		giniClient, _ := object.(*api.GiniClient)
		names := []string{string(giniClient.Spec.CredentialsSecretRef.Name)}
		if tls := giniClient.Spec.TLS; tls != nil && tls.CABundleRef.Kind == "Secret" {
			names = append(names, string(tls.CABundleRef.Name))
		}
		switch provider := giniClient.Spec.IdentityProvider; {
		case provider == nil:
		case provider.Signer != nil:
			names = append(names, registry.KeySecret(provider.Signer))
		case provider.OAuth2 != nil:
			names = append(names, string(provider.OAuth2.ClientCredentialsSecretRef.Name))
		}
		slices.Sort(names)
		return slices.Compact(names)
	},
	indexConfigMap: func(object client.Object) []string {
		giniClient, _ := object.(*api.GiniClient)
		if tls := giniClient.Spec.TLS; tls != nil && tls.CABundleRef.Kind == "ConfigMap" {
			return []string{string(tls.CABundleRef.Name)}
		}
		return nil
	},
}

// SecretIndexes are the indexes of the metadata of Secrets.
var SecretIndexes = map[string]client.IndexerFunc{
	indexHolder: func(object client.Object) []string {
		if holder := target.HolderOf(object); holder != "" {
			return []string{holder}
		}
		return nil
	},
}

// AddIndexes adds the indexes to a manager's cache; those of pods only where the operator may look at these.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer, pods bool) error {
	for field, index := range UserIndexes {
		if err := indexer.IndexField(ctx, &api.GiniUser{}, field, index); err != nil {
			return err
		}
	}
	secrets := &metav1.PartialObjectMetadata{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	for field, index := range SecretIndexes {
		if err := indexer.IndexField(ctx, secrets, field, index); err != nil {
			return err
		}
	}
	for field, index := range PodIndexes {
		if !pods {
			break
		}
		if err := indexer.IndexField(ctx, &corev1.Pod{}, field, index); err != nil {
			return err
		}
	}
	for field, index := range ClientIndexes {
		if err := indexer.IndexField(ctx, &api.GiniClient{}, field, index); err != nil {
			return err
		}
	}
	return nil
}

// clientKey names the GiniClient of a user.
func clientKey(user *api.GiniUser) client.ObjectKey {
	namespace := user.Spec.ClientRef.Namespace
	if namespace == "" {
		namespace = user.Namespace
	}
	return client.ObjectKey{Namespace: namespace, Name: string(user.Spec.ClientRef.Name)}
}

func targetNames(user *api.GiniUser) []string {
	var names []string
	if device := user.Spec.Devices.Untrusted; device != nil {
		names = append(names, string(device.Secret.Name))
	}
	if device := user.Spec.Devices.Trusted; device != nil {
		names = append(names, string(device.Secret.Name))
	}
	return names
}
