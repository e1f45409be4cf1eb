package gini

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/transport"
)

// TestKinds has every call meet the answers that matter, over a real connection.
func TestKinds(t *testing.T) {
	const (
		html  = "text/html;charset=utf-8"
		oauth = "application/json"
	)
	type meets struct {
		status      int
		contentType string
		body        string
		want        Kind
	}
	everywhere := []meets{
		{429, oauth, `{}`, RateLimited},
		{500, oauth, `{"error":"server_error"}`, Unavailable},
		{503, "text/plain", "try again later", Unavailable},
		{502, html, "<html>", Unavailable},
		{302, html, "", Unexpected},
		{307, "", "", Unexpected},
		{403, html, "<html>the proxy says no", Unexpected},
		{404, html, "<html>", Unexpected},
		{404, "text/plain", "default backend - 404", Unexpected},
		{400, html, "<html>", Unexpected},
		{406, oauth, "", Unexpected},
		{415, oauth, "", Unexpected},
		{418, oauth, "", Unexpected},
		{200, html, "<html>please accept our terms", Unexpected},
		{400, oauth, strings.Repeat(" ", transport.MaxBody+1), Unexpected},
	}
	tokens := []meets{
		{200, oauth, goodGrant, None},
		{200, "", goodGrant, None},
		{201, "text/plain", goodGrant, None},
		{200, oauth, `{"token_type":"bearer"}`, Unexpected},
		{200, oauth, `{"access_token":"a"`, Unexpected},
		{200, oauth, `["access_token"]`, Unexpected},
		{204, "", "", Unexpected},
		{200, oauth, goodGrant + strings.Repeat(" ", transport.MaxBody), Unexpected},
	}
	refuses := map[string][]meets{
		OperationClientToken: append(tokens,
			meets{401, oauth, `{"error":"invalid_client"}`, CredentialsRejected}, meets{401, html, "<html>", CredentialsRejected},
			meets{403, oauth, ``, CredentialsRejected}, meets{400, oauth, `{"error":"invalid_client"}`, CredentialsRejected},
			meets{400, oauth, `{}`, Unexpected}, meets{404, oauth, `{}`, Unexpected},
		),
		OperationLogin: append(tokens,
			meets{401, oauth, `{"error":"invalid_client"}`, CredentialsRejected}, meets{403, oauth, ``, CredentialsRejected},
			meets{400, oauth, `{"error":"invalid_grant"}`, GrantRejected}, meets{400, oauth, `{"message":"m","requestId":"r"}`, Invalid},
			meets{422, oauth, ``, Invalid}, meets{404, oauth, ``, Unexpected},
		),
		OperationLoginJWT: append(tokens,
			meets{401, oauth, `{"error":"invalid_token"}`, JWTRejected}, meets{401, oauth, `{"error":"invalid_client"}`, JWTRejected},
			meets{401, oauth, ``, JWTRejected}, meets{403, oauth, `{"message":"m"}`, JWTRejected}, meets{400, oauth, `{"error":"invalid_token"}`, JWTRejected},
			meets{400, oauth, `{"error":"invalid_client"}`, JWTRejected}, meets{400, oauth, `{"error":"unauthorized_client"}`, JWTRejected},
			meets{400, oauth, `{"error":"invalid_grant"}`, GrantRejected}, meets{401, oauth, `{"error":"invalid_grant"}`, GrantRejected},
			meets{400, oauth, `{"message":"m","requestId":"r"}`, Invalid}, meets{422, oauth, ``, Invalid}, meets{404, oauth, ``, Unexpected},
		),
		OperationPasswordLogin: append(tokens,
			meets{400, oauth, `{"error":"invalid_grant","error_description":"Bad credentials"}`, GrantRejected},
			meets{401, oauth, `{"error":"invalid_grant"}`, GrantRejected}, meets{401, oauth, `{"error":"invalid_client"}`, GrantRejected},
			meets{400, oauth, `{"error":"invalid_request"}`, Invalid}, meets{404, oauth, ``, Unexpected},
		),
		OperationRefresh: append(tokens,
			meets{400, oauth, `{"error":"invalid_grant"}`, GrantRejected}, meets{401, oauth, `{"error":"invalid_token"}`, GrantRejected},
			meets{401, oauth, `{"error":"invalid_client"}`, GrantRejected}, meets{403, oauth, ``, GrantRejected},
			meets{400, oauth, `{"error":"unsupported_grant_type"}`, GrantRejected}, meets{400, oauth, ``, Invalid},
		),
		OperationCreateUser: {
			{201, "", "", None}, {200, oauth, "{", None}, {400, oauth, `{"error":"invalid_request"}`, Invalid}, {409, oauth, ``, Invalid},
			{413, oauth, ``, Invalid}, {401, oauth, `{"error":"invalid_token"}`, CredentialsRejected}, {403, oauth, ``, CredentialsRejected},
			{404, oauth, ``, Unexpected},
		},
		OperationUser: {
			{200, oauth, `{"id":"x","email":"a@b"}`, None}, {200, oauth, `[]`, Unexpected}, {200, oauth, `null`, Unexpected},
			{404, oauth, `{"error":"not_found"}`, NotFound}, {404, "", "", NotFound}, {404, "text/plain", `{"message":"m"}`, NotFound},
			{401, oauth, ``, TokenRejected}, {403, oauth, ``, TokenRejected},
		},
		OperationChangeUser: {{204, "", "", None}, {400, oauth, ``, Invalid}, {404, oauth, ``, NotFound}, {403, oauth, ``, TokenRejected}},
		OperationTokenUser: {
			{200, oauth, `{"user_name":"x"}`, None}, {200, oauth, `{"user_name":"a/b"}`, Unexpected}, {200, oauth, `{}`, Unexpected},
			{400, oauth, `{"error":"invalid_token"}`, TokenRejected}, {401, oauth, ``, TokenRejected}, {404, oauth, ``, NotFound},
		},
		OperationDocuments: {
			{200, oauth, strings.Repeat("x", 2*transport.MaxBody), None}, {401, oauth, `{"error":"invalid_token"}`, TokenRejected},
			{403, oauth, ``, TokenRejected}, {400, oauth, `{"error":"invalid_token"}`, TokenRejected}, {404, oauth, ``, Unexpected},
		},
		OperationDerivedDocuments: {
			{200, oauth, `{}`, None}, {401, oauth, ``, CredentialsRejected}, {403, oauth, ``, CredentialsRejected}, {400, oauth, ``, Invalid},
		},
	}
	for operation, call := range calls {
		for _, meet := range append(refuses[operation], everywhere...) {
			server := serve(t, script{
				askClient:       says(200, goodClient),
				asks[operation]: says(meet.status, meet.body, "Content-Type", meet.contentType, "Location", "http://127.0.0.1:1/"),
			})
			var seen []Observation
			client := clientOf(t, server.URL, func(c *Config) { c.Observe = func(o Observation) { seen = append(seen, o) } })
			err := call(bounded(t), client)
			name := operation + " " + http.StatusText(meet.status) + " " + meet.contentType + " " + meet.body[:min(len(meet.body), 60)]
			if got := KindOf(err); got != meet.want {
				t.Errorf("%s: %q, want %q (%v)", name, got, meet.want, err)
			}
			if failure, ok := errors.AsType[*Error](err); ok && (failure.Operation != operation || failure.Status != meet.status) {
				t.Errorf("%s: operation %q, status %d", name, failure.Operation, failure.Status)
			}
			found := false
			for _, observed := range seen {
				found = found || observed.Operation == operation && observed.Status == meet.status && observed.Kind == meet.want
			}
			if !found {
				t.Errorf("%s: not observed in %+v", name, seen)
			}
			client.Close()
			server.Close()
		}
	}
}

func TestErrorTellsWhatIsVetted(t *testing.T) {
	const body = `{"error":"invalid_client","error_description":"Bad client credentials"}`
	for _, test := range []struct{ id, want string }{
		{"8f0998c4-46ff:1_a.b", "gini: login: the client's credentials are rejected (status 401, invalid_client, request 8f0998c4-46ff:1_a.b)"},
		{"with blank", "gini: login: the client's credentials are rejected (status 401, invalid_client)"},
		{"<script>", "gini: login: the client's credentials are rejected (status 401, invalid_client)"},
		{strings.Repeat("a", 129), "gini: login: the client's credentials are rejected (status 401, invalid_client)"},
	} {
		server := serve(t, script{askLogin: says(401, body, "X-Request-Id", test.id)})
		_, err := clientOf(t, server.URL).Login(bounded(t), testIdentifier)
		if err == nil || err.Error() != test.want {
			t.Errorf("%v\nwant %s", err, test.want)
		}
	}
}

// TestErrorOfAnotherSystem is about what the client of a customer's identity provider makes.
func TestErrorOfAnotherSystem(t *testing.T) {
	failure := &Error{System: "identity provider", Operation: "client credentials", Kind: Unavailable, Status: 503, Detail: "later"}
	const want = "identity provider: client credentials: the server is not available: later (status 503)"
	if failure.Error() != want {
		t.Errorf("%v\nwant %s", failure, want)
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	for status, want := range map[int]time.Duration{429: 7 * time.Second, 503: 7 * time.Second, 401: 7 * time.Second, 403: 7 * time.Second, 400: 0} {
		server := serve(t, script{askLogin: says(status, "", "Retry-After", "7")})
		_, err := clientOf(t, server.URL).Login(bounded(t), testIdentifier)
		if failure, ok := errors.AsType[*Error](err); !ok || failure.RetryAfter != want {
			t.Errorf("status %d: %v, want RetryAfter %s", status, failure, want)
		}
	}
}

func TestKindOf(t *testing.T) {
	wrapped := errors.Join(errors.New("x"), &Error{Kind: NotFound})
	for _, test := range []struct {
		err  error
		want Kind
	}{{nil, None}, {wrapped, NotFound}, {context.Canceled, Canceled}, {context.DeadlineExceeded, Canceled}, {errors.New("x"), Unexpected}} {
		wantKind(t, test.err, test.want)
	}
	for _, own := range []Kind{None, GrantRejected, TokenRejected, Invalid, NotFound, Canceled} {
		if ClientLevel(own) {
			t.Errorf("%q is not the client's", own)
		}
	}
	for _, shared := range []Kind{CredentialsRejected, JWTRejected, RateLimited, Unavailable, Unreachable, TLS, Timeout, Unexpected} {
		if !ClientLevel(shared) {
			t.Errorf("%q is the client's", shared)
		}
	}
}

func TestPasswordLoginTellsLostAccountFromWrongSecret(t *testing.T) {
	for _, test := range []struct {
		name  string
		probe http.HandlerFunc
		want  Kind
		from  string
	}{
		{"lost account", says(200, goodClient), GrantRejected, OperationPasswordLogin},
		{"wrong secret", says(401, `{"error":"invalid_client"}`), CredentialsRejected, OperationClientToken},
		{"cannot tell", says(503, "", "Retry-After", "3"), Unavailable, OperationClientToken},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, script{askPassword: says(401, `{"error":"invalid_client"}`), askClient: test.probe})
			err := calls[OperationPasswordLogin](bounded(t), clientOf(t, server.URL))
			wantKind(t, err, test.want)
			if failure, ok := errors.AsType[*Error](err); !ok || failure.Operation != test.from {
				t.Errorf("%v, want it to name %s", err, test.from)
			}
		})
	}
	t.Run("a remembered client token proves nothing", func(t *testing.T) {
		server := serve(t, script{askPassword: says(401, ``), askClient: says(401, ``)})
		client := clientOf(t, server.URL)
		client.clientTokens.current = clientToken{generation: 1, usable: time.Now().Add(time.Hour)}
		wantKind(t, calls[OperationPasswordLogin](bounded(t), client), CredentialsRejected)
	})
}

func TestBadInputIsNotSent(t *testing.T) {
	client := clientOf(t, "http://127.0.0.1:1") // anything sent would be Unreachable
	ctx := bounded(t)
	_, tooLong := client.Login(ctx, strings.Repeat("a", maxInput+1))
	_, slash := client.User(ctx, "a/b")
	_, dots := client.User(ctx, "..")
	_, query := client.User(ctx, "a?b")
	failures := []error{tooLong, slash, dots, query, client.ChangeUser(ctx, "x", UserChange{}), client.ChangeUser(ctx, "x", UserChange{Email: "a@b"})}
	for _, bad := range []string{"", "MARKvalue\n", "MARK\x00value", "MARK\u0085", "MARK\xff"} {
		_, login := client.Login(ctx, bad)
		_, email := client.PasswordLogin(ctx, bad, secretOf("password"))
		_, password := client.PasswordLogin(ctx, testEmail, secret.New(bad))
		_, create := client.CreateUser(ctx, testEmail, secret.New(bad))
		_, refresh := client.Refresh(ctx, testEmail, secret.New(bad))
		_, token := client.TokenUser(ctx, secret.New(bad))
		_, jwt := client.LoginJWT(ctx, testIdentifier, secret.New(bad))
		failures = append(failures, login, email, password, create, refresh, token, jwt, client.Documents(ctx, secret.New(bad)), client.DerivedDocuments(ctx, bad))
	}
	for _, blank := range []string{" a", "a ", "\u00a0a"} {
		_, err := client.Login(ctx, blank)
		failures = append(failures, err)
	}
	for _, jwt := range []string{strings.Repeat("a", maxToken+1), "MARK a", "MARKä"} {
		_, err := client.LoginJWT(ctx, testIdentifier, secret.New(jwt))
		failures = append(failures, err)
	}
	for _, err := range failures {
		wantKind(t, err, Invalid)
		if strings.Contains(err.Error(), "MARK") || statusOf(err) != 0 {
			t.Errorf("the text holds the value: %v", err)
		}
	}
}

func TestCreateUserReadsTheLocation(t *testing.T) {
	for location, want := range map[string]string{
		"https://user.gini.net/api/users/" + testUserID: testUserID,
		"/gateway/api/users/" + testUserID + "/":        testUserID,
		"users/" + testUserID + "?x=1":                  testUserID,
		"":                                              "",
		"https://user.gini.net/api/users/":              "",
		"https://user.gini.net/" + testUserID:           "",
		"https://user.gini.net/api/users/..":            "",
		"https://user.gini.net/api/users/a%2Fb%0A":      "",
		"https://user.gini.net/api/users/%zz":           "",
		"https://user.gini.net/api/users/<b>":           "",
		"/users/" + strings.Repeat("a", 257):            "",
	} {
		server := serve(t, script{askClient: says(200, goodClient), askCreate: says(201, "", "Location", location)})
		id, err := clientOf(t, server.URL).CreateUser(bounded(t), testEmail, secretOf("password"))
		if err != nil || id != want {
			t.Errorf("Location %q: %q, %v; want %q", location, id, err, want)
		}
	}
}

func TestUserReadsWhatCanBeUsed(t *testing.T) {
	for content, want := range map[string]User{
		`{"id":"other-id","email":"alice@acme.example"}`:                       {ID: "other-id", Email: "alice@acme.example"},
		`{"id":"other-id","x":1}`:                                              {ID: "other-id"},
		`{"email":"alice@acme.example"}`:                                       {ID: testUserID, Email: "alice@acme.example"},
		`{"id":7,"email":["a@b"]}`:                                             {ID: testUserID},
		`{"id":"a/b","email":"a\nb"}`:                                          {ID: testUserID},
		`{"id":null,"email":""}`:                                               {ID: testUserID},
		`{"id":"` + strings.Repeat("a", 257) + `","email":"alice@\u0000acme"}`: {ID: testUserID},
	} {
		server := serve(t, script{askClient: says(200, goodClient), askUser: says(200, content)})
		user, err := clientOf(t, server.URL).User(bounded(t), testUserID)
		if err != nil || user != want {
			t.Errorf("%.60s: %+v, %v; want %+v", content, user, err, want)
		}
	}
}
