package controller

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/registry"
)

// keys is what became of the signing keys of a GiniClient in one reconcile.
type keys struct {
	// status is the JWK Set as the status tells it; nil where the operator signs nothing.
	status *api.JWKSStatus
	// rollHandled is the request to replace the key that was handled last.
	rollHandled string
	// problem is what keeps the client from signing; nil where nothing does.
	problem *problem.Error
	// next is when something is to be done with the keys; zero where nothing is.
	next    time.Time
	notices []notice
}

func (k *keys) tell(warning bool, reason, message string) {
	k.notices = append(k.notices, notice{warning: warning, reason: reason, action: "KeepKeys", message: message})
}

// keepKeys brings the signing keys of a GiniClient to where they have to be now. Managed keys stand in their Secret, with what is
// to become of them; of keys that are brought along, the public halves stand in the status.
func (r *GiniClientReconciler) keepKeys(ctx context.Context, giniClient *api.GiniClient) (keys, error) {
	kept := keys{rollHandled: giniClient.Status.LastHandledKeyRoll}
	provider := giniClient.Spec.IdentityProvider
	if provider == nil || provider.Signer == nil {
		kept.rollHandled = ""
		return kept, nil
	}
	kept.status = giniClient.Status.JWKS
	object, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: giniClient.Namespace, Name: registry.KeySecret(provider.Signer)})
	if err != nil {
		return kept, err
	}
	if provider.Signer.Key.Managed != nil {
		err = r.keepManaged(ctx, giniClient, object, &kept)
	} else {
		err = r.followKeys(giniClient, object, &kept)
	}
	if found, ok := problem.Of(err); ok {
		kept.problem, err = found, nil
	}
	return kept, err
}

// keepManaged makes, publishes, promotes and retires managed keys. The Secret is written before anybody signs with what it holds.
func (r *GiniClientReconciler) keepManaged(ctx context.Context, giniClient *api.GiniClient, object *corev1.Secret, kept *keys) error {
	policy, now := registry.PolicyOf(giniClient.Spec.IdentityProvider.Signer), r.Clock.Now().Round(0)
	requested := shortened(giniClient.Annotations[api.KeyRollRequestedAnnotation])
	ring, lost, err := storedRing(giniClient, object)
	if err != nil {
		return err
	}
	var changes []identity.Change
	after := ring
	rolled := object != nil && requested != "" && requested != object.Annotations[api.KeyRollHandledAnnotation]
	if rolled {
		if after, err = ring.Roll(policy, now, identity.GenerateKey); err != nil {
			return err
		}
	}
	after, changes, kept.next, err = after.Advance(policy, now, identity.GenerateKey)
	if err != nil {
		return err
	}
	data, err := after.Encode()
	if err != nil {
		return err
	}
	if object == nil || !equality.Semantic.DeepEqual(object.Data, data) || rolled {
		if err := r.writeKeys(ctx, giniClient, object, data, requested); err != nil {
			return err
		}
		logf.FromContext(ctx).Info("Wrote the signing keys", "Secret", registry.KeySecret(giniClient.Spec.IdentityProvider.Signer), "keys", len(after.Keys))
	}
	signing, _ := after.Signing()
	switch {
	case rolled:
		kept.tell(true, api.ReasonSigningKeyRolled, "Key "+signing.Public.ID+" signs at once, and the keys before it left the JWK Set, as the annotation "+
			api.KeyRollRequestedAnnotation+" asks: Gini refuses JWTs until it has fetched the set again")
	case lost:
		kept.tell(true, api.ReasonSigningKeyLost, "Secret "+registry.KeySecret(giniClient.Spec.IdentityProvider.Signer)+
			" lost the key that signed: key "+signing.Public.ID+" takes over, and Gini refuses its JWTs until it has fetched the JWK Set again; "+
			"restore the Secret from a backup to undo that")
	default:
		kept.tellOf(changes)
	}
	kept.rollHandled = requested
	kept.status = jwksStatus(giniClient, after, true)
	return nil
}

// storedRing is the ring in a key Secret. Where that is gone or damaged, the public halves that the status knows go on being published.
func storedRing(giniClient *api.GiniClient, object *corev1.Secret) (ring identity.Ring, lost bool, err error) {
	if object != nil {
		if !registry.HoldsKeysOf(object, giniClient) {
			return identity.Ring{}, false, problem.New(api.ReasonSigningKeySecretConflict, client.ObjectKeyFromObject(giniClient))
		}
		if ring, err = identity.DecodeRing(object.Data); err == nil {
			return ring, false, nil
		}
	}
	known := statusRing(giniClient.Status.JWKS)
	if _, ok := known.Signing(); !ok {
		return identity.Ring{}, object != nil, nil
	}
	return known, giniClient.Status.JWKS.SecretName == registry.KeySecret(giniClient.Spec.IdentityProvider.Signer), nil
}

// writeKeys writes a key Secret as it was read and changed, or makes it. It has no owner, and outlives its GiniClient.
func (r *GiniClientReconciler) writeKeys(
	ctx context.Context, giniClient *api.GiniClient, object *corev1.Secret, data map[string][]byte, rollHandled string,
) error {
	wanted := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: giniClient.Namespace, Name: registry.KeySecret(giniClient.Spec.IdentityProvider.Signer),
		Labels: map[string]string{api.ManagedByLabel: api.ManagedByValue, api.ClientLabel: giniClient.Name, api.DeviceLabel: registry.KeyDevice},
	}, Type: corev1.SecretTypeOpaque}
	if object != nil {
		wanted = object.DeepCopy()
	}
	wanted.Data = data
	if rollHandled != "" {
		metav1.SetMetaDataAnnotation(&wanted.ObjectMeta, api.KeyRollHandledAnnotation, rollHandled)
	}
	var err error
	if object == nil {
		err = r.Secrets.Writer.Create(ctx, wanted)
	} else {
		err = r.Secrets.Update(ctx, wanted)
	}
	if err == nil {
		return nil
	}
	return notWritten(err, wanted.Name)
}

// followKeys sees what people have put into the Secret of a key that is brought along.
func (r *GiniClientReconciler) followKeys(giniClient *api.GiniClient, object *corev1.Secret, kept *keys) error {
	name, signer := client.ObjectKeyFromObject(giniClient), giniClient.Spec.IdentityProvider.Signer
	if object == nil {
		return problem.New(api.ReasonSigningKeyNotFound, name)
	}
	key, err := registry.SigningKey(giniClient, object)
	if err != nil {
		return err
	}
	var next *identity.Key
	unusable := error(nil)
	if encoded := object.Data[string(signer.Key.SecretRef.NextKey)]; signer.Key.SecretRef.NextKey != "" && len(encoded) > 0 {
		if next, err = identity.ParseKey(encoded, registry.AlgorithmOf(signer)); err != nil {
			unusable = problem.New(api.ReasonSigningKeyInvalid, name).Because(err)
		}
	}
	ring, now := statusRing(giniClient.Status.JWKS), r.Clock.Now().Round(0)
	requested := shortened(giniClient.Annotations[api.KeyRollRequestedAnnotation])
	if requested != "" && requested != kept.rollHandled {
		ring = ring.Withdraw()
		kept.tell(true, api.ReasonSigningKeyRolled, "Keys that sign no more left the JWK Set, as the annotation "+api.KeyRollRequestedAnnotation+
			" asks; the key that signs is brought along: replace it in Secret "+object.Name)
	}
	kept.rollHandled = requested
	after, changes, at := ring.Follow(key, next, registry.PolicyOf(signer), now)
	kept.tellOf(changes)
	kept.next = at
	kept.status = jwksStatus(giniClient, after, false)
	return unusable
}

// tellOf tells people what became of keys.
func (k *keys) tellOf(changes []identity.Change) {
	for _, change := range changes {
		switch change.Kind {
		case identity.KeyCreated:
			k.tell(false, api.ReasonSigningKeyCreated, "Key "+change.KeyID+" signs from now on")
		case identity.KeyPublished:
			k.tell(false, api.ReasonSigningKeyPublished, "Key "+change.KeyID+" is published, and will sign later")
		case identity.KeyPromoted:
			k.tell(false, api.ReasonSigningKeyRotated, "Key "+change.KeyID+", which was published before, signs from now on")
		case identity.KeyReplaced:
			k.tell(true, api.ReasonSigningKeyReplaced, "Key "+change.KeyID+
				" signs at once, without having been published: Gini refuses its JWTs until it has fetched the JWK Set again; "+
				"publish the next one by nextKey a day before")
		case identity.KeyWithdrawn, identity.KeyDiscarded:
			k.tell(false, api.ReasonSigningKeyWithdrawn, "Key "+change.KeyID+", which does not sign, left the JWK Set")
		}
	}
}

// JWKSPath is where the JWK Set of a GiniClient is served.
func JWKSPath(name types.NamespacedName) string {
	return "/" + name.Namespace + "/" + name.Name + "/jwks.json"
}

// jwksStatus tells of a ring.
func jwksStatus(giniClient *api.GiniClient, ring identity.Ring, managed bool) *api.JWKSStatus {
	status := &api.JWKSStatus{Path: JWKSPath(client.ObjectKeyFromObject(giniClient))}
	if managed {
		status.SecretName = registry.KeySecret(giniClient.Spec.IdentityProvider.Signer)
	}
	for _, key := range ring.Keys {
		told := api.SigningKeyStatus{
			Kid: key.Public.ID, Algorithm: api.SigningAlgorithm(key.Public.Algorithm), Stage: api.KeyStage(key.Stage), PublicKey: key.Public.JSON(),
			Since: instant(key.Since), SignsFrom: instant(key.SignsFrom), Until: instant(key.Until),
		}
		if key.Longest > 0 {
			told.LongestLifetime = &metav1.Duration{Duration: key.Longest}
		}
		status.Keys = append(status.Keys, told)
	}
	return status
}

// statusRing is what jwksStatus told, without private halves.
func statusRing(status *api.JWKSStatus) identity.Ring {
	var ring identity.Ring
	if status == nil {
		return ring
	}
	for _, told := range status.Keys {
		public, err := identity.ParsePublicKey(told.PublicKey)
		if err != nil {
			continue
		}
		key := identity.RingKey{
			Public: public, Stage: identity.Stage(told.Stage), Since: timeOf(told.Since), SignsFrom: timeOf(told.SignsFrom), Until: timeOf(told.Until),
		}
		if told.LongestLifetime != nil {
			key.Longest = told.LongestLifetime.Duration
		}
		ring.Keys = append(ring.Keys, key)
	}
	return ring
}

func instant(at time.Time) *metav1.Time {
	if at.IsZero() {
		return nil
	}
	told := metav1.NewTime(at.Truncate(time.Second))
	return &told
}

func timeOf(at *metav1.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.Time
}

// identityOf finds out whether JWTs of a GiniClient can be had. For one whose JWTs the operator signs, keepKeys has found out.
func (r *GiniClientReconciler) identityOf(ctx context.Context, giniClient *api.GiniClient, application *registry.Application) (*problem.Error, error) {
	provider := giniClient.Spec.IdentityProvider
	if provider == nil || provider.OAuth2 == nil || application == nil {
		return nil, nil
	}
	_, err := r.Registry.Identity(ctx, giniClient, application)
	if found, ok := problem.Of(err); ok {
		return found, nil
	}
	return nil, err
}

// published are the public halves that a GiniClient's JWK Set has: of the Secret, and of keys that were brought along and that
// only the status knows of any more. None where there is none yet, or none that can be used.
func published(giniClient *api.GiniClient, object *corev1.Secret) []identity.PublicKey {
	signer := giniClient.Spec.IdentityProvider.Signer
	if signer.Key.Managed != nil {
		ring, err := identity.DecodeRing(object.Data)
		if err != nil || !registry.HoldsKeysOf(object, giniClient) {
			return nil
		}
		return ring.Published()
	}
	var keys []identity.PublicKey
	for _, name := range []api.SecretKey{signer.Key.SecretRef.Key, signer.Key.SecretRef.NextKey} {
		if encoded := object.Data[string(name)]; name != "" && len(encoded) > 0 {
			if key, err := identity.ParseKey(encoded, registry.AlgorithmOf(signer)); err == nil {
				keys = append(keys, key.Public())
			}
		}
	}
	for _, key := range statusRing(giniClient.Status.JWKS).Published() {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}
