package emulator_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// TestJWT: it is the credential itself (flow 2), and it logs in (flow 4), as the same user as with Basic (flow 5).
func TestJWT(t *testing.T) {
	s := rsaSigner("k1", "RS256")
	g, _ := startedWithJWT(t, s, emulator.JWT{}, emulator.WithLogin(emulator.Behaviour{Mode: emulator.Sticky}))
	alice := g.signed(s, g.good())
	documents := g.expect(200, g.jwtDocuments(alice))
	g.equal("user", []string{documents.text("user"), documents.text("client")}, []string{"alice", acme})
	g.equal("derived users", g.Ledger().DerivedUsers, 1)

	byBasic := token(g.expect(200, g.login("alice")))
	login := g.expect(200, g.jwtLogin(alice))
	g.equal("token", token(login), byBasic)
	g.equal("answer", []any{login.text("token_type"), login.fields()["expires_in"]}, []any{"bearer", 43199})
	g.equal("content type", login.header.Get("Content-Type"), payAccept)
	g.equal("the token's user", g.expect(200, g.documents(token(login))).text("user"), "alice")
	g.equal("derived users", g.Ledger().DerivedUsers, 1)

	for _, scheme := range []string{"bearer ", "BEARER ", " Bearer  "} {
		g.expect(200, g.jwtDocuments("", header{"X-JWT-Authorization", scheme + alice}))
	}
	g.expect(200, g.jwtDocuments(g.signed(s, but(g.good(), "x-client-secret", secret))))
	g.expect(200, g.jwtDocuments(g.signed(s, but(g.good(), "iat", nil))))
	g.expect(406, g.jwtLogin(alice, accept("text/html")))
	g.expect(406, g.jwtDocuments(alice, accept("text/html")))
	g.expect(415, g.do("POST", "/login", "x", jwtHeader(alice), contentType("text/plain")))
	g.expect(401, g.do("GET", "/oauth/token?grant_type=client_credentials", "", jwtHeader(alice))) // the User Center does not know it
	g.equal("uses", g.Ledger().JWTUses, emulator.JWTUses{Accepted: 10})
}

func TestJWTAlgorithms(t *testing.T) {
	g, p := startedWithJWT(t, rsaSigner("k1", "RS256"), emulator.JWT{RefetchOnUnknownKey: true})
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"} {
		s := rsaSigner(alg, alg)
		if strings.HasPrefix(alg, "ES") {
			s = ecSigner(t, alg, alg)
		}
		published := s
		published.alg, published.use = "", "" // both are optional in a JWK
		p.publish(published)
		if r := g.jwtDocuments(g.signed(s, g.good())); r.status != 200 {
			t.Errorf("%s: status %d: %s", alg, r.status, r.body)
		}
	}
}

// TestJWTBesideOtherCredentials: the JWT alone decides.
func TestJWTBesideOtherCredentials(t *testing.T) {
	s := rsaSigner("k1", "RS256")
	g, _ := startedWithJWT(t, s, emulator.JWT{})
	alice, bob := g.signed(s, g.good()), token(g.login("bob"))
	for _, beside := range [][]header{{basic(acme, "wrong")}, {basic(beta, "beta-s3cret"), identifier("bob")}, {bearer("x")}, {bearer(bob)}} {
		g.equal("user", g.expect(200, g.jwtDocuments(alice, beside...)).text("user"), "alice")
		login := g.expect(200, g.jwtLogin(alice, beside...))
		g.equal("user", g.documents(token(login)).text("user"), "alice")
		g.expect(401, g.jwtDocuments("a.b.c", beside...))
	}
	g.expect(401, g.jwtDocuments("a.b.c", basic(acme, secret), identifier("alice")))
	g.expect(401, g.jwtLogin("a.b.c", basic(acme, secret), identifier("alice")))
	g.expect(200, g.login("alice", header{"X-JWT-Authorization", ""})) // an empty header is none
	carol := g.signed(s, but(g.good(), "x-user-identifier", "carol"))
	g.expect(200, g.jwtDocuments(carol, bearer(bob)))
	g.equal("derived", g.Ledger().User("carol").Derived, true)
	// Nor is a call attributed to whom the others name.
	l := g.Ledger()
	g.equal("unknown client's", l.CountClient(emulator.UnknownClient), 6)
	g.equal("bob's", []any{l.User("bob").Requests, l.TokenUses.Accepted}, []any{1, 4})
}

func TestJWTConfiguration(t *testing.T) {
	s := rsaSigner("k1", "RS256")
	g, p := startedWithJWT(t, s, emulator.JWT{
		UserIdentifierClaim: "sub", ClientIDClaim: "azp", ClientSecretClaim: "sec", Audience: "gini", Leeway: time.Minute,
	})
	claims := jwt.MapClaims{"iss": issuer, "sub": "alice", "azp": acme, "aud": []string{"other", "gini"}, "exp": start.Unix(), "iat": start.Unix()}
	g.clock.SetTime(start.Add(time.Minute - 1))
	g.equal("user", g.expect(200, g.jwtDocuments(g.signed(s, claims))).text("user"), "alice")
	g.clock.SetTime(start.Add(time.Minute))
	g.expect(401, g.jwtDocuments(g.signed(s, claims)))
	claims["exp"] = start.Add(time.Hour).Unix()
	for _, name := range []string{"iat", "nbf"} {
		g.clock.SetTime(start.Add(-time.Minute))
		g.expect(200, g.jwtDocuments(g.signed(s, but(claims, name, start.Unix()))))
		g.clock.SetTime(start.Add(-time.Minute - 1))
		g.expect(401, g.jwtDocuments(g.signed(s, but(claims, name, start.Unix()))))
	}
	g.clock.SetTime(start)
	g.expect(401, g.jwtDocuments(g.signed(s, but(claims, "sec", "wrong"))))
	g.expect(200, g.jwtDocuments(g.signed(s, but(claims, "aud", "gini"))))
	for _, audience := range []any{nil, "other", []string{"other"}, "", []string{}} {
		g.expect(401, g.jwtDocuments(g.signed(s, but(claims, "aud", audience))))
	}

	l := g.Ledger()
	g.equal("attributed", []int{l.CountClient(acme), l.User("alice").Requests}, []int{l.Requests(), l.Requests()})

	// Changed while running: other names, then none at all.
	g.equal("there", g.SetJWT(acme, emulator.JWT{Issuer: issuer, JWKSURL: p.url}), true)
	g.equal("not there", g.SetJWT("nobody", emulator.JWT{Issuer: issuer, JWKSURL: p.url}), false)
	g.expect(401, g.jwtDocuments(g.signed(s, claims)))
	g.expect(200, g.jwtDocuments(g.signed(s, g.good())))
	g.SetJWT(acme, emulator.JWT{})
	g.equal("message", g.expect(401, g.jwtDocuments(g.signed(s, g.good()))).text("message"), "JWT is of an issuer that no client has")
}

func TestJWTOfAClientThatChanges(t *testing.T) {
	s := rsaSigner("k1", "RS256")
	g, p := startedWithJWT(t, s, emulator.JWT{})
	alice := g.signed(s, but(g.good(), "x-client-secret", secret))
	g.expect(200, g.jwtDocuments(alice))
	g.RotateSecret(acme, "new")
	g.expect(401, g.jwtDocuments(alice))
	g.expect(200, g.jwtDocuments(g.signed(s, but(g.good(), "x-client-secret", "new"))))
	g.RemoveClient(acme)
	g.expect(401, g.jwtDocuments(g.signed(s, g.good())))
	g.AddClient(acme, "new")
	g.expect(401, g.jwtDocuments(g.signed(s, g.good())))

	// Clients may share an issuer.
	g.SetJWT(acme, emulator.JWT{Issuer: issuer, JWKSURL: p.url})
	g.SetJWT(beta, emulator.JWT{Issuer: issuer, JWKSURL: p.url})
	for _, id := range []string{acme, beta} {
		g.equal("client", g.expect(200, g.jwtDocuments(g.signed(s, but(g.good(), "x-client-id", id)))).text("client"), id)
	}
	g.expect(401, g.jwtDocuments(g.signed(s, but(g.good(), "x-client-id", "gamma"))))
	g.equal("one set for both", p.fetches(), 1)
}

func TestJWTLedger(t *testing.T) {
	s := rsaSigner("k1", "RS256")
	var log bytes.Buffer
	g, p := startedWithJWT(t, s, emulator.JWT{CacheFor: time.Hour}, emulator.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	alice := g.signed(s, but(g.good(), "x-client-secret", secret))
	g.jwtDocuments(alice)
	mark := g.Mark()
	g.jwtLogin(alice)
	g.clock.Step(16 * time.Minute)
	g.jwtDocuments(alice)
	nobody := g.signed(s, but(g.good(), "x-client-id", "nobody"))
	g.jwtDocuments(nobody)
	stranger := g.signed(s, but(but(g.good(), "iss", "https://other.example"), "x-client-id", beta))
	g.jwtDocuments(stranger)
	g.clock.Step(time.Hour)
	p.answer(503, "", nil)
	late := g.signed(s, g.good())
	g.jwtLogin(late)

	l := g.Ledger()
	g.equal("uses", l.JWTUses, emulator.JWTUses{Accepted: 2, Refused: 4, UsedExpired: 1, WrongClaims: 1, UnknownIssuer: 1, NoKeySet: 1})
	g.equal("alice's uses", l.User("alice").JWTUses, emulator.JWTUses{Accepted: 2, Refused: 2, UsedExpired: 1, NoKeySet: 1})
	u := l.User("alice")
	g.equal("alice", []any{u.ClientID, u.Derived, u.Requests, u.TokenRequests, u.Logins, u.TokensIssued}, []any{acme, true, 4, 2, 1, 1})
	g.equal("expired", l.ExpiredJWTUses(), 1)
	g.equal("expired tokens", l.ExpiredUses(), 0)
	g.equal("expired use", l.ExpiredUseList[0], emulator.ExpiredUse{Token: emulator.Fingerprint(alice), Operation: emulator.Documents, ClientID: acme,
		User: "alice", Expired: start.Add(15 * time.Minute), Used: start.Add(16 * time.Minute)})
	g.equal("fetches", l.JWKSetFetches, map[string]emulator.Fetches{acme: {Total: 2, Failed: 1}})
	// Attributed as claimed, to clients that were ever registered.
	g.equal("clients", []int{l.CountClient(acme), l.CountClient(beta), l.CountClient(emulator.UnknownClient)}, []int{4, 1, 1})
	g.equal("call", l.CallsSince(mark)[0], emulator.Call{Sequence: 2, Time: start, Operation: emulator.Login, Method: "POST", Path: "/login", ClientID: acme,
		User: "alice", Token: emulator.Fingerprint(alice), JWT: true, Status: 200, Done: true})

	body := g.do("GET", "/ledger", "").body
	for _, name := range []string{`"jwt_uses":{"accepted":2,"refused":4`, `"jwk_set_fetches":{"acme":{"total":2,"failed":1}}`} {
		if !strings.Contains(body, name) {
			t.Errorf("%s is not in %s", name, body)
		}
	}
	g.Close()
	if !strings.Contains(log.String(), "JWK Set cannot be used") {
		t.Errorf("the failure was not logged: %s", log.String())
	}
	for _, j := range []string{alice, nobody, stranger, late} {
		for part := range strings.SplitSeq(j, ".") {
			if strings.Contains(body, part) || strings.Contains(log.String(), part) {
				t.Error("a JWT is in the ledger or in the log")
			}
		}
	}
}

// TestFaultsForJWTCalls: scripts pick them by what the JWT claims.
func TestFaultsForJWTCalls(t *testing.T) {
	s := rsaSigner("k1", "RS256")
	g, p := startedWithJWT(t, s, emulator.JWT{})
	alice, bob := g.signed(s, g.good()), g.signed(s, but(g.good(), "x-user-identifier", "bob"))
	g.Script(emulator.Fault{Match: emulator.Match{User: "alice", Count: 2}, Effect: emulator.TooManyRequests(7 * time.Second)})
	g.equal("Retry-After", g.expect(429, g.jwtLogin(alice)).header.Get("Retry-After"), "7")
	g.expect(429, g.jwtDocuments(alice))
	g.equal("nothing was checked", []any{p.fetches(), g.Ledger().JWTUses}, []any{0, emulator.JWTUses{}})
	g.expect(200, g.jwtLogin(bob))
	g.expect(200, g.jwtLogin(alice))
	g.Script(emulator.Fault{Match: emulator.Match{ClientID: acme, Operations: []emulator.Operation{emulator.Documents}}, Effect: emulator.Unavailable()})
	g.expect(503, g.jwtDocuments(alice))
	g.expect(200, g.jwtLogin(alice))
	g.Reset()
	g.Script(emulator.Fault{Match: emulator.Match{User: "bob"}, Effect: emulator.EmptyBody(200).AfterTakingEffect()})
	g.equal("body", g.expect(200, g.jwtLogin(bob)).body, "")
	g.equal("bob's logins", g.Ledger().User("bob").Logins, 2)
}

func TestJWTConfigurationJSON(t *testing.T) {
	config := emulator.JWT{Issuer: issuer, JWKSURL: "https://id.acme.example/jwks.json", Audience: "gini", Leeway: 30 * time.Second, CacheFor: time.Hour,
		RefetchOnUnknownKey: true, StaleIfError: true, UserIdentifierClaim: "sub", ClientIDClaim: "azp", ClientSecretClaim: "sec"}
	data, err := json.Marshal(config)
	if err != nil || !strings.Contains(string(data), `"cache_for":"1h0m0s"`) {
		t.Fatalf("%v: %s", err, data)
	}
	var back emulator.JWT
	if err := json.Unmarshal(data, &back); err != nil || back != config {
		t.Errorf("read back: %v: %+v", err, back)
	}
	const whole = `"issuer":"i","jwks_url":"http://a/b"`
	for _, bad := range []string{`{"issuer":"i"}`, `{"jwks_url":"http://a/b"}`, `{` + whole + `,"leeway":"-1s"}`, `{` + whole + `,"cache_for":"none"}`,
		`{` + whole + `,"cache_for":60}`, `{` + whole + `,"isuer":"i"}`, `{"issuer":"i","jwks_url":"ftp://a/b"}`, `{"issuer":"i","jwks_url":"/b"}`,
		`{"issuer":"i","jwks_url":"http://u:s3cret@a/b"}`, `{"issuer":"i","jwks_url":"http://u:s3cret@[/b"}`, `{"audience":"x"}`} {
		var j emulator.JWT
		if err := json.Unmarshal([]byte(bad), &j); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, set := range []func(){func() { emulator.New().SetJWT(acme, emulator.JWT{Issuer: "i"}) }, func() { emulator.WithJWT(emulator.JWT{Issuer: "i"}) }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("taken")
				}
			}()
			set()
		}()
	}
}

func TestAdminJWT(t *testing.T) {
	s := rsaSigner("k1", "RS256")
	g, p := startedWithJWT(t, s, emulator.JWT{})
	admin := httptest.NewServer(g.AdminHandler())
	defer admin.Close()
	post := func(status int, path, body string) {
		t.Helper()
		a := &gini{T: t, url: admin.URL, http: g.http}
		a.expect(status, a.do("POST", "/admin/"+path, body))
	}
	config := `{"issuer":"` + issuer + `","jwks_url":"` + p.url + `","user_identifier_claim":"sub","cache_for":"1h"}`
	post(200, "jwt", `{"client":"acme","jwt":`+config+`}`)
	post(404, "jwt", `{"client":"nobody","jwt":`+config+`}`)
	post(400, "jwt", `{"client":"acme","jwt":{"issuer":"x"}}`)
	post(400, "jwt", `{"client":"acme","jwt":{"isuer":"x"}}`)
	alice := but(g.good(), "sub", "alice")
	g.equal("user", g.expect(200, g.jwtDocuments(g.signed(s, but(alice, "x-user-identifier", nil)))).text("user"), "alice")
	post(200, "jwt", `{"client":"acme"}`)
	g.expect(401, g.jwtDocuments(g.signed(s, alice)))
	post(200, "clients", `{"client":"gamma","secret":"g","jwt":`+config+`}`)
	g.equal("client", g.expect(200, g.jwtDocuments(g.signed(s, but(alice, "x-client-id", "gamma")))).text("client"), "gamma")
}
