package emulator_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	acme, secret = "acme", "acme-s3cret"
	beta         = "beta"
	payAccept    = "application/vnd.gini.v1+json"
	email        = "3a6f@users.acme.example"
	password     = "a-long-password"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// gini is an emulator under test and the means to speak raw HTTP with it.
type gini struct {
	*testing.T
	*emulator.Server
	clock *clocktesting.FakeClock
	url   string
	http  *http.Client
}

// started is an emulator on a fake clock with the clients acme and beta.
func started(t *testing.T, opts ...emulator.Option) *gini {
	t.Helper()
	clk := clocktesting.NewFakeClock(start)
	opts = append([]emulator.Option{emulator.WithClock(clk), emulator.WithClient(acme, secret), emulator.WithClient(beta, "beta-s3cret")}, opts...)
	s := emulator.New(opts...)
	u, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() { s.Close(); transport.CloseIdleConnections() })
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &gini{T: t, Server: s, clock: clk, url: u, http: &http.Client{Transport: transport, CheckRedirect: noRedirect}}
}

// header changes a request; the empty value takes a header away.
type header struct{ name, value string }

func basic(id, secret string) header {
	return header{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))}
}

func bearer(token string) header     { return header{"Authorization", "Bearer " + token} }
func identifier(name string) header  { return header{"X-User-Identifier", name} }
func accept(mediaType string) header { return header{"Accept", mediaType} }
func contentType(mediaType string) header {
	return header{"Content-Type", mediaType}
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// fields is the body as a JSON object, empty where it is none.
func (r reply) fields() map[string]any {
	m := map[string]any{}
	_ = json.Unmarshal([]byte(r.body), &m)
	return m
}

func (r reply) text(name string) string {
	v, _ := r.fields()[name].(string)
	return v
}

// try sends a request and gives the transport's error.
func (g *gini) try(method, path, body string, headers ...header) (reply, error) {
	req, err := http.NewRequestWithContext(g.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.Fatal(err)
	}
	for _, h := range headers {
		req.Header.Set(h.name, h.value)
	}
	res, err := g.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(data), err}, nil
}

func (g *gini) do(method, path, body string, headers ...header) reply {
	g.Helper()
	r, err := g.try(method, path, body, headers...)
	if err != nil {
		g.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// expect fails the test where the status is another one.
func (g *gini) expect(status int, r reply) reply {
	g.Helper()
	if r.status != status {
		g.Fatalf("status %d instead of %d, body %s", r.status, status, r.body)
	}
	return r
}

// expectOAuth expects the User Center's error.
func (g *gini) expectOAuth(status int, code string, r reply) {
	g.Helper()
	if g.expect(status, r); r.text("error") != code {
		g.Fatalf("error %q instead of %q", r.text("error"), code)
	}
}

func (g *gini) equal(name string, got, want any) {
	g.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		g.Fatalf("%s: got %v, want %v", name, got, want)
	}
}

// The requests of gini-api, as its flows have them.

func (g *gini) clientToken(more ...header) reply {
	return g.do("GET", "/oauth/token?grant_type=client_credentials", "", append([]header{basic(acme, secret), accept("application/json")}, more...)...)
}

func (g *gini) createUser(token, email, password string) reply {
	body, _ := json.Marshal(map[string]string{"email": email, "password": password})
	return g.do("POST", "/api/users", string(body), bearer(token), contentType("application/json"))
}

func (g *gini) passwordLogin(username, password string, more ...header) reply {
	form := url.Values{"username": {username}, "password": {password}}.Encode()
	return g.do("POST", "/oauth/token?grant_type=password", form,
		append([]header{basic(acme, secret), contentType("application/x-www-form-urlencoded"), accept("application/json")}, more...)...)
}

func (g *gini) refresh(token string, more ...header) reply {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}.Encode()
	return g.do("POST", "/oauth/token", form,
		append([]header{basic(acme, secret), contentType("application/x-www-form-urlencoded")}, more...)...)
}

func (g *gini) login(user string, more ...header) reply {
	return g.do("POST", "/login", "", append([]header{basic(acme, secret), identifier(user), accept(payAccept)}, more...)...)
}

func (g *gini) documents(token string, more ...header) reply {
	return g.do("GET", "/documents", "", append([]header{bearer(token), accept(payAccept)}, more...)...)
}

// account makes acme's account and gives its id.
func (g *gini) account() string {
	g.Helper()
	id, ok := g.AddAccount(acme, email, password)
	if !ok {
		g.Fatal("the account exists already")
	}
	return id
}
