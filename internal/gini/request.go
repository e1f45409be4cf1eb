package gini

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/transport"
)

// request is one exchange: what is sent, and what the answers mean.
type request struct {
	operation string
	method    string
	url       *url.URL
	accept    string
	auth      authentication
	body      body

	// read takes over the body of a success and says in constant words what is wrong with it. Nil: the body is of no
	// interest, not even whether it is complete.
	read     func(answer) (problem string)
	refusals refusals
}

// authentication is how a request says who asks.
type authentication func(http.Header)

// basic is HTTP Basic with the bytes as they are (RFC 7617). OAuth would have them form-encoded first (RFC 6749, 2.3.1),
// but Gini's User Center is Spring, which does not decode that.
func (c *Client) basic() authentication {
	return func(header http.Header) {
		pair := base64.StdEncoding.EncodeToString([]byte(c.clientID + ":" + c.clientSecret.Reveal()))
		header.Set("Authorization", "Basic "+pair)
	}
}

// derived is the client on behalf of the user that it names (Gini Pay API documentation, trusted devices and /login).
func (c *Client) derived(identifier string) authentication {
	return func(header http.Header) {
		c.basic()(header)
		header.Set("X-User-Identifier", identifier)
	}
}

// bearer is an access token, a user's or the client's. Gini's documentation writes BEARER, which is blocked in places.
func bearer(token secret.Text) authentication {
	return func(header http.Header) { header.Set("Authorization", "Bearer "+token.Reveal()) }
}

// assertion is a user's JWT, which says who the client is as well (Gini Pay API documentation, JWT).
func assertion(jwt secret.Text) authentication {
	return func(header http.Header) { header.Set("X-JWT-Authorization", "Bearer "+jwt.Reveal()) }
}

// body is what a request carries; the zero body is empty.
type body struct {
	contentType string
	content     []byte
}

func formBody(values url.Values) body {
	return body{"application/x-www-form-urlencoded", []byte(values.Encode())}
}

func jsonBody(values map[string]string) body {
	content, _ := json.Marshal(values) // a map of strings cannot fail
	return body{"application/json", content}
}

// answer is what came back.
type answer struct {
	transport.Answer
	requested, received time.Time // wall clock
}

// exchange waits for the limiter, sends the request once and judges the answer.
func (c *Client) exchange(ctx context.Context, r request) (answer, error) {
	if c.allowHost != nil && !c.allowHost(r.url) {
		return answer{}, notSent(r.operation, "the host", "is not an allowed one")
	}
	if c.limiter != nil {
		if err := c.limiter.Wait(ctx); err != nil {
			return answer{}, canceled(r.operation, cmp.Or(ctx.Err(), err))
		}
	}
	if err := ctx.Err(); err != nil {
		return answer{}, canceled(r.operation, err)
	}
	begin := c.clock.Now()
	got := answer{requested: begin.Round(0)}
	failure := c.send(ctx, r, &got)
	if c.observe != nil {
		seen := Observation{Operation: r.operation, Status: got.Status, Duration: c.clock.Since(begin)}
		if failure != nil {
			seen.Kind = failure.Kind
		}
		c.observe(seen)
	}
	if failure != nil {
		return got, failure
	}
	return got, nil
}

func (c *Client) send(ctx context.Context, r request, got *answer) *Error {
	bounded, cancel := context.WithTimeout(ctx, c.requestTimeout)
	defer cancel()
	outgoing, err := http.NewRequestWithContext(bounded, r.method, r.url.String(), bytes.NewReader(r.body.content))
	if err != nil { // cannot be: method and URL are checked
		return &Error{Kind: Invalid, Operation: r.operation, Detail: "not a request"}
	}
	if r.body.contentType != "" {
		outgoing.Header.Set("Content-Type", r.body.contentType)
	}
	outgoing.Header.Set("Accept", r.accept)
	outgoing.Header.Set("User-Agent", c.userAgent)
	r.auth(outgoing.Header)

	var broken transport.Failure
	got.Answer, broken = transport.Exchange(c.transport, outgoing)
	got.received = c.clock.Now().Round(0)
	success := got.Status >= 200 && got.Status <= 299
	switch {
	case success && r.read == nil, got.Status == http.StatusTooManyRequests, got.Status >= 500:
		// The status says everything.
	case broken != transport.Complete:
		return c.noAnswer(ctx, r, got, broken)
	case got.Unreadable != "" && got.Status != http.StatusUnauthorized: // which says enough without
		return r.unexpected(got, got.Unreadable)
	}
	if !success {
		return r.judge(got, c.clock.Now())
	}
	if got.WebPage() {
		return r.unexpected(got, "a web page")
	}
	if r.read != nil {
		if problem := r.read(*got); problem != "" {
			return r.unexpected(got, problem)
		}
	}
	return nil
}

// noAnswer is for an exchange that broke.
func (c *Client) noAnswer(ctx context.Context, r request, got *answer, broken transport.Failure) *Error {
	if cause := ctx.Err(); cause != nil {
		return canceled(r.operation, cause)
	}
	return &Error{Kind: BrokenKind(broken), Operation: r.operation, Status: got.Status, RequestID: requestID(got.Header)}
}
