package identity_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/gini-operator/gini-operator/internal/identity"
)

func raw(values map[string]string) map[string]json.RawMessage {
	claims := map[string]json.RawMessage{}
	for name, value := range values {
		claims[name] = json.RawMessage(value)
	}
	return claims
}

// TestFurtherClaimsOfAnyJSON: each stands in the JWT as it was written, and big numbers keep their digits.
func TestFurtherClaimsOfAnyJSON(t *testing.T) {
	for value, want := range map[string]string{
		`"https://pay-api.gini.net"`:    `"https://pay-api.gini.net"`,
		`["https://pay-api.gini.net"]`:  `["https://pay-api.gini.net"]`,
		"\t[ \"b\" ,\"a\"]\n":           `["b","a"]`,
		`9007199254740993`:              `9007199254740993`,
		`123456789012345678901234567.0`: `123456789012345678901234567.0`,
		`1e2`:                           `1e2`,
		`true`:                          `true`,
		`false`:                         `false`,
		`0`:                             `0`,
		`""`:                            `""`,
		`[]`:                            `[]`,
		`{}`:                            `{}`,
		`{"b":[1,{"d":null}],"a":{}}`:   `{"a":{},"b":[1,{"d":null}]}`,
		`"\u0041€"`:                     `"A€"`,
	} {
		claims, err := identity.ReadClaims(raw(map[string]string{"aud": value}))
		if err != nil {
			t.Errorf("%s: %v", value, err)
			continue
		}
		signer := identity.Signer{Issuer: issuer, Key: keyFor(identity.ES256), Claims: claims}
		payload := must(base64.RawURLEncoding.DecodeString(strings.Split(must(signer.Sign(alice, noon)).JWT.Reveal(), ".")[1]))
		var members map[string]json.RawMessage
		if err := json.Unmarshal(payload, &members); err != nil || string(members["aud"]) != want {
			t.Errorf("%s becomes %s, want %s (%v)", value, members["aud"], want, err)
		}
	}
}

// TestEqualClaimsAreOneVersion: blanks, escapes and the order of names issue nothing anew, and what differs does.
func TestEqualClaimsAreOneVersion(t *testing.T) {
	version := func(value string) string {
		signer := identity.Signer{Issuer: issuer, Key: keyFor(identity.ES256), Claims: must(identity.ReadClaims(raw(map[string]string{"a": value})))}
		return signer.Version(alice)
	}
	base := version(`{"x":"A<","y":[1,2]}`)
	for _, same := range []string{`{"y":[1,2],"x":"A<"}`, "{ \"x\" : \"A<\",\n\"y\":[1, 2]}", `{"x":"\u0041\u003c","y":[1,2]}`} {
		if version(same) != base {
			t.Errorf("%s is another version", same)
		}
	}
	for _, other := range []string{`{"x":"A<","y":[2,1]}`, `{"x":"A<","y":["1","2"]}`, `{"x":"A<"}`, `"x"`} {
		if version(other) == base {
			t.Errorf("%s is the same version", other)
		}
	}
	if version(`9007199254740993`) == version(`9007199254740992`) {
		t.Error("numbers lose their digits")
	}
	signer := identity.Signer{Issuer: issuer, Key: keyFor(identity.ES256)}
	if none := signer.Version(alice); none == base {
		t.Error("no claims are the same version")
	} else if signer.Claims = must(identity.ReadClaims(nil)); signer.Version(alice) != none {
		t.Error("an empty list is not as good as none")
	}
}

// TestClaimsThatCannotBeUsed names the claim, and holds no value.
func TestClaimsThatCannotBeUsed(t *testing.T) {
	const long = "they have more than 4096 characters in all, names and values in JSON together: servers refuse JWTs that long"
	const null = "claim aud is null: give it a value, or leave it out"
	for _, c := range []struct {
		values map[string]string
		want   string
	}{
		{map[string]string{"aud": `null`}, null},
		{map[string]string{"aud": ` null`}, null},
		{map[string]string{"aud": ``}, null}, // as null arrives here
		{map[string]string{"aud": `null`, "z": `null`, "b": `1`}, null},
		{map[string]string{"a": `"` + strings.Repeat("v", 4094) + `"`}, long},
		{map[string]string{"a": `"` + strings.Repeat("€", 4094) + `"`}, long},
		{map[string]string{"a": `["` + strings.Repeat("v", 2045) + `"]`, "b": `{"c":"` + strings.Repeat("v", 2045) + `"}`}, long},
	} {
		_, err := identity.ReadClaims(raw(c.values))
		if problem, ok := errors.AsType[*identity.ClaimsError](err); !ok || problem.Error() != c.want {
			t.Errorf("%.40v: %v, want %s", c.values, err, c.want)
		}
	}
	for _, fits := range []string{`"` + strings.Repeat("v", 4093) + `"`, `"` + strings.Repeat("€", 4093) + `"`} {
		if _, err := identity.ReadClaims(raw(map[string]string{"a": fits})); err != nil {
			t.Error(err)
		}
	}
}
