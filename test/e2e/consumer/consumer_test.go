package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/gini-operator/gini-operator/pkg/emulator"
	"github.com/gini-operator/gini-operator/pkg/tokenfile/tokenfiletest"
)

const clientID, clientSecret, identifier, issuer = "acme", "acme-s3cret", "alice", "https://id.acme.example"

// output is what the program writes, while it writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// world is a Gini with one user, and what the operator would write for it.
type world struct {
	*testing.T
	gini *emulator.Server
	url  string
	key  *ecdsa.PrivateKey
	out  *output
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(set) }))
	t.Cleanup(provider.Close)
	gini := emulator.New(emulator.WithClient(clientID, clientSecret, emulator.WithJWT(emulator.JWT{Issuer: issuer, JWKSURL: provider.URL})))
	url, err := gini.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gini.Close)
	return &world{T: t, gini: gini, url: url, key: key, out: &output{}}
}

func (w *world) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(clientID+":"+clientSecret))
}

// accessToken logs the user in, and gives its Secret.
func (w *world) accessToken() map[string]string {
	w.Helper()
	request, _ := http.NewRequestWithContext(w.Context(), http.MethodPost, w.url+"/login", http.NoBody)
	request.Header.Set("Authorization", w.basic())
	request.Header.Set("X-User-Identifier", identifier)
	request.Header.Set("Accept", "application/vnd.gini.v1+json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	var token struct {
		Value string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&token); err != nil || token.Value == "" {
		w.Fatalf("login: %d, %v", response.StatusCode, err)
	}
	return tokenfiletest.AccessToken(token.Value, time.Now().Add(time.Hour))
}

// jwt is the Secret of a trusted device with JWT.
func (w *world) jwt() map[string]string {
	w.Helper()
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": issuer, "sub": identifier, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		emulator.DefaultUserIdentifierClaim: identifier, emulator.DefaultClientIDClaim: clientID,
	})
	token.Header["kid"] = "1"
	signed, err := token.SignedString(w.key)
	if err != nil {
		w.Fatal(err)
	}
	return tokenfiletest.JWT(signed, now.Add(time.Hour))
}

// clientCredentials is the Secret of a trusted device with Basic.
func (w *world) clientCredentials() map[string]string {
	return map[string]string{
		"client_id": clientID, "client_secret": clientSecret, "user_identifier": identifier, "authorization_basic": w.basic(),
	}
}

// mount makes a folder that holds a Secret.
func (w *world) mount(secret map[string]string) string {
	w.Helper()
	folder := w.TempDir()
	w.write(folder, secret)
	return folder
}

func (w *world) write(folder string, secret map[string]string) {
	w.Helper()
	if err := tokenfiletest.Write(folder, secret); err != nil {
		w.Fatal(err)
	}
}

// device is one that the test lets look and use, in place of a clock.
func (w *world) device(m mode, path string) *device {
	w.Helper()
	o, err := parse([]string{"--gini-url", w.url, "--mode", string(m), "--dir", "it=" + path}, noEnvironment, w.out)
	if err != nil {
		w.Fatal(err)
	}
	devices, err := o.devices(slog.New(slog.NewJSONHandler(w.out, nil)))
	if err != nil {
		w.Fatal(err)
	}
	return devices[0]
}

func noEnvironment(string) string { return "" }

// summary is what a test looks at, as text.
func summary(c counts) string {
	return fmt.Sprintf("%s: uses=%d accepted=%d refused=%v unanswered=%d unreadable=%d tokens=%d",
		c.Kind, c.Uses, c.Accepted, c.Refused, c.Unanswered, c.Unreadable, c.DistinctTokens)
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// TestR12_2Kinds: both ways of reading use every kind of credential as Gini wants it.
func TestR12_2Kinds(t *testing.T) {
	w := newWorld(t)
	for _, m := range modes {
		for k, secret := range map[kind]map[string]string{
			byToken: w.accessToken(), byJWT: w.jwt(), byCredentials: w.clientCredentials(),
		} {
			d := w.device(m, w.mount(secret))
			d.look(t.Context())
			d.use(t.Context())
			d.use(t.Context())
			expect(t, string(m), summary(d.counts()), string(k)+": uses=2 accepted=2 refused=map[] unanswered=0 unreadable=0 tokens=1")
		}
	}
}

// TestR12_2Renewals: a token that came since the last use is the one that is used, and the instants are those of its files.
func TestR12_2Renewals(t *testing.T) {
	for _, m := range modes {
		t.Run(string(m), func(t *testing.T) {
			w := newWorld(t)
			first := w.accessToken()
			folder := w.mount(first)
			d := w.device(m, folder)
			begin := time.Now().Add(-time.Second) // file systems' clocks may lag
			d.look(t.Context())
			d.use(t.Context())

			w.gini.EndAllTokens()
			d.use(t.Context())
			expect(t, "ended", summary(d.counts()), "access token: uses=2 accepted=1 refused=map[401:1] unanswered=0 unreadable=0 tokens=1")

			second := w.accessToken()
			w.write(folder, second)
			d.look(t.Context())
			d.look(t.Context())
			d.use(t.Context())
			got := d.counts()
			expect(t, "renewed", summary(got), "access token: uses=3 accepted=2 refused=map[401:1] unanswered=0 unreadable=0 tokens=2")
			for i, secret := range []map[string]string{first, second} {
				seen := got.Tokens[i]
				expect(t, "fingerprint", seen.Fingerprint, emulator.Fingerprint(secret["access_token"]))
				if seen.WrittenAt.Before(begin) || seen.FirstSeen.Before(begin) || time.Since(seen.FirstSeen) < 0 {
					t.Errorf("seen %s, written %s; begun %s", seen.FirstSeen, seen.WrittenAt, begin)
				}
			}
			if log := w.out.String(); strings.Count(log, `"msg":"New token"`) != 2 || strings.Count(log, `"msg":"Refused"`) != 1 {
				t.Errorf("log:\n%s", log)
			}
			w.keepsSecrets(first["access_token"], second["access_token"])
		})
	}
}

// keepsSecrets looks for credentials in what was written.
func (w *world) keepsSecrets(credentials ...string) {
	w.Helper()
	for _, credential := range append(credentials, clientSecret, w.basic()) {
		if strings.Contains(w.out.String(), credential) {
			w.Error("the log holds a credential")
		}
	}
}

// TestFailures: what is no refusal does not count as one, and no error ends the program.
func TestFailures(t *testing.T) {
	for _, m := range modes {
		t.Run(string(m), func(t *testing.T) {
			w := newWorld(t)
			folder := t.TempDir()
			d := w.device(m, folder)
			d.look(t.Context())
			d.use(t.Context())
			expect(t, "empty", summary(d.counts()), ": uses=1 accepted=0 refused=map[] unanswered=0 unreadable=1 tokens=0")

			secret := w.accessToken()
			w.write(folder, secret)
			d.look(t.Context())
			remove := w.gini.Script(emulator.Fault{Effect: emulator.TooManyRequests(time.Second)})
			d.use(t.Context())
			remove()
			d.use(t.Context())
			expect(t, "429", summary(d.counts()), "access token: uses=3 accepted=1 refused=map[429:1] unanswered=0 unreadable=1 tokens=1")

			w.gini.Close()
			d.use(t.Context())
			expect(t, "gone", summary(d.counts()), "access token: uses=4 accepted=1 refused=map[429:1] unanswered=1 unreadable=1 tokens=1")
			w.keepsSecrets(secret["access_token"])
		})
	}
}

// TestRun: the whole program with several folders serves its counts, and ends cleanly when it is told to.
func TestRun(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	address, done := make(chan string, 1), make(chan error, 1)
	token := w.accessToken()
	begin := w.gini.Mark()
	arguments := []string{
		"--bind-address", "127.0.0.1:0", "--interval", "10ms", "--look-interval", "1ms",
		"--dir", "token=" + w.mount(token), "--dir", "basic=" + w.mount(w.clientCredentials()), "--dir", "jwt=" + w.mount(w.jwt()),
	}
	getenv := func(name string) string { return map[string]string{"GINI_URL": w.url + "/"}[name] }
	go func() { done <- run(ctx, arguments, getenv, w.out, func(at string) { address <- at }) }()
	var url string
	select {
	case at := <-address:
		url = "http://" + at
	case err := <-done:
		t.Fatal(err)
	}
	all := map[string]counts{}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if err := json.Unmarshal(get(t, url+"/counts"), &all); err != nil {
			t.Fatal(err)
		}
		if len(all) == 3 && all["token"].Accepted > 2 && all["basic"].Accepted > 2 && all["jwt"].Accepted > 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s: %v", all)
		}
	}
	get(t, url+"/healthz")

	// Each folder's last use hangs while the program is told to end. It is counted all the same.
	remove := w.gini.Script(emulator.Fault{Name: "last", Effect: emulator.Hang()})
	for deadline := time.Now().Add(20 * time.Second); w.gini.Ledger().Faults["last"] < len(all); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("nothing hangs after 20 s")
		}
	}
	stop()
	remove()
	for ended := false; !ended; runtime.Gosched() {
		select {
		case err := <-done:
			if ended = true; err != nil {
				t.Error(err)
			}
		default:
			w.gini.Release() // again and again: one that is counted may not hang yet
		}
	}
	uses := 0
	for line := range strings.Lines(w.out.String()) {
		var ended struct {
			Message  string `json:"msg"`
			Accepted int    `json:"accepted"`
		}
		if err := json.Unmarshal([]byte(line), &ended); err != nil {
			t.Fatal(err)
		}
		if ended.Message == "Ended" {
			uses += ended.Accepted
		}
	}
	if got := w.gini.Since(begin).ByOperation[emulator.Documents]; got != uses {
		t.Errorf("Gini saw %d uses, the program counted %d", got, uses)
	}
	w.keepsSecrets(token["access_token"])
	if used := w.gini.Ledger().TokenUses; used.Refused != 0 || used.Accepted < 3 {
		t.Errorf("Gini counted %+v", used)
	}
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", url, response.StatusCode, err)
	}
	return body
}

func TestFlags(t *testing.T) {
	good := []string{"--gini-url", "http://gini", "--dir", "a=/a"}
	for _, more := range [][]string{nil, {"--dir", "b=/b"}, {"--mode", "tokenfile"}, {"--bind-address", ":1"}} {
		if _, err := parse(append(good, more...), noEnvironment, io.Discard); err != nil {
			t.Errorf("%v: %v", more, err)
		}
	}
	for _, more := range [][]string{
		{"--dir", "a=/b"}, {"--dir", "/b"}, {"--dir", "b="}, {"--mode", "both"}, {"--interval", "0s"}, {"--look-interval", "-1s"},
		{"--gini-url", "gini"}, {"--gini-url", ""}, {"more"}, {"--unknown"},
	} {
		if _, err := parse(append(good, more...), noEnvironment, io.Discard); err == nil {
			t.Errorf("accepted: %v", more)
		}
	}
	if _, err := parse([]string{"--gini-url", "http://gini"}, noEnvironment, io.Discard); err == nil {
		t.Error("accepted: no folder")
	}
	var out output
	if err := run(t.Context(), []string{"--version"}, noEnvironment, &out, nil); err != nil || out.String() != version+"\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
