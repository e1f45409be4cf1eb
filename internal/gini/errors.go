package gini

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Kind says what a failure means, and so what to do about it.
type Kind string

// The kinds of failure. "Client-level" is what ClientLevel reports.
const (
	// None is no failure.
	None Kind = ""
	// CredentialsRejected: the client's id or secret is wrong, or the client may not do this at all: 401 or 403 where
	// the client's own credentials are judged (client token, POST /login, Basic at the Pay API), or a fresh client
	// token that may not create users. Client-level: until its credentials change, every further try is in vain.
	CredentialsRejected Kind = "CredentialsRejected"
	// GrantRejected: the client is known, but this user's login is refused: unknown user, wrong password, an account
	// of another client, or a refresh token that is unknown, expired or not configured for this client.
	GrantRejected Kind = "GrantRejected"
	// JWTRejected: Gini refuses the JWT: issuer, key, claims or clock. Client-level: all JWTs of a client come from one
	// identity provider, which Gini knows by its issuer and keys.
	JWTRejected Kind = "JWTRejected"
	// TokenRejected: an access token is refused: expired, replaced, revoked or forged. At GET and PUT of one user it
	// is a fresh client token that may not touch that user, which says nothing about the client's other users.
	TokenRejected Kind = "TokenRejected"
	// Invalid: Gini will not take this input (400, 409, 413, 422): an e-mail that exists or a password that is too
	// short, say; or it was not sent at all, because it holds control characters (Status is 0 then).
	Invalid Kind = "Invalid"
	// NotFound: the user or token asked for does not exist. Only for 404 where the path names one thing, and where
	// the answer looks like the API's (an empty body or a JSON object): a gateway's own 404 page is Unexpected.
	NotFound Kind = "NotFound"
	// RateLimited: 429. RetryAfter where the answer has it. Client-level.
	RateLimited Kind = "RateLimited"
	// Unavailable: 5xx. RetryAfter where the answer has it. Client-level.
	Unavailable Kind = "Unavailable"
	// Unreachable: no answer: name not resolved, connection refused, reset or cut, a proxy that will not connect,
	// an address that Config.AllowAddress refuses. Client-level.
	Unreachable Kind = "Unreachable"
	// TLS: no trust in the host's certificate, or no agreement in the handshake. Client-level.
	TLS Kind = "TLS"
	// Timeout: Config.ConnectTimeout or RequestTimeout has passed. Client-level.
	Timeout Kind = "Timeout"
	// Canceled: the caller's context ended, or the Limiter refused. Nothing is known about Gini, or about whether it
	// did what was asked. Not client-level. errors.Is finds context.Canceled, context.DeadlineExceeded or the Limiter's
	// error.
	Canceled Kind = "Canceled"
	// Unexpected: an answer that is not the API's: a web page, a redirect, a body that is too large or malformed, no
	// access_token, 404 at a fixed path, 406, 415. Most likely the endpoint is wrong or something stands in front of
	// it. Client-level.
	Unexpected Kind = "Unexpected"
)

// ClientLevel reports whether a failure concerns the client as a whole, so that its other users would meet it too and
// one of them is enough to find out when it passes: wrong credentials, JWTs that Gini does not take, throttling, and
// everything that says that Gini cannot be spoken to. Unexpected is among them, as a wrong endpoint or a captive portal
// looks like that to all.
//
// The rest belongs to one user (GrantRejected, TokenRejected, Invalid, NotFound) or to the caller (Canceled).
func ClientLevel(kind Kind) bool {
	switch kind {
	case CredentialsRejected, JWTRejected, RateLimited, Unavailable, Unreachable, TLS, Timeout, Unexpected:
		return true
	}
	return false
}

// meanings are the words of Error's text.
var meanings = map[Kind]string{
	CredentialsRejected: "the client's credentials are rejected",
	GrantRejected:       "the login is rejected",
	JWTRejected:         "the JWT is rejected",
	TokenRejected:       "the access token is rejected",
	Invalid:             "the input is not accepted",
	NotFound:            "not found",
	RateLimited:         "too many requests",
	Unavailable:         "the server is not available",
	Unreachable:         "the host cannot be reached",
	TLS:                 "no secure connection to the host",
	Timeout:             "no complete answer in time",
	Canceled:            "canceled",
	Unexpected:          "unexpected answer",
}

// The operations, as they stand in Error and Observation. A call may take several: the one that failed is named.
const (
	OperationClientToken      = "client token"
	OperationLogin            = "login"
	OperationLoginJWT         = "login with a JWT"
	OperationPasswordLogin    = "password login"
	OperationRefresh          = "refresh"
	OperationCreateUser       = "create user"
	OperationUser             = "get user"
	OperationChangeUser       = "change user"
	OperationTokenUser        = "check token"
	OperationDocuments        = "documents"
	OperationDerivedDocuments = "derived documents"
)

// Error is the only type of error that a Client's calls return, and those of a client for another server that Gini's
// credentials come from. Every field, and so the text, is of the program's own words, but for RequestID, which is
// vetted: no body, URL, header, decoder's or transport's error is ever part of it.
type Error struct {
	System    string // which server this is about; empty: Gini
	Kind      Kind
	Operation string // one of the Operation constants, or what another client does
	Status    int    // HTTP status; 0 where no answer came
	Code      string // the OAuth error code, if it is a known one: invalid_grant, invalid_client, …
	RequestID string // Gini's X-Request-Id: up to 128 of A-Z a-z 0-9 . _ : -
	// RetryAfter is how long Gini asks to be left alone, up to an hour; 0 where it does not say. With RateLimited, Unavailable and refusals
	// of credentials only.
	RetryAfter time.Duration
	Detail     string // constant words
	Cause      error  // with Canceled: the context's error or the Limiter's; never the transport's
}

// Error implements error.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString(cmp.Or(e.System, "gini") + ": " + e.Operation + ": " + meanings[e.Kind])
	if e.Detail != "" {
		text.WriteString(": " + e.Detail)
	}
	if e.Status != 0 {
		text.WriteString(" (status " + strconv.Itoa(e.Status))
		if e.Code != "" {
			text.WriteString(", " + e.Code)
		}
		if e.RequestID != "" {
			text.WriteString(", request " + e.RequestID)
		}
		text.WriteString(")")
	}
	return text.String()
}

// Unwrap returns what ended the wait, with Kind Canceled; else nil.
func (e *Error) Unwrap() error { return e.Cause }

// KindOf returns the Kind of an error of this package, wrapped or not. A context's bare error is Canceled, nil is
// None, anything else is Unexpected.
func KindOf(err error) Kind {
	if err == nil {
		return None
	}
	if known, ok := errors.AsType[*Error](err); ok {
		return known.Kind
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Canceled
	}
	return Unexpected
}

func canceled(operation string, cause error) *Error {
	return &Error{Kind: Canceled, Operation: operation, Cause: cause}
}

// notSent is for input that is refused here. problem is constant text.
func notSent(operation, field, problem string) *Error {
	return &Error{Kind: Invalid, Operation: operation, Detail: field + " " + problem + "; nothing was sent"}
}

// statusOf returns the status of the answer that made the error; 0 where there was none.
func statusOf(err error) int {
	if known, ok := errors.AsType[*Error](err); ok {
		return known.Status
	}
	return 0
}
