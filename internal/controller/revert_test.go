package controller_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/credential"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// field is a field of a spec that holds a value. The last name is "*" where the field is a map.
type field struct {
	path    []string
	allowed []any
}

func (f field) String() string { return strings.Join(f.path, ".") }

// fieldsOf are all fields of the spec of GiniUsers, as the CRD has them.
func fieldsOf() (fields []field) {
	GinkgoHelper()
	content, err := os.ReadFile(filepath.Join("..", "..", "config", "crd", "bases", "credentials.gini.net_giniusers.yaml"))
	Expect(err).NotTo(HaveOccurred())
	var crd map[string]any
	Expect(yaml.Unmarshal(content, &crd)).To(Succeed())
	versions, _, _ := unstructured.NestedSlice(crd, "spec", "versions")
	Expect(versions).To(HaveLen(1))
	version, _ := versions[0].(map[string]any)
	spec, _, _ := unstructured.NestedMap(version, "schema", "openAPIV3Schema", "properties", "spec")
	var walk func(schema map[string]any, path []string)
	walk = func(schema map[string]any, path []string) {
		properties, _ := schema["properties"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			inner, _ := properties[name].(map[string]any)
			walk(inner, append(slices.Clone(path), name))
		}
		switch values, _ := schema["enum"].([]any); {
		case len(properties) > 0:
		case schema["additionalProperties"] != nil:
			fields = append(fields, field{path: append(slices.Clone(path), "*")})
		default:
			fields = append(fields, field{path, values})
		}
	}
	walk(spec, nil)
	Expect(fields).NotTo(BeEmpty())
	return fields
}

// in is where an object has the field; nil where it does not.
func (f field) in(spec map[string]any) []string {
	path := slices.Clone(f.path)
	if last := len(path) - 1; path[last] == "*" {
		values, _, _ := unstructured.NestedMap(spec, path[:last]...)
		for key := range values {
			path[last] = key
		}
	}
	if _, found, _ := unstructured.NestedFieldNoCopy(spec, path...); !found {
		return nil
	}
	return path
}

// others are values that the field may have instead.
func (f field) others(value any) (others []any) {
	for _, allowed := range f.allowed {
		if allowed != value {
			others = append(others, allowed)
		}
	}
	text, _ := value.(string)
	lasts, err := time.ParseDuration(text)
	on, isSwitch := value.(bool)
	switch {
	case len(f.allowed) > 0:
	case isSwitch:
		others = append(others, !on)
	case err == nil:
		others = append(others, (2 * lasts).String(), "1ns")
	default:
		others = append(others, text+"-x", "")
	}
	return others
}

// specs have each field between them.
const specs = `
alice:
  clientRef: {name: acme, namespace: NAMESPACE}
  derived: {identifier: alice-8f1c, auth: Basic}
  devices:
    untrusted:
      nudgePods: true
      rolloutRestart: [{kind: Deployment, name: web}]
      secret:
        name: alice-token
        type: Opaque
        labels: {team: invoices}
        annotations: {acme.example/team: invoices}
        data: {endpoint: https://pay-api.gini.net}
        deletionPolicy: Delete
    trusted:
      nudgePods: true
      rolloutRestart: [{kind: Deployment, name: web}]
      secret:
        name: alice-backend
        type: Opaque
        labels: {team: invoices}
        annotations: {acme.example/team: invoices}
        data: {endpoint: https://pay-api.gini.net}
  renewal: {before: 5h, verifyInterval: 2h}
  suspend: false
bob:
  clientRef: {name: acme}
  derived: {identifierSecretRef: {name: bob-identifier, key: id}, auth: Basic}
  devices: {untrusted: {secret: {name: bob-token}}}
carol:
  clientRef: {name: acme}
  anonymous: {accountSecret: {name: carol-account, mode: Managed}}
  devices: {untrusted: {secret: {name: carol-token}}}
`

// unseen are fields whose effect is seen elsewhere.
var unseen = map[string]string{
	"renewal.verifyInterval":           "in what Gini is asked, after a while",
	"devices.untrusted.nudgePods":      "on pods",
	"devices.trusted.nudgePods":        "on pods",
	"devices.untrusted.rolloutRestart": "on workloads",
	"devices.trusted.rolloutRestart":   "on workloads",
}

// shown is what a user's status and all Secrets show, but for what each renewal changes.
func (o *operation) shown(ctx context.Context, name string) map[string]string {
	GinkgoHelper()
	user, shown := o.user(ctx, name), map[string]string{}
	for _, condition := range user.Status.Conditions {
		shown["condition "+condition.Type] = fmt.Sprintf("%s %s %s", condition.Status, condition.Reason, condition.Message)
	}
	shown["user"] = user.Status.UserID + user.Status.IdentifierHash
	for kind, device := range map[string]*api.DeviceStatus{"untrusted": user.Status.Devices.Untrusted, "trusted": user.Status.Devices.Trusted} {
		if device != nil {
			shown["device "+kind] = device.SecretName
		}
	}
	var secrets corev1.SecretList
	Expect(k8s.List(ctx, &secrets, client.InNamespace(o.namespace))).To(Succeed())
	for _, secret := range secrets.Items {
		for _, key := range []string{credential.KeyAccessToken, credential.KeyAuthorization, credential.KeyExpiresAt} {
			if _, ok := secret.Data[key]; ok {
				secret.Data[key] = nil
			}
		}
		maps.DeleteFunc(secret.Annotations, func(key, _ string) bool { return !strings.HasPrefix(key, "acme.example/") })
		shown["Secret "+secret.Name] = fmt.Sprint(secret.Type, secret.Labels, secret.Annotations, len(secret.OwnerReferences), secret.Data)
	}
	return shown
}

// refreshAt is when a user's token is to be renewed.
func (o *operation) refreshAt(ctx context.Context, name string) string {
	GinkgoHelper()
	if device := o.user(ctx, name).Status.Devices.Untrusted; device != nil && device.RefreshAt != nil {
		return device.RefreshAt.String()
	}
	return ""
}

var _ = Describe("A wrong edit of a GiniUser", stepwise, func() {
	It("is refused or shows, field by field, and is undone by undoing it, at the cost of no account (R17.4)", func(ctx SpecContext) {
		o := operate(ctx, emulator.WithLifetime(12*time.Hour))
		o.giniClient(ctx)
		o.secret(ctx, "bob-identifier", map[string]string{"id": "bob-8f1c"})
		var users map[string]map[string]any
		Expect(yaml.Unmarshal([]byte(strings.ReplaceAll(specs, "NAMESPACE", o.namespace)), &users)).To(Succeed())
		names := slices.Sorted(maps.Keys(users))
		for _, name := range names {
			object := o.unstructured(name)
			object.Object["spec"] = users[name]
			Expect(k8s.Create(ctx, object)).To(Succeed())
		}
		o.wake(names...)
		o.run(ctx, time.Minute)
		o.expectWell(ctx, names...)
		accounts := o.gini.Ledger().Accounts()

		fields := fieldsOf()
		missing := map[string]bool{}
		for _, field := range fields {
			missing[field.String()] = true
		}
		for _, name := range names {
			for _, field := range fields {
				path := field.in(users[name])
				if path == nil {
					continue
				}
				delete(missing, field.String())
				value, _, _ := unstructured.NestedFieldCopy(users[name], path...)
				for _, other := range field.others(value) {
					edit := fmt.Sprintf("%s of %s, from %v to %v", field, name, value, other)
					before, planned := o.shown(ctx, name), o.refreshAt(ctx, name)
					if !o.set(ctx, name, path, other) {
						continue
					}
					o.run(ctx, 30*time.Second)
					if unseen[field.String()] == "" && planned == o.refreshAt(ctx, name) {
						Expect(o.shown(ctx, name)).NotTo(Equal(before), "nothing shows "+edit)
					}
					Expect(o.set(ctx, name, path, value)).To(BeTrue(), edit)
					o.run(ctx, 2*time.Minute)
					Expect(o.shown(ctx, name)).To(Equal(before), edit)
				}
			}
		}
		Expect(missing).To(BeEmpty(), "no spec here has them")
		Expect(o.gini.Ledger().Accounts()).To(Equal(accounts))
		o.expectWell(ctx, names...)
	})
})

func (o *operation) unstructured(name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetAPIVersion(api.GroupVersion.String())
	object.SetKind("GiniUser")
	object.SetNamespace(o.namespace)
	object.SetName(name)
	return object
}

// set changes a field of a spec, of which a watch tells; false where the API server refuses it.
func (o *operation) set(ctx context.Context, name string, path []string, value any) bool {
	GinkgoHelper()
	object := o.unstructured(name)
	Expect(k8s.Get(ctx, o.key(name), object)).To(Succeed())
	Expect(unstructured.SetNestedField(object.Object, value, append([]string{"spec"}, path...)...)).To(Succeed())
	err := k8s.Update(ctx, object)
	if apierrors.IsInvalid(err) {
		return false
	}
	Expect(err).NotTo(HaveOccurred())
	o.wake(name)
	return true
}
