package controller_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/controller"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// edit changes the user's spec and reconciles it.
func (w *world) edit(ctx context.Context, name string, change func(*api.GiniUser)) *api.GiniUser {
	GinkgoHelper()
	user := &api.GiniUser{}
	update(ctx, user, w.key(name), change)
	return w.reconciled(ctx, user)
}

var _ = Describe("The Secret of a device", func() {
	var (
		w    *world
		user *api.GiniUser
	)
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		w.giniClient(ctx)
		user = w.derived("alice")
		user.Spec.Devices.Untrusted.Secret.Data = map[string]api.Template{"GINI_TOKEN": "$(access_token)", "literal": "$$(access_token) costs $5"}
		user.Spec.Devices.Untrusted.Secret.Labels = map[string]api.LabelValue{"team": "a"}
		user.Spec.Devices.Untrusted.Secret.Annotations = map[string]api.AnnotationValue{"acme.example/owner": "billing"}
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
	})

	It("holds what the spec asks for, and belongs to its GiniUser", func(ctx SpecContext) {
		object, data := w.stored(ctx, "alice-token"), w.data(ctx, "alice-token")
		Expect(data).To(HaveKeyWithValue("GINI_TOKEN", data["access_token"]))
		Expect(data).To(HaveKeyWithValue("literal", "$(access_token) costs $5"))
		Expect(data["expires_at"]).To(Equal(user.Status.Devices.Untrusted.ExpiresAt.UTC().Format(time.RFC3339)))
		Expect(object.Labels).To(And(HaveKeyWithValue("team", "a"), HaveKeyWithValue(api.UserLabel, "alice")))
		Expect(object.Annotations).To(HaveKeyWithValue("acme.example/owner", "billing"))
		Expect(metav1.GetControllerOf(object).UID).To(Equal(user.UID), "the garbage collector deletes it with its user")
	})

	It("is rendered anew from the token at hand when labels, annotations or data of the spec change (R1.9)", func(ctx SpecContext) {
		update(ctx, &corev1.Secret{}, w.key("alice-token"), func(object *corev1.Secret) {
			object.Labels["others"] = "label"
			object.Finalizers = []string{"acme.example/others"}
		})
		token, mark := w.data(ctx, "alice-token")["access_token"], w.gini.Mark()
		w.edit(ctx, "alice", func(user *api.GiniUser) {
			user.Spec.Devices.Untrusted.Secret.Labels = map[string]api.LabelValue{"tier": "b"}
			user.Spec.Devices.Untrusted.Secret.Annotations = nil
			user.Spec.Devices.Untrusted.Secret.Data = map[string]api.Template{"HEADER": "$(authorization)"}
			user.Spec.Renewal = &api.Renewal{Before: &metav1.Duration{Duration: 11 * time.Hour}}
		})
		object := w.stored(ctx, "alice-token")
		Expect(w.data(ctx, "alice-token")).To(And(HaveKeyWithValue("access_token", token), HaveKeyWithValue("HEADER", "Bearer "+token), Not(HaveKey("GINI_TOKEN"))))
		Expect(object.Labels).To(And(HaveKeyWithValue("tier", "b"), Not(HaveKey("team")), HaveKeyWithValue("others", "label")))
		Expect(object.Annotations).NotTo(HaveKey("acme.example/owner"))
		Expect(object.Finalizers).To(ConsistOf("acme.example/others"))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
		update(ctx, &corev1.Secret{}, w.key("alice-token"), func(object *corev1.Secret) { object.Finalizers = nil })
	})

	It("is repaired without a login when somebody changes another key than the token (R1.10)", func(ctx SpecContext) {
		mark := w.gini.Mark()
		update(ctx, &corev1.Secret{}, w.key("alice-token"), func(object *corev1.Secret) {
			object.Data["authorization"] = []byte("Bearer wrong")
			object.Data["foreign"] = []byte("key")
		})
		w.reconcile(ctx, "alice")
		data := w.data(ctx, "alice-token")
		Expect(data).To(And(HaveKeyWithValue("authorization", "Bearer "+data["access_token"]), Not(HaveKey("foreign"))))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
	})

	It("is repaired by one login when somebody changes the token or deletes the Secret (R1.10)", func(ctx SpecContext) {
		for _, harm := range []func(){
			func() { w.updateSecret(ctx, "alice-token", map[string]string{"access_token": "forged"}) },
			func() { w.delete(ctx, &corev1.Secret{}, "alice-token") },
		} {
			mark := w.gini.Mark()
			harm()
			Expect(ready(w.reconciled(ctx, user))).To(Equal("True CredentialsReady"))
			Expect(w.use(ctx, map[string]string{"Authorization": w.data(ctx, "alice-token")["authorization"]})).To(Equal(200))
			Expect(w.gini.Since(mark).Count(emulator.Login)).To(Equal(1))
		}
	})

	It("is made under its new name first and then removed under the old one", func(ctx SpecContext) {
		user = w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "renamed" })
		Expect(w.data(ctx, "renamed")).To(HaveKey("access_token"))
		Expect(w.stored(ctx, "alice-token")).To(BeNil())
		Expect(user.Status.Devices.Untrusted.SecretName).To(Equal("renamed"))
	})

	It("stays under its old name while the new one cannot be made (R3.1, R17.4)", func(ctx SpecContext) {
		w.secret(ctx, "taken", map[string]string{"precious": "value"})
		user = w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "taken" })
		Expect(ready(user)).To(Equal("False Conflict"))
		Expect(w.data(ctx, "alice-token")).To(HaveKey("access_token"))
		user = w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "alice-token" })
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		Expect(w.data(ctx, "taken")).To(Equal(map[string]string{"precious": "value"}))
	})

	It("is removed with its device, unless it is to be retained (R3.4)", func(ctx SpecContext) {
		user = w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices = api.Devices{Trusted: trusted("backend")} })
		Expect(w.stored(ctx, "alice-token")).To(BeNil())
		Expect(user.Status.Devices.Untrusted).To(BeNil())

		retained := w.derived("retained")
		retained.Spec.Devices.Untrusted.Secret.DeletionPolicy = api.RetainSecret
		w.reconciled(ctx, retained)
		Expect(w.stored(ctx, "retained-token").OwnerReferences).To(BeEmpty())
		w.edit(ctx, "retained", func(user *api.GiniUser) { user.Spec.Devices = api.Devices{Trusted: trusted("retained-backend")} })
		Expect(w.data(ctx, "retained-token")).To(HaveKey("access_token"))
	})

	It("gains and loses its owner with the deletion policy, without a login", func(ctx SpecContext) {
		mark := w.gini.Mark()
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.DeletionPolicy = api.RetainSecret })
		Expect(w.stored(ctx, "alice-token").OwnerReferences).To(BeEmpty())
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.DeletionPolicy = "" })
		Expect(metav1.GetControllerOf(w.stored(ctx, "alice-token")).UID).To(Equal(user.UID))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
	})

	It("is made again from the data at hand for another type, or where somebody made it immutable", func(ctx SpecContext) {
		token, mark := w.data(ctx, "alice-token")["access_token"], w.gini.Mark()
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Type = "credentials.gini.net/token" })
		Expect(w.stored(ctx, "alice-token").Type).To(BeEquivalentTo("credentials.gini.net/token"))
		immutable := true
		update(ctx, &corev1.Secret{}, w.key("alice-token"), func(object *corev1.Secret) { object.Immutable = &immutable })
		w.reconcile(ctx, "alice")
		Expect(w.stored(ctx, "alice-token").Immutable).To(BeNil())
		Expect(w.data(ctx, "alice-token")).To(HaveKeyWithValue("access_token", token))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
	})

	It("is handed over by its own label, with everything in it (R3.2)", func(ctx SpecContext) {
		object := &corev1.Secret{ObjectMeta: w.objectMeta("old-token"), StringData: map[string]string{"token": "by hand"}}
		object.Labels = map[string]string{api.AdoptByLabel: "bob"}
		Expect(k8s.Create(ctx, object)).To(Succeed())
		bob := w.derived("bob")
		bob.Spec.Devices.Untrusted.Secret.Name = "old-token"
		Expect(ready(w.reconciled(ctx, bob))).To(Equal("True CredentialsReady"))
		Expect(w.data(ctx, "old-token")).To(And(HaveKey("access_token"), Not(HaveKey("token"))))
		Expect(w.stored(ctx, "old-token").Labels).NotTo(HaveKey(api.AdoptByLabel))
	})

	It("stays with the user that has it, and goes to the other once that lets go (R3.3)", func(ctx SpecContext) {
		rival := w.derived("rival")
		rival.Spec.Devices.Untrusted.Secret.Name = "alice-token"
		rival = w.reconciled(ctx, rival)
		Expect(ready(rival)).To(Equal("False Conflict"))
		Expect(w.stored(ctx, "alice-token").Labels).To(HaveKeyWithValue(api.UserLabel, "alice"))

		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "elsewhere" })
		rival = w.reconciled(ctx, rival)
		Expect(ready(rival)).To(Equal("True CredentialsReady"))
		Expect(w.stored(ctx, "alice-token").Labels).To(HaveKeyWithValue(api.UserLabel, "rival"))
	})

	DescribeTable("is the older one's of two that want it from the start, whoever is reconciled first (R3.3)", func(ctx SpecContext, order ...string) {
		for _, name := range []string{"elder", "younger"} {
			rival := w.derived(name)
			rival.Spec.Devices.Untrusted.Secret.Name = "shared"
			Expect(k8s.Create(ctx, rival)).To(Succeed())
			w.afterASecond(ctx, rival)
		}
		mark := w.gini.Mark()
		for _, name := range order {
			w.reconcile(ctx, name)
		}
		Expect(ready(w.user(ctx, "elder"))).To(Equal("True CredentialsReady"))
		younger := w.user(ctx, "younger")
		Expect(ready(younger)).To(Equal("False Conflict"))
		Expect(younger.Status.Conditions).To(ContainElement(HaveField("Message", ContainSubstring("GiniUser elder"))))
		Expect(w.stored(ctx, "shared").Labels).To(HaveKeyWithValue(api.UserLabel, "elder"))
		Expect(w.gini.Since(mark).Count(emulator.Login)).To(Equal(1), "the younger one asks for no token")
	},
		Entry("the older one", "elder", "younger"),
		Entry("the younger one", "younger", "elder"),
	)

	It("is left alone where somebody makes it between a look and the operator's own try (R3.1)", func(ctx SpecContext) {
		foreign := &corev1.Secret{ObjectMeta: w.objectMeta("bob-token"), StringData: map[string]string{"precious": "value"}}
		w.writes = interceptor.NewClient(k8s, interceptor.Funcs{
			Create: func(ctx context.Context, writer client.WithWatch, object client.Object, options ...client.CreateOption) error {
				if object.GetName() == foreign.Name && foreign.UID == "" {
					Expect(k8s.Create(ctx, foreign)).To(Succeed())
				}
				return writer.Create(ctx, object, options...)
			},
		})
		w.restart()
		bob := w.derived("bob")
		Expect(ready(w.reconciled(ctx, bob))).To(Equal("False Conflict"))
		Expect(foreign.UID).NotTo(BeEmpty(), "the operator has looked, and found nothing")
		w.clock.Step(time.Minute)
		Expect(ready(w.reconciled(ctx, bob))).To(Equal("False Conflict"))
		Expect(w.stored(ctx, "bob-token")).To(And(HaveField("UID", foreign.UID), HaveField("ResourceVersion", foreign.ResourceVersion)))
		Expect(w.data(ctx, "bob-token")).To(Equal(map[string]string{"precious": "value"}))
		Expect(w.gini.Ledger().Count(emulator.Login)).To(Equal(2), "one of them alice's")
	})

	It("is found again after a restore from a backup, without a login (R3.10)", func(ctx SpecContext) {
		object, mark := w.stored(ctx, "alice-token"), w.gini.Mark()
		w.delete(ctx, &api.GiniUser{}, "alice")
		w.reconcile(ctx, "alice")
		restored := w.derived("alice")
		restored.Spec.Devices = user.Spec.Devices
		restored = w.reconciled(ctx, restored)
		Expect(ready(restored)).To(Equal("True CredentialsReady"))
		Expect(metav1.GetControllerOf(w.stored(ctx, "alice-token")).UID).To(Equal(restored.UID))
		Expect(w.data(ctx, "alice-token")).To(HaveKeyWithValue("access_token", string(object.Data["access_token"])))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
	})

	It("follows the client credentials where it is a trusted device's", func(ctx SpecContext) {
		backend := w.derived("backend")
		backend.Spec.Devices = api.Devices{Trusted: trusted("backend-gini")}
		backend.Spec.Devices.Trusted.Secret.Data = map[string]api.Template{"url": "https://$(client_id):$(client_secret)@gini"}
		w.reconciled(ctx, backend)
		w.gini.RotateSecret(clientID, "rotated")
		w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": "rotated"})
		w.clientReconciled(ctx) // Gini accepts them
		w.reconcile(ctx, "backend")
		Expect(w.data(ctx, "backend-gini")).To(And(HaveKeyWithValue("client_secret", "rotated"), HaveKeyWithValue("url", "https://acme:rotated@gini")))
	})

	It("is left alone while the user is suspended, and the status says what will expire", func(ctx SpecContext) {
		user = w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Suspend = true })
		Expect(ready(user)).To(Equal("True Suspended"))
		Expect(user.Status.Conditions).To(ContainElement(HaveField("Message", ContainSubstring("its token expires at"))))
		mark, version := w.gini.Mark(), w.stored(ctx, "alice-token").ResourceVersion
		w.clock.Step(13 * time.Hour)
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("False Suspended"))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
		Expect(w.stored(ctx, "alice-token").ResourceVersion).To(Equal(version))
		user = w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Suspend = false })
		Expect(ready(user)).To(Equal("True CredentialsReady"))
	})
})

var _ = Describe("A grant that is withdrawn", func() {
	It("takes the client credentials back, and ends renewals", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx, func(object *api.GiniClient) {
			object.Spec.Grants = []api.Grant{grantAll("", api.UntrustedDevice, api.TrustedDevice)}
		})
		there := w.inNamespaceOf(newNamespace(ctx))
		user := there.derived("alice")
		user.Spec.ClientRef.Namespace = w.namespace
		user.Spec.Devices.Trusted = trusted("backend")
		user = there.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))

		By("withdrawing the trusted device")
		w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = []api.Grant{grantAll("")} })
		Expect(ready(there.reconciled(ctx, user))).To(Equal("False DeviceNotGranted"))
		Expect(there.stored(ctx, "backend")).To(BeNil())

		By("withdrawing the rest")
		w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = nil })
		mark := w.gini.Mark()
		w.clock.Step(10 * time.Hour)
		Expect(ready(there.reconciled(ctx, user))).To(Equal("False ClientNotGranted"))
		Expect(there.data(ctx, "alice-token")).To(HaveKey("access_token"), "it expires by itself")
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
	})

	It("says the same of a client that does not exist and of one that is not granted", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx)
		there := w.inNamespaceOf(newNamespace(ctx))
		var messages []string
		for _, name := range []api.ObjectName{"acme", "none"} {
			user := there.derived("of-" + string(name))
			user.Spec.ClientRef = api.ClientReference{Name: name, Namespace: w.namespace}
			user = there.reconciled(ctx, user)
			Expect(ready(user)).To(Equal("False ClientNotGranted"))
			messages = append(messages, user.Status.Conditions[0].Message)
		}
		Expect(messages[0]).To(HavePrefix("GiniClient " + w.namespace + "/acme"))
		Expect(messages[1]).To(HavePrefix("GiniClient " + w.namespace + "/none"))
		Expect(messages[0][len("GiniClient "+w.namespace+"/acme"):]).To(Equal(messages[1][len("GiniClient "+w.namespace+"/none"):]))
	})

	It("does not name a holder in another namespace", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = []api.Grant{grantAll("")} })
		w.reconciled(ctx, w.derived("alice"))
		there := w.inNamespaceOf(newNamespace(ctx))
		user := there.derived("alice")
		user.Spec.ClientRef.Namespace = w.namespace
		user = there.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("False IdentifierInUse"))
		Expect(user.Status.Conditions[0].Message).To(Equal("This identifier is already used by a GiniUser of another namespace. Use that GiniUser, or choose another identifier"))
	})
})

var _ = DescribeTable("The older of two GiniUsers is that of the lower UID where they were made in the same second (R3.3)",
	func(laterBy time.Duration, uid, otherUID types.UID, want bool) {
		made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		user := &api.GiniUser{ObjectMeta: metav1.ObjectMeta{UID: uid, CreationTimestamp: metav1.NewTime(made)}}
		other := &api.GiniUser{ObjectMeta: metav1.ObjectMeta{UID: otherUID, CreationTimestamp: metav1.NewTime(made.Add(laterBy).Local())}}
		Expect(controller.Older(user, other)).To(Equal(want))
		Expect(controller.Older(other, user)).To(Equal(!want && uid != otherUID), "they are never both the older one")
	},
	Entry("made before", time.Second, types.UID("b"), types.UID("a"), true),
	Entry("made after", -time.Second, types.UID("a"), types.UID("b"), false),
	Entry("a lower UID", time.Duration(0), types.UID("a"), types.UID("b"), true),
	Entry("a higher UID", time.Duration(0), types.UID("b"), types.UID("a"), false),
	Entry("the same one", time.Duration(0), types.UID("a"), types.UID("a"), false),
)
