package target

import (
	"context"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// writeTimeout bounds a write that goes on although the operator is being stopped, so that a token just obtained is not lost.
const writeTimeout = 15 * time.Second

// Secrets reads and writes Secrets. Reads are live: they go to the API server, not to a cache.
type Secrets struct {
	// Live reads.
	Live client.Reader
	// Writer writes.
	Writer client.Writer
}

// Get reads a Secret; nil where there is none.
func (s Secrets) Get(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := s.Live.Get(ctx, key, &secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &secret, nil
}

// Desired is a Secret as the spec wants it.
type Desired struct {
	User     *api.GiniUser
	Template Template
	Data     map[string][]byte
	Record   Record
}

// Write brings a Secret to what is desired, and returns it as stored. live is what was just read of it, nil where there is
// none; whoever calls has made sure that it may be changed. A conflict with another writer is an error of the API server.
//
// A PUT with the UID and resource version just read carries everything that others put into the metadata, takes foreign keys out of the
// data, and never creates nor takes over. Another type, or an immutable Secret, cannot be changed: it is deleted, with the same
// preconditions, and made again.
func (s Secrets) Write(ctx context.Context, live *corev1.Secret, desired Desired) (*corev1.Secret, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	wanted := desired.lay(live)
	switch {
	case live == nil:
		return wanted, s.Writer.Create(ctx, wanted)
	case MadeAnew(live, desired):
		if err := s.Delete(ctx, live); err != nil {
			return nil, err
		}
		wanted.ResourceVersion, wanted.UID = "", ""
		wanted.CreationTimestamp = metav1.Time{}
		wanted.Immutable = nil
		return wanted, s.Writer.Create(ctx, wanted)
	case Same(live, wanted):
		return live, nil
	default:
		return wanted, s.Writer.Update(ctx, wanted)
	}
}

// Delete deletes a Secret as it was read: one that was changed or made again since stays, which is a conflict. One that is gone is no error.
func (s Secrets) Delete(ctx context.Context, read metav1.Object) error {
	uid, version := read.GetUID(), read.GetResourceVersion()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: read.GetName(), Namespace: read.GetNamespace()}}
	err := s.Writer.Delete(ctx, secret, client.Preconditions{UID: &uid, ResourceVersion: &version})
	return client.IgnoreNotFound(err)
}

// Same reports whether two Secrets have the same content and the same metadata of ours and others.
func Same(a, b *corev1.Secret) bool {
	return a.Type == b.Type &&
		equality.Semantic.DeepEqual(a.Data, b.Data) &&
		equality.Semantic.DeepEqual(a.Labels, b.Labels) &&
		equality.Semantic.DeepEqual(a.Annotations, b.Annotations) &&
		equality.Semantic.DeepEqual(a.OwnerReferences, b.OwnerReferences)
}

// Differs reports whether writing desired would change a Secret.
func Differs(live *corev1.Secret, desired Desired) bool {
	return live == nil || immutable(live) || !Same(live, desired.lay(live))
}

// MadeAnew reports whether a Secret has to be deleted and made again to become what is desired.
func MadeAnew(live *corev1.Secret, desired Desired) bool {
	return live != nil && (live.Type != desired.Template.Type || immutable(live))
}

func immutable(secret *corev1.Secret) bool { return secret.Immutable != nil && *secret.Immutable }

// lay makes the wanted Secret: the metadata that others put on the live one, with ours over it.
func (d Desired) lay(live *corev1.Secret) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: d.Template.Name, Namespace: d.User.Namespace}}
	if live != nil {
		secret.ObjectMeta = *live.ObjectMeta.DeepCopy()
	}
	secret.Type = d.Template.Type
	secret.Data = d.Data

	before := secret.Annotations
	secret.Labels = applied(secret.Labels, d.Template.Labels, before, api.AppliedLabelsAnnotation)
	secret.Labels[api.ManagedByLabel] = api.ManagedByValue
	secret.Labels[api.UserLabel] = d.User.Name
	secret.Labels[api.DeviceLabel] = deviceLabelOf(d.Template.Device)
	delete(secret.Labels, api.AdoptByLabel)

	secret.Annotations = applied(maps.Clone(before), d.Template.Annotations, before, api.AppliedAnnotationsAnnotation)
	d.Record.write(secret, d.User.Name)
	note(secret.Annotations, api.AppliedLabelsAnnotation, names(d.Template.Labels))
	note(secret.Annotations, api.AppliedAnnotationsAnnotation, names(d.Template.Annotations))

	secret.OwnerReferences = ownerReferences(secret.OwnerReferences, d.User, d.Template.Retain)
	return secret
}

func note(annotations map[string]string, key, value string) {
	if value == "" {
		delete(annotations, key)
		return
	}
	annotations[key] = value
}

// LastWriterOf names the field manager that changed a Secret last, other than the operator itself; "somebody" where it cannot be told.
func LastWriterOf(secret *corev1.Secret, self string) string {
	var name string
	var at time.Time
	for _, entry := range secret.ManagedFields {
		if entry.Manager != self && entry.Time != nil && !entry.Time.Time.Before(at) {
			name, at = entry.Manager, entry.Time.Time
		}
	}
	if name == "" {
		return "somebody"
	}
	return name
}

// Create makes a Secret that is no device's.
func (s Secrets) Create(ctx context.Context, secret *corev1.Secret) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return s.Writer.Create(ctx, secret)
}

// Update writes a Secret that is no device's as it was read and changed, even while the operator is being stopped: what it
// holds may be known nowhere else.
func (s Secrets) Update(ctx context.Context, secret *corev1.Secret) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	return s.Writer.Update(ctx, secret)
}
