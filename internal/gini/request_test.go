package gini

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gini-operator/gini-operator/internal/secret"
)

// TestRequestsOnTheWire compares every request with Gini's documentation.
func TestRequestsOnTheWire(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("acme:s3cret/+ü"))
	const (
		payAPI, userCenter = "application/vnd.gini.v2+json", "application/json"
		form, plain        = "application/x-www-form-urlencoded", "application/json"
		token              = "Bearer client-token"
	)
	type sent struct {
		key, authorization, accept, identifier, contentType, body string
	}
	wants := map[string]sent{
		OperationClientToken:      {askClient, basic, userCenter, "", "", ""},
		OperationLogin:            {askLogin, basic, payAPI, testIdentifier, "", ""},
		OperationLoginJWT:         {askLogin, "", payAPI, "", "", ""},
		OperationPasswordLogin:    {askPassword, basic, userCenter, "", form, "password=MARKpassword&username=alice%40users.acme.example"},
		OperationRefresh:          {askRefresh, basic, userCenter, "", form, "grant_type=refresh_token&refresh_token=MARKrefresh"},
		OperationCreateUser:       {askCreate, token, userCenter, "", plain, `{"email":"alice@users.acme.example","password":"MARKpassword"}`},
		OperationUser:             {askUser, token, userCenter, "", "", ""},
		OperationChangeUser:       {askChange, token, userCenter, "", plain, `{"oldPassword":"MARKpassword","password":"other-one"}`},
		OperationTokenUser:        {askCheck, basic, userCenter, "", "", ""},
		OperationDocuments:        {askDocs, "Bearer MARKaccess+/=", payAPI, "", "", ""},
		OperationDerivedDocuments: {askDocs, basic, payAPI, testIdentifier, "", ""},
	}
	answers := map[string]http.HandlerFunc{
		askClient: says(200, goodClient), askLogin: says(200, goodGrant), askPassword: says(200, goodGrant), askRefresh: says(200, goodGrant),
		askCreate: says(201, ""), askUser: says(200, `{"id":"`+testUserID+`","email":"a@b"}`), askChange: says(204, ""),
		askCheck: says(200, `{"user_name":"`+testUserID+`"}`), askDocs: says(200, `{"documents":[]}`),
	}
	for operation, want := range wants {
		t.Run(operation, func(t *testing.T) {
			var got sent
			var query, agent, jwt string
			handlers := script{}
			for key, answer := range answers {
				handlers[key] = func(w http.ResponseWriter, r *http.Request) {
					if key == want.key {
						body, _ := io.ReadAll(r.Body)
						got = sent{
							key, r.Header.Get("Authorization"), r.Header.Get("Accept"), r.Header.Get("X-User-Identifier"),
							r.Header.Get("Content-Type"), string(body),
						}
						query, agent, jwt = r.URL.RawQuery, r.UserAgent(), r.Header.Get("X-JWT-Authorization")
					}
					answer(w, r)
				}
			}
			server := serve(t, http.StripPrefix("/gateway", handlers))
			client := clientOf(t, server.URL+"/gateway/", func(c *Config) {
				c.ClientSecret, c.Endpoints.MediaType = secret.New("s3cret/+ü"), payAPI
			})
			if err := calls[operation](bounded(t), client); err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
			if agent != DefaultUserAgent {
				t.Errorf("User-Agent %q", agent)
			}
			if (operation == OperationLoginJWT) != (jwt == "Bearer "+markers["JWT"]) || operation != OperationLoginJWT && jwt != "" {
				t.Errorf("X-JWT-Authorization %q", jwt)
			}
			if operation == OperationTokenUser && query != "token=MARKaccess%2B%2F%3D" {
				t.Errorf("query %q: +, / and = must be encoded", query)
			}
		})
	}
}

func TestGrantHoldsTheInstantsAroundTheRequest(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	server := serve(t, script{askLogin: func(w http.ResponseWriter, r *http.Request) {
		clock.SetTime(clock.Now().Add(3 * time.Second))
		says(200, `{"access_token":"a","expires_in":"300","refresh_token":"r"}`)(w, r)
	}})
	grant, err := clientOf(t, server.URL, func(c *Config) { c.Clock = clock }).Login(bounded(t), testIdentifier)
	if err != nil {
		t.Fatal(err)
	}
	if grant.Received.Sub(grant.Requested) != 3*time.Second || grant.ExpiresIn != 300*time.Second || !grant.ExpiryKnown {
		t.Errorf("grant %+v", grant)
	}
	if grant.RefreshToken.Reveal() != "r" || strings.Contains(grant.Requested.String(), "m=") {
		t.Errorf("grant %+v", grant)
	}
	unfaked, err := clientOf(t, server.URL).Login(bounded(t), testIdentifier)
	if err != nil || unfaked.Requested != unfaked.Requested.Round(0) || unfaked.Received != unfaked.Received.Round(0) {
		t.Errorf("the instants hold a monotonic reading: %+v, %v", unfaked, err)
	}
}
