package emulator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// endpoints are the two ways to log in, which may behave unlike each other.
var endpoints = map[string]struct {
	with  func(emulator.Behaviour) emulator.Option
	login func(*gini) reply
}{
	"login":       {emulator.WithLogin, func(g *gini) reply { return g.login("alice") }},
	"user center": {emulator.WithUserCenter, func(g *gini) reply { return g.passwordLogin(email, password) }},
}

func eachEndpoint(t *testing.T, b emulator.Behaviour, test func(g *gini, login func() reply)) {
	t.Helper()
	for name, e := range endpoints {
		t.Run(name, func(t *testing.T) {
			g := started(t, e.with(b))
			g.account()
			test(g, func() reply { g.Helper(); return g.expect(200, e.login(g)) })
		})
	}
}

func token(r reply) string { return r.text("access_token") }

func TestFresh(t *testing.T) {
	eachEndpoint(t, emulator.Behaviour{}, func(g *gini, login func() reply) {
		first, second := login(), login()
		if token(first) == token(second) {
			g.Fatal("the same token")
		}
		g.expect(200, g.documents(token(first)))
		g.expect(200, g.documents(token(second)))
		g.clock.Step(12*time.Hour - 1)
		g.expect(200, g.documents(token(first)))
		g.clock.Step(1)
		g.expect(401, g.documents(token(first)))
	})
}

func TestSticky(t *testing.T) {
	eachEndpoint(t, emulator.Behaviour{Mode: emulator.Sticky, Lifetime: time.Minute}, func(g *gini, login func() reply) {
		first := login()
		for _, step := range []struct {
			after time.Duration
			left  int
		}{{1, 59}, {10 * time.Second, 49}, {48500 * time.Millisecond, 1}, {999 * time.Millisecond, 0}} {
			g.clock.Step(step.after)
			again := login()
			g.equal("token", token(again), token(first))
			g.equal("expires_in", again.fields()["expires_in"], step.left)
		}
		g.clock.SetTime(start.Add(time.Minute))
		next := login()
		if token(next) == token(first) {
			g.Fatal("the token outlived itself")
		}
		g.equal("expires_in", next.fields()["expires_in"], 59)
		g.expect(401, g.documents(token(first)))
		g.expect(200, g.documents(token(next)))
		g.EndAllTokens()
		if token(login()) == token(next) {
			g.Fatal("an ended token was given again")
		}
	})
}

func TestFreshEndsOld(t *testing.T) {
	eachEndpoint(t, emulator.Behaviour{Mode: emulator.FreshEndsOld}, func(g *gini, login func() reply) {
		first, second := login(), login()
		g.expect(401, g.documents(token(first)))
		g.expect(200, g.documents(token(second)))
		g.equal("used ended", g.Ledger().TokenUses, emulator.Uses{Accepted: 1, Refused: 1, UsedEnded: 1})
	})
}

func TestClientTokensHaveTheirOwnMode(t *testing.T) {
	g := started(t, emulator.WithClientToken(emulator.Behaviour{Mode: emulator.Sticky, Lifetime: time.Hour}))
	first := g.clientToken()
	g.clock.Step(time.Hour - time.Second)
	again := g.clientToken()
	g.equal("token", token(again), token(first))
	g.equal("expires_in", again.fields()["expires_in"], 0)
	if other := g.clientToken(basic(beta, "beta-s3cret")); token(other) == token(first) {
		t.Error("two clients share a token")
	}
	g.clock.Step(time.Second)
	if token(g.clientToken()) == token(first) {
		t.Error("the token outlived itself")
	}
	if alice := token(g.login("alice")); alice == token(g.login("alice")) {
		t.Error("users' tokens are sticky too")
	}
}

func TestRefreshTokenStable(t *testing.T) {
	for _, mode := range []emulator.TokenMode{emulator.Fresh, emulator.Sticky, emulator.FreshEndsOld} {
		eachEndpoint(t, emulator.Behaviour{Mode: mode, Refresh: emulator.RefreshStable, Lifetime: time.Hour, RefreshLifetime: 3 * time.Hour},
			func(g *gini, login func() reply) {
				first := login()
				rt := first.text("refresh_token")
				renewed := g.expect(200, g.refresh(rt))
				g.equal("refresh token", renewed.text("refresh_token"), rt)
				g.equal("expires_in", renewed.fields()["expires_in"], 3599)
				g.expect(401, g.documents(token(first)))
				g.expect(200, g.documents(token(renewed)))
				g.clock.Step(2 * time.Hour)
				last := login()
				g.equal("refresh token after a login", last.text("refresh_token"), rt)

				// Expired: 401, and the old access token ends all the same.
				g.clock.Step(time.Hour - 1)
				if mode != emulator.Sticky {
					last = login()
				}
				g.expect(200, g.documents(token(last)))
				g.clock.Step(1)
				if mode == emulator.Sticky {
					return // its last token has just expired, too
				}
				g.expectOAuth(401, "invalid_token", g.refresh(rt))
				g.expect(401, g.documents(token(last)))
				if login().text("refresh_token") == rt {
					g.Fatal("an expired refresh token was given")
				}
			})
	}
}

func TestRefreshTokenRotates(t *testing.T) {
	eachEndpoint(t, emulator.Behaviour{Refresh: emulator.RefreshRotating}, func(g *gini, login func() reply) {
		first, other := login(), login()
		renewed := g.expect(200, g.refresh(first.text("refresh_token")))
		if renewed.text("refresh_token") == first.text("refresh_token") {
			g.Fatal("did not rotate")
		}
		g.expectOAuth(400, "invalid_grant", g.refresh(first.text("refresh_token")))
		g.expect(401, g.documents(token(first)))
		g.expect(200, g.documents(token(other)))
		g.expect(200, g.refresh(renewed.text("refresh_token")))
		g.expect(401, g.documents(token(renewed)))
	})
}

func TestRefreshRefuses(t *testing.T) {
	g := started(t, emulator.WithClient("phone", "s", emulator.WithRefreshTokens()), emulator.WithClient("old", "s", emulator.WithoutRefreshTokens()))
	// No client has the grant unless it is configured: 401, though the secret is right.
	g.expectOAuth(401, "invalid_client", g.refresh("unknown"))
	rt := g.expect(200, g.login("alice", basic("phone", "s"))).text("refresh_token")
	if rt == "" {
		t.Fatal("no refresh token for a client that has the grant")
	}
	g.expectOAuth(400, "invalid_grant", g.refresh("unknown", basic("phone", "s")))
	g.Configure(func(c *emulator.Settings) { c.Login.Refresh = emulator.RefreshStable })
	g.expectOAuth(400, "invalid_grant", g.refresh(rt)) // another client's
	g.expectOAuth(401, "invalid_client", g.refresh(rt, basic("old", "s")))
	g.equal("refresh token", g.login("alice", basic("old", "s")).text("refresh_token"), "")
	g.expect(200, g.refresh(rt, basic("phone", "s")))
	g.clock.Step(30 * 24 * time.Hour)
	g.expectOAuth(401, "invalid_token", g.refresh(rt, basic("phone", "s")))
}

func TestTokenAnswerForms(t *testing.T) {
	for want, b := range map[string]emulator.Behaviour{
		`"expires_in":43199`:    {},
		`"expires_in":43199.0`:  {ExpiresIn: emulator.ExpiresInFloat},
		`"expires_in":"43199"`:  {ExpiresIn: emulator.ExpiresInString},
		`"expires_in":0`:        {ExpiresInRaw: "0"},
		`"expires_in":-5`:       {ExpiresInRaw: "-5"},
		`"expires_in":1e12`:     {ExpiresInRaw: "1e12"},
		`"expires_in":null`:     {ExpiresInRaw: "null"},
		`"token_type":"BEARER"`: {TokenType: "BEARER"},
		`"extra":{"a":[1]}`:     {ExtraFields: map[string]any{"extra": map[string]any{"a": []int{1}}}},
	} {
		eachEndpoint(t, b, func(g *gini, login func() reply) {
			if r := login(); !strings.Contains(r.body, want) {
				g.Errorf("%s is not in the answer (%d bytes)", want, len(r.body))
			}
		})
	}
	for _, b := range []emulator.Behaviour{{ExpiresIn: emulator.ExpiresInAbsent}, {Lifetime: emulator.NoExpiry}} {
		eachEndpoint(t, b, func(g *gini, login func() reply) {
			r := login()
			if _, there := r.fields()["expires_in"]; there {
				g.Error("expires_in is there")
			}
			g.clock.Step(1000 * time.Hour)
			g.expect(map[bool]int{true: 200, false: 401}[b.Lifetime == emulator.NoExpiry], g.documents(token(r)))
		})
	}
}

func TestTokenForms(t *testing.T) {
	for form, fits := range map[emulator.TokenForm]func(string) bool{
		emulator.FormBase64: func(v string) bool { return len(v) == 28 && strings.HasSuffix(v, "=") },
		emulator.FormAwkward: func(v string) bool {
			return strings.Contains(v, "+") && strings.Contains(v, "/") && strings.HasSuffix(v, "=")
		},
		emulator.FormUUID: func(v string) bool { return len(v) == 36 },
	} {
		g := started(t, emulator.WithSettings(func(c *emulator.Settings) { c.TokenForm = form }))
		for range 20 {
			if v := token(g.login("alice")); !fits(v) {
				t.Fatalf("%s: a token of %d characters has another form", form, len(v))
			}
		}
	}
}

// TestLoginsBehaveUnlikeEachOther, and change while running.
func TestLoginsBehaveUnlikeEachOther(t *testing.T) {
	g := started(t, emulator.WithLogin(emulator.Behaviour{Mode: emulator.Sticky}), emulator.WithLifetime(time.Hour))
	g.account()
	first := token(g.login("alice"))
	g.equal("/login", token(g.login("alice")), first)
	if anonymous := token(g.passwordLogin(email, password)); anonymous == token(g.passwordLogin(email, password)) {
		t.Error("the User Center is sticky too")
	}
	g.Configure(func(c *emulator.Settings) { c.Login.Mode = emulator.Fresh })
	if token(g.login("alice")) == first {
		t.Error("still sticky")
	}
}
