package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/provider"
	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/target"
)

// Identity is where the JWTs of a GiniClient come from: one of Signer and Provider is set. It is immutable.
type Identity struct {
	// Version changes whenever something does that JWTs depend on, or the way to get them.
	Version string
	// Signer signs them.
	Signer *identity.Signer
	// Provider is the customer's own, which is asked for them.
	Provider *provider.Client

	// odd is what looks odd about the credentials for the provider; empty where nothing does.
	odd     string
	subject identity.Subject
	// content identifies what the provider's JWTs depend on; empty for those that are signed.
	content string
}

// SubjectOf is whom a JWT is for: a user of the application.
func (i *Identity) SubjectOf(identifier string) identity.Subject {
	subject := i.subject
	subject.Identifier = identifier
	return subject
}

// IssuedBy is a hash of what JWTs depend on beside the user.
func (i *Identity) IssuedBy() string {
	if i.Signer != nil {
		return i.Signer.Version(i.subject)
	}
	return i.content
}

// identityEntry is what is cached of the identity provider of one GiniClient.
type identityEntry struct {
	seen     string // what it was made from, by metadata
	identity *Identity
	problem  error
}

// Identity returns where the JWTs of an application of a GiniClient come from, or the problem that keeps them from being had.
func (r *Registry) Identity(ctx context.Context, giniClient *api.GiniClient, application *Application) (*Identity, error) {
	name := client.ObjectKeyFromObject(giniClient)
	if giniClient.Spec.IdentityProvider == nil {
		return nil, problem.New(api.ReasonIdentityProviderNotConfigured, name)
	}
	source, err := r.identitySource(giniClient)
	if err != nil {
		return nil, err
	}
	version, err := r.objectVersion(ctx, "Secret", name.Namespace, source.secret)
	if err != nil {
		return nil, missing(err, source.absent, name)
	}
	known := r.entryOf(giniClient.UID)
	known.mu.Lock()
	defer known.mu.Unlock()
	seen := hash(version, application.Epoch, source.spec)
	if known.identity.seen == seen {
		return known.identity.identity, known.identity.problem
	}
	fresh, err := r.readIdentity(ctx, giniClient, application, source)
	if _, isProblem := problem.Of(err); err != nil && !isProblem {
		return nil, err
	}
	before := known.identity.identity
	switch {
	case err != nil:
		known.identity = identityEntry{seen: seen, problem: err}
	case before != nil && before.Version == fresh.Version: // a label was edited, say
		fresh.close()
		known.identity = identityEntry{seen: seen, identity: before}
	default:
		application.Lane.UseIdentity(fresh.Version)
		known.identity = identityEntry{seen: seen, identity: fresh}
	}
	if before != known.identity.identity {
		before.close()
	}
	return known.identity.identity, known.identity.problem
}

func (i *Identity) close() {
	if i != nil && i.Provider != nil {
		i.Provider.Close()
	}
}

// identitySource is what an identity provider is made from.
type identitySource struct {
	// secret is the name of the Secret that is read, and absent the reason where it does not exist.
	secret, absent string
	// spec is the part of the GiniClient's spec.
	spec string

	tokenURL *url.URL
}

func (r *Registry) identitySource(giniClient *api.GiniClient) (identitySource, error) {
	encoded, err := json.Marshal(giniClient.Spec.IdentityProvider)
	if err != nil {
		return identitySource{}, err
	}
	source := identitySource{spec: string(encoded), absent: api.ReasonSigningKeyNotFound}
	if signer := giniClient.Spec.IdentityProvider.Signer; signer != nil {
		source.secret = KeySecret(signer)
		return source, nil
	}
	oauth2 := giniClient.Spec.IdentityProvider.OAuth2
	source.secret, source.absent = string(oauth2.ClientCredentialsSecretRef.Name), api.ReasonIdentityProviderSecretNotFound
	parsed, err := provider.ParseTokenURL(oauth2.TokenURL)
	source.tokenURL, err = r.allowed(client.ObjectKeyFromObject(giniClient), named{field: "spec.identityProvider.oauth2.tokenURL", set: true}, parsed, err)
	return source, err
}

// KeySecret names the Secret of a signer's key.
func KeySecret(signer *api.Signer) string {
	if signer.Key.Managed != nil {
		return string(signer.Key.Managed.SecretName)
	}
	if signer.Key.SecretRef != nil {
		return string(signer.Key.SecretRef.Name)
	}
	return ""
}

func (r *Registry) readIdentity(ctx context.Context, giniClient *api.GiniClient, application *Application, source identitySource) (*Identity, error) {
	name := client.ObjectKeyFromObject(giniClient)
	var object corev1.Secret
	if err := r.Live.Get(ctx, types.NamespacedName{Namespace: name.Namespace, Name: source.secret}, &object); err != nil {
		return nil, missing(err, source.absent, name)
	}
	subject := identity.Subject{ClientID: application.ClientID, ClientSecret: application.ClientSecret}
	if signer := giniClient.Spec.IdentityProvider.Signer; signer != nil {
		key, err := SigningKey(giniClient, &object)
		if err != nil {
			return nil, err
		}
		made, err := SignerOf(giniClient, key)
		if err != nil {
			return nil, err
		}
		return &Identity{Version: made.Version(subject), Signer: made, subject: subject}, nil
	}
	asked, err := r.providerOf(giniClient, application, source.tokenURL, &object)
	if err != nil {
		return nil, err
	}
	asked.subject = subject
	return asked, nil
}

// SigningKey is the private key that signs, as a Secret has it.
func SigningKey(giniClient *api.GiniClient, object *corev1.Secret) (*identity.Key, error) {
	name := client.ObjectKeyFromObject(giniClient)
	signer := giniClient.Spec.IdentityProvider.Signer
	if signer.Key.SecretRef != nil {
		encoded := object.Data[string(signer.Key.SecretRef.Key)]
		if len(encoded) == 0 {
			return nil, problem.New(api.ReasonSigningKeyNotFound, name)
		}
		key, err := identity.ParseKey(encoded, AlgorithmOf(signer))
		if err != nil {
			return nil, problem.New(api.ReasonSigningKeyInvalid, name).Because(err)
		}
		return key, nil
	}
	if !HoldsKeysOf(object, giniClient) {
		return nil, problem.New(api.ReasonSigningKeySecretConflict, name)
	}
	ring, err := identity.DecodeRing(object.Data, AlgorithmOf(signer))
	signing, ok := ring.Signing()
	if err != nil || !ok || signing.Private == nil {
		return nil, problem.New(api.ReasonSigningKeyNotFound, name) // another is made
	}
	return signing.Private, nil
}

// HoldsKeysOf reports whether the operator made a Secret for the keys of a GiniClient of that name. A copy was not.
func HoldsKeysOf(object metav1.Object, giniClient *api.GiniClient) bool {
	labels := object.GetLabels()
	return labels[api.ManagedByLabel] == api.ManagedByValue && labels[api.ClientLabel] == giniClient.Name && labels[api.DeviceLabel] == KeyDevice &&
		!target.BoundElsewhere(object, giniClient.Name)
}

// KeyDevice is the value of the label credentials.gini.net/device of a Secret with signing keys.
const KeyDevice = "signing-key"

// AlgorithmOf is the algorithm that a signer asks for.
func AlgorithmOf(signer *api.Signer) identity.Algorithm {
	return identity.Algorithm(cmp.Or(signer.Algorithm, api.DefaultAlgorithm))
}

// PolicyOf is how a signer's keys are to be treated.
func PolicyOf(signer *api.Signer) identity.Policy {
	policy := identity.Policy{Algorithm: AlgorithmOf(signer), Lifetime: identity.DefaultTokenLifetime}
	if signer.TokenLifetime != nil {
		policy.Lifetime = signer.TokenLifetime.Duration
	}
	if managed := signer.Key.Managed; managed != nil && managed.RotationInterval != nil {
		policy.Interval = managed.RotationInterval.Duration
	}
	return policy
}

// SignerOf signs as a GiniClient asks for, with a key.
func SignerOf(giniClient *api.GiniClient, key *identity.Key) (*identity.Signer, error) {
	signer := giniClient.Spec.IdentityProvider.Signer
	claims, err := ClaimsOf(giniClient)
	if err != nil {
		return nil, err
	}
	return &identity.Signer{
		Issuer: string(signer.Issuer), Lifetime: PolicyOf(signer).Lifetime, Names: claimNames(signer.ClaimNames), Claims: claims, Key: key,
	}, nil
}

// ClaimsOf are the further claims of JWTs that the operator signs, or the problem with them.
func ClaimsOf(giniClient *api.GiniClient) (map[string]json.RawMessage, error) {
	values := map[string]json.RawMessage{}
	for _, claim := range giniClient.Spec.IdentityProvider.Signer.Claims {
		values[string(claim.Name)] = claim.Value.Raw
	}
	claims, err := identity.ReadClaims(values)
	if err != nil {
		return nil, problem.New(api.ReasonClaimsInvalid, client.ObjectKeyFromObject(giniClient)).Because(err)
	}
	return claims, nil
}

func claimNames(wanted *api.ClaimNames) identity.ClaimNames {
	names := identity.ClaimNames{UserIdentifier: identity.DefaultUserIdentifierClaim, ClientID: identity.DefaultClientIDClaim}
	if wanted == nil {
		return names
	}
	names.UserIdentifier = cmp.Or(string(wanted.UserIdentifier), names.UserIdentifier)
	names.ClientID = cmp.Or(string(wanted.ClientID), names.ClientID)
	names.ClientSecret = string(wanted.ClientSecret)
	return names
}

// providerOf makes a client of the customer's identity provider.
func (r *Registry) providerOf(giniClient *api.GiniClient, application *Application, tokenURL *url.URL, object *corev1.Secret) (*Identity, error) {
	name, spec := client.ObjectKeyFromObject(giniClient), giniClient.Spec.IdentityProvider.OAuth2
	reference := spec.ClientCredentialsSecretRef
	id := object.Data[keyOr(reference.ClientIDKey, api.DefaultClientIDKey)]
	password := secret.New(string(object.Data[keyOr(reference.ClientSecretKey, api.DefaultClientSecretKey)]))
	if !credentialLike(id) || !credentialLike([]byte(password.Reveal())) {
		return nil, problem.New(api.ReasonIdentityProviderSecretInvalid, name)
	}
	scopes := make([]string, 0, len(spec.Scopes))
	for _, scope := range spec.Scopes {
		scopes = append(scopes, string(scope))
	}
	parameters := make(map[string]string, len(spec.Parameters))
	for parameter, value := range spec.Parameters {
		parameters[parameter] = string(value)
	}
	names := claimNames(spec.ClaimNames)
	asked, err := provider.New(provider.Config{
		TokenURL: tokenURL, ClientID: string(id), ClientSecret: password, Scopes: scopes, Parameters: parameters,
		Authentication:          provider.Authentication(spec.ClientAuthentication),
		UserIdentifierParameter: cmp.Or(spec.UserIdentifierParameter, api.DefaultIdentifierParam),
		Issuer:                  string(spec.Issuer), Names: names, GiniClientID: application.ClientID,
		RootCAs: application.authorities.certificates, AllowAddress: mayDial, ConnectTimeout: r.ConnectTimeout, RequestTimeout: r.RequestTimeout,
		Limiter: application.Lane.Limiter(), Clock: r.Clock,
		Observe: func(observation gini.Observation) {
			if r.Observe != nil {
				r.Observe(name, observation)
			}
		},
	})
	if err != nil {
		return nil, problem.New(api.ReasonIdentityProviderSecretInvalid, name)
	}
	content := hash(
		tokenURL.String(), string(id), strings.Join(scopes, " "), spec.UserIdentifierParameter,
		string(spec.Issuer), names.UserIdentifier, names.ClientID, application.ClientID,
	)
	if len(parameters) > 0 {
		encoded, err := json.Marshal(parameters) // in the order of their names
		if err != nil {
			return nil, err
		}
		content = hash(content, string(encoded))
	}
	version := hash(
		string(giniClient.UID), content, string(spec.ClientAuthentication), password.Fingerprint(), string(application.authorities.certificates),
	)
	odd := secret.Remark(secret.Named{Name: "the client id", Value: string(id)}, secret.Named{Name: "the client secret", Value: password.Reveal()})
	return &Identity{Version: version, Provider: asked, content: content, odd: odd}, nil
}

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
