package v1alpha1_test

import "strings"

const (
	identifierMessage   = "identifier must be printable ASCII without spaces or newlines at its ends (made with echo? use echo -n)"
	namespaceMessage    = "namespace must be the name of a namespace"
	beforeMessage       = "before must be between 1s and 87600h"
	verifyMessage       = "verifyInterval must be between 1m and 87600h"
	clientRefImmutable  = "clientRef is immutable: create another GiniUser"
	identifierImmutable = "derived.identifier is immutable: create another GiniUser"
	referenceImmutable  = "derived.identifierSecretRef is immutable: create another GiniUser"
	accountImmutable    = "anonymous.accountSecret is immutable: create another GiniUser"
	kindImmutable       = "a derived user cannot become anonymous, nor the other way round: create another GiniUser"
	referenceClash      = "derived.identifierSecretRef and the devices' Secrets must have different names"
)

// userRefusals are those of GiniUsers, but for what their Secrets hold.
func userRefusals() []refusal {
	return []refusal{
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
		{base: "derived", edits: set("spec.derived.auth", "jwt"), field: "spec.derived.auth", message: `supported values: "Basic", "JWT"`},
		{base: "JWT", edits: set("spec.derived.auth", `""`), field: "spec.derived.auth", message: `supported values: "Basic", "JWT"`},
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
		{
			base: "derived", updates: []edit{{"spec.derived.auth", "JWT"}, {"spec.derived.identifier", "team-a-8f1d"}}, field: "spec",
			message: identifierImmutable,
		},
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
		{
			base: "derived", edits: set("spec.devices.untrusted.rolloutRestart", "[{kind: Deployment, name: Web}]"),
			field: "spec.devices.untrusted.rolloutRestart[0].name", message: nameMessage,
		},
		{
			base: "derived", edits: set("spec.devices.trusted", "{secret: {name: alice-backend}, rolloutRestart: [{kind: DaemonSet, name: a_b}]}"),
			field: "spec.devices.trusted.rolloutRestart[0].name", message: nameMessage,
		},
		{
			base: "derived", edits: set("spec.devices.untrusted.rolloutRestart", "[{kind: Job, name: web}]"),
			field: "spec.devices.untrusted.rolloutRestart[0].kind", message: "Unsupported value",
		},
		{base: "by Secret", edits: set("spec.devices.trusted", "{secret: {name: alice-identifier}}"), field: "spec", message: referenceClash},
		{
			base: "derived", edits: set("spec.devices.untrusted.secret.deletionPolicy", "Keep"), field: "spec.devices.untrusted.secret.deletionPolicy",
			message: `supported values: "Delete", "Retain"`,
		},

		// Renewal.
		{
			base: "trusted", edits: set("spec.renewal", "{verifyInterval: 1h}"), field: "spec.renewal.verifyInterval",
			message: "renewal.verifyInterval verifies the token of an untrusted device, which this user does not have: leave it out, or add devices.untrusted",
		},
		{
			base: "trusted", edits: set("spec.renewal", "{before: 1h}"), field: "spec.renewal.before",
			message: "renewal.before is for what expires, and a trusted device with auth Basic has nothing that does: leave it out, or add devices.untrusted",
		},
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
	}
}

// userAcceptances are what is at the edge of what a GiniUser may be, and what of it may change.
func userAcceptances() []acceptance {
	all := each("derived", map[string][]string{
		"spec.derived.identifier":     {"x", `"with space"`, strings.Repeat("i", 256), `"~!@#$%^&*()_+"`},
		"spec.clientRef.namespace":    {"a", strings.Repeat("n", 63)},
		"spec.clientRef.name":         {"a.b-c", strings.Repeat("a", 253)},
		"spec.renewal.before":         {"1s", "87600h", "1m30s"},
		"spec.renewal.verifyInterval": {"1m", "87600h"},
		"metadata.name":               {strings.Repeat("n", 63)},
	})
	for _, change := range []edit{
		{"spec.suspend", "true"},
		{"spec.renewal", "{before: 10m}"},
		{"spec.derived.auth", "JWT"},
		{"spec.devices.trusted", "{secret: {name: alice-backend}}"},
		{"spec.devices.untrusted.secret.name", "another"},
		{"spec.devices.untrusted.secret.type", "credentials.gini.net/token"},
		{"spec.devices", "{trusted: {secret: {name: alice-backend}}}"},
		{"spec.renewal", "{}"},
	} {
		all = append(all, acceptance{base: "derived", updates: []edit{change}})
	}
	return append(all,
		acceptance{base: "JWT", updates: set("spec.derived.auth", "Basic")},
		acceptance{base: "by Secret", updates: set("spec.derived.auth", "JWT")},
		acceptance{base: "trusted", updates: set("spec.derived.auth", "JWT")},
	)
}
