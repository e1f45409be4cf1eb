package gini

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/transport"
)

// TestNothingLeaks has every call meet every failure, with marked credentials going out and marked text coming back,
// and looks for the marks in everything that is handed out.
func TestNothingLeaks(t *testing.T) {
	body, header := markers["body"], markers["header"]
	echo := func(status int, contentType, content string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { // even what was sent comes back
			sent, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("X-Request-Id", header+" "+r.Header.Get("Authorization")+r.Header.Get("X-Jwt-Authorization"))
			w.Header().Set("Location", "https://user:"+header+"@elsewhere/users/"+header+"?"+r.URL.RawQuery)
			w.Header().Set("Retry-After", header)
			w.Header().Set("Date", header)
			w.Header().Set("Www-Authenticate", `Bearer error="`+header+`"`)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, strings.ReplaceAll(content, "$", string(sent)+r.URL.RawQuery+r.Header.Get("Authorization")+r.Header.Get("X-Jwt-Authorization")+body))
		}
	}
	quoted := `{"error":"` + body + `","error_description":"` + body + `","message":"` + body + `"}`
	failures := map[string]http.HandlerFunc{
		"malformed":     echo(200, "application/json", `{"access_token":"`+body),
		"wrong type":    echo(200, "application/json", `{"access_token":{"`+body+`":1},"id":[],"user_name":9}`),
		"control":       echo(200, "application/json", `{"access_token":"`+body+`\u0000","user_name":"`+body+`/"}`),
		"token type":    echo(200, "application/json", `{"access_token":"`+body+`","token_type":"`+body+`"}`),
		"page":          echo(200, "text/html", "<p>$"),
		"oversized":     echo(200, "application/json", strings.Repeat(body, transport.MaxBody)),
		"refusal cut":   rawAnswer("HTTP/1.1 400 " + body + "\r\nX: " + header + "\r\nContent-Length: 1000\r\n\r\n" + quoted),
		"success cut":   rawAnswer("HTTP/1.1 200 " + body + "\r\nX: " + header + "\r\nContent-Length: 1000\r\n\r\n" + quoted),
		"not HTTP":      rawAnswer(body + " " + header + "\r\n\r\n"),
		"bad chunks":    rawAnswer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + "\r\n"),
		"bad header":    rawAnswer("HTTP/1.1 200 OK\r\n" + header + "\r\n\r\n"),
		"bad length":    rawAnswer("HTTP/1.1 200 OK\r\nContent-Length: " + header + "\r\n\r\n"),
		"large headers": rawAnswer("HTTP/1.1 200 OK\r\nX: " + strings.Repeat(header, transport.MaxBody) + "\r\n\r\n"),
		"hangs":         func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	}
	for _, code := range []int{300, 302, 308, 400, 401, 403, 404, 405, 406, 409, 413, 415, 418, 422, 429, 500, 501, 503, 599} {
		failures[fmt.Sprint(code)] = echo(code, "application/json", quoted)
		failures[fmt.Sprint(code, " text")] = echo(code, "text/plain", "$")
	}
	goodToken := says(200, goodClient)
	for name, failure := range failures {
		for operation := range calls {
			handlers := script{askClient: goodToken, asks[operation]: failure}
			server := httptest.NewServer(handlers)
			seeLeaks(t, name+" at "+operation, operation, server.URL)
			server.Close()
			if operation == OperationPasswordLogin || operation == OperationUser { // the client token fails as well
				server := httptest.NewServer(script{askClient: failure, asks[operation]: failure})
				seeLeaks(t, name+" at the client token of "+operation, operation, server.URL)
				server.Close()
			}
		}
	}
}

// TestNoHostLeaks is about failures before a request is sent.
func TestNoHostLeaks(t *testing.T) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"} {
		t.Setenv(name, "")
	}
	untrusted := httptest.NewUnstartedServer(script{})
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	for operation := range calls {
		seeLeaks(t, "refused", operation, "http://127.0.0.1:1")
		seeLeaks(t, "untrusted", operation, untrusted.URL)
		seeLeaks(t, "cut", operation, raw(t, ""))
	}
	proxy := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
		_, _ = io.WriteString(w, markers["body"])
	}))
	for _, address := range []string{
		strings.Replace(proxy.URL, "http://", "http://user:"+markers["proxy password"]+"@", 1), "http://user:" + markers["proxy password"] + "@127.0.0.1:1",
		"ftp://" + markers["proxy password"], "http://" + markers["proxy password"] + ":%zz",
	} {
		t.Setenv("HTTPS_PROXY", address)
		for operation := range calls {
			seeLeaks(t, "proxy", operation, "https://gini.test")
		}
	}
}

func seeLeaks(t *testing.T, name, operation, address string) {
	t.Helper()
	var mu sync.Mutex
	var seen []Observation
	client := clientOf(t, address, func(c *Config) {
		c.ClientSecret = secretOf("client secret")
		c.Observe = func(o Observation) { mu.Lock(); defer mu.Unlock(); seen = append(seen, o) }
		if strings.HasPrefix(name, "hangs") {
			c.RequestTimeout = 20 * time.Millisecond
		}
	})
	defer client.Close()
	err := calls[operation](bounded(t), client)
	var texts []string
	for _, at := range chain(err) {
		encoded, _ := json.Marshal(at)
		texts = append(texts, at.Error(), fmt.Sprintf("%v %+v %#v %q %T", at, at, at, at, at), string(encoded))
	}
	mu.Lock()
	defer mu.Unlock()
	texts = append(texts, fmt.Sprintf("%+v %#v", seen, seen), fmt.Sprintf("%+v %#v %d", client, client, client))
	for _, text := range texts {
		for what, marker := range markers {
			for _, form := range []string{marker, url.QueryEscape(marker), base64.StdEncoding.EncodeToString([]byte("acme:" + marker))} {
				if strings.Contains(text, form) {
					t.Errorf("%s: the %s leaks: %s", name, what, text)
				}
			}
		}
		if strings.Contains(text, "127.0.0.1") {
			t.Errorf("%s: an address leaks: %s", name, text)
		}
	}
}

// chain is the error and all it wraps.
func chain(err error) []error {
	if err == nil {
		return nil
	}
	all := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, wrapped := range several.Unwrap() {
			all = append(all, chain(wrapped)...)
		}
	}
	return append(all, chain(errors.Unwrap(err))...)
}

func rawAnswer(content string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(connection, content)
		_ = connection.Close()
	}
}

func TestNewSaysNoValue(t *testing.T) {
	endpoint := &url.URL{Scheme: "https", Host: "user.gini.net"}
	good := Config{Endpoints: Endpoints{PayAPI: endpoint, UserCenter: endpoint}, ClientID: "acme", ClientSecret: secret.New("s")}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no Pay API": func(c *Config) { c.Endpoints.PayAPI = nil },
		"userinfo": func(c *Config) {
			c.Endpoints.UserCenter = &url.URL{Scheme: "https", Host: "h", User: url.UserPassword("u", "MARK")}
		},
		"media type":     func(c *Config) { c.Endpoints.MediaType = "MARK\r\nX: y" },
		"no client id":   func(c *Config) { c.ClientID = "" },
		"colon":          func(c *Config) { c.ClientID = "MARK:x" },
		"newline":        func(c *Config) { c.ClientID = "MARK\n" },
		"no secret":      func(c *Config) { c.ClientSecret = secret.Text{} },
		"newline secret": func(c *Config) { c.ClientSecret = secret.New("MARK\n") },
		"no PEM":         func(c *Config) { c.RootCAs = []byte("MARK") },
		"too large":      func(c *Config) { c.RootCAs = make([]byte, 512<<10+1) },
		"private key only": func(c *Config) {
			c.RootCAs = []byte("-----BEGIN PRIVATE KEY-----\nTUFSSw==\n-----END PRIVATE KEY-----\n")
		},
		"negative":   func(c *Config) { c.RequestTimeout = -1 },
		"user agent": func(c *Config) { c.UserAgent = "MARK\n" },
	} {
		config := good
		spoil(&config)
		if _, err := New(config); err == nil || strings.Contains(err.Error(), "MARK") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
