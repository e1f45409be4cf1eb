package target

import (
	"context"
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

func desired() Desired {
	return Desired{
		User: alice, Record: record(noon, time.Second, time.Hour), Data: map[string][]byte{"access_token": []byte("t0k")},
		Template: Template{
			Name: "alice-token", Device: api.UntrustedDevice, Type: corev1.SecretTypeOpaque, Labels: map[string]string{"team": "a", "tier": "gold"},
			Annotations: map[string]string{"note": "n", "link": "l"},
		},
	}
}

// store is an API server's worth of Secrets; what it lacks is tested with a real one elsewhere.
func store(t *testing.T, objects ...client.Object) (Secrets, client.Client) {
	t.Helper()
	k8s := fake.NewClientBuilder().WithObjects(objects...).Build()
	return Secrets{Live: k8s, Writer: k8s}, k8s
}

func written(t *testing.T, secrets Secrets, live *corev1.Secret, wanted Desired) *corev1.Secret {
	t.Helper()
	if _, err := secrets.Write(t.Context(), live, wanted); err != nil {
		t.Fatal(err)
	}
	stored, err := secrets.Get(t.Context(), types.NamespacedName{Namespace: "team", Name: "alice-token"})
	if err != nil || stored == nil {
		t.Fatalf("%v, %v", stored, err)
	}
	return stored
}

// TestWrite: made, written again without a change, and changed; what others put into the metadata stays, and what the spec set
// goes when the spec drops it.
func TestWrite(t *testing.T) {
	secrets, k8s := store(t)
	if nothing, err := secrets.Get(t.Context(), types.NamespacedName{Namespace: "team", Name: "alice-token"}); nothing != nil || err != nil {
		t.Fatalf("%v, %v", nothing, err)
	}
	made := written(t, secrets, nil, desired())
	if OwnerOf(made, alice) != Ours || HolderOf(made) != "alice" || !IsOf(made, api.UntrustedDevice) || string(made.Data["access_token"]) != "t0k" {
		t.Errorf("made %+v", made)
	}
	if got, readable := ParseRecord(made, "alice", true); !readable || got != desired().Record {
		t.Errorf("record %+v", got)
	}
	if Differs(made, desired()) {
		t.Error("differs from what was written")
	}
	if again := written(t, secrets, made, desired()); again.ResourceVersion != made.ResourceVersion {
		t.Error("written without a change")
	}

	made.Labels["others"], made.Annotations["others"], made.Data["others"] = "x", "y", []byte("z")
	made.Labels[api.AdoptByLabel] = "alice"
	if err := k8s.Update(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	wanted := desired()
	wanted.Template.Labels, wanted.Template.Annotations = map[string]string{"team": "b"}, map[string]string{"note": "m"}
	if !Differs(made, wanted) {
		t.Error("does not differ")
	}
	changed := written(t, secrets, made, wanted)
	wantLabels := map[string]string{
		"team": "b", "others": "x", api.ManagedByLabel: api.ManagedByValue, api.UserLabel: "alice", api.DeviceLabel: "untrusted",
	}
	if !maps.Equal(changed.Labels, wantLabels) {
		t.Errorf("labels %v, want %v", changed.Labels, wantLabels)
	}
	if a := changed.Annotations; a["note"] != "m" || a["others"] != "y" || a["link"] != "" || a[api.AppliedLabelsAnnotation] != "team" {
		t.Errorf("annotations %v", a)
	}
	if len(changed.Data) != 1 {
		t.Errorf("data has keys that nobody asked for: %v", changed.Data)
	}
	if changed.UID != made.UID {
		t.Error("made anew")
	}

	wanted.Template.Labels, wanted.Template.Annotations, wanted.Template.Retain = nil, nil, true
	retained := written(t, secrets, changed, wanted)
	if retained.Labels["team"] != "" || retained.Annotations["note"] != "" || retained.Labels["others"] != "x" ||
		len(retained.OwnerReferences) != 0 || OwnerOf(retained, alice) != Ours {
		t.Errorf("retained %+v", retained.ObjectMeta)
	}
	for _, note := range []string{api.AppliedLabelsAnnotation, api.AppliedAnnotationsAnnotation} {
		if _, ok := retained.Annotations[note]; ok {
			t.Errorf("still notes %s", note)
		}
	}
}

// TestWriteMadeAnew: another type, or an immutable Secret, cannot be changed.
func TestWriteMadeAnew(t *testing.T) {
	yes := true
	for name, change := range map[string]func(*corev1.Secret, *Desired){
		"another type": func(_ *corev1.Secret, wanted *Desired) { wanted.Template.Type = "credentials.gini.net/token" },
		"immutable":    func(live *corev1.Secret, _ *Desired) { live.Immutable = &yes },
	} {
		t.Run(name, func(t *testing.T) {
			live := desired().lay(nil)
			live.UID = "first"
			live.Labels["others"] = "x"
			wanted := desired()
			change(live, &wanted)
			var deleted []metav1.Preconditions
			k8s := fake.NewClientBuilder().WithObjects(live).WithInterceptorFuncs(interceptor.Funcs{
				Delete: func(ctx context.Context, next client.WithWatch, object client.Object, options ...client.DeleteOption) error {
					asked := (&client.DeleteOptions{}).ApplyOptions(options)
					if asked.Preconditions != nil {
						deleted = append(deleted, *asked.Preconditions)
					}
					return next.Delete(ctx, object)
				},
			}).Build()
			secrets := Secrets{Live: k8s, Writer: k8s}
			read, err := secrets.Get(t.Context(), client.ObjectKeyFromObject(live))
			if err != nil {
				t.Fatal(err)
			}
			if !Differs(read, wanted) {
				t.Error("does not differ")
			}
			made := written(t, secrets, read, wanted)
			if len(deleted) != 1 || *deleted[0].UID != "first" || *deleted[0].ResourceVersion != read.ResourceVersion {
				t.Errorf("deleted with %+v, want the UID and version that were read", deleted)
			}
			if made.UID == "first" || made.Immutable != nil || made.Type != wanted.Template.Type || made.Labels["others"] != "x" {
				t.Errorf("made anew: %+v", made)
			}
		})
	}
}

// TestWriteConflict: whoever wrote in between wins, and is not overwritten (R1.8, R3.1).
func TestWriteConflict(t *testing.T) {
	secrets, k8s := store(t)
	made := written(t, secrets, nil, desired())
	between := made.DeepCopy()
	between.Data["access_token"] = []byte("another")
	if err := k8s.Update(t.Context(), between); err != nil {
		t.Fatal(err)
	}
	wanted := desired()
	wanted.Data = map[string][]byte{"access_token": []byte("t1k")}
	if _, err := secrets.Write(t.Context(), made, wanted); !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict", err)
	}
	if _, err := secrets.Write(t.Context(), nil, wanted); !apierrors.IsAlreadyExists(err) {
		t.Errorf("error %v, want that it exists", err)
	}
}

// TestWriteGoesOn: a token that was just obtained is written even where the operator is being stopped.
func TestWriteGoesOn(t *testing.T) {
	secrets, _ := store(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	watched := &contextWriter{Writer: secrets.Writer}
	secrets.Writer = watched
	made, err := secrets.Write(ctx, nil, desired())
	if err != nil || watched.err != nil || !watched.bounded {
		t.Fatalf("%v; the write's context: %v, bounded %v", err, watched.err, watched.bounded)
	}
	made.Data["x"] = []byte("y")
	if err := secrets.Update(ctx, made); err != nil || watched.err != nil || !watched.bounded {
		t.Errorf("%v; the write's context: %v, bounded %v", err, watched.err, watched.bounded)
	}
}

// contextWriter notes what the contexts of writes are like.
type contextWriter struct {
	client.Writer
	err     error
	bounded bool
}

// Create implements client.Writer.
func (w *contextWriter) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	w.err = ctx.Err()
	_, w.bounded = ctx.Deadline()
	return w.Writer.Create(ctx, object, options...)
}

// Update implements client.Writer.
func (w *contextWriter) Update(ctx context.Context, object client.Object, options ...client.UpdateOption) error {
	w.err = ctx.Err()
	_, w.bounded = ctx.Deadline()
	return w.Writer.Update(ctx, object, options...)
}

func TestDelete(t *testing.T) {
	secrets, _ := store(t)
	made := written(t, secrets, nil, desired())
	for range 2 { // one that is gone is no error
		if err := secrets.Delete(t.Context(), made); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := secrets.Get(t.Context(), client.ObjectKeyFromObject(made)); left != nil || err != nil {
		t.Errorf("%v, %v", left, err)
	}
}

// TestDiffers: every part of a Secret that is the operator's.
func TestDiffers(t *testing.T) {
	if !Differs(nil, desired()) {
		t.Error("nothing is no different from something")
	}
	for name, change := range map[string]func(*corev1.Secret){
		"data changed":       func(s *corev1.Secret) { s.Data["access_token"] = []byte("x") },
		"data added":         func(s *corev1.Secret) { s.Data["x"] = []byte("x") },
		"data gone":          func(s *corev1.Secret) { s.Data = nil },
		"label changed":      func(s *corev1.Secret) { s.Labels["team"] = "x" },
		"label gone":         func(s *corev1.Secret) { delete(s.Labels, "tier") },
		"our label gone":     func(s *corev1.Secret) { delete(s.Labels, api.UserLabel) },
		"adopt-by added":     func(s *corev1.Secret) { s.Labels[api.AdoptByLabel] = "alice" },
		"annotation changed": func(s *corev1.Secret) { s.Annotations["note"] = "x" },
		"record changed":     func(s *corev1.Secret) { s.Annotations[api.ExpiresAtAnnotation] = "x" },
		"owner gone":         func(s *corev1.Secret) { s.OwnerReferences = nil },
		"owner of old":       func(s *corev1.Secret) { s.OwnerReferences[0].UID = "alice-1" },
		"type":               func(s *corev1.Secret) { s.Type = "x" },
	} {
		live := desired().lay(nil)
		change(live)
		if !Differs(live, desired()) {
			t.Errorf("%s is not noticed", name)
		}
	}
	for name, change := range map[string]func(*corev1.Secret){
		"another's label":      func(s *corev1.Secret) { s.Labels["others"] = "x" },
		"another's annotation": func(s *corev1.Secret) { s.Annotations["others"] = "x" },
		"another owner": func(s *corev1.Secret) {
			s.OwnerReferences = append([]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x"}}, s.OwnerReferences...)
		},
		"managed fields": func(s *corev1.Secret) { s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x"}} },
		"version":        func(s *corev1.Secret) { s.ResourceVersion = "7" },
		"nothing":        func(*corev1.Secret) {},
	} {
		live := desired().lay(nil)
		change(live)
		if Differs(live, desired()) {
			t.Errorf("%s is not ours, and repaired", name)
		}
	}
}

// TestLastWriterOf: who fights with the operator over a Secret, by the name under which Kubernetes knows it (R1.10).
func TestLastWriterOf(t *testing.T) {
	at := func(minutes int) *metav1.Time {
		instant := metav1.NewTime(noon.Add(time.Duration(minutes) * time.Minute))
		return &instant
	}
	for _, c := range []struct {
		name    string
		entries []metav1.ManagedFieldsEntry
		want    string
	}{
		{"nobody", nil, "somebody"},
		{"the operator alone", []metav1.ManagedFieldsEntry{{Manager: "gini-operator", Time: at(5)}}, "somebody"},
		{"without time", []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}, "somebody"},
		{
			"the latest", []metav1.ManagedFieldsEntry{
				{Manager: "first", Time: at(1)}, {Manager: "kubectl-edit", Time: at(3)}, {Manager: "gini-operator", Time: at(5)}, {Manager: "second", Time: at(2)},
			},
			"kubectl-edit",
		},
	} {
		if got := LastWriterOf(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{ManagedFields: c.entries}}, "gini-operator"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
