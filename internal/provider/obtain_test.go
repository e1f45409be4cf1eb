package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
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

func TestObtain(t *testing.T) {
	for name, test := range map[string]struct {
		basic, post bool
		first       int // requests of the first call
	}{
		"Basic": {true, false, 1}, "form": {false, true, 2}, "both": {true, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.basic, p.post = test.basic, test.post
			clock := clocktesting.NewFakePassiveClock(testNow)
			client := clientOf(t, p.URL, func(c *Config) { c.Scopes, c.Clock = []string{"gini", "documents"}, clock })
			token, err := client.Obtain(bounded(t), testIdentifier)
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
			if p.asked() != test.first {
				t.Errorf("%d requests at first, want %d", p.asked(), test.first)
			}
			for range 3 {
				if _, err = client.Obtain(bounded(t), "another+user/ü&x=y"); err != nil {
					t.Fatal(err)
				}
			}
			if p.asked() != test.first+3 {
				t.Errorf("%d requests in all, want %d: the way to authenticate was not kept", p.asked(), test.first+3)
			}
		})
	}
}

func TestRequestOnTheWire(t *testing.T) {
	p := newProvider(t)
	client := clientOf(t, p.URL, func(c *Config) {
		c.UserIdentifierParameter, c.Scopes = "user", []string{"a", "b"}
		c.TokenURL = c.TokenURL.JoinPath("/")
		c.TokenURL.Path, c.TokenURL.RawQuery = "/oauth2/token", "policy=p1"
	})
	p.answer = says(http.StatusBadRequest, `{"error":"invalid_grant"}`)
	_, _ = client.Obtain(bounded(t), testIdentifier)
	got := p.requests[0]
	want := url.Values{"grant_type": {"client_credentials"}, "user": {testIdentifier}, "scope": {"a b"}}
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

// TestDetection is about the second request: when it is made, and which answer counts.
func TestDetection(t *testing.T) {
	const client, request, grant = `{"error":"invalid_client"}`, `{"error":"invalid_request"}`, `{"error":"invalid_grant"}`
	for name, test := range map[string]struct {
		basic, form http.HandlerFunc // form nil: not asked
		want        gini.Kind
		code        string
	}{
		"wrong secret, takes Basic only": {says(401, client), says(400, request), gini.CredentialsRejected, "invalid_client"},
		"wrong secret, takes form only":  {says(400, request), says(401, client), gini.CredentialsRejected, "invalid_client"},
		"wrong secret, takes both":       {says(401, client), says(401, client), gini.CredentialsRejected, "invalid_client"},
		"no such user, takes form only":  {says(401, client), says(400, grant), gini.GrantRejected, "invalid_grant"},
		"no such user":                   {says(400, grant), nil, gini.GrantRejected, "invalid_grant"},
		"wrong scope":                    {says(400, `{"error":"invalid_scope"}`), nil, gini.CredentialsRejected, "invalid_scope"},
		"wrong grant":                    {says(400, `{"error":"unsupported_grant_type"}`), nil, gini.CredentialsRejected, "unsupported_grant_type"},
		"refused with 200":               {says(200, client), says(400, grant), gini.GrantRejected, "invalid_grant"},
		"no words":                       {says(401, ""), says(429, ""), gini.RateLimited, ""},
		"403":                            {says(403, ""), says(503, ""), gini.Unavailable, ""},
		"400":                            {says(400, ""), says(400, ""), gini.Unexpected, ""},
		"login page":                     {says(401, "<p>", "Content-Type", "text/html"), says(401, client), gini.CredentialsRejected, "invalid_client"},
		"unauthorized_client":            {says(401, `{"error":"unauthorized_client"}`), says(400, grant), gini.GrantRejected, "invalid_grant"},
		"throttled":                      {says(429, ""), nil, gini.RateLimited, ""},
		"down":                           {says(503, ""), nil, gini.Unavailable, ""},
		"at maintenance":                 {says(400, `{"error":"temporarily_unavailable"}`), nil, gini.Unavailable, "temporarily_unavailable"},
		"redirected":                     {says(302, "", "Location", "/"), nil, gini.Unexpected, ""},
		"not there":                      {says(404, ""), nil, gini.Unexpected, ""},
		"no token":                       {says(200, `{}`), nil, gini.Unexpected, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.answer = func(w http.ResponseWriter, r *http.Request) {
				_, _, isBasic := r.BasicAuth()
				if isBasic {
					test.basic(w, r)
				} else if test.form != nil {
					test.form(w, r)
				}
			}
			_, err := clientOf(t, p.URL).Obtain(bounded(t), testIdentifier)
			failure, _ := errors.AsType[*gini.Error](err)
			if failure == nil || failure.Kind != test.want || failure.Code != test.code {
				t.Errorf("%v, want %s, %s", err, test.want, test.code)
			}
			if want := map[bool]int{true: 1, false: 2}[test.form == nil]; p.asked() != want {
				t.Errorf("%d requests, want %d", p.asked(), want)
			}
		})
	}
}

// TestDetectionWaitsForAToken sees that nothing is learned from failures, and that a token that is no good for Gini still tells the way.
func TestDetectionWaitsForAToken(t *testing.T) {
	p := newProvider(t)
	p.basic = false
	p.users = []string{testIdentifier}
	client := clientOf(t, p.URL)
	_, err := client.Obtain(bounded(t), "nobody")
	wantFailure(t, err, gini.GrantRejected, "the provider gives no JWT for this user")
	p.spoil = func(_, claims map[string]any) { claims["iss"] = "https://other.example" }
	_, err = client.Obtain(bounded(t), testIdentifier)
	wantFailure(t, err, gini.Unexpected, "the JWT's issuer is not the configured one")
	if p.asked() != 4 {
		t.Errorf("%d requests, want two for each call", p.asked())
	}
	p.spoil = nil
	if _, err = client.Obtain(bounded(t), testIdentifier); err != nil || p.asked() != 5 {
		t.Errorf("%v after %d requests, want one more", err, p.asked())
	}
}

func TestEveryRequestIsWaitedForAndObserved(t *testing.T) {
	p := newProvider(t)
	p.basic = false
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
		{Operation: OperationClientCredentials, Status: 401, Kind: gini.CredentialsRejected},
		{Operation: OperationClientCredentials, Status: 200, Duration: 2 * time.Second},
	}
	if len(seen) != 2 || seen[0] != want[0] || seen[1] != want[1] || waits.count.Load() != 2 {
		t.Errorf("%+v after %d waits, want %+v", seen, waits.count.Load(), want)
	}
	p.spoil = func(_, claims map[string]any) { delete(claims, "exp") }
	if _, err := client.Obtain(bounded(t), testIdentifier); err == nil || seen[2].Kind != gini.Unexpected || seen[2].Status != 200 {
		t.Errorf("a JWT that is no good is observed as %+v", seen[2])
	}
	waits.refusal = errors.New("paused")
	_, err := client.Obtain(bounded(t), testIdentifier)
	wantFailure(t, err, gini.Canceled, "")
	if !errors.Is(err, waits.refusal) || p.asked() != 3 || len(seen) != 3 {
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
	p.basic = false
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
				if problem != "" || claims["x-user-identifier"] != user {
					t.Errorf("%s got the JWT of %v", user, claims["x-user-identifier"])
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
	wantFailure(t, err, gini.Unexpected, "the JWT's client id claim is not the client's id at Gini")
}
