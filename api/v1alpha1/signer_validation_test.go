package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
)

const (
	lifetimeMessage       = "tokenLifetime must be between 1m and 24h, such as 15m"
	rotationMessage       = "rotationInterval must be between 48h and 87600h, such as 2160h: the next key is published for 24 hours before it signs"
	oneKeyMessage         = "set exactly one of managed and secretRef"
	nextKeyMessage        = "nextKey must differ from key: it is the key of the Secret whose value signs later"
	keySecretMessage      = "secretName must be another Secret than those of credentialsSecretRef and tls.caBundleRef: the operator makes it, for the key alone"
	keySecretImmutable    = "key.managed.secretName is immutable, as another Secret would hold another key, which Gini does not know yet: set the former name"
	keyLabelMessage       = "the name of a GiniClient with a managed key must have at most 63 characters: it becomes a label of the key's Secret"
	claimsNameMessage     = "a claim's name must be of letters, digits, '_', '-', '.', ':' and '/'"
	claimsReservedMessage = "claims must not set iss, sub, exp, nbf, iat or jti: leave them out; for sub, set claimNames.userIdentifier to sub"
	claimsTakenMessage    = "claims must not set a claim of claimNames (x-user-identifier and x-client-id by default), which the operator sets for each user: leave it out"
	algorithmsMessage     = `supported values: "RS256", "RS384", "RS512", "ES256", "ES384", "PS256"`
)

// signerRefusals are those of what the operator's own JWTs hold.
func signerRefusals() []refusal {
	var all []refusal
	refuse := refuser(&all, "signer", atSigner)
	refuse("algorithm", algorithmsMessage, "none", "HS256", "EdDSA", "rs256", "ES512", `""`)
	refuse("tokenLifetime", lifetimeMessage, "59s", "59.999999999s", "0s", `"0"`, "-15m", "24h1s", "24h0m0.000000001s", "1441m", "999999999h", "1d", "15 m", "PT15M", "15M", `"15"`,
		`"15m\n"`, `" 15m"`, "soon", `""`)
	refuse("tokenLifetime", "must be of type string", "15", "900.5", "true")

	for name, message := range map[string]string{
		"a b": claimsNameMessage, `a\n`: claimsNameMessage, `a\"`: claimsNameMessage, "ä": claimsNameMessage, "a$": claimsNameMessage,
		"": "should be at least 1 chars long", strings.Repeat("c", 129): "may not be more than 128",
		"iss": claimsReservedMessage, "sub": claimsReservedMessage, "exp": claimsReservedMessage, "nbf": claimsReservedMessage, "iat": claimsReservedMessage,
		"jti": claimsReservedMessage,
	} {
		claims := `[{name: aud, value: x}, {name: "` + name + `", value: x}]`
		all = append(all, refusal{base: "signer", edits: set(atSigner+".claims", claims), field: atSigner + ".claims[1].name", message: message})
	}
	for claims, told := range map[string]struct{ field, message string }{
		"[{name: aud, value: a}, {name: aud, value: b}]": {"[1]", "Duplicate value"},
		"[{name: aud, value: null}]":                     {"[0].value", required},
		"[{name: aud}]":                                  {"[0].value", required},
		"[{value: x}]":                                   {"[0].name", required},
		"{aud: x}":                                       {"", "must be of type array"},
		"[{name: [aud], value: x}]":                      {"[0].name", "must be of type string"},
		namesOf(33, "{name: c%d, value: x}"):             {"", "must have at most 32 items"},
	} {
		all = append(all, refusal{base: "signer", edits: set(atSigner+".claims", claims), field: atSigner + ".claims" + told.field, message: told.message})
	}

	refuse("claimNames.clientSecret", claimNameMessage, "iss", "exp", "nbf", "iat", "jti", "aud", "a b", `"a\n"`, "ä", "a$", "a,b")
	refuse("claimNames.clientSecret", "should be at least 1 chars long", `""`)
	refuse("claimNames.clientSecret", "may not be more than 128", strings.Repeat("c", 129))
	refuse("claimNames", claimNamesMessage, "{clientSecret: x-user-identifier}", "{clientSecret: x-client-id}", "{userIdentifier: who, clientSecret: who}",
		"{clientID: which, clientSecret: which}", "{userIdentifier: sub, clientID: x-client-id, clientSecret: sub}")

	for _, taken := range []struct{ names, claims string }{
		{"", "[{name: x-user-identifier, value: x}]"},
		{"", "[{name: aud, value: x}, {name: x-client-id, value: x}]"},
		{"{}", "[{name: x-user-identifier, value: x}]"},
		{"{}", "[{name: x-client-id, value: x}]"},
		{"{clientID: which}", "[{name: x-user-identifier, value: x}]"},
		{"{userIdentifier: who}", "[{name: x-client-id, value: x}]"},
		{"{clientSecret: password}", "[{name: x-user-identifier, value: x}]"},
		{"{clientSecret: password}", "[{name: x-client-id, value: x}]"},
		{"{userIdentifier: who}", "[{name: who, value: x}]"},
		{"{clientID: which}", "[{name: which, value: x}]"},
		{"{clientSecret: password}", "[{name: password, value: x}]"},
		{"{userIdentifier: who, clientID: which, clientSecret: password}", "[{name: aud, value: x}, {name: password, value: x}]"},
	} {
		edits := []edit{{atSigner + ".claimNames", taken.names}, {atSigner + ".claims", taken.claims}}
		all = append(all, refusal{base: "signer", edits: edits, field: atSigner + ".claims", message: claimsTakenMessage})
	}
	return append(all,
		refusal{base: "full signer", updates: set(atSigner+".claimNames.userIdentifier", ""), field: atSigner + ".claims", message: claimsTakenMessage},
	)
}

// namesOf is a list of so many elements, each with a number.
func namesOf(count int, element string) string {
	elements := make([]string, count)
	for i := range elements {
		elements[i] = fmt.Sprintf(element, i)
	}
	return "[" + strings.Join(elements, ", ") + "]"
}

// signingKeyRefusals are those of where the private key comes from.
func signingKeyRefusals() []refusal {
	var all []refusal
	refuse := refuser(&all, "signer", atSigner)
	refuse("key", required, "")
	refuse("key", oneKeyMessage, "{}", "{managed: {secretName: a}, secretRef: {name: b, key: k}}")
	refuse("key.managed.rotationInterval", rotationMessage, "47h59m59s", "47h59m59.999999999s", "0s", "-2160h", "87600h1s", "87600h0m0.000000001s", "9999999h", "90d", "P90D", `"2160"`,
		`"2160h\n"`, "never", `""`)
	refuse("key.managed.rotationInterval", "must be of type string", "2160")
	refuse("key.managed.secretName", keySecretMessage, "acme-gini")

	refuse = refuser(&all, "full signer by Secret", atSigner)
	refuse("key.secretRef.key", required, "")
	refuse("key.secretRef.nextKey", nextKeyMessage, "tls.key")

	refuse = refuser(&all, "full signer", atSigner)
	refuse("key.managed.secretName", keySecretMessage, "acme-gini", "acme-ca")
	name := atSigner + ".key.managed.secretName"
	long := strings.Repeat("n", 64)
	return append(all,
		refusal{base: "signer", edits: []edit{{atSigner + ".key.managed", ""}}, field: atSigner + ".key", message: oneKeyMessage},
		refusal{base: "signer", updates: set(atSigner+".key.secretRef", "{name: b, key: k}"), field: atSigner + ".key", message: oneKeyMessage},
		refusal{base: "signer", updates: set(name, "another"), field: name, message: keySecretImmutable},
		refusal{base: "signer", updates: set("spec.credentialsSecretRef.name", "acme-signing-key"), field: name, message: keySecretMessage},
		refusal{base: "signer", updates: set("spec.tls", "{caBundleRef: {kind: Secret, name: acme-signing-key}}"), field: name, message: keySecretMessage},
		refusal{base: "full signer by Secret", updates: set(atSigner+".key.secretRef.key", "next.key"), field: atSigner + ".key.secretRef.nextKey", message: nextKeyMessage},
		refusal{base: "signer", edits: set("metadata.name", long), field: "<nil>", message: keyLabelMessage},
		refusal{base: "client", edits: set("metadata.name", long), updates: set(atSigner, aSigner), field: "<nil>", message: keyLabelMessage},
		refusal{
			base: "signer by Secret", edits: set("metadata.name", long), updates: set(atSigner+".key", "{managed: {secretName: a}}"), field: "<nil>",
			message: keyLabelMessage,
		},
	)
}

// signerAcceptances are what is at the edge of what a signer may be, and what of it may change.
func signerAcceptances() []acceptance {
	return slices.Concat(each("signer", map[string][]string{
		atSigner + ".issuer":                    goodIssuers,
		atSigner + ".algorithm":                 {"RS256", "RS384", "RS512", "ES256", "ES384", "PS256"},
		atSigner + ".tokenLifetime":             {"1m", "60s", "24h", "1440m", "86400s", "86400000ms", "+15m", "15m0s", "0.25h", ".5h", "1h15m30.5s", "900000000µs", "900000000us"},
		atSigner + ".claimNames.userIdentifier": goodClaimNames,
		atSigner + ".claimNames.clientID":       goodClaimNames,
		atSigner + ".claimNames.clientSecret":   append([]string{"x-client-secret"}, goodClaimNames...),
		atSigner + ".claimNames": {
			"{}", "{userIdentifier: x-client-id, clientID: x-user-identifier}", "{userIdentifier: who, clientSecret: x-user-identifier}",
			"{clientID: which, clientSecret: x-client-id}", "{userIdentifier: X-Client-ID}", "{userIdentifier: x-user-identifier, clientID: x-client-id}",
		},
		atSigner + ".claims": {
			"[]", "[{name: aud, value: https://pay-api.gini.net}]", "[{name: aud, value: [https://pay-api.gini.net]}]", `[{name: a, value: ""}]`,
			`[{name: a, value: "€ \n\u0000"}]`, "[{name: ISS, value: x}, {name: Sub, value: x}]", "[{name: x-client-secret, value: unused}]",
			`[{name: "a_b.c:d/e-f", value: x}]`, "[{name: https://acme.example/tier, value: gold}]", "[{name: " + strings.Repeat("c", 128) + ", value: x}]",
			"[{name: a, value: " + strings.Repeat("v", 4093) + "}]", namesOf(32, "{name: c%d, value: x}"),
			"[{name: a, value: 3}, {name: b, value: 1.5}, {name: c, value: true}, {name: d, value: {e: {f: [g, 1]}}}]",
			// What CEL cannot see: the operator says ClaimsInvalid.
			"[{name: a, value: " + strings.Repeat("v", 5000) + "}]",
		},
		atSigner + ".key.managed.secretName":       goodNames,
		atSigner + ".key.managed.rotationInterval": {"48h", "2880m", "172800s", "2160h", "87600h", "2159h59m60s", "+48h"},
		"metadata.name": {strings.Repeat("n", 63), "acme.eu"},
		// A ConfigMap may be called as the key's Secret is.
		"spec.tls": {"{caBundleRef: {kind: ConfigMap, name: acme-signing-key}}", "{caBundleRef: {kind: Secret, name: acme-ca}}"},
	}), each("signer by Secret", map[string][]string{
		atSigner + ".key.secretRef.key":     goodKeys,
		atSigner + ".key.secretRef.nextKey": append([]string{"TLS.key", "tls.key.next"}, goodKeys...),
		// The key may stand beside the credentials, as the operator only reads that Secret.
		atSigner + ".key.secretRef.name": append([]string{"acme-gini"}, goodNames...),
		"metadata.name":                  {strings.Repeat("n", 64), strings.Repeat("n", 253)},
	}), []acceptance{
		{base: "signer", edits: []edit{{atSigner + ".claimNames", "{userIdentifier: who}"}, {atSigner + ".claims", "[{name: x-user-identifier, value: x}]"}}},
		{base: "signer", edits: []edit{{atSigner + ".claimNames", "{clientID: which}"}, {atSigner + ".claims", "[{name: x-client-id, value: x}]"}}},
		{base: "signer", updates: set(atSigner+".key", "{secretRef: {name: acme-own-key, key: k}}")},
		{base: "signer by Secret", updates: set(atSigner+".key", "{managed: {secretName: acme-own-key}}")},
		{base: "full signer by Secret", updates: set(atSigner+".key.secretRef", "{name: acme-own-key, key: next.key, nextKey: tls.key}")},
		{base: "signer", updates: []edit{{atSigner + ".issuer", "another"}, {atSigner + ".algorithm", "ES256"}}},
	})
}
