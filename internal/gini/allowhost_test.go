package gini

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/gini-operator/gini-operator/internal/secret"
)

// TestAllowHost: nothing is sent to a host that is not allowed, whatever is asked, and the other host is asked as ever.
func TestAllowHost(t *testing.T) {
	parsed := func(handler http.HandlerFunc) *url.URL {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		endpoint, err := ParseEndpoint(server.URL, true)
		if err != nil {
			t.Fatal(err)
		}
		return endpoint
	}
	payAPI := parsed(says(200, goodGrant))
	userCenter := parsed(func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	client, err := New(Config{
		Endpoints: Endpoints{PayAPI: payAPI, UserCenter: userCenter}, ClientID: "acme", ClientSecret: secret.New("s3cr3t"),
		AllowHost: func(to *url.URL) bool { return to.Host == payAPI.Host },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Login(t.Context(), testIdentifier); err != nil {
		t.Error(err)
	}
	password := secret.New("passw0rd")
	for name, ask := range map[string]func() error{
		"client token": func() error { return client.VerifyCredentials(t.Context()) },
		"login":        func() error { _, err := client.PasswordLogin(t.Context(), testEmail, password); return err },
		"refresh":      func() error { _, err := client.Refresh(t.Context(), testIdentifier, password); return err },
	} {
		if err := ask(); KindOf(err) != Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
