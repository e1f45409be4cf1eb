package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/secret"
)

// verified checks a JWT as Gini does: with the key set that the provider publishes.
func verified(t *testing.T, p *identityProvider, text secret.Text) jwt.MapClaims {
	t.Helper()
	request, err := http.NewRequestWithContext(bounded(t), http.MethodGet, p.URL+"/jwks.json", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var set jose.JSONWebKeySet
	if err = json.NewDecoder(response.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	_, err = jwt.ParseWithClaims(text.Reveal(), claims, func(token *jwt.Token) (any, error) {
		id, _ := token.Header["kid"].(string)
		keys := set.Key(id)
		if len(keys) != 1 {
			return nil, errors.New("no such key")
		}
		return keys[0].Key, nil
	}, jwt.WithValidMethods([]string{"RS256"}), jwt.WithTimeFunc(func() time.Time { return testNow }))
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestObtain by each way to authenticate: by one request, and never by another way than the configured one.
func TestObtain(t *testing.T) {
	for name, test := range map[string]struct {
		way  Authentication
		take func(*identityProvider) // what the provider takes
		want gini.Kind
	}{
		"default":                    {"", func(p *identityProvider) { p.post = false }, gini.None},
		"Basic":                      {Basic, func(p *identityProvider) { p.post = false }, gini.None},
		"Post":                       {Post, func(p *identityProvider) { p.basic = false }, gini.None},
		"RawBasic":                   {RawBasic, func(p *identityProvider) { p.post, p.raw = false, true }, gini.None},
		"default, takes Post only":   {"", func(p *identityProvider) { p.basic = false }, gini.CredentialsRejected},
		"default, takes raw only":    {"", func(p *identityProvider) { p.raw = true }, gini.CredentialsRejected},
		"Post, takes Basic only":     {Post, func(p *identityProvider) { p.post = false }, gini.Unexpected},
		"RawBasic, takes Basic only": {RawBasic, func(p *identityProvider) { p.post = false }, gini.CredentialsRejected},
		"RawBasic, takes Post only":  {RawBasic, func(p *identityProvider) { p.basic = false }, gini.CredentialsRejected},
		"default, takes all, wrong":  {"", func(p *identityProvider) { p.secret = "another" }, gini.CredentialsRejected},
		"RawBasic, takes raw, wrong": {RawBasic, func(p *identityProvider) { p.raw, p.secret = true, "another" }, gini.CredentialsRejected},
		"Post, takes all, wrong":     {Post, func(p *identityProvider) { p.secret = "another" }, gini.CredentialsRejected},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.clientID = "operator"
			test.take(p)
			clock := clocktesting.NewFakePassiveClock(testNow)
			client := clientOf(t, p.URL, func(c *Config) {
				c.ClientID, c.Authentication, c.Scopes, c.Clock = "operator", test.way, []string{"gini", "documents"}, clock
			})
			token, err := client.Obtain(bounded(t), testIdentifier)
			if p.asked() != 1 {
				t.Errorf("%d requests, want one", p.asked())
			}
			if test.want != gini.None {
				if gini.KindOf(err) != test.want {
					t.Errorf("%v, want %s", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if claims := verified(t, p, token.JWT); claims["x-user-identifier"] != testIdentifier || claims["x-client-id"] != testGiniID {
				t.Errorf("claims %v", claims)
			}
			if want := testNow.Truncate(time.Second).Add(15 * time.Minute); !token.ExpiresAt.Equal(want) || token.ExpiresAt.Location() != time.UTC {
				t.Errorf("ExpiresAt %s, want %s: what exp says, not expires_in", token.ExpiresAt, want)
			}
			if !token.ObtainedAt.Equal(testNow) {
				t.Errorf("ObtainedAt %s", token.ObtainedAt)
			}
			if _, err = client.Obtain(bounded(t), "another+user/ü&x=y"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCredentialsOnTheWire compares every byte: a+b/c=%41:e form-encoded is another text.
func TestCredentialsOnTheWire(t *testing.T) {
	const id, password = "op+1 ", "a+b/c=%41:e"
	for way, want := range map[Authentication]struct{ header, id, secret string }{
		Basic:    {"op%2B1+:a%2Bb%2Fc%3D%2541%3Ae", "", ""},
		RawBasic: {id + ":" + password, "", ""},
		Post:     {"", id, password},
	} {
		p := newProvider(t)
		p.answer = says(http.StatusUnauthorized, "")
		client := clientOf(t, p.URL, func(c *Config) { c.ClientID, c.ClientSecret, c.Authentication = id, secret.New(password), way })
		_, _ = client.Obtain(bounded(t), testIdentifier)
		encoded, _ := strings.CutPrefix(p.requests[0].Header.Get("Authorization"), "Basic ")
		header, err := base64.StdEncoding.DecodeString(encoded)
		form := p.requests[0].PostForm
		if err != nil || string(header) != want.header || form.Get("client_id") != want.id || form.Get("client_secret") != want.secret {
			t.Errorf("%s: header %q, form %v, %v", way, header, form, err)
		}
	}
}

func TestRequestOnTheWire(t *testing.T) {
	p := newProvider(t)
	client := clientOf(t, p.URL, func(c *Config) {
		c.UserIdentifierParameter, c.Scopes = "user", []string{"a", "b"}
		c.TokenURL = c.TokenURL.JoinPath("/")
		c.TokenURL.Path, c.TokenURL.RawQuery = "/oauth2/token", "policy=p1"
		c.Parameters = map[string]string{"audience": "https://pay-api.gini.net", "resource": "urn:gini x&y=z"}
	})
	p.answer = says(http.StatusBadRequest, `{"error":"invalid_grant"}`)
	_, _ = client.Obtain(bounded(t), testIdentifier)
	got := p.requests[0]
	want := url.Values{"grant_type": {"client_credentials"}, "user": {testIdentifier}, "scope": {"a b"},
		"audience": {"https://pay-api.gini.net"}, "resource": {"urn:gini x&y=z"}}
	if got.PostForm.Encode() != want.Encode() || got.URL.RawQuery != "policy=p1" {
		t.Errorf("form %v at %s, want %v", got.PostForm, got.URL, want)
	}
	if got.Header.Get("Accept") != "application/json" || got.UserAgent() != gini.DefaultUserAgent {
		t.Errorf("headers %v", got.Header)
	}
}

// TestObtainedAtIsBeforeTheRequest, as lifetimes count from there; what has expired is seen after it.
func TestObtainedAtIsBeforeTheRequest(t *testing.T) {
	for took, want := range map[time.Duration]gini.Kind{3 * time.Second: gini.None, 15 * time.Minute: gini.Unexpected} {
		clock := clocktesting.NewFakePassiveClock(testNow)
		p := newProvider(t)
		p.spoil = func(_, _ map[string]any) { clock.SetTime(testNow.Add(took)) }
		token, err := clientOf(t, p.URL, func(c *Config) { c.Clock = clock }).Obtain(bounded(t), testIdentifier)
		if gini.KindOf(err) != want || err == nil && !token.ObtainedAt.Equal(testNow) {
			t.Errorf("after %s: %v, obtained at %s", took, err, token.ObtainedAt)
		}
	}
	p := newProvider(t)
	p.spoil = func(_, claims map[string]any) { claims["exp"] = time.Now().Add(time.Hour).Unix() }
	token, err := clientOf(t, p.URL, func(c *Config) { c.Clock = nil }).Obtain(bounded(t), testIdentifier)
	if err != nil || token.ObtainedAt != token.ObtainedAt.Round(0) || token.ObtainedAt.IsZero() {
		t.Errorf("the instant holds a monotonic reading: %+v, %v", token, err)
	}
}

// TestQueryOfTokenURL is kept as it is, and what it says is not said again in the body.
func TestQueryOfTokenURL(t *testing.T) {
	p := newProvider(t)
	p.answer = says(http.StatusUnauthorized, "")
	client := clientOf(t, p.URL, func(c *Config) { c.TokenURL.RawQuery = "grant_type=client_credentials&b=%20&a" })
	_, _ = client.Obtain(bounded(t), testIdentifier)
	got := p.requests[0]
	if got.URL.RawQuery != "grant_type=client_credentials&b=%20&a" || got.PostForm.Encode() != "sub="+testIdentifier {
		t.Errorf("%s with %v", got.URL, got.PostForm)
	}
}

func TestParseTokenURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://ID.acme.example/oauth2/token":             "https://id.acme.example/oauth2/token",
		"https://id.acme.example/o/token/":                 "https://id.acme.example/o/token/", // another path, to some servers
		"https://id.acme.example/":                         "https://id.acme.example/",
		"https://id.acme.example":                          "https://id.acme.example",
		"https://id.acme.example/a%2Fb?p=B2C&x=%20&y=@/..": "https://id.acme.example/a%2Fb?p=B2C&x=%20&y=@/..",
		"http://id.test:8080/token?":                       "http://id.test:8080/token?",
		"https://id.acme.example?tenant=a":                 "https://id.acme.example?tenant=a",
	} {
		if got, err := ParseTokenURL(raw); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{
		"", "id.acme.example", "ftp://id.acme.example", "https://MARK@id.acme.example/?a", "https://id.acme.example/#MARK", "https://id.acme.example/?a#MARK",
		"https://id.acme.example/../MARK", "https://id.acme.example/?MARK x", "https://id.acme.example/?MARK\n", "https://id.acme.example/?ä", "?MARK",
	} {
		if got, err := ParseTokenURL(raw); err == nil || strings.Contains(err.Error(), "MARK") {
			t.Errorf("%q: %v, %v", raw, got, err)
		}
	}
}

// TestRefusalsOfOneUser: once a JWT was handed on, what says little of why may be about the user who is asked for, and stays that user's.
// What cannot be about one user does not.
func TestRefusalsOfOneUser(t *testing.T) {
	const denied = "the provider denies a JWT for this user, though it gave others: check that it knows the identifier"
	lacks := func(w http.ResponseWriter, _ *http.Request) {
		header, claims := goodJWT(testIdentifier)
		delete(claims, "x-user-identifier")
		says(200, `{"access_token":"`+signed(header, claims)+`"}`)(w, nil)
	}
	for name, test := range map[string]struct {
		answer        http.HandlerFunc
		before, after gini.Kind
		detail        string // afterwards
	}{
		"denied":         {says(403, `{"error":"access_denied"}`), gini.Unexpected, gini.GrantRejected, denied},
		"denied by 400":  {says(400, `{"error":"access_denied"}`), gini.Unexpected, gini.GrantRejected, denied},
		"403":            {says(403, ""), gini.Unexpected, gini.GrantRejected, denied},
		"400":            {says(400, ""), gini.Unexpected, gini.GrantRejected, denied},
		"request":        {says(400, `{"error":"invalid_request"}`), gini.Unexpected, gini.GrantRejected, denied},
		"no claim":       {lacks, gini.Unexpected, gini.GrantRejected, "the JWT lacks the user identifier claim"},
		"grant":          {says(400, `{"error":"invalid_grant"}`), gini.GrantRejected, gini.GrantRejected, "the provider gives no JWT for this user"},
		"audience":       {says(400, `{"error":"invalid_target"}`), gini.Unexpected, gini.Unexpected, refusals["invalid_target"].detail},
		"denied by 401":  {says(401, `{"error":"access_denied"}`), gini.CredentialsRejected, gini.CredentialsRejected, ""},
		"wrong secret":   {says(401, `{"error":"invalid_client"}`), gini.CredentialsRejected, gini.CredentialsRejected, ""},
		"a proxy's page": {says(403, "<p>", "Content-Type", "text/html"), gini.Unexpected, gini.Unexpected, "a web page"},
		"down":           {says(503, ""), gini.Unavailable, gini.Unavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			client := clientOf(t, p.URL)
			p.answer = test.answer
			_, err := client.Obtain(bounded(t), "mallory")
			if gini.KindOf(err) != test.before {
				t.Errorf("at first: %v, want %s", err, test.before)
			}
			p.answer = nil
			if _, err = client.Obtain(bounded(t), testIdentifier); err != nil {
				t.Fatal(err)
			}
			p.answer = test.answer
			_, err = client.Obtain(bounded(t), "mallory")
			wantFailure(t, err, test.after, test.detail)
		})
	}
}

func TestEveryRequestIsWaitedForAndObserved(t *testing.T) {
	p := newProvider(t)
	waits := &countingLimiter{}
	clock := clocktesting.NewFakePassiveClock(testNow)
	p.spoil = func(_, _ map[string]any) { clock.SetTime(testNow.Add(2 * time.Second)) }
	var seen []gini.Observation
	client := clientOf(t, p.URL, func(c *Config) {
		c.Limiter, c.Clock, c.Observe = waits, clock, func(o gini.Observation) { seen = append(seen, o) }
	})
	if _, err := client.Obtain(bounded(t), testIdentifier); err != nil {
		t.Fatal(err)
	}
	want := []gini.Observation{
		{Operation: OperationClientCredentials, Status: 200, Duration: 2 * time.Second},
	}
	if len(seen) != 1 || seen[0] != want[0] || waits.count.Load() != 1 {
		t.Errorf("%+v after %d waits, want %+v", seen, waits.count.Load(), want)
	}
	p.spoil = func(_, claims map[string]any) { delete(claims, "exp") }
	if _, err := client.Obtain(bounded(t), testIdentifier); err == nil || seen[1].Kind != gini.Unexpected || seen[1].Status != 200 {
		t.Errorf("a JWT that is no good is observed as %+v", seen[1])
	}
	waits.refusal = errors.New("paused")
	_, err := client.Obtain(bounded(t), testIdentifier)
	wantFailure(t, err, gini.Canceled, "")
	if !errors.Is(err, waits.refusal) || p.asked() != 2 || len(seen) != 2 {
		t.Errorf("%v after %d requests, want the limiter's refusal", err, p.asked())
	}
}

type countingLimiter struct {
	count   atomic.Int64
	refusal error
}

func (l *countingLimiter) Wait(context.Context) error { l.count.Add(1); return l.refusal }

func TestBadIdentifiersAreNotSent(t *testing.T) {
	p := newProvider(t)
	for _, bad := range []string{"", "MARK\n", "MARK\x00", "MARK\xff", string(make([]byte, maxInput+1))} {
		_, err := clientOf(t, p.URL).Obtain(bounded(t), bad)
		if failure, ok := errors.AsType[*gini.Error](err); !ok || failure.Kind != gini.Invalid || failure.Status != 0 {
			t.Errorf("%q: %v", bad[:min(len(bad), 10)], err)
		}
	}
	if p.asked() != 0 {
		t.Errorf("%d requests", p.asked())
	}
}

func TestManyAtOnce(t *testing.T) {
	p := newProvider(t)
	client := clientOf(t, p.URL, func(c *Config) { c.Limiter, c.Observe = &countingLimiter{}, func(gini.Observation) {} })
	var all sync.WaitGroup
	for _, user := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		for range 5 {
			all.Go(func() {
				token, err := client.Obtain(bounded(t), user)
				if err != nil {
					t.Errorf("%s: %v", user, err)
					return
				}
				claims, problem := parse(token.JWT.Reveal())
				if got, _ := textOf(claims["x-user-identifier"]); problem != "" || got != user {
					t.Errorf("%s got the JWT of %s", user, got)
				}
			})
		}
	}
	all.Wait()
	before := p.asked()
	if _, err := client.Obtain(bounded(t), "a"); err != nil || p.asked() != before+1 {
		t.Errorf("%v, %d requests for one more", err, p.asked()-before)
	}
}

func TestNamesOfClaims(t *testing.T) {
	p := newProvider(t)
	p.spoil = func(_, claims map[string]any) {
		claims["sub"], claims["client_id"] = claims["x-user-identifier"], claims["x-client-id"]
		delete(claims, "x-user-identifier")
		delete(claims, "x-client-id")
	}
	names := func(c *Config) { c.Names = identity.ClaimNames{UserIdentifier: "sub", ClientID: "client_id"} }
	if _, err := clientOf(t, p.URL, names).Obtain(bounded(t), testIdentifier); err != nil {
		t.Error(err)
	}
	_, err := clientOf(t, p.URL).Obtain(bounded(t), testIdentifier)
	wantFailure(t, err, gini.Unexpected, "the JWT lacks the client id claim")
}
