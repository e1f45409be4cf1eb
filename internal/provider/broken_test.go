package provider

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

	"github.com/gini-operator/gini-operator/internal/gini"
)

// cut answers with the given bytes, which need not be HTTP, and closes the connection.
func cut(content string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(connection, content)
		_ = connection.Close()
	}
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestBrokenExchanges(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	_, err = clientOf(t, "http://"+listener.Addr().String()).Obtain(bounded(t), testIdentifier)
	wantFailure(t, err, gini.Unreachable, "")

	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   gini.Kind
		status int
	}{
		"closed":           {cut(""), gini.Unreachable, 0},
		"cut in the body":  {cut(ok + "Content-Length: 100\r\n\r\n" + `{"access_token":"a"`), gini.Unreachable, 200},
		"cut in a refusal": {cut("HTTP/1.1 401 No\r\nContent-Length: 100\r\n\r\n" + `{"error":"invalid_client"`), gini.Unreachable, 401},
		"cut in a 503":     {cut("HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\nlater"), gini.Unavailable, 503},
		"cut in a 429":     {cut("HTTP/1.1 429 No\r\nContent-Length: 100\r\n\r\nlater"), gini.RateLimited, 429},
		"not HTTP":         {cut("220 mail.example ESMTP\r\n\r\n"), gini.Unexpected, 0},
		"hangs":            {hang, gini.Timeout, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.answer = test.answer
			var seen []gini.Observation
			client := clientOf(t, p.URL, func(c *Config) {
				c.Observe = func(o gini.Observation) { seen = append(seen, o) }
				if test.want == gini.Timeout {
					c.RequestTimeout = 50 * time.Millisecond
				}
			})
			_, err := client.Obtain(bounded(t), testIdentifier)
			wantFailure(t, err, test.want, "")
			if failure, _ := errors.AsType[*gini.Error](err); failure == nil || failure.Status != test.status {
				t.Errorf("%v, want status %d", err, test.status)
			}
			if p.asked() != 1 || len(seen) != 1 || seen[0].Kind != test.want || seen[0].Status != test.status {
				t.Errorf("%d requests, observed %+v", p.asked(), seen)
			}
		})
	}
}

func TestCallerGivesUp(t *testing.T) {
	p := newProvider(t)
	arrived := make(chan struct{}, 1)
	p.answer = func(w http.ResponseWriter, r *http.Request) { arrived <- struct{}{}; hang(w, r) }
	ctx, cancel := context.WithCancel(bounded(t))
	go func() { <-arrived; cancel() }()
	_, err := clientOf(t, p.URL).Obtain(ctx, testIdentifier)
	wantFailure(t, err, gini.Canceled, "")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error in it", err)
	}
	if _, err = clientOf(t, p.URL).Obtain(ctx, testIdentifier); !errors.Is(err, context.Canceled) || p.asked() != 1 {
		t.Errorf("%v, and a request after the end", err)
	}
	ctx, cancel = context.WithTimeout(bounded(t), 50*time.Millisecond)
	defer cancel()
	_, err = clientOf(t, p.URL).Obtain(ctx, testIdentifier)
	<-arrived
	wantFailure(t, err, gini.Canceled, "")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the end of the caller's own deadline", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var followed atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, location := range []string{elsewhere.URL, "/oauth2/token", "%zz", ""} {
		for _, status := range []int{300, 301, 302, 303, 307, 308} {
			p := newProvider(t)
			p.answer = says(status, "", "Location", location)
			_, err := clientOf(t, p.URL).Obtain(bounded(t), testIdentifier)
			wantFailure(t, err, gini.Unexpected, "a redirect")
			if p.asked() != 1 || followed.Load() != 0 {
				t.Errorf("%d to %q was followed", status, location)
			}
		}
	}
}

func TestTLSAndAddresses(t *testing.T) {
	p := newProvider(t)
	secure := httptest.NewUnstartedServer(p.Config.Handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	roots := func(c *Config) {
		c.RootCAs = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	}
	if _, err := clientOf(t, secure.URL, roots).Obtain(bounded(t), testIdentifier); err != nil {
		t.Error(err)
	}
	_, err := clientOf(t, secure.URL).Obtain(bounded(t), testIdentifier)
	wantFailure(t, err, gini.TLS, "")
	elsewhere := func(c *Config) { c.AllowAddress = func(address netip.Addr) bool { return !address.IsLoopback() } }
	_, err = clientOf(t, secure.URL, roots, elsewhere).Obtain(bounded(t), testIdentifier)
	wantFailure(t, err, gini.Unreachable, "")
	if p.asked() != 1 {
		t.Errorf("%d requests", p.asked())
	}
	slow := clientOf(t, secure.URL, func(c *Config) { c.ConnectTimeout = 7 * time.Second })
	if slow.transport.TLSHandshakeTimeout != 7*time.Second {
		t.Errorf("ConnectTimeout %s", slow.transport.TLSHandshakeTimeout)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	p := newProvider(t)
	p.answer = func(w http.ResponseWriter, _ *http.Request) { // never ends
		w.Header().Set("Content-Type", "application/json")
		for {
			if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
				return
			}
		}
	}
	_, err := clientOf(t, p.URL).Obtain(bounded(t), testIdentifier)
	wantFailure(t, err, gini.Unexpected, "the body is too large")
}
