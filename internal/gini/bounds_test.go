package gini

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gini-operator/gini-operator/internal/secret"
)

// ends are the first and the last of each range of characters that ids and hosts may hold.
const ends = "azAZ09"

// TestLengthsThatAreJustTaken, and that one byte more is not.
func TestLengthsThatAreJustTaken(t *testing.T) {
	const prefix = "https://user.gini.net/"
	for name, c := range map[string]struct {
		limit int
		taken func(value string) bool
	}{
		"URL": {maxEndpoint - len(prefix), func(value string) bool {
			_, err := ParseEndpoint(prefix+value, false)
			return err == nil
		}},
		"input":      {maxInput, func(value string) bool { return InputProblem(value, maxInput) == "" }},
		"identifier": {maxInput, func(value string) bool { return identifierProblem(value) == "" }},
		"user id":    {256, plainID},
		"token":      {maxToken, isToken},
		"request id": {128, func(value string) bool { return requestID(http.Header{"X-Request-Id": {value}}) == value }},
	} {
		if !c.taken(strings.Repeat("a", c.limit)) {
			t.Errorf("%s: %d bytes are refused", name, c.limit)
		}
		if c.taken(strings.Repeat("a", c.limit+1)) {
			t.Errorf("%s: %d bytes are taken", name, c.limit+1)
		}
	}
}

// TestCharactersThatAreTaken: of each range its first and last, and not what stands next to it in ASCII.
func TestCharactersThatAreTaken(t *testing.T) {
	const next = "`{@[/:" // before a, after z, before A, after Z, before 0, after 9
	for name, c := range map[string]struct {
		taken   func(value string) bool
		good    string
		refused string
	}{
		"user id":    {plainID, ends + "x-._~", next + " %?#"},
		"request id": {func(value string) bool { return requestID(http.Header{"X-Request-Id": {value}}) == value }, ends + "._:-", "`{@[/" + " <"},
		"token":      {isToken, ends + "!~+/=", " \x7f\x1f\u0080"},
		"host": {func(value string) bool {
			host, err := ParseEndpoint("https://"+value+".gini.net", false)
			return err == nil && host.Host == strings.ToLower(value)+".gini.net"
		}, ends + "-._", "`{@[/" + " %"},
	} {
		if !c.taken("a" + c.good) {
			t.Errorf("%s: a%s is refused", name, c.good)
		}
		for _, r := range c.refused {
			if c.taken("a" + string(r) + "a") {
				t.Errorf("%s: %q is taken", name, r)
			}
		}
	}
}

// TestEndsOfStatusRanges: what the first and the last status of a range mean.
func TestEndsOfStatusRanges(t *testing.T) {
	for status, want := range map[int]string{
		200: "", 299: "",
		300: "gini: get user: unexpected answer: a redirect (status 300)",
		399: "gini: get user: unexpected answer: a redirect (status 399)",
		402: "gini: get user: unexpected answer (status 402)",
		499: "gini: get user: unexpected answer (status 499)",
		500: "gini: get user: the server is not available (status 500)",
		599: "gini: get user: the server is not available (status 599)",
	} {
		server := serve(t, script{askClient: says(200, goodClient), askUser: says(status, `{}`)})
		_, err := clientOf(t, server.URL).User(bounded(t), testUserID)
		if got := textOf(err); got != want {
			t.Errorf("status %d: %q, want %q", status, got, want)
		}
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestChangeOfOneThing sends both values of what changes, also where one of them is empty, which is refused.
func TestChangeOfOneThing(t *testing.T) {
	client := clientOf(t, "http://127.0.0.1:1")
	for name, change := range map[string]UserChange{
		"no old password": {Password: secret.New("new-one")},
		"no new password": {OldPassword: secret.New("old-one")},
		"no old e-mail":   {Email: "a@b"},
		"no new e-mail":   {OldEmail: "a@b"},
	} {
		err := client.ChangeUser(bounded(t), testUserID, change)
		if got := KindOf(err); got != Invalid {
			t.Errorf("%s: %q, want it not to be sent", name, got)
		}
	}
}
