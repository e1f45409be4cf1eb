package registry

import (
	"k8s.io/apimachinery/pkg/types"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/problem"
)

// Explain tells of a problem of a GiniClient what the table of problems cannot know: what of its CA bundle was used, and what looks odd
// about credentials that are refused. It is for the GiniClient's own status: its users are not told what its Secrets look like.
func (r *Registry) Explain(uid types.UID, found *problem.Error) *problem.Error {
	if found == nil {
		return nil
	}
	known := r.entryOf(uid)
	known.mu.Lock()
	application, identity := known.application, known.identity.identity
	known.mu.Unlock()
	switch {
	case application == nil:
	case found.Reason == api.ReasonCredentialsRejected && application.odd != "":
		return found.Saying(found.ClientMessage() + "; what looks odd: " + application.odd)
	case found.Reason == api.ReasonIdentityProviderRejected && identity != nil && identity.odd != "":
		return found.Saying(found.ClientMessage() + "; what looks odd: " + identity.odd)
	case found.Reason == api.ReasonTLSFailure && application.authorities.read > 0:
		return found.Saying("A host's TLS certificate cannot be verified, although the CA bundle was used. " + application.authorities.at + " holds " +
			application.authorities.String() + ". Put the authority there that signed the host's certificate, and check that this names " +
			"the host and has not expired; it is tried again at least every 15 seconds")
	case found.Reason == api.ReasonIdentityProviderUnreachable && application.authorities.read > 0:
		return found.Saying(found.ClientMessage() + ". " + application.authorities.at + " was used, and holds " + application.authorities.String())
	}
	return found
}

// Authorities tells of the CA bundle of an application what of it is not used; empty where all of it is.
func (a *Application) Authorities() string {
	if a.authorities.whole() {
		return ""
	}
	return a.authorities.at + " is used in part: it holds " + a.authorities.String() + ". Put the rest right, or take it out"
}
