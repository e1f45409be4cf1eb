package charts_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	managedBy   = "app.kubernetes.io/managed-by"
	adoptBy     = "credentials.gini.net/adopt-by"
	ofAccount   = corev1.ServiceAccountNameKey
	description = "kubernetes.io/description"
	bootstrap   = corev1.SecretType("bootstrap.kubernetes.io/token")
)

// texts are labels or annotations.
type texts map[string]string

// ours are the labels of the operator's Secrets that the policy asks for.
func ours() texts { return texts{managedBy: "gini-operator"} }

// aSecret is one with the data that Kubernetes asks for in any type, so that whoever refuses it does so for another reason.
func aSecret(of corev1.SecretType, labels, annotations texts) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "stolen", Labels: labels, Annotations: annotations},
		Type:       of,
		StringData: map[string]string{
			"tls.crt": "", "tls.key": "", "ssh-privatekey": "x", "username": "x", "password": "x", ".dockercfg": "{}", ".dockerconfigjson": "{}",
		},
	}
}

// creation is a Secret that somebody with the operator's token tries to make, and whether he may.
type creation struct {
	secret *corev1.Secret
	may    bool
}

func creations() map[string]creation {
	found := map[string]creation{
		"Opaque":                   {aSecret(corev1.SecretTypeOpaque, ours(), nil), true},
		"of the API's own type":    {aSecret("credentials.gini.net/token", ours(), nil), true},
		"without a type":           {aSecret("", ours(), nil), true}, // that is Opaque
		"as people had noted":      {aSecret(corev1.SecretTypeOpaque, ours(), texts{description: "x", corev1.LastAppliedConfigAnnotation: "{}"}), true},
		"without a label":          {aSecret(corev1.SecretTypeOpaque, nil, nil), false},
		"with somebody's label":    {aSecret(corev1.SecretTypeOpaque, texts{managedBy: "Helm"}, nil), false},
		"with a ServiceAccount":    {aSecret(corev1.SecretTypeOpaque, ours(), texts{ofAccount: "default"}), false},
		"a ServiceAccount's token": {aSecret(corev1.SecretTypeServiceAccountToken, ours(), texts{ofAccount: "default"}), false},
		"the same, not labelled":   {aSecret(corev1.SecretTypeServiceAccountToken, nil, texts{ofAccount: "default"}), false},
	}
	for _, of := range []corev1.SecretType{
		bootstrap, corev1.SecretTypeTLS, corev1.SecretTypeDockercfg, corev1.SecretTypeDockerConfigJson, corev1.SecretTypeBasicAuth,
		corev1.SecretTypeSSHAuth, "helm.sh/release.v1", "acme.example/account", "opaque",
		"credentials.gini.net", "credentials.gini.net/", "credentials.gini.net/Token", "credentials.gini.net/a/b", "x.credentials.gini.net/token",
	} {
		found["of type "+string(of)] = creation{aSecret(of, ours(), nil), false}
	}
	return found
}

// owned is a Secret without labels that belongs to an object.
func owned(by, kind string) *corev1.Secret {
	secret := aSecret(corev1.SecretTypeOpaque, nil, nil)
	secret.OwnerReferences = []metav1.OwnerReference{{APIVersion: by, Kind: kind, Name: "scanner", UID: "0f6ba9f7-39b3-4bb2-9a4f-3e2b1a7d8c55"}}
	return secret
}

// keys is a Secret with signing keys, without labels.
func keys() *corev1.Secret {
	secret := aSecret(corev1.SecretTypeOpaque, nil, nil)
	secret.StringData["signing-key.pem"] = "x"
	return secret
}

// huge is a Secret of nearly 1 MiB, with nearly as many annotations as there may be: the policy is quick enough for it, in the units by which the
// API server bounds that.
func huge() *corev1.Secret {
	annotations := texts{}
	for i := range 10_000 {
		annotations[fmt.Sprintf("kubernetes.io/%d", i)] = "x"
	}
	secret := aSecret(corev1.SecretTypeOpaque, ours(), annotations)
	secret.StringData["large"] = strings.Repeat("x", 1_000_000)
	return secret
}

// removal is a Secret that somebody with the operator's token tries to delete, and whether he may.
type removal = creation

func removals() map[string]removal {
	handedOver := texts{adoptBy: "scanner"}
	return map[string]removal{
		"an own one":                         {aSecret(corev1.SecretTypeOpaque, ours(), nil), true},
		"an own one of the API's own type":   {aSecret("credentials.gini.net/token", ours(), nil), true},
		"an own one that lost its labels":    {owned("credentials.gini.net/v1alpha1", "GiniUser"), true},
		"one that is handed over":            {aSecret(corev1.SecretTypeOpaque, handedOver, nil), true},
		"a certificate that is handed over":  {aSecret(corev1.SecretTypeTLS, handedOver, nil), true},
		"somebody's":                         {aSecret(corev1.SecretTypeOpaque, nil, nil), false},
		"Helm's":                             {aSecret(corev1.SecretTypeOpaque, texts{managedBy: "Helm"}, nil), false},
		"somebody's by its owner":            {owned("v1", "ConfigMap"), false},
		"a certificate":                      {aSecret(corev1.SecretTypeTLS, nil, nil), false},
		"a ServiceAccount's token":           {aSecret(corev1.SecretTypeServiceAccountToken, nil, texts{ofAccount: "default"}), false},
		"a release":                          {aSecret("helm.sh/release.v1", nil, nil), false},
		"keys, which the operator leaves be": {keys(), false},
	}
}

// update is a change of a Secret that somebody with the operator's token tries, and whether he may.
type update struct {
	before *corev1.Secret
	change func(*corev1.Secret)
	may    bool
}

func updates() map[string]update {
	data := func(s *corev1.Secret) { s.Data["password"] = []byte("changed") }
	takeOver := func(s *corev1.Secret) { data(s); s.Labels = ours() }
	handOver := func(s *corev1.Secret) { takeOver(s); s.Labels[adoptBy] = "scanner" }
	relabel := func(to texts) func(*corev1.Secret) { return func(s *corev1.Secret) { data(s); s.Labels = to } }
	annotate := func(to texts) func(*corev1.Secret) { return func(s *corev1.Secret) { data(s); s.Annotations = to } }
	own := func(annotations texts) *corev1.Secret { return aSecret(corev1.SecretTypeOpaque, ours(), annotations) }
	foreign := func(of corev1.SecretType) *corev1.Secret { return aSecret(of, nil, texts{ofAccount: "default"}) }
	labelled := func(of corev1.SecretType) *corev1.Secret { return aSecret(of, ours(), texts{ofAccount: "default"}) }
	return map[string]update{
		"an own one":                          {own(nil), data, true},
		"an own one of the API's own type":    {aSecret("credentials.gini.net/token", ours(), nil), data, true},
		"one that is handed over":             {aSecret(corev1.SecretTypeOpaque, texts{adoptBy: "scanner"}, nil), takeOver, true},
		"one that somebody annotated":         {own(texts{description: "x", ofAccount: "x"}), data, true},
		"one as large as they get":            {huge(), data, true},
		"an account of another type":          {labelled("acme.example/account"), data, true},
		"an account that is a login as well":  {labelled(corev1.SecretTypeBasicAuth), data, true},
		"an annotation of its own":            {own(texts{description: "x"}), annotate(texts{description: "x", "credentials.gini.net/refresh-at": "x"}), true},
		"an annotation less":                  {own(texts{description: "x"}), annotate(nil), true},
		"an annotation of Kubernetes more":    {own(nil), annotate(texts{ofAccount: "default"}), false},
		"any annotation of Kubernetes more":   {own(nil), annotate(texts{"kubernetes.io/new": ""}), false},
		"another annotation of Kubernetes":    {own(texts{description: "x"}), annotate(texts{description: "y"}), false},
		"the label taken off":                 {own(nil), relabel(nil), false},
		"another label":                       {own(nil), relabel(texts{managedBy: "Helm"}), false},
		"one without the label":               {foreign(corev1.SecretTypeOpaque), data, false},
		"somebody's":                          {foreign(corev1.SecretTypeOpaque), takeOver, false},
		"Helm's":                              {aSecret(corev1.SecretTypeOpaque, texts{managedBy: "Helm"}, nil), takeOver, false},
		"somebody's, handed over in the act":  {foreign(corev1.SecretTypeOpaque), handOver, false},
		"an own one that lost its labels":     {owned("credentials.gini.net/v1alpha1", "GiniUser"), takeOver, true},
		"somebody else's by its owner":        {owned("acme.example/v1", "GiniUser"), takeOver, false},
		"somebody's by its owner":             {owned("v1", "ConfigMap"), takeOver, false},
		"keys that lost their labels":         {keys(), takeOver, true},
		"keys, not labelled again":            {keys(), data, false},
		"a certificate":                       {foreign(corev1.SecretTypeTLS), takeOver, false},
		"a release":                           {foreign("helm.sh/release.v1"), takeOver, false},
		"a bootstrap token":                   {foreign(bootstrap), takeOver, false},
		"a ServiceAccount's token":            {foreign(corev1.SecretTypeServiceAccountToken), takeOver, false},
		"a ServiceAccount's token, not ours":  {foreign(corev1.SecretTypeServiceAccountToken), data, false},
		"a ServiceAccount's token, labelled":  {labelled(corev1.SecretTypeServiceAccountToken), data, false},
		"another ServiceAccount for a token":  {labelled(corev1.SecretTypeServiceAccountToken), annotate(texts{ofAccount: "strong"}), false},
		"a bootstrap token that was labelled": {labelled(bootstrap), data, false},
	}
}

// byPolicy is whether it was the policy for Secrets that refused something.
func byPolicy(err error) bool {
	return refused(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy") && strings.Contains(err.Error(), "secret-writes")
}

// trySecrets tries to write and delete Secrets in a namespace: those that the operator itself may write, and others, above all those by which
// the API server would know somebody else.
func (h thief) trySecrets(t *testing.T, namespace string) {
	t.Helper()
	h.waitForSecretPolicy(t, namespace)
	for name, attempt := range creations() {
		attempt.secret.Namespace = namespace
		err := h.Create(t.Context(), attempt.secret.DeepCopy(), client.DryRunAll)
		if attempt.may {
			if err != nil {
				t.Errorf("create one %s: it is refused: %v", name, err)
			}
			continue
		}
		if !byPolicy(err) {
			t.Errorf("create one %s: the policy does not refuse it: %v", name, err)
		}
		err = h.Apply(t.Context(), configurationOf(t, attempt.secret), client.FieldOwner("gini-operator"), client.DryRunAll)
		if !refused(err) {
			t.Errorf("apply one %s: it is not refused: %v", name, err)
		}
	}
	for name, attempt := range updates() {
		h.tryUpdate(t, namespace, name, attempt)
	}
	for name, attempt := range removals() {
		h.tryDelete(t, namespace, name, attempt)
	}
}

// waitForSecretPolicy returns once the API server knows the policy for Secrets, and the roles.
func (h thief) waitForSecretPolicy(t *testing.T, namespace string) {
	t.Helper()
	token := aSecret(corev1.SecretTypeServiceAccountToken, ours(), texts{ofAccount: "default"})
	token.Namespace = namespace
	eventually(t, "the policy for Secrets", func(ctx context.Context) bool {
		return byPolicy(h.Create(ctx, token.DeepCopy(), client.DryRunAll))
	})
}

func (h thief) tryUpdate(t *testing.T, namespace, name string, attempt update) {
	t.Helper()
	before := attempt.before
	before.Namespace, before.Name = namespace, "victim"
	if err := h.server.admin.Create(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	before.StringData = nil // it stands in the data now
	after := before.DeepCopy()
	attempt.change(after)
	err := h.Update(t.Context(), after.DeepCopy(), client.DryRunAll)
	switch {
	case attempt.may && err != nil:
		t.Errorf("update %s: it is refused: %v", name, err)
	case !attempt.may && !byPolicy(err):
		t.Errorf("update %s: the policy does not refuse it: %v", name, err)
	case !attempt.may:
		if err = h.Patch(t.Context(), after.DeepCopy(), client.MergeFrom(before), client.DryRunAll); !refused(err) {
			t.Errorf("patch %s: it is not refused: %v", name, err)
		}
	}
	if err := h.server.admin.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
}

func (h thief) tryDelete(t *testing.T, namespace, name string, attempt removal) {
	t.Helper()
	victim := attempt.secret
	victim.Namespace, victim.Name = namespace, "victim"
	if err := h.server.admin.Create(t.Context(), victim); err != nil {
		t.Fatal(err)
	}
	err := h.Delete(t.Context(), victim.DeepCopy(), client.DryRunAll)
	switch {
	case attempt.may && err != nil:
		t.Errorf("delete %s: it is refused: %v", name, err)
	case !attempt.may && !byPolicy(err):
		t.Errorf("delete %s: the policy does not refuse it: %v", name, err)
	case !attempt.may:
		if err = h.DeleteAllOf(t.Context(), &corev1.Secret{}, client.InNamespace(namespace), client.DryRunAll); !refused(err) {
			t.Errorf("delete %s with all: it is not refused: %v", name, err)
		}
	}
	if err := h.server.admin.Delete(t.Context(), victim); err != nil {
		t.Fatal(err)
	}
}

// configurationOf is a Secret as one applies it.
func configurationOf(t *testing.T, secret *corev1.Secret) runtime.ApplyConfiguration {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(secret)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	unstructured.RemoveNestedField(object.Object, "metadata", "creationTimestamp")
	return client.ApplyConfigurationFromUnstructured(object)
}

// othersMayWriteSecrets: the policy is about the operator alone, and what it refuses is nothing that the API server refuses anyway.
func (h thief) othersMayWriteSecrets(t *testing.T, namespace string) {
	t.Helper()
	for name, attempt := range creations() {
		attempt.secret.Namespace = namespace
		if err := h.server.admin.Create(t.Context(), attempt.secret, client.DryRunAll); err != nil {
			t.Errorf("the administrator may not create one %s: %v", name, err)
		}
	}
}

// TestPoliciesAreBound: every policy is bound, and is about the operator, also where kustomizations on top of config/default, or a change of it,
// give the operator another name and namespace: a policy that misses it would refuse nothing, and nobody would be told.
func TestPoliciesAreBound(t *testing.T) {
	edited := filepath.Join(t.TempDir(), "config")
	if err := os.CopyFS(edited, os.DirFS(filepath.Join(root, "config"))); err != nil {
		t.Fatal(err)
	}
	kustomization := filepath.Join(edited, "default", "kustomization.yaml")
	write(t, kustomization, strings.NewReplacer("namePrefix: gini-operator-", "namePrefix: acme-", "namespace: gini-operator-system", "namespace: acme").
		Replace(read(t, kustomization)))
	elsewhere := "namespace: elsewhere\nnamePrefix: acme-\nnameSuffix: -two\nresources: [config/default]\n"
	for name, found := range map[string][]*unstructured.Unstructured{
		"config/default":  built(t, filepath.Join(root, "config", "default")),
		"edited":          built(t, filepath.Join(edited, "default")),
		"elsewhere":       built(t, overlay(t, elsewhere)),
		"with components": built(t, overlay(t, elsewhere, strings.Replace(withComponents, "config/default", "../0", 1))),
		"chart":           rendered(t, "--set", everything),
		"long names":      rendered(t, "--set", everything, "--set", "fullnameOverride="+strings.Repeat("o", 60)),
		"given account":   rendered(t, "--set", everything, "--set", "serviceAccount.name=gini"),
	} {
		t.Run(name, func(t *testing.T) {
			account := one(t, found, "ServiceAccount")
			bound := map[string]bool{}
			for _, binding := range ofKind(found, "ValidatingAdmissionPolicyBinding") {
				policy, _, _ := unstructured.NestedString(binding.Object, "spec", "policyName")
				bound[policy] = true
			}
			policies := ofKind(found, "ValidatingAdmissionPolicy")
			if len(policies) == 0 || len(policies) != len(bound) {
				t.Errorf("there are %d policies, of which %v are bound", len(policies), bound)
			}
			for _, policy := range policies {
				if !bound[policy.GetName()] {
					t.Errorf("%s is not bound: %v are", policy.GetName(), bound)
				}
				about := subjectOf(t, policy)
				if user := "system:serviceaccount:" + account.GetNamespace() + ":" + account.GetName(); !about.MatchString(user) {
					t.Errorf("%s is about %s, and not about %s", policy.GetName(), about, user)
				}
				for _, other := range []string{
					"system:serviceaccount:kube-system:controller-manager", "system:serviceaccount:" + account.GetNamespace() + ":default",
					"system:admin", "system:node:gini-operator-controller-manager", "gini-operator-controller-manager",
				} {
					if about.MatchString(other) {
						t.Errorf("%s is about %s as well", policy.GetName(), other)
					}
				}
			}
		})
	}
}

// subjectOf is a pattern of the users whom a policy is about.
func subjectOf(t *testing.T, policy *unstructured.Unstructured) *regexp.Regexp {
	t.Helper()
	conditions, _, _ := unstructured.NestedSlice(policy.Object, "spec", "matchConditions")
	if len(conditions) != 1 {
		t.Fatalf("%s has %d conditions", policy.GetName(), len(conditions))
	}
	condition, _ := conditions[0].(map[string]any)
	expression := strings.ReplaceAll(condition["expression"].(string), "' + '", "")
	if pattern, found := strings.CutPrefix(expression, "request.userInfo.username.matches('"); found {
		return regexp.MustCompile(strings.TrimSuffix(pattern, "')"))
	}
	name, found := strings.CutPrefix(expression, "request.userInfo.username == '")
	if !found {
		t.Fatalf("%s is about nobody: %s", policy.GetName(), expression)
	}
	return regexp.MustCompile("^" + regexp.QuoteMeta(strings.TrimSuffix(name, "'")) + "$")
}

// TestSecretTypes: the policy lets the operator write Secrets of each type that a GiniUser may ask for, and of no other.
func TestSecretTypes(t *testing.T) {
	crd := parsed(t, read(t, filepath.Join(root, "config", "crd", "bases", "credentials.gini.net_giniusers.yaml")))
	policy := parsed(t, read(t, filepath.Join(root, "config", "secret-writes", "admission_policy.yaml")))
	validations, _, _ := unstructured.NestedSlice(policy, "spec", "validations")
	validation, _ := validations[0].(map[string]any)
	allowed, _ := validation["expression"].(string)
	versions, _, _ := unstructured.NestedSlice(crd, "spec", "versions")
	for _, version := range versions {
		for _, device := range []string{"untrusted", "trusted"} {
			path := []string{"schema", "openAPIV3Schema"}
			for _, field := range []string{"spec", "devices", device, "secret", "type"} {
				path = append(path, "properties", field)
			}
			rules, _, err := unstructured.NestedSlice(version.(map[string]any), append(path, "x-kubernetes-validations")...)
			if err != nil || len(rules) != 1 {
				t.Fatalf("the type of a Secret has the rules %v: %v", rules, err)
			}
			rule, _ := rules[0].(map[string]any)
			if want := strings.ReplaceAll(rule["rule"].(string), "self", "variables.type"); !strings.Contains(allowed, " || "+want+" || (variables.labelledBefore && ") {
				t.Errorf("a GiniUser may ask for a type where\n%s\nand the policy allows it where\n%s", want, allowed)
			}
		}
	}
}
