package target

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

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

// proofs are what can show that a Secret named "s" in namespace "team" was written for alice, or only seems to; and whether they do so.
var proofs = []struct {
	name  string
	of    func(secret *corev1.Secret, user *api.GiniUser)
	holds bool
	// owned is whether it holds with alice's owner reference only.
	owned bool
}{
	{name: "nothing", of: func(*corev1.Secret, *api.GiniUser) {}},
	{name: "its own record", of: func(secret *corev1.Secret, _ *api.GiniUser) { sealAs(secret, "team", "s", "alice") }, holds: true},
	{name: "the record of a Secret of another name", of: func(secret *corev1.Secret, _ *api.GiniUser) { sealAs(secret, "team", "alice-token", "alice") }},
	{name: "the record of a Secret in another namespace", of: func(secret *corev1.Secret, _ *api.GiniUser) { sealAs(secret, "home", "s", "alice") }},
	{name: "the record of another user's Secret", of: func(secret *corev1.Secret, _ *api.GiniUser) { sealAs(secret, "team", "s", "bob") }},
	{name: "a record that was edited", of: func(secret *corev1.Secret, _ *api.GiniUser) {
		sealAs(secret, "team", "s", "alice")
		secret.Annotations[api.ExpiresAtAnnotation] = "2036-03-01T15:00:00Z"
	}},
	{name: "its UID in the status", of: func(_ *corev1.Secret, user *api.GiniUser) { tells(user, "s", "s-1", "7") }, holds: true},
	{name: "its name in the status, with another UID", of: func(_ *corev1.Secret, user *api.GiniUser) { tells(user, "s", "s-0", "7") }},
	{name: "its UID in the status, with another name", of: func(_ *corev1.Secret, user *api.GiniUser) { tells(user, "t", "s-1", "7") }},
	{name: "its version in a status without UIDs", of: func(_ *corev1.Secret, user *api.GiniUser) { tells(user, "s", "", "7") }, holds: true},
	{name: "another version in a status without UIDs", of: func(_ *corev1.Secret, user *api.GiniUser) { tells(user, "s", "", "6") }},
	{name: "an unbound record, and the name in the spec", of: func(secret *corev1.Secret, user *api.GiniUser) {
		sealedOnce(secret)
		user.Spec.Devices.Untrusted = &api.UntrustedDeviceSpec{Secret: api.UntrustedSecret{TargetSecret: api.TargetSecret{Name: "s"}}}
	}, owned: true},
	{name: "an unbound record, and the name in the status", of: func(secret *corev1.Secret, user *api.GiniUser) {
		sealedOnce(secret)
		tells(user, "s", "", "6")
	}, owned: true},
	{name: "an unbound record", of: func(secret *corev1.Secret, _ *api.GiniUser) { sealedOnce(secret) }},
}

// sealAs gives a Secret the record that it would have under another name.
func sealAs(secret *corev1.Secret, namespace, name, user string) {
	made := &metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{}}
	record(noon, time.Second, time.Hour).write(made, user)
	secret.Annotations = made.Annotations
}

// sealedOnce gives a Secret a record as it was before records were bound to names.
func sealedOnce(secret *corev1.Secret) {
	sealAs(secret, "team", "s", "alice")
	secret.Annotations[api.RecordAnnotation] = digest(secret.Annotations, 4)
}

func tells(user *api.GiniUser, name, uid, version string) {
	user.Status.Devices = &api.DevicesStatus{Trusted: &api.DeviceStatus{SecretName: name, SecretUID: uid, SecretResourceVersion: version}}
}

// TestOwnerOf: what proves that the operator wrote a Secret does so whatever its labels and owner references say, unless another controller has it;
// and nothing else does, as all of these are copied with a Secret (R3.1, R3.2, R3.10).
func TestOwnerOf(t *testing.T) {
	notController := controlledBy(giniAPI, "GiniUser", "alice", "alice-2")
	notController[1].Controller = nil
	for _, owned := range []struct {
		name       string
		references []metav1.OwnerReference
		others     bool // a controller that is no GiniUser
		alices     bool // alice's owner reference
		holdsBack  bool // a controller that keeps the Secret from being handed over
	}{
		{name: "no owner"},
		{name: "alice", references: controlledBy(giniAPI, "GiniUser", "alice", "alice-2"), alices: true},
		{name: "an earlier alice", references: controlledBy(giniAPI, "GiniUser", "alice", "alice-1")},
		{name: "bob", references: controlledBy(giniAPI, "GiniUser", "bob", "bob-1"), holdsBack: true},
		{name: "a Deployment", references: controlledBy("apps/v1", "Deployment", "alice", "d"), others: true, holdsBack: true},
		{name: "another's GiniUser", references: controlledBy("gini.example/v1", "GiniUser", "alice", "d"), others: true, holdsBack: true},
		{name: "alice, but not as controller", references: notController},
	} {
		for _, labelled := range []map[string]string{nil, labels("alice", "untrusted"), labels("alice", "trusted"), labels("bob", "untrusted"), labels("alice", "account")} {
			for _, proof := range proofs {
				for _, adoptBy := range []string{"", "alice", "bob"} {
					name := fmt.Sprintf("%s, labels %v, %s, adopt-by %q", owned.name, labelled, proof.name, adoptBy)
					object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
						Name: "s", Namespace: "team", UID: "s-1", ResourceVersion: "7", OwnerReferences: owned.references, Labels: map[string]string{},
					}}
					maps.Copy(object.Labels, labelled)
					if adoptBy != "" {
						object.Labels[api.AdoptByLabel] = adoptBy
					}
					user := alice.DeepCopy()
					proof.of(object, user)
					got := OwnerOf(object, user)
					ours := !owned.others && (proof.holds || (proof.owned && owned.alices))
					consents := !ours && adoptBy == "alice" && !owned.holdsBack
					if (got == Ours) != ours || (got == Consenting) != consents {
						t.Errorf("%s: %d; ours is %t, and handed over %t", name, got, ours, consents)
					}
				}
			}
		}
	}
}

// TestOwnerOfOthers: what is told of a Secret that is not the user's.
func TestOwnerOfOthers(t *testing.T) {
	for _, c := range []struct {
		name       string
		references []metav1.OwnerReference
		labels     map[string]string
		want       Ownership
	}{
		{"no marks", nil, nil, Foreign},
		{"a copy of alice's token", nil, labels("alice", "untrusted"), Copied},
		{"a copy with its owner", controlledBy(giniAPI, "GiniUser", "alice", "alice-2"), labels("alice", "trusted"), Copied},
		{"bob's token", nil, labels("bob", "untrusted"), OtherUser},
		{"bob's, with an owner and no labels", controlledBy(giniAPI, "GiniUser", "bob", "bob-1"), nil, OtherUser},
		{"alice's account", nil, labels("alice", "account"), Foreign},
		{"bob's account", nil, labels("bob", "account"), Foreign},
		{"a Deployment's", controlledBy("apps/v1", "Deployment", "d", "d"), labels("alice", "untrusted"), Foreign},
	} {
		object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "team", UID: "s-1", OwnerReferences: c.references, Labels: c.labels}}
		if got := OwnerOf(object, alice); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// TestOwnerOfTakenOver: a Secret that was handed over to bob is bob's, though alice's status still tells of it.
func TestOwnerOfTakenOver(t *testing.T) {
	object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "team", UID: "s-1", Labels: labels("bob", "untrusted")}}
	sealAs(object, "team", "s", "bob")
	user := alice.DeepCopy()
	tells(user, "s", "s-1", "7")
	if got := OwnerOf(object, user); got != OtherUser {
		t.Errorf("got %d, want %d", got, OtherUser)
	}
}

// TestOwnerOfMetadata: the metadata of a Secret tells as much as the Secret.
func TestOwnerOfMetadata(t *testing.T) {
	full := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "team", Labels: labels("alice", "untrusted")}}
	sealAs(full, "team", "s", "alice")
	object := &metav1.PartialObjectMetadata{ObjectMeta: full.ObjectMeta}
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
