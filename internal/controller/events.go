package controller

import (
	"crypto/sha256"
	"encoding/hex"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// inform tells people of an object, as reference or clientReference names it. Events that differ in nothing but their text are counted as one for
// minutes, under the first text: so the related object, which is the same one, has a hash of the text for its field path.
func inform(recorder events.EventRecorder, of client.Object, kind, reason, action, message string) {
	version, name := of.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind()
	sum := sha256.Sum256([]byte(message))
	related := &corev1.ObjectReference{
		APIVersion: version, Kind: name, Namespace: of.GetNamespace(), Name: of.GetName(), UID: of.GetUID(), FieldPath: hex.EncodeToString(sum[:4]),
	}
	recorder.Eventf(of, related, kind, reason, action, "%s", message)
}
