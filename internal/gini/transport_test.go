package gini

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestBrokenExchanges(t *testing.T) {
	hang := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	slowBody := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":`)
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
		want    Kind
	}{
		"refused":                  {closed, Unreachable},
		"closed without an answer": {raw(t, ""), Unreachable},
		"cut in the headers":       {raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"), Unreachable},
		"cut within a header":      {raw(t, "HTTP/1.1 200 OK\r\nContent-"), Unexpected}, // net/http cannot tell it from a bad one
		"cut in the body":          {raw(t, ok+"Content-Length: 100\r\n\r\n"+`{"access_token":"a"`), Unreachable},
		"cut between chunks":       {raw(t, ok+"Transfer-Encoding: chunked\r\n\r\n5\r\n{\"acc\r\n"), Unreachable},
		"cut in a refusal":         {raw(t, "HTTP/1.1 400 Bad\r\nContent-Length: 100\r\n\r\n"+`{"error":"invalid_grant"`), Unreachable},
		"cut in a 503":             {raw(t, "HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\nlater"), Unavailable},
		"chunks that are none":     {raw(t, ok+"Transfer-Encoding: chunked\r\n\r\nMARK\r\n"), Unexpected},
		"not HTTP":                 {raw(t, "220 mail.example ESMTP MARK\r\n\r\n"), Unexpected},
		"headers too large":        {raw(t, ok+"X: "+strings.Repeat("x", 2*maxResponseHeader)+"\r\n\r\n{}"), Unexpected},
		"hangs":                    {hang.URL, Timeout},
		"slow body":                {slowBody.URL, Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			client := clientOf(t, test.address, func(c *Config) {
				if test.want == Timeout {
					c.RequestTimeout = 100 * time.Millisecond
				}
			})
			_, err := client.Login(bounded(t), testIdentifier)
			wantKind(t, err, test.want)
		})
	}
}

func TestTransportKindOfNames(t *testing.T) {
	var seen progress
	if got := transportKind(&net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}, &seen); got != Unreachable {
		t.Errorf("a name that cannot be resolved in time: %q", got)
	}
}

func TestCallerGivesUp(t *testing.T) {
	arrived := make(chan struct{}, 1)
	server := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	for operation, call := range calls {
		t.Run(operation, func(t *testing.T) {
			ctx, cancel := context.WithCancel(bounded(t))
			client := clientOf(t, server.URL, func(c *Config) { c.RequestTimeout = time.Second })
			go func() { <-arrived; cancel() }()
			err := call(ctx, client)
			if KindOf(err) != Canceled || !errors.Is(err, context.Canceled) || ClientLevel(KindOf(err)) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("deadline of the caller's own", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(bounded(t), 50*time.Millisecond)
		defer cancel()
		_, err := clientOf(t, server.URL).Login(ctx, testIdentifier)
		<-arrived
		if KindOf(err) != Canceled || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var followed atomic.Int64
	elsewhere := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		followed.Add(1)
		says(200, goodGrant)(w, r)
	}))
	for _, location := range []string{elsewhere.URL, "/elsewhere", "//" + strings.TrimPrefix(elsewhere.URL, "http://"), "%zz", ""} {
		for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
			server := serve(t, script{
				askLogin:          says(status, "", "Location", location),
				"GET /elsewhere":  func(http.ResponseWriter, *http.Request) { followed.Add(1) },
				"POST /elsewhere": func(http.ResponseWriter, *http.Request) { followed.Add(1) },
			})
			_, err := clientOf(t, server.URL).Login(bounded(t), testIdentifier)
			wantKind(t, err, Unexpected)
		}
	}
	if followed.Load() != 0 {
		t.Errorf("%d redirects followed", followed.Load())
	}
}

func TestConnectionsAreReused(t *testing.T) {
	var opened, turn atomic.Int64
	server := httptest.NewUnstartedServer(script{askDocs: inTurn(&turn,
		says(200, `{"documents":[]}`), says(401, `{"error":"invalid_token"}`), says(500, "no"), says(404, ""), says(503, strings.Repeat("x", 60<<10)),
		says(302, "moved", "Location", "/"), says(200, "<html>", "Content-Type", "text/html"),
	)})
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client := clientOf(t, server.URL)
	for range 10 {
		_ = client.Documents(bounded(t), secretOf("access token"))
	}
	if opened.Load() != 1 {
		t.Errorf("%d connections for 10 requests in a row", opened.Load())
	}
	client.Close()
	if err := client.Documents(bounded(t), secretOf("access token")); KindOf(err) != Unexpected || opened.Load() != 2 {
		t.Errorf("after Close: %v, %d connections", err, opened.Load())
	}
}

func TestConnectionsAreReusedInBursts(t *testing.T) {
	const burst = 20
	var opened atomic.Int64
	meet := make(chan struct{})
	var inside atomic.Int64
	server := httptest.NewUnstartedServer(script{askDocs: func(w http.ResponseWriter, r *http.Request) {
		if inside.Add(1)%burst == 0 { // all of them at once
			for range burst - 1 {
				meet <- struct{}{}
			}
		} else {
			<-meet
		}
		says(200, `{}`)(w, r)
	}})
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client := clientOf(t, server.URL)
	for range 3 {
		var all sync.WaitGroup
		for range burst {
			all.Go(func() { wantKind(t, client.Documents(bounded(t), secretOf("access token")), None) })
		}
		all.Wait()
	}
	if opened.Load() > burst+burst/4 { // a few more: a dial that is overtaken by a connection that came back
		t.Errorf("%d connections for bursts of %d", opened.Load(), burst)
	}
}

func TestAddressesAreCheckedAtTheDial(t *testing.T) {
	server := serve(t, script{askLogin: says(200, goodGrant)})
	var asked []netip.Addr
	refuse := func(c *Config) {
		c.AllowAddress = func(address netip.Addr) bool { asked = append(asked, address); return !address.IsLoopback() }
	}
	_, err := clientOf(t, server.URL, refuse).Login(bounded(t), testIdentifier)
	wantKind(t, err, Unreachable)
	if len(asked) != 1 || asked[0] != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("asked about %v", asked)
	}
	allow := func(c *Config) { c.AllowAddress = netip.Addr.IsLoopback }
	_, err = clientOf(t, server.URL, allow).Login(bounded(t), testIdentifier)
	wantKind(t, err, None)
}

func TestLimiterComesBeforeEveryRequest(t *testing.T) {
	var turns atomic.Int64
	server := serve(t, script{askPassword: inTurn(&turns, says(500, ""), says(401, "")), askClient: says(200, goodClient)})
	waits := &countingLimiter{}
	err := calls[OperationPasswordLogin](bounded(t), clientOf(t, server.URL, func(c *Config) { c.Limiter = waits }))
	if KindOf(err) != GrantRejected || waits.count.Load() != 3 { // login, its repetition, the probe
		t.Errorf("%v after %d waits", err, waits.count.Load())
	}
	waits.refusal = errors.New("paused")
	err = calls[OperationLogin](bounded(t), clientOf(t, server.URL, func(c *Config) { c.Limiter = waits }))
	if KindOf(err) != Canceled || !errors.Is(err, waits.refusal) {
		t.Errorf("%v, want the limiter's refusal", err)
	}
}

type countingLimiter struct {
	count   atomic.Int64
	refusal error
}

func (l *countingLimiter) Wait(context.Context) error { l.count.Add(1); return l.refusal }
