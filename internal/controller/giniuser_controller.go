// Package controller reconciles GiniClients and GiniUsers: stages that observe or act, one place that makes conditions of
// what they saw, one status write.
package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/registry"
	"github.com/gini-operator/gini-operator/internal/target"
)

// +kubebuilder:rbac:groups=credentials.gini.net,resources=giniusers;giniclients,verbs=get;list;watch
// +kubebuilder:rbac:groups=credentials.gini.net,resources=giniusers/status;giniclients/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups="",resources=configmaps;namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch

// GiniUserReconciler keeps the Secrets of GiniUsers.
type GiniUserReconciler struct {
	// Reader reads GiniUsers, GiniClients and Namespaces, by index where asked to: the manager's cache.
	Reader client.Reader
	// Metadata reads the metadata of Secrets, from the manager's cache.
	Metadata client.Reader
	// Status writes the status of GiniUsers.
	Status client.StatusClient
	// Secrets reads Secrets live, and writes them.
	Secrets target.Secrets
	// Pods reads pods, from the manager's cache; nil where the operator may not look at them. They are nudged then.
	Pods client.Reader
	// Restarts is whether the operator restarts workloads.
	Restarts bool
	// NamesOnly is whether the operator looks at some namespaces only: then grants select these by their names alone, as
	// it has no right to read their labels.
	NamesOnly bool
	// Registry makes applications of GiniClients.
	Registry *registry.Registry
	// Lanes has the lanes that work with Gini runs in.
	Lanes *lane.Lanes
	// Queue is where GiniUsers are put that something has changed for.
	Queue lane.Queue
	// Events tells people.
	Events events.EventRecorder
	// Clock is the wall clock.
	Clock clock.PassiveClock

	claims   claims
	memory   memory
	pace     pacer
	setbacks setbacks
}

// stage observes or acts, and adds to the scope. An error of the type *problem.Error is the user's to know; any other is
// the API server's, and the reconcile is repeated.
type stage func(ctx context.Context, s *scope) error

// Reconcile brings the Secrets of one GiniUser to what its spec asks for. What needs no request to Gini is done here; the rest
// in the lane of its client, so that no worker ever waits for Gini.
func (r *GiniUserReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	defer hidePanic()
	result, err := r.reconcile(ctx, request)
	if errors.Is(err, errBehind) {
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	}
	return result, err
}

// hidePanic lets a panic go on with its type only: controller-runtime logs its value, which may hold a credential.
func hidePanic() {
	if panicked := recover(); panicked != nil {
		panic(fmt.Sprintf("of type %T", panicked))
	}
}

func (r *GiniUserReconciler) reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if r.Lanes.Touch(request.NamespacedName) {
		return ctrl.Result{}, nil // at work in a lane: reconciled again when that ends
	}
	if err := r.loadClaims(ctx); err != nil {
		return ctrl.Result{}, err
	}
	user := &api.GiniUser{}
	if err := r.Reader.Get(ctx, request.NamespacedName, user); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(request.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, err
	}
	if !user.DeletionTimestamp.IsZero() {
		r.Lanes.Leave(request.NamespacedName)
		r.memory.forget(request.NamespacedName)
		return ctrl.Result{}, nil // the Secrets go with their owner
	}
	s := r.newScope(user)
	if r.memory.isBehind(s.key(), user.ResourceVersion, s.now) {
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	}
	if err := r.observeSecrets(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	if user.Spec.Suspend {
		return r.suspend(ctx, s)
	}
	if err := r.run(ctx, s, r.resolveClient, r.resolveUser, r.checkAccount, r.checkTargets, r.deliverTrusted, r.decide, r.holdProvider); err != nil {
		return ctrl.Result{}, err
	}
	if r.hasKept(s) {
		if err := r.run(ctx, s, r.confirm, r.writeKept); err != nil || s.gone {
			return ctrl.Result{}, err
		}
	}
	switch {
	case s.problem == nil && r.needsProvider(s):
		return r.enterLane(ctx, s, lane.ProviderEndpoint, r.fetchJWT)
	case s.problem == nil && s.needsGini():
		return r.enterLane(ctx, s, s.endpoint(), r.talk)
	}
	r.Lanes.Leave(s.key())
	if err := r.tidy(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	return r.finish(ctx, s)
}

// suspend writes the status and nothing else, but that client credentials do not stay delivered whose grant is withdrawn.
func (r *GiniUserReconciler) suspend(ctx context.Context, s *scope) (ctrl.Result, error) {
	r.Lanes.Leave(s.key())
	if err := r.run(ctx, s, r.resolveClient, r.resolveIdentifier); err != nil {
		return ctrl.Result{}, err
	}
	if !s.refused {
		s.problem = nil
	}
	if err := r.withdraw(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	return r.finish(ctx, s)
}

// enterLane moves the rest of the reconcile into the lane of the client. Where that has no room now, the user is called
// again by it; where the client is in trouble, the status says so.
func (r *GiniUserReconciler) enterLane(
	ctx context.Context, s *scope, endpoint lane.Endpoint, work func(ctx context.Context, s *scope, probe bool) lane.Outcome,
) (ctrl.Result, error) {
	if again := r.memory.endedUntil(s.key()); s.now.Before(again) && again.Sub(s.now) <= time.Second { // further ahead, the clock was set back
		return ctrl.Result{RequeueAfter: again.Sub(s.now)}, nil
	}
	outcome, refusal := s.application.Lane.Enter(ctx, endpoint, s.key(), agenda.Priority(entryOf(s.before, s.now), s.now),
		func(ctx context.Context, probe bool) lane.Outcome { return work(ctx, s, probe) })
	switch {
	case refusal == nil:
		return outcome.Result, outcome.Err
	case refusal.Running:
		return ctrl.Result{}, nil
	case refusal.Trouble != "":
		s.problem = troubleOf(endpoint, refusal, clientKey(s.user).String())
	case s.served():
		return ctrl.Result{}, nil // its turn comes in a moment: nothing to tell
	}
	if err := r.tidy(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	return r.finish(ctx, s)
}

// patience is how long a token may have expired for want of room in the lane before the status says so: a sticky token is
// renewed only once it has ended.
const patience = 10 * time.Second

// served reports whether the status is up to date and what the devices have is valid, or was a moment ago.
func (s *scope) served() bool {
	for _, wanted := range s.devices() {
		if wanted.expires && (wanted.meta == nil || !wanted.readable || !s.now.Before(wanted.record.Token.EndsBy.Add(patience))) {
			return false
		}
	}
	return meta.IsStatusConditionTrue(s.before.Status.Conditions, api.ConditionReady) && s.before.Status.ObservedGeneration == s.user.Generation
}

// talk is the part of a reconcile that talks to Gini.
func (r *GiniUserReconciler) talk(ctx context.Context, s *scope, probe bool) lane.Outcome {
	stages := []stage{r.confirm, r.verifyToken, r.ensureAccount, r.obtainToken}
	if probe && s.anonymous() {
		stages = append([]stage{r.probeClient}, stages...)
	}
	err := r.run(ctx, s, stages...)
	if err == nil && !s.gone {
		err = r.tidy(ctx, s)
	}
	outcome := outcomeOf(s, err)
	if err == nil && !s.gone {
		outcome.Result, outcome.Err = r.finish(ctx, s)
	}
	return outcome
}

// outcomeOf is what a turn in the lane came to, before the status is written.
func outcomeOf(s *scope, err error) lane.Outcome {
	outcome := lane.Outcome{Asked: s.asked, Gini: s.gini, Err: err}
	if errors.Is(err, errBehind) {
		outcome.Result, outcome.Err = ctrl.Result{RequeueAfter: conflictPause}, nil
	}
	return outcome
}

// tidy is what is done whatever the problem: it changes no credential.
func (r *GiniUserReconciler) tidy(ctx context.Context, s *scope) error {
	for _, stage := range []stage{r.withdraw, r.rewriteTrusted, r.rewriteUntrusted, r.cleanUp} { // each of them, whatever another finds
		if err := r.run(ctx, s, stage); err != nil {
			return err
		}
	}
	return nil
}

// run runs stages up to the first that finds a problem.
func (r *GiniUserReconciler) run(ctx context.Context, s *scope, stages ...stage) error {
	for _, stage := range stages {
		if err := stage(ctx, s); err != nil {
			found, ok := problem.Of(err)
			if !ok {
				return err
			}
			if s.problem == nil {
				s.problem = found
			}
			return nil
		}
	}
	return nil
}

func (r *GiniUserReconciler) newScope(user *api.GiniUser) *scope {
	s := &scope{before: user, now: r.Clock.Now().Round(0), setbacks: &r.setbacks}
	r.setbacks.observe(s.now)
	if wanted := user.Spec.Devices.Untrusted; wanted != nil {
		s.untrusted = &device{owner: user.Name, template: target.ForUntrusted(wanted), expires: true}
	}
	if wanted := user.Spec.Devices.Trusted; wanted != nil {
		s.trusted = &device{owner: user.Name, template: target.ForTrusted(wanted), expires: usesJWT(user)}
	}
	s.adopt(user.DeepCopy())
	s.verifyPaused = r.memory.verificationPaused(s.key())
	return s
}

// adopt takes on the user as it was read just now: the devices' states are those of its status.
func (s *scope) adopt(user *api.GiniUser) {
	s.user = user
	if user.Status.Devices == nil {
		user.Status.Devices = &api.DevicesStatus{}
	}
	if s.untrusted != nil {
		s.untrusted.status = orNew(&user.Status.Devices.Untrusted)
	}
	if s.trusted != nil {
		before := s.trusted.status
		s.trusted.status = orNew(&user.Status.Devices.Trusted)
		if s.trusted.written {
			*s.trusted.status = *before
		}
	}
}

func orNew(status **api.DeviceStatus) *api.DeviceStatus {
	if *status == nil {
		*status = &api.DeviceStatus{}
	}
	return *status
}

// forget drops what is remembered of a GiniUser that is gone.
func (r *GiniUserReconciler) forget(key types.NamespacedName) {
	r.memory.forget(key)
	r.Lanes.Leave(key)
	r.wake(r.claims.release(key))
}

// wake looks at GiniUsers again.
func (r *GiniUserReconciler) wake(keys []types.NamespacedName) {
	for _, key := range keys {
		r.Queue.Enqueue(key, agenda.First, 0)
	}
}

// needsGini reports whether Gini has to be asked for anything.
func (s *scope) needsGini() bool { return s.untrusted.due() || s.verify }

// earlier is the earlier of two instants, of which the zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
