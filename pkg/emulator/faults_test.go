package emulator_test

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

func fault(op emulator.Operation, e emulator.Effect) emulator.Fault {
	return emulator.Fault{Match: emulator.Match{Operations: []emulator.Operation{op}}, Effect: e}
}

func TestFaultAnswers(t *testing.T) {
	g := started(t)
	for name, tc := range map[string]struct {
		effect emulator.Effect
		status int
		check  func(reply) bool
	}{
		"429 without Retry-After": {emulator.TooManyRequests(0), 429, func(r reply) bool {
			return r.header.Get("Retry-After") == "" && r.text("message") != ""
		}},
		"429 with seconds": {emulator.TooManyRequests(1500 * time.Millisecond), 429, func(r reply) bool { return r.header.Get("Retry-After") == "2" }},
		"429 with a date": {emulator.TooManyRequestsUntil(90 * time.Second), 429, func(r reply) bool {
			at, err := http.ParseTime(r.header.Get("Retry-After"))
			return err == nil && at.Equal(start.Add(90*time.Second))
		}},
		"503 plain text": {emulator.Unavailable(), 503, func(r reply) bool {
			return strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") && strings.Contains(r.body, "later")
		}},
		"500 in the host's form": {emulator.Status(500, ""), 500, func(r reply) bool { return r.text("requestId") == r.header.Get("X-Request-Id") }},
		"broken JSON":            {emulator.BrokenJSON(), 200, func(r reply) bool { return strings.HasPrefix(r.body, "{") && len(r.fields()) == 0 }},
		"HTML":                   {emulator.HTML(), 200, func(r reply) bool { return strings.HasPrefix(r.header.Get("Content-Type"), "text/html") }},
		"empty body":             {emulator.EmptyBody(200), 200, func(r reply) bool { return r.body == "" }},
		"oversized":              {emulator.Oversized(3 << 20), 200, func(r reply) bool { return len(r.body) == 3<<20 && len(r.text("access_token")) > 1<<20 }},
		"302": {emulator.Redirect(0, "https://elsewhere.example/"), 302, func(r reply) bool {
			return r.header.Get("Location") == "https://elsewhere.example/"
		}},
		"307": {emulator.Redirect(307, "https://elsewhere.example/"), 307, func(r reply) bool {
			return r.header.Get("Location") == "https://elsewhere.example/"
		}},
		"own header": {emulator.Effect{Header: map[string]string{"X-Own": "1"}}, 200, func(r reply) bool { return r.header.Get("X-Own") == "1" }},
	} {
		remove := g.Script(fault(emulator.Login, tc.effect))
		mark := g.Mark()
		r := g.login(name)
		if r.status != tc.status || !tc.check(r) {
			t.Errorf("%s: %d %v, body of %d bytes", name, r.status, r.header, len(r.body))
		}
		if tc.effect.Kind != "" && g.Ledger().User(name).Logins != 0 {
			t.Errorf("%s: the request took effect", name)
		}
		g.equal("by status", g.Since(mark).CountStatus(tc.status), 1)
		remove()
		g.expect(200, g.login(name))
	}
	// At the User Center errors have its own form.
	g.Script(fault(emulator.ClientToken, emulator.Status(500, "")))
	g.expectOAuth(500, "server_error", g.clientToken())
}

// TestAnswerLost: the account exists, and the client does not know.
func TestAnswerLost(t *testing.T) {
	for _, e := range []emulator.Effect{emulator.CutBeforeHeader(), emulator.CutMidBody(), emulator.Status(500, ""), emulator.Unavailable()} {
		g := started(t)
		client := g.clientToken().text("access_token")
		g.Script(fault(emulator.CreateUser, e))
		body := `{"email":"` + email + `","password":"` + password + `"}`
		create := func() { _, _ = g.try("POST", "/api/users", body, bearer(client), contentType(jsonType)) }
		create()
		g.equal("accounts", len(g.Ledger().Accounts()), 0)
		g.Reset()
		g.Script(fault(emulator.CreateUser, e.AfterTakingEffect()))
		create()
		g.equal("accounts", len(g.Ledger().Accounts()), 1)
		g.expect(200, g.passwordLogin(email, password))
		create()
		g.Reset()
		g.expect(400, g.createUser(client, email, password))
	}
}

func TestCutConnections(t *testing.T) {
	g := started(t)
	g.Script(fault(emulator.Login, emulator.CutBeforeHeader()))
	if _, err := g.try("POST", "/login", "", basic(acme, secret), identifier("alice")); err == nil {
		t.Error("there was an answer")
	}
	g.Reset()
	g.Script(fault(emulator.Login, emulator.CutMidBody()))
	r := g.login("alice")
	if r.status != 200 || r.err == nil {
		t.Errorf("status %d, error %v: not cut in the body", r.status, r.err)
	}
	g.equal("no answer", g.Ledger().CountStatus(0), 2)
}

func TestLatency(t *testing.T) {
	g := started(t)
	const d = 30 * time.Millisecond
	for _, e := range []emulator.Effect{emulator.Latency(d), {LatencyAfter: d}, {Latency: d / 2, LatencyAfter: d / 2}} {
		g.Reset()
		g.Script(fault(emulator.Login, e))
		before := time.Now()
		g.expect(200, g.login("alice"))
		if took := time.Since(before); took < d {
			t.Errorf("answered after %v", took)
		}
	}
}

func TestHang(t *testing.T) {
	g := started(t)
	g.Script(fault(emulator.Login, emulator.Hang()))
	answered := make(chan int)
	hang := func(user string) {
		r, _ := g.try("POST", "/login", "", basic(acme, secret), identifier(user))
		answered <- r.status
	}
	go hang("alice")
	g.eventually("the request arrived", func() bool { return g.Ledger().Count(emulator.Login) == 1 })
	g.equal("logins before the release", g.Ledger().User("alice").Logins, 0)
	g.Release()
	g.equal("status", <-answered, 200)
	go hang("bob") // the rule stands
	g.eventually("the request arrived", func() bool { return g.Ledger().Count(emulator.Login) == 2 })
	g.Reset()
	g.equal("status", <-answered, 200)

	// The client goes away: the request comes to nothing.
	g.Script(fault(emulator.Login, emulator.Hang()))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/login", nil)
		req.SetBasicAuth(acme, secret)
		req.Header.Set("X-User-Identifier", "carol")
		if res, err := g.http.Do(req); err == nil {
			res.Body.Close()
			t.Error("there was an answer")
		}
		close(answered)
	}()
	g.eventually("the request arrived", func() bool { return g.Ledger().User("carol").Requests == 1 })
	cancel()
	<-answered
	g.eventually("the request left", func() bool { return g.Ledger().CountStatus(0) == 1 })
	g.equal("logins", g.Ledger().User("carol").Logins, 0)
}

// eventually polls what another goroutine does.
func (g *gini) eventually(what string, is func() bool) {
	g.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			g.Fatalf("never: %s", what)
		}
	}
}

func TestMatch(t *testing.T) {
	alice := func(m emulator.Match) emulator.Match { m.User = "alice"; return m }
	for name, tc := range map[string]struct {
		match emulator.Match
		want  string // one letter for each login of alice: x is the fault
	}{
		"all":            {alice(emulator.Match{}), "xxxxxx"},
		"nth":            {alice(emulator.Match{Nth: 2}), ".x...."},
		"every":          {alice(emulator.Match{Every: 3}), "..x..x"},
		"count":          {alice(emulator.Match{Count: 2}), "xx...."},
		"skip":           {alice(emulator.Match{Skip: 4}), "....xx"},
		"skip, count":    {alice(emulator.Match{Skip: 1, Count: 2}), ".xx..."},
		"every, count":   {alice(emulator.Match{Every: 2, Count: 1}), ".x...."},
		"client":         {alice(emulator.Match{ClientID: acme}), "xxxxxx"},
		"other client":   {alice(emulator.Match{ClientID: beta}), "......"},
		"other user":     {emulator.Match{User: "bob"}, "......"},
		"other op":       {alice(emulator.Match{Operations: []emulator.Operation{emulator.Refresh}}), "......"},
		"one of two":     {alice(emulator.Match{Operations: []emulator.Operation{emulator.Refresh, emulator.Login}}), "xxxxxx"},
		"until":          {alice(emulator.Match{Until: start.Add(3 * time.Second)}), "xxx..."},
		"no overlap":     {alice(emulator.Match{Overlapping: true}), "......"},
		"no stale token": {alice(emulator.Match{StaleClientToken: true}), "......"},
	} {
		t.Run(name, func(t *testing.T) {
			g := started(t)
			g.Script(emulator.Fault{Name: "mine", Match: tc.match, Effect: emulator.Status(503, "")})
			var got strings.Builder
			for range tc.want {
				switch g.login("alice").status {
				case 200:
					got.WriteByte('.')
				case 503:
					got.WriteByte('x')
				}
				if name != "other user" {
					g.expect(200, g.login("carol"))
				}
				g.clock.Step(time.Second)
			}
			g.equal("logins", got.String(), tc.want)
			g.equal("faults", g.Ledger().Faults["mine"], strings.Count(tc.want, "x"))
		})
	}
}

func TestRulesAreOrdered(t *testing.T) {
	g := started(t)
	g.Script(
		emulator.Fault{Match: emulator.Match{Count: 1}, Effect: emulator.Status(500, "")},
		emulator.Fault{Match: emulator.Match{Count: 1}, Effect: emulator.Status(502, "")},
	)
	remove := g.Script(emulator.Fault{Effect: emulator.Status(504, "")})
	for _, status := range []int{500, 502, 504, 504} {
		g.expect(status, g.login("alice"))
	}
	remove()
	g.expect(200, g.login("alice"))
}

// TestMatchByAccount: an anonymous user is meant by id and by address, in logins and in uses of the token.
func TestMatchByAccount(t *testing.T) {
	g := started(t)
	id := g.account()
	tok, client := token(g.passwordLogin(email, password)), token(g.clientToken())
	for _, name := range []string{id, email} {
		g.Reset()
		g.Script(emulator.Fault{Match: emulator.Match{User: name}, Effect: emulator.Status(503, "")})
		g.expect(503, g.passwordLogin(email, password))
		g.expect(503, g.documents(tok))
		g.expect(503, g.do("GET", "/api/users/"+id, "", bearer(client)))
		g.expect(503, g.do("DELETE", "/api/users/"+id, "", bearer(client)))
		g.expect(200, g.login("alice"))
	}
	g.Reset()
	g.Script(emulator.Fault{Match: emulator.Match{User: "b@a.example"}, Effect: emulator.Status(503, "")})
	g.expect(503, g.createUser(client, "b@a.example", password))
	g.expect(201, g.createUser(client, "c@a.example", password))
}

func TestStaleClientTokenFault(t *testing.T) {
	g := started(t)
	client := g.clientToken().text("access_token")
	g.Script(emulator.Fault{Match: emulator.Match{StaleClientToken: true, Count: 1}, Effect: emulator.Status(403, "")})
	g.expect(201, g.createUser(client, email, password))
	g.EndClientTokens(acme)
	g.expect(403, g.createUser(client, "b@a.example", password))
	g.expect(401, g.createUser(client, "b@a.example", password))
}

// TestOverlappingTokenRequests: the second of two at once fails where that is wanted, and is counted in any case.
func TestOverlappingTokenRequests(t *testing.T) {
	for _, fails := range []bool{false, true} {
		g := started(t)
		g.Configure(func(c *emulator.Settings) { c.FailOverlapping = fails })
		g.Script(emulator.Fault{Match: emulator.Match{Nth: 1}, Effect: emulator.Hang()})
		first := make(chan int)
		go func() { first <- g.login("alice").status }()
		g.eventually("the first arrived", func() bool { return g.Requests() == 1 })
		g.expect(200, g.login("bob"))
		g.expect(map[bool]int{true: 500, false: 200}[fails], g.login("alice"))
		g.Release()
		g.equal("first", <-first, 200)
		g.expect(200, g.login("alice"))
		l := g.Ledger()
		g.equal("overlaps", l.OverlappingTokenRequests, 1)
		g.equal("alice", []int{l.User("alice").Overlapping, l.User("alice").MaxTokenRequests, l.TokenRequests("alice")}, []int{1, 2, 3})
		g.equal("bob", []int{l.User("bob").Overlapping, l.User("bob").MaxTokenRequests}, []int{0, 1})
		g.equal("in flight", l.MaxInFlight(acme), 2)
		g.equal("client tokens", l.OverlappingClientTokens, 0)
	}
}

func TestOverlappingClientTokens(t *testing.T) {
	g := started(t)
	g.Script(emulator.Fault{Match: emulator.Match{Nth: 1}, Effect: emulator.Hang()})
	first := make(chan int)
	go func() { first <- g.clientToken().status }()
	g.eventually("the first arrived", func() bool { return g.Requests() == 1 })
	g.clientToken()
	g.clientToken(basic(beta, "beta-s3cret"))
	g.Release()
	<-first
	g.equal("overlaps", g.Ledger().OverlappingClientTokens, 1)
}

// TestEffectJSON: what a script in Go does can be sent to /admin/script.
func TestEffectJSON(t *testing.T) {
	f := emulator.Fault{Name: "x", Match: emulator.Match{Nth: 2}, Effect: emulator.TooManyRequestsUntil(time.Minute)}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	back, err := emulator.ParseScript(data)
	if err != nil || len(back) != 1 || !reflect.DeepEqual(back[0], f) {
		t.Errorf("%+v, %v from %s", back, err, data)
	}
}
