package emulator_test

import (
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// payAPIRequests are what a client does for derived users.
func (g *gini) payAPIRequests() map[string]reply {
	return map[string]reply{
		"/login":            g.login("alice"),
		"documents, Basic":  g.do("GET", "/documents", "", basic(acme, secret), identifier("alice")),
		"a document, Basic": g.do("GET", "/documents/x", "", basic(acme, secret), identifier("alice")),
	}
}

// userCenterRequests are what a client does for anonymous users, with tokens that it has already.
func (g *gini) userCenterRequests(clientToken, refreshToken, id string) map[string]reply {
	return map[string]reply{
		"client token":     g.clientToken(),
		"password grant":   g.passwordLogin(email, password),
		"refresh":          g.refresh(refreshToken),
		"another grant":    g.do("POST", "/oauth/token?grant_type=implicit", "", basic(acme, secret)),
		"check_token":      g.do("GET", "/oauth/check_token?token=x", "", basic(acme, secret)),
		"create a user":    g.createUser(clientToken, "b@a.example", password),
		"read a user":      g.do("GET", "/api/users/"+id, "", bearer(clientToken)),
		"change a user":    g.do("PUT", "/api/users/"+id, `{"oldPassword":"a-long-password","password":"another"}`, bearer(clientToken), contentType(jsonType)),
		"delete a user":    g.do("DELETE", "/api/users/"+id, "", bearer(clientToken)),
		"read nobody":      g.do("GET", "/api/users/x", "", bearer(clientToken)),
		"form credentials": g.do("POST", "/oauth/token", "grant_type=client_credentials&client_id=acme&client_secret=acme-s3cret", contentType(formType)),
	}
}

func TestRestriction(t *testing.T) {
	for given, status := range map[int]int{0: 403, 401: 401, 403: 403, 429: 429} {
		g := started(t, emulator.WithUserCenter(emulator.Behaviour{Refresh: emulator.RefreshStable}))
		id := g.account()
		client, derived, anonymous := token(g.clientToken()), token(g.login("alice")), g.passwordLogin(email, password)

		g.equal("there", g.Restrict(acme, emulator.Restriction{To: emulator.DerivedUsers, Status: given}), true)
		for name, r := range g.userCenterRequests(client, anonymous.text("refresh_token"), id) {
			if r.status != status || r.text("error") == "" {
				t.Errorf("derived only: %s is %d, or not the User Center's form: %s", name, r.status, r.body)
			}
		}
		g.expect(200, g.login("alice"))
		g.expect(200, g.documents(token(anonymous)))
		g.expectOAuth(401, "invalid_client", g.clientToken(basic(acme, "wrong")))
		g.expect(200, g.clientToken(basic(beta, "beta-s3cret")))
		g.equal("accounts", len(g.Ledger().Accounts()), 1)

		g.Restrict(acme, emulator.Restriction{To: emulator.AnonymousUsers, Status: given})
		for name, r := range g.payAPIRequests() {
			if r.status != status || r.text("message") == "" {
				t.Errorf("anonymous only: %s is %d, or not the Pay API's form: %s", name, r.status, r.body)
			}
		}
		g.expect(200, g.clientToken())
		g.expect(200, g.passwordLogin(email, password))
		g.expect(200, g.documents(derived)) // tokens that were issued stay valid
		g.expect(401, g.login("alice", basic(acme, "wrong")))
		g.expect(200, g.login("alice", basic(beta, "beta-s3cret")))

		g.Restrict(acme, emulator.Restriction{})
		g.expect(200, g.login("alice"))
		g.expect(200, g.clientToken())
		g.equal("not there", g.Restrict("nobody", emulator.Restriction{}), false)
	}
}

// TestRestrictionLooksLikeWrongCredentials: nothing in a 401 tells a client which of both it is.
func TestRestrictionLooksLikeWrongCredentials(t *testing.T) {
	g := started(t,
		emulator.WithClient("phone", "s", emulator.WithRestriction(emulator.Restriction{To: emulator.DerivedUsers, Status: 401})),
		emulator.WithClient("shop", "s", emulator.WithRestriction(emulator.Restriction{To: emulator.AnonymousUsers, Status: 401})))
	restricted, wrong := g.clientToken(basic("phone", "s")), g.clientToken(basic("phone", "wrong"))
	g.equal("client token", []any{restricted.status, restricted.body, restricted.header["Www-Authenticate"]},
		[]any{wrong.status, wrong.body, wrong.header["Www-Authenticate"]})
	restricted, wrong = g.login("alice", basic("shop", "s")), g.login("alice", basic("shop", "wrong"))
	g.equal("login", []any{restricted.status, restricted.text("message")}, []any{wrong.status, wrong.text("message")})
	g.expect(200, g.login("alice", basic("phone", "s")))
	g.expect(200, g.clientToken(basic("shop", "s")))
	g.equal("derived users", g.Ledger().DerivedUsers, 1)
}

// TestRestrictionOfJWTs: who signs for derived users is refused as who names them.
func TestRestrictionOfJWTs(t *testing.T) {
	signer := rsaSigner("k1", "RS256")
	g, _ := startedWithJWT(t, signer, emulator.JWT{})
	signed := g.signed(signer, g.good())
	g.expect(200, g.jwtLogin(signed))
	g.Restrict(acme, emulator.Restriction{To: emulator.AnonymousUsers})
	g.expect(403, g.jwtLogin(signed))
	g.expect(403, g.jwtDocuments(signed))
	g.Restrict(acme, emulator.Restriction{To: emulator.DerivedUsers})
	g.expect(200, g.jwtDocuments(signed))
}

func TestRestrictionRefuses(t *testing.T) {
	for _, r := range []emulator.Restriction{{Status: 403}, {To: "both"}, {To: emulator.DerivedUsers, Status: 404}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was taken", r)
				}
			}()
			emulator.New().Restrict(acme, r)
		}()
	}
}

// TestRefusedIdentifiers: one user, or some, are refused wherever they are named, the others are served, and the set changes while it runs.
func TestRefusedIdentifiers(t *testing.T) {
	const injection = "team-a-${jndi:ldap://x}"
	for _, effect := range []emulator.Effect{
		emulator.Status(401, ""), emulator.Status(403, ""), emulator.TooManyRequests(0), emulator.Unavailable(),
		emulator.Status(401, "").WithRetryAfter(time.Hour), emulator.Status(403, "").WithRetryAfter(time.Hour),
		emulator.TooManyRequests(time.Hour), emulator.Unavailable().WithRetryAfter(time.Hour),
	} {
		g := started(t)
		id := g.account()
		held, anonymous := token(g.login(injection)), token(g.passwordLogin(email, password))
		refuse := func(users ...string) {
			g.RemoveFaults("firewall")
			g.Script(emulator.Fault{Name: "firewall", Match: emulator.Match{Users: users}, Effect: effect})
		}
		refuse(injection, "bob", email)
		for name, r := range map[string]reply{
			injection: g.login(injection), "bob": g.login("bob"), "trusted": g.do("GET", "/documents", "", basic(acme, secret), identifier(injection)),
			"its token": g.documents(held), "account": g.passwordLogin(email, password), "account's token": g.documents(anonymous),
			"account by id": g.do("GET", "/api/users/"+id, "", bearer(token(g.clientToken()))),
		} {
			if r.status != effect.Status || r.header.Get("Retry-After") != effect.Header["Retry-After"] {
				t.Errorf("%s: %d with Retry-After %q", name, r.status, r.header.Get("Retry-After"))
			}
		}
		g.expect(200, g.login("alice"))
		g.expect(200, g.clientToken())
		g.equal("faults", g.Ledger().Faults["firewall"], 7)

		refuse("bob")
		g.expect(200, g.login(injection))
		g.expect(200, g.passwordLogin(email, password))
		g.expect(effect.Status, g.login("bob"))
		g.equal("removed", g.RemoveFaults("firewall"), 1)
		g.equal("removed again", g.RemoveFaults("firewall"), 0)
		g.expect(200, g.login("bob"))
	}
	g := started(t)
	g.Script(emulator.Fault{Match: emulator.Match{
		Operations: []emulator.Operation{emulator.Login}, User: "alice", Users: []string{"bob"}}, Effect: emulator.Status(403, "")})
	g.expect(403, g.login("alice"))
	g.expect(403, g.login("bob"))
	g.expect(200, g.login("carol"))
	g.expect(200, g.do("GET", "/documents", "", basic(acme, secret), identifier("bob")))
}

// TestWithRetryAfter: it changes no effect that was made before.
func TestWithRetryAfter(t *testing.T) {
	g := &gini{T: t}
	own := emulator.Effect{Status: 403, Header: map[string]string{"X-Own": "1"}}
	g.equal("rounded up", own.WithRetryAfter(1500*time.Millisecond).Header, map[string]string{"Retry-After": "2", "X-Own": "1"})
	g.equal("none", emulator.TooManyRequests(time.Hour).WithRetryAfter(0).Header, map[string]string{})
	g.equal("own", own.Header, map[string]string{"X-Own": "1"})
}
