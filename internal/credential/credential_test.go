package credential_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/credential"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

func TestValues(t *testing.T) {
	for name, c := range map[string]struct {
		got  credential.Values
		want map[string]string
	}{
		"untrusted": {
			credential.ForUntrusted(secret.New("t0k"), noon.In(time.FixedZone("Berlin", 3600))),
			map[string]string{"access_token": "t0k", "token_type": "Bearer", "expires_at": "2026-03-01T12:00:00Z", "authorization": "Bearer t0k"},
		},
		"trusted with Basic": {
			credential.ForTrustedBasic("acme", secret.New("s3cr:3t"), "alice 1"),
			map[string]string{
				"client_id": "acme", "client_secret": "s3cr:3t", "user_identifier": "alice 1", "authorization_basic": "Basic YWNtZTpzM2NyOjN0",
			},
		},
		"trusted with JWT": {
			credential.ForTrustedJWT(secret.New("e30.e30.c2ln"), noon.In(time.FixedZone("Berlin", 3600))),
			map[string]string{"jwt": "e30.e30.c2ln", "jwt_expires_at": "2026-03-01T12:00:00Z", "x_jwt_authorization": "Bearer e30.e30.c2ln"},
		},
	} {
		if len(c.got) != len(c.want) {
			t.Errorf("%s has %d keys", name, len(c.got))
		}
		for key, want := range c.want {
			if got := c.got[key].Reveal(); got != want {
				t.Errorf("%s: %s is %q, want %q", name, key, got, want)
			}
		}
	}
}

// logins are the flows that log in; each world has the account of the anonymous one.
var logins = map[string]struct {
	login     credential.Login
	operation string
	behaviour func(emulator.Behaviour) emulator.Option
}{
	"derived, Basic": {credential.DerivedBasic{Identifier: "alice"}, "Login", emulator.WithLogin},
	"derived, JWT":   {credential.DerivedJWT{Identifier: "alice", JWT: jwtOf("alice")}, "Login", emulator.WithLogin},
	"anonymous":      {credential.AnonymousPassword{Email: email, Password: password}, "PasswordLogin", emulator.WithUserCenter},
}

func withAccount(t *testing.T, options ...emulator.Option) *world {
	t.Helper()
	w := newWorld(t, options...)
	w.AddAccount(clientID, email, password.Reveal())
	return w
}

// used reports whether Gini accepts a token.
func (w *world) used(token secret.Text) bool { return w.Documents(w.t.Context(), token) == nil }

func TestRenew(t *testing.T) {
	for name, flow := range logins {
		for _, c := range []struct {
			name           string
			mode           emulator.TokenMode
			refresh        emulator.RefreshMode
			first, expired bool
			insist         bool
			sticky         bool
			replaced       bool
			asks           string // after the login
		}{
			{name: "the first token", mode: emulator.Fresh, first: true, replaced: true},
			{name: "the first token of a sticky endpoint", mode: emulator.Sticky, first: true, insist: true, replaced: true},
			{name: "fresh", mode: emulator.Fresh, replaced: true},
			{name: "fresh, insisting", mode: emulator.Fresh, refresh: emulator.RefreshStable, insist: true, replaced: true},
			{name: "fresh ends old", mode: emulator.FreshEndsOld, insist: true, replaced: true},
			{name: "sticky", mode: emulator.Sticky, sticky: true},
			{name: "sticky, with a refresh token that nobody insists on", mode: emulator.Sticky, refresh: emulator.RefreshStable, sticky: true},
			{name: "sticky, insisting without refresh token", mode: emulator.Sticky, insist: true, sticky: true},
			{
				name: "sticky, insisting", mode: emulator.Sticky, refresh: emulator.RefreshStable, insist: true, sticky: true, replaced: true,
				asks: " Refresh",
			},
			{
				name: "sticky, insisting, rotating", mode: emulator.Sticky, refresh: emulator.RefreshRotating, insist: true, sticky: true, replaced: true,
				asks: " Refresh",
			},
			{name: "sticky, once it has expired", mode: emulator.Sticky, refresh: emulator.RefreshStable, expired: true, insist: true, replaced: true},
		} {
			t.Run(name+", "+c.name, func(t *testing.T) {
				w := withAccount(t, emulator.WithLifetime(time.Hour), flow.behaviour(emulator.Behaviour{Mode: c.mode, Refresh: c.refresh}))
				held := ""
				if !c.first {
					before, err := credential.Renew(t.Context(), w, flow.login, "", false)
					if err != nil || !before.Replaced || before.Sticky {
						t.Fatalf("%+v, %v", before, err)
					}
					held = before.Grant.AccessToken.Fingerprint()
				}
				if c.expired {
					w.clock.Step(2 * time.Hour)
				}
				mark := w.Mark()
				renewed, err := credential.Renew(t.Context(), w, flow.login, held, c.insist)
				if err != nil {
					t.Fatal(err)
				}
				if renewed.Sticky != c.sticky || renewed.Replaced != c.replaced {
					t.Errorf("sticky %v, replaced %v", renewed.Sticky, renewed.Replaced)
				}
				if replaced := renewed.Grant.AccessToken.Fingerprint() != held; replaced != c.replaced {
					t.Errorf("says that it is replaced: %v, and it is: %v", renewed.Replaced, replaced)
				}
				if !w.used(renewed.Grant.AccessToken) {
					t.Error("Gini refuses the token")
				}
				w.expectRequests(mark, flow.operation+c.asks+" Documents")
			})
		}
	}
}

// TestRenewRefreshRejected: a refresh token may be expired, or not for this client, and its use may have ended the access token: the
// login decides.
func TestRenewRefreshRejected(t *testing.T) {
	for name, flow := range logins {
		for effect, fault := range map[string]emulator.Effect{
			"400":                               {Kind: emulator.KindStatus, Status: 400, Body: `{"error":"invalid_grant"}`, ContentType: "application/json"},
			"422":                               emulator.Status(422, ""), // invalid, as what was not sent at all
			"401":                               emulator.Status(401, ""),
			"401, and the access token is over": emulator.Status(401, "").AfterTakingEffect(),
		} {
			t.Run(name+", "+effect, func(t *testing.T) {
				w := withAccount(t, flow.behaviour(emulator.Behaviour{Mode: emulator.Sticky, Refresh: emulator.RefreshStable}))
				before, err := credential.Renew(t.Context(), w, flow.login, "", false)
				if err != nil {
					t.Fatal(err)
				}
				w.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.Refresh}}, Effect: fault})
				mark := w.Mark()
				renewed, err := credential.Renew(t.Context(), w, flow.login, before.Grant.AccessToken.Fingerprint(), true)
				if err != nil {
					t.Fatal(err)
				}
				w.expectRequests(mark, flow.operation+" Refresh "+flow.operation)
				ended := strings.Contains(effect, "over")
				if renewed.Replaced != ended || !renewed.Sticky {
					t.Errorf("replaced %v, sticky %v", renewed.Replaced, renewed.Sticky)
				}
				if !w.used(renewed.Grant.AccessToken) {
					t.Error("Gini refuses the token")
				}
			})
		}
	}
}

// TestRenewRefreshExpired: as Spring does it: the access token ends, and the refresh fails all the same.
func TestRenewRefreshExpired(t *testing.T) {
	w := newWorld(t, emulator.WithLifetime(2*time.Hour),
		emulator.WithLogin(emulator.Behaviour{Mode: emulator.Sticky, Refresh: emulator.RefreshStable, RefreshLifetime: time.Hour}))
	login := credential.DerivedBasic{Identifier: "alice"}
	before, err := credential.Renew(t.Context(), w, login, "", false)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Step(90 * time.Minute)
	renewed, err := credential.Renew(t.Context(), w, login, before.Grant.AccessToken.Fingerprint(), true)
	if err != nil || !renewed.Replaced || !w.used(renewed.Grant.AccessToken) {
		t.Errorf("%+v, %v", renewed, err)
	}
}

// TestRenewWithoutRefresh: a refresh that fails costs nothing, as another login tells whether there is a token; nothing else is asked twice.
func TestRenewWithoutRefresh(t *testing.T) {
	for name, flow := range logins {
		for _, effect := range []emulator.Effect{emulator.Unavailable(), emulator.HTML(), emulator.TooManyRequests(time.Minute)} {
			t.Run(fmt.Sprintf("%s, %+v", name, effect), func(t *testing.T) {
				w := withAccount(t, flow.behaviour(emulator.Behaviour{Mode: emulator.Sticky, Refresh: emulator.RefreshStable}))
				before, err := credential.Renew(t.Context(), w, flow.login, "", false)
				if err != nil {
					t.Fatal(err)
				}
				w.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{emulator.Refresh}}, Effect: effect})
				mark := w.Mark()
				renewed, err := credential.Renew(t.Context(), w, flow.login, before.Grant.AccessToken.Fingerprint(), true)
				if err != nil || renewed.Replaced || !w.used(renewed.Grant.AccessToken) {
					t.Errorf("%+v, %v", renewed, err)
				}
				asked := w.Since(mark)
				if asked.Count(emulator.Refresh) != 1 || asked.Count(emulator.Operation(flow.operation)) != 2 {
					t.Errorf("asked %+v", asked.ByOperation)
				}
			})
		}
	}
}

// TestRenewFails: what Gini ends a login with is what is told; nothing is asked twice.
func TestRenewFails(t *testing.T) {
	for name, flow := range logins {
		for kind, c := range map[gini.Kind]struct {
			operation emulator.Operation
			effect    emulator.Effect
		}{
			gini.RateLimited: {emulator.Operation(flow.operation), emulator.TooManyRequests(0)},
			gini.Unavailable: {emulator.Operation(flow.operation), emulator.Unavailable()},
			gini.Unexpected:  {emulator.Operation(flow.operation), emulator.HTML()},
		} {
			t.Run(name+", "+string(kind), func(t *testing.T) {
				w := withAccount(t, flow.behaviour(emulator.Behaviour{Mode: emulator.Sticky, Refresh: emulator.RefreshStable}))
				before, err := credential.Renew(t.Context(), w, flow.login, "", false)
				if err != nil {
					t.Fatal(err)
				}
				w.Script(emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{c.operation}}, Effect: c.effect})
				mark := w.Mark()
				renewed, err := credential.Renew(t.Context(), w, flow.login, before.Grant.AccessToken.Fingerprint(), true)
				if gini.KindOf(err) != kind || !renewed.Grant.AccessToken.Empty() {
					t.Errorf("%+v, %v", renewed, err)
				}
				if n := w.Since(mark).Count(c.operation); n != 1 {
					t.Errorf("%s was asked %d times", c.operation, n)
				}
			})
		}
	}
}

// TestDerivedJWT: a login is asked for with the JWT and nothing else, for the user that it names.
func TestDerivedJWT(t *testing.T) {
	w := newWorld(t)
	login := credential.DerivedJWT{Identifier: "alice", JWT: jwtOf("alice")}
	mark := w.Mark()
	renewed, err := credential.Renew(t.Context(), w, login, "", false)
	if err != nil || !renewed.Replaced || !w.used(renewed.Grant.AccessToken) {
		t.Fatalf("%+v, %v", renewed, err)
	}
	calls := w.Ledger().CallsSince(mark)
	if first := calls[0]; !first.JWT || first.Token != emulator.Fingerprint(login.JWT.Reveal()) || first.User != "alice" || first.ClientID != clientID {
		t.Errorf("%+v", first)
	}
	// Another user's JWT gives another user's token.
	bob, err := credential.DerivedJWT{Identifier: "bob", JWT: jwtOf("bob")}.Obtain(t.Context(), w)
	if err != nil || bob.AccessToken.Equal(renewed.Grant.AccessToken) {
		t.Errorf("%v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v", login, login, login); strings.Contains(text, login.JWT.Reveal()) {
		t.Error("it can be printed with its JWT")
	}
}

// TestDerivedJWTRefused: a JWT that Gini does not take is the identity provider's failure, and nothing else is tried.
func TestDerivedJWTRefused(t *testing.T) {
	strange, err := identity.GenerateKey(identity.ES256)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	for name, jwt := range map[string]secret.Text{"of an unknown key": signedBy(strange, "alice"), "expired": jwtOf("alice")} {
		if name == "expired" {
			w.clock.Step(48 * time.Hour)
		}
		mark := w.Mark()
		renewed, err := credential.Renew(t.Context(), w, credential.DerivedJWT{Identifier: "alice", JWT: jwt}, "held", true)
		if gini.KindOf(err) != gini.JWTRejected || !renewed.Grant.AccessToken.Empty() {
			t.Errorf("%s: %+v, %v", name, renewed, err)
		}
		if err != nil && strings.Contains(err.Error(), jwt.Reveal()) {
			t.Errorf("%s: the error tells the JWT", name)
		}
		w.expectRequests(mark, "Login")
	}
}

func TestLoginNames(t *testing.T) {
	if name := (credential.DerivedBasic{Identifier: "alice"}).Name(); name != "alice" {
		t.Errorf("%q", name)
	}
	if name := (credential.DerivedJWT{Identifier: "alice", JWT: jwtOf("alice")}).Name(); name != "alice" {
		t.Errorf("%q", name)
	}
	if name := (credential.AnonymousPassword{Email: email, Password: password}).Name(); name != email {
		t.Errorf("%q", name)
	}
}

func TestSubject(t *testing.T) {
	alice := credential.Subject{ClientID: "acme", Host: "https://pay-api.gini.net", User: "alice"}
	hashes := map[string]string{}
	for name, subject := range map[string]credential.Subject{
		"alice": alice, "bob": {"acme", "https://pay-api.gini.net", "bob"}, "another client": {"beta", "https://pay-api.gini.net", "alice"},
		"another host": {"acme", "https://user.gini.net", "alice"}, "nobody": {"acme", "https://pay-api.gini.net", ""},
		// What stands in one field is not taken for what stands in another.
		"shifted": {"acmeh", "ttps://pay-api.gini.net", "alice"}, "swapped": {"https://pay-api.gini.net", "acme", "alice"},
	} {
		hash := subject.Hash()
		if other, known := hashes[hash]; known {
			t.Errorf("%s and %s have the same hash", name, other)
		}
		hashes[hash] = name
		if len(hash) > 63 || strings.Count(hash, ".") != 1 || strings.Contains(hash, "alice") || strings.Contains(hash, "acme") {
			t.Errorf("%s: %q is no name that tells nothing", name, hash)
		}
		if subject.Hash() != hash {
			t.Error("not the same at every call")
		}
	}
	// The same user by the hash of what was known: the user's part is kept, client and host are those of now.
	nobody := credential.Subject{ClientID: "acme", Host: "https://pay-api.gini.net"}
	if got := nobody.SameUser(alice.Hash()); got != alice.Hash() {
		t.Errorf("%q, want %q", got, alice.Hash())
	}
	if got := (credential.Subject{ClientID: "beta", Host: "https://pay-api.gini.net"}).SameUser(alice.Hash()); got == alice.Hash() || hashes[got] != "another client" {
		t.Errorf("another client's is %q", got)
	}
	if nobody.SameUser("broken") == alice.Hash() || nobody.SameUser("") == alice.Hash() {
		t.Error("a broken hash is alice")
	}
	known := credential.IdentifierHash("team-a", "user", "alice")
	if len(known) != 8 || known != credential.IdentifierHash("team-a", "user", "alice") || known == credential.IdentifierHash("team-a", "user", "bob") {
		t.Errorf("%q does not tell a change", known)
	}
	if known == credential.IdentifierHash("team-b", "user", "alice") || known == credential.IdentifierHash("team-a", "other", "alice") {
		t.Errorf("%q is the same for another GiniUser", known)
	}
}
