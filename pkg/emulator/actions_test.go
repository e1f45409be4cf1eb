package emulator_test

import (
	"testing"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

func TestRotateSecret(t *testing.T) {
	g := started(t)
	tok := token(g.login("alice"))
	g.equal("there", g.RotateSecret(acme, "new"), true)
	g.equal("not there", g.RotateSecret("nobody", "new"), false)
	g.expect(401, g.login("alice"))
	g.expectOAuth(401, "invalid_client", g.clientToken())
	g.expect(200, g.login("alice", basic(acme, "new")))
	g.expect(200, g.documents(tok))
}

func TestRemoveClient(t *testing.T) {
	g := started(t)
	id := g.account()
	tok := token(g.passwordLogin(email, password))
	g.equal("there", g.RemoveClient(acme), true)
	g.equal("again", g.RemoveClient(acme), false)
	g.expect(401, g.documents(tok))
	g.expect(401, g.clientToken())
	g.equal("the ledger still knows it", g.Ledger().CountClient(acme, emulator.ClientToken), 1)
	g.AddClient(acme, "back")
	g.equal("the same account", g.documents(token(g.passwordLogin(email, password, basic(acme, "back")))).text("user"), id)
}

func TestDeleteAccount(t *testing.T) {
	g := started(t, emulator.WithUserCenter(emulator.Behaviour{Mode: emulator.Sticky, Refresh: emulator.RefreshStable}))
	for _, name := range []func(id string) string{func(id string) string { return id }, func(string) string { return email }} {
		id := g.account()
		client := token(g.clientToken())
		r := g.passwordLogin(email, password)
		g.equal("there", g.DeleteAccount(name(id)), true)
		g.equal("again", g.DeleteAccount(name(id)), false)
		g.expectOAuth(400, "invalid_grant", g.passwordLogin(email, password))
		g.expectOAuth(400, "invalid_grant", g.refresh(r.text("refresh_token")))
		g.expect(401, g.documents(token(r)))
		g.expect(404, g.do("GET", "/api/users/"+id, "", bearer(client)))
	}
	client := token(g.clientToken())
	g.expect(201, g.createUser(client, email, password))
	g.equal("deleted", g.DeleteAllAccounts(), 1)
	g.expect(400, g.passwordLogin(email, password))
	l := g.Ledger()
	g.equal("counts", []int{l.AccountsCreated, l.AccountsDeleted, len(l.Accounts()), len(l.DeletedAccounts)}, []int{3, 3, 0, 3})
	g.equal("when", l.DeletedAccounts[0].Deleted, start)
}

func TestChangePassword(t *testing.T) {
	g := started(t)
	id := g.account()
	g.equal("there", g.ChangePassword(id, "new-password"), true)
	g.equal("not there", g.ChangePassword("x", "new-password"), false)
	g.expectOAuth(400, "invalid_grant", g.passwordLogin(email, password))
	g.expect(200, g.passwordLogin(email, "new-password"))
}

func TestEndTokens(t *testing.T) {
	g := started(t)
	id := g.account()
	client, alice, bob := token(g.clientToken()), token(g.login("alice")), token(g.login("bob"))
	anonymous := token(g.passwordLogin(email, password))
	g.equal("one", g.EndToken(alice), true)
	g.equal("again", g.EndToken(alice), false)
	g.equal("unknown", g.EndToken("x"), false)
	g.expect(401, g.documents(alice))
	g.equal("by address", g.EndTokensOf(email), 1)
	g.equal("by id", g.EndTokensOf(id), 0)
	g.expect(401, g.documents(anonymous))
	g.expect(200, g.documents(bob))
	g.equal("all", g.EndAllTokens(), 2)
	g.expect(401, g.documents(bob))
	g.expect(401, g.createUser(client, "a@a.example", password))
}
