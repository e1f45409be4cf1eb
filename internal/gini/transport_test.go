package gini

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestBrokenExchanges has one case for each way in which an exchange breaks, and those where the status counts all the same.
func TestBrokenExchanges(t *testing.T) {
	slowBody := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	untrusted := httptest.NewUnstartedServer(script{})
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for name, test := range map[string]struct {
		address string
		want    Kind
	}{
		"closed without an answer": {raw(t, ""), Unreachable},
		"cut in the body":          {raw(t, ok+"Content-Length: 100\r\n\r\n"+`{"access_token":"a"`), Unreachable},
		"cut in a refusal":         {raw(t, "HTTP/1.1 400 Bad\r\nContent-Length: 100\r\n\r\n"+`{"error":"invalid_grant"`), Unreachable},
		"cut in a 500":             {raw(t, "HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nlater"), Unavailable},
		"cut in a 503":             {raw(t, "HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\nlater"), Unavailable},
		"not HTTP":                 {raw(t, "220 mail.example ESMTP MARK\r\n\r\n"), Unexpected},
		"untrusted":                {untrusted.URL, TLS},
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

func TestConfigReachesTheTransport(t *testing.T) {
	server := httptest.NewTLSServer(script{askLogin: says(200, goodGrant)})
	t.Cleanup(server.Close)
	roots := func(c *Config) {
		c.RootCAs = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		c.AllowAddress, c.ConnectTimeout = netip.Addr.IsLoopback, 7*time.Second
	}
	client := clientOf(t, server.URL, roots)
	_, err := client.Login(bounded(t), testIdentifier)
	wantKind(t, err, None)
	if client.transport.TLSHandshakeTimeout != 7*time.Second {
		t.Errorf("ConnectTimeout %s", client.transport.TLSHandshakeTimeout)
	}
	refuse := func(c *Config) { c.AllowAddress = func(address netip.Addr) bool { return !address.IsLoopback() } }
	_, err = clientOf(t, server.URL, roots, refuse).Login(bounded(t), testIdentifier)
	wantKind(t, err, Unreachable)
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
