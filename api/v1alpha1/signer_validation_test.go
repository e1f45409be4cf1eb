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
	claimsNameMessage     = "claims must have names of up to 128 letters, digits, '_', '-', '.', ':' and '/'"
	claimsReservedMessage = "claims must not set iss, sub, exp, nbf, iat or jti: leave them out; for sub, set claimNames.userIdentifier to sub"
	claimsSizeMessage     = "claims must have at most 4096 characters in all, names and values together: JWTs travel in a header, and servers refuse long ones"
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

	refuse("claims", "should have at least 1 properties", "{}")
	refuse("claims", claimsNameMessage, `{"": x}`, `{a b: x}`, `{"a\n": x}`, `{"a\"": x}`, `{ä: x}`, `{a$: x}`, "{aud: x, "+strings.Repeat("c", 129)+": x}")
	for _, name := range []string{"iss", "sub", "exp", "nbf", "iat", "jti"} {
		refuse("claims", claimsReservedMessage, "{"+name+": x}", "{aud: x, "+name+": x}")
	}
	crowd := make([]string, 33)
	for i := range crowd {
		crowd[i] = fmt.Sprintf("c%d: x", i)
	}
	refuse("claims", "must have at most 32 items", "{"+strings.Join(crowd, ", ")+"}")
	refuse("claims", claimsSizeMessage, claimsOf(4097, "v"), claimsOf(4097, "€"))
	refuse("claims.tier", "may not be more than 1024", strings.Repeat("v", 1025))
	refuse("claims.tier", "must be of type string", "3", "true", "[a, b]", "{a: b}")

	refuse("claimNames.clientSecret", claimNameMessage, "iss", "exp", "nbf", "iat", "jti", "aud", "a b", `"a\n"`, "ä", "a$", "a,b")
	refuse("claimNames.clientSecret", "should be at least 1 chars long", `""`)
	refuse("claimNames.clientSecret", "may not be more than 128", strings.Repeat("c", 129))
	refuse("claimNames", claimNamesMessage, "{clientSecret: x-user-identifier}", "{clientSecret: x-client-id}", "{userIdentifier: who, clientSecret: who}",
		"{clientID: which, clientSecret: which}", "{userIdentifier: sub, clientID: x-client-id, clientSecret: sub}")

	for _, taken := range []struct{ names, claims string }{
		{"", "{x-user-identifier: x}"},
		{"", "{aud: x, x-client-id: x}"},
		{"{}", "{x-user-identifier: x}"},
		{"{}", "{x-client-id: x}"},
		{"{clientID: which}", "{x-user-identifier: x}"},
		{"{userIdentifier: who}", "{x-client-id: x}"},
		{"{clientSecret: password}", "{x-user-identifier: x}"},
		{"{clientSecret: password}", "{x-client-id: x}"},
		{"{userIdentifier: who}", "{who: x}"},
		{"{clientID: which}", "{which: x}"},
		{"{clientSecret: password}", "{password: x}"},
		{"{userIdentifier: who, clientID: which, clientSecret: password}", "{aud: x, password: x}"},
	} {
		edits := []edit{{atSigner + ".claimNames", taken.names}, {atSigner + ".claims", taken.claims}}
		all = append(all, refusal{base: "signer", edits: edits, field: atSigner + ".claims", message: claimsTakenMessage})
	}
	return append(all,
		refusal{base: "full signer", updates: set(atSigner+".claimNames.userIdentifier", ""), field: atSigner + ".claims", message: claimsTakenMessage},
		refusal{base: "full signer", edits: set(atSigner+".claims", "{sub: x}"), field: atSigner + ".claims", message: claimsReservedMessage},
	)
}

// claimsOf are claims of so many characters in all, each of which is short enough.
func claimsOf(characters int, of string) string {
	claims := "{"
	for i := 0; characters > 0; i++ {
		name := string(rune('a' + i))
		value := min(1024, characters-len(name))
		claims += fmt.Sprintf("%s: %q, ", name, strings.Repeat(of, value))
		characters -= len(name) + value
	}
	return claims + "}"
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
	crowd := make([]string, 32)
	for i := range crowd {
		crowd[i] = fmt.Sprintf("c%d: x", i)
	}
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
			"{aud: https://pay-api.gini.net}", `{a: ""}`, `{a: "€ \n\u0000"}`, "{ISS: x, Sub: x}", "{x-client-secret: unused}", `{"a_b.c:d/e-f": x}`, "{https://acme.example/tier: gold}",
			"{" + strings.Repeat("c", 128) + ": x}", "{a: " + strings.Repeat("v", 1024) + "}", "{" + strings.Join(crowd, ", ") + "}",
			claimsOf(4096, "v"), claimsOf(4096, "€"),
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
		{base: "signer", edits: []edit{{atSigner + ".claimNames", "{userIdentifier: who}"}, {atSigner + ".claims", "{x-user-identifier: x}"}}},
		{base: "signer", edits: []edit{{atSigner + ".claimNames", "{clientID: which}"}, {atSigner + ".claims", "{x-client-id: x}"}}},
		{base: "signer", updates: set(atSigner+".key", "{secretRef: {name: acme-own-key, key: k}}")},
		{base: "signer by Secret", updates: set(atSigner+".key", "{managed: {secretName: acme-own-key}}")},
		{base: "full signer by Secret", updates: set(atSigner+".key.secretRef", "{name: acme-own-key, key: next.key, nextKey: tls.key}")},
		{base: "signer", updates: []edit{{atSigner + ".issuer", "another"}, {atSigner + ".algorithm", "ES256"}}},
	})
}
