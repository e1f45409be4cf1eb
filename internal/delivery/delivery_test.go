package delivery_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gini-operator/gini-operator/internal/delivery"
)

func secretVolume(name, secret string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}}
}

func reading() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web-5d9-abc", Namespace: "payments", UID: "1", ResourceVersion: "7",
			Labels: map[string]string{"pod-template-hash": "5d9", "app": "web"}, Annotations: map[string]string{"mine": "kept", "theirs": "not"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-5d9", Controller: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{
			Volumes: []corev1.Volume{
				secretVolume("token", "mounted"), secretVolume("sub", "by-sub-path"), secretVolume("unused", "not-mounted"),
				{Name: "projected", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "projected-a"}}},
					{ConfigMap: &corev1.ConfigMapProjection{}},
					{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "projected-b"}}},
				}}}},
			},
			InitContainers: []corev1.Container{
				{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "by-init"}}}}},
				{
					RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways),
					EnvFrom:       []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "by-sidecar"}}}},
				},
			},
			Containers: []corev1.Container{{
				VolumeMounts: []corev1.VolumeMount{
					{Name: "token", MountPath: "/a"}, {Name: "token", MountPath: "/b", SubPathExpr: "x"},
					{Name: "sub", MountPath: "/c", SubPath: "access_token"}, {Name: "projected", MountPath: "/d"},
				},
				Env: []corev1.EnvVar{{Name: "T", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
					LocalObjectReference: corev1.LocalObjectReference{Name: "by-variable"},
				}}}},
			}},
		},
	}
}

// R12.2: those that never see a new token are known.
func TestWaysOfReading(t *testing.T) {
	g := NewWithT(t)
	expected := map[string]delivery.Reads{
		"mounted": {Mounted: true, Once: true}, "by-sub-path": {Once: true}, "projected-a": {Mounted: true}, "projected-b": {Mounted: true},
		"by-sidecar": {Once: true}, "by-variable": {Once: true},
	}
	pod := reading()
	g.Expect(delivery.SecretsOf(&pod.Spec)).To(Equal(expected))

	slim := delivery.Slim(pod, "mine")
	g.Expect(delivery.SecretsOf(&slim.Spec)).To(Equal(expected), "what is kept in memory tells the same")
	g.Expect(slim.Annotations).To(Equal(map[string]string{"mine": "kept"}))
	for _, seen := range []*corev1.Pod{pod, slim} {
		kind, name := delivery.WorkloadOf(seen)
		g.Expect(kind + " " + name).To(Equal("Deployment web"))
	}
	g.Expect(slim.UID).To(Equal(pod.UID))
	g.Expect(slim.Spec.Containers[0].Env).To(BeEmpty())
}

func TestWhoseAPodIs(t *testing.T) {
	for expected, pod := range map[string]*corev1.Pod{
		"Pod alone":        {ObjectMeta: metav1.ObjectMeta{Name: "alone", OwnerReferences: []metav1.OwnerReference{{Kind: "Node", Name: "n"}}}},
		"StatefulSet db":   {ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: "db", Controller: ptr.To(true)}}}},
		"ReplicaSet plain": {ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "plain", Controller: ptr.To(true)}}}},
	} {
		kind, name := delivery.WorkloadOf(pod)
		NewWithT(t).Expect(kind + " " + name).To(Equal(expected))
	}
}

func TestWhichPodsRun(t *testing.T) {
	g := NewWithT(t)
	pod := reading()
	g.Expect(delivery.Runs(pod)).To(BeTrue())
	pod.Status.Phase = corev1.PodRunning
	g.Expect(delivery.Runs(delivery.Slim(pod))).To(BeTrue())
	for _, phase := range []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed} {
		ended := pod.DeepCopy()
		ended.Status.Phase = phase
		g.Expect(delivery.Runs(delivery.Slim(ended))).To(BeFalse())
	}
	ending := pod.DeepCopy()
	ending.DeletionTimestamp = &metav1.Time{Time: start}
	g.Expect(delivery.Runs(delivery.Slim(ending))).To(BeFalse())
	job := pod.DeepCopy()
	job.OwnerReferences[0].Kind = "Job"
	g.Expect(delivery.Outlives(delivery.Slim(job))).To(BeFalse())
	g.Expect(delivery.Runs(delivery.Slim(job))).To(BeTrue())
	g.Expect(delivery.Outlives(delivery.Slim(pod))).To(BeTrue())
}

var start = time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)

func token(secret, fingerprint string, obtained time.Duration) delivery.Credential {
	return delivery.Credential{Secret: secret, Fingerprint: fingerprint, ObtainedAt: start.Add(obtained), Lifetime: 6 * time.Hour}
}

// R12.1: a pod is nudged once for each renewal of what it mounts, and never for what it has seen from the first.
func TestNudge(t *testing.T) {
	g := NewWithT(t)
	old, renewed := token("a", "1", -time.Hour), token("a", "2", time.Hour)
	_, needed := delivery.Nudge("", start, nil, start)
	g.Expect(needed).To(BeFalse(), "it mounts nothing of ours")
	_, needed = delivery.Nudge("", start, []delivery.Credential{old}, start)
	g.Expect(needed).To(BeFalse(), "it was made after the token")
	_, needed = delivery.Nudge("", start, []delivery.Credential{token("a", "1", -30*time.Second)}, start)
	g.Expect(needed).To(BeTrue(), "the token was asked for before the pod was made, but may have been written after it")

	value, needed := delivery.Nudge("", start, []delivery.Credential{renewed}, start.Add(time.Hour))
	g.Expect(needed).To(BeTrue())
	g.Expect(value).To(MatchRegexp(`^2026-11-28T04:00:00Z/[0-9a-f]{8}$`))
	_, needed = delivery.Nudge(value, start, []delivery.Credential{renewed}, start.Add(2*time.Hour))
	g.Expect(needed).To(BeFalse(), "once, whoever starts anew")

	late, _ := delivery.Nudge("", start, []delivery.Credential{renewed}, start.Add(2*time.Hour))
	_, needed = delivery.Nudge(late, start, []delivery.Credential{token("b", "1", -time.Hour), renewed}, start.Add(3*time.Hour))
	g.Expect(needed).To(BeFalse(), "only for whom has changed")
	other := token("b", "1", 90*time.Minute)
	both, needed := delivery.Nudge(value, start, []delivery.Credential{other, renewed}, start.Add(2*time.Hour))
	g.Expect(needed).To(BeTrue())
	_, needed = delivery.Nudge(both, start, []delivery.Credential{renewed, other}, start.Add(2*time.Hour))
	g.Expect(needed).To(BeFalse(), "in any order")
	_, needed = delivery.Nudge("by hand", start, []delivery.Credential{renewed}, start.Add(time.Hour))
	g.Expect(needed).To(BeTrue(), "an edited annotation")
}

func TestConsent(t *testing.T) {
	g := NewWithT(t)
	for text, expected := range map[string]time.Duration{"true": time.Hour, "15m": 15 * time.Minute, "1s": time.Minute, "48h": 48 * time.Hour} {
		interval, given := delivery.Consent(text)
		g.Expect(given).To(BeTrue(), text)
		g.Expect(interval).To(Equal(expected), text)
	}
	for _, text := range []string{"", "false", "yes", "-1h", "+1h", ".5h", "0", "15", "90000000us"} {
		_, given := delivery.Consent(text)
		g.Expect(given).To(BeFalse(), text)
	}
}

// R12.3: ten renewals within a minute are one restart; the next comes after the interval; nothing changed, nothing restarted.
func TestRestartsAreCoalesced(t *testing.T) {
	g := NewWithT(t)
	now, annotation, rollouts := start, "", []time.Time{}
	credentials := make([]delivery.Credential, 10)
	for i := range credentials {
		credentials[i] = token(string(rune('a'+i)), "0", -2*time.Hour)
	}
	created := start.Add(-time.Hour)
	step := func(until time.Duration, change func(second int)) {
		for second := 0; now.Before(start.Add(until)); second++ {
			change(second)
			if decision := delivery.DecideRestart(annotation, created, time.Hour, credentials, now); !decision.Due.IsZero() && !decision.Due.After(now) {
				annotation, rollouts = decision.Value, append(rollouts, now)
			}
			now = now.Add(time.Second)
		}
	}
	renewed := func(i int, fingerprint string) {
		credentials[i].Fingerprint, credentials[i].ObtainedAt = fingerprint, now
	}
	step(10*time.Minute, func(int) {})
	g.Expect(rollouts).To(BeEmpty(), "its pods were made after the credentials")
	step(30*time.Minute, func(second int) {
		if second%6 == 0 && second < 60 {
			renewed(second/6, "1")
		}
	})
	g.Expect(rollouts).To(HaveLen(1))
	g.Expect(rollouts[0]).To(Equal(start.Add(10*time.Minute + 54*time.Second + time.Minute)))
	step(3*time.Hour, func(second int) {
		if second == 60 {
			renewed(3, "2")
		}
	})
	g.Expect(rollouts).To(HaveLen(2))
	g.Expect(rollouts[1]).To(Equal(rollouts[0].Add(time.Hour)))
}

// Renewals that never pause do not put a restart off for ever.
func TestRestartsAreNotPutOffForEver(t *testing.T) {
	g := NewWithT(t)
	busy := []delivery.Credential{token("a", "1", time.Hour), token("b", "1", time.Hour+4*time.Minute+30*time.Second)}
	decision := delivery.DecideRestart("", start, time.Hour, busy, start.Add(time.Hour))
	g.Expect(decision.Due).To(Equal(start.Add(time.Hour + 5*time.Minute)))
}

func TestRestartsThatWouldComeTooOften(t *testing.T) {
	g := NewWithT(t)
	short := token("a", "1", time.Hour)
	short.Lifetime = 3*time.Hour + 14*time.Minute
	g.Expect(delivery.DecideRestart("", start, time.Hour, []delivery.Credential{short}, start.Add(2*time.Hour))).
		To(Equal(delivery.Restart{TooOften: "a"}), "less than an hour and five minutes may be left of the former one")
	g.Expect(delivery.DecideRestart("", start, 30*time.Minute, []delivery.Credential{short}, start.Add(2*time.Hour)).Due).To(Equal(start.Add(2 * time.Hour)))
}

// Who asks for a restart may change; that is no reason for one.
func TestNobodyIsRestartedForWhoAsks(t *testing.T) {
	g := NewWithT(t)
	a, b := token("a", "1", time.Hour), token("b", "1", time.Hour)
	both := delivery.DecideRestart("", start, time.Hour, []delivery.Credential{a, b}, start.Add(2*time.Hour))
	g.Expect(both.Due).NotTo(BeZero())
	g.Expect(delivery.DecideRestart(both.Value, start, time.Hour, []delivery.Credential{b}, start.Add(9*time.Hour))).To(Equal(delivery.Restart{}))
	g.Expect(delivery.DecideRestart(both.Value, start, time.Hour, []delivery.Credential{a, b, token("c", "1", 0)}, start.Add(9*time.Hour))).To(Equal(delivery.Restart{}))
}

// R11.3: a mark from before the clock was set back holds nobody up.
func TestMarksOfAClockThatWasAhead(t *testing.T) {
	g := NewWithT(t)
	ahead := start.Add(365 * 24 * time.Hour)
	renewed := []delivery.Credential{token("a", "2", 2*time.Hour)}
	before := []delivery.Credential{token("a", "1", 365*24*time.Hour)}
	nudged, _ := delivery.Nudge("", start, before, ahead)
	_, needed := delivery.Nudge(nudged, start, renewed, start.Add(2*time.Hour))
	g.Expect(needed).To(BeTrue())
	restarted := delivery.DecideRestart("", start, time.Hour, before, ahead.Add(time.Hour)).Value
	g.Expect(delivery.DecideRestart(restarted, start, time.Hour, renewed, start.Add(2*time.Hour)).Due).To(Equal(start.Add(2*time.Hour + time.Minute)))
}

// What does not expire has no instant: such a workload is restarted once to know where it stands, and then at each change.
func TestRestartForWhatDoesNotExpire(t *testing.T) {
	g := NewWithT(t)
	secret := delivery.Credential{Secret: "a", Fingerprint: "1"}
	first := delivery.DecideRestart("", start, time.Hour, []delivery.Credential{secret}, start.Add(time.Minute))
	g.Expect(first.Due).To(Equal(start.Add(time.Minute)))
	g.Expect(delivery.DecideRestart(first.Value, start, time.Hour, []delivery.Credential{secret}, start.Add(9*time.Hour))).To(Equal(delivery.Restart{}))
	secret.Fingerprint = "2"
	g.Expect(delivery.DecideRestart(first.Value, start, time.Hour, []delivery.Credential{secret}, start.Add(9*time.Hour)).Due).To(Equal(start.Add(9 * time.Hour)))
	g.Expect(delivery.DecideRestart("", start, time.Hour, nil, start)).To(Equal(delivery.Restart{}))
}
