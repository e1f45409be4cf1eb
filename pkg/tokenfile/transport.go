package tokenfile

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// defaultOrigin is Gini's Pay API.
	defaultOrigin = "https://pay-api.gini.net"
	// lookPause lies between two looks at the folder, while a Transport waits for a newer token.
	lookPause = 250 * time.Millisecond
	// maxDiscarded is how much of a refusal is read, so that its connection can be used again.
	maxDiscarded = 64 << 10
)

// TransportOption configures a Transport.
type TransportOption func(*Transport) error

// WithOrigins says who gets the token, in place of https://pay-api.gini.net. An origin is a scheme, a host and, where it is not the scheme's own, a
// port, as in https://gini.example:8443; any path behind is ignored, so that a base URL will do.
func WithOrigins(origins ...string) TransportOption {
	return func(t *Transport) error {
		t.origins = map[string]bool{}
		for i, text := range origins {
			parsed, err := url.Parse(text)
			if err != nil || parsed.Hostname() == "" || parsed.User != nil || (parsed.Scheme != "https" && parsed.Scheme != "http") {
				return fmt.Errorf("tokenfile: origin %d is not of the form https://host or https://host:port", i+1) // it may hold a password
			}
			t.origins[origin(parsed)] = true
		}
		return nil
	}
}

// WithBase sends requests by another RoundTripper than http.DefaultTransport.
func WithBase(base http.RoundTripper) TransportOption {
	return func(t *Transport) error { t.base = base; return nil }
}

// WithWait lets a request that was refused wait for a newer token for that long, or until its context ends. The default is not to
// wait: by default a kubelet takes up to 90 seconds to show one, and only the program knows whether its callers have that time.
func WithWait(limit time.Duration) TransportOption {
	return func(t *Transport) error { t.wait = limit; return nil }
}

// Transport is an http.RoundTripper that adds the token to requests for Gini. Where the answer is 401, the folder holds another token than
// the one sent, and the body can be sent again (there is none, or GetBody is set), it sends the request once more. Requests to
// other origins, redirected ones too, pass unchanged.
type Transport struct {
	source  *Source
	base    http.RoundTripper
	origins map[string]bool
	wait    time.Duration
}

// NewTransport makes a Transport for the token of source.
func NewTransport(source *Source, opts ...TransportOption) (*Transport, error) {
	t := &Transport{source: source, base: http.DefaultTransport, origins: map[string]bool{}}
	for _, option := range append([]TransportOption{WithOrigins(defaultOrigin)}, opts...) {
		if err := option(t); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.origins[origin(req.URL)] {
		return t.base.RoundTrip(req)
	}
	sent, err := t.source.Current()
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // the contract of a RoundTripper; the error at hand says more
		}
		return nil, err
	}
	res, err := t.send(req, req.Body, sent)
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		return res, err
	}
	body, ok := again(req)
	if !ok {
		return res, nil
	}
	newer, ok := t.newer(req.Context(), sent)
	if !ok {
		if body != nil {
			_ = body.Close() // it was not read
		}
		return res, nil
	}
	_, _ = io.CopyN(io.Discard, res.Body, maxDiscarded) // only so that the connection can be used again
	_ = res.Body.Close()
	return t.send(req, body, newer)
}

// send sends req with a body and a token. The answer names req as its request, so that whoever prints that prints no token.
func (t *Transport) send(req *http.Request, body io.ReadCloser, token Token) (*http.Response, error) {
	authorized := req.Clone(req.Context())
	authorized.Body = body
	authorized.Header.Set(token.Header(), token.Authorization())
	res, err := t.base.RoundTrip(authorized)
	if res != nil {
		res.Request = req
	}
	return res, err
}

// again is the body for sending req once more; false where it cannot be had.
func again(req *http.Request) (io.ReadCloser, bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req.Body, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	return body, err == nil
}

// newer is another token than the one sent, if the folder holds one, or comes to hold one while there is time to wait.
func (t *Transport) newer(ctx context.Context, sent Token) (Token, bool) {
	for waited := time.Duration(0); ; waited += lookPause {
		if token, err := t.source.Current(); err == nil && !token.same(sent) {
			return token, true
		}
		if waited >= t.wait {
			return Token{}, false
		}
		select {
		case <-ctx.Done():
			return Token{}, false
		case <-time.After(min(lookPause, t.wait-waited)):
		}
	}
}

// origin is scheme, host and port, in one form for all ways of writing them.
func origin(u *url.URL) string {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
