package gini

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/secret"
)

const (
	testIdentifier = "team-a-8f1c"
	testEmail      = "alice@users.acme.example"
	testToken      = "74c1e7fe-e464-451f-a6eb+/8f0998c46ff6="
	goodGrant      = `{"access_token":"` + testToken + `","token_type":"bearer","expires_in":43199}`
	goodClient     = `{"access_token":"client-token","token_type":"bearer","expires_in":3599,"scope":"read"}`
	testUserID     = "88a28076-18e8-4275-b39c-eaacc240d406"
)

// script answers by "METHOD /path", with the grant_type after the path of the token endpoint. What is not in it is
// answered 418, which no call expects.
type script map[string]http.HandlerFunc

func (s script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	key := r.Method + " " + r.URL.Path
	if grant := r.URL.Query().Get("grant_type") + form.Get("grant_type"); grant != "" {
		key += " " + grant
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if handler := s[key]; handler != nil {
		handler(w, r)
		return
	}
	w.WriteHeader(http.StatusTeapot)
}

const (
	askClient   = "GET /oauth/token client_credentials"
	askPassword = "POST /oauth/token password"
	askRefresh  = "POST /oauth/token refresh_token"
	askLogin    = "POST /login"
	askCreate   = "POST /api/users"
	askUser     = "GET /api/users/" + testUserID
	askChange   = "PUT /api/users/" + testUserID
	askCheck    = "GET /oauth/check_token"
	askDocs     = "GET /documents"
)

func says(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// inTurn answers with one handler after the other, and with the last one from then on; count is how often it was asked.
func inTurn(count *atomic.Int64, handlers ...http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		turn := int(count.Add(1)) - 1
		handlers[min(turn, len(handlers)-1)](w, r)
	}
}

// serve starts a server; a handler that hangs ends with the request, as the client gives up.
func serve(t testing.TB, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func clientOf(t testing.TB, address string, options ...func(*Config)) *Client {
	t.Helper()
	endpoint, err := ParseEndpoint(address, true)
	if err != nil {
		t.Fatal(err)
	}
	config := Config{
		Endpoints:    Endpoints{PayAPI: endpoint, UserCenter: endpoint},
		ClientID:     "acme",
		ClientSecret: secret.New("s3cret"),
		OverlapPause: time.Millisecond,
	}
	for _, option := range options {
		option(&config)
	}
	client, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// bounded is a context that ends a test which hangs.
func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// calls are all calls of the API.
var calls = map[string]func(context.Context, *Client) error{
	OperationClientToken: func(ctx context.Context, c *Client) error { return c.VerifyCredentials(ctx) },
	OperationLogin: func(ctx context.Context, c *Client) error {
		_, err := c.Login(ctx, testIdentifier)
		return err
	},
	OperationLoginJWT: func(ctx context.Context, c *Client) error {
		_, err := c.LoginJWT(ctx, testIdentifier, secretOf("JWT"))
		return err
	},
	OperationPasswordLogin: func(ctx context.Context, c *Client) error {
		_, err := c.PasswordLogin(ctx, testEmail, secret.New(markers["password"]))
		return err
	},
	OperationRefresh: func(ctx context.Context, c *Client) error {
		_, err := c.Refresh(ctx, testEmail, secret.New(markers["refresh token"]))
		return err
	},
	OperationCreateUser: func(ctx context.Context, c *Client) error {
		_, err := c.CreateUser(ctx, testEmail, secret.New(markers["password"]))
		return err
	},
	OperationUser: func(ctx context.Context, c *Client) error {
		_, err := c.User(ctx, testUserID)
		return err
	},
	OperationChangeUser: func(ctx context.Context, c *Client) error {
		return c.ChangeUser(ctx, testUserID, UserChange{OldPassword: secret.New(markers["password"]), Password: secret.New("other-one")})
	},
	OperationTokenUser: func(ctx context.Context, c *Client) error {
		_, err := c.TokenUser(ctx, secret.New(markers["access token"]))
		return err
	},
	OperationDocuments: func(ctx context.Context, c *Client) error {
		return c.Documents(ctx, secret.New(markers["access token"]))
	},
	OperationDerivedDocuments: func(ctx context.Context, c *Client) error { return c.DerivedDocuments(ctx, testIdentifier) },
}

// asks is the request that each call is about.
var asks = map[string]string{
	OperationClientToken: askClient, OperationLogin: askLogin, OperationLoginJWT: askLogin, OperationPasswordLogin: askPassword, OperationRefresh: askRefresh,
	OperationCreateUser: askCreate, OperationUser: askUser, OperationChangeUser: askChange, OperationTokenUser: askCheck,
	OperationDocuments: askDocs, OperationDerivedDocuments: askDocs,
}

// markers are values that must never be seen again.
var markers = map[string]string{
	"client secret": "MARKsecret", "password": "MARKpassword", "refresh token": "MARKrefresh", "access token": "MARKaccess+/=",
	"JWT":  "MARKheader.MARKclaims.MARKsignature",
	"body": "MARKbody", "header": "MARKheader", "proxy password": "MARKproxy",
}

// raw is a server that answers every connection with the given bytes and closes it.
func raw(t testing.TB, content string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = connection.Close() }()
				if content == "" {
					return
				}
				_, _ = connection.Read(make([]byte, 4096))
				_, _ = io.WriteString(connection, content)
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); running.Wait() })
	return "http://" + listener.Addr().String()
}

func wantKind(t *testing.T, err error, want Kind) {
	t.Helper()
	if got := KindOf(err); got != want {
		t.Errorf("Kind = %q, want %q (%v)", got, want, err)
	}
}

func secretOf(marker string) secret.Text { return secret.New(markers[marker]) }
