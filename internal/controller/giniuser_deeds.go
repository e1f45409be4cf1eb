package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/target"
)

// deed is what was done to a Secret of a device beyond what its token or JWT asks for.
type deed struct {
	// reason is that of its Event; empty where there is nothing to tell.
	reason string
	secret string
	// why says what led to it, and writer who wrote the Secret before, of one that was repaired.
	why, writer string
	// version is what of the Secret was there before; empty where there was none.
	version string
}

// deedWords are what people are told of a deed: the log's line, and the verb of the Event.
var deedWords = map[string]struct{ line, verb string }{
	api.ReasonSecretDeleted:   {"Deleted a Secret", "Deleted"},
	api.ReasonSecretRenamed:   {"Renamed a Secret", "Deleted"},
	api.ReasonSecretRepaired:  {"Repaired a Secret", "Repaired"},
	api.ReasonSecretRecreated: {"Made a Secret anew", "Deleted and made again"},
	api.ReasonSecretTakenOver: {"Took a Secret over", "Took over"},
}

// tellOf tells of a deed once it is done, whatever becomes of the rest: a line in the log, and an Event.
func (r *GiniUserReconciler) tellOf(ctx context.Context, s *scope, done deed) {
	words, kind, by := deedWords[done.reason], corev1.EventTypeNormal, ""
	values := []any{"Secret", done.secret, "reason", done.reason, "why", done.why}
	if done.reason == api.ReasonSecretRepaired && done.version != "" { // of one that is gone nobody knows who took it away: perhaps an operator that died
		kind = corev1.EventTypeWarning
	}
	if done.writer != "" {
		values, by = append(values, "lastWriter", done.writer), " (last writer: "+done.writer+")"
	}
	logf.FromContext(ctx).Info(words.line, values...)
	r.Events.Eventf(reference(s.user), s.related(done), kind, done.reason, "KeepSecret", "%s", words.verb+" Secret "+done.secret+": "+done.why+by)
}

// related names the Secret of a deed as it was before. Events that differ in nothing but their text are counted as one for minutes, under the first
// text: without the version the second repair would be told with the first one's Secret and writer.
func (s *scope) related(done deed) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Secret", Namespace: s.user.Namespace, Name: done.secret, ResourceVersion: done.version}
}

// deedOf is what writing a device's Secret comes to. live is what was there before; repair is whether only what somebody else changed is put right.
func (s *scope) deedOf(wanted *device, desired target.Desired, repair bool) deed {
	live, done := wanted.live, deed{secret: wanted.template.Name}
	if live == nil {
		if wanted.lost() {
			done.reason, done.why = api.ReasonSecretRepaired, "it was gone"
		}
		return done
	}
	done.version = live.ResourceVersion
	if found := s.foundAgain(wanted); found.reason != "" {
		return found
	}
	switch {
	case target.OwnerOf(live, s.user) != target.Ours:
		done.reason, done.why = api.ReasonSecretTakenOver, "its label "+api.AdoptByLabel+" hands it over"
	case live.Immutable != nil && *live.Immutable:
		done.reason, done.why = api.ReasonSecretRepaired, "somebody made it immutable, so it was deleted and made again"
		done.writer = target.LastWriterOf(live, FieldManager)
	case target.MadeAnew(live, desired):
		done.reason, done.why = api.ReasonSecretRecreated, "the type of a Secret cannot be changed"
	case repair || wanted.mends():
		done.reason, done.why = api.ReasonSecretRepaired, "somebody changed it"
		done.writer = target.LastWriterOf(live, FieldManager)
	}
	return done
}

// foundAgain is the taking over of a Secret that its own record shows to be the user's, though neither the status nor its owner reference does: it
// outlived an earlier GiniUser of this name, or comes out of a backup.
func (s *scope) foundAgain(wanted *device) deed {
	live := wanted.live
	owner := metav1.GetControllerOf(live)
	if target.WrittenFor(wanted.status, live) || (owner != nil && owner.UID == s.user.UID) || target.OwnerOf(live, s.user) != target.Ours {
		return deed{}
	}
	return deed{
		reason: api.ReasonSecretTakenOver, secret: live.Name, version: live.ResourceVersion,
		why: "its record shows that it was written for a GiniUser of this name",
	}
}
