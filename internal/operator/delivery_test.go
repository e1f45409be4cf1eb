package operator_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
)

// pod reads Secrets: the first one as a volume, the others as environment variables.
func (w *world) pod(name, mounted string, variables ...string) *corev1.Pod {
	container := corev1.Container{Name: "app", Image: "app", VolumeMounts: []corev1.VolumeMount{{Name: "token", MountPath: "/token"}}}
	for _, secret := range variables {
		container.EnvFrom = append(container.EnvFrom, corev1.EnvFromSource{
			SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: secret}},
		})
	}
	return &corev1.Pod{ObjectMeta: w.named(name), Spec: corev1.PodSpec{
		AutomountServiceAccountToken: ptr.To(false),
		Containers:                   []corev1.Container{container},
		Volumes:                      []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: mounted}}}},
	}}
}

// mark is an annotation of a pod or of the pods' template of a Deployment; "" where it is absent.
func (w *world) mark(ctx context.Context, object client.Object, name string) func() string {
	return func() string {
		if err := k8s.Get(ctx, w.key(object.GetName()), object); err != nil {
			return err.Error()
		}
		if deployment, ok := object.(*appsv1.Deployment); ok {
			return deployment.Spec.Template.Annotations[name]
		}
		return object.GetAnnotations()[name]
	}
}

// late is the reason of the warning that credentials arrive late; "" where there is none.
func (w *world) late(ctx context.Context, user string) func() string {
	return func() string {
		object := &api.GiniUser{}
		if err := k8s.Get(ctx, w.key(user), object); err != nil {
			return err.Error()
		}
		if found := meta.FindStatusCondition(object.Status.Conditions, api.ConditionArrivesLate); found != nil {
			return found.Reason
		}
		return ""
	}
}

func (w *world) refresh(ctx context.Context, user string) {
	GinkgoHelper()
	update(ctx, w.key(user), &api.GiniUser{}, func(object *api.GiniUser) {
		object.Annotations = map[string]string{api.RefreshRequestedAnnotation: time.Now().String()}
	})
}

const oneMark = `^20\d\d-.*Z/[0-9a-f]{8}$`

var _ = Describe("The way to pods", func() {
	It("nudges the pods that mount a renewed Secret, where its user asks for that (R12.1, R16.4)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.delivers = true
		stop := w.operate()
		alice, bob := w.derived("alice"), w.derived("bob")
		alice.Spec.Devices.Untrusted.NudgePods = ptr.To(true)
		w.create(ctx, alice)
		w.create(ctx, bob)
		w.expectReady(ctx, "alice", ready)
		w.expectReady(ctx, "bob", ready)
		w.create(ctx, w.pod("web", "alice-token"))
		w.create(ctx, w.pod("other", "bob-token", "alice-token"))
		pod, other := &corev1.Pod{ObjectMeta: w.named("web")}, &corev1.Pod{ObjectMeta: w.named("other")}
		nudged := w.mark(ctx, pod, api.NudgedAtAnnotation)
		Eventually(nudged).WithTimeout(eventually).Should(MatchRegexp(oneMark), "the Secret was written only a moment before")
		first := nudged()

		By("a renewal")
		w.refresh(ctx, "alice")
		Eventually(nudged).WithTimeout(eventually).Should(And(MatchRegexp(oneMark), Not(Equal(first))))
		second := nudged()
		Expect(pod.Annotations).To(HaveLen(1))

		By("an operator that starts over")
		stop()
		version := pod.ResourceVersion
		w.operate()
		w.refresh(ctx, "bob") // what it does for alice's pod it has done by the time it has seen this
		w.create(ctx, w.pod("third", "alice-token"))
		Eventually(w.mark(ctx, &corev1.Pod{ObjectMeta: w.named("third")}, api.NudgedAtAnnotation)).WithTimeout(eventually).Should(MatchRegexp(oneMark))
		Expect(nudged()).To(Equal(second))
		Expect(pod.ResourceVersion).To(Equal(version), "what was nudged for stands in the pod")
		Expect(w.mark(ctx, other, api.NudgedAtAnnotation)()).To(BeEmpty(), "bob does not ask for it, and alice's it sees by environment only")
	})

	It("warns of credentials that arrive late, or never (R12.2)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.delivers = true
		Expect(w.gini.MergeSettings([]byte(`{"lifetime": "1m"}`))).To(Succeed())
		w.operate()
		w.create(ctx, w.derived("alice"))
		w.expectReady(ctx, "alice", ready)
		Eventually(w.late(ctx, "alice")).WithTimeout(eventually).Should(Equal(api.ReasonLifetimeTooShort))
		update(ctx, w.key("alice"), &api.GiniUser{}, func(object *api.GiniUser) { object.Spec.Devices.Untrusted.NudgePods = ptr.To(true) })
		Eventually(w.late(ctx, "alice")).WithTimeout(eventually).Should(BeEmpty())

		By("what has no effect without the flags")
		plain := newWorld(ctx)
		plain.operate()
		carol := plain.derived("carol")
		carol.Spec.Devices.Untrusted.NudgePods = ptr.To(true)
		plain.create(ctx, carol)
		Eventually(plain.late(ctx, "carol")).WithTimeout(eventually).Should(Equal(api.ReasonNudgesOff))
		update(ctx, plain.key("carol"), &api.GiniUser{}, func(object *api.GiniUser) {
			object.Spec.Devices.Untrusted.Delivery = api.Delivery{RolloutRestart: []api.WorkloadReference{{Kind: api.DaemonSetKind, Name: "web"}}}
		})
		Eventually(plain.late(ctx, "carol")).WithTimeout(eventually).Should(Equal(api.ReasonRestartsOff))

		By("a pod that reads it as environment variables")
		w.create(ctx, w.pod("web", "elsewhere", "alice-token"))
		Eventually(w.late(ctx, "alice")).WithTimeout(eventually).Should(Equal(api.ReasonReadOnce))
		w.expectReady(ctx, "alice", ready)
		Expect(k8s.Delete(ctx, &corev1.Pod{ObjectMeta: w.named("web")}, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(w.late(ctx, "alice")).WithTimeout(eventually).Should(BeEmpty())
	})

	It("restarts a workload that consents, once for what changed together (R12.3)", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.delivers = true
		w.operate()
		labels := map[string]string{"app": "web"}
		web := &appsv1.Deployment{ObjectMeta: w.named("web"), Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: w.pod("", "elsewhere", "alice-token", "bob-token").Spec},
		}}
		w.create(ctx, web.DeepCopy())
		for _, name := range []string{"alice", "bob"} {
			user := w.derived(name)
			user.Spec.Devices.Untrusted.RolloutRestart = []api.WorkloadReference{
				{Kind: api.DeploymentKind, Name: "web"}, {Kind: api.DeploymentKind, Name: "mounting"},
			}
			w.create(ctx, user)
			w.expectReady(ctx, name, ready)
		}
		restarted := w.mark(ctx, web, api.RestartedAtAnnotation)

		By("another workload, which mounts the Secret")
		mounting := web.DeepCopy()
		mounting.ObjectMeta, mounting.ResourceVersion = w.named("mounting"), ""
		mounting.Annotations = map[string]string{api.AllowRestartAnnotation: "true"}
		mounting.Spec.Template.Spec = w.pod("", "alice-token").Spec
		w.create(ctx, mounting)

		By("no consent")
		Eventually(w.events(ctx, "alice")).WithTimeout(eventually).Should(ContainElement(api.ReasonRestartNotAllowed))
		Expect(restarted()).To(BeEmpty())

		By("consent")
		w.clock.Step(2 * time.Minute) // after which what comes together has come
		consent := func(text string) {
			update(ctx, w.key("web"), &appsv1.Deployment{}, func(object *appsv1.Deployment) {
				object.Annotations = map[string]string{api.AllowRestartAnnotation: text}
			})
		}
		consent("true")
		Eventually(restarted).WithTimeout(eventually).Should(MatchRegexp(oneMark))
		Expect(web.Generation).To(BeEquivalentTo(3), "made, consent, and one change for two users")
		Expect(web.Spec.Template.Annotations).To(HaveLen(1))
		first := restarted()

		By("a renewal too early for another one")
		w.refresh(ctx, "alice")
		w.refresh(ctx, "bob")
		consent("24h")
		Eventually(w.events(ctx, "alice")).WithTimeout(eventually).Should(ContainElement(api.ReasonRestartTooOften), "of 12 hours 4 are left")
		Expect(restarted()).To(Equal(first))

		By("time")
		w.clock.Step(time.Hour)
		consent("true")
		Eventually(restarted).WithTimeout(eventually).Should(And(MatchRegexp(oneMark), Not(Equal(first))))
		Expect(web.Generation).To(BeEquivalentTo(6))
		Expect(w.mark(ctx, &appsv1.Deployment{ObjectMeta: w.named("mounting")}, api.RestartedAtAnnotation)()).To(BeEmpty(), "it sees new tokens by itself")
	})
})

// events are the reasons of the Events about a user.
func (w *world) events(ctx context.Context, user string) func() []string {
	return func() (reasons []string) {
		var list eventsv1.EventList
		if err := k8s.List(ctx, &list, client.InNamespace(w.namespace)); err != nil {
			return []string{fmt.Sprint(err)}
		}
		for i := range list.Items {
			if list.Items[i].Regarding.Name == user {
				reasons = append(reasons, list.Items[i].Reason)
			}
		}
		return reasons
	}
}
