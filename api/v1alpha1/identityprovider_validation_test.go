package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
)

const (
	issuerMessage         = "issuer must be printable ASCII without spaces, such as https://id.acme.example"
	oneProviderMessage    = "set exactly one of signer and oauth2"
	claimNameMessage      = "a claim's name must be of letters, digits, '_', '-', '.', ':' and '/', and none of iss, exp, nbf, iat, jti and aud, which have a meaning of their own"
	claimNamesMessage     = "claimNames must differ from each other, and from the defaults x-user-identifier and x-client-id of those that are absent"
	signerOnlyMessage     = "claimNames.clientSecret is for signer only, as your provider decides what its JWTs hold: leave it out"
	tokenURLMessage       = "tokenURL must be an absolute URL that begins with https://"
	tokenURLExtrasMessage = "tokenURL must not hold user info or a fragment: leave out everything from @ or # on"
	tokenURLDotsMessage   = "tokenURL must not hold .. in its path"
	parameterMessage      = "userIdentifierParameter must be of letters, digits, '_', '-', '.', ':' and '/', and none of grant_type, scope, client_id, client_secret, client_assertion and client_assertion_type, which OAuth uses"
	tokenURLQueryMessage  = "tokenURL must have a query of printable ASCII without spaces: escape other characters by %"
	tokenURLOursMessage   = "tokenURL must not set scope, client_id, client_secret, client_assertion or client_assertion_type in its query: use scopes, clientCredentialsSecretRef and clientAuthentication"
	tokenURLUserMessage   = "tokenURL must not set the parameter of userIdentifierParameter (sub by default) in its query, which the operator sets for each user: leave it out"
	parameterQueryMessage = "parameters must not set what tokenURL sets in its query: name it in one of the two"
	parameterNamesMessage = "parameters must have names of up to 128 letters, digits, '_', '-', '.', ':' and '/'"
	parameterOursMessage  = "parameters must not set grant_type, scope, client_id, client_secret, client_assertion or client_assertion_type: use scopes, clientCredentialsSecretRef and clientAuthentication"
	parameterTwiceMessage = "parameters must not set the parameter of userIdentifierParameter (sub by default), which the operator sets for each user: leave it out"
	parameterValueMessage = "parameters must not have values with control characters, such as a newline at the end"
	scopeMessage          = "a scope must be printable ASCII without spaces, quotes and backslashes"
	required              = "Required value"
	atSigner              = "spec.identityProvider.signer"
	atOAuth2              = "spec.identityProvider.oauth2"
	aSigner               = "{issuer: a, key: {managed: {secretName: acme-signing-key}}}"
	anOAuth2              = "{tokenURL: https://id.acme.example/token, clientCredentialsSecretRef: {name: acme-id}, issuer: https://id.acme.example}"
)

// identityProviderRefusals are those of both kinds of identity provider.
func identityProviderRefusals() []refusal {
	all := []refusal{
		{base: "client", edits: set("spec.identityProvider", "{}"), field: "spec.identityProvider", message: oneProviderMessage},
		{base: "signer", edits: set(atOAuth2, anOAuth2), field: "spec.identityProvider", message: oneProviderMessage},
		{base: "signer", updates: set(atOAuth2, anOAuth2), field: "spec.identityProvider", message: oneProviderMessage},
		{base: "oauth2", updates: set(atSigner, aSigner), field: "spec.identityProvider", message: oneProviderMessage},
		{base: "oauth2", updates: set(atOAuth2, ""), field: "spec.identityProvider", message: oneProviderMessage},
	}
	for base, at := range map[string]string{"signer": atSigner, "oauth2": atOAuth2} {
		refuse := refuser(&all, base, at)
		refuse("issuer", required, "")
		refuse("issuer", "should be at least 1 chars long", `""`)
		refuse("issuer", "may not be more than 500", strings.Repeat("i", 501))
		refuse("issuer", issuerMessage, `" "`, `"https://id.acme.example\n"`, `"\nacme"`, "https://id.acme.example/a b", "https://id.äcme.example", `"a\tb"`, `"a\x7f"`)
		for _, name := range []string{"userIdentifier", "clientID"} {
			name = "claimNames." + name
			refuse(name, claimNameMessage, "iss", "exp", "nbf", "iat", "jti", "aud", "a b", `"a\n"`, `'a"'`, "ä", "a$", "a,b")
			refuse(name, "should be at least 1 chars long", `""`)
			refuse(name, "may not be more than 128", strings.Repeat("c", 129))
		}
		refuse("claimNames", claimNamesMessage, "{userIdentifier: who, clientID: who}", "{userIdentifier: x-client-id}", "{clientID: x-user-identifier}")
	}
	return slices.Concat(all, signerRefusals(), signingKeyRefusals(), oauth2Refusals())
}

// refuser adds refusals of fields below a path.
func refuser(all *[]refusal, base, at string) func(field, message string, values ...string) {
	return func(field, message string, values ...string) {
		field = at + "." + field
		for _, value := range values {
			*all = append(*all, refusal{base: base, edits: set(field, value), field: field, message: message})
		}
	}
}

// oauth2Refusals are those of an identity provider that people bring along.
func oauth2Refusals() []refusal {
	var all []refusal
	refuse := refuser(&all, "full oauth2", atOAuth2)
	refuse("tokenURL", required, "")
	refuse("tokenURL", tokenURLMessage, "id.acme.example/token", "//id.acme.example/token", "/oauth2/token", "ftp://id.acme.example", "https:///token", "https://:8443/token",
		"https:id.acme.example", `"https://id.acme.example\n"`, `" https://id.acme.example"`, "https://id acme.example", "https://id.acme.example:port/token")
	refuse("tokenURL", tokenURLExtrasMessage, "https://user@id.acme.example/token", "https://user:pw@id.acme.example", `"https://id.acme.example/token#a"`, `"https://id.acme.example/#"`, "https://id.acme.example/a@b", `"https://id.acme.example/?a#b"`,
		"https://user@id.acme.example/?a=b")
	refuse("tokenURL", tokenURLQueryMessage, "https://id.acme.example/token?a b", "https://id.acme.example/token?realm=ä")
	refuse("tokenURL", tokenURLOursMessage, "https://id.acme.example/?scope=a", "https://id.acme.example/?a=b&client_id=c", "https://id.acme.example/?client_secret=a",
		"https://id.acme.example/?client_assertion=a", "https://id.acme.example/?a&client_assertion_type=a")
	refuse("tokenURL", tokenURLUserMessage, "https://id.acme.example/?username=a", "https://id.acme.example/?a=b&username=")
	refuse("tokenURL", tokenURLDotsMessage, "https://id.acme.example/../token", "https://id.acme.example/a/..", "https://id..example/token")
	refuse("tokenURL", "should be at least 8 chars long", `""`, "http://")
	refuse("tokenURL", "may not be more than 500", "https://a.example/"+strings.Repeat("p", 483))

	refuse("clientCredentialsSecretRef", required, "")
	refuse("userIdentifierParameter", parameterMessage, "grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type", "a b", "a=b", "a&b", "a$", "a[]", `"sub\n"`, "ä")
	refuse("userIdentifierParameter", "should be at least 1 chars long", `""`)
	refuse("userIdentifierParameter", "may not be more than 128", strings.Repeat("p", 129))

	refuse("clientAuthentication", `supported values: "Basic", "RawBasic", "Post"`, "basic", "None", `""`)

	for _, name := range []string{"grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type"} {
		refuse("parameters", parameterOursMessage, "{"+name+": x}", "{audience: x, "+name+": x}")
	}
	refuse("parameters", parameterNamesMessage, `{"": x}`, "{a b: x}", `{"a\n": x}`, "{ä: x}", "{a=b: x}", "{audience: x, "+strings.Repeat("p", 129)+": x}")
	refuse("parameters", parameterTwiceMessage, "{username: x}", "{audience: x, username: x}")
	refuse("parameters", parameterQueryMessage, "{policy: x}", "{audience: x, policy: x}")
	refuse("parameters", "must have at most 16 items", "{"+strings.Trim(namesOf(17, "p%d: x"), "[]")+"}")
	refuse("parameters", parameterValueMessage, `{audience: "a\n"}`, `{audience: "\0"}`, `{audience: "a\x7f"}`, `{a: b, audience: "\u0085"}`)
	refuse("parameters.audience", "should be at least 1 chars long", `""`)
	refuse("parameters.audience", "may not be more than 1024", strings.Repeat("v", 1025))
	refuse("parameters.audience", "must be of type string", "7", "[a]", "{a: b}")
	all = append(all,
		refusal{base: "oauth2", edits: set(atOAuth2+".parameters", "{sub: x}"), field: atOAuth2 + ".parameters", message: parameterTwiceMessage},
		refusal{base: "full oauth2", updates: set(atOAuth2+".userIdentifierParameter", "audience"), field: atOAuth2 + ".parameters", message: parameterTwiceMessage},
		refusal{base: "full oauth2", updates: set(atOAuth2+".userIdentifierParameter", "policy"), field: atOAuth2 + ".tokenURL", message: tokenURLUserMessage},
		refusal{base: "full oauth2", updates: set(atOAuth2+".tokenURL", "https://id.acme.example/?a=b&resource=c"), field: atOAuth2 + ".parameters", message: parameterQueryMessage},
		refusal{base: "oauth2", edits: set(atOAuth2+".tokenURL", "https://id.acme.example/?sub=a"), field: atOAuth2 + ".tokenURL", message: tokenURLUserMessage},
	)

	refuse("scopes", "must have at most 32 items", scopesOf(33))
	for _, scope := range []string{"a b", " ", "a\n", "a\tb", `a"b`, `"`, `a\b`, `\`, "ä", "\x7f"} {
		edits := set(atOAuth2+".scopes", fmt.Sprintf("[gini, %q]", scope))
		all = append(all, refusal{base: "oauth2", edits: edits, field: atOAuth2 + ".scopes[1]", message: scopeMessage})
	}
	for message, scopes := range map[string]string{
		"Duplicate value": "[gini, gini]", "should be at least 1 chars long": `[gini, ""]`, "may not be more than 256": "[gini, " + strings.Repeat("s", 257) + "]",
	} {
		all = append(all, refusal{base: "oauth2", edits: set(atOAuth2+".scopes", scopes), field: atOAuth2 + ".scopes[1]", message: message})
	}

	refuse("claimNames.clientSecret", signerOnlyMessage, "x-client-secret", "password")
	// No name is asked for here, and this is none.
	refuse("claimNames.clientSecret", claimNameMessage, "aud", "a b")
	return all
}

// scopesOf are so many scopes.
func scopesOf(count int) string {
	scopes := make([]string, count)
	for i := range scopes {
		scopes[i] = fmt.Sprintf("s%d", i)
	}
	return "[" + strings.Join(scopes, ", ") + "]"
}

// What the names of claims and issuers may be, and those of Secrets and their keys.
var (
	goodClaimNames = []string{"c", "sub", "azp", "ISS", "Aud", "https://acme.example/claims/id", "urn:acme:id", "a.b_c-d", strings.Repeat("c", 128)}
	goodIssuers    = []string{"i", "acme", "https://id.acme.example/", "urn:acme:id", `"~!#$%&'()*+,;=?@[]"`, strings.Repeat("i", 500)}
	goodNames      = []string{"a", "a.b-c", strings.Repeat("a", 253)}
	goodKeys       = []string{"k", "A_b-c.pem", strings.Repeat("k", 253)}
)

// identityProviderAcceptances are what is at the edge of what an identity provider may be, and what of it may change.
func identityProviderAcceptances() []acceptance {
	return slices.Concat(signerAcceptances(), each("oauth2", map[string][]string{
		atOAuth2 + ".tokenURL": {
			"https://id.acme.example", "https://id.acme.example/", "https://id.acme.example:443/a/b", "http://id.test:8080/token", `"https://[::1]:8443/token"`,
			"HTTPS://id.acme.example", "https://a.example/" + strings.Repeat("p", 482), "https://id.acme.example/token?realm=a", "https://id.acme.example/token?",
			"https://id.acme.example/token?p=B2C_1&x=a@b..c/?d&my_scope=x&subject=y", "https://id.acme.example?grant_type=client_credentials", "https://id.acme.example/o/token/",
		},
		atOAuth2 + ".issuer":                    goodIssuers,
		atOAuth2 + ".claimNames.userIdentifier": goodClaimNames,
		atOAuth2 + ".claimNames.clientID":       goodClaimNames,
		atOAuth2 + ".claimNames":                {"{}", "{userIdentifier: x-client-id, clientID: x-user-identifier}"},
		atOAuth2 + ".userIdentifierParameter":   {"p", "sub", "username", "https://acme.example/user_id", "Scope", strings.Repeat("p", 128)},
		atOAuth2 + ".clientAuthentication":      {"Basic", "RawBasic", "Post"},
		atOAuth2 + ".parameters": {
			"{}", "{audience: https://pay-api.gini.net}", "{username: x}", "{Scope: x, SUB: z}", `{a: "€ ü"}`, "{https://acme.example/a_b-c.d: x}",
			"{" + strings.Repeat("p", 128) + ": " + strings.Repeat("v", 1024) + "}", "{" + strings.Trim(namesOf(16, "p%d: x"), "[]") + "}",
		},
		atOAuth2 + ".scopes": {
			"[]", "[s]", `["!", "#", "[", "]", "~"]`, "[https://acme.example/.default, 'gini:read', Gini, gini]", "[" + strings.Repeat("s", 256) + "]",
			scopesOf(32),
		},
		atOAuth2 + ".clientCredentialsSecretRef.name":            goodNames,
		atOAuth2 + ".clientCredentialsSecretRef.clientIDKey":     goodKeys,
		atOAuth2 + ".clientCredentialsSecretRef.clientSecretKey": goodKeys,
		// The provider's credentials may stand beside Gini's, under other keys.
		atOAuth2 + ".clientCredentialsSecretRef": {"{name: acme-gini, clientIDKey: provider-id, clientSecretKey: provider-secret}"},
		"metadata.name":                          {strings.Repeat("n", 64)},
	}), []acceptance{
		{base: "client", edits: set("metadata.name", strings.Repeat("n", 64))},
		{base: "client", updates: set("spec.identityProvider", "{signer: "+aSigner+"}")},
		{base: "client", updates: set("spec.identityProvider", "{oauth2: "+anOAuth2+"}")},
		{base: "full signer", updates: set("spec.identityProvider", "")},
		{base: "full signer", updates: set("spec.identityProvider", "{oauth2: "+anOAuth2+"}")},
		{base: "full oauth2", updates: set("spec.identityProvider", "{signer: "+aSigner+"}")},
	})
}
