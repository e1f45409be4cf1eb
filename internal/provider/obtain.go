package provider

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/transport"
)

// Obtain asks for a JWT for one user, by one request. Errors are of type *gini.Error; an identifier with control characters is
// Invalid and not sent.
//
// Once a JWT was handed on, whatever is wrong with the answer for another user may be that user's: the requests differ in
// nothing but the identifier.
func (c *Client) Obtain(ctx context.Context, identifier string) (identity.Token, error) {
	if problem := gini.InputProblem(identifier, maxInput); problem != "" {
		return identity.Token{}, failed(gini.Invalid, "the identifier "+problem+"; nothing was sent")
	}
	if c.limiter != nil {
		if err := c.limiter.Wait(ctx); err != nil {
			return identity.Token{}, canceled(cmp.Or(ctx.Err(), err))
		}
	}
	if err := ctx.Err(); err != nil {
		return identity.Token{}, canceled(err)
	}
	begin := c.clock.Now()
	token, status, failure := c.send(ctx, identifier)
	if c.observe != nil {
		seen := gini.Observation{Operation: OperationClientCredentials, Status: status, Duration: c.clock.Since(begin)}
		if failure != nil {
			seen.Kind = failure.Kind
		}
		c.observe(seen)
	}
	if failure != nil {
		return identity.Token{}, failure
	}
	token.ObtainedAt = begin.Round(0)
	return token, nil
}

func (c *Client) send(ctx context.Context, identifier string) (identity.Token, int, *gini.Error) {
	bounded, cancel := context.WithTimeout(ctx, c.requestTimeout)
	defer cancel()
	request, err := c.request(bounded, identifier)
	if err != nil { // cannot be: New has looked at everything that it is made of
		return identity.Token{}, 0, failed(gini.Invalid, "not a request")
	}
	got, broken := transport.Exchange(c.transport, request)
	now := c.clock.Now().Round(0)
	if broken != transport.Complete && got.Status != http.StatusTooManyRequests && got.Status < 500 { // else the status says everything
		if err := ctx.Err(); err != nil {
			return identity.Token{}, got.Status, canceled(err)
		}
		failure := failed(gini.BrokenKind(broken), "")
		failure.Status = got.Status
		return identity.Token{}, got.Status, failure
	}
	jwt, failure := c.judge(got, now)
	if failure != nil {
		return identity.Token{}, got.Status, failure
	}
	token, failure := c.examine(jwt, identifier, now)
	if failure != nil {
		failure.Status = got.Status
		return identity.Token{}, got.Status, failure
	}
	c.served.Store(true)
	return token, got.Status, nil
}

// request is that of the client credentials grant (RFC 6749, 4.4.2), with the parameters of the configuration.
func (c *Client) request(ctx context.Context, identifier string) (*http.Request, error) {
	form := url.Values{"grant_type": {"client_credentials"}, c.parameter: {identifier}}
	for name, value := range c.parameters {
		form.Set(name, value)
	}
	if len(c.scopes) > 0 {
		form.Set("scope", strings.Join(c.scopes, " "))
	}
	id, password := c.clientID, c.clientSecret.Reveal()
	if c.authentication == Post {
		form.Set("client_id", id)
		form.Set("client_secret", password)
	}
	for name := range c.tokenURL.Query() { // a parameter must not be sent twice (RFC 6749, 3.2): grant_type, with some providers
		form.Del(name)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.tokenURL.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	switch c.authentication {
	case Basic:
		request.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(password))
	case RawBasic:
		request.SetBasicAuth(id, password)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", c.userAgent)
	return request, nil
}
