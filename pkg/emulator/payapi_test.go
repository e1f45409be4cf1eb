package emulator_test

import (
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

func TestLogin(t *testing.T) {
	g := started(t)
	r := g.expect(200, g.login("alice"))
	g.equal("token_type", r.text("token_type"), "bearer")
	g.equal("expires_in", r.fields()["expires_in"], 43199)
	g.equal("refresh_token", r.text("refresh_token"), "")
	g.equal("content type", r.header.Get("Content-Type"), payAccept)
	if r.header.Get("X-Request-Id") == "" {
		t.Error("no X-Request-Id")
	}
	token := r.text("access_token")
	documents := g.expect(200, g.documents(token))
	g.equal("user", documents.text("user"), "alice")
	g.equal("documents", documents.fields()["documents"], "[]")
	g.equal("total", documents.fields()["totalCount"], 0)
	// Any case of "bearer": the documentation writes BEARER.
	for _, scheme := range []string{"BEARER ", "bearer ", "Bearer "} {
		g.expect(200, g.documents(token, header{"Authorization", scheme + token}))
	}
}

// TestOneDerivedUser: flows 1 and 3 reach the same user, another client's identifier is another user.
func TestOneDerivedUser(t *testing.T) {
	g := started(t)
	g.login("alice")
	trusted := g.expect(200, g.do("GET", "/documents", "", basic(acme, secret), identifier("alice"), accept(payAccept)))
	g.equal("user", trusted.text("user"), "alice")
	g.equal("client", trusted.text("client"), acme)
	g.equal("derived users", g.Ledger().DerivedUsers, 1)
	g.do("GET", "/documents", "", basic(beta, "beta-s3cret"), identifier("alice"))
	g.equal("derived users", g.Ledger().DerivedUsers, 2)
}

func TestPayAPIRefuses(t *testing.T) {
	g := started(t)
	id := g.account()
	_ = id
	for name, tc := range map[string]struct {
		status int
		reply
	}{
		"login without credentials":     {401, g.do("POST", "/login", "", identifier("alice"))},
		"login of an unknown client":    {401, g.login("alice", basic("nobody", secret))},
		"login with a wrong secret":     {401, g.login("alice", basic(acme, "wrong"))},
		"login with a bearer token":     {401, g.login("alice", bearer("x"))},
		"login form credentials":        {401, g.do("POST", "/login", "client_id=acme&client_secret=acme-s3cret", contentType(formType), identifier("alice"))},
		"login Accept":                  {406, g.login("alice", accept("application/json"))},
		"login content type":            {415, g.do("POST", "/login", "x", basic(acme, secret), identifier("alice"), contentType("text/plain"))},
		"login without identifier":      {400, g.do("POST", "/login", "", basic(acme, secret))},
		"login with empty identifier":   {400, g.login("")},
		"login with JWT":                {401, g.do("POST", "/login", "", header{"X-JWT-Authorization", "Bearer a.b.c"})},
		"login by GET":                  {405, g.do("GET", "/login", "", basic(acme, secret))},
		"documents without credentials": {401, g.do("GET", "/documents", "")},
		"documents wrong secret":        {401, g.do("GET", "/documents", "", basic(acme, "wrong"), identifier("alice"))},
		"documents without identifier":  {400, g.do("GET", "/documents", "", basic(acme, secret))},
		"documents unknown token":       {401, g.documents("unknown")},
		"documents client token":        {401, g.documents(g.clientToken().text("access_token"))},
		"documents Accept":              {406, g.do("GET", "/documents", "", basic(acme, secret), identifier("alice"), accept("text/html"))},
		"a document, no credentials":    {401, g.do("GET", "/documents/x", "")},
		"a document, unknown token":     {401, g.do("GET", "/documents/x", "", bearer("unknown"))},
		"a document, wrong secret":      {401, g.do("GET", "/documents/x", "", basic(acme, "wrong"), identifier("alice"))},
		"a document, no identifier":     {400, g.do("GET", "/documents/x", "", basic(acme, secret))},
		"a document, Accept":            {406, g.do("GET", "/documents/x", "", basic(acme, secret), identifier("alice"), accept("text/html"))},
		"a document by POST":            {405, g.do("POST", "/documents/x", "", basic(acme, secret), identifier("alice"))},
		"documents JWT":                 {401, g.do("GET", "/documents", "", header{"X-JWT-Authorization", "Bearer a.b.c"})},
	} {
		if tc.reply.status != tc.status || tc.text("message") == "" || tc.text("requestId") == "" || tc.text("requestId") != tc.header.Get("X-Request-Id") {
			t.Errorf("%s: status %d instead of %d, or not the Pay API's form: %s", name, tc.reply.status, tc.status, tc.body)
		}
	}
	g.equal("derived users", g.Ledger().DerivedUsers, 0)
}

// TestNoDocument: 404 in the Pay API's form for whoever may ask, and it is a use of the credential as the list is one.
func TestNoDocument(t *testing.T) {
	g := started(t, emulator.WithLifetime(time.Hour))
	tok := token(g.login("alice"))
	for name, credentials := range map[string][]header{"token": {bearer(tok)}, "Basic": {basic(acme, secret), identifier("bob")}} {
		r := g.expect(404, g.do("GET", "/documents/626626a0-749f-11e2-bfd6-000000000000", "", append(credentials, accept(payAccept))...))
		if r.text("message") == "" || r.text("requestId") == "" || r.text("requestId") != r.header.Get("X-Request-Id") ||
			r.header.Get("Content-Type") != payAccept {
			t.Errorf("%s: not the Pay API's form: %v %s", name, r.header, r.body)
		}
	}
	g.clock.Step(time.Hour)
	g.expect(401, g.do("GET", "/documents/x", "", bearer(tok)))
	l := g.Ledger()
	g.equal("uses", l.TokenUses, emulator.Uses{Accepted: 1, Refused: 1, UsedExpired: 1})
	g.equal("operations", []int{l.Count(emulator.Documents), l.Count(emulator.Unknown), l.DerivedUsers}, []int{3, 0, 2})
}

func TestPayAPISwitches(t *testing.T) {
	g := started(t)
	g.Configure(func(c *emulator.Settings) {
		c.MissingIdentifierStatus = 401
		c.PayAPIMediaTypes = []string{"application/vnd.gini.v4+json"}
		c.PayAPIErrorItems = true
	})
	r := g.expect(401, g.do("POST", "/login", "", basic(acme, secret)))
	if items, _ := r.fields()["items"].([]any); len(items) != 1 || r.text("requestId") == "" {
		t.Errorf("not the form with items: %s", r.body)
	}
	g.expect(406, g.login("alice"))
	r = g.expect(200, g.login("alice", accept("application/vnd.gini.v4+json")))
	g.equal("content type", r.header.Get("Content-Type"), "application/vnd.gini.v4+json")
	g.expect(200, g.do("POST", "/login", "", basic(acme, secret), identifier("alice"))) // a missing Accept is served
}
