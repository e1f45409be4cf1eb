package provider

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/secret"
)

// markers are values that must never be seen again.
var markers = map[string]string{
	"client id": "MARKid", "client secret": "MARKsecret+/", "identifier": "MARKuser", "body": "MARKbody", "header": "MARKheader", "query": "MARKquery",
	"issuer": "https://MARKissuer", "id at Gini": "MARKgini", "scope": "MARKscope", "parameter": "MARKparameter",
}

// TestNothingLeaks has a call meet every failure, with marked text going out and coming back, and looks for the marks in
// everything that is handed out.
func TestNothingLeaks(t *testing.T) {
	body, header := markers["body"], markers["header"]
	echo := func(status int, contentType, content string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { // even what was sent comes back
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("X-Request-Id", header)
			w.Header().Set("Location", "https://user:"+header+"@elsewhere/?"+r.PostForm.Encode())
			w.Header().Set("Retry-After", header)
			w.Header().Set("Www-Authenticate", `Basic realm="`+header+`"`)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, strings.ReplaceAll(content, "$", r.PostForm.Encode()+r.Header.Get("Authorization")+body))
		}
	}
	token := func(spoil func(header, claims map[string]any)) http.HandlerFunc {
		jwtHeader, claims := goodJWT(markers["identifier"])
		jwtHeader["kid"], claims["iss"], claims["x-client-id"], claims["note"] = body, markers["issuer"], markers["id at Gini"], body
		spoil(jwtHeader, claims)
		return echo(200, "application/json", `{"access_token":"`+signed(jwtHeader, claims)+`"}`)
	}
	quoted := `{"error":"` + body + `","error_description":"$","error_uri":"` + body + `"}`
	failures := map[string]http.HandlerFunc{
		"malformed":      echo(200, "application/json", `{"access_token":"`+body),
		"wrong type":     echo(200, "application/json", `{"access_token":{"`+body+`":1}}`),
		"opaque":         echo(200, "application/json", `{"access_token":"`+body+`"}`),
		"three parts":    echo(200, "application/json", `{"access_token":"`+body+`.`+body+`.`+body+`"}`),
		"form":           echo(200, "application/x-www-form-urlencoded", "access_token="+body+"&error="+body),
		"page":           echo(200, "text/html", "<p>$"),
		"200 with error": echo(200, "application/json", quoted),
		"known error":    echo(400, "application/json", `{"error":"invalid_client","error_description":"$"}`),
		"user's error":   echo(400, "application/json", `{"error":"invalid_grant","error_description":"$"}`),
		"oversized":      echo(200, "application/json", strings.Repeat(body, 1<<14)),
		"other user":     token(func(_, claims map[string]any) { claims["x-user-identifier"] = body }),
		"other issuer":   token(func(_, claims map[string]any) { claims["iss"] = body }),
		"other client":   token(func(_, claims map[string]any) { claims["x-client-id"] = body }),
		"algorithm":      token(func(header, _ map[string]any) { header["alg"] = body }),
		"expiry":         token(func(_, claims map[string]any) { claims["exp"] = body }),
		"nbf":            token(func(_, claims map[string]any) { claims["nbf"] = body }),
		"refusal cut":    cut("HTTP/1.1 400 " + body + "\r\nX: " + header + "\r\nContent-Length: 1000\r\n\r\n" + quoted),
		"not HTTP":       cut(body + " " + header + "\r\n\r\n"),
		"bad header":     cut("HTTP/1.1 200 OK\r\n" + header + "\r\n\r\n"),
		"bad chunks":     cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + "\r\n"),
		"hangs":          hang,
	}
	for _, code := range []int{300, 302, 308, 400, 401, 403, 404, 405, 406, 415, 418, 422, 429, 500, 503, 599} {
		failures[fmt.Sprint(code)] = echo(code, "application/json", quoted)
		failures[fmt.Sprint(code, " text")] = echo(code, "text/plain", "$")
		failures[fmt.Sprint(code, " form")] = echo(code, "application/x-www-form-urlencoded", "error="+body+"&error_description=$")
	}
	for name, failure := range failures {
		p := newProvider(t)
		p.answer = failure
		seeLeaks(t, name, p.URL)
	}
	seeLeaks(t, "refused", "http://127.0.0.1:1")
	seeLeaks(t, "plain", strings.Replace(newProvider(t).URL, "http:", "https:", 1))
	p := newProvider(t)
	p.answer = token(func(_, _ map[string]any) {})
	got, err := markedClient(t, "good", p.URL, nil).Obtain(bounded(t), markers["identifier"])
	if err != nil {
		t.Fatal(err)
	}
	if printed := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(printed, got.JWT.Reveal()[:10]) {
		t.Errorf("the JWT is printed: %s", printed)
	}
}

func markedClient(t *testing.T, name, address string, observe func(gini.Observation)) *Client {
	t.Helper()
	return clientOf(t, address, func(c *Config) {
		c.TokenURL.RawQuery, c.ClientID, c.ClientSecret = markers["query"], markers["client id"], secret.New(markers["client secret"])
		c.Parameters = map[string]string{"audience": markers["parameter"]}
		c.Issuer, c.GiniClientID, c.Scopes, c.Observe = markers["issuer"], markers["id at Gini"], []string{markers["scope"]}, observe
		if name == "hangs" {
			c.RequestTimeout = 20 * time.Millisecond
		}
	})
}

func seeLeaks(t *testing.T, name, address string) {
	t.Helper()
	var mu sync.Mutex
	var seen []gini.Observation
	client := markedClient(t, name, address, func(o gini.Observation) { mu.Lock(); defer mu.Unlock(); seen = append(seen, o) })
	_, err := client.Obtain(bounded(t), markers["identifier"])
	if err == nil {
		t.Errorf("%s: no error", name)
		return
	}
	if errors.Unwrap(err) != nil {
		t.Errorf("%s: wraps %v", name, errors.Unwrap(err))
	}
	encoded, _ := json.Marshal(err)
	mu.Lock()
	defer mu.Unlock()
	texts := []string{
		err.Error(), fmt.Sprintf("%v %+v %#v %q", err, err, err, err), string(encoded), fmt.Sprintf("%+v %#v", seen, seen),
		fmt.Sprintf("%+v %#v %d %s", client, client, client, client),
	}
	for _, text := range texts {
		for what, marker := range markers {
			for _, form := range []string{marker, url.QueryEscape(marker), base64.StdEncoding.EncodeToString([]byte(markers["client id"] + ":" + url.QueryEscape(marker)))} {
				if strings.Contains(text, form) {
					t.Errorf("%s: the %s leaks: %s", name, what, text)
				}
			}
		}
		if strings.Contains(text, "127.0.0.1") || strings.Contains(text, "MARK") {
			t.Errorf("%s: something leaks: %s", name, text)
		}
	}
}

func TestNewSaysNoValue(t *testing.T) {
	good := configOf(t, "https://id.acme.example")
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no URL":  func(c *Config) { c.TokenURL = nil },
		"scheme":  func(c *Config) { c.TokenURL = &url.URL{Scheme: "ftp", Host: "MARK"} },
		"no host": func(c *Config) { c.TokenURL = &url.URL{Scheme: "https", Path: "/MARK"} },
		"userinfo": func(c *Config) {
			c.TokenURL = &url.URL{Scheme: "https", Host: "h", User: url.UserPassword("u", "MARK")}
		},
		"fragment": func(c *Config) { c.TokenURL = &url.URL{Scheme: "https", Host: "h", Fragment: "MARK"} },
		"bad host": func(c *Config) { c.TokenURL = &url.URL{Scheme: "https", Host: "MARK[x"} },
		"long": func(c *Config) {
			c.TokenURL = &url.URL{Scheme: "https", Host: "h", Path: strings.Repeat("MARK", maxInput)}
		},
		"no id":      func(c *Config) { c.ClientID = "" },
		"id":         func(c *Config) { c.ClientID = "MARK\n" },
		"no secret":  func(c *Config) { c.ClientSecret = secret.Text{} },
		"secret":     func(c *Config) { c.ClientSecret = secret.New("MARK\n") },
		"issuer":     func(c *Config) { c.Issuer = "" },
		"Gini's id":  func(c *Config) { c.GiniClientID = "" },
		"claim":      func(c *Config) { c.Names = identity.ClaimNames{UserIdentifier: "MARK\x00"} },
		"parameter":  func(c *Config) { c.UserIdentifierParameter = "MARK\n" },
		"OAuth's":    func(c *Config) { c.UserIdentifierParameter = "grant_type" },
		"assertion":  func(c *Config) { c.UserIdentifierParameter = "client_assertion" },
		"way":        func(c *Config) { c.Authentication = "MARK" },
		"raw colon":  func(c *Config) { c.ClientID, c.Authentication = "MARK:a", RawBasic },
		"reserved":   func(c *Config) { c.Parameters = map[string]string{"client_secret": "MARK"} },
		"user twice": func(c *Config) { c.Parameters = map[string]string{"sub": "MARK"} },
		"control":    func(c *Config) { c.Parameters = map[string]string{"audience": "MARK\n"} },
		"no value":   func(c *Config) { c.Parameters = map[string]string{"MARK": ""} },
		"scope":      func(c *Config) { c.Scopes = []string{"MARK a"} },
		"no scope":   func(c *Config) { c.Scopes = []string{""} },
		"roots":      func(c *Config) { c.RootCAs = []byte("MARK") },
		"negative":   func(c *Config) { c.RequestTimeout = -1 },
		"user agent": func(c *Config) { c.UserAgent = "MARK\n" },
	} {
		config := good
		spoil(&config)
		if _, err := New(config); err == nil || strings.Contains(err.Error(), "MARK") || !strings.HasPrefix(err.Error(), "identity provider: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if printed := fmt.Sprintf("%+v", good); strings.Contains(printed, testSecret) {
		t.Errorf("Config prints its secret: %s", printed)
	}
}
