package controller

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/registry"
	"github.com/gini-operator/gini-operator/internal/target"
)

// GiniClientReconciler tells in the status of GiniClients what is known of them. What Gini thinks of a client is learned from
// what its users ask; only a client that makes anonymous users is asked about once, as it needs a client token anyway.
type GiniClientReconciler struct {
	// Reader reads GiniClients, from the manager's cache.
	Reader client.Reader
	// Status writes the status of GiniClients.
	Status client.StatusClient
	// Registry makes applications of GiniClients.
	Registry *registry.Registry
	// Secrets reads key Secrets live, and writes them.
	Secrets target.Secrets
	// Events tells people.
	Events events.EventRecorder
	// Clock is the wall clock.
	Clock clock.PassiveClock
	// Keys is told of each client's signing keys; nil: nobody.
	Keys func(name types.NamespacedName, jwks *api.JWKSStatus)
	// NamesOnly is whether the operator sees the names of namespaces only, and not their labels.
	NamesOnly bool
	// Gone is called for a GiniClient that is gone; nil: nobody.
	Gone func(types.NamespacedName)

	mu   sync.Mutex
	uids map[types.NamespacedName]types.UID
}

// LaneKey is the name under which a GiniClient itself enters its lane, beside its users. No GiniUser can have it.
func LaneKey(name types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: name.Namespace, Name: laneKeyPrefix + name.Name}
}

const laneKeyPrefix = "giniclient/"

// Reconcile brings the status of one GiniClient up to date.
func (r *GiniClientReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	defer hidePanic()
	giniClient := &api.GiniClient{}
	if err := r.Reader.Get(ctx, request.NamespacedName, giniClient); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(request.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, err
	}
	r.remember(giniClient)
	kept, err := r.keepKeys(ctx, giniClient)
	if errors.Is(err, errBehind) {
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	application, err := r.Registry.Resolve(ctx, giniClient)
	found, isProblem := problem.Of(err)
	if err != nil && !isProblem {
		return ctrl.Result{}, err
	}
	if application != nil {
		if err = r.verify(ctx, giniClient, application); err != nil {
			return ctrl.Result{}, err
		}
	}
	if kept.problem == nil {
		if kept.problem, err = r.identityOf(ctx, giniClient, application); err != nil {
			return ctrl.Result{}, err
		}
	}
	err = r.writeStatus(ctx, giniClient, application, found, kept)
	if apierrors.IsConflict(err) { // this reconcile looked at an old status
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	}
	return r.next(application, kept), err
}

// next is when to come again: when keys are due, or nobody waits any longer for a verdict on the credentials.
func (r *GiniClientReconciler) next(application *registry.Application, kept keys) ctrl.Result {
	result := r.whenKeysAreDue(kept)
	if application == nil {
		return result
	}
	var wait time.Duration
	switch known, until := application.Lane.Check(); {
	case until.IsZero(): // nobody waits
	case known == lane.CheckPending:
		wait = max(min(until.Sub(r.Clock.Now().Round(0)), lookAtTrial), time.Second)
	case known == lane.CheckRejected:
		wait = lookAtKeys
	}
	if result.RequeueAfter == 0 || (wait > 0 && wait < result.RequeueAfter) {
		result.RequeueAfter = wait
	}
	return result
}

// lookAtTrial is how often it is seen to that somebody tries credentials that trusted devices wait for: who was to try them may be gone.
const lookAtTrial = 10 * time.Second

// lookAtKeys is how often a client is looked at whose keys rotate: timers stand still while a machine is suspended.
const lookAtKeys = 10 * time.Minute

// writeAgain is how long to wait after the API server refused to write a key Secret.
const writeAgain = time.Minute

func (r *GiniClientReconciler) whenKeysAreDue(kept keys) ctrl.Result {
	if kept.problem != nil && kept.problem.Reason == api.ReasonSecretNotWritten {
		return ctrl.Result{RequeueAfter: writeAgain}
	}
	if kept.next.IsZero() {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: min(max(kept.next.Sub(r.Clock.Now().Round(0)), time.Second), lookAtKeys)}
}

// probe finds out once whether the credentials are accepted. The outcome comes by way of the lane.
func (r *GiniClientReconciler) probe(ctx context.Context, application *registry.Application) {
	_, _ = application.Lane.Enter(ctx, lane.UserCenterEndpoint, LaneKey(application.Name), agenda.Rest, func(ctx context.Context, _ bool) lane.Outcome {
		evidence := lane.Evidence{Neutral: true, Before: application.Lane.Was(lane.AcceptedClientToken)}
		return lane.Outcome{Asked: true, Gini: application.Gini.VerifyCredentials(ctx), Evidence: evidence}
	})
}

func (r *GiniClientReconciler) remember(giniClient *api.GiniClient) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.uids == nil {
		r.uids = map[types.NamespacedName]types.UID{}
	}
	key := client.ObjectKeyFromObject(giniClient)
	if before, ok := r.uids[key]; ok && before != giniClient.UID {
		r.Registry.Forget(before)
	}
	r.uids[key] = giniClient.UID
}

func (r *GiniClientReconciler) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if uid, ok := r.uids[key]; ok {
		r.Registry.Forget(uid)
		delete(r.uids, key)
	}
	if r.Gone != nil {
		r.Gone(key)
	}
}

// worthTelling is how long a pause has to be for the status to tell its end: shorter ones come and go too fast.
const worthTelling = time.Minute

func (r *GiniClientReconciler) writeStatus(
	ctx context.Context, giniClient *api.GiniClient, application *registry.Application, found *problem.Error, kept keys,
) error {
	before := giniClient.DeepCopy()
	now := r.Clock.Now().Round(0)
	status := &giniClient.Status
	status.ObservedGeneration = giniClient.Generation
	status.PausedUntil = nil
	status.JWKS, status.LastHandledKeyRoll = kept.status, kept.rollHandled
	var state lane.State
	if application != nil {
		state = application.Lane.State()
		status.TokenBehaviour = behaviours(application.Lane)
		status.Accepted = acceptedRequests(application, status.Accepted)
		if state.Accepted || state.Trouble == gini.CredentialsRejected || unverified(application) {
			status.CheckedCredentials = application.Epoch
		}
		if !state.Healthy() {
			found = problem.Kind(state.Trouble, application.Name.String())
			if state.Sole {
				found = found.Noting(soleNote)
			}
			if state.ProbeAt.Sub(now) >= worthTelling/2 {
				until := metav1.NewTime(state.ProbeAt.Truncate(time.Second))
				status.PausedUntil = &until
			}
		}
		if identity, endpoint := application.Lane.IdentityState(); kept.problem == nil && !identity.Healthy() {
			kept.problem = identityProblem(endpoint, identity.Trouble, application.Name.String())
		}
	}
	found, kept.problem = r.Registry.Explain(giniClient.UID, found), r.Registry.Explain(giniClient.UID, kept.problem)
	set := func(condition metav1.Condition) {
		condition.ObservedGeneration = giniClient.Generation
		condition.LastTransitionTime = metav1.NewTime(now)
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	accepted := credentialsAccepted(application, state, found)
	set(accepted)
	for _, kind := range kindsOfUsers {
		if condition := usersAccepted(application, kind.endpoint); condition != nil {
			condition.Type = kind.condition
			set(*condition)
		} else {
			meta.RemoveStatusCondition(&status.Conditions, kind.condition)
		}
	}
	identity := identityReady(giniClient, application, found, kept)
	if identity != nil {
		set(*identity)
	} else {
		meta.RemoveStatusCondition(&status.Conditions, api.ConditionIdentityProviderReady)
	}
	if found == nil {
		found = kept.problem
	}
	ready := clientReady(accepted, identity, found)
	set(ready)
	setOrRemove := func(conditionType string, wanted bool) {
		if !wanted {
			meta.RemoveStatusCondition(&status.Conditions, conditionType)
			return
		}
		set(metav1.Condition{Type: conditionType, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message})
	}
	needsPerson := found != nil && (found.Reaction().Retry == problem.Stall || slices.Contains(rejections, found.Reason))
	setOrRemove(api.ConditionStalled, needsPerson)
	setOrRemove(api.ConditionReconciling, found != nil && !needsPerson)
	if warning := withoutEffect(giniClient, application, r.NamesOnly); warning != nil {
		set(*warning)
	} else {
		meta.RemoveStatusCondition(&status.Conditions, api.ConditionWithoutEffect)
	}
	if r.Keys != nil {
		r.Keys(client.ObjectKeyFromObject(giniClient), status.JWKS)
	}
	if equality.Semantic.DeepEqual(before.Status, giniClient.Status) {
		return nil
	}
	readyFirst(status.Conditions)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Status.Status().Patch(ctx, giniClient, patch, client.FieldOwner(FieldManager)); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.speak(ctx, before, giniClient, ready, kept.notices)
	return nil
}

// rejections are what only a person can end, though it is tried again now and then.
var rejections = []string{api.ReasonCredentialsRejected, api.ReasonJWTRejected, api.ReasonIdentityProviderRejected}

// identityReady says whether JWTs can be had; nil where the client has no identity provider.
func identityReady(giniClient *api.GiniClient, application *registry.Application, found *problem.Error, kept keys) *metav1.Condition {
	condition := &metav1.Condition{Type: api.ConditionIdentityProviderReady, Status: metav1.ConditionTrue, Reason: api.ReasonJWTsReady}
	defer func() {
		if condition.Status == metav1.ConditionTrue {
			condition.Message += kept.remark
		}
	}()
	switch provider := giniClient.Spec.IdentityProvider; {
	case provider == nil:
		return nil
	case kept.problem != nil:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, kept.problem.Reason, kept.problem.Error()
	case found != nil:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionUnknown, found.Reason, found.ClientMessage()
	case provider.Signer != nil:
		condition.Message = "JWTs are signed, and Gini accepted one; the JWK Set is served at " + kept.status.Path
		if !jwtsAccepted(giniClient, application, condition) {
			condition.Message = "JWTs are signed; tell Gini the issuer " + string(provider.Signer.Issuer) +
				" and the URL at which it reaches " + kept.status.Path
		}
	default:
		condition.Message = "The identity provider gives JWTs"
		if !jwtsAccepted(giniClient, application, condition) {
			condition.Status, condition.Reason = metav1.ConditionUnknown, api.ReasonNotYetUsed
			condition.Message = "The identity provider has not been asked yet: no user has needed it"
		}
	}
	return condition
}

// jwtsAccepted reports whether JWTs are known to be had and accepted: learned since the start, or told by the status from before it.
func jwtsAccepted(giniClient *api.GiniClient, application *registry.Application, accepted *metav1.Condition) bool {
	before := meta.FindStatusCondition(giniClient.Status.Conditions, accepted.Type)
	if before != nil && before.Status == accepted.Status && strings.HasPrefix(before.Message, accepted.Message) &&
		before.ObservedGeneration == giniClient.Generation {
		return true
	}
	if application == nil {
		return false
	}
	state, _ := application.Lane.IdentityState()
	return state.Accepted
}

// credentialsAccepted says what Gini thinks of the credentials.
func credentialsAccepted(application *registry.Application, state lane.State, found *problem.Error) metav1.Condition {
	condition := metav1.Condition{Type: api.ConditionCredentialsAccepted}
	switch {
	case found != nil && found.Reason == api.ReasonCredentialsRejected:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, found.Reason, found.ClientMessage()
	case state.Accepted:
		condition.Status, condition.Reason = metav1.ConditionTrue, api.ReasonCredentialsAccepted
		condition.Message = "Gini accepted the client credentials"
	case unverified(application):
		condition.Status, condition.Reason = metav1.ConditionUnknown, api.ReasonNotVerified
		condition.Message = "Gini has not said yet whether it accepts these credentials: trusted devices get them, not verified"
	case found != nil:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionUnknown, found.Reason, found.ClientMessage()
	default:
		condition.Status, condition.Reason = metav1.ConditionUnknown, api.ReasonNotYetUsed
		condition.Message = "Nothing has been asked of Gini with these credentials yet: no user has needed it"
	}
	return condition
}

func clientReady(accepted metav1.Condition, identity *metav1.Condition, found *problem.Error) metav1.Condition {
	if found != nil {
		return metav1.Condition{Type: api.ConditionReady, Status: metav1.ConditionFalse, Reason: found.Reason, Message: found.ClientMessage()}
	}
	if accepted.Status != metav1.ConditionTrue && identity != nil && identity.Status == metav1.ConditionTrue { // nobody may ever need the former
		return metav1.Condition{Type: api.ConditionReady, Status: metav1.ConditionTrue, Reason: identity.Reason, Message: identity.Message}
	}
	return metav1.Condition{Type: api.ConditionReady, Status: metav1.ConditionTrue, Reason: accepted.Reason, Message: accepted.Message}
}

func behaviours(of *lane.Lane) *api.TokenBehaviours {
	learned := &api.TokenBehaviours{
		Login: behaviour(of.Behaviour(lane.LoginEndpoint)), UserCenter: behaviour(of.Behaviour(lane.UserCenterEndpoint)),
	}
	if *learned == (api.TokenBehaviours{}) {
		return nil
	}
	return learned
}

func behaviour(known lane.Behaviour) *api.TokenBehaviour {
	if !known.Known {
		return nil
	}
	mode := api.FreshTokens
	if known.Sticky {
		mode = api.StickyTokens
	}
	return &api.TokenBehaviour{Mode: mode, ObservedAt: metav1.NewTime(known.ObservedAt.Truncate(time.Second))}
}

// speak tells people when Ready has changed its mind.
func (r *GiniClientReconciler) speak(ctx context.Context, before, after *api.GiniClient, ready metav1.Condition, notices []notice) {
	for _, told := range notices {
		kind := corev1.EventTypeNormal
		if told.warning {
			kind = corev1.EventTypeWarning
		}
		logf.FromContext(ctx).Info("Signing keys", "reason", told.reason, "message", told.message)
		inform(r.Events, clientReference(after), kind, told.reason, told.action, told.message)
	}
	r.speakOfUsers(ctx, before, after)
	was := meta.FindStatusCondition(before.Status.Conditions, api.ConditionReady)
	if was != nil && was.Status == ready.Status && was.Reason == ready.Reason {
		return
	}
	logChange(ctx, ready, "")
	kind := corev1.EventTypeNormal
	if ready.Status == metav1.ConditionFalse {
		kind = corev1.EventTypeWarning
	}
	if kind == corev1.EventTypeNormal && (was == nil || ready.Reason == api.ReasonNotYetUsed) { // nothing that anybody has to know
		return
	}
	inform(r.Events, clientReference(after), kind, ready.Reason, "Reconcile", ready.Message)
}

// clientReference names an object without its resource version, so that equal Events are counted and not repeated.
func clientReference(of *api.GiniClient) *api.GiniClient {
	return &api.GiniClient{
		TypeMeta:   metav1.TypeMeta{APIVersion: api.GroupVersion.String(), Kind: "GiniClient"},
		ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: of.Name, UID: of.UID},
	}
}
