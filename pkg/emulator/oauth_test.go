package emulator_test

import (
	"net/url"
	"testing"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const formType = "application/x-www-form-urlencoded"

func TestClientToken(t *testing.T) {
	g := started(t)
	path, form := "/oauth/token?grant_type=client_credentials", "grant_type=client_credentials"
	for name, r := range map[string]reply{
		"GET as documented":         g.clientToken(),
		"POST with an empty body":   g.do("POST", path, "", basic(acme, secret), accept("application/json")),
		"grant type in the form":    g.do("POST", "/oauth/token", form, basic(acme, secret), contentType(formType)),
		"credentials in the form":   g.do("POST", "/oauth/token", form+"&client_id=acme&client_secret=acme-s3cret", contentType(formType)),
		"content type with charset": g.do("POST", "/oauth/token", form, basic(acme, secret), contentType(formType+"; charset=utf-8")),
		"no Accept":                 g.do("GET", path, "", basic(acme, secret)),
		"any Accept":                g.do("GET", path, "", basic(acme, secret), accept("text/html, */*;q=0.1")),
	} {
		t.Run(name, func(t *testing.T) {
			g := &gini{T: t}
			g.expect(200, r)
			g.equal("token_type", r.text("token_type"), "bearer")
			g.equal("expires_in", r.fields()["expires_in"], 43199)
			g.equal("length of the token", len(r.text("access_token")), 28)
			g.equal("refresh token", r.text("refresh_token"), "")
		})
	}
}

func TestTokenEndpointRefuses(t *testing.T) {
	g := started(t, emulator.WithClient("limited", "s", emulator.WithoutClientCredentialsGrant(), emulator.WithoutPasswordGrant()))
	g.account()
	path := "/oauth/token?grant_type=client_credentials"
	g.expectOAuth(401, "invalid_client", g.do("GET", path, ""))
	g.expectOAuth(401, "invalid_client", g.do("GET", path, "", basic(acme, "wrong")))
	g.expectOAuth(401, "invalid_client", g.do("GET", path, "", basic("nobody", secret)))
	g.expectOAuth(401, "invalid_client", g.do("GET", path, "", header{"Authorization", "Basic ?"}))
	g.expectOAuth(401, "invalid_client", g.do("POST", "/oauth/token", "grant_type=client_credentials&client_id=acme&client_secret=x", contentType(formType)))
	g.expectOAuth(401, "invalid_client", g.do("GET", path, "", basic("limited", "s")))
	g.expectOAuth(401, "invalid_client", g.passwordLogin(email, password, basic("limited", "s")))
	g.expectOAuth(400, "invalid_request", g.do("POST", "/oauth/token", "", basic(acme, secret)))
	g.expectOAuth(400, "unsupported_grant_type", g.do("POST", "/oauth/token?grant_type=implicit", "", basic(acme, secret)))
	g.expect(406, g.clientToken(accept(payAccept)))
	g.expect(406, g.clientToken(accept("application/json;q=0")))
	g.expect(415, g.do("POST", path, "{}", basic(acme, secret), contentType("application/json")))
	g.expect(415, g.do("POST", path, "a=b", basic(acme, secret)))
	g.expect(405, g.do("DELETE", "/oauth/token", "", basic(acme, secret)))
	g.expect(405, g.do("GET", "/oauth/token?grant_type=password&username=a&password=b", "", basic(acme, secret)))
	g.expect(404, g.do("GET", "/oauth/other", "", basic(acme, secret)))
}

func TestPasswordLogin(t *testing.T) {
	g := started(t)
	id := g.account()
	r := g.expect(200, g.passwordLogin(email, password))
	g.equal("user", g.expect(200, g.documents(r.text("access_token"))).text("user"), id)

	form := url.Values{"grant_type": {"password"}, "username": {email}, "password": {password}}.Encode()
	g.expect(200, g.do("POST", "/oauth/token", form, basic(acme, secret), contentType(formType)))

	g.expectOAuth(400, "invalid_grant", g.passwordLogin(email, "another-password"))
	g.expectOAuth(400, "invalid_grant", g.passwordLogin("nobody@users.acme.example", password))
	g.expectOAuth(400, "invalid_grant", g.passwordLogin("", ""))
	g.expectOAuth(401, "invalid_client", g.passwordLogin(email, password, basic(acme, "wrong")))
	// An account belongs to the client that made it.
	foreign := func() reply { return g.passwordLogin(email, password, basic(beta, "beta-s3cret")) }
	g.expectOAuth(400, "invalid_grant", foreign())

	// The other reading: 401, and nothing in the body tells it from a wrong secret.
	g.Configure(func(c *emulator.Settings) { c.WrongPasswordStatus = 401 })
	lost, wrong := g.passwordLogin(email, "another-password"), g.passwordLogin(email, password, basic(acme, "wrong"))
	g.expect(401, lost)
	g.equal("body", lost.body, wrong.body)
	g.expect(200, g.clientToken())

	// An account of another client has a switch of its own, and a wrong client is 401 under each.
	g.expectOAuth(400, "invalid_grant", foreign())
	g.Configure(func(c *emulator.Settings) { c.WrongPasswordStatus, c.ForeignAccountStatus = 400, 401 })
	g.equal("body", g.expect(401, foreign()).body, wrong.body)
	g.expectOAuth(400, "invalid_grant", g.passwordLogin(email, "another-password"))
	g.expect(401, g.login("alice", basic(acme, "wrong")))
	g.expect(401, g.login("alice", basic("nobody", secret)))
	g.equal("tokens issued", g.Ledger().User(email).TokensIssued, 2)
}

// TestPercentEncoding: passwords and tokens with +, / and = survive the form.
func TestPercentEncoding(t *testing.T) {
	g := started(t, emulator.WithSettings(func(c *emulator.Settings) { c.TokenForm = emulator.FormAwkward }),
		emulator.WithUserCenter(emulator.Behaviour{Refresh: emulator.RefreshStable}))
	g.AddAccount(acme, "a+b@users.acme.example", "p+q/r=s %&t")
	r := g.expect(200, g.passwordLogin("a+b@users.acme.example", "p+q/r=s %&t"))
	g.expect(200, g.documents(r.text("access_token")))
	g.expect(200, g.refresh(r.text("refresh_token")))
	g.expect(400, g.do("POST", "/oauth/token", "grant_type=refresh_token&refresh_token="+r.text("refresh_token"), basic(acme, secret), contentType(formType)))
}

func TestCheckToken(t *testing.T) {
	g := started(t)
	id := g.account()
	token := g.passwordLogin(email, password).text("access_token")
	path := "/oauth/check_token?token=" + url.QueryEscape(token)
	g.equal("user_name", g.expect(200, g.do("GET", path, "", accept("application/json"))).text("user_name"), id)
	g.expect(200, g.do("GET", path, "", basic(acme, secret)))
	g.expect(401, g.do("GET", path, "", basic(acme, "wrong")))
	g.expect(406, g.do("GET", path, "", accept("text/html")))
	g.expectOAuth(400, "invalid_token", g.do("GET", "/oauth/check_token?token=unknown", ""))
	g.clock.Step(emulator.DefaultLifetime)
	g.expectOAuth(400, "invalid_token", g.do("GET", path, ""))
	g.equal("uses", g.Ledger().TokenUses, emulator.Uses{})
	g.Configure(func(c *emulator.Settings) { c.NoCheckToken = true })
	g.expect(404, g.do("GET", path, ""))
}
