// Package problem is the one table of what can go wrong: for each reason its condition, its message, its Event, and what happens next.
package problem

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
)

// Retry is what happens next.
type Retry string

// What happens next.
const (
	// Wait: nothing is tried until a watched object comes or changes, which it may do by itself; kstatus says InProgress.
	Wait Retry = "Wait"
	// Stall: nothing is tried until a person changes something; kstatus says Failed.
	Stall Retry = "Stall"
	// Backoff: the user is tried again by itself, after growing pauses.
	Backoff Retry = "Backoff"
	// WithClient: the client as a whole is in trouble; one request probes it, and its users follow.
	WithClient Retry = "WithClient"
)

// Reaction is what one reason leads to.
type Reaction struct {
	// Condition of the GiniUser that turns False.
	Condition string
	// Message is a format for the names of the objects concerned: what is wrong, and what to do.
	Message string
	// OfUser is a format for what a user is told whose own problem it is; empty: Message.
	OfUser string
	// OfClient is a format for what the GiniClient's own status says; empty: Message.
	OfClient string
	// Event is whether the GiniUser gets a Warning when the reason appears. Where it has none, its client gets it.
	Event bool
	// Retry is what happens next.
	Retry Retry
}

// Error is a problem with the names of the objects concerned. Its text is fit for people, and never holds a credential
// or anything that a server answered, other than the status, the vetted OAuth code and the request id of a gini.Error.
type Error struct {
	// Reason is one of the reasons of the API package that stand in the table.
	Reason string
	// RetryAfter is how long to wait at least before the next attempt; 0 where nobody said.
	RetryAfter time.Duration

	args    []any
	cause   error
	message string
	note    string
	own     bool
}

// Recall makes a problem again that a status tells of.
func Recall(reason, message string) *Error { return &Error{Reason: reason, message: message} }

// New makes a problem. args are the names that the reason's message asks for.
func New(reason string, args ...any) *Error { return &Error{Reason: reason, args: args} }

// Because adds what caused it; only its type is ever looked at, unless it is a gini.Error, an identity.KeyError or an
// identity.ClaimsError, whose text is vetted.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// Saying is the same problem in words that tell more than the table can: whoever makes them keeps them free of credentials.
func (e *Error) Saying(message string) *Error {
	told := *e
	told.message = message
	return &told
}

// Message is what to tell people: it stays the same while the problem does.
func (e *Error) Message() string {
	if e.message != "" {
		return e.message
	}
	if ofUser := table[e.Reason].OfUser; e.own && ofUser != "" {
		return e.noted(ofUser)
	}
	return e.noted(table[e.Reason].Message)
}

// ClientMessage is what to tell people of the GiniClient, in its own status.
func (e *Error) ClientMessage() string {
	if e.message != "" {
		return e.message
	}
	return e.noted(cmp.Or(table[e.Reason].OfClient, table[e.Reason].Message))
}

func (e *Error) noted(format string) string {
	message := fmt.Sprintf(format, e.args...)
	if e.note != "" {
		message += ". " + e.note
	}
	return message
}

// Noting adds one more sentence to the message.
func (e *Error) Noting(note string) *Error {
	e.note = note
	return e
}

// Own makes a problem one user's own: it is tried again by itself, whatever becomes of the client.
func (e *Error) Own() *Error {
	e.own = true
	return e
}

// AsLoginRefused is a refusal that turned out to be one user's. What it says of a right that the client lacks stays.
func (e *Error) AsLoginRefused() *Error {
	if e.Reason == api.ReasonCredentialsRejected || e.Reason == api.ReasonJWTRejected {
		e.Reason = api.ReasonLoginRefused
		if answer, ok := errors.AsType[*gini.Error](e.cause); ok { // its words would blame the client
			refused := *answer
			refused.Kind = gini.GrantRejected
			e.cause = &refused
		}
	}
	return e.Own()
}

// AsJWTNotIssued is a refusal of the identity provider that turned out to be one user's.
func (e *Error) AsJWTNotIssued() *Error {
	e.Reason = api.ReasonJWTNotIssued
	return e.Own()
}

// Error implements error: the message, and what a request ended with.
func (e *Error) Error() string {
	message := e.Message()
	if answer, ok := errors.AsType[*gini.Error](e.cause); ok {
		message += " (" + answer.Error() + ")"
	}
	if key, ok := errors.AsType[*identity.KeyError](e.cause); ok {
		message += " (" + key.Error() + ")"
	}
	if claims, ok := errors.AsType[*identity.ClaimsError](e.cause); ok {
		message += " (" + claims.Error() + ")"
	}
	return message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Reaction is what the problem leads to.
func (e *Error) Reaction() Reaction {
	reaction := table[e.Reason]
	if e.own && reaction.Retry == WithClient {
		reaction.Retry, reaction.Event = Backoff, true
	}
	return reaction
}

// Of finds the problem in an error.
func Of(err error) (*Error, bool) { return errors.AsType[*Error](err) }

// Lookup finds what a reason leads to; false where it is none of a problem.
func Lookup(reason string) (Reaction, bool) {
	reaction, ok := table[reason]
	return reaction, ok
}

// Reasons lists every reason of the table, for the tests that hold each of them against a real exchange.
func Reasons() map[string]Reaction {
	reasons := make(map[string]Reaction, len(table))
	for reason, reaction := range table {
		reasons[reason] = reaction
	}
	return reasons
}

// clientLevel maps what the client as a whole suffers from.
var clientLevel = map[gini.Kind]string{
	gini.CredentialsRejected: api.ReasonCredentialsRejected,
	gini.JWTRejected:         api.ReasonJWTRejected,
	gini.RateLimited:         api.ReasonRateLimited,
	gini.Unreachable:         api.ReasonGiniUnreachable,
	gini.TLS:                 api.ReasonTLSFailure,
	gini.Timeout:             api.ReasonGiniTimeout,
	gini.Unavailable:         api.ReasonGiniUnavailable,
	gini.Unexpected:          api.ReasonUnexpectedResponse,
}

// FromGini makes a problem of what a request of a client for one of its users ended with; nil where the request was
// cancelled, or the error is not Gini's.
func FromGini(err error, client string) *Error {
	answer, ok := errors.AsType[*gini.Error](err)
	if !ok || answer.Kind == gini.Canceled {
		return nil
	}
	reason, ok := clientLevel[answer.Kind]
	if !ok {
		reason = api.ReasonLoginRefused
	}
	return fromAnswer(reason, client, answer)
}

// Kind makes a problem of a failure that other users' requests met.
func Kind(kind gini.Kind, client string) *Error { return New(clientLevel[kind], client) }

// ofProvider maps what all users of an identity provider suffer from.
var ofProvider = map[gini.Kind]string{
	gini.CredentialsRejected: api.ReasonIdentityProviderRejected,
	gini.RateLimited:         api.ReasonIdentityProviderUnavailable,
	gini.Unreachable:         api.ReasonIdentityProviderUnreachable,
	gini.TLS:                 api.ReasonIdentityProviderUnreachable,
	gini.Timeout:             api.ReasonIdentityProviderUnreachable,
	gini.Unavailable:         api.ReasonIdentityProviderUnavailable,
	gini.Unexpected:          api.ReasonIdentityProviderUnexpected,
}

// FromProvider makes a problem of what a request to the identity provider of a client ended with, as FromGini does.
func FromProvider(err error, client string) *Error {
	answer, ok := errors.AsType[*gini.Error](err)
	if !ok || answer.Kind == gini.Canceled {
		return nil
	}
	reason, ok := ofProvider[answer.Kind]
	if !ok {
		reason = api.ReasonJWTNotIssued
	}
	return fromAnswer(reason, client, answer)
}

// ProviderKind makes a problem of a failure that other users' requests to the identity provider met.
func ProviderKind(kind gini.Kind, client string) *Error { return New(ofProvider[kind], client) }

func fromAnswer(reason, client string, answer *gini.Error) *Error {
	problem := New(reason, client).Because(answer)
	problem.RetryAfter = answer.RetryAfter
	return problem
}
