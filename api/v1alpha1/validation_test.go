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

const (
	nameMessage       = "name must be the name of a Kubernetes object: lower case letters, digits, '-' and '.'"
	keyMessage        = "key must be a key of a Secret: letters, digits, '-', '_' and '.'"
	urlMessage        = "url must be an absolute URL that begins with https://"
	urlExtrasMessage  = "url must not hold user info, a query or a fragment: leave out everything from @, ? or # on"
	urlDotsMessage    = "url must not hold .. in its path"
	typeMessage       = "type must be Opaque, or credentials.gini.net/<name> with a name of lower case letters and '-'"
	dataKeysMessage   = "data must have keys of letters, digits, '-', '_' and '.', other than . and those that begin with .."
	untrustedDefaults = "data adds to the keys access_token, token_type, expires_at and authorization: choose other keys"
	trustedDefaults   = "data adds to the keys client_id, client_secret, user_identifier and authorization_basic: choose other keys"
	untrustedTemplate = "data of an untrusted device may use $(access_token), $(token_type), $(expires_at) and $(authorization); write $$( for a literal $("
	trustedTemplate   = "data of a trusted device may use $(client_id), $(client_secret), $(user_identifier) and $(authorization_basic);" +
		" write $$( for a literal $("
	identifierMessage     = "identifier must be printable ASCII without spaces or newlines at its ends (made with echo? use echo -n)"
	domainMessage         = "emailDomain must be a domain name in lower case, such as users.acme.example"
	namespaceMessage      = "namespace must be the name of a namespace"
	prefixMessage         = "identifierPrefix must be printable ASCII and must not begin with a space"
	mediaTypeMessage      = "mediaType must be a media type such as application/vnd.gini.v1+json"
	labelNameMessage      = "labels must have valid names"
	labelValueMessage     = "labels must have valid values: letters, digits, '-', '_' and '.'"
	labelOursMessage      = "labels credentials.gini.net/… and app.kubernetes.io/managed-by are set by the operator: leave them out"
	labelGitOps           = "labels by which Argo CD, Flux or Helm track what they own would make them delete the Secret: leave them out"
	annotationNameMessage = "annotations must have valid names"
	annotationOurs        = "annotations credentials.gini.net/… are set by the operator: leave them out"
	annotationKubernetes  = "annotations of kubernetes.io and k8s.io have effects in the cluster: leave them out"
	annotationGitOps      = "annotations by which Argo CD, Flux or Helm track what they own would make them delete the Secret: leave them out"
	beforeMessage         = "before must be between 1s and 87600h"
	verifyMessage         = "verifyInterval must be between 1m and 87600h"
	clientRefImmutable    = "clientRef is immutable: create another GiniUser"
	identifierImmutable   = "derived.identifier is immutable: create another GiniUser"
	referenceImmutable    = "derived.identifierSecretRef is immutable: create another GiniUser"
	accountImmutable      = "anonymous.accountSecret is immutable: create another GiniUser"
	kindImmutable         = "a derived user cannot become anonymous, nor the other way round: create another GiniUser"
	referenceClash        = "derived.identifierSecretRef and the devices' Secrets must have different names"
)

// refusals are checked for completeness: every rule of both definitions is broken by at least one.
func refusals() []refusal {
	all := []refusal{
		// Who the user is.
		{base: "derived", edits: set("spec.derived", ""), field: "spec", message: "set exactly one of derived and anonymous"},
		{base: "derived", edits: set("spec.anonymous", "{accountSecret: {name: x}}"), field: "spec", message: "set exactly one of derived and anonymous"},
		{base: "derived", edits: set("spec.derived.identifier", ""), field: "spec.derived", message: "set exactly one of identifier and identifierSecretRef"},
		{
			base: "derived", edits: set("spec.derived.identifierSecretRef", "{name: x, key: k}"), field: "spec.derived",
			message: "set exactly one of identifier and identifierSecretRef",
		},
		{base: "derived", edits: set("spec.derived.identifier", `"team-a\n"`), field: "spec.derived.identifier", message: identifierMessage},
		{base: "derived", edits: set("spec.derived.identifier", `"team\ta"`), field: "spec.derived.identifier", message: identifierMessage},
		{base: "derived", edits: set("spec.derived.identifier", `" team-a"`), field: "spec.derived.identifier", message: identifierMessage},
		{base: "derived", edits: set("spec.derived.identifier", `"team-a "`), field: "spec.derived.identifier", message: identifierMessage},
		{base: "derived", edits: set("spec.derived.identifier", `"téam-a"`), field: "spec.derived.identifier", message: identifierMessage},
		{base: "derived", edits: set("spec.derived.identifier", `"a\nb"`), field: "spec.derived.identifier", message: identifierMessage},
		{base: "derived", edits: set("spec.derived.identifier", `""`), field: "spec.derived.identifier", message: "should be at least 1 chars long"},
		{
			base: "derived", edits: set("spec.derived.identifier", strings.Repeat("i", 257)), field: "spec.derived.identifier",
			message: "may not be more than 256",
		},
		{base: "derived", edits: set("spec.derived.auth", ""), field: "spec.derived.auth", message: "Required value"},
		{base: "derived", edits: set("spec.derived.auth", "JWT"), field: "spec.derived.auth", message: `supported values: "Basic"`},
		{base: "derived", edits: set("spec.clientRef.namespace", "Team_A"), field: "spec.clientRef.namespace", message: namespaceMessage},
		{base: "derived", edits: set("spec.clientRef.namespace", "a.b"), field: "spec.clientRef.namespace", message: namespaceMessage},
		{base: "derived", edits: set("spec.clientRef.namespace", strings.Repeat("n", 64)), field: "spec.clientRef.namespace", message: "may not be more than 63"},
		{base: "derived", edits: set("spec.clientRef", ""), field: "spec.clientRef", message: "Required value"},
		{base: "derived", edits: set("metadata.name", strings.Repeat("n", 64)), field: "<nil>", message: "the name of a GiniUser must have at most 63 characters"},
		{
			base: "anonymous", edits: set("spec.anonymous.accountSecret.mode", "Borrowed"), field: "spec.anonymous.accountSecret.mode",
			message: `supported values: "Managed", "Existing"`,
		},

		// What does not change.
		{base: "derived", updates: set("spec.clientRef.name", "beta"), field: "spec", message: clientRefImmutable},
		{base: "derived", updates: set("spec.clientRef.namespace", "elsewhere"), field: "spec", message: clientRefImmutable},
		{base: "by Secret", updates: set("spec.clientRef.namespace", ""), field: "spec", message: clientRefImmutable},
		{
			base: "derived", updates: []edit{{"spec.derived", ""}, {"spec.anonymous", "{accountSecret: {name: alice-account}}"}}, field: "spec",
			message: kindImmutable,
		},
		{
			base: "anonymous", updates: []edit{{"spec.anonymous", ""}, {"spec.derived", "{identifier: team-a-8f1c, auth: Basic}"}}, field: "spec",
			message: kindImmutable,
		},
		{base: "derived", updates: set("spec.derived.identifier", "team-a-8f1d"), field: "spec", message: identifierImmutable},
		{
			base: "derived", updates: []edit{{"spec.derived.identifier", ""}, {"spec.derived.identifierSecretRef", "{name: x, key: k}"}}, field: "spec",
			message: identifierImmutable,
		},
		{
			base: "by Secret", updates: []edit{{"spec.derived.identifier", "team-a"}, {"spec.derived.identifierSecretRef", ""}}, field: "spec",
			message: referenceImmutable,
		},
		{base: "by Secret", updates: set("spec.derived.identifierSecretRef.name", "another"), field: "spec", message: referenceImmutable},
		{base: "by Secret", updates: set("spec.derived.identifierSecretRef.key", "another"), field: "spec", message: referenceImmutable},
		{base: "anonymous", updates: set("spec.anonymous.accountSecret.name", "another"), field: "spec", message: accountImmutable},
		{base: "anonymous", updates: set("spec.anonymous.accountSecret.mode", "Existing"), field: "spec", message: accountImmutable},

		// Devices.
		{base: "derived", edits: set("spec.devices.untrusted", ""), field: "spec.devices", message: "set at least one of devices.untrusted and devices.trusted"},
		{base: "derived", edits: set("spec.devices", ""), field: "spec.devices", message: "Required value"},
		{base: "derived", updates: set("spec.devices.untrusted", ""), field: "spec.devices", message: "set at least one of devices.untrusted and devices.trusted"},
		{
			base: "anonymous", edits: set("spec.devices.trusted", "{secret: {name: alice-backend}}"), field: "spec",
			message: "an anonymous user has no trusted device: remove devices.trusted, or use derived",
		},
		{
			base: "anonymous", updates: set("spec.devices.trusted", "{secret: {name: alice-backend}}"), field: "spec",
			message: "an anonymous user has no trusted device: remove devices.trusted, or use derived",
		},
		{
			base: "derived", edits: set("spec.devices.trusted", "{secret: {name: alice-token}}"), field: "spec",
			message: "devices.untrusted.secret and devices.trusted.secret must have different names, so that an untrusted device never sees what a trusted one may",
		},
		{
			base: "anonymous", edits: set("spec.devices.untrusted.secret.name", "alice-account"), field: "spec",
			message: "anonymous.accountSecret and devices.untrusted.secret must have different names: the account's password is not for devices",
		},
		{
			base: "anonymous", updates: set("spec.devices.untrusted.secret.name", "alice-account"), field: "spec",
			message: "anonymous.accountSecret and devices.untrusted.secret must have different names: the account's password is not for devices",
		},
		{base: "by Secret", edits: set("spec.devices.untrusted.secret.name", "alice-identifier"), field: "spec", message: referenceClash},
		{base: "by Secret", edits: set("spec.devices.trusted", "{secret: {name: alice-identifier}}"), field: "spec", message: referenceClash},
		{
			base: "derived", edits: set("spec.devices.untrusted.secret.deletionPolicy", "Keep"), field: "spec.devices.untrusted.secret.deletionPolicy",
			message: `supported values: "Delete", "Retain"`,
		},
		{
			base: "derived", edits: set("spec.devices.untrusted.secret.data", `{a: "$(client_secret)"}`), field: "spec.devices.untrusted.secret.data",
			message: untrustedTemplate,
		},
		{
			base: "trusted", edits: set("spec.devices.trusted.secret.data", `{a: "$(access_token)"}`), field: "spec.devices.trusted.secret.data",
			message: trustedTemplate,
		},

		// Renewal.
		{base: "derived", edits: set("spec.renewal.before", "0s"), field: "spec.renewal.before", message: beforeMessage},
		{base: "derived", edits: set("spec.renewal.before", "999ms"), field: "spec.renewal.before", message: beforeMessage},
		{base: "derived", edits: set("spec.renewal.before", "-5m"), field: "spec.renewal.before", message: beforeMessage},
		{base: "derived", edits: set("spec.renewal.before", "87600h1s"), field: "spec.renewal.before", message: beforeMessage},
		{base: "derived", edits: set("spec.renewal.before", "soon"), field: "spec.renewal.before", message: beforeMessage},
		{base: "derived", edits: set("spec.renewal.before", "1d"), field: "spec.renewal.before", message: beforeMessage},
		{base: "derived", edits: set("spec.renewal.before", `""`), field: "spec.renewal.before", message: beforeMessage},
		{base: "derived", edits: set("spec.renewal.before", "30"), field: "spec.renewal.before", message: "must be of type string"},
		{base: "derived", edits: set("spec.renewal.verifyInterval", "59s"), field: "spec.renewal.verifyInterval", message: verifyMessage},
		{base: "derived", edits: set("spec.renewal.verifyInterval", "87601h"), field: "spec.renewal.verifyInterval", message: verifyMessage},
		{base: "derived", edits: set("spec.suspend", `"yes"`), field: "spec.suspend", message: `must be of type boolean`},

		// The client.
		{base: "client", edits: set("spec.credentialsSecretRef", ""), field: "spec.credentialsSecretRef", message: "Required value"},
		{base: "client", edits: set("spec.anonymousUsers", "{emailDomain: Users.acme.example}"), field: "spec.anonymousUsers.emailDomain", message: domainMessage},
		{base: "client", edits: set("spec.anonymousUsers", "{emailDomain: acme}"), field: "spec.anonymousUsers.emailDomain", message: domainMessage},
		{base: "client", edits: set("spec.anonymousUsers", "{emailDomain: a@b.example}"), field: "spec.anonymousUsers.emailDomain", message: domainMessage},
		{base: "client", edits: set("spec.anonymousUsers", `{emailDomain: "acme.example\n"}`), field: "spec.anonymousUsers.emailDomain", message: domainMessage},
		{base: "client", edits: set("spec.anonymousUsers", "{emailDomain: acme.-x}"), field: "spec.anonymousUsers.emailDomain", message: domainMessage},
		{base: "client", edits: set("spec.anonymousUsers", "{}"), field: "spec.anonymousUsers.emailDomain", message: "Required value"},
		{
			base: "full client", edits: set("spec.anonymousUsers.onAccountLost", "Panic"), field: "spec.anonymousUsers.onAccountLost",
			message: `supported values: "Recreate", "Stall"`,
		},
		{base: "full client", edits: set("spec.endpoints.payAPI.mediaType", "text/html"), field: "spec.endpoints.payAPI.mediaType", message: mediaTypeMessage},
		{base: "full client", edits: set("spec.endpoints.payAPI.mediaType", `"application/json\r\nX: y"`), field: "spec.endpoints.payAPI.mediaType", message: mediaTypeMessage},
		{base: "full client", edits: set("spec.grants.0.identifierPrefix", `" a"`), field: "spec.grants[0].identifierPrefix", message: prefixMessage},
		{base: "full client", edits: set("spec.grants.0.identifierPrefix", `"a\n"`), field: "spec.grants[0].identifierPrefix", message: prefixMessage},
		{base: "full client", edits: set("spec.grants.0.identifierPrefix", ""), field: "spec.grants[0].identifierPrefix", message: "Required value"},
		{base: "full client", edits: set("spec.grants.0.identifierPrefix", `""`), field: "spec.grants[0].identifierPrefix", message: "should be at least 1 chars long"},
		{base: "full client", edits: set("spec.grants.0.devices", "[Untrusted, Untrusted]"), field: "spec.grants[0].devices[1]", message: "Duplicate value"},
		{base: "full client", edits: set("spec.grants.0.devices", "[]"), field: "spec.grants[0].devices", message: "should have at least 1 items"},
		{base: "full client", edits: set("spec.grants.0.devices", "[Any]"), field: "spec.grants[0].devices[0]", message: `supported values: "Untrusted", "Trusted"`},
		{base: "full client", edits: set("spec.grants.0.namespaceSelector", ""), field: "spec.grants[0].namespaceSelector", message: "Required value"},
		{base: "full client", edits: set("spec.grants", "[]"), field: "spec.grants", message: "should have at least 1 items"},
		{base: "full client", edits: set("spec.tls.caBundleRef.kind", "Pod"), field: "spec.tls.caBundleRef.kind", message: `supported values: "ConfigMap", "Secret"`},
		{base: "full client", edits: set("spec.tls.caBundleRef.kind", ""), field: "spec.tls.caBundleRef.kind", message: "Required value"},
		{base: "full client", edits: set("spec.requests.ratePerSecond", "0"), field: "spec.requests.ratePerSecond", message: "greater than or equal to 1"},
		{base: "full client", edits: set("spec.requests.ratePerSecond", "1001"), field: "spec.requests.ratePerSecond", message: "less than or equal to 1000"},
		{base: "full client", edits: set("spec.requests.maxInFlight", "0"), field: "spec.requests.maxInFlight", message: "greater than or equal to 1"},
		{base: "full client", edits: set("spec.requests.maxInFlight", "65"), field: "spec.requests.maxInFlight", message: "less than or equal to 64"},
	}

	for field, base := range map[string]string{
		"spec.clientRef.name": "derived", "spec.derived.identifierSecretRef.name": "by Secret", "spec.anonymous.accountSecret.name": "anonymous",
		"spec.devices.untrusted.secret.name": "derived", "spec.devices.trusted.secret.name": "trusted", "spec.credentialsSecretRef.name": "client",
		"spec.tls.caBundleRef.name": "full client",
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
	} {
		for _, bad := range []string{"a b", "a/b", "schlüssel", `"a\n"`} {
			all = append(all, refusal{base: base, edits: set(field, bad), field: field, message: keyMessage})
		}
		all = append(all, refusal{base: base, edits: set(field, `""`), field: field, message: "should be at least 1 chars long"})
	}
	for _, field := range []string{"spec.endpoints.payAPI.url", "spec.endpoints.userCenter.url"} {
		for _, bad := range []string{"pay-api.gini.net", "//pay-api.gini.net", "ftp://pay-api.gini.net", "https:///login", "https://:8443"} {
			all = append(all, refusal{base: "full client", edits: set(field, bad), field: field, message: urlMessage})
		}
		for _, bad := range []string{"https://user@gini.net", "https://user:pw@gini.net", "https://gini.net?a=b", "https://gini.net/#x", `"https://gini.net/x@y"`} {
			all = append(all, refusal{base: "full client", edits: set(field, fmt.Sprintf("%q", strings.Trim(bad, `"`))), field: field, message: urlExtrasMessage})
		}
		all = append(all,
			refusal{base: "full client", edits: set(field, ""), field: field, message: "Required value"},
			refusal{base: "full client", edits: set(field, `"https://gini.net/../x"`), field: field, message: urlDotsMessage},
			refusal{base: "full client", edits: set(field, "https://a.example/"+strings.Repeat("p", 490)), field: field, message: "may not be more than 500"})
	}
	return append(all, secretRefusals()...)
}

// secretRefusals are those of both kinds of devices' Secrets.
func secretRefusals() []refusal {
	var all []refusal
	for device, own := range map[string]struct{ base, defaults, template, name string }{
		"untrusted": {"derived", untrustedDefaults, untrustedTemplate, "access_token"},
		"trusted":   {"trusted", trustedDefaults, trustedTemplate, "client_secret"},
	} {
		at := "spec.devices." + device + ".secret"
		refuse := func(field, message string, values ...string) {
			for _, value := range values {
				all = append(all, refusal{base: own.base, edits: set(at+"."+field, value), field: at + "." + field, message: message})
			}
		}
		refuse("type", typeMessage, "kubernetes.io/tls", "opaque", "credentials.gini.net/", "credentials.gini.net/Token", "credentials.gini.net/a-",
			"credentials-gini.net/a", "x.credentials.gini.net/a", `"Opaque\n"`, "credentials.gini.net/"+strings.Repeat("a", 41))
		refuse("type", "may not be more than 80", strings.Repeat("a", 81))
		refuse("labels", labelNameMessage, `{"": x}`, `{"-a": x}`, `{"a b": x}`, `{"Acme.example/a": x}`, `{a/b/c: x}`, `{"a/": x}`,
			"{"+strings.Repeat("a", 64)+": x}")
		refuse("labels", labelValueMessage, `{a: "x y"}`, `{a: "-x"}`, `{a: "x/y"}`, `{a: "x\n"}`)
		refuse("labels", labelOursMessage, "{credentials.gini.net/gini-user: bob}", "{credentials.gini.net/adopt-by: bob}", "{app.kubernetes.io/managed-by: Helm}")
		refuse("labels", labelGitOps, "{app.kubernetes.io/instance: acme}", "{argocd.argoproj.io/instance: acme}", "{kustomize.toolkit.fluxcd.io/name: acme}",
			"{helm.toolkit.fluxcd.io/name: acme}", "{helm.sh/chart: acme}")
		refuse("labels", "should have at least 1 properties", "{}")
		refuse("annotations", annotationNameMessage, `{"": x}`, `{"-a": x}`, `{"a b": x}`, `{"Acme.example/a": x}`, `{a/b/c: x}`)
		refuse("annotations", annotationOurs, "{credentials.gini.net/expires-at: never}", "{credentials.gini.net/x: z}")
		refuse("annotations", annotationKubernetes, "{kubernetes.io/x: z}", "{kubectl.kubernetes.io/last-applied-configuration: z}", "{k8s.io/x: z}",
			"{storage.k8s.io/x: z}", "{a.b.kubernetes.io/x: z}")
		refuse("annotations", annotationGitOps, "{argocd.argoproj.io/tracking-id: x}", "{kustomize.toolkit.fluxcd.io/prune: x}", "{meta.helm.sh/release-name: x}",
			"{helm.sh/hook: x}")
		refuse("data", dataKeysMessage, `{"a b": x}`, `{a/b: x}`, `{"": x}`, "{"+strings.Repeat("a", 254)+": x}")
		refuse("data", own.defaults, "{"+own.name+": x}", "{b: z, "+own.name+": x}")
		refuse("data", own.template, `{a: "$(unknown)"}`, `{a: "$("}`, `{a: "$()"}`, `{a: "$(`+own.name+`"}`, `{a: "$$$(unknown)"}`, `{a: "x $( `+own.name+`)"}`,
			`{a: "$(`+own.name+`) $(nope)"}`, `{a: ok, b: "$(nope)"}`, `{a: "$(`+strings.ToUpper(own.name)+`)"}`, `{a: "line\n$(nope)\n"}`)
		refuse("data", "should have at least 1 properties", "{}")
		crowd := make([]string, 33)
		for i := range crowd {
			crowd[i] = fmt.Sprintf("k%d: x", i)
		}
		for _, field := range []string{"labels", "annotations", "data"} {
			refuse(field, "must have at most 32 items", "{"+strings.Join(crowd, ", ")+"}")
		}
		for field, most := range map[string]int{"labels.a": 63, "annotations.a": 1024, "data.a": 2048} {
			refuse(field, fmt.Sprintf("may not be more than %d", most), strings.Repeat("x", most+1))
		}
	}
	return all
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
		name := c.base
		for _, edit := range append(slices.Clone(c.edits), c.updates...) {
			name += fmt.Sprintf(" %s=%.60q", strings.TrimPrefix(edit.path, "spec."), edit.value)
		}
		t.Run(name, func(t *testing.T) {
			object := edited(t, base(t, c.base), c.edits...)
			if object.GetName() != "" {
				object.SetGenerateName("")
			}
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
		found[fmt.Sprintf("%s: %s", field, rule["message"])] = true
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
	accept := func(name string, updates bool, edits ...edit) {
		t.Helper()
		t.Run(fmt.Sprintf("%s %.80q", name, edits), func(t *testing.T) {
			object := base(t, name)
			var err error
			if updates {
				err = k8s.Update(t.Context(), edited(t, created(t, k8s, object), edits...), client.DryRunAll)
			} else {
				err = k8s.Create(t.Context(), edited(t, object, edits...), client.DryRunAll)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	for name := range bases {
		accept(name, false)
	}
	for path, values := range map[string][]string{
		"spec.derived.identifier":                       {"x", `"with space"`, strings.Repeat("i", 256), `"~!@#$%^&*()_+"`},
		"spec.clientRef.namespace":                      {"a", strings.Repeat("n", 63)},
		"spec.clientRef.name":                           {"a.b-c", strings.Repeat("a", 253)},
		"spec.renewal.before":                           {"1s", "87600h", "1m30s"},
		"spec.renewal.verifyInterval":                   {"1m", "87600h"},
		"spec.devices.untrusted.secret.type":            {"Opaque", "credentials.gini.net/a", "credentials.gini.net/gini-token"},
		"spec.devices.untrusted.secret.labels":          {`{a: ""}`, "{a.example/b: c}", "{app.kubernetes.io/name: x}", "{helm: sh}"},
		"spec.devices.untrusted.secret.annotations":     {`{a: ""}`, "{a.example/b: '€ and $(no) template'}", "{notk8s.io/a: x}", "{reloader.stakater.com/match: 'true'}"},
		"spec.devices.untrusted.secret.deletionPolicy":  {"Delete", "Retain"},
		"spec.devices.untrusted.secret.data.GINI_TOKEN": {`"$(access_token)"`, `"$$(whatever)"`, `"$$$(access_token)"`, `"a $ b"`, `"$"`, `"$$"`, `""`, `"100$"`, `"\n$(authorization)\n"`},
	} {
		for _, value := range values {
			accept("derived", false, edit{path, value})
		}
	}
	for _, value := range []string{"https://gini.net", "https://gini.net/", "https://gini.net:443/a/b", "http://gini-emulator.test:8080", "https://[::1]:8443"} {
		accept("full client", false, edit{"spec.endpoints.payAPI.url", fmt.Sprintf("%q", value)})
	}
	accept("client", false, edit{"spec.anonymousUsers", "{emailDomain: a.b}"})
	accept("full client", false, edit{"spec.grants.0.namespaceSelector", "{}"})
	accept("derived", false, edit{"metadata.name", strings.Repeat("n", 63)})
	// What may change.
	for _, change := range []edit{
		{"spec.suspend", "true"},
		{"spec.renewal", "{before: 10m}"},
		{"spec.devices.trusted", "{secret: {name: alice-backend}}"},
		{"spec.devices.untrusted.secret.name", "another"},
		{"spec.devices.untrusted.secret.type", "credentials.gini.net/token"},
		{"spec.devices", "{trusted: {secret: {name: alice-backend}}}"},
	} {
		accept("derived", true, change)
	}
	accept("full client", true, edit{"spec.endpoints", ""}, edit{"spec.grants", ""}, edit{"spec.credentialsSecretRef.name", "another"})
}
