package v1alpha1_test

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// refusal is one mutation of a valid object that is refused, and what people are told: the field, and what is wrong with it.
type refusal struct {
	base    string
	edits   []edit // at once: what is created, or, where there are updates, what is valid before them
	updates []edit // afterwards
	field   string
	message string
}

func set(path, value string) []edit { return []edit{{path, value}} }

// acceptance is one mutation of a valid object that is valid too.
type acceptance struct {
	base    string
	edits   []edit // at once
	updates []edit // afterwards
}

// each is one mutation of a base for each value of each path.
func each(base string, values map[string][]string) []acceptance {
	var all []acceptance
	for path, values := range values {
		for _, value := range values {
			all = append(all, acceptance{base: base, edits: set(path, value)})
		}
	}
	return all
}

// caption tells one case of a table from another.
func caption(base string, edits ...edit) string {
	for _, edit := range edits {
		base += fmt.Sprintf(" %s=%.60q", strings.TrimPrefix(edit.path, "spec."), edit.value)
	}
	return base
}

const (
	nameMessage      = "name must be the name of a Kubernetes object: lower case letters, digits, '-' and '.'"
	keyMessage       = "key must be a key of a Secret: letters, digits, '-', '_' and '.'"
	urlMessage       = "url must be an absolute URL that begins with https://"
	urlExtrasMessage = "url must not hold user info, a query or a fragment: leave out everything from @, ? or # on"
	urlDotsMessage   = "url must not hold .. in its path"
)

// refusals are checked for completeness: every rule of both definitions is broken by at least one.
func refusals() []refusal {
	var all []refusal
	for field, base := range map[string]string{
		"spec.clientRef.name": "derived", "spec.derived.identifierSecretRef.name": "by Secret", "spec.anonymous.accountSecret.name": "anonymous",
		"spec.devices.untrusted.secret.name": "derived", "spec.devices.trusted.secret.name": "trusted", "spec.credentialsSecretRef.name": "client",
		"spec.tls.caBundleRef.name": "full client", "spec.identityProvider.signer.key.managed.secretName": "signer",
		"spec.identityProvider.signer.key.secretRef.name": "signer by Secret", "spec.identityProvider.oauth2.clientCredentialsSecretRef.name": "oauth2",
	} {
		for _, bad := range []string{"Alice", "a_b", "-a", "a/b", `"a\n"`} {
			all = append(all, refusal{base: base, edits: set(field, bad), field: field, message: nameMessage})
		}
		all = append(all,
			refusal{base: base, edits: set(field, ""), field: field, message: "Required value"},
			refusal{base: base, edits: set(field, `""`), field: field, message: "should be at least 1 chars long"},
			refusal{base: base, edits: set(field, strings.Repeat("a", 254)), field: field, message: "may not be more than 253"})
	}
	for field, base := range map[string]string{
		"spec.derived.identifierSecretRef.key": "by Secret", "spec.credentialsSecretRef.clientIDKey": "client",
		"spec.credentialsSecretRef.clientSecretKey": "client", "spec.tls.caBundleRef.key": "full client",
		"spec.identityProvider.signer.key.secretRef.key": "signer by Secret", "spec.identityProvider.signer.key.secretRef.nextKey": "signer by Secret",
		"spec.identityProvider.oauth2.clientCredentialsSecretRef.clientIDKey":     "oauth2",
		"spec.identityProvider.oauth2.clientCredentialsSecretRef.clientSecretKey": "oauth2",
	} {
		for _, bad := range []string{"a b", "a/b", "schlüssel", `"a\n"`} {
			all = append(all, refusal{base: base, edits: set(field, bad), field: field, message: keyMessage})
		}
		all = append(all,
			refusal{base: base, edits: set(field, `""`), field: field, message: "should be at least 1 chars long"},
			refusal{base: base, edits: set(field, strings.Repeat("k", 254)), field: field, message: "may not be more than 253"})
	}
	return slices.Concat(all, userRefusals(), secretRefusals(), clientRefusals(), identityProviderRefusals())
}

// causes are what the API server found wrong with an object.
func causes(t *testing.T, err error) []metav1.StatusCause {
	t.Helper()
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) || status.Status().Details == nil || !apierrors.IsInvalid(err) {
		t.Fatalf("not refused as invalid: %v", err)
	}
	return status.Status().Details.Causes
}

func TestRefusals(t *testing.T) {
	k8s := cluster(t)
	for _, c := range refusals() {
		t.Run(caption(c.base, slices.Concat(c.edits, c.updates)...), func(t *testing.T) {
			object := edited(t, base(t, c.base), c.edits...)
			var err error
			if c.updates == nil {
				err = k8s.Create(t.Context(), object, client.DryRunAll)
			} else {
				err = k8s.Update(t.Context(), edited(t, created(t, k8s, object), c.updates...), client.DryRunAll)
			}
			if err == nil {
				t.Fatal("accepted")
			}
			found := causes(t, err)
			if !slices.ContainsFunc(found, func(cause metav1.StatusCause) bool {
				return cause.Field == c.field && strings.Contains(cause.Message, c.message)
			}) {
				t.Errorf("want %s: %s\ngot %+v", c.field, c.message, found)
			}
			// One mutation, one fault: what else is told is only that the rules could not be looked at.
			for _, cause := range found {
				if cause.Field != c.field && !strings.Contains(cause.Message, "some validation rules were not checked") {
					t.Errorf("told of %s too: %s", cause.Field, cause.Message)
				}
			}
		})
	}
}

// rules are the rules of a schema by field and message.
func rules(schema map[string]any, field string, found map[string]bool) {
	validations, _, _ := unstructured.NestedSlice(schema, "x-kubernetes-validations")
	for _, validation := range validations {
		rule, _ := validation.(map[string]any)
		at, _ := rule["fieldPath"].(string) // where it tells people of a field below this one
		found[fmt.Sprintf("%s%s: %s", field, at, rule["message"])] = true
	}
	if properties, ok := schema["properties"].(map[string]any); ok {
		for name, property := range properties {
			under, _ := property.(map[string]any)
			rules(under, strings.TrimPrefix(field+"."+name, "<nil>."), found)
		}
	}
	if items, ok := schema["items"].(map[string]any); ok {
		rules(items, field+"[]", found)
	}
	if values, ok := schema["additionalProperties"].(map[string]any); ok {
		rules(values, field+".*", found)
	}
}

var index = regexp.MustCompile(`\[\d+\]`)

// TestRefusalsAreComplete fails where a rule of either definition is broken by no case of the table, or has no message of its own.
func TestRefusalsAreComplete(t *testing.T) {
	want := map[string]bool{}
	for _, crd := range crds(t) {
		schema, _, err := unstructured.NestedMap(version(t, crd), "schema", "openAPIV3Schema")
		if err != nil {
			t.Fatal(err)
		}
		rules(schema, "<nil>", want)
	}
	if len(want) < 50 {
		t.Fatalf("only %d rules found", len(want))
	}
	for _, c := range refusals() {
		maps.DeleteFunc(want, func(rule string, _ bool) bool {
			field, message, _ := strings.Cut(rule, ": ")
			return message != "<nil>" && field == index.ReplaceAllString(c.field, "[]") && strings.Contains(message, c.message)
		})
	}
	for rule := range want {
		t.Errorf("no case for %s", rule)
	}
}

// TestAccepted: what is at the edge of what is allowed.
func TestAccepted(t *testing.T) {
	k8s := cluster(t)
	all := slices.Concat(userAcceptances(), secretAcceptances(), clientAcceptances(), identityProviderAcceptances())
	for name := range bases {
		all = append(all, acceptance{base: name})
	}
	for _, c := range all {
		t.Run(caption(c.base, slices.Concat(c.edits, c.updates)...), func(t *testing.T) {
			object := edited(t, base(t, c.base), c.edits...)
			var err error
			if c.updates == nil {
				err = k8s.Create(t.Context(), object, client.DryRunAll)
			} else {
				err = k8s.Update(t.Context(), edited(t, created(t, k8s, object), c.updates...), client.DryRunAll)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
