// Package target renders, owns, writes and repairs the Secrets that devices read.
package target

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/renewal"
)

// Record is what a Secret's annotations say of its data. It is written together with the data, so that whoever sees the
// metadata of a Secret knows what it holds.
type Record struct {
	// Token is the life of the token; zero for credentials that do not expire.
	Token renewal.Token
	// RefreshAt is when the token is to be renewed; for people, and for who looks at the metadata only.
	RefreshAt time.Time
	// IssuedFor is the hash of the subject.
	IssuedFor string
	// IssuedBy is a hash of what a JWT depends on beside the subject; empty for everything else.
	IssuedBy string
	// Fingerprint is that of the token, the JWT or the client secret.
	Fingerprint string
	// Template is the hash of what the Secret was rendered from.
	Template string
	// RefreshHandled echoes the request for a new token that was handled last.
	RefreshHandled string
	// LifetimeAssumed is whether Gini did not say how long the token lives.
	LifetimeAssumed bool
}

const assumed = "assumed"

// milliseconds is RFC 3339 to the millisecond: sticky bounds are closer than a second.
const milliseconds = "2006-01-02T15:04:05.000Z07:00"

// ParseRecord reads the record of a Secret that was made for the GiniUser of that name. readable is false where an annotation is missing or
// broken, or the record is another Secret's; the other fields are filled all the same.
func ParseRecord(secret metav1.Object, user string, expires bool) (record Record, readable bool) {
	annotations := secret.GetAnnotations()
	record = Record{
		IssuedFor:      annotations[api.IssuedForAnnotation],
		IssuedBy:       annotations[api.IssuedByAnnotation],
		Fingerprint:    annotations[api.FingerprintAnnotation],
		Template:       annotations[api.TemplateAnnotation],
		RefreshHandled: annotations[api.RefreshHandledAnnotation],

		LifetimeAssumed: annotations[api.LifetimeAnnotation] == assumed,
	}
	readable = record.IssuedFor != "" && record.Fingerprint != ""
	genuine := Sealed(secret, user) || sealedBefore(annotations)
	if !expires {
		return record, readable && genuine
	}
	for _, instant := range []struct {
		annotation string
		into       *time.Time
	}{
		{api.ObtainedAtAnnotation, &record.Token.ObtainedAt},
		{api.ExpiresAtAnnotation, &record.Token.ExpiresAt},
		{api.EndsByAnnotation, &record.Token.EndsBy},
		{api.RefreshAtAnnotation, &record.RefreshAt},
	} {
		parsed, err := time.Parse(time.RFC3339Nano, annotations[instant.annotation])
		if err != nil {
			readable = false
			continue
		}
		*instant.into = parsed.UTC()
	}
	return record, readable && genuine
}

// recorded are the annotations that make up a record.
var recorded = []string{
	api.IssuedForAnnotation, api.FingerprintAnnotation, api.TemplateAnnotation, api.RefreshHandledAnnotation, api.LifetimeAnnotation,
	api.ObtainedAtAnnotation, api.ExpiresAtAnnotation, api.EndsByAnnotation, api.RefreshAtAnnotation,
}

// Sealed reports whether a Secret has a record that was written for it, under its very name and in its very namespace, for the GiniUser of
// that name. Neither a copy has one nor a Secret whose record was edited. It knows no UID, so that what comes out of a backup has one.
func Sealed(secret metav1.Object, user string) bool {
	return secret.GetAnnotations()[api.RecordAnnotation] == seal(secret, user)
}

func seal(secret metav1.Object, user string) string {
	return digest(secret.GetAnnotations(), 8, secret.GetNamespace(), secret.GetName(), user)
}

// sealedBefore reports whether annotations have the checksum of records that were not bound to a name yet: a copy has it too.
func sealedBefore(annotations map[string]string) bool {
	return annotations[api.RecordAnnotation] == digest(annotations, 4)
}

// Bind gives a Secret that is no device's a record of its own, for the holder that its labels name: an account or signing keys.
func Bind(secret metav1.Object, holder string) {
	annotations := maps.Clone(secret.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[api.RecordAnnotation] = binding(secret, holder)
	secret.SetAnnotations(annotations)
}

// BoundElsewhere reports whether a Secret that is no device's has a record that is not its own, as a copy has under another name or in another
// namespace. One without a record was made before there were any, or has been handed over by taking it away.
func BoundElsewhere(secret metav1.Object, holder string) bool {
	record := secret.GetAnnotations()[api.RecordAnnotation]
	return record != "" && record != binding(secret, holder)
}

func binding(secret metav1.Object, holder string) string {
	return digest(nil, 8, secret.GetNamespace(), secret.GetName(), secret.GetLabels()[api.DeviceLabel], holder)
}

// digest is a checksum of a record and of what it is bound to, so that an edit by hand and a copy are seen for what they are.
func digest(annotations map[string]string, size int, boundTo ...string) string {
	hash := sha256.New()
	for _, name := range recorded {
		_, _ = fmt.Fprintf(hash, "%s=%s\n", name, annotations[name])
	}
	if by := annotations[api.IssuedByAnnotation]; by != "" { // Secrets without it keep the checksum that they had before there was one
		_, _ = fmt.Fprintf(hash, "%s=%s\n", api.IssuedByAnnotation, by)
	}
	for _, name := range boundTo {
		_, _ = fmt.Fprintf(hash, "of %s\n", name)
	}
	return hex.EncodeToString(hash.Sum(nil)[:size])
}

// write lays the record over a Secret's annotations, bound to its name and to the GiniUser of that name.
func (r Record) write(secret metav1.Object, user string) {
	annotations := secret.GetAnnotations()
	set := func(key, value string) {
		if value == "" {
			delete(annotations, key)
			return
		}
		annotations[key] = value
	}
	lifetime := ""
	if r.LifetimeAssumed {
		lifetime = assumed
	}
	set(api.LifetimeAnnotation, lifetime)
	instant := func(key string, at time.Time, layout string) {
		if at.IsZero() {
			delete(annotations, key)
			return
		}
		annotations[key] = at.UTC().Format(layout)
	}
	set(api.IssuedForAnnotation, r.IssuedFor)
	set(api.IssuedByAnnotation, r.IssuedBy)
	set(api.FingerprintAnnotation, r.Fingerprint)
	set(api.TemplateAnnotation, r.Template)
	set(api.RefreshHandledAnnotation, r.RefreshHandled)
	instant(api.ObtainedAtAnnotation, r.Token.ObtainedAt, milliseconds)
	instant(api.ExpiresAtAnnotation, r.Token.ExpiresAt, time.RFC3339)
	instant(api.EndsByAnnotation, r.Token.EndsBy, milliseconds)
	instant(api.RefreshAtAnnotation, r.RefreshAt, milliseconds)
	annotations[api.RecordAnnotation] = seal(secret, user)
}

// applied lays wanted over existing, and takes away what was applied before and is wanted no more. It notes the names of
// what it applied in annotations, under note.
func applied(existing, wanted, annotations map[string]string, note string) map[string]string {
	result := maps.Clone(existing)
	if result == nil {
		result = map[string]string{}
	}
	for name := range strings.SplitSeq(annotations[note], ",") {
		delete(result, name)
	}
	maps.Copy(result, wanted)
	return result
}

func names(of map[string]string) string { return strings.Join(slices.Sorted(maps.Keys(of)), ",") }
