package tokenfile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
	"github.com/gini-operator/gini-operator/pkg/tokenfile"
	"github.com/gini-operator/gini-operator/pkg/tokenfile/tokenfiletest"
)

func TestR12_2TransportUsesEachRenewedToken(t *testing.T) {
	server, url := gini(t)
	first := login(t, url)
	dir := mounted(t, first)
	c := client(t, dir, url)
	want := []string{emulator.Fingerprint(first)}
	if status := get(t, c, url+"/documents"); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	for range 10 {
		token := login(t, url)
		renew(t, dir, token)
		want = append(want, emulator.Fingerprint(token))
		if status := get(t, c, url+"/documents"); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	if got := used(server); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("used %v instead of %v", got, want)
	}
}

// used are the tokens of the requests for documents, in their order.
func used(server *emulator.Server) (tokens []string) {
	for _, call := range server.Ledger().Calls {
		if call.Operation == emulator.Documents {
			tokens = append(tokens, call.Token)
		}
	}
	return tokens
}

// A token that ends while a request carries it: the answer comes when the folder holds the next one.
func TestTransportRepeatsARefusedRequestOnce(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"no body":         func() io.Reader { return http.NoBody },
		"a body again":    func() io.Reader { return strings.NewReader("a body") },
		"a body for once": func() io.Reader { return io.MultiReader(strings.NewReader("a body")) },
	} {
		t.Run(name, func(t *testing.T) {
			server := emulator.New(emulator.WithClient("acme", "s3cret"))
			var first, second, dir string
			var bodies []string
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/documents" {
					server.ServeHTTP(w, r)
					return
				}
				sent, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				if bodies = append(bodies, string(sent)); len(bodies) == 1 {
					server.EndToken(first)
					if err := tokenfiletest.Write(dir, tokenfiletest.AccessToken(second, expiry)); err != nil {
						t.Error(err)
					}
				}
				server.ServeHTTP(w, r)
			}))
			defer front.Close()
			first, second = login(t, front.URL), login(t, front.URL)
			dir = mounted(t, first)

			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL+"/documents", body())
			if err != nil {
				t.Fatal(err)
			}
			res, err := client(t, dir, front.URL).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			sent, _ := io.ReadAll(body())
			status, want := http.StatusOK, []string{string(sent), string(sent)}
			if name == "a body for once" {
				status, want = http.StatusUnauthorized, want[:1]
			}
			if res.StatusCode != status || fmt.Sprintf("%q", bodies) != fmt.Sprintf("%q", want) {
				t.Errorf("status %d after the bodies %q, instead of %d after %q", res.StatusCode, bodies, status, want)
			}
			if req.Header.Get("Authorization") != "" || res.Request.Header.Get("Authorization") != "" {
				t.Error("the caller's request was changed")
			}
		})
	}
}

func TestTransportGivesUpWhereThereIsNoNewerToken(t *testing.T) {
	server, url := gini(t)
	token := login(t, url)
	dir := mounted(t, token)
	c := client(t, dir, url)
	server.EndToken(token)
	renew(t, dir, token) // another generation, with the same token
	if status := get(t, c, url+"/documents"); status != http.StatusUnauthorized {
		t.Errorf("status %d", status)
	}
	if n := len(used(server)); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestTransportRepeatsNoMoreThanOnce(t *testing.T) {
	requests, dir := 0, mounted(t, "token-0")
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		if err := tokenfiletest.Write(dir, tokenfiletest.AccessToken(fmt.Sprintf("token-%d", requests), expiry)); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer refuses.Close()
	if status := get(t, client(t, dir, refuses.URL), refuses.URL); status != http.StatusUnauthorized || requests != 2 {
		t.Errorf("status %d after %d requests", status, requests)
	}
}

// Answers other than 401 do not speak of the token.
func TestTransportRepeatsNothingElse(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusForbidden, http.StatusTooManyRequests, http.StatusInternalServerError} {
		requests, dir := 0, mounted(t, "first")
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			requests++
			if err := tokenfiletest.Write(dir, tokenfiletest.AccessToken("second", expiry)); err != nil {
				t.Error(err)
			}
			w.WriteHeader(status)
		}))
		if got := get(t, client(t, dir, server.URL), server.URL); got != status || requests != 1 {
			t.Errorf("status %d after %d requests", got, requests)
		}
		server.Close()
	}
}

// A request that follows a redirect to another host, port or scheme must not carry the token there.
func TestTransportSendsNoTokenElsewhere(t *testing.T) {
	for _, keys := range []tokenfile.Keys{tokenfile.AccessTokenKeys(), tokenfile.JWTKeys()} {
		dir := t.TempDir()
		write(t, dir, tokenfiletest.AccessToken(leaked, expiry))
		if keys == tokenfile.JWTKeys() {
			write(t, dir, tokenfiletest.JWT(leaked, expiry))
		}
		var arrived []string
		elsewhere := func(w http.ResponseWriter, r *http.Request) {
			dump, err := httputil.DumpRequest(r, true)
			if err != nil {
				t.Error(err)
			}
			arrived = append(arrived, string(dump))
			w.WriteHeader(http.StatusUnauthorized)
		}
		other := httptest.NewServer(http.HandlerFunc(elsewhere))
		t.Cleanup(other.Close)
		hops := 0
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hops++
			if r.Header.Get(keys.Header) != "Bearer "+leaked {
				t.Errorf("%s came without the token", r.URL)
			}
			to := other.URL + "/stolen"
			if r.URL.Path == "/" {
				to = "/second"
			}
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		}))
		t.Cleanup(server.Close)
		transport, err := tokenfile.NewTransport(opened(t, dir, tokenfile.WithKeys(keys)),
			tokenfile.WithOrigins(server.URL+"/base/path"), tokenfile.WithBase(server.Client().Transport))
		if err != nil {
			t.Fatal(err)
		}
		if status := get(t, &http.Client{Transport: transport}, server.URL); status != http.StatusUnauthorized || hops != 2 {
			t.Errorf("status %d after %d hops", status, hops)
		}
		if len(arrived) != 1 || strings.Contains(arrived[0], leaked) {
			t.Errorf("elsewhere arrived %d requests, or the token", len(arrived))
		}
	}
}

// roundTripper is a function as an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestOrigins(t *testing.T) {
	source := opened(t, mounted(t, "t"))
	for _, test := range []struct {
		origins []string // nil for the default
		url     string
		sent    bool
	}{
		{nil, "https://pay-api.gini.net/documents", true},
		{nil, "https://PAY-API.gini.net:443/documents", true},
		{nil, "http://pay-api.gini.net/documents", false},
		{nil, "http://pay-api.gini.net:443/documents", false},
		{nil, "https://pay-api.gini.net:8443/documents", false},
		{nil, "https://pay-api.gini.net.evil.example/documents", false},
		{nil, "https://evil.example/pay-api.gini.net", false},
		{nil, "https://pay-api.gini.net@evil.example/", false},
		{nil, "https://user.gini.net/", false},
		{[]string{"https://gini.example"}, "https://pay-api.gini.net/", false},
		{[]string{"https://gini.example:8443/prefix/"}, "https://gini.example:8443/documents", true},
		{[]string{"HTTP://Gini.example:80"}, "http://gini.example/", true},
		{[]string{"http://[::1]:8080", "https://b.example"}, "http://[::1]:8080/x", true},
		{[]string{"http://[::1]:8080", "https://b.example"}, "https://b.example/x", true},
		{[]string{}, "https://pay-api.gini.net/", false},
	} {
		sent := false
		opts := []tokenfile.TransportOption{tokenfile.WithBase(roundTripper(func(req *http.Request) (*http.Response, error) {
			sent = req.Header.Get("Authorization") != ""
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		}))}
		if test.origins != nil {
			opts = append(opts, tokenfile.WithOrigins(test.origins...))
		}
		transport, err := tokenfile.NewTransport(source, opts...)
		if err != nil {
			t.Fatal(err)
		}
		get(t, &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			req.Header.Del("Authorization") // http.Client makes one of the URL's user
			return transport.RoundTrip(req)
		})}, test.url)
		if sent != test.sent {
			t.Errorf("with %q, a token sent to %s: %t", test.origins, test.url, sent)
		}
	}
	for _, refused := range []string{"", "pay-api.gini.net", "https://", "ftp://gini.example", "https://user:p4ss@gini.example", "https://gini.example:port", "://"} {
		_, err := tokenfile.NewTransport(source, tokenfile.WithOrigins(refused))
		if err == nil || strings.Contains(err.Error(), "p4ss") {
			t.Errorf("%q: %v", refused, err)
		}
	}
}

// closing counts how often a body was closed.
type closing struct {
	io.Reader
	closed *int
}

func (c closing) Close() error { *c.closed++; return nil }

func TestTransportClosesBodies(t *testing.T) {
	dir := mounted(t, "first")
	opened, closed, requests := 0, 0, 0
	open := func() (io.ReadCloser, error) { opened++; return closing{strings.NewReader("x"), &closed}, nil }
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		requests++
		if requests == 1 {
			renew(t, dir, "second")
		}
		if err := req.Body.Close(); err != nil {
			return nil, err
		}
		body, err := open()
		return &http.Response{StatusCode: http.StatusUnauthorized, Body: body}, err
	})
	c := client(t, dir, "http://gini.example", tokenfile.WithBase(base))
	post := func() (*http.Response, error) {
		body, _ := open()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://gini.example/documents", body)
		if err != nil {
			t.Fatal(err)
		}
		req.GetBody = open
		return c.Do(req)
	}
	for _, test := range []struct{ requests, opened int }{
		{2, 4}, // refused, repeated: two bodies each way
		{3, 7}, // refused, not repeated: one body each way, and the one for naught
	} {
		res, err := post()
		if err != nil {
			t.Fatal(err)
		}
		if closed != opened-1 {
			t.Errorf("%d bodies are open beside the answer's", opened-closed-1)
		}
		res.Body.Close()
		if requests != test.requests || opened != test.opened {
			t.Errorf("%d requests with %d bodies, instead of %v", requests, opened, test)
		}
	}
	if err := os.Remove(filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	res, err := post()
	if err == nil {
		res.Body.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) || closed != opened || requests != 3 {
		t.Errorf("without a file: %v, %d bodies open, %d requests", err, opened-closed, requests)
	}
}

// What waits for a newer token gets the kubelet's files while it waits.
func TestTransportWaitsForANewerToken(t *testing.T) {
	for _, test := range []struct {
		name             string
		limit, swap, ctx time.Duration
		status           int
		took             time.Duration
	}{
		{"no wait", 0, time.Second, time.Hour, http.StatusUnauthorized, 0},
		{"in time", 5 * time.Second, 1100 * time.Millisecond, time.Hour, http.StatusOK, 1250 * time.Millisecond},
		{"too late", 2100 * time.Millisecond, 3 * time.Second, time.Hour, http.StatusUnauthorized, 2100 * time.Millisecond},
		{"the caller has no time", time.Minute, time.Hour, 2 * time.Second, http.StatusUnauthorized, 2 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := mounted(t, "first")
			synctest.Test(t, func(t *testing.T) {
				base := roundTripper(func(req *http.Request) (*http.Response, error) {
					status := http.StatusUnauthorized
					if req.Header.Get("Authorization") == "Bearer second" {
						status = http.StatusOK
					}
					return &http.Response{StatusCode: status, Body: http.NoBody}, nil
				})
				transport, err := tokenfile.NewTransport(opened(t, dir), tokenfile.WithBase(base), tokenfile.WithWait(test.limit))
				if err != nil {
					t.Fatal(err)
				}
				swap := time.AfterFunc(test.swap, func() { renew(t, dir, "second") })
				defer swap.Stop()
				ctx, cancel := context.WithTimeout(t.Context(), test.ctx)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://pay-api.gini.net/documents", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				res, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if took := time.Since(begin); res.StatusCode != test.status || took != test.took {
					t.Errorf("status %d after %s, instead of %d after %s", res.StatusCode, took, test.status, test.took)
				}
			})
		})
	}
}

// laps counts the requests of each user.
type laps struct {
	mu      sync.Mutex
	changed *sync.Cond
	done    []int
	ended   bool
}

func newLaps(users int) *laps {
	l := &laps{done: make([]int, users)}
	l.changed = sync.NewCond(&l.mu)
	return l
}

// add tells whether the user shall go on.
func (l *laps) add(user int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[user]++
	l.changed.Broadcast()
	return !l.ended
}

// wait returns when each user has made two more requests: all of them have begun one meanwhile, and ended it.
func (l *laps) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for user, before := range slices.Clone(l.done) {
		for l.done[user] < before+2 && !l.ended {
			l.changed.Wait()
		}
	}
}

func (l *laps) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.changed.Broadcast()
}

// Each renewal ends the former token at once, as a refresh does at Gini, while requests are under way.
func TestTransportUnderConcurrentRenewals(t *testing.T) {
	const users, renewals = 8, 40
	server, url := gini(t)
	token := login(t, url)
	dir := mounted(t, token)
	c := client(t, dir, url)
	laps := newLaps(users)
	var running sync.WaitGroup
	for user := range users {
		running.Go(func() {
			for {
				status, err := ask(t.Context(), c, url+"/documents")
				if err != nil || status != http.StatusOK {
					t.Errorf("status %d, %v", status, err)
					laps.end()
				}
				if !laps.add(user) {
					return
				}
			}
		})
	}
	for range renewals {
		laps.wait()
		next := login(t, url)
		renew(t, dir, next)
		server.EndToken(token)
		token = next
	}
	laps.wait()
	laps.end()
	running.Wait()
	uses := server.Ledger().TokenUses
	t.Logf("%d requests, %d of them repeated", uses.Accepted, uses.UsedEnded)
	if uses.Accepted < users*renewals || uses.Refused != uses.UsedEnded {
		t.Errorf("%+v", uses)
	}
}
