package gini

import (
	"bytes"
	"cmp"
	"net/http"
	"time"

	"github.com/gini-operator/gini-operator/internal/transport"
)

// refusals is what a refusal means at one endpoint (Gini Pay API documentation, status codes; RFC 6749, 5.2).
type refusals struct {
	unauthorized Kind            // 401 and 403: which credential is judged here
	invalid      Kind            // 400, 409, 413, 422; None: Invalid
	notFound     Kind            // 404; None: Unexpected, as a fixed path that is not there is a wrong endpoint
	codes        map[string]Kind // what an OAuth error code says goes before the above, but not before a 404
}

// judge makes an error of any answer that is not a success.
func (r request) judge(got *answer, now time.Time) *Error {
	failure := &Error{Operation: r.operation, Status: got.Status, Code: ErrorCode(got.Body), RequestID: requestID(got.Header)}
	page := got.WebPage()
	switch status := got.Status; {
	case status == http.StatusTooManyRequests:
		failure.Kind = RateLimited
	case status >= 500:
		failure.Kind = Unavailable
	case status >= 300 && status <= 399:
		failure.Kind, failure.Detail = Unexpected, "a redirect"
	case status == http.StatusUnauthorized, status == http.StatusForbidden && !page:
		failure.Kind = cmp.Or(r.refusals.codes[failure.Code], r.refusals.unauthorized)
	case page: // a proxy's or gateway's: 403 by a company's filter, 404 by an ingress without a backend
		failure.Kind, failure.Detail = Unexpected, "a web page"
	case status == http.StatusNotFound:
		failure.Kind = cmp.Or(r.refusals.notFound, Unexpected)
		if failure.Kind == NotFound && !emptyOrObject(got.Body) {
			failure.Kind, failure.Detail = Unexpected, "404 from something else than the API"
		}
	case status == http.StatusBadRequest, status == http.StatusConflict,
		status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		failure.Kind = cmp.Or(r.refusals.codes[failure.Code], r.refusals.invalid, Invalid)
	default:
		failure.Kind = Unexpected
	}
	switch failure.Kind {
	case RateLimited, Unavailable, CredentialsRejected, JWTRejected:
		failure.RetryAfter = got.RetryAfter(now)
	}
	return failure
}

func (r request) unexpected(got *answer, detail string) *Error {
	return &Error{Kind: Unexpected, Operation: r.operation, Status: got.Status, RequestID: requestID(got.Header), Detail: detail}
}

func emptyOrObject(content []byte) bool {
	_, isObject := transport.ParseObject(content)
	return isObject || len(bytes.TrimSpace(content)) == 0
}

// BrokenKind says what it means that an exchange broke; None where it did not.
func BrokenKind(broken transport.Failure) Kind {
	switch broken {
	case transport.Complete:
		return None
	case transport.TLS:
		return TLS
	case transport.Timeout:
		return Timeout
	case transport.NotHTTP:
		return Unexpected
	}
	return Unreachable
}
