package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestBrokenExchanges(t *testing.T) {
	hang := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	slowBody := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + listener.Addr().String()
	_ = listener.Close()
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for name, test := range map[string]struct {
		address string
		want    Failure
		status  int
		body    string
	}{
		"refused":                  {closed, Unreachable, 0, ""},
		"closed without an answer": {raw(t, ""), Unreachable, 0, ""},
		"cut in the headers":       {raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"), Unreachable, 0, ""},
		"cut within a header":      {raw(t, "HTTP/1.1 200 OK\r\nContent-"), NotHTTP, 0, ""}, // net/http cannot tell it from a bad one
		"cut in the body":          {raw(t, ok+"Content-Length: 100\r\n\r\nhalf"), Unreachable, 200, "half"},
		"cut between chunks":       {raw(t, ok+"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), Unreachable, 200, "half"},
		"chunks that are none":     {raw(t, ok+"Transfer-Encoding: chunked\r\n\r\nMARK\r\n"), NotHTTP, 200, ""},
		"not HTTP":                 {raw(t, "220 mail.example ESMTP MARK\r\n\r\n"), NotHTTP, 0, ""},
		"headers too large":        {raw(t, ok+"X: "+strings.Repeat("x", 2*maxResponseHeader)+"\r\n\r\n{}"), NotHTTP, 0, ""},
		"hangs":                    {hang.URL, Timeout, 0, ""},
		"slow body":                {slowBody.URL, Timeout, 200, "half"},
		"complete":                 {raw(t, ok+"Content-Length: 4\r\n\r\nhalf"), Complete, 200, "half"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := bounded(t)
			if test.want == Timeout {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
			}
			got, broken := get(ctx, t, made(t, Config{}), test.address)
			if broken != test.want || got.Status != test.status || string(got.Body) != test.body || got.Unreadable != "" {
				t.Errorf("%q with %d %q, want %q with %d %q", broken, got.Status, got.Body, test.want, test.status, test.body)
			}
		})
	}
}

func TestNameThatIsNotResolvedInTime(t *testing.T) {
	var seen progress
	if got := seen.classify(&net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}); got != Unreachable {
		t.Errorf("%q, want it to be unreachable", got)
	}
}

// TestHandshakeThatFails is about what crypto/tls says in words of its own only.
func TestHandshakeThatFails(t *testing.T) {
	for _, failure := range []error{errors.New("tls: MARK"), nil} {
		var seen progress
		httptrace.ContextClientTrace(seen.trace(t.Context())).TLSHandshakeDone(tls.ConnectionState{}, failure)
		if got, want := seen.classify(errors.New("tls: MARK")), map[bool]Failure{true: TLS, false: Unreachable}[failure != nil]; got != want {
			t.Errorf("after %v: %q, want %q", failure, got, want)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	for length, tooLarge := range map[int]bool{0: false, MaxBody - 1: false, MaxBody: false, MaxBody + 1: true, 10 * MaxBody: true} {
		server := serve(t, says(200, strings.Repeat("x", length)))
		got, broken := get(bounded(t), t, made(t, Config{}), server.URL)
		if broken != Complete || (got.Unreadable == "the body is too large") != tooLarge || len(got.Body) != min(length, MaxBody) {
			t.Errorf("of %d bytes: %d, too large: %t, %q", length, len(got.Body), tooLarge, broken)
		}
	}
}

func TestRedirectsAreAnswers(t *testing.T) {
	var asked atomic.Int64
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	got, broken := get(bounded(t), t, made(t, Config{}), server.URL)
	if broken != Complete || got.Status != http.StatusTemporaryRedirect || asked.Load() != 1 {
		t.Errorf("%q, %d after %d requests", broken, got.Status, asked.Load())
	}
}

func TestWebPage(t *testing.T) {
	for contentType, want := range map[string]bool{
		"text/html": true, "Text/HTML; charset=utf-8": true, "application/xhtml+xml": true, "": false, "application/json": false, "text/plain": false,
	} {
		if got := (Answer{Header: http.Header{"Content-Type": {contentType}}}).WebPage(); got != want {
			t.Errorf("%q: %t", contentType, got)
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	answers := []http.HandlerFunc{
		says(200, "{}"), says(401, "no"), says(500, "no"), says(404, ""), says(503, strings.Repeat("x", MaxBody)), says(302, "moved", "Location", "/"),
	}
	var opened, turn atomic.Int64
	server := counted(t, &opened, func(w http.ResponseWriter, r *http.Request) { answers[int(turn.Add(1)-1)%len(answers)](w, r) })
	connections := made(t, Config{})
	for range 10 {
		_, _ = get(bounded(t), t, connections, server.URL)
	}
	if opened.Load() != 1 {
		t.Errorf("%d connections for 10 requests in a row", opened.Load())
	}
}

func TestConnectionsAreReusedInBursts(t *testing.T) {
	const burst = 20
	var opened, inside atomic.Int64
	meet := make(chan struct{})
	server := counted(t, &opened, func(w http.ResponseWriter, r *http.Request) {
		if inside.Add(1)%burst == 0 { // all of them at once
			for range burst - 1 {
				meet <- struct{}{}
			}
		} else {
			<-meet
		}
		says(200, "{}")(w, r)
	})
	connections := made(t, Config{})
	for range 3 {
		var all sync.WaitGroup
		for range burst {
			all.Go(func() {
				if _, broken := get(bounded(t), t, connections, server.URL); broken != Complete {
					t.Errorf("%q", broken)
				}
			})
		}
		all.Wait()
	}
	if opened.Load() > burst+burst/4 { // a few more: a dial that is overtaken by a connection that came back
		t.Errorf("%d connections for bursts of %d", opened.Load(), burst)
	}
}

// counted is a server that counts its connections.
func counted(t testing.TB, opened *atomic.Int64, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func TestAddressesAreCheckedAtTheDial(t *testing.T) {
	server := serve(t, says(200, "{}"))
	address := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	var mu sync.Mutex
	var asked []netip.Addr
	refused := made(t, Config{AllowAddress: func(address netip.Addr) bool {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, address)
		return !address.IsLoopback()
	}})
	if _, broken := get(bounded(t), t, refused, address); broken != Unreachable {
		t.Errorf("%q, want the address to be refused", broken)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Contains(asked, netip.MustParseAddr("127.0.0.1")) { // what the name leads to, among others
		t.Errorf("asked about %v", asked)
	}
	allowed := made(t, Config{AllowAddress: netip.Addr.IsLoopback})
	if _, broken := get(bounded(t), t, allowed, address); broken != Complete {
		t.Errorf("%q, want the address to be allowed", broken)
	}
}

func TestBadRootsAreRefused(t *testing.T) {
	for name, bundle := range map[string][]byte{
		"no PEM": []byte("MARK"), "too large": append(newAuthority(t).bundle, make([]byte, maxRootCAs)...),
		"private key only": []byte("-----BEGIN PRIVATE KEY-----\nTUFSSw==\n-----END PRIVATE KEY-----\n"),
	} {
		if _, err := New(Config{RootCAs: bundle}); err == nil || strings.Contains(err.Error(), "MARK") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
