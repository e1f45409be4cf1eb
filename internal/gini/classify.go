package gini

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
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
	failure := &Error{Operation: r.operation, Status: got.status, Code: errorCode(got.body), RequestID: requestID(got.header)}
	page := isWebPage(got.header)
	switch status := got.status; {
	case status == http.StatusTooManyRequests:
		failure.Kind = RateLimited
	case status >= 500:
		failure.Kind = Unavailable
	case status >= 300 && status <= 399:
		failure.Kind, failure.detail = Unexpected, "a redirect"
	case status == http.StatusUnauthorized, status == http.StatusForbidden && !page:
		failure.Kind = cmp.Or(r.refusals.codes[failure.Code], r.refusals.unauthorized)
	case page: // a proxy's or gateway's: 403 by a company's filter, 404 by an ingress without a backend
		failure.Kind, failure.detail = Unexpected, "a web page"
	case status == http.StatusNotFound:
		failure.Kind = cmp.Or(r.refusals.notFound, Unexpected)
		if failure.Kind == NotFound && !emptyOrObject(got.body) {
			failure.Kind, failure.detail = Unexpected, "404 from something else than the API"
		}
	case status == http.StatusBadRequest, status == http.StatusConflict,
		status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		failure.Kind = cmp.Or(r.refusals.codes[failure.Code], r.refusals.invalid, Invalid)
	default:
		failure.Kind = Unexpected
	}
	if failure.Kind == RateLimited || failure.Kind == Unavailable {
		failure.RetryAfter = retryAfter(got.header.Get("Retry-After"), got.header.Get("Date"), now)
	}
	return failure
}

func (r request) unexpected(got *answer, detail string) *Error {
	return &Error{Kind: Unexpected, Operation: r.operation, Status: got.status, RequestID: requestID(got.header), detail: detail}
}

// isWebPage looks for what only people read. Nothing more is asked of a Content-Type: a token is a token.
func isWebPage(header http.Header) bool {
	mediaType, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	return mediaType == "text/html" || mediaType == "application/xhtml+xml"
}

func emptyOrObject(content []byte) bool {
	content = bytes.TrimSpace(content)
	return len(content) == 0 || content[0] == '{' && json.Valid(content)
}

// transportKind sorts the transport's errors by their types, and where those are not exported by how far the
// exchange came.
func transportKind(err error, seen *progress) Kind {
	_, isName := errors.AsType[*net.DNSError](err)
	_, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	operation, isOperation := errors.AsType[*net.OpError](err)
	isAlert := isOperation && (operation.Op == "remote error" || operation.Op == "local error") // crypto/tls names alerts so
	slow, isNet := errors.AsType[net.Error](err)
	_, isCall := errors.AsType[syscall.Errno](err)
	switch {
	case isName:
		return Unreachable
	case isCertificate, isAlert, isRecord, errors.Is(err, http.ErrSchemeMismatch):
		return TLS
	case isNet && slow.Timeout():
		return Timeout
	case isNet, isCall, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Unreachable // cut in the middle of a handshake as well
	case seen.handshakeFailed.Load():
		return TLS
	case seen.answered.Load() && !seen.multiplexed: // headers or chunks that are not HTTP
		return Unexpected
	}
	return Unreachable
}

func tlsHandshakeDone(failed *atomic.Bool) func(tls.ConnectionState, error) {
	return func(_ tls.ConnectionState, err error) {
		if err != nil {
			failed.Store(true)
		}
	}
}
