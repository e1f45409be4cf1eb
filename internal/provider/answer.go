package provider

import (
	"net/http"
	"time"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/transport"
)

// failed makes an error. detail is constant text.
func failed(kind gini.Kind, detail string) *gini.Error {
	return &gini.Error{System: System, Operation: OperationClientCredentials, Kind: kind, Detail: detail}
}

func canceled(cause error) *gini.Error {
	failure := failed(gini.Canceled, "")
	failure.Cause = cause
	return failure
}

// refusal is what it means that the provider refuses.
type refusal struct {
	kind   gini.Kind
	detail string
	// vague is a refusal that says little: with 401 it is about the credentials, and after a JWT for another user it may be about
	// this one alone.
	vague bool
}

// What is to be checked where the request is refused, but not the credentials.
const (
	deniedDetail     = "the provider denies this client such JWTs: let it have them there, or check oauth2.parameters (such as audience) and oauth2.scopes"
	notUnderstood    = "the provider does not accept the request: check oauth2.parameters, userIdentifierParameter and clientAuthentication"
	deniedUserDetail = "the provider denies a JWT for this user, though it gave others: check that it knows the identifier"
)

// refusals is what the provider's error codes mean (RFC 6749, 5.2 and 4.1.2.1; RFC 8707, 2). What every user of the provider
// would meet is one of the client-level kinds. Only some are about the credentials, which are then tried no more for a while.
var refusals = map[string]refusal{
	"invalid_client":         {kind: gini.CredentialsRejected},
	"unauthorized_client":    {kind: gini.CredentialsRejected, detail: "the client may not use the client credentials grant"},
	"unsupported_grant_type": {kind: gini.Unexpected, detail: "the provider does not allow the client credentials grant: allow this client to use it"},
	"invalid_scope":          {kind: gini.Unexpected, detail: "the client may not have these scopes: check oauth2.scopes"},
	"invalid_target": {
		kind: gini.Unexpected, detail: "the client may not have JWTs for this audience or resource: check oauth2.parameters",
	},
	"access_denied":           {kind: gini.Unexpected, detail: deniedDetail, vague: true},
	"invalid_request":         {kind: gini.Unexpected, detail: notUnderstood, vague: true},
	"invalid_grant":           {kind: gini.GrantRejected, detail: "the provider gives no JWT for this user"},
	"server_error":            {kind: gini.Unavailable},
	"temporarily_unavailable": {kind: gini.Unavailable},
}

// refused says what a refusal means by its code, and by its status where there is none that says more.
func refused(status int, code string) refusal {
	means, known := refusals[code]
	switch {
	case known && (status != http.StatusUnauthorized || !means.vague):
		return means
	case status == http.StatusUnauthorized:
		return refusal{kind: gini.CredentialsRejected}
	case status == http.StatusForbidden:
		return refusals["access_denied"]
	}
	return refusals["invalid_request"]
}

// judge takes the access token out of a success, and makes an error of any other answer.
func (c *Client) judge(got transport.Answer, now time.Time) (secret.Text, *gini.Error) {
	means, code := refusal{kind: gini.Unexpected}, gini.ErrorCode(got.Body)
	switch status := got.Status; {
	case status == http.StatusTooManyRequests:
		means.kind = gini.RateLimited
	case status >= 500:
		means.kind = gini.Unavailable
	case status >= 300 && status <= 399:
		means.detail = "a redirect"
	case status == http.StatusUnauthorized: // says enough, whatever comes with it
		means = refused(status, code)
	case got.Unreadable != "":
		means.detail = got.Unreadable
	case got.WebPage(): // a proxy's, a captive portal's, or a login page
		means.detail = "a web page"
	case status >= 200 && status <= 299:
		token, problem := accessToken(got.Body)
		if problem == "" {
			return token, nil
		}
		means.detail = problem
		if _, known := refusals[code]; known { // some refuse with 200
			means = refused(status, code)
		}
	case status == http.StatusBadRequest, status == http.StatusForbidden:
		means = refused(status, code)
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		means.detail = "there is no token endpoint at the token URL"
	}
	if means.vague && c.served.Load() {
		means.kind, means.detail = gini.GrantRejected, deniedUserDetail
	}
	failure := failed(means.kind, means.detail)
	failure.Status, failure.Code = got.Status, code
	if means.kind == gini.RateLimited || means.kind == gini.Unavailable {
		failure.RetryAfter = got.RetryAfter(now)
	}
	return secret.Text{}, failure
}

// accessToken reads a token answer (RFC 6749, 5.1). Only what is used is looked at: the lifetime stands in the JWT.
// problem is constant text; what the decoder says may quote the token.
func accessToken(content []byte) (token secret.Text, problem string) {
	fields, ok := transport.ParseObject(content)
	if !ok {
		return secret.Text{}, "not a JSON object"
	}
	value, ok := fields.Text("access_token")
	if !ok {
		return secret.Text{}, "no access_token in the answer"
	}
	return secret.New(value), ""
}
