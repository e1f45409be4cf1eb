package gini

import (
	"context"
	"net/http"

	"github.com/gini-operator/gini-operator/internal/secret"
)

// Documents proves a user's access token by the cheapest request that needs one: GET /documents at the Pay API, whose
// answer is not looked at (Gini Pay API documentation). TokenRejected says that the token does not work.
func (c *Client) Documents(ctx context.Context, token secret.Text) error {
	if !isToken(token.Reveal()) {
		return notSent(OperationDocuments, "the token", "is not one")
	}
	return c.documents(ctx, OperationDocuments, bearer(token), refusals{
		unauthorized: TokenRejected, codes: map[string]Kind{"invalid_token": TokenRejected},
	})
}

// DerivedDocuments proves the client's credentials together with a derived user's identifier, who comes to exist by
// that: GET /documents with Basic and X-User-Identifier (Gini Pay API documentation, "Trusted device, derived user,
// Basic").
func (c *Client) DerivedDocuments(ctx context.Context, identifier string) error {
	if problem := identifierProblem(identifier); problem != "" {
		return notSent(OperationDerivedDocuments, "the identifier", problem)
	}
	return c.documents(ctx, OperationDerivedDocuments, c.derived(identifier), refusals{
		unauthorized: CredentialsRejected, codes: map[string]Kind{"invalid_client": CredentialsRejected},
	})
}

func (c *Client) documents(ctx context.Context, operation string, auth authentication, refused refusals) error {
	_, err := c.exchange(ctx, request{
		operation: operation,
		method:    http.MethodGet,
		url:       c.payAPI.JoinPath("documents"),
		accept:    c.mediaType,
		auth:      auth,
		refusals:  refused,
	})
	return err
}
