package gini

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gini-operator/gini-operator/internal/secret"
)

// How long a client token is used. Its lifetime counts from before it was asked for.
const (
	clientTokenMargin  = 5 * time.Second // before its end; a tenth of the lifetime where that is less
	unknownClientToken = time.Minute     // no expires_in: Gini's last 12 hours
	endedClientToken   = time.Second     // expires_in 0 or less: used by those who are waiting
)

// clientTokens holds the client token that all calls share. However many ask at once, one request is made.
type clientTokens struct {
	flights singleflight.Group

	mu         sync.Mutex
	current    clientToken
	generation uint64
}

// clientToken is one answer of the token endpoint. Its generation tells it from another answer with the same token,
// which Gini gives as long as the token lives: were the token itself compared, each of a hundred callers that meet
// with the same refusal would ask anew.
type clientToken struct {
	token             secret.Text
	generation        uint64
	requested, usable time.Time // [requested, usable) in wall-clock time
	remembered        bool      // not asked for by this call
}

// clientToken returns the token at hand, or a fresh one.
func (c *Client) clientToken(ctx context.Context) (clientToken, error) {
	now := c.clock.Now()
	c.clientTokens.mu.Lock()
	if current := c.clientTokens.current; now.Before(current.usable) && !now.Before(current.requested) {
		c.clientTokens.mu.Unlock()
		current.remembered = true
		return current, nil
	}
	// Joined under the mutex, under which a flight also leaves its token: else one that lands right here is missed.
	flight := c.flight(ctx)
	c.clientTokens.mu.Unlock()
	return c.landed(ctx, flight)
}

// freshClientToken asks for a token whatever is at hand; if somebody is just asking, that answer serves.
func (c *Client) freshClientToken(ctx context.Context) (clientToken, error) {
	return c.landed(ctx, c.flight(ctx))
}

// forget drops the token if it is still the one in use.
func (t *clientTokens) forget(refused clientToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.generation == refused.generation {
		t.current = clientToken{}
	}
}

func (c *Client) flight(ctx context.Context) <-chan singleflight.Result {
	return c.clientTokens.flights.DoChan("", func() (any, error) {
		// The request is for all who wait, so it must not end with the first one's context. It ends all the same: there
		// are at most two requests, each is bounded, and each may wait as long for the limiter.
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*c.requestTimeout+c.overlapPause)
		defer cancel()
		return c.requestClientToken(shared)
	})
}

func (c *Client) landed(ctx context.Context, flight <-chan singleflight.Result) (clientToken, error) {
	select {
	case <-ctx.Done():
		return clientToken{}, canceled(OperationClientToken, ctx.Err())
	case result := <-flight:
		if result.Err != nil {
			return clientToken{}, result.Err
		}
		return result.Val.(clientToken), nil
	}
}

func (c *Client) requestClientToken(ctx context.Context) (clientToken, error) {
	endpoint := c.userCenter.JoinPath("oauth", "token")
	endpoint.RawQuery = url.Values{"grant_type": {"client_credentials"}}.Encode()
	grant, err := c.requestGrant(ctx, request{
		operation: OperationClientToken,
		method:    http.MethodGet,
		url:       endpoint,
		accept:    "application/json",
		auth:      c.basic(),
		// No user is part of this request, so whatever is refused is the client.
		refusals: refusals{unauthorized: CredentialsRejected, invalid: Unexpected, codes: map[string]Kind{
			"invalid_client": CredentialsRejected, "unauthorized_client": CredentialsRejected, "invalid_grant": CredentialsRejected,
			"unsupported_grant_type": CredentialsRejected, "invalid_scope": CredentialsRejected, "access_denied": CredentialsRejected,
		}},
	})
	if err != nil {
		return clientToken{}, err
	}
	lasts := unknownClientToken
	switch {
	case grant.ExpiryKnown && grant.ExpiresIn > 0:
		lasts = grant.ExpiresIn - min(clientTokenMargin, grant.ExpiresIn/10)
	case grant.ExpiryKnown:
		lasts = endedClientToken
	}
	c.clientTokens.mu.Lock()
	defer c.clientTokens.mu.Unlock()
	c.clientTokens.generation++
	c.clientTokens.current = clientToken{
		token:      grant.AccessToken,
		generation: c.clientTokens.generation,
		requested:  grant.Requested,
		usable:     grant.Requested.Add(lasts),
	}
	return c.clientTokens.current, nil
}

// asClient sends a request with the client token. A token that is refused may have ended early (Gini hands out the
// same one until it ends), so nothing is concluded from that before one fresh token was tried, once.
func (c *Client) asClient(ctx context.Context, r request) (answer, error) {
	token, err := c.clientToken(ctx)
	if err != nil {
		return answer{}, err
	}
	r.auth = bearer(token.token)
	got, err := c.exchange(ctx, r)
	if err == nil {
		return got, nil
	}
	switch status := got.Status; {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		// Even a token just received can have ended by its use.
	case status == http.StatusBadRequest && token.remembered:
		// Some answer so to a stale token. What was refused was not done, so it can be asked for again.
	case status == http.StatusInternalServerError && token.remembered:
		// Likewise; but here a change may have been made, and a second try would be refused for that.
		if r.method != http.MethodGet {
			c.clientTokens.forget(token)
			return got, err
		}
	default:
		return got, err
	}
	c.clientTokens.forget(token)
	if token, err = c.clientToken(ctx); err != nil {
		return answer{}, err
	}
	r.auth = bearer(token.token)
	return c.exchange(ctx, r)
}

// ClientTokenGiven reports whether Gini has given a client token for these credentials.
func (c *Client) ClientTokenGiven() bool {
	c.clientTokens.mu.Lock()
	defer c.clientTokens.mu.Unlock()
	return c.clientTokens.generation > 0
}

// VerifyCredentials proves the client's id and secret by one fresh client token (Gini Pay API documentation, "Client
// credentials"). Kind CredentialsRejected says that they are wrong; any other failure says nothing about them.
func (c *Client) VerifyCredentials(ctx context.Context) error {
	_, err := c.freshClientToken(ctx)
	return err
}
