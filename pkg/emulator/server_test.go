package emulator_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

func TestStartTLS(t *testing.T) {
	s := emulator.New(emulator.WithClient(acme, secret), emulator.WithTLSNames("gini.test.svc"))
	url, err := s.StartTLS()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CertPEM()) {
		t.Fatal("no certificate in CertPEM")
	}
	for _, name := range []string{"", "localhost", "gini.test.svc"} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}}}
		g := &gini{T: t, Server: s, url: url, http: client}
		g.expect(200, g.clientToken())
		client.CloseIdleConnections()
	}
	g := &gini{T: t, Server: s, url: url, http: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}}}
	if _, err := g.try("GET", "/healthz", ""); err == nil {
		t.Error("trusted without CertPEM")
	}
}

// TestRestart: after an outage it is at the same address with the same state.
func TestRestart(t *testing.T) {
	g := started(t)
	tok := token(g.login("alice"))
	if _, err := g.Start(); err == nil {
		t.Error("started twice")
	}
	g.Close()
	g.Close()
	if _, err := g.try("GET", "/healthz", ""); err == nil {
		t.Fatal("still listening")
	}
	url, err := g.Start()
	if err != nil || url != g.url {
		t.Fatalf("%s instead of %s: %v", url, g.url, err)
	}
	g.expect(200, g.documents(tok))
}

func TestPathPrefix(t *testing.T) {
	g := started(t, emulator.WithPathPrefix("/gini"))
	g.expect(404, g.login("alice"))
	g.expect(200, g.do("GET", "/healthz", ""))
	root := g.url
	g.url += "/gini"
	g.expect(200, g.login("alice"))
	location := g.expect(201, g.createUser(token(g.clientToken()), email, password)).header.Get("Location")
	if !strings.HasPrefix(location, root+"/gini/api/users/") {
		t.Errorf("Location %q", location)
	}
	g.Configure(func(c *emulator.Settings) { c.PayAPIPrefix = "" })
	g.expect(404, g.login("alice"))
	g.url = root
	g.expect(200, g.login("alice"))
}

// TestHandler: without a listener of its own.
func TestHandler(t *testing.T) {
	s := emulator.New(emulator.WithClient(acme, secret))
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://pay-api.gini.net/login", nil)
	r.SetBasicAuth(acme, secret)
	r.Header.Set("X-User-Identifier", "alice")
	s.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Errorf("status %d", w.Code)
	}
	s.Close()
}

func TestMarker(t *testing.T) {
	g := started(t)
	g.account()
	g.Configure(func(c *emulator.Settings) { c.Marker = "m4rk3r" })
	g.Script(fault(emulator.CheckToken, emulator.Status(503, "later")), fault(emulator.GetUser, emulator.HTML()))
	client := g.clientToken()
	for name, r := range map[string]reply{
		"client token": client, "login": g.login("alice"), "documents": g.documents(token(g.login("alice"))),
		"oauth error": g.passwordLogin(email, "wrong!"), "pay api error": g.documents("unknown"), "bad user": g.createUser(token(client), "", ""),
		"not found": g.do("GET", "/nowhere", ""), "scripted text": g.do("GET", "/oauth/check_token?token=x", ""), "page": g.do("GET", "/api/users/x", ""),
	} {
		if !strings.Contains(r.body, "m4rk3r") {
			t.Errorf("%s: no marker in %d bytes", name, len(r.body))
		}
		if strings.Contains(r.header.Get("X-Request-Id"), "m4rk3r") {
			t.Errorf("%s: the marker is in X-Request-Id, which may be copied", name)
		}
	}
}

// TestLog: one line for a request, and no credential in it.
func TestLog(t *testing.T) {
	var log bytes.Buffer
	g := started(t, emulator.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	g.account()
	r := g.passwordLogin(email, password)
	g.do("GET", "/oauth/check_token?token="+token(r), "")
	g.Close()
	if got := strings.Count(log.String(), "\n"); got != 2 || !strings.Contains(log.String(), "path=/oauth/token status=200 op=PasswordLogin duration=") {
		t.Errorf("%d lines: %s", got, log.String())
	}
	for _, credential := range []string{secret, password, token(r), "token="} {
		if strings.Contains(log.String(), credential) {
			t.Error("a credential was logged")
		}
	}
}

func TestSettingsJSON(t *testing.T) {
	s := emulator.New(emulator.WithLifetime(90 * time.Second))
	merged := `{"login":{"mode":"sticky","lifetime":"none"},"client_token":{"lifetime":"5m"},"wrong_password_status":401}`
	if err := s.MergeSettings([]byte(merged)); err != nil {
		t.Fatal(err)
	}
	got := s.Settings()
	if got.Login.Mode != emulator.Sticky || got.Login.Lifetime != emulator.NoExpiry || got.ClientToken.Lifetime != 5*time.Minute ||
		got.Lifetime != 90*time.Second || got.WrongPasswordStatus != 401 || got.CreateUserStatus != 201 {
		t.Errorf("merged into %+v", got)
	}
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if err := emulator.New().MergeSettings(data); err != nil || !strings.Contains(string(data), `"lifetime":"1m30s"`) {
		t.Errorf("does not read back: %v: %s", err, data)
	}
	for _, bad := range []string{`{"logn":{}}`, `{"login":{"mod":"sticky"}}`, `{"login":{"mode":"stiky"}}`, `{"lifetime":"1 hour"}`, `{"lifetime":3600}`,
		`{"stale_client_token_status":418}`, `{"create_user_status":500}`, `{"delete_user_status":404}`, `{"foreign_account_status":403}`,
		`{"location":"x"}`, `{"token_form":"x"}`, `{"pay_api_media_types":[]}`,
		`{"login":{"refresh":"x"}}`, `{"login":{"expires_in":"x"}}`, `{"login":{"expires_in_raw":"{"}}`, `{"max_body_bytes":0}`, `{} {}`} {
		if err := s.MergeSettings([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	if s.Settings().WrongPasswordStatus != 401 {
		t.Error("a refused merge changed settings")
	}
	defer func() {
		if recover() == nil {
			t.Error("Configure took a bad value")
		}
		s.Mark() // not locked any more
	}()
	s.Configure(func(c *emulator.Settings) { c.Login.Mode = "stiky" })
}

// TestCloseEndsWhatHangs: no test waits for a request that nobody will answer.
func TestCloseEndsWhatHangs(t *testing.T) {
	g := started(t)
	g.Script(fault(emulator.Login, emulator.Hang()))
	failed := make(chan error)
	go func() {
		_, err := g.try("POST", "/login", "", basic(acme, secret), identifier("alice"))
		failed <- err
	}()
	g.eventually("the request arrived", func() bool { return g.Requests() == 1 })
	g.Close()
	if <-failed == nil {
		t.Error("there was an answer")
	}
	g.eventually("the request left", func() bool { return g.Ledger().CountStatus(0) == 1 })
}
