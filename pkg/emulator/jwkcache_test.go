package emulator_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// TestJWKSetCacheLifetime: by Cache-Control, or by CacheFor whatever that says; always by the emulator's clock.
func TestJWKSetCacheLifetime(t *testing.T) {
	s := rsaSigner("k1", "RS256")
	for name, tc := range map[string]struct {
		control  string
		cacheFor time.Duration
		want     time.Duration
	}{
		"none told":              {"", 0, 5 * time.Minute},
		"max-age":                {"public, max-age=90", 0, 90 * time.Second},
		"quoted, in capitals":    {`MAX-AGE="90", public`, 0, 90 * time.Second},
		"broken":                 {"max-age=x", 0, 5 * time.Minute},
		"negative":               {"max-age=-1", 0, 5 * time.Minute},
		"never":                  {"max-age=0", 0, 0},
		"no-store":               {"no-store, max-age=90", 0, 0},
		"no-cache":               {"max-age=90, no-cache", 0, 0},
		"fixed":                  {"", time.Hour, time.Hour},
		"fixed against max-age":  {"max-age=90", time.Hour, time.Hour},
		"fixed below max-age":    {"max-age=90", time.Minute, time.Minute},
		"fixed against no-store": {"no-store", time.Hour, time.Hour},
		"longer than a duration": {"max-age=9223372036854775807", 0, 10 * 365 * 24 * time.Hour},
		"longer than any number": {"max-age=99999999999999999999", 0, 5 * time.Minute},
		"another name's number":  {"s-maxage=7, stale-if-error=8", 0, 5 * time.Minute},
	} {
		g, p := startedWithJWT(t, s, emulator.JWT{CacheFor: tc.cacheFor})
		p.answer(200, keySet(t, s), map[string]string{"Cache-Control": tc.control})
		at := func(after time.Duration) int {
			g.clock.SetTime(start.Add(after))
			g.expect(200, g.jwtDocuments(g.signed(s, g.good())))
			return p.fetches()
		}
		got := []int{at(0)}
		if tc.want > 0 {
			got = append(got, at(tc.want-1))
		}
		got = append(got, at(tc.want))
		want := []int{1, 1, 2}
		if tc.want == 0 {
			want = []int{1, 2}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: fetches %v, want %v", name, got, want)
		}
		g.equal("counted", g.Ledger().JWKSetFetches[acme], emulator.Fetches{Total: 2})
	}
}

// rotation is what a provider does whose JWTs live for 15 minutes and whose JWK Set Gini caches for an hour.
type rotation struct {
	*gini
	p       *provider
	current signer
}

// uses lets time pass, with a JWT used each five minutes.
func (r *rotation) uses(during time.Duration) {
	r.Helper()
	for range during / (5 * time.Minute) {
		r.clock.Step(5 * time.Minute)
		r.jwtDocuments(r.signed(r.current, r.good()))
	}
}

// TestRotationUnderALongCache: with pre-publication nothing is refused; without it, all is until the cache ends.
func TestRotationUnderALongCache(t *testing.T) {
	signers := []signer{ecSigner(t, "k0", "ES256"), ecSigner(t, "k1", "ES256"), ecSigner(t, "k2", "ES256"), ecSigner(t, "k3", "ES256")}
	start := func() *rotation {
		g, p := startedWithJWT(t, signers[0], emulator.JWT{CacheFor: time.Hour})
		r := &rotation{gini: g, p: p, current: signers[0]}
		r.uses(90 * time.Minute)
		return r
	}
	r := start()
	for _, next := range signers[1:] {
		r.p.publish(r.current, next)
		r.uses(time.Hour) // now every cached set has it
		last := r.signed(r.current, r.good())
		r.current = next
		r.uses(10 * time.Minute)
		r.expect(200, r.jwtDocuments(last))
		r.uses(5 * time.Minute) // now the last JWT of the old key has expired
		r.p.publish(r.current)
		r.uses(2 * time.Hour)
	}
	uses := r.Ledger().JWTUses
	r.equal("uses", uses, emulator.JWTUses{Accepted: uses.Accepted})
	if uses.Accepted < 100 {
		t.Errorf("only %d uses", uses.Accepted)
	}

	r = start()
	for _, next := range signers[1:] {
		r.p.publish(next)
		r.current = next
		r.uses(2 * time.Hour)
	}
	uses = r.Ledger().JWTUses
	if uses.UnknownKey == 0 || uses.UnknownKey != uses.Refused {
		t.Errorf("signed with a key that nobody could know, and refused: %+v", uses)
	}

	// Published for less than the cache lasts: refused until it ends.
	r = start()
	r.p.publish(signers[0], signers[1])
	r.uses(5 * time.Minute)
	r.current = signers[1]
	r.uses(2 * time.Hour)
	if uses = r.Ledger().JWTUses; uses.UnknownKey == 0 || uses.UnknownKey != uses.Refused {
		t.Errorf("signed too early: %+v", uses)
	}
}

func TestRefetchOnUnknownKey(t *testing.T) {
	old, next := ecSigner(t, "k1", "ES256"), ecSigner(t, "k2", "ES256")
	for _, refetch := range []bool{false, true} {
		g, p := startedWithJWT(t, old, emulator.JWT{CacheFor: time.Hour, RefetchOnUnknownKey: refetch})
		g.expect(200, g.jwtDocuments(g.signed(old, g.good())))
		p.publish(next)
		g.expect(map[bool]int{true: 200, false: 401}[refetch], g.jwtDocuments(g.signed(next, g.good())))
		// The old key is taken back at once only where something made it look again.
		g.expect(map[bool]int{true: 401, false: 200}[refetch], g.jwtDocuments(g.signed(old, g.good())))
		g.equal("fetches", p.fetches(), map[bool]int{true: 3, false: 1}[refetch])
		g.clock.Step(time.Hour)
		g.expect(200, g.jwtDocuments(g.signed(next, g.good())))
	}
}

func TestStaleIfError(t *testing.T) {
	s, next := ecSigner(t, "k1", "ES256"), ecSigner(t, "k2", "ES256")
	for _, stale := range []bool{false, true} {
		g, p := startedWithJWT(t, s, emulator.JWT{StaleIfError: stale})
		p.answer(503, "", nil)
		g.expect(401, g.jwtDocuments(g.signed(s, g.good()))) // there is no old one yet
		p.publish(s)
		g.expect(200, g.jwtDocuments(g.signed(s, g.good()))) // a failure is not remembered
		p.answer(503, "", nil)
		g.clock.Step(5*time.Minute - 1)
		g.expect(200, g.jwtDocuments(g.signed(s, g.good())))
		g.clock.Step(1)
		for range 2 {
			g.expect(map[bool]int{true: 200, false: 401}[stale], g.jwtDocuments(g.signed(s, g.good())))
		}
		p.publish(next)
		g.expect(401, g.jwtDocuments(g.signed(s, g.good())))
		g.expect(200, g.jwtDocuments(g.signed(next, g.good())))
		g.equal("fetches", g.Ledger().JWKSetFetches[acme], emulator.Fetches{Total: 5, Failed: 3})
	}
}

// TestSlowJWKSet: others are answered meanwhile, and one fetch serves all who wait, though the one who began it has left.
func TestSlowJWKSet(t *testing.T) {
	s := rsaSigner("k1", "RS256")
	g, p := startedWithJWT(t, s, emulator.JWT{})
	g.SetJWT(beta, emulator.JWT{Issuer: "https://beta.example", JWKSURL: p.url})
	release := p.hold()
	alice := g.signed(s, g.good())
	bob := g.signed(s, but(but(g.good(), "iss", "https://beta.example"), "x-client-id", beta))

	leaving, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		req, _ := http.NewRequestWithContext(leaving, http.MethodGet, g.url+"/documents", nil)
		req.Header.Set("X-JWT-Authorization", "Bearer "+alice)
		res, err := g.http.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		left <- err
	}()
	g.eventually("the set is asked for", func() bool { return p.fetches() == 1 })
	leave()
	if <-left == nil {
		t.Error("answered without the JWK Set")
	}

	statuses := make(chan int, 8)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r, err := g.try("POST", "/login", "", jwtHeader([]string{alice, bob}[i%2]))
			if err != nil {
				t.Error(err)
			}
			statuses <- r.status
		})
	}
	g.eventually("all have arrived", func() bool { return g.Requests() == 9 })
	g.expect(200, g.login("carol")) // does not wait
	g.equal("in flight", g.Ledger().Count(emulator.Login), 9)
	release()
	wg.Wait()
	close(statuses)
	for status := range statuses {
		g.equal("status", status, 200)
	}
	g.equal("fetches", p.fetches(), 1)
	g.equal("counted", g.Ledger().JWKSetFetches, map[string]emulator.Fetches{acme: {Total: 1}})
}

// TestClientLeavesDuringFetch: a registration that is taken away while the JWT is checked counts no more.
func TestClientLeavesDuringFetch(t *testing.T) {
	s := ecSigner(t, "k1", "ES256")
	for _, request := range [][2]string{{"POST", "/login"}, {"GET", "/documents"}} {
		g, p := startedWithJWT(t, s, emulator.JWT{})
		release := p.hold()
		alice, answered := g.signed(s, g.good()), make(chan int)
		go func() {
			r, err := g.try(request[0], request[1], "", jwtHeader(alice))
			if err != nil {
				t.Error(err)
			}
			answered <- r.status
		}()
		g.eventually("the set is asked for", func() bool { return p.fetches() == 1 })
		g.RemoveClient(acme)
		release()
		g.equal("status", <-answered, 401)
		g.equal("uses", g.Ledger().JWTUses, unknownIssuer)
	}
}

// TestJWTConcurrency is for the race detector.
func TestJWTConcurrency(t *testing.T) {
	s := ecSigner(t, "k1", "ES256")
	g, p := startedWithJWT(t, s, emulator.JWT{})
	p.answer(200, keySet(t, s), map[string]string{"Cache-Control": "no-store"})
	alice := g.signed(s, g.good())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				g.jwtLogin(alice)
				g.jwtDocuments(alice)
				g.SetJWT(acme, emulator.JWT{Issuer: issuer, JWKSURL: p.url})
				_ = g.Ledger()
			}
		})
	}
	wg.Wait()
	l := g.Ledger()
	g.equal("uses", l.JWTUses, emulator.JWTUses{Accepted: 160})
	g.equal("fetches", l.JWKSetFetches[acme].Total, p.fetches())
}
