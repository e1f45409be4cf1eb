package controller

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/registry"
	"github.com/gini-operator/gini-operator/internal/target"
)

// keys is what became of the signing keys of a GiniClient in one reconcile.
type keys struct {
	// status is the JWK Set as the status tells it; nil where the operator signs nothing.
	status *api.JWKSStatus
	// rollHandled is the request to replace the key that was handled last.
	rollHandled string
	// problem is what keeps the client from signing; nil where nothing does.
	problem *problem.Error
	// remark is added to what is told of keys that are well.
	remark string
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
	if err == nil { // the keys are kept whatever becomes of the claims
		_, err = registry.ClaimsOf(giniClient)
	}
	if found, ok := problem.Of(err); ok {
		kept.problem, err = found, nil
	}
	return kept, err
}

// keepManaged makes, publishes, promotes and retires managed keys. The Secret is written before anybody signs with what it holds.
func (r *GiniClientReconciler) keepManaged(ctx context.Context, giniClient *api.GiniClient, object *corev1.Secret, kept *keys) error {
	policy, now := registry.PolicyOf(giniClient.Spec.IdentityProvider.Signer), r.Clock.Now().Round(0)
	requested := echoOf(giniClient.Annotations[api.KeyRollRequestedAnnotation])
	ring, how, err := storedRing(giniClient, object, requested)
	if err != nil {
		return err
	}
	if object == nil || how == keyRolled { // what is thrown away or made anew must not be so because a cache lags behind
		if err = r.confirmClient(ctx, giniClient); err != nil {
			return err
		}
	}
	after := ring
	if how == keyRolled {
		if after, err = ring.Roll(policy, now, identity.GenerateKey); err != nil {
			return err
		}
	}
	after, _, kept.next, err = after.Advance(policy, now, identity.GenerateKey)
	if err != nil {
		return err
	}
	data, err := after.Encode()
	if err != nil {
		return err
	}
	if object == nil || how == keyRolled || !equality.Semantic.DeepEqual(object.Data, data) || !registry.HoldsKeysOf(object, giniClient) {
		if err := r.writeKeys(ctx, giniClient, object, data, requested); err != nil {
			return err
		}
		logf.FromContext(ctx).Info("Wrote the signing keys", "Secret", registry.KeySecret(giniClient.Spec.IdentityProvider.Signer), "keys", len(after.Keys))
	}
	kept.rollHandled = requested
	kept.status = jwksStatus(giniClient, after, true)
	told := statusRing(giniClient.Status.JWKS)
	if len(told.Keys) == 0 && object != nil {
		return nil // its keys are older than its status: no news
	}
	if object != nil && rolledUntold(giniClient, object, requested) {
		how = keyRolled
	}
	kept.tellOf(told, after, how)
	return nil
}

// rolledUntold reports whether the keys were rolled by a reconcile that did not come to tell of it.
func rolledUntold(giniClient *api.GiniClient, object *corev1.Secret, requested string) bool {
	return requested != "" && object.Annotations[api.KeyRollHandledAnnotation] == requested && giniClient.Status.LastHandledKeyRoll != requested
}

// change is how the key that signs comes to be another one, where it is not the one to be expected.
type change int

const (
	// keyTurned: by its turn, if at all.
	keyTurned change = iota
	// keyLost: the former one is gone.
	keyLost
	// keyRolled: a person asks for another at once.
	keyRolled
)

// storedRing is the ring that a key Secret holds, and the public halves that only the status knows of: of keys that were brought along
// meanwhile, or made in place of a Secret that was restored since. How it is to be changed stands beside it.
func storedRing(giniClient *api.GiniClient, object *corev1.Secret, requested string) (ring identity.Ring, how change, err error) {
	signer, known := giniClient.Spec.IdentityProvider.Signer, statusRing(giniClient.Status.JWKS)
	wasManaged := giniClient.Status.JWKS != nil && giniClient.Status.JWKS.SecretName == registry.KeySecret(signer)
	if object != nil {
		ring, err = identity.DecodeRing(object.Data, registry.AlgorithmOf(signer))
		if !registry.HoldsKeysOf(object, giniClient) && (err != nil || !wasManaged || !known.Holds(ring)) {
			return identity.Ring{}, keyTurned, problem.New(api.ReasonSigningKeySecretConflict, client.ObjectKeyFromObject(giniClient))
		}
	}
	if object == nil || err != nil {
		if _, signed := known.Signing(); signed && wasManaged {
			return known, keyLost, nil
		}
		return known, keyTurned, nil
	}
	handled, told := object.Annotations[api.KeyRollHandledAnnotation], giniClient.Status.LastHandledKeyRoll
	if requested != "" && requested != handled && requested != told {
		return ring, keyRolled, nil
	}
	if handled == told { // else the keys that the status knows were just thrown away
		ring = ring.Remember(known)
	}
	return ring, keyTurned, nil
}

// confirmClient makes sure that the GiniClient is the one that the cache has: a reconcile that saw another comes again.
func (r *GiniClientReconciler) confirmClient(ctx context.Context, giniClient *api.GiniClient) error {
	live := &api.GiniClient{}
	if err := r.Secrets.Live.Get(ctx, client.ObjectKeyFromObject(giniClient), live); err != nil {
		return err
	}
	if live.UID != giniClient.UID || live.Generation != giniClient.Generation || !live.DeletionTimestamp.IsZero() ||
		live.Annotations[api.KeyRollRequestedAnnotation] != giniClient.Annotations[api.KeyRollRequestedAnnotation] ||
		!equality.Semantic.DeepEqual(live.Status.JWKS, giniClient.Status.JWKS) || live.Status.LastHandledKeyRoll != giniClient.Status.LastHandledKeyRoll {
		return errBehind
	}
	return nil
}

// errBehind says that a cache lags behind the API server.
var errBehind = errors.New("the cache lags behind the API server")

// writeKeys writes a key Secret as it was read and changed, or makes it. It has no owner, and outlives its GiniClient.
func (r *GiniClientReconciler) writeKeys(
	ctx context.Context, giniClient *api.GiniClient, object *corev1.Secret, data map[string][]byte, rollHandled string,
) error {
	wanted := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: giniClient.Namespace, Name: registry.KeySecret(giniClient.Spec.IdentityProvider.Signer),
		Labels: map[string]string{api.ManagedByLabel: api.ManagedByValue, api.ClientLabel: giniClient.Name, api.DeviceLabel: registry.KeyDevice},
	}, Type: corev1.SecretTypeOpaque}
	if object != nil {
		ours := wanted.Labels
		wanted = object.DeepCopy()
		wanted.Labels = labels.Merge(wanted.Labels, ours) // somebody may have taken them off
	}
	wanted.Data = data
	target.Bind(wanted, giniClient.Name)
	if rollHandled != "" {
		metav1.SetMetaDataAnnotation(&wanted.ObjectMeta, api.KeyRollHandledAnnotation, rollHandled)
	}
	var err error
	if object == nil {
		err = r.Secrets.Create(ctx, wanted)
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
	known, now := statusRing(giniClient.Status.JWKS), r.Clock.Now().Round(0)
	ring := known
	requested := echoOf(giniClient.Annotations[api.KeyRollRequestedAnnotation])
	if requested != "" && requested != kept.rollHandled {
		ring = ring.Withdraw()
		kept.tell(true, api.ReasonSigningKeyRolled, "Keys that sign no more left the JWK Set, as the annotation "+api.KeyRollRequestedAnnotation+
			" asks; the key that signs is brought along: replace it in Secret "+object.Name)
	}
	kept.rollHandled = requested
	next, unusable := nextKey(signer, object)
	if signing, ok := ring.Signing(); unusable != nil && ok && signing.Public == key.Public() {
		kept.status = jwksStatus(giniClient, ring, false) // what was published stays, until the next one can be read
	} else {
		var after identity.Ring
		after, _, kept.next = ring.Follow(key, next, registry.PolicyOf(signer), now)
		kept.status = jwksStatus(giniClient, after, false)
		kept.tellOf(known, after, keyTurned)
	}
	if unusable != nil {
		kept.remark = "; but nextKey cannot be used: " + unusable.Error()
		before := meta.FindStatusCondition(giniClient.Status.Conditions, api.ConditionIdentityProviderReady)
		if before == nil || !strings.HasSuffix(before.Message, kept.remark) {
			kept.tell(true, api.ReasonSigningKeyInvalid, "Key "+string(signer.Key.SecretRef.NextKey)+" of Secret "+object.Name+
				", which is to sign next, cannot be used: "+unusable.Error())
		}
	}
	return nil
}

// nextKey is the key that is to sign next, as a Secret has it; nil where there is none.
func nextKey(signer *api.Signer, object *corev1.Secret) (*identity.Key, error) {
	encoded := object.Data[string(signer.Key.SecretRef.NextKey)]
	if signer.Key.SecretRef.NextKey == "" || len(encoded) == 0 {
		return nil, nil
	}
	return identity.ParseKey(encoded, registry.AlgorithmOf(signer))
}

// tellOf tells people what has become of the keys that they were told of last: also what was done by a reconcile that could not tell.
func (k *keys) tellOf(told, now identity.Ring, how change) {
	before, _ := told.Signing()
	signing, _ := now.Signing()
	id := signing.Public.ID
	switch former, known := told.Find(id); {
	case before.Public.ID == id:
	case how == keyRolled:
		k.tell(true, api.ReasonSigningKeyRolled, "Key "+id+" signs at once, and the keys before it left the JWK Set, as the annotation "+
			api.KeyRollRequestedAnnotation+" asks: Gini refuses JWTs until it has fetched the set again")
	case how == keyLost:
		k.tell(true, api.ReasonSigningKeyLost, "The Secret of the signing key lost it: key "+id+" takes over, and Gini refuses its JWTs until it has "+
			"fetched the JWK Set again; restore the Secret from a backup to undo that")
	case before.Public.ID == "":
		k.tell(false, api.ReasonSigningKeyCreated, "Key "+id+" signs from now on")
	case known && former.Stage == identity.StageNext:
		k.tell(false, api.ReasonSigningKeyRotated, "Key "+id+", which was published before, signs from now on")
	default:
		k.tell(true, api.ReasonSigningKeyReplaced, "Key "+id+" signs at once, without having been announced as the next one: where Gini does not know it, "+
			"it refuses JWTs until it has fetched the JWK Set again; publish the next one a day before")
	}
	if next, ok := now.Next(); ok {
		if _, known := told.Find(next.Public.ID); !known {
			k.tell(false, api.ReasonSigningKeyPublished, "Key "+next.Public.ID+" is published, and will sign later")
		}
	}
	for _, key := range told.Keys {
		if _, still := now.Find(key.Public.ID); !still && how == keyTurned {
			k.tell(false, api.ReasonSigningKeyWithdrawn, "Key "+key.Public.ID+", which does not sign, left the JWK Set")
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
		ring, err := identity.DecodeRing(object.Data, registry.AlgorithmOf(signer))
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
