package emulator_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

func TestAdmin(t *testing.T) {
	g := started(t)
	admin := httptest.NewServer(g.AdminHandler())
	defer admin.Close()
	g.http.CheckRedirect = nil
	post := func(status int, path, body string) reply {
		t.Helper()
		a := &gini{T: t, url: admin.URL, http: g.http}
		return a.expect(status, a.do("POST", "/admin/"+path, body))
	}
	post(200, "script", `{"match":{"operations":["Login"],"count":1},"effect":{"status":429,"header":{"Retry-After":"7"}}}`)
	post(200, "script", ` [{"match":{"user":"bob"},"effect":{"kind":"empty_body","latency":"1ms"}},
		{"name":"x","match":{"until":"2030-01-01T00:00:00Z"},"effect":{"status":503,"body":"no"}}]`)
	g.equal("Retry-After", g.expect(429, g.login("alice")).header.Get("Retry-After"), "7")
	g.equal("body", g.expect(200, g.login("bob")).body, "")
	g.expect(503, g.login("alice"))
	g.equal("taken away", post(200, "remove-faults", `{"fault":"x"}`).fields()["done"], 1)
	g.expect(200, g.login("alice"))
	g.equal("the others stay", g.expect(200, g.login("bob")).body, "")
	post(200, "reset", "")
	g.expect(200, g.login("alice"))

	for _, bad := range []string{``, `{"match":{"operations":["login"]},"effect":{}}`, `{"effect":{"kind":"x"}}`, `{"effect":{"latency":5}}`, `{"efect":{}}`,
		`[{"effect":{"status":20}}]`, `{"match":{"nht":1}}`, `{"effect":{"kind":"status"}}`} {
		if r := post(400, "script", bad); !strings.HasPrefix(r.text("error"), "script: ") {
			t.Errorf("%s: %s", bad, r.body)
		}
	}
	r := post(200, "settings", `{"lifetime":"1m"}`)
	g.equal("lifetime", r.text("lifetime"), "1m0s")
	g.equal("settings", g.Settings().Lifetime, time.Minute)
	post(400, "settings", `{"lifetim":"1m"}`)

	post(200, "clients", `{"client":"gamma","secret":"g"}`)
	g.expect(200, g.login("alice", basic("gamma", "g")))
	post(200, "rotate-secret", `{"client":"gamma","secret":"h"}`)
	g.expect(401, g.login("alice", basic("gamma", "g")))
	post(404, "rotate-secret", `{"client":"nobody","secret":"h"}`)
	post(200, "restrict", `{"client":"gamma","restriction":{"to":"derived","status":401}}`)
	g.expect(401, g.clientToken(basic("gamma", "h")))
	post(200, "restrict", `{"client":"gamma"}`)
	g.expect(200, g.clientToken(basic("gamma", "h")))
	post(404, "restrict", `{"client":"nobody"}`)
	for _, bad := range []string{`{"to":"both"}`, `{"to":"derived","status":404}`, `{"status":403}`, `{"only":"derived"}`} {
		post(400, "restrict", `{"client":"gamma","restriction":`+bad+`}`)
	}
	post(200, "clients", `{"client":"gamma","secret":"h","restriction":{"to":"anonymous"}}`)
	g.expect(403, g.login("alice", basic("gamma", "h")))
	post(200, "remove-client", `{"client":"gamma"}`)
	post(200, "accounts", `{"client":"acme","email":"`+email+`","password":"`+password+`"}`)
	post(404, "accounts", `{"client":"acme","email":"`+email+`","password":"`+password+`"}`)
	post(200, "change-password", `{"account":"`+email+`","password":"another"}`)
	g.expect(200, g.passwordLogin(email, "another"))
	g.equal("ended", post(200, "end-tokens", `{"user":"`+email+`"}`).fields()["done"], 1)
	post(200, "end-client-tokens", `{"client":"acme"}`)
	post(200, "end-all-tokens", ``)
	post(200, "release", ``)
	post(200, "delete-account", `{"account":"`+email+`"}`)
	g.equal("deleted", post(200, "delete-all-accounts", ``).fields()["done"], 0)
	post(400, "end-tokens", `{"usr":"x"}`)
	g.expect(404, g.do("POST", "/admin/reset", "")) // never at Gini's own address
}

func TestScriptRefusesWhatCannotBe(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("taken")
		}
	}()
	emulator.New().Script(fault("Logn", emulator.Hang()))
}
