package target

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/renewal"
)

func record(at time.Time, took, lifetime time.Duration) Record {
	token := renewal.NewToken(at, at.Add(took), lifetime, true)
	return Record{
		Token: token, RefreshAt: renewal.RefreshAt(token, renewal.Policy{Spread: 0.3}), IssuedFor: "acme.alice", Fingerprint: "0123abcd",
		Template: "beef", RefreshHandled: "yesterday, about noon",
	}
}

// noted is a Secret with annotations.
func noted(annotations map[string]string) metav1.Object {
	return &metav1.ObjectMeta{Namespace: "team", Name: "alice-token", Annotations: annotations}
}

// TestRecordRoundTrip: what is written is read again, to the last bit: what is decided from it must not differ after a restart.
func TestRecordRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	berlin := time.FixedZone("Berlin", 7200)
	for i := range 2_000 {
		at := noon.Add(time.Duration(random.Int64N(int64(1000 * time.Hour))))
		if i%2 == 0 {
			at = at.In(berlin)
		}
		want := record(at, time.Duration(random.Int64N(int64(time.Minute))), time.Duration(random.Int64N(int64(100_000*time.Hour))))
		want.LifetimeAssumed = i%3 == 0
		if i%5 == 0 {
			want.IssuedBy = "0123456789abcdef"
		}
		annotations := map[string]string{"another.example/x": "stays"}
		want.write(noted(annotations), "alice")
		got, readable := ParseRecord(noted(annotations), "alice", true)
		if !readable || got != want {
			t.Fatalf("readable %v: %+v, want %+v", readable, got, want)
		}
		if annotations["another.example/x"] != "stays" {
			t.Fatal("another's annotation is gone")
		}
	}
}

// TestEditedRecord: what somebody wrote into a record is not believed, however well it reads.
func TestEditedRecord(t *testing.T) {
	annotations, whole := map[string]string{}, record(noon, time.Second, time.Hour)
	whole.IssuedBy = "0123456789abcdef"
	whole.write(noted(annotations), "alice")
	for _, annotation := range []string{api.ExpiresAtAnnotation, api.EndsByAnnotation, api.ObtainedAtAnnotation, api.RefreshAtAnnotation} {
		edited := maps.Clone(annotations)
		edited[annotation] = "2036-03-01T15:00:00Z"
		if _, readable := ParseRecord(noted(edited), "alice", true); readable {
			t.Errorf("an edited %s is believed", annotation)
		}
	}
	for _, annotation := range append([]string{api.IssuedByAnnotation}, recorded...) {
		edited := maps.Clone(annotations)
		edited[annotation] += "x"
		if _, readable := ParseRecord(noted(edited), "alice", true); readable {
			t.Errorf("an edited %s is believed", annotation)
		}
	}
}

// TestIssuedByAddedOrTaken: who issued a JWT is part of its record, and so is that nobody did.
func TestIssuedByAddedOrTaken(t *testing.T) {
	for _, by := range []string{"", "0123456789abcdef"} {
		whole, annotations := record(noon, time.Second, time.Hour), map[string]string{}
		whole.IssuedBy = by
		whole.write(noted(annotations), "alice")
		if got, readable := ParseRecord(noted(annotations), "alice", true); !readable || got.IssuedBy != by || annotations[api.IssuedByAnnotation] != by {
			t.Fatalf("readable %v: issued by %q, want %q", readable, got.IssuedBy, by)
		}
		if by == "" {
			annotations[api.IssuedByAnnotation] = "0123456789abcdef"
		} else {
			delete(annotations, api.IssuedByAnnotation)
		}
		if _, readable := ParseRecord(noted(annotations), "alice", true); readable {
			t.Errorf("believed, though %q was edited", by)
		}
	}
}

// TestRecordOfFirstRelease: Secrets that were written before there was issued-by are read as they are: an upgrade renews nothing
// (R3.11).
func TestRecordOfFirstRelease(t *testing.T) {
	of := func(checksum string, more map[string]string) map[string]string {
		annotations := map[string]string{
			"credentials.gini.net/obtained-at": "2026-03-01T12:00:00.000Z", "credentials.gini.net/expires-at": "2026-03-01T13:00:00Z",
			"credentials.gini.net/ends-by": "2026-03-01T13:00:02.235Z", "credentials.gini.net/refresh-at": "2026-03-01T12:36:00.000Z",
			"credentials.gini.net/issued-for": "acme.alice", "credentials.gini.net/fingerprint": "0123abcd", "credentials.gini.net/template": "beef",
			"credentials.gini.net/refresh-handled": "yesterday, about noon", "credentials.gini.net/record": checksum,
		}
		maps.Copy(annotations, more)
		return annotations
	}
	for name, c := range map[string]struct {
		annotations map[string]string
		expires     bool
	}{
		"a token":                     {of("7ef20ae2", nil), true},
		"a token of assumed lifetime": {of("c245e879", map[string]string{"credentials.gini.net/lifetime": "assumed"}), true},
		"client credentials": {map[string]string{
			"credentials.gini.net/issued-for": "acme.bob", "credentials.gini.net/fingerprint": "f", "credentials.gini.net/template": "beef",
			"credentials.gini.net/record": "754b7cc0",
		}, false},
	} {
		read, readable := ParseRecord(noted(c.annotations), "alice", c.expires)
		if !readable || read.IssuedBy != "" {
			t.Errorf("%s: readable %v, %+v", name, readable, read)
		}
		if Sealed(noted(c.annotations), "alice") {
			t.Errorf("%s: is bound to a name", name)
		}
		written := map[string]string{}
		read.write(noted(written), "alice")
		if !Sealed(noted(written), "alice") {
			t.Errorf("%s: written again, it is not bound to its name", name)
		}
		written[api.RecordAnnotation] = c.annotations[api.RecordAnnotation]
		if !maps.Equal(written, c.annotations) {
			t.Errorf("%s: %v, was %v", name, written, c.annotations)
		}
	}
}

// TestRecordOverwrites: an earlier record leaves nothing behind.
func TestRecordOverwrites(t *testing.T) {
	annotations := map[string]string{}
	before := record(noon, time.Second, time.Hour)
	before.LifetimeAssumed, before.IssuedBy = true, "0123456789abcdef"
	before.write(noted(annotations), "alice")
	Record{IssuedFor: "acme.bob", Fingerprint: "f"}.write(noted(annotations), "alice")
	want := map[string]string{
		api.IssuedForAnnotation: "acme.bob", api.FingerprintAnnotation: "f", api.RecordAnnotation: annotations[api.RecordAnnotation],
	}
	if !maps.Equal(annotations, want) {
		t.Errorf("%v, want %v", annotations, want)
	}
	got, readable := ParseRecord(noted(annotations), "alice", false)
	if !readable || got != (Record{IssuedFor: "acme.bob", Fingerprint: "f"}) {
		t.Errorf("readable %v, %+v", readable, got)
	}
}

// TestUnreadable: each annotation that a decision needs, gone or broken.
func TestUnreadable(t *testing.T) {
	whole := record(noon, time.Second, time.Hour)
	for _, annotation := range []string{
		api.IssuedForAnnotation, api.FingerprintAnnotation, api.ObtainedAtAnnotation, api.ExpiresAtAnnotation, api.EndsByAnnotation,
		api.RefreshAtAnnotation, api.RecordAnnotation,
	} {
		annotations := map[string]string{}
		whole.write(noted(annotations), "alice")
		delete(annotations, annotation)
		if _, readable := ParseRecord(noted(annotations), "alice", true); readable {
			t.Errorf("readable without %s", annotation)
		}
		annotations[annotation] = "soon"
		got, readable := ParseRecord(noted(annotations), "alice", true)
		if readable {
			t.Errorf("readable with a broken %s", annotation)
		}
		if got.RefreshHandled != whole.RefreshHandled || got.Template != whole.Template {
			t.Errorf("with a broken %s the rest is lost: %+v", annotation, got)
		}
	}
	if _, readable := ParseRecord(noted(nil), "alice", false); readable {
		t.Error("readable without any annotation")
	}
}

// TestBound: what is no device's is known by its labels, unless it is a copy.
func TestBound(t *testing.T) {
	of := func(namespace, name, device string) *metav1.ObjectMeta {
		return &metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{api.DeviceLabel: device}}
	}
	original := of("team", "alice-account", "account")
	original.Annotations = map[string]string{"another.example/x": "stays"}
	if BoundElsewhere(original, "alice") {
		t.Error("without a record it is bound to something")
	}
	Bind(original, "alice")
	if BoundElsewhere(original, "alice") || original.Annotations["another.example/x"] != "stays" {
		t.Errorf("its own record is another's, or more than that was changed: %v", original.Annotations)
	}
	if !BoundElsewhere(original, "bob") {
		t.Error("alice's record is bob's")
	}
	for _, other := range []*metav1.ObjectMeta{of("team", "copy", "account"), of("home", "alice-account", "account"), of("team", "alice-account", "signing-key")} {
		other.Annotations = original.Annotations
		if !BoundElsewhere(other, "alice") {
			t.Errorf("%s/%s, %v, has a record of its own", other.Namespace, other.Name, other.Labels)
		}
	}
}
