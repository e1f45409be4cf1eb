package gini

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gini-operator/gini-operator/internal/secret"
)

// Grant is an access token, and what is known about its lifetime. Gini may hand out a token that it gave before, with
// the time that is left of it.
type Grant struct {
	AccessToken  secret.Text
	RefreshToken secret.Text // empty where the answer had none: Gini gives one only where it configured the client for it

	// Requested and Received are the wall-clock instants (no monotonic reading) before the request was sent and after
	// the answer was read. The token ends between Requested+ExpiresIn and Received+ExpiresIn, plus up to a second of
	// rounding.
	Requested, Received time.Time
	// ExpiresIn is what the answer says, capped at 100 years both ways: it may be 0 or negative.
	ExpiresIn time.Duration
	// ExpiryKnown is false where the answer says nothing (ExpiresIn is absent, null or unreadable), true otherwise.
	ExpiryKnown bool
}

// Login logs in a derived user, who comes to exist by that, with the client's credentials: POST /login at the Pay API
// (Gini Pay API documentation, "Untrusted device, derived user"). An identifier with control characters, or blanks at
// its ends, is Invalid and not sent.
func (c *Client) Login(ctx context.Context, identifier string) (Grant, error) {
	if problem := identifierProblem(identifier); problem != "" {
		return Grant{}, notSent(OperationLogin, "the identifier", problem)
	}
	return c.userGrant(ctx, identifier, request{
		operation: OperationLogin,
		method:    http.MethodPost,
		url:       c.payAPI.JoinPath("login"),
		accept:    c.mediaType,
		auth:      c.derived(identifier),
		refusals: refusals{unauthorized: CredentialsRejected, codes: map[string]Kind{
			"invalid_grant": GrantRejected, "invalid_client": CredentialsRejected, "unauthorized_client": CredentialsRejected,
		}},
	})
}

// LoginJWT logs in the derived user whom a JWT names: POST /login at the Pay API with the JWT alone, which says who the
// client is as well (Gini Pay API documentation, "Untrusted device, derived user, JWT"). identifier is the user that the
// JWT names: no two token requests for it overlap. A JWT that cannot stand in a header is Invalid and not sent.
func (c *Client) LoginJWT(ctx context.Context, identifier string, jwt secret.Text) (Grant, error) {
	if problem := InputProblem(jwt.Reveal(), maxToken); problem != "" {
		return Grant{}, notSent(OperationLoginJWT, "the JWT", problem)
	}
	if !isToken(jwt.Reveal()) {
		return Grant{}, notSent(OperationLoginJWT, "the JWT", "is not one")
	}
	return c.userGrant(ctx, identifier, request{
		operation: OperationLoginJWT,
		method:    http.MethodPost,
		url:       c.payAPI.JoinPath("login"),
		accept:    c.mediaType,
		auth:      assertion(jwt),
		refusals: refusals{unauthorized: JWTRejected, codes: map[string]Kind{
			"invalid_grant": GrantRejected, "invalid_token": JWTRejected, "invalid_client": JWTRejected, "unauthorized_client": JWTRejected,
		}},
	})
}

// PasswordLogin logs in an anonymous user: grant_type=password at the User Center (Gini Pay API documentation,
// "Untrusted device, anonymous user"). An account that is unknown, has another password or belongs to another client
// is GrantRejected. As 401 is the answer both to a lost account and to a wrong client secret, it is followed by a
// request for a client token, which tells them apart; if that fails in another way, its error is returned.
func (c *Client) PasswordLogin(ctx context.Context, email string, password secret.Text) (Grant, error) {
	if problem := accountProblem(email, password); problem != "" {
		return Grant{}, notSent(OperationPasswordLogin, "the account:", problem)
	}
	endpoint := c.userCenter.JoinPath("oauth", "token")
	endpoint.RawQuery = url.Values{"grant_type": {"password"}}.Encode()
	grant, err := c.userGrant(ctx, email, request{
		operation: OperationPasswordLogin,
		method:    http.MethodPost,
		url:       endpoint,
		accept:    "application/json",
		auth:      c.basic(),
		body:      formBody(url.Values{"username": {email}, "password": {password.Reveal()}}),
		refusals: refusals{unauthorized: GrantRejected, codes: map[string]Kind{
			"invalid_grant": GrantRejected, "invalid_client": GrantRejected,
		}},
	})
	if blamesClient(err) {
		if _, probe := c.freshClientToken(ctx); probe != nil {
			return Grant{}, probe
		}
	}
	return grant, err
}

// Refresh asks for a new access token with a refresh token (Gini Pay API documentation; RFC 6749, 6), which ends the
// earlier one at once. user is the identifier or e-mail that the token is for: no two token requests for it overlap.
// Any refusal is GrantRejected, 401 too: the User Center answers so where the refresh token has expired, or where the
// client may not refresh. The way out is to log in.
func (c *Client) Refresh(ctx context.Context, user string, refreshToken secret.Text) (Grant, error) {
	if problem := InputProblem(refreshToken.Reveal(), maxToken); problem != "" {
		return Grant{}, notSent(OperationRefresh, "the refresh token", problem)
	}
	return c.userGrant(ctx, user, request{
		operation: OperationRefresh,
		method:    http.MethodPost,
		url:       c.userCenter.JoinPath("oauth", "token"),
		accept:    "application/json",
		auth:      c.basic(),
		body:      formBody(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken.Reveal()}}),
		refusals: refusals{unauthorized: GrantRejected, codes: map[string]Kind{
			"invalid_grant": GrantRejected, "invalid_token": GrantRejected, "invalid_client": GrantRejected,
			"unauthorized_client": GrantRejected, "unsupported_grant_type": GrantRejected,
		}},
	})
}

// userGrant keeps token requests of one user apart.
func (c *Client) userGrant(ctx context.Context, user string, r request) (Grant, error) {
	unlock, err := c.users.lock(ctx, user)
	if err != nil {
		return Grant{}, canceled(r.operation, err)
	}
	defer unlock()
	return c.requestGrant(ctx, r)
}

// requestGrant repeats a request that is answered exactly 500, once, after a moment: so the User Center answers where
// two token requests overlap, and another replica or another program may be asking for the same user.
func (c *Client) requestGrant(ctx context.Context, r request) (Grant, error) {
	var grant Grant
	r.read = func(got answer) (problem string) {
		grant, problem = parseGrant(got.Body)
		grant.Requested, grant.Received = got.requested, got.received
		return problem
	}
	_, err := c.exchange(ctx, r)
	if statusOf(err) == http.StatusInternalServerError {
		pause := time.NewTimer(c.overlapPause) //nolint:forbidigo // a pause on the wire: no decision follows from it, and tests set its length
		defer pause.Stop()
		select {
		case <-ctx.Done():
			return Grant{}, canceled(r.operation, ctx.Err())
		case <-pause.C:
		}
		_, err = c.exchange(ctx, r)
	}
	if err != nil {
		return Grant{}, err
	}
	return grant, nil
}

// blamesClient reports whether a refused login may be the client's own fault.
func blamesClient(err error) bool {
	failure, ok := errors.AsType[*Error](err)
	if !ok || failure.Kind != GrantRejected {
		return false
	}
	return failure.Status == http.StatusUnauthorized || failure.Status == http.StatusForbidden || failure.Code == "invalid_client"
}
