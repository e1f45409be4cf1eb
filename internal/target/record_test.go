package target

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"

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
		annotations := map[string]string{"another.example/x": "stays"}
		want.write(annotations)
		got, readable := ParseRecord(annotations, true)
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
	annotations := map[string]string{}
	record(noon, time.Second, time.Hour).write(annotations)
	for _, annotation := range []string{api.ExpiresAtAnnotation, api.EndsByAnnotation, api.ObtainedAtAnnotation, api.RefreshAtAnnotation} {
		edited := maps.Clone(annotations)
		edited[annotation] = "2036-03-01T15:00:00Z"
		if _, readable := ParseRecord(edited, true); readable {
			t.Errorf("an edited %s is believed", annotation)
		}
	}
	for _, annotation := range recorded {
		edited := maps.Clone(annotations)
		edited[annotation] += "x"
		if _, readable := ParseRecord(edited, true); readable {
			t.Errorf("an edited %s is believed", annotation)
		}
	}
}

// TestRecordOverwrites: an earlier record leaves nothing behind.
func TestRecordOverwrites(t *testing.T) {
	annotations := map[string]string{}
	before := record(noon, time.Second, time.Hour)
	before.LifetimeAssumed = true
	before.write(annotations)
	Record{IssuedFor: "acme.bob", Fingerprint: "f"}.write(annotations)
	want := map[string]string{
		api.IssuedForAnnotation: "acme.bob", api.FingerprintAnnotation: "f", api.RecordAnnotation: annotations[api.RecordAnnotation],
	}
	if !maps.Equal(annotations, want) {
		t.Errorf("%v, want %v", annotations, want)
	}
	got, readable := ParseRecord(annotations, false)
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
		whole.write(annotations)
		delete(annotations, annotation)
		if _, readable := ParseRecord(annotations, true); readable {
			t.Errorf("readable without %s", annotation)
		}
		annotations[annotation] = "soon"
		got, readable := ParseRecord(annotations, true)
		if readable {
			t.Errorf("readable with a broken %s", annotation)
		}
		if got.RefreshHandled != whole.RefreshHandled || got.Template != whole.Template {
			t.Errorf("with a broken %s the rest is lost: %+v", annotation, got)
		}
	}
	if _, readable := ParseRecord(nil, false); readable {
		t.Error("readable without any annotation")
	}
}
