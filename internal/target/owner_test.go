package target

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

const giniAPI = "credentials.gini.net/v1alpha1"

var alice = &api.GiniUser{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "alice", UID: "alice-2"}}

func controlledBy(apiVersion, kind, name, uid string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "ConfigMap", Name: "bystander", UID: "bystander"},
		{APIVersion: apiVersion, Kind: kind, Name: name, UID: types.UID(uid), Controller: &yes},
	}
}

func labels(user, device string) map[string]string {
	set := map[string]string{api.ManagedByLabel: api.ManagedByValue, "team": "a"}
	if user != "" {
		set[api.UserLabel] = user
	}
	if device != "" {
		set[api.DeviceLabel] = device
	}
	return set
}

// TestOwnerOf: every combination of an owner reference, the operator's labels, and the consent of whoever made the Secret
// (R3.1, R3.2, R3.10).
func TestOwnerOf(t *testing.T) {
	foreignLabels := labels("alice", "untrusted")
	foreignLabels[api.ManagedByLabel] = "Helm"
	labelled := []struct {
		name string
		set  map[string]string
	}{
		{"no labels", nil},
		{"alice's token", labels("alice", "untrusted")},
		{"alice's credentials", labels("alice", "trusted")},
		{"bob's token", labels("bob", "untrusted")},
		{"alice's account", labels("alice", "account")},
		{"alice's something", labels("alice", "")},
		{"managed by another", foreignLabels},
		{"nobody's", labels("", "untrusted")},
	}
	notController := controlledBy(giniAPI, "GiniUser", "alice", "alice-2")
	notController[1].Controller = nil
	const (
		f = Foreign
		o = Ours
		b = OtherUser
	)
	for _, owned := range []struct {
		name       string
		references []metav1.OwnerReference
		want       [8]Ownership // by label
	}{
		{"no owner", nil, [8]Ownership{f, o, o, b, f, f, f, f}},
		{"alice", controlledBy(giniAPI, "GiniUser", "alice", "alice-2"), [8]Ownership{o, o, o, o, o, o, o, o}},
		// After a restore from a backup the labels decide; without them it is another's, who may come back.
		{"an earlier alice", controlledBy(giniAPI, "GiniUser", "alice", "alice-1"), [8]Ownership{b, o, o, b, f, f, b, b}},
		{"bob", controlledBy(giniAPI, "GiniUser", "bob", "bob-1"), [8]Ownership{b, b, b, b, f, f, b, b}},
		{"a Deployment", controlledBy("apps/v1", "Deployment", "alice", "d"), [8]Ownership{f, f, f, f, f, f, f, f}},
		{"another's GiniUser", controlledBy("gini.example/v1", "GiniUser", "alice", "d"), [8]Ownership{f, f, f, f, f, f, f, f}},
		{"alice, but not as controller", notController, [8]Ownership{f, o, o, b, f, f, f, f}},
	} {
		for i, labelled := range labelled {
			for _, adoptBy := range []string{"", "alice", "bob"} {
				t.Run(owned.name+", "+labelled.name+", adopt-by "+adoptBy, func(t *testing.T) {
					object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "team", OwnerReferences: owned.references}}
					object.Labels = map[string]string{}
					for name, value := range labelled.set {
						object.Labels[name] = value
					}
					want := owned.want[i]
					if adoptBy != "" {
						object.Labels[api.AdoptByLabel] = adoptBy
					}
					if adoptBy == "alice" && want != Ours && metav1.GetControllerOf(object) == nil {
						want = Consenting
					}
					if got := OwnerOf(object, alice); got != want {
						t.Errorf("got %d, want %d", got, want)
					}
				})
			}
		}
	}
}

// TestOwnerOfMetadata: the metadata of a Secret tells as much as the Secret.
func TestOwnerOfMetadata(t *testing.T) {
	object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Labels: labels("alice", "untrusted")}}
	if OwnerOf(object, alice) != Ours || !IsOf(object, api.UntrustedDevice) || IsOf(object, api.TrustedDevice) {
		t.Error("not alice's token")
	}
	object.Labels = labels("alice", "trusted")
	if !IsOf(object, api.TrustedDevice) || IsOf(object, api.UntrustedDevice) {
		t.Error("not alice's credentials")
	}
}

func TestHolderOf(t *testing.T) {
	for _, c := range []struct {
		name string
		meta metav1.ObjectMeta
		want string
	}{
		{"nobody", metav1.ObjectMeta{}, ""},
		{"by reference", metav1.ObjectMeta{OwnerReferences: controlledBy(giniAPI, "GiniUser", "bob", "b"), Labels: labels("alice", "untrusted")}, "bob"},
		{"by label", metav1.ObjectMeta{Labels: labels("alice", "untrusted")}, "alice"},
		{"another's", metav1.ObjectMeta{OwnerReferences: controlledBy("apps/v1", "Deployment", "d", "d"), Labels: labels("alice", "untrusted")}, ""},
		{"managed by another", metav1.ObjectMeta{Labels: map[string]string{api.ManagedByLabel: "Helm", api.UserLabel: "alice"}}, ""},
	} {
		if got := HolderOf(&corev1.Secret{ObjectMeta: c.meta}); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestOwnerReferences(t *testing.T) {
	bystander := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "bystander", UID: "bystander"}
	for name, existing := range map[string][]metav1.OwnerReference{
		"none": nil, "a bystander": {bystander}, "an earlier alice": controlledBy(giniAPI, "GiniUser", "alice", "alice-1"),
		"bob, who gave it up": controlledBy(giniAPI, "GiniUser", "bob", "bob-1"), "alice": controlledBy(giniAPI, "GiniUser", "alice", "alice-2"),
	} {
		t.Run(name, func(t *testing.T) {
			kept := slices.Clone(existing)
			references := ownerReferences(existing, alice, false)
			if !slices.EqualFunc(existing, kept, func(a, b metav1.OwnerReference) bool { return a.UID == b.UID }) {
				t.Error("what was read is changed")
			}
			if last := references[len(references)-1]; last.UID != alice.UID || last.Name != "alice" || last.Kind != "GiniUser" || last.APIVersion != giniAPI ||
				last.Controller == nil || !*last.Controller || last.BlockOwnerDeletion != nil {
				t.Errorf("owner %+v", last)
			}
			retained := ownerReferences(existing, alice, true)
			if len(retained) != len(references)-1 || slices.ContainsFunc(retained, func(r metav1.OwnerReference) bool { return r.Kind == "GiniUser" }) {
				t.Errorf("retained, it has the owners %v", retained)
			}
			if name != "none" && retained[0].UID != "bystander" {
				t.Errorf("the bystander is gone: %v", retained)
			}
		})
	}
}
