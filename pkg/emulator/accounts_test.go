package emulator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const jsonType = "application/json"

// TestAnonymousUser is flow 6 from its beginning to its end.
func TestAnonymousUser(t *testing.T) {
	g := started(t)
	client := g.expect(200, g.clientToken()).text("access_token")
	created := g.expect(201, g.createUser(client, email, password))
	g.equal("body", created.body, "")
	id, ok := strings.CutPrefix(created.header.Get("Location"), g.url+"/api/users/")
	if !ok || len(id) != 36 {
		t.Fatalf("Location %q", created.header.Get("Location"))
	}
	token := g.expect(200, g.passwordLogin(email, password)).text("access_token")
	g.equal("user", g.expect(200, g.documents(token)).text("user"), id)
	got := g.expect(200, g.do("GET", "/api/users/"+id, "", bearer(client))).fields()
	g.equal("id", got["id"], id)
	g.equal("email", got["email"], email)
	g.equal("accounts", g.Ledger().Accounts(), []emulator.Account{{ID: id, Email: email, ClientID: acme, Created: start}})
}

func TestCreateUserRefuses(t *testing.T) {
	g := started(t, emulator.WithEmailDomains("users.acme.example"))
	client := g.clientToken().text("access_token")
	g.expect(201, g.createUser(client, email, password))
	bodies := map[string]bool{}
	for name, r := range map[string]reply{
		"short password": g.createUser(client, "a@users.acme.example", "12345"),
		"no password":    g.do("POST", "/api/users", `{"email":"a@users.acme.example"}`, bearer(client), contentType(jsonType)),
		"no e-mail":      g.do("POST", "/api/users", `{"password":"123456"}`, bearer(client), contentType(jsonType)),
		"existing":       g.createUser(client, strings.ToUpper(email), password),
		"domain":         g.createUser(client, "a@elsewhere.example", password),
		"no address":     g.createUser(client, "users.acme.example", password),
		"broken JSON":    g.do("POST", "/api/users", `{"email"`, bearer(client), contentType(jsonType)),
		"no body":        g.do("POST", "/api/users", "", bearer(client)),
	} {
		if r.status != 400 {
			t.Errorf("%s: %d", name, r.status)
		}
		bodies[r.body] = true
	}
	g.equal("different looks", len(bodies), 1)
	g.expect(201, g.createUser(client, "a@users.acme.example", "123456")) // six are enough

	body := `{"email":"b@users.acme.example","password":"123456"}`
	g.expect(415, g.do("POST", "/api/users", body, bearer(client)))
	g.expect(415, g.do("POST", "/api/users", body, bearer(client), contentType(formType)))
	g.expect(406, g.do("POST", "/api/users", body, bearer(client), contentType(jsonType), accept(payAccept)))
	g.expect(405, g.do("GET", "/api/users", "", bearer(client)))
	g.expect(401, g.do("POST", "/api/users", body, contentType(jsonType)))
	g.expect(401, g.do("POST", "/api/users", body, contentType(jsonType), basic(acme, secret)))
	g.expectOAuth(401, "invalid_token", g.createUser("unknown", "b@users.acme.example", password))
	user := g.passwordLogin(email, password).text("access_token")
	g.expectOAuth(401, "invalid_token", g.createUser(user, "b@users.acme.example", password))
	g.equal("accounts", len(g.Ledger().Accounts()), 2)

	g.Configure(func(c *emulator.Settings) { c.MaxBodyBytes = 100 })
	g.expect(413, g.createUser(client, "b@users.acme.example", strings.Repeat("x", 100)))
}

func TestCreateUserAnswers(t *testing.T) {
	g := started(t)
	client := g.clientToken().text("access_token")
	g.Configure(func(c *emulator.Settings) { c.CreateUserStatus, c.Location = 204, emulator.LocationAbsent })
	g.equal("Location", g.expect(204, g.createUser(client, "a@a.example", password)).header.Get("Location"), "")
	g.Configure(func(c *emulator.Settings) { c.CreateUserStatus, c.Location = 200, emulator.LocationRelative })
	r := g.expect(200, g.createUser(client, "b@a.example", password))
	g.equal("Location", r.header.Get("Location"), "/api/users/"+g.Ledger().Accounts()[1].ID)
}

func TestStaleClientToken(t *testing.T) {
	for _, status := range []int{401, 400, 403, 500} {
		g := started(t, emulator.WithClientTokenLifetime(time.Minute))
		g.Configure(func(c *emulator.Settings) { c.StaleClientTokenStatus = status })
		expired := g.clientToken()
		g.equal("expires_in", expired.fields()["expires_in"], 59)
		g.clock.Step(time.Minute)
		g.expect(status, g.createUser(expired.text("access_token"), email, password))
		g.expect(status, g.do("GET", "/api/users/x", "", bearer(expired.text("access_token"))))
		ended := g.clientToken().text("access_token")
		g.equal("ended", g.EndClientTokens(acme), 1)
		g.expect(status, g.createUser(ended, email, password))
		g.expect(401, g.createUser("unknown", email, password))
		uses := g.Ledger().ClientTokenUses
		g.equal("uses", uses, emulator.Uses{Refused: 4, UsedExpired: 2, UsedEnded: 1, UsedUnknown: 1})
		g.equal("users' expired uses", g.Ledger().ExpiredUses(), 0)
	}
}

func TestAccountsOfAnotherClient(t *testing.T) {
	g := started(t)
	id := g.account()
	other := g.clientToken(basic(beta, "beta-s3cret")).text("access_token")
	g.expect(404, g.do("GET", "/api/users/"+id, "", bearer(other)))
	g.expect(404, g.do("PUT", "/api/users/"+id, `{"oldPassword":"a-long-password","password":"another"}`, bearer(other), contentType(jsonType)))
	g.expect(404, g.do("DELETE", "/api/users/"+id, "", bearer(other)))
	g.expect(200, g.passwordLogin(email, password))
	own := g.clientToken().text("access_token")
	g.expect(404, g.do("GET", "/api/users/00000000-0000-0000-0000-000000000000", "", bearer(own)))
	g.expect(406, g.do("GET", "/api/users/"+id, "", bearer(own), accept("text/html")))
}

// TestDeleteUser: the account is gone with its tokens, other users and their tokens stay.
func TestDeleteUser(t *testing.T) {
	for _, status := range []int{204, 200, 202} {
		g := started(t, emulator.WithUserCenter(emulator.Behaviour{Refresh: emulator.RefreshStable}))
		if status != 204 { // the default
			g.Configure(func(c *emulator.Settings) { c.DeleteUserStatus = status })
		}
		id := g.account()
		other, _ := g.AddAccount(acme, "other@users.acme.example", password)
		client, held := token(g.clientToken()), g.passwordLogin(email, password)
		kept := token(g.passwordLogin("other@users.acme.example", password))
		remove := func(more ...header) reply {
			return g.do("DELETE", "/api/users/"+id, "", append([]header{accept(jsonType)}, more...)...)
		}
		g.expectOAuth(401, "unauthorized", remove())
		g.expectOAuth(401, "unauthorized", remove(basic(acme, secret)))
		g.expectOAuth(401, "invalid_token", remove(bearer(token(held))))
		g.expect(406, remove(bearer(client), accept("text/html")))
		g.expect(200, g.documents(token(held)))

		g.equal("body", g.expect(status, remove(bearer(client))).body, "")
		g.expectOAuth(404, "not_found", remove(bearer(client)))
		g.expect(404, g.do("GET", "/api/users/"+id, "", bearer(client)))
		g.expect(401, g.documents(token(held)))
		g.expectOAuth(400, "invalid_grant", g.refresh(held.text("refresh_token")))
		g.expectOAuth(400, "invalid_grant", g.passwordLogin(email, password))
		g.expect(200, g.documents(kept))

		l := g.Ledger()
		g.equal("requests", l.Count(emulator.DeleteUser), 6)
		g.equal("deleted", []any{l.AccountsDeleted, l.DeletedAccounts[0].ID, l.DeletedAccounts[0].Deleted}, []any{1, id, start})
		g.equal("left", []any{len(l.Accounts()), l.Accounts()[0].ID}, []any{1, other})
		g.expect(201, g.createUser(client, email, password)) // the address is free again
	}
}

func TestUpdateUser(t *testing.T) {
	g := started(t, emulator.WithEmailDomains("users.acme.example"))
	id := g.account()
	g.AddAccount(acme, "taken@users.acme.example", password)
	client := g.clientToken().text("access_token")
	put := func(body string) reply {
		return g.do("PUT", "/api/users/"+id, body, bearer(client), contentType(jsonType))
	}
	for _, body := range []string{
		`{}`, `{"password":"another"}`, `{"oldPassword":"wrong","password":"another"}`, `{"oldPassword":"a-long-password","password":"short"}`,
		`{"email":"new@users.acme.example"}`, `{"oldEmail":"x@users.acme.example","email":"new@users.acme.example"}`,
		`{"oldEmail":"` + email + `","email":"new@elsewhere.example"}`, `{"oldEmail":"` + email + `","email":"taken@users.acme.example"}`,
		// half right is wrong: neither changes
		`{"oldPassword":"a-long-password","password":"another","oldEmail":"wrong","email":"new@users.acme.example"}`,
	} {
		if r := put(body); r.status != http.StatusBadRequest {
			t.Errorf("%s: %d", body, r.status)
		}
	}
	g.expect(200, g.passwordLogin(email, password))
	g.expect(204, put(`{"oldPassword":"a-long-password","password":"another","oldEmail":"`+email+`","email":"new@users.acme.example"}`))
	g.expect(400, g.passwordLogin(email, "another"))
	g.expect(200, g.passwordLogin("new@users.acme.example", "another"))
	g.expect(415, g.do("PUT", "/api/users/"+id, `{}`, bearer(client)))
	g.equal("e-mail in the ledger", g.Ledger().User(id).Email, "new@users.acme.example")
}
