// Package delivery decides how a changed Secret reaches those who use it: which pods read it and in what way, whether a pod is to be
// nudged, and whether a workload is to be restarted. Decisions only, no side effects.
package delivery

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Reads is how a pod reads one Secret. It can be in more than one way.
type Reads struct {
	// Mounted is as a volume, in which the kubelet shows each change.
	Mounted bool
	// Once is in a way that shows no change while the container lives: as environment variables, or through a subPath.
	Once bool
}

// SecretsOf are the Secrets that a pod reads, by name. What only its init containers read does not count, as these are done before a
// change comes, unless they are sidecars.
func SecretsOf(pod *corev1.PodSpec) map[string]Reads {
	read := map[string]Reads{}
	add := func(name string, way Reads) {
		if name != "" {
			before := read[name]
			read[name] = Reads{Mounted: before.Mounted || way.Mounted, Once: before.Once || way.Once}
		}
	}
	volumes := map[string][]string{}
	for i := range pod.Volumes {
		volumes[pod.Volumes[i].Name] = secretsIn(&pod.Volumes[i])
	}
	for container := range running(pod) {
		for _, mount := range container.VolumeMounts {
			once := mount.SubPath != "" || mount.SubPathExpr != ""
			for _, name := range volumes[mount.Name] {
				add(name, Reads{Mounted: !once, Once: once})
			}
		}
		for _, source := range container.EnvFrom {
			if source.SecretRef != nil {
				add(source.SecretRef.Name, Reads{Once: true})
			}
		}
		for _, variable := range container.Env {
			if variable.ValueFrom != nil && variable.ValueFrom.SecretKeyRef != nil {
				add(variable.ValueFrom.SecretKeyRef.Name, Reads{Once: true})
			}
		}
	}
	return read
}

// secretsIn are the Secrets that a volume shows.
func secretsIn(volume *corev1.Volume) []string {
	switch {
	case volume.Secret != nil:
		return []string{volume.Secret.SecretName}
	case volume.Projected != nil:
		var names []string
		for _, source := range volume.Projected.Sources {
			if source.Secret != nil {
				names = append(names, source.Secret.Name)
			}
		}
		return names
	}
	return nil
}

// running are the containers that live as long as the pod does.
func running(pod *corev1.PodSpec) func(yield func(*corev1.Container) bool) {
	return func(yield func(*corev1.Container) bool) {
		for i := range pod.InitContainers {
			sidecar := pod.InitContainers[i].RestartPolicy
			if sidecar != nil && *sidecar == corev1.ContainerRestartPolicyAlways && !yield(&pod.InitContainers[i]) {
				return
			}
		}
		for i := range pod.Containers {
			if !yield(&pod.Containers[i]) {
				return
			}
		}
	}
}

// Runs reports whether a pod is there to see a new credential: not one that has ended, or is about to.
func Runs(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp.IsZero() && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// Outlives reports whether a pod is meant to run for longer than the credential that it started with is good for: those of Jobs are not.
func Outlives(pod *corev1.Pod) bool {
	kind, _ := WorkloadOf(pod)
	return Runs(pod) && kind != "Job"
}

// Slim is a pod with nothing left but what SecretsOf and the decisions of this package look at: all pods are kept in memory.
func Slim(pod *corev1.Pod, annotations ...string) *corev1.Pod {
	slim := &corev1.Pod{Status: corev1.PodStatus{Phase: pod.Status.Phase}}
	slim.Name, slim.Namespace, slim.UID, slim.ResourceVersion = pod.Name, pod.Namespace, pod.UID, pod.ResourceVersion
	slim.CreationTimestamp, slim.DeletionTimestamp = pod.CreationTimestamp, pod.DeletionTimestamp
	slim.OwnerReferences = pod.OwnerReferences
	if hash := pod.Labels[templateHashLabel]; hash != "" {
		slim.Labels = map[string]string{templateHashLabel: hash}
	}
	for _, name := range annotations {
		if value, ok := pod.Annotations[name]; ok {
			slim.Annotations = map[string]string{name: value}
		}
	}
	read := SecretsOf(&pod.Spec)
	container := corev1.Container{}
	for _, name := range slices.Sorted(maps.Keys(read)) {
		if read[name].Mounted {
			slim.Spec.Volumes = append(slim.Spec.Volumes, corev1.Volume{
				Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}},
			})
			container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: name})
		}
		if read[name].Once {
			container.EnvFrom = append(container.EnvFrom, corev1.EnvFromSource{
				SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}},
			})
		}
	}
	slim.Spec.Containers = []corev1.Container{container}
	return slim
}

// templateHashLabel is what a Deployment adds to the names of its ReplicaSets, and to the labels of their pods.
const templateHashLabel = "pod-template-hash"

// WorkloadOf names what a pod belongs to, so that a message about it stays the same while pods come and go: its Deployment where its
// ReplicaSet has one, its controller otherwise, and itself where it has none.
func WorkloadOf(pod *corev1.Pod) (kind, name string) {
	for _, owner := range pod.OwnerReferences {
		if owner.Controller == nil || !*owner.Controller {
			continue
		}
		if hash := pod.Labels[templateHashLabel]; owner.Kind == "ReplicaSet" && hash != "" {
			if deployment, ok := strings.CutSuffix(owner.Name, "-"+hash); ok {
				return "Deployment", deployment
			}
		}
		return owner.Kind, owner.Name
	}
	return "Pod", pod.Name
}
