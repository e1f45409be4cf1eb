package provider

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/transport"
)

// Obtain asks for a JWT for one user. Errors are of type *gini.Error; an identifier with control characters is Invalid
// and not sent.
//
// A provider takes the client's credentials as HTTP Basic or as form parameters, and nobody says which. As x/oauth2
// does, Basic is tried first, and the other way where that is refused; but only where the refusal can be about the
// credentials: neither an outage nor a refusal of the user is met with a second request. The way that led to a token is
// kept for the Client's life.
func (c *Client) Obtain(ctx context.Context, identifier string) (identity.Token, error) {
	if problem := gini.InputProblem(identifier, maxInput); problem != "" {
		return identity.Token{}, failed(gini.Invalid, "the identifier "+problem+"; nothing was sent")
	}
	style := oauth2.AuthStyle(c.style.Load())
	detect := style == oauth2.AuthStyleAutoDetect
	if detect {
		style = oauth2.AuthStyleInHeader
	}
	token, failure := c.ask(ctx, identifier, style)
	if detect && failure != nil && maybeStyle(failure) {
		first := failure
		token, failure = c.ask(ctx, identifier, oauth2.AuthStyleInParams)
		// A provider that takes Basic only may not understand the second request; the first answer says more then.
		if failure != nil && failure.Kind == gini.Unexpected && failure.Status >= 400 && first.Kind == gini.CredentialsRejected {
			failure = first
		}
	}
	if failure != nil {
		if !detect && deniesUser(failure) {
			failure.Kind, failure.Detail = gini.GrantRejected, "the provider denies a JWT for this user"
		}
		return identity.Token{}, failure
	}
	return token, nil
}

// deniesUser reports whether a provider that has accepted the credentials before refuses no more than this user, as far as its answer tells.
func deniesUser(failure *gini.Error) bool {
	return failure.Kind == gini.CredentialsRejected &&
		(failure.Code == "access_denied" || failure.Code == "" && failure.Status == http.StatusForbidden)
}

// maybeStyle reports whether a refusal may be about the way in which the credentials were sent.
func maybeStyle(failure *gini.Error) bool {
	switch failure.Code {
	case "invalid_client":
		return true // whatever the status: some answer 200
	case "invalid_grant", "invalid_scope", "unsupported_grant_type":
		return false // so far looks only who has taken the credentials
	}
	switch failure.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return failure.Kind == gini.CredentialsRejected || failure.Kind == gini.Unexpected
	}
	return false
}

// ask makes one request. x/oauth2 writes it; what its errors say is not used, as they quote the answer.
func (c *Client) ask(ctx context.Context, identifier string, style oauth2.AuthStyle) (identity.Token, *gini.Error) {
	config := clientcredentials.Config{
		ClientID:       c.clientID,
		ClientSecret:   c.clientSecret.Reveal(),
		TokenURL:       c.tokenURL,
		Scopes:         c.scopes,
		EndpointParams: url.Values{c.parameter: {identifier}},
		AuthStyle:      style,
	}
	one := &exchange{client: c, identifier: identifier}
	_, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: one}))
	if one.granted {
		c.style.Store(int64(style))
	}
	switch {
	case one.failure != nil:
		return identity.Token{}, one.failure
	case err != nil: // cannot be: it got an answer that it understands
		return identity.Token{}, failed(gini.Unexpected, "no usable answer")
	}
	return one.token, nil
}

// exchange is the one request of ask, as x/oauth2 sends it.
type exchange struct {
	client     *Client
	identifier string

	granted bool // the provider has taken the client's credentials
	token   identity.Token
	failure *gini.Error
}

// RoundTrip implements http.RoundTripper. What it hands back is no more than x/oauth2 needs to be content: no redirect,
// which http.Client would follow, and nothing that x/oauth2 reads in another way than Gini's answers are read, such as
// a lifetime that is not used anyway.
func (e *exchange) RoundTrip(request *http.Request) (*http.Response, error) {
	defer func() { _ = request.Body.Close() }()
	if e.failure = e.run(request); e.failure != nil {
		return nil, errors.New("the exchange says why")
	}
	content, err := json.Marshal(map[string]string{"access_token": e.token.JWT.Reveal()})
	if err != nil {
		return nil, errors.New("not JSON") // cannot be
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(content)), Request: request,
	}, nil
}

// run waits for the limiter, sends the request once and judges the answer.
func (e *exchange) run(request *http.Request) *gini.Error {
	c, ctx := e.client, request.Context()
	if c.limiter != nil {
		if err := c.limiter.Wait(ctx); err != nil {
			return canceled(cmp.Or(ctx.Err(), err))
		}
	}
	if err := ctx.Err(); err != nil {
		return canceled(err)
	}
	begin := c.clock.Now()
	status, failure := e.send(ctx, request)
	if c.observe != nil {
		seen := gini.Observation{Operation: OperationClientCredentials, Status: status, Duration: c.clock.Since(begin)}
		if failure != nil {
			seen.Kind = failure.Kind
		}
		c.observe(seen)
	}
	e.token.ObtainedAt = begin.Round(0)
	return failure
}

func (e *exchange) send(ctx context.Context, request *http.Request) (status int, failure *gini.Error) {
	c := e.client
	bounded, cancel := context.WithTimeout(ctx, c.requestTimeout)
	defer cancel()
	outgoing := request.Clone(bounded)
	outgoing.Header.Set("Accept", "application/json")
	outgoing.Header.Set("User-Agent", c.userAgent)
	got, broken := transport.Exchange(c.transport, outgoing)
	now := c.clock.Now().Round(0)
	if broken != transport.Complete && got.Status != http.StatusTooManyRequests && got.Status < 500 { // else the status says everything
		if err := ctx.Err(); err != nil {
			return got.Status, canceled(err)
		}
		failure = failed(gini.BrokenKind(broken), "")
		failure.Status = got.Status
		return got.Status, failure
	}
	jwt, failure := judge(got, now)
	if failure != nil {
		return got.Status, failure
	}
	e.granted = true
	if e.token, failure = c.examine(jwt, e.identifier, now); failure != nil {
		failure.Status = got.Status
	}
	return got.Status, failure
}
