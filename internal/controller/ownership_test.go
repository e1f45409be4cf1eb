package controller_test

import (
	"bytes"
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// copied makes a copy of a Secret, as `kubectl get -o yaml`, an edited name or namespace, and `kubectl create` do.
func copied(ctx context.Context, object *corev1.Secret, namespace, name string) *corev1.Secret {
	GinkgoHelper()
	made := object.DeepCopy()
	made.ObjectMeta = metav1.ObjectMeta{
		Namespace: namespace, Name: name, Labels: object.Labels, Annotations: object.Annotations, OwnerReferences: object.OwnerReferences,
	}
	Expect(k8s.Create(ctx, made)).To(Succeed())
	return made
}

// expectUntouched proves that a Secret is what it was.
func (w *world) expectUntouched(ctx context.Context, object *corev1.Secret) {
	GinkgoHelper()
	Expect(w.inNamespaceOf(object.Namespace).stored(ctx, object.Name)).To(
		And(HaveField("UID", object.UID), HaveField("ResourceVersion", object.ResourceVersion)), object.Name)
}

// listened has what the reconcilers log kept.
func (w *world) listened(ctx context.Context) *bytes.Buffer {
	w.log = &bytes.Buffer{}
	w.context = logf.IntoContext(context.WithoutCancel(ctx), zap.New(zap.WriteTo(w.log)))
	return w.log
}

// expectTold waits for one Event, and one line in the log, of a deed to a Secret; they have all of some words in them.
func (w *world) expectTold(reason, secret string, words ...string) {
	GinkgoHelper()
	var told []string
	for _, event := range w.told() {
		if strings.Contains(event, " Secret") && strings.Contains(event, " "+secret+":") {
			told = append(told, event)
		}
	}
	Expect(told).To(HaveLen(1), "the Event")
	Expect(told[0]).To(ContainSubstring(reason + " "))
	var lines []string
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, `"Secret":"`+secret+`","reason":"`) {
			lines = append(lines, line)
		}
	}
	w.log.Reset()
	Expect(lines).To(HaveLen(1), "the line in the log")
	Expect(lines[0]).To(ContainSubstring(`"reason":"` + reason + `"`))
	for _, word := range words {
		Expect(told[0]).To(ContainSubstring(word))
		Expect(lines[0]).To(ContainSubstring(word))
	}
}

// relatedEvents keeps which objects the Events of Secrets were related to.
type relatedEvents struct {
	events.EventRecorder
	related []runtime.Object
}

func (e *relatedEvents) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	if related != nil {
		e.related = append(e.related, related)
	}
	e.EventRecorder.Eventf(regarding, related, kind, reason, action, note, args...)
}

var _ = Describe("A copy of a Secret, with all its labels, annotations and owner references", func() {
	var (
		w    *world
		user *api.GiniUser
	)
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		w.giniClient(ctx)
		user = w.derived("alice")
		user.Spec.Devices.Trusted = trusted("alice-backend")
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		w.told()
	})

	It("under another name stays, whatever becomes of the devices, and nobody is told of it (R3.1)", func(ctx SpecContext) {
		var copies []*corev1.Secret
		for _, name := range []string{"alice-token", "alice-backend"} {
			copies = append(copies, copied(ctx, w.stored(ctx, name), w.namespace, "copy-of-"+name))
		}
		for _, edit := range []func(*api.GiniUser){
			func(*api.GiniUser) {},
			func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "renamed" },
			func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.DeletionPolicy = api.RetainSecret },
			func(user *api.GiniUser) { user.Spec.Devices.Trusted = nil },
		} {
			user = w.edit(ctx, "alice", edit)
			Expect(ready(user)).To(Equal("True CredentialsReady"))
		}
		for _, twin := range copies {
			w.expectUntouched(ctx, twin)
		}
		Expect(strings.Join(w.told(), "\n")).NotTo(ContainSubstring("copy-of"))
		Expect(w.stored(ctx, "alice-backend")).To(BeNil(), "the original is deleted with its device")
	})

	It("under a former name of its own stays when the name changes again", func(ctx SpecContext) {
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "renamed" })
		former := copied(ctx, w.stored(ctx, "renamed"), w.namespace, "alice-token")
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "renamed-again" })
		Expect(w.stored(ctx, "renamed")).To(BeNil())
		w.expectUntouched(ctx, former)
	})

	It("in place of a Secret that is to be retained stays when the name changes", func(ctx SpecContext) {
		retained := w.derived("retained")
		retained.Spec.Devices.Untrusted.Secret.DeletionPolicy = api.RetainSecret
		retained = w.reconciled(ctx, retained)
		spare := copied(ctx, w.stored(ctx, "retained-token"), w.namespace, "spare")
		w.delete(ctx, &corev1.Secret{}, "retained-token")
		foreign := copied(ctx, spare, w.namespace, "retained-token")
		foreign.Annotations[api.RecordAnnotation] = "its-own"
		Expect(k8s.Update(ctx, foreign)).To(Succeed())
		Expect(retained.Status.Devices.Untrusted.SecretName).To(Equal(foreign.Name), "the status has the name")
		Expect(ready(w.edit(ctx, "retained", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "elsewhere" }))).To(Equal("True CredentialsReady"))
		w.expectUntouched(ctx, foreign)
		w.expectUntouched(ctx, spare)
	})

	It("under a name that is wanted is a Conflict, and is taken over once it is handed over", func(ctx SpecContext) {
		log := w.listened(ctx)
		twin := copied(ctx, w.stored(ctx, "alice-token"), w.namespace, "copy")
		user = w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "copy" })
		Expect(ready(user)).To(Equal("False Conflict"))
		Expect(user.Status.Conditions).To(ContainElement(HaveField("Message", And(ContainSubstring("it is a copy"), ContainSubstring(api.AdoptByLabel+"=alice")))))
		w.expectUntouched(ctx, twin)
		Expect(w.stored(ctx, "alice-token")).NotTo(BeNil(), "it goes once another has taken its place")

		w.told()
		log.Reset()
		update(ctx, &corev1.Secret{}, w.key("copy"), func(object *corev1.Secret) { object.Labels[api.AdoptByLabel] = "alice" })
		Expect(ready(w.reconciled(ctx, user))).To(Equal("True CredentialsReady"))
		Expect(w.stored(ctx, "copy").Labels).NotTo(HaveKey(api.AdoptByLabel))
		Expect(w.stored(ctx, "alice-token")).To(BeNil())
	})

	It("in another namespace stays when a GiniUser of that name appears there (R3.1)", func(ctx SpecContext) {
		w.updateClient(ctx, func(object *api.GiniClient) {
			object.Spec.Grants = []api.Grant{grantAll("", api.UntrustedDevice, api.TrustedDevice)}
		})
		there := w.inNamespaceOf(newNamespace(ctx))
		log := there.listened(ctx)
		copies := []*corev1.Secret{
			copied(ctx, w.stored(ctx, "alice-token"), there.namespace, "alice-token"), copied(ctx, w.stored(ctx, "alice-backend"), there.namespace, "alice-backend"),
		}
		namesake := there.derived("alice")
		namesake.Spec.ClientRef.Namespace, namesake.Spec.Derived.Identifier = w.namespace, "alice-too"
		namesake.Spec.Devices.Untrusted.Secret.Name = "elsewhere"
		Expect(ready(there.reconciled(ctx, namesake))).To(Equal("True CredentialsReady"))
		for _, twin := range copies {
			w.expectUntouched(ctx, twin)
		}

		By("wanting the name")
		namesake = there.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "alice-token" })
		Expect(ready(namesake)).To(Equal("False Conflict"))
		Expect(namesake.Status.Conditions).To(ContainElement(HaveField("Message", ContainSubstring(api.AdoptByLabel+"=alice"))))
		w.expectUntouched(ctx, copies[0])

		By("handing it over")
		there.told()
		log.Reset()
		update(ctx, &corev1.Secret{}, there.key("alice-token"), func(object *corev1.Secret) { object.Labels[api.AdoptByLabel] = "alice" })
		namesake = there.reconciled(ctx, namesake)
		Expect(ready(namesake)).To(Equal("True CredentialsReady"))
		Expect(metav1.GetControllerOf(there.stored(ctx, "alice-token")).UID).To(Equal(namesake.UID))
		there.expectTold(api.ReasonSecretTakenOver, "alice-token", "hands it over")
		Expect(w.stored(ctx, "alice-token")).NotTo(BeNil(), "the one at home is none of it")
	})

	It("does not keep its user from being served after a restart", func(ctx SpecContext) {
		w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = []api.Grant{grantAll("", api.UntrustedDevice)} })
		there := w.inNamespaceOf(newNamespace(ctx))
		w.delete(ctx, &api.GiniUser{}, "alice")
		copied(ctx, w.stored(ctx, "alice-token"), there.namespace, "alice-token")
		namesake := there.derived("alice")
		namesake.Spec.ClientRef.Namespace, namesake.Spec.Derived.Identifier = w.namespace, "alice-too"
		Expect(k8s.Create(ctx, namesake)).To(Succeed())
		w.afterASecond(ctx, namesake)
		w.restart()
		Expect(ready(w.reconciled(ctx, w.derived("alice")))).To(Equal("True CredentialsReady"))
	})
})

var _ = Describe("A copy of the Secret with an account or with signing keys", func() {
	It("in another namespace is nobody's there until its record is taken away, and is not written", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = []api.Grant{grantAll("carol")} })
		there := w.inNamespaceOf(newNamespace(ctx))
		Expect(ready(w.reconciled(ctx, w.anonymous("carol")))).To(Equal("True CredentialsReady"))
		account := copied(ctx, w.stored(ctx, "carol-account"), there.namespace, "carol-account")
		carol := there.anonymous("carol")
		carol.Spec.ClientRef.Namespace = w.namespace
		carol = there.reconciled(ctx, carol)
		Expect(ready(carol)).To(Equal("False AccountSecretConflict"))
		Expect(carol.Status.Conditions).To(ContainElement(HaveField("Message", ContainSubstring("a copy"))))
		w.expectUntouched(ctx, account)
		Expect(w.gini.Ledger().Accounts()).To(HaveLen(1))

		update(ctx, &corev1.Secret{}, there.key("carol-account"), func(object *corev1.Secret) { delete(object.Annotations, api.RecordAnnotation) })
		Expect(ready(there.reconciled(ctx, carol))).To(Equal("True CredentialsReady"))
		Expect(w.gini.Ledger().Accounts()).To(HaveLen(1), "it is the same account")
	})

	It("of keys signs for nobody there until its record is taken away", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.giniClient(ctx, signs)
		Expect(condition(w.clientReconciled(ctx).Status.Conditions, api.ConditionIdentityProviderReady)).To(Equal("True JWTsReady"))
		there := w.inNamespaceOf(newNamespace(ctx))
		keys := copied(ctx, w.stored(ctx, "acme-key"), there.namespace, "acme-key")
		there.giniClient(ctx, signs)
		Expect(condition(there.clientReconciled(ctx).Status.Conditions, api.ConditionIdentityProviderReady)).To(Equal("False SigningKeySecretConflict"))
		w.expectUntouched(ctx, keys)

		update(ctx, &corev1.Secret{}, there.key("acme-key"), func(object *corev1.Secret) { delete(object.Annotations, api.RecordAnnotation) })
		Expect(condition(there.clientReconciled(ctx).Status.Conditions, api.ConditionIdentityProviderReady)).To(Equal("True JWTsReady"))
		Expect(there.data(ctx, "acme-key")).To(Equal(w.data(ctx, "acme-key")))
	})
})

var _ = Describe("A Secret of the operator", func() {
	var (
		w    *world
		user *api.GiniUser
		log  *bytes.Buffer
	)
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		w.giniClient(ctx)
		user = w.derived("alice")
		user.Spec.Devices.Trusted = trusted("alice-backend")
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("True CredentialsReady"))
		log = w.listened(ctx)
		w.told()
	})

	It("stays the operator's without any mark of it, and is put right by one login at most", func(ctx SpecContext) {
		mark := w.gini.Mark()
		for _, name := range []string{"alice-token", "alice-backend"} {
			update(ctx, &corev1.Secret{}, w.key(name), func(object *corev1.Secret) {
				object.Labels, object.Annotations, object.OwnerReferences = nil, nil, nil
			})
		}
		Expect(ready(w.reconciled(ctx, user))).To(Equal("True CredentialsReady"))
		for _, name := range []string{"alice-token", "alice-backend"} {
			Expect(metav1.GetControllerOf(w.stored(ctx, name)).UID).To(Equal(user.UID))
			Expect(w.stored(ctx, name).Labels).To(HaveKeyWithValue(api.UserLabel, "alice"))
		}
		Expect(w.gini.Since(mark).Count(emulator.Login)).To(Equal(1))
	})

	It("goes with its grant though somebody took its labels away", func(ctx SpecContext) {
		w.updateClient(ctx, func(object *api.GiniClient) {
			object.Spec.Grants = []api.Grant{grantAll("", api.UntrustedDevice, api.TrustedDevice)}
		})
		there := w.inNamespaceOf(newNamespace(ctx))
		there.listened(ctx)
		guest := there.derived("alice-2")
		guest.Spec.ClientRef.Namespace = w.namespace
		guest.Spec.Devices.Trusted = trusted("backend")
		guest = there.reconciled(ctx, guest)
		Expect(ready(guest)).To(Equal("True CredentialsReady"))
		update(ctx, &corev1.Secret{}, there.key("backend"), func(object *corev1.Secret) { object.Labels, object.Annotations = nil, nil })
		w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = []api.Grant{grantAll("")} })
		there.told()
		Expect(ready(there.reconciled(ctx, guest))).To(Equal("False DeviceNotGranted"))
		Expect(there.stored(ctx, "backend")).To(BeNil())
		there.expectTold(api.ReasonSecretDeleted, "backend", "no grant")
	})

	It("is not deleted where another one takes its name between the look and the deletion", func(ctx SpecContext) {
		var foreign *corev1.Secret
		w.writes = interceptor.NewClient(k8s, interceptor.Funcs{
			Delete: func(ctx context.Context, writer client.WithWatch, object client.Object, options ...client.DeleteOption) error {
				if object.GetName() == "alice-token" && foreign == nil {
					w.delete(ctx, &corev1.Secret{}, "alice-token")
					foreign = w.secret(ctx, "alice-token", map[string]string{"precious": "value"})
				}
				return writer.Delete(ctx, object, options...)
			},
		})
		w.restart()
		update(ctx, &api.GiniUser{}, w.key("alice"), func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "renamed" })
		_, err := w.users.Reconcile(w.context, ctrl.Request{NamespacedName: w.key("alice")})
		Expect(err).To(HaveOccurred())
		Expect(ready(w.reconciled(ctx, user))).To(Equal("True CredentialsReady"))
		w.expectUntouched(ctx, foreign)
	})

	It("is related to the Event of each repair in the version that was repaired, so that none is counted under another's text", func(ctx SpecContext) {
		told := &relatedEvents{EventRecorder: w.recorder}
		w.users.Events = told
		for _, writer := range []string{"mallory", "eve"} {
			object := w.stored(ctx, "alice-token")
			object.Labels[api.UserLabel] = writer
			Expect(k8s.Update(ctx, object, client.FieldOwner(writer))).To(Succeed())
			w.reconcile(ctx, "alice")
			Expect(told.related).To(Equal([]runtime.Object{&corev1.ObjectReference{
				APIVersion: "v1", Kind: "Secret", Namespace: w.namespace, Name: "alice-token", ResourceVersion: object.ResourceVersion,
			}}), writer)
			told.related = nil
		}
	})

	It("that is deleted, renamed, repaired or made anew is told of, with the last writer of a repair", func(ctx SpecContext) {
		edit := func(change func(*corev1.Secret)) {
			GinkgoHelper()
			object := w.stored(ctx, "alice-token")
			change(object)
			Expect(k8s.Update(ctx, object, client.FieldOwner("kubectl-edit"))).To(Succeed())
			w.reconcile(ctx, "alice")
		}
		By("repairs")
		edit(func(object *corev1.Secret) { object.Data["authorization"] = []byte("wrong") })
		w.expectTold(api.ReasonSecretRepaired, "alice-token", "somebody changed it", "kubectl-edit")
		w.clock.Step(time.Hour)
		edit(func(object *corev1.Secret) { object.Data["access_token"] = []byte("wrong") })
		w.expectTold(api.ReasonSecretRepaired, "alice-token", "somebody changed it", "kubectl-edit")
		w.clock.Step(time.Hour)
		edit(func(object *corev1.Secret) { object.Labels[api.UserLabel] = "bob" })
		w.expectTold(api.ReasonSecretRepaired, "alice-token", "somebody changed it", "kubectl-edit")
		w.clock.Step(time.Hour)
		record := w.stored(ctx, "alice-backend")
		record.Annotations[api.FingerprintAnnotation] = "wrong"
		Expect(k8s.Update(ctx, record, client.FieldOwner("kubectl-edit"))).To(Succeed())
		w.reconcile(ctx, "alice")
		w.expectTold(api.ReasonSecretRepaired, "alice-backend", "somebody changed it", "kubectl-edit")
		w.clock.Step(time.Hour)
		immutable := true
		edit(func(object *corev1.Secret) { object.Immutable = &immutable })
		w.expectTold(api.ReasonSecretRepaired, "alice-token", "immutable", "kubectl-edit")
		w.clock.Step(time.Hour)
		for _, name := range []string{"alice-token", "alice-backend"} {
			w.delete(ctx, &corev1.Secret{}, name)
			w.reconcile(ctx, "alice")
			w.expectTold(api.ReasonSecretRepaired, name, "it was gone")
		}

		By("changes of the spec")
		w.edit(ctx, "alice", func(user *api.GiniUser) {
			user.Spec.Devices.Untrusted.Secret.Labels = map[string]api.LabelValue{"team": "a"}
		})
		Expect(w.told()).To(BeEmpty(), "the Secret stays, and follows its spec")
		log.Reset()
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Type = "credentials.gini.net/token" })
		w.expectTold(api.ReasonSecretRecreated, "alice-token", "type")
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "renamed" })
		w.expectTold(api.ReasonSecretRenamed, "alice-token", "renamed")
		w.edit(ctx, "alice", func(user *api.GiniUser) {
			user.Spec.Devices.Untrusted.Secret.Name, user.Spec.Devices.Trusted.Secret.Name = "alice-backend", "renamed"
		})
		told := strings.Join(w.told(), "\n")
		Expect(told).To(And(ContainSubstring("SecretDeleted Deleted Secret renamed:"), ContainSubstring("SecretDeleted Deleted Secret alice-backend:")))
		log.Reset()
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Trusted = nil })
		w.expectTold(api.ReasonSecretDeleted, "renamed", "no longer has its device")
		w.reconcile(ctx, "alice")
		Expect(w.told()).To(BeEmpty(), "told once")
	})

	It("that comes out of a backup is taken over, and told of (R3.10)", func(ctx SpecContext) {
		mark := w.gini.Mark()
		update(ctx, &corev1.Secret{}, w.key("alice-token"), func(object *corev1.Secret) { object.OwnerReferences = nil })
		w.delete(ctx, &api.GiniUser{}, "alice")
		w.reconcile(ctx, "alice")
		w.told()
		log.Reset()
		Expect(ready(w.reconciled(ctx, w.derived("alice")))).To(Equal("True CredentialsReady"))
		w.expectTold(api.ReasonSecretTakenOver, "alice-token", "its record shows")
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
	})

	It("that is being deleted is told as that, not as somebody else's", func(ctx SpecContext) {
		update(ctx, &corev1.Secret{}, w.key("alice-token"), func(object *corev1.Secret) { object.Finalizers = []string{"acme.example/archive"} })
		w.reconcile(ctx, "alice")
		w.delete(ctx, &corev1.Secret{}, "alice-token")
		user = w.reconciled(ctx, user)
		Expect(ready(user)).To(Equal("False Conflict"))
		Expect(user.Status.Conditions).To(ContainElement(HaveField("Message", And(
			ContainSubstring("acme.example/archive"), ContainSubstring("being deleted"), Not(ContainSubstring(api.AdoptByLabel)),
		))))
		update(ctx, &corev1.Secret{}, w.key("alice-token"), func(object *corev1.Secret) { object.Finalizers = nil })
		Expect(ready(w.reconciled(ctx, user))).To(Equal("True CredentialsReady"))
	})

	It("that another controller owns is told as that, as the label does not hand it over", func(ctx SpecContext) {
		owner := w.secret(ctx, "owner", nil)
		yes := true
		foreign := &corev1.Secret{ObjectMeta: w.objectMeta("bob-token")}
		foreign.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Secret", Name: "owner", UID: owner.UID, Controller: &yes}}
		Expect(k8s.Create(ctx, foreign)).To(Succeed())
		bob := w.reconciled(ctx, w.derived("bob"))
		Expect(ready(bob)).To(Equal("False Conflict"))
		Expect(bob.Status.Conditions).To(ContainElement(HaveField("Message", And(ContainSubstring("Secret owner"), Not(ContainSubstring(api.AdoptByLabel))))))
	})
})
