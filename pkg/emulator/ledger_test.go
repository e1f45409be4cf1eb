package emulator_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

func TestLedgerCounts(t *testing.T) {
	g := started(t, emulator.WithUserCenter(emulator.Behaviour{Mode: emulator.Sticky, Refresh: emulator.RefreshStable}))
	client := token(g.clientToken())
	g.createUser(client, email, password)
	id := g.Ledger().Accounts()[0].ID
	g.do("GET", "/api/users/"+id, "", bearer(client))
	g.do("PUT", "/api/users/"+id, `{}`, bearer(client), contentType(jsonType))
	r := g.passwordLogin(email, password)
	g.passwordLogin(email, password)
	g.passwordLogin(email, "wrong!")
	g.refresh(r.text("refresh_token"))
	g.login("alice")
	g.do("GET", "/oauth/check_token?token=x", "")
	g.documents(token(r))
	g.do("GET", "/nowhere", "")
	g.login("alice", basic("nobody", "x"))

	l := g.Ledger()
	for op, want := range map[emulator.Operation]int{
		emulator.ClientToken: 1, emulator.PasswordLogin: 3, emulator.Refresh: 1, emulator.Login: 2, emulator.CreateUser: 1, emulator.GetUser: 1,
		emulator.UpdateUser: 1, emulator.CheckToken: 1, emulator.Documents: 1, emulator.Unknown: 1,
	} {
		g.equal(string(op), l.Count(op), want)
	}
	g.equal("requests", []int{l.Requests(), g.Requests(), len(l.Calls)}, []int{13, 13, 13})
	g.equal("statuses", []int{l.CountStatus(200), l.CountStatus(201), l.CountStatus(400), l.CountStatus(401), l.CountStatus(404)}, []int{6, 1, 3, 2, 1})
	g.equal("acme's logins", l.CountClient(acme, emulator.Login), 1)
	g.equal("acme's requests", l.CountClient(acme), 10)
	g.equal("unknown client's", l.CountClient(emulator.UnknownClient), 3)
	u := l.User(email)
	g.equal("user", []any{u.ID, u.ClientID, u.TokenRequests, u.Logins, u.Refreshes, u.TokensIssued}, []any{id, acme, 4, 2, 1, 2})
	g.equal("uses", u.Uses, emulator.Uses{Refused: 1, UsedEnded: 1})
	g.equal("by id", l.User(id), u)
}

// TestLedgerTellsCredentials: how often whose credentials were tried where, right or wrong, and what was refused, in a window of time.
func TestLedgerTellsCredentials(t *testing.T) {
	g := started(t)
	g.login("alice", basic(acme, "wrong"))
	mark := g.Mark()
	g.login("alice")
	g.login("alice", basic(acme, "wrong"))
	g.login("bob", basic(acme, "wrong"))
	g.clientToken(basic(acme, "wrong"))
	g.do("POST", "/oauth/token", "grant_type=client_credentials&client_id=acme&client_secret=x", contentType(formType))
	g.do("GET", "/documents", "", basic(acme, "wrong"), identifier("alice"))
	g.login("alice", basic("nobody", secret))
	g.login("")                                                               // refused, and yet the credentials are right
	g.passwordLogin(email, password)                                          // likewise
	g.do("POST", "/login", "", identifier("alice"))                           // none
	g.do("POST", "/login", "", header{"X-JWT-Authorization", "Bearer a.b.c"}) // a JWT
	g.Script(fault(emulator.Login, emulator.Status(503, "")))
	g.login("alice")
	g.RemoveClient(beta)
	g.login("alice", basic(beta, "beta-s3cret"))

	since := g.Since(mark)
	g.equal("wrong credentials", since.WrongCredentials, map[string]map[emulator.Operation]int{
		acme:                   {emulator.Login: 2, emulator.ClientToken: 2, emulator.Documents: 1},
		beta:                   {emulator.Login: 1},
		emulator.UnknownClient: {emulator.Login: 1},
	})
	g.equal("refused", since.Refused, map[string]map[emulator.Operation]int{
		acme:                   {emulator.Login: 4, emulator.ClientToken: 2, emulator.Documents: 1, emulator.PasswordLogin: 1},
		beta:                   {emulator.Login: 1},
		emulator.UnknownClient: {emulator.Login: 3},
	})
	g.equal("acme's", []int{since.CountWrongCredentials(acme), since.CountWrongCredentials(acme, emulator.Login, emulator.ClientToken),
		since.CountRefused(acme), since.CountRefused(acme, emulator.Login)}, []int{5, 4, 8, 4})
	l := g.Ledger()
	g.equal("in all", []int{l.CountWrongCredentials(acme, emulator.Login), l.CountRefused(acme, emulator.Login)}, []int{3, 5})
	calls := l.CallsSince(mark)
	g.equal("calls", []bool{calls[0].WrongCredentials, calls[1].WrongCredentials}, []bool{false, true})
	body := g.do("GET", "/ledger", "").body
	for _, name := range []string{`"wrong_credentials":{"(unknown)":{"Login":1},"acme":`, `"refused":{"(unknown)":`, `"wrong_credentials":true`} {
		if !strings.Contains(body, name) {
			t.Errorf("%s is not in %s", name, body)
		}
	}
	g.equal("nothing", g.Since(g.Mark()), emulator.Counts{})
}

func TestExpiredUses(t *testing.T) {
	g := started(t, emulator.WithLifetime(time.Hour))
	tok := token(g.login("alice"))
	g.documents(tok)
	g.clock.Step(time.Hour + 90*time.Second)
	g.equal("expired uses", g.Ledger().ExpiredUses(), 0)
	g.documents(tok)
	g.documents("unknown")
	l := g.Ledger()
	g.equal("expired uses", l.ExpiredUses(), 1)
	g.equal("uses", l.TokenUses, emulator.Uses{Accepted: 1, Refused: 2, UsedExpired: 1, UsedUnknown: 1})
	g.equal("alice's", l.User("alice").Uses, emulator.Uses{Accepted: 1, Refused: 1, UsedExpired: 1})
	use := l.ExpiredUseList[0]
	g.equal("use", use, emulator.ExpiredUse{Token: emulator.Fingerprint(tok), Operation: emulator.Documents, ClientID: acme, User: "alice",
		Expired: start.Add(time.Hour), Used: start.Add(time.Hour + 90*time.Second)})
	g.documents(token(g.clientToken()))
	g.equal("wrong kind", g.Ledger().ClientTokenUses.UsedWrongKind, 1)
	// A token that ended after it expired was expired.
	g.Configure(func(c *emulator.Settings) { c.Login.Mode = emulator.FreshEndsOld })
	g.login("alice")
	g.documents(tok)
	g.equal("expired uses", g.Ledger().ExpiredUses(), 2)
}

func TestMarkAndSince(t *testing.T) {
	g := started(t)
	g.login("alice")
	mark := g.Mark()
	g.equal("nothing", g.Since(mark), emulator.Counts{
		ByOperation: map[emulator.Operation]int{}, ByStatus: map[int]int{}, ByClient: map[string]map[emulator.Operation]int{},
	})
	g.do("GET", "/healthz", "")
	g.do("GET", "/ledger", "")
	g.equal("operational endpoints", g.Since(mark).Requests(), 0)
	g.login("bob")
	since := g.Since(mark)
	g.equal("since", []int{since.Requests(), since.Count(emulator.Login), since.Count(emulator.Documents, emulator.Login), since.CountStatus(200)},
		[]int{1, 1, 1, 1})
	calls := g.Ledger().CallsSince(mark)
	g.equal("calls", len(calls), 1)
	g.equal("call", calls[0], emulator.Call{Sequence: 2, Time: start, Operation: emulator.Login, Method: "POST", Path: "/login", ClientID: acme,
		User: "bob", Status: 200, Done: true})
	g.equal("no calls", len(g.Ledger().CallsSince(g.Mark())), 0)
}

// TestLedgerIsASnapshot: it does not change, and changing it changes nothing.
func TestLedgerIsASnapshot(t *testing.T) {
	g := started(t)
	g.login("alice")
	l := g.Ledger()
	g.login("alice")
	g.equal("before", []int{l.Count(emulator.Login), l.User("alice").Logins, len(l.Calls)}, []int{1, 1, 1})
	l.ByOperation[emulator.Login] = 100
	g.equal("after", g.Ledger().Count(emulator.Login), 2)
}

func TestLedgerIsBounded(t *testing.T) {
	g := started(t, emulator.WithCallLog(7), emulator.WithLifetime(time.Second))
	tok := token(g.login("alice"))
	g.clock.Step(time.Minute)
	for range 1100 {
		g.documents(tok)
	}
	l := g.Ledger()
	g.equal("requests", l.Requests(), 1101)
	g.equal("expired uses", l.ExpiredUses(), 1100)
	if n := len(l.ExpiredUseList); n > 1000 {
		t.Errorf("%d detailed uses", n)
	}
	for i, c := range l.Calls {
		g.equal("sequence", c.Sequence, 1095+i)
	}
	g.equal("calls", len(l.Calls), 7)
}

// TestLedgerJSON: stable names, the same content, and no credential.
func TestLedgerJSON(t *testing.T) {
	g := started(t, emulator.WithUserCenter(emulator.Behaviour{Refresh: emulator.RefreshStable}))
	g.account()
	client, r := token(g.clientToken()), g.passwordLogin(email, password)
	g.documents(token(r))
	g.createUser(client, "b@a.example", "b-password")
	g.clock.Step(13 * time.Hour)
	g.documents(token(r))
	g.do("GET", "/oauth/check_token?token="+token(r), "")
	g.do("GET", "/nowhere/"+secret, "")

	body := g.expect(200, g.do("GET", "/ledger", "")).body
	for _, name := range []string{`"requests":7`, `"by_operation":{`, `"by_status":{`, `"token_uses":{"accepted":1,"refused":1,"used_expired":1`,
		`"accounts":[{"id":`, `"users":[`, `"calls":[`, `"token":"` + emulator.Fingerprint(token(r)) + `"`, `"max_in_flight":{"(unknown)":1,"acme":1`} {
		if !strings.Contains(body, name) {
			t.Errorf("%s is not in %s", name, body)
		}
	}
	for name, credential := range map[string]string{"secret": secret, "password": password, "token": token(r),
		"refresh token": r.text("refresh_token"), "client token": client} {
		if strings.Contains(body, credential) {
			t.Errorf("the ledger has a %s", name)
		}
	}
	var l emulator.Ledger
	if err := json.Unmarshal([]byte(body), &l); err != nil || l.ExpiredUses() != 1 {
		t.Errorf("does not read back: %v", err)
	}
	if body := g.do("GET", "/ledger?summary=true", "").body; strings.Contains(body, `"users"`) || !strings.Contains(body, `"requests":7`) {
		t.Errorf("summary: %s", body)
	}
}

func TestConcurrency(t *testing.T) {
	g := started(t, emulator.WithLogin(emulator.Behaviour{Mode: emulator.Sticky}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			user := fmt.Sprint("user-", i%4)
			for range 10 {
				tok := token(g.login(user))
				if got := g.documents(tok).text("user"); got != user {
					t.Errorf("%s got %s's token", user, got)
				}
				g.Configure(func(c *emulator.Settings) { c.Marker = user })
				g.Script(fault(emulator.Refresh, emulator.Hang()))
				_ = g.Ledger()
			}
		})
	}
	wg.Wait()
	l := g.Ledger()
	g.equal("requests", []int{l.Count(emulator.Login), l.Count(emulator.Documents), l.TokenUses.Accepted}, []int{80, 80, 80})
	for i := range 4 {
		g.equal("tokens", l.User(fmt.Sprint("user-", i)).TokensIssued, 1)
	}
}
