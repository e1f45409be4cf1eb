package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/delivery"
	"github.com/gini-operator/gini-operator/internal/renewal"
)

// observeReaders finds out who reads the user's Secrets in a way that never shows a new credential, as far as the operator may look.
func (r *GiniUserReconciler) observeReaders(ctx context.Context, s *scope) error {
	s.nudging, s.restarting = r.Pods != nil, r.Restarts
	if !s.nudging {
		return nil
	}
	s.readOnce = map[string]string{}
	for _, wanted := range s.devices() {
		if !wanted.expires {
			continue
		}
		name := wanted.template.Name
		var pods corev1.PodList
		err := r.Pods.List(ctx, &pods, client.InNamespace(s.user.Namespace), client.MatchingFields{indexSecret: name}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return err
		}
		var readers []string
		for i := range pods.Items {
			pod := &pods.Items[i]
			kind, reader := delivery.WorkloadOf(pod)
			restarted := r.Restarts && restarts(deliveries(s.user)[name], api.WorkloadKind(kind), reader)
			if delivery.Outlives(pod) && delivery.SecretsOf(&pod.Spec)[name].Once && !restarted {
				readers = append(readers, kind+" "+reader)
			}
		}
		if slices.Sort(readers); len(readers) > 0 {
			s.readOnce[name] = told(slices.Compact(readers))
		}
	}
	return nil
}

// toldReaders is how many readers a message names.
const toldReaders = 3

func told(readers []string) string {
	if len(readers) > toldReaders {
		return fmt.Sprintf("%s and %d more", strings.Join(readers[:toldReaders], ", "), len(readers)-toldReaders)
	}
	return strings.Join(readers, ", ")
}

// arrivesLate warns of pods that may use an expired credential although the Secret is as it must be; nil where there is no reason to.
func arrivesLate(s *scope) *metav1.Condition {
	for _, wanted := range s.devices() {
		if !wanted.expires || !wanted.readable {
			continue
		}
		if reason, message := s.lateness(wanted); reason != "" {
			return &metav1.Condition{Status: metav1.ConditionTrue, Reason: reason, Message: message}
		}
	}
	return nil
}

// lateness is why the pods that read a device's Secret may see a new credential too late.
func (s *scope) lateness(wanted *device) (reason, message string) {
	name, device := wanted.template.Name, strings.ToLower(string(wanted.template.Device))
	policy := s.policy(wanted)
	if wanted == s.untrusted { // whether one user looks for another behaviour at the moment does not matter here
		policy.Sticky = s.application.Lane.Behaviour(s.endpoint()).Sticky
	}
	switch {
	case s.readOnce[name] != "":
		return api.ReasonReadOnce, fmt.Sprintf("Secret %s is read as environment variables or through a subPath, which never show a new %s, by %s. "+
			"Mount it as a volume without subPath, or name a Deployment, StatefulSet or DaemonSet in devices.%s.rolloutRestart",
			name, wanted.holding(), s.readOnce[name], device)
	case !s.restarting && len(deliveries(s.user)[name].RolloutRestart) > 0:
		return api.ReasonRestartsOff, fmt.Sprintf("devices.%s.rolloutRestart has no effect: start the operator with --rollout-restarts, or remove it", device)
	case !s.nudging && ptr.Deref(deliveries(s.user)[name].NudgePods, false):
		return api.ReasonNudgesOff, fmt.Sprintf("devices.%s.nudgePods has no effect: start the operator with --nudge-pods, or remove it", device)
	case s.nudged(wanted, policy):
		return "", ""
	case policy.Sticky:
		return api.ReasonStickyTokens, fmt.Sprintf("The token in Secret %s is renewed only once it has ended, and a kubelet may take 90s to show "+
			"the new one, so pods use an expired token meanwhile. %s", name, s.wayOut(device))
	case !renewal.Covers(wanted.record.Token, policy):
		return api.ReasonLifetimeTooShort, fmt.Sprintf("The %[1]s in Secret %[2]s lives only %[3]s, and a kubelet may take 90s to show a new one, so pods may "+
			"read an expired %[1]s. %[4]s", wanted.holding(), name, wanted.record.Token.Lifetime().Round(time.Second), s.wayOut(device))
	}
	return "", ""
}

// wayOut says how to make credentials arrive in time.
func (s *scope) wayOut(device string) string {
	if s.nudging {
		return fmt.Sprintf("Set devices.%s.nudgePods", device)
	}
	return fmt.Sprintf("Start the operator with --nudge-pods, and set devices.%s.nudgePods", device)
}

// nudged reports whether pods are nudged for a device's Secret.
func (s *scope) nudged(wanted *device, policy renewal.Policy) bool {
	if asked := deliveries(s.user)[wanted.template.Name].NudgePods; asked != nil {
		return s.nudging && *asked
	}
	return s.nudging && policy.Sticky
}
