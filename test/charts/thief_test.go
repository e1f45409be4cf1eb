package charts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	nudgedAt     = "credentials.gini.net/nudged-at"
	restartedAt  = "credentials.gini.net/restarted-at"
	allowRestart = "credentials.gini.net/allow-restart"
	aMark        = "2026-11-28T03:14:15Z/0a1b2c3d"
)

// thief is whoever has the token of the operator's ServiceAccount.
type thief struct {
	client.Client
	server *apiServer
	// object is what he tries to change.
	object *unstructured.Unstructured
}

// try changes the object, and takes it back: what is admitted is seen, and nothing is stored.
func (h thief) try(ctx context.Context, kind types.PatchType, body any, subresource ...string) (*unstructured.Unstructured, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	object := h.object.DeepCopy()
	if len(subresource) > 0 {
		err = h.SubResource(subresource[0]).Patch(ctx, object, client.RawPatch(kind, data), client.DryRunAll)
	} else {
		err = h.Patch(ctx, object, client.RawPatch(kind, data), client.DryRunAll)
	}
	return object, err
}

// refused is whether the API server said no to somebody, be it for his rights or for what he wants.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}

// operation is one of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// pointer is the JSON pointer to a path.
func pointer(path []string) string {
	escaped := make([]string, len(path))
	for i, step := range path {
		escaped[i] = strings.NewReplacer("~", "~0", "/", "~1").Replace(step)
	}
	return "/" + strings.Join(escaped, "/")
}

// edits are changes of each part of an object: another value for each leaf, each part taken away, and something added to each map and list.
func edits(part any, path ...string) (found []operation) {
	if len(path) > 0 {
		found = append(found, operation{Op: "remove", Path: pointer(path)})
	}
	inner := func(step string) []string { return append(append([]string{}, path...), step) }
	switch part := part.(type) {
	case map[string]any:
		for key, value := range part {
			found = append(found, edits(value, inner(key)...)...)
		}
		found = append(found, operation{"add", pointer(inner("stolen")), "stolen"})
	case []any:
		for i, value := range part {
			found = append(found, edits(value, inner(strconv.Itoa(i))...)...)
		}
		if len(part) > 0 {
			found = append(found, operation{"add", pointer(inner("-")), part[0]})
		}
	case string:
		found = append(found, operation{"replace", pointer(path), part + "x"})
	case bool:
		found = append(found, operation{"replace", pointer(path), !part})
	case int64:
		found = append(found, operation{"replace", pointer(path), part + 1})
	case float64:
		found = append(found, operation{"replace", pointer(path), part + 1})
	}
	return found
}

// withoutManagedFields is an object without what says who set which field, which every change changes.
func withoutManagedFields(object *unstructured.Unstructured) map[string]any {
	copied := object.DeepCopy()
	copied.SetManagedFields(nil)
	return copied.Object
}

// content is an object without what the API server itself says of it.
func content(object *unstructured.Unstructured) map[string]any {
	copied := object.DeepCopy()
	copied.SetManagedFields(nil)
	copied.SetResourceVersion("")
	copied.SetGeneration(0)
	return copied.Object
}

// merge is a JSON merge patch: a value at the end of a path.
func merge(value any, path ...string) map[string]any {
	for i := len(path) - 1; i > 0; i-- {
		value = map[string]any{path[i]: value}
	}
	return map[string]any{path[0]: value}
}

// installation is a way in which the policies come to a cluster, and who the operator is there.
type installation struct {
	objects            []*unstructured.Unstructured
	namespace, account string
	// victims is a namespace with pods that the operator has its rights in.
	victims string
}

func installations(t *testing.T) map[string]installation {
	t.Helper()
	inChart := func(namespace string, arguments ...string) []*unstructured.Unstructured {
		text, err := helmTemplate(t, release, namespace, append(arguments, "--set", "podNudges.enabled=true,rolloutRestarts.enabled=true")...)
		if err != nil {
			t.Fatal(err)
		}
		return objects(t, text)
	}
	elsewhere := overlay(t,
		"namespace: elsewhere\nnamePrefix: acme-\nresources: [config/default]\n",
		strings.Replace(withComponents, "config/default", "../0", 1))
	return map[string]installation{
		"components":           {built(t, overlay(t, withComponents)), namespace, "gini-operator-controller-manager", "victims-1"},
		"components elsewhere": {built(t, elsewhere), "elsewhere", "acme-gini-operator-controller-manager", "victims-2"},
		"chart":                {inChart("charted"), "charted", release, "victims-3"},
		"chart in a namespace": {inChart("watching", "--set", "watchNamespaces={victims-4}"), "watching", release, "victims-4"},
	}
}

// TestThief: whoever has the operator's token may touch one annotation of a pod, restart a workload that consents, and write Secrets that can be the
// operator's. Whatever else he tries with these is refused: by the roles, and by the policies even where somebody has given the operator all
// rights.
func TestThief(t *testing.T) {
	for name, installed := range installations(t) {
		t.Run(name, func(t *testing.T) {
			server := shared(t)
			server.makeNamespace(t, installed.namespace)
			server.makeNamespace(t, installed.victims)
			for _, object := range installed.objects {
				if object.GetKind() != "Pod" { // the chart's test
					server.apply(t, object)
				}
			}
			victims := map[string]*unstructured.Unstructured{}
			for _, object := range objects(t, read(t, "testdata/victims.yaml")) {
				object.SetNamespace(installed.victims)
				if err := server.admin.Create(t.Context(), object); err != nil {
					t.Fatal(err)
				}
				victims[object.GetKind()+" "+object.GetName()] = object
			}
			operator := server.asServiceAccount(t, installed.namespace, installed.account)
			all := thief{Client: operator, server: server}
			all.waitForPolicies(t, victims)
			t.Run("with its own rights", func(t *testing.T) { all.tryAll(t, victims) })
			t.Run("Secrets with its own rights", func(t *testing.T) { all.trySecrets(t, installed.victims) })
			t.Run("huge", func(t *testing.T) { all.mayTouchHuge(t, victims) })
			server.apply(t, objects(t, fmt.Sprintf(allRights, installed.namespace, installed.account, installed.namespace))...)
			eventually(t, "the operator has all rights", func(ctx context.Context) bool {
				return operator.Create(ctx, configMap(installed.victims), client.DryRunAll) == nil
			})
			t.Run("with all rights", func(t *testing.T) { all.tryAll(t, victims) })
			t.Run("Secrets with all rights", func(t *testing.T) { all.trySecrets(t, installed.victims) })
			t.Run("others", func(t *testing.T) { all.othersMay(t, victims) })
			t.Run("Secrets of others", func(t *testing.T) { all.othersMayWriteSecrets(t, installed.victims) })
		})
	}
}

// allRights makes a ServiceAccount (name, namespace) the cluster's administrator.
const allRights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: all-rights-%s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: %s, namespace: %s}]
`

func configMap(namespace string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
	object.SetName("probe")
	object.SetNamespace(namespace)
	return object
}

// waitForPolicies returns once the API server knows both policies, and the roles.
func (h thief) waitForPolicies(t *testing.T, victims map[string]*unstructured.Unstructured) {
	t.Helper()
	for victim, says := range map[string]string{"Pod plain": "annotation", "Deployment consents": "restart"} {
		h.object = victims[victim]
		eventually(t, "the policy for "+victim, func(ctx context.Context) bool {
			_, err := h.try(ctx, types.MergePatchType, merge("x", "metadata", "labels", "stolen"))
			return err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy") && strings.Contains(err.Error(), says)
		})
	}
}

func (h thief) tryAll(t *testing.T, victims map[string]*unstructured.Unstructured) {
	t.Helper()
	for name, victim := range victims {
		t.Run(name, func(t *testing.T) {
			h.object = victim
			allowed := h.mayTouch(t)
			h.mayNotEdit(t, allowed)
			h.mayNotDoMore(t)
		})
	}
}

// consenting are the workloads of testdata/victims.yaml that consent, in their own way each.
var consenting = map[string]bool{"consents": true, "consents-hourly": true, "bare": true}

// annotation is what the operator may change of the object: where it is, whether it may, and what else may not be changed together with it.
func (h thief) annotation() (path []string, may bool) {
	if h.object.GetKind() == "Pod" {
		return []string{"metadata", "annotations", nudgedAt}, true
	}
	return []string{"spec", "template", "metadata", "annotations", restartedAt}, consenting[h.object.GetName()]
}

// mayTouch tries what the operator does, in each way that there is to do it, and returns the path of the one annotation.
func (h thief) mayTouch(t *testing.T) []string {
	t.Helper()
	path, may := h.annotation()
	touched := merge(aMark, path...)
	applied := merge(aMark, path...)
	for key, value := range map[string]any{"apiVersion": h.object.GetAPIVersion(), "kind": h.object.GetKind()} {
		applied[key] = value
	}
	for name, try := range map[string]func() (*unstructured.Unstructured, error){
		"merge patch": func() (*unstructured.Unstructured, error) { return h.try(t.Context(), types.MergePatchType, touched) },
		"strategic merge patch": func() (*unstructured.Unstructured, error) {
			return h.try(t.Context(), types.StrategicMergePatchType, touched)
		},
		"apply": func() (*unstructured.Unstructured, error) {
			object := &unstructured.Unstructured{Object: runtimeCopy(applied)}
			object.SetName(h.object.GetName())
			object.SetNamespace(h.object.GetNamespace())
			err := h.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("gini-operator"), client.ForceOwnership,
				client.DryRunAll)
			return object, err
		},
	} {
		object, err := try()
		switch {
		case may && err != nil:
			t.Errorf("%s: it is refused: %v", name, err)
		case !may && !refused(err):
			t.Errorf("%s: it is not refused: %v", name, err)
		case may && name != "apply":
			if value, _, _ := unstructured.NestedString(object.Object, path...); value != aMark {
				t.Errorf("%s: the annotation is %q", name, value)
			}
		}
	}
	for name, value := range map[string]string{
		"a text":          "stolen credentials of somebody",
		"a mark and more": aMark + " stolen",
		"a long hash":     aMark + "4e5f",
		"nothing":         "",
	} {
		if _, err := h.try(t.Context(), types.MergePatchType, merge(value, path...)); !refused(err) {
			t.Errorf("the annotation may be %s: %v", name, err)
		}
	}
	// Together with anything else, it is refused as well.
	body := merge(aMark, path...)
	metadata, _ := body["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		body["metadata"] = metadata
	}
	metadata["labels"] = map[string]any{"stolen": "yes"}
	if _, err := h.try(t.Context(), types.MergePatchType, body); !refused(err) {
		t.Errorf("a label may be changed with the annotation: %v", err)
	}
	return path
}

// mayTouchHuge: the policies are quick enough, in the units by which the API server bounds that, for objects as large as they get.
func (h thief) mayTouchHuge(t *testing.T, victims map[string]*unstructured.Unstructured) {
	t.Helper()
	const containers, variables = 60, 200
	for name, containersAt := range map[string][]string{
		"Pod full": {"spec", "containers"}, "Deployment consents": {"spec", "template", "spec", "containers"},
	} {
		huge := victims[name].DeepCopy()
		// What the API server has added goes, but for what the operator is allowed by.
		huge.Object["metadata"] = map[string]any{
			"name": "huge", "namespace": huge.GetNamespace(), "labels": map[string]any{"app": "consents"},
			"annotations": map[string]any{allowRestart: "true"},
		}
		list, _, _ := unstructured.NestedSlice(huge.Object, containersAt...)
		for i := range containers {
			var env []any
			for j := range variables {
				env = append(env, map[string]any{"name": fmt.Sprintf("VARIABLE_%d", j), "value": strings.Repeat("x", 50)})
			}
			list = append(list, map[string]any{"name": fmt.Sprintf("c%d", i), "image": "registry.acme.example/app:v1", "env": env})
		}
		if err := unstructured.SetNestedSlice(huge.Object, list, containersAt...); err != nil {
			t.Fatal(err)
		}
		if err := h.server.admin.Create(t.Context(), huge); err != nil {
			t.Fatal(err)
		}
		size, _ := huge.MarshalJSON()
		h.object = huge
		path := []string{"spec", "template", "metadata", "annotations", restartedAt}
		if huge.GetKind() == "Pod" {
			path = []string{"metadata", "annotations", nudgedAt}
		}
		if _, err := h.try(t.Context(), types.MergePatchType, merge(aMark, path...)); err != nil {
			t.Errorf("%s of %d bytes: %v", huge.GetKind(), len(size), err)
		}
		if _, err := h.try(t.Context(), types.MergePatchType, merge("yes", "metadata", "labels", "stolen")); !refused(err) {
			t.Errorf("%s of %d bytes: %v", huge.GetKind(), len(size), err)
		}
		t.Logf("%s of %d bytes", huge.GetKind(), len(size))
		if err := h.server.admin.Delete(t.Context(), huge); err != nil {
			t.Fatal(err)
		}
	}
}

// mayNotEdit tries to change each part of the object. Each is refused, or changes nothing.
func (h thief) mayNotEdit(t *testing.T, but []string) {
	t.Helper()
	tried, ignored := 0, 0
	more := []operation{
		{"add", "/metadata/labels", map[string]any{"stolen": "yes"}},
		{"add", "/metadata/finalizers", []any{"acme.example/stolen"}},
		{"add", "/metadata/ownerReferences", []any{map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "name": "stolen", "uid": "8a1f2a3e-0000-0000-0000-000000000000",
		}}},
		{"add", "/metadata/annotations", map[string]any{"stolen": "yes"}},
		{"add", "/spec/template/metadata/labels/stolen", "yes"},
		{"add", "/spec/template/metadata/annotations", map[string]any{"stolen": "yes"}},
		{"add", "/spec/template/spec/hostNetwork", true},
		{"add", "/spec/template/spec/nodeName", "stolen"},
		{"add", "/spec/template/spec/serviceAccountName", "stolen"},
		{"add", "/spec/template/spec/containers/0/command", []any{"sh"}},
		{"add", "/spec/template/spec/containers/0/env", []any{map[string]any{"name": "LD_PRELOAD", "value": "/stolen"}}},
		{"add", "/spec/template/spec/containers/0/securityContext", map[string]any{"privileged": true}},
		{"add", "/spec/template/spec/volumes", []any{map[string]any{"name": "root", "hostPath": map[string]any{"path": "/"}}}},
		{"add", "/spec/paused", true},
		{"add", "/spec/activeDeadlineSeconds", 1},
		{"add", "/spec/tolerations/-", map[string]any{"operator": "Exists"}},
	}
	before, err := h.try(t.Context(), types.MergePatchType, map[string]any{})
	if err != nil && !refused(err) {
		t.Fatal(err)
	}
	if err != nil {
		before = h.object
	}
	for _, edit := range append(edits(withoutManagedFields(h.object)), more...) {
		if edit.Path == pointer(but) {
			continue
		}
		after, err := h.try(t.Context(), types.JSONPatchType, []operation{edit})
		tried++
		if err != nil {
			continue
		}
		ignored++
		if !reflect.DeepEqual(content(before), content(after)) {
			t.Errorf("%s %s is possible", edit.Op, edit.Path)
		}
	}
	if tried < 40 || ignored > tried/2 {
		t.Errorf("of %d edits, %d changed nothing: this tries too little", tried, ignored)
	}
	t.Logf("%d edits, of which %d changed nothing and the others were refused", tried, ignored)
}

// mayNotDoMore tries what is no edit.
func (h thief) mayNotDoMore(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	another := h.object.DeepCopy()
	another.Object["metadata"] = map[string]any{
		"name": "stolen", "namespace": h.object.GetNamespace(), "annotations": map[string]any{allowRestart: "true"},
	}
	delete(another.Object, "status")
	unstructured.RemoveNestedField(another.Object, "spec", "nodeName")
	attempts := map[string]error{
		"create":            h.Create(ctx, another.DeepCopy(), client.DryRunAll),
		"create by apply":   h.Apply(ctx, client.ApplyConfigurationFromUnstructured(another.DeepCopy()), client.FieldOwner("x"), client.DryRunAll),
		"update":            h.updated(ctx),
		"delete":            h.Delete(ctx, h.object.DeepCopy(), client.DryRunAll),
		"delete collection": h.DeleteAllOf(ctx, h.object.DeepCopy(), client.InNamespace(h.object.GetNamespace()), client.DryRunAll),
		"status":            h.patched(ctx, "status", merge("x", "status", "message"), merge(1, "status", "observedGeneration")),
	}
	if h.object.GetKind() == "Pod" {
		eviction := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "policy/v1", "kind": "Eviction"}}
		eviction.SetName(h.object.GetName())
		eviction.SetNamespace(h.object.GetNamespace())
		for subresource, kind := range map[string]string{"exec": "PodExecOptions", "binding": "Binding"} {
			options := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind}}
			if kind == "Binding" {
				options.Object["target"] = map[string]any{"kind": "Node", "name": "stolen"}
			}
			options.SetName(h.object.GetName())
			options.SetNamespace(h.object.GetNamespace())
			attempts[subresource] = h.SubResource(subresource).Create(ctx, h.object.DeepCopy(), options, client.DryRunAll)
		}
		attempts["evict"] = h.SubResource("eviction").Create(ctx, h.object.DeepCopy(), eviction, client.DryRunAll)
		attempts["debug"] = h.patched(ctx, "ephemeralcontainers", merge([]any{map[string]any{"name": "x", "image": "stolen"}}, "spec", "ephemeralContainers"))
		attempts["resize"] = h.patched(ctx, "resize", merge([]any{map[string]any{
			"name": "main", "resources": map[string]any{"requests": map[string]any{"cpu": "2"}},
		}}, "spec", "containers"))
	} else if h.object.GetKind() != "DaemonSet" {
		attempts["scale"] = h.patched(ctx, "scale", merge(0, "spec", "replicas"))
	}
	for name, err := range attempts {
		if !refused(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// updated tries a whole update with another label.
func (h thief) updated(ctx context.Context) error {
	object := h.object.DeepCopy()
	object.SetLabels(map[string]string{"stolen": "yes"})
	object.SetResourceVersion("")
	return h.Update(ctx, object, client.DryRunAll)
}

// patched tries patches of a subresource, and returns the first answer that is no refusal, or the last.
func (h thief) patched(ctx context.Context, subresource string, bodies ...map[string]any) (err error) {
	for _, body := range bodies {
		if _, err = h.try(ctx, types.StrategicMergePatchType, body, subresource); !refused(err) {
			return err
		}
	}
	return err
}

// othersMay: the policies are about the operator alone.
func (h thief) othersMay(t *testing.T, victims map[string]*unstructured.Unstructured) {
	t.Helper()
	h.Client = h.server.admin
	for name, victim := range victims {
		h.object = victim
		if _, err := h.try(t.Context(), types.MergePatchType, merge("yes", "metadata", "labels", "mine")); err != nil {
			t.Errorf("%s: the administrator may not label it: %v", name, err)
		}
		if err := h.Delete(t.Context(), victim.DeepCopy(), client.DryRunAll); err != nil {
			t.Errorf("%s: the administrator may not delete it: %v", name, err)
		}
	}
}

func runtimeCopy(of map[string]any) map[string]any {
	return (&unstructured.Unstructured{Object: of}).DeepCopy().Object
}
