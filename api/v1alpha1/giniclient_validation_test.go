package v1alpha1_test

import (
	"fmt"
	"strings"
)

const (
	domainMessage      = "emailDomain must be a domain name in lower case, such as users.acme.example"
	prefixMessage      = "identifierPrefix must be printable ASCII and must not begin with a space"
	labelNamesMessage  = "matchLabels must have the names of labels, such as kubernetes.io/metadata.name"
	labelValuesMessage = "matchLabels must have the values of labels: letters, digits, '-', '_' and '.', with a letter or digit at both ends"
	labelKeyMessage    = "key must be the name of a label, such as kubernetes.io/metadata.name"
	selectedMessage    = "values must have the values of labels: letters, digits, '-', '_' and '.', with a letter or digit at both ends"
	operatorMessage    = `supported values: "In", "NotIn", "Exists", "DoesNotExist"`
	withValuesMessage  = "values must be set where operator is In or NotIn, and left out where it is Exists or DoesNotExist"
	mediaTypeMessage   = "mediaType must be a media type such as application/vnd.gini.v1+json"
)

// clientRefusals are those of GiniClients, but for their identity providers.
func clientRefusals() []refusal {
	all := []refusal{
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
		{base: "full client", edits: set("spec.tls.caBundleRef.kind", "Pod"), field: "spec.tls.caBundleRef.kind", message: `supported values: "ConfigMap", "Secret"`},
		{base: "full client", edits: set("spec.tls.caBundleRef.kind", ""), field: "spec.tls.caBundleRef.kind", message: "Required value"},
		{base: "full client", edits: set("spec.requests.ratePerSecond", "0"), field: "spec.requests.ratePerSecond", message: "greater than or equal to 1"},
		{base: "full client", edits: set("spec.requests.ratePerSecond", "1001"), field: "spec.requests.ratePerSecond", message: "less than or equal to 1000"},
		{base: "full client", edits: set("spec.requests.maxInFlight", "0"), field: "spec.requests.maxInFlight", message: "greater than or equal to 1"},
		{base: "full client", edits: set("spec.requests.maxInFlight", "65"), field: "spec.requests.maxInFlight", message: "less than or equal to 64"},
	}
	all = append(all, selectorRefusals()...)
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
	return all
}

// selectorRefusals are those of a grant's selector: what it is to select must be possible.
func selectorRefusals() []refusal {
	const selector, of = "spec.grants.0.namespaceSelector", "spec.grants[0].namespaceSelector"
	var all []refusal
	for _, bad := range []string{"{a b: c}", "{-a: c}", "{a/b/c: d}", "{Example.com/a: b}", `{"": c}`, "{" + strings.Repeat("a", 64) + ": b}"} {
		all = append(all, refusal{base: "full client", edits: set(selector, "{matchLabels: "+bad+"}"), field: of + ".matchLabels", message: labelNamesMessage})
	}
	for _, bad := range []string{"{a: -b}", "{a: b c}", "{a: ü}", "{a: b/c}"} {
		all = append(all, refusal{base: "full client", edits: set(selector, "{matchLabels: "+bad+"}"), field: of + ".matchLabels", message: labelValuesMessage})
	}
	for expression, want := range map[string]struct{ field, message string }{
		"{key: a, operator: in, values: [b]}":           {".operator", operatorMessage},
		"{key: a, operator: Equals, values: [b]}":       {".operator", operatorMessage},
		"{key: a, values: [b]}":                         {".operator", "Required value"},
		"{operator: Exists}":                            {".key", "Required value"},
		"{key: a b, operator: Exists}":                  {".key", labelKeyMessage},
		`{key: "", operator: Exists}`:                   {".key", labelKeyMessage},
		"{key: a, operator: Exists, values: [b]}":       {".values", withValuesMessage},
		"{key: a, operator: DoesNotExist, values: [b]}": {".values", withValuesMessage},
		"{key: a, operator: In}":                        {".values", withValuesMessage},
		"{key: a, operator: In, values: []}":            {".values", withValuesMessage},
		"{key: a, operator: NotIn}":                     {".values", withValuesMessage},
		"{key: a, operator: In, values: [b, c d]}":      {".values[1]", selectedMessage},
	} {
		all = append(all, refusal{
			base: "full client", edits: set(selector, "{matchExpressions: ["+expression+"]}"), field: of + ".matchExpressions[0]" + want.field, message: want.message,
		})
	}
	return all
}

// clientAcceptances are what is at the edge of what a GiniClient may be, and what of it may change.
func clientAcceptances() []acceptance {
	return append(each("full client", map[string][]string{
		"spec.endpoints.payAPI.url": {
			"https://gini.net", "https://gini.net/", "https://gini.net:443/a/b", "http://gini-emulator.test:8080", `"https://[::1]:8443"`,
		},
		"spec.grants.0.namespaceSelector": {
			"{}", "{matchLabels: {}}", "{matchExpressions: []}", `{matchLabels: {a: ""}}`, "{matchLabels: {example.com/a: b.c-d_e}}",
			`{matchExpressions: [{key: a, operator: In, values: ["", b]}, {key: a/b, operator: NotIn, values: [c]}]}`,
			"{matchExpressions: [{key: a, operator: Exists, values: []}, {key: kubernetes.io/metadata.name, operator: DoesNotExist}]}",
		},
		"spec.grants": {"[]"},
	}),
		acceptance{base: "client", edits: set("spec.anonymousUsers", "{emailDomain: a.b}")},
		acceptance{base: "full client", updates: []edit{{"spec.endpoints", ""}, {"spec.grants", ""}, {"spec.credentialsSecretRef.name", "another"}}},
	)
}
