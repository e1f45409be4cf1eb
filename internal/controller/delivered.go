package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/delivery"
	"github.com/gini-operator/gini-operator/internal/target"
)

// delivered is a device's Secret as those see it who bring it to pods.
type delivered struct {
	user *api.GiniUser
	// untrusted is whether the device is, and delivery how its Secret is to reach pods.
	untrusted  bool
	delivery   api.Delivery
	credential delivery.Credential
}

// deliveredBy looks a device's Secret up; nil where it is not one of ours, or holds nothing yet.
func deliveredBy(ctx context.Context, reader, metadata client.Reader, key types.NamespacedName) (*delivered, error) {
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	if err := metadata.Get(ctx, key, secret); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	holder := target.HolderOf(secret)
	if holder == "" {
		return nil, nil
	}
	user := &api.GiniUser{}
	if err := reader.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: holder}, user); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if target.OwnerOf(secret, user) != target.Ours {
		return nil, nil
	}
	how, wanted := deliveries(user)[key.Name]
	credential := credentialIn(secret, holder)
	if !wanted || credential.Fingerprint == "" {
		return nil, nil
	}
	return &delivered{user: user, untrusted: target.IsOf(secret, api.UntrustedDevice), delivery: how, credential: credential}, nil
}

// credentialIn is what a Secret's annotations say of the credential in it.
func credentialIn(secret metav1.Object, holder string) delivery.Credential {
	annotations := secret.GetAnnotations()
	record, _ := target.ParseRecord(secret, holder, annotations[api.ExpiresAtAnnotation] != "")
	credential := delivery.Credential{Secret: secret.GetName(), Fingerprint: record.Fingerprint, ObtainedAt: record.Token.ObtainedAt}
	if !record.Token.ExpiresAt.IsZero() && !record.Token.ObtainedAt.IsZero() {
		credential.Lifetime = record.Token.ExpiresAt.Sub(record.Token.ObtainedAt)
	}
	return credential
}

// wantsNudges reports whether pods are to be nudged for a Secret: where its GiniUser says so or, where that says nothing, for access
// tokens that are renewed only once they have ended.
func wantsNudges(ctx context.Context, reader client.Reader, held *delivered) bool {
	if held.delivery.NudgePods != nil {
		return *held.delivery.NudgePods
	}
	if !held.untrusted {
		return false
	}
	giniClient := &api.GiniClient{}
	if err := reader.Get(ctx, clientKey(held.user), giniClient); err != nil {
		return false // absent, or in a namespace that the operator does not look at: nothing is known of its tokens
	}
	behaviours := giniClient.Status.TokenBehaviour
	if behaviours == nil {
		return false
	}
	behaviour := behaviours.Login
	if held.user.Spec.Anonymous != nil {
		behaviour = behaviours.UserCenter
	}
	return behaviour != nil && behaviour.Mode == api.StickyTokens
}
