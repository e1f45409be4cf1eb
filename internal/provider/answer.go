package provider

import (
	"bytes"
	"encoding/json"
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

// refusals is what the provider's error codes mean (RFC 6749, 5.2 and 4.1.2.1). What every user of the provider would
// meet is one of the client-level kinds, and only invalid_grant is about the user that was asked for.
var refusals = map[string]struct {
	kind   gini.Kind
	detail string
}{
	"invalid_client":          {gini.CredentialsRejected, ""},
	"unauthorized_client":     {gini.CredentialsRejected, ""},
	"access_denied":           {gini.CredentialsRejected, ""},
	"unsupported_grant_type":  {gini.CredentialsRejected, "the client may not use the client credentials grant"},
	"invalid_scope":           {gini.CredentialsRejected, "the client may not have these scopes"},
	"invalid_grant":           {gini.GrantRejected, "the provider gives no JWT for this user"},
	"invalid_request":         {gini.Unexpected, "the request is not accepted"},
	"server_error":            {gini.Unavailable, ""},
	"temporarily_unavailable": {gini.Unavailable, ""},
}

// judge takes the access token out of a success, and makes an error of any other answer.
func judge(got transport.Answer, now time.Time) (secret.Text, *gini.Error) {
	kind, detail, code := gini.Unexpected, "", gini.ErrorCode(got.Body)
	refusal, known := refusals[code]
	unauthorized := got.Status == http.StatusUnauthorized || got.Status == http.StatusForbidden
	switch status := got.Status; {
	case status == http.StatusTooManyRequests:
		kind = gini.RateLimited
	case status >= 500:
		kind = gini.Unavailable
	case status >= 300 && status <= 399:
		detail = "a redirect"
	case got.Unreadable != "":
		detail = got.Unreadable
	case got.WebPage() && status != http.StatusUnauthorized: // a proxy's, a captive portal's, or a login page
		detail = "a web page"
	case status >= 200 && status <= 299:
		token, problem := accessToken(got.Body)
		if problem == "" {
			return token, nil
		}
		if detail = problem; known { // some refuse with 200
			kind, detail = refusal.kind, refusal.detail
		}
	case known && (status == http.StatusBadRequest || unauthorized && refusal.kind != gini.Unexpected):
		kind, detail = refusal.kind, refusal.detail
	case unauthorized:
		kind = gini.CredentialsRejected
	case status == http.StatusBadRequest:
		detail = "the request is not accepted"
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		detail = "there is no token endpoint at the token URL"
	}
	failure := failed(kind, detail)
	failure.Status, failure.Code = got.Status, code
	if kind == gini.RateLimited || kind == gini.Unavailable {
		failure.RetryAfter = got.RetryAfter(now)
	}
	return secret.Text{}, failure
}

// accessToken reads a token answer (RFC 6749, 5.1). Only what is used is looked at: the lifetime stands in the JWT.
// problem is constant text; what the decoder says may quote the token.
func accessToken(content []byte) (token secret.Text, problem string) {
	var fields map[string]json.RawMessage
	if !bytes.HasPrefix(bytes.TrimLeft(content, " \t\r\n"), []byte("{")) || json.Unmarshal(content, &fields) != nil {
		return secret.Text{}, "not a JSON object"
	}
	var value *string
	if json.Unmarshal(fields["access_token"], &value) != nil || value == nil || *value == "" {
		return secret.Text{}, "no access_token in the answer"
	}
	return secret.New(*value), ""
}
