package controller_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// recordedOnce gives a Secret a record as it was before records were bound to names, and takes the UIDs out of the status.
func (w *world) recordedOnce(ctx context.Context, user, name string) {
	GinkgoHelper()
	update(ctx, &corev1.Secret{}, w.key(name), func(object *corev1.Secret) {
		hash := sha256.New()
		for _, annotation := range []string{
			api.IssuedForAnnotation, api.FingerprintAnnotation, api.TemplateAnnotation, api.RefreshHandledAnnotation, api.LifetimeAnnotation,
			api.ObtainedAtAnnotation, api.ExpiresAtAnnotation, api.EndsByAnnotation, api.RefreshAtAnnotation,
		} {
			_, _ = fmt.Fprintf(hash, "%s=%s\n", annotation, object.Annotations[annotation])
		}
		object.Annotations[api.RecordAnnotation] = hex.EncodeToString(hash.Sum(nil)[:4])
	})
	found := w.user(ctx, user)
	for _, device := range []*api.DeviceStatus{found.Status.Devices.Untrusted, found.Status.Devices.Trusted} {
		if device == nil {
			continue
		}
		device.SecretUID = ""
		if device.SecretName == name {
			device.SecretResourceVersion = w.stored(ctx, name).ResourceVersion
		}
	}
	Expect(k8s.Status().Update(ctx, found)).To(Succeed())
}

var _ = Describe("A Secret with a record from before records were bound to names", func() {
	var (
		w *world
		u *api.GiniUser
	)
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		w.giniClient(ctx)
		u = w.derived("alice")
		u.Spec.Devices.Trusted = trusted("alice-backend")
		u = w.reconciled(ctx, u)
		w.recordedOnce(ctx, "alice", "alice-token")
		w.recordedOnce(ctx, "alice", "alice-backend")
		w.listened(ctx)
		w.told()
	})

	It("is the operator's still, at no login, and has one that is bound from then on", func(ctx SpecContext) {
		mark := w.gini.Mark()
		w.restart()
		u = w.reconciled(ctx, u)
		Expect(ready(u)).To(Equal("True CredentialsReady"))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
		Expect(w.told()).To(BeEmpty())
		Expect(u.Status.Devices.Untrusted.SecretUID).To(BeEquivalentTo(w.stored(ctx, "alice-token").UID))
		Expect(w.stored(ctx, "alice-backend").Annotations[api.RecordAnnotation]).To(HaveLen(16), "what is never renewed is written at once")
		version := w.stored(ctx, "alice-token").ResourceVersion
		w.reconcile(ctx, "alice")
		Expect(w.stored(ctx, "alice-token").ResourceVersion).To(Equal(version))
		w.clock.SetTime(u.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		w.reconcile(ctx, "alice")
		Expect(w.stored(ctx, "alice-token").Annotations[api.RecordAnnotation]).To(HaveLen(16))
	})

	It("is repaired, renamed and deleted as any other", func(ctx SpecContext) {
		w.updateSecret(ctx, "alice-token", map[string]string{"authorization": "wrong"})
		w.reconcile(ctx, "alice")
		w.expectTold(api.ReasonSecretRepaired, "alice-token", "somebody changed it")
		w.recordedOnce(ctx, "alice", "alice-token")
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "renamed" })
		Expect(w.stored(ctx, "alice-token")).To(BeNil())
		w.recordedOnce(ctx, "alice", "renamed")
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted = nil })
		Expect(w.stored(ctx, "renamed")).To(BeNil())
	})

	It("is nobody's under a name that neither the spec nor the status has", func(ctx SpecContext) {
		twin := copied(ctx, w.stored(ctx, "alice-token"), w.namespace, "copy")
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted.Secret.Name = "renamed" })
		w.edit(ctx, "alice", func(user *api.GiniUser) { user.Spec.Devices.Untrusted = nil })
		w.expectUntouched(ctx, twin)
	})

	It("is the operator's where it is to be retained and has no owner", func(ctx SpecContext) {
		retained := w.derived("retained")
		retained.Spec.Devices.Untrusted.Secret.DeletionPolicy = api.RetainSecret
		w.reconciled(ctx, retained)
		w.recordedOnce(ctx, "retained", "retained-token")
		mark := w.gini.Mark()
		w.restart()
		w.reconcile(ctx, "retained")
		update(ctx, &corev1.Secret{}, w.key("retained-token"), func(object *corev1.Secret) { object.Labels["others"] = "label" })
		Expect(ready(w.reconciled(ctx, retained))).To(Equal("True CredentialsReady"))
		Expect(w.gini.Since(mark).Requests()).To(BeZero())
	})
})
