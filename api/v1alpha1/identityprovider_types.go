package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// IdentityProvider is where the JWTs of derived users with auth JWT come from.
//
// +kubebuilder:validation:XValidation:rule="has(self.signer) != has(self.oauth2)",message="set exactly one of signer and oauth2"
type IdentityProvider struct {
	// signer makes the operator itself the identity provider: it signs the JWTs, and serves the public keys as a JWK Set at the
	// path in status.jwks.path, on a port of its own. Gini has to reach that, and has to be told its URL and the issuer.
	// +optional
	Signer *Signer `json:"signer,omitempty"`

	// oauth2 is your own identity provider. The operator gets the JWT of each user there, by the client credentials grant
	// of OAuth 2.0 (RFC 6749, 4.4). Gini has to be told that provider's issuer and JWK Set URL.
	// +optional
	OAuth2 *OAuth2 `json:"oauth2,omitempty"`
}

// Signer says how the operator signs JWTs.
//
// +kubebuilder:validation:XValidation:rule="!has(self.claims) || self.claims.all(c, c.name != (has(self.claimNames) && has(self.claimNames.userIdentifier) ? self.claimNames.userIdentifier : 'x-user-identifier') && c.name != (has(self.claimNames) && has(self.claimNames.clientID) ? self.claimNames.clientID : 'x-client-id') && (!has(self.claimNames) || !has(self.claimNames.clientSecret) || c.name != self.claimNames.clientSecret))",message="claims must not set a claim of claimNames (x-user-identifier and x-client-id by default), which the operator sets for each user: leave it out",fieldPath=".claims"
type Signer struct {
	// issuer is the claim iss, and what Gini knows you by: agree on it with Gini. Usually a URL such as https://id.acme.example, which
	// nobody has to be able to open.
	// +required
	Issuer Issuer `json:"issuer"`

	// algorithm signs the JWTs (RFC 7518, 3.1). RS256 is what Gini documents; agree on any other with Gini. Another algorithm
	// later leads to a new managed key, which is published for 24 hours before it signs. A key that you bring along
	// must be fit for it. Defaults to RS256.
	// +optional
	// +kubebuilder:validation:Enum=RS256;RS384;RS512;ES256;ES384;PS256
	Algorithm SigningAlgorithm `json:"algorithm,omitempty"`

	// tokenLifetime is how long a JWT is valid: exp is that long after iat, which is set back by 30 seconds as clocks
	// differ. A pod sees a changed Secret after up to 90 seconds: give the JWTs of trusted devices 5m or more.
	// Between 1m and 24h. Defaults to 15m.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('24h')",message="tokenLifetime must be between 1m and 24h, such as 15m"
	TokenLifetime *metav1.Duration `json:"tokenLifetime,omitempty"`

	// claimNames are the names of the claims that tell Gini whose JWT it is: those that Gini is configured with for your issuer.
	// +optional
	ClaimNames *ClaimNames `json:"claimNames,omitempty"`

	// claims are further claims, the same in every JWT, such as {name: aud, value: https://pay-api.gini.net}. Up to 32, and 4096
	// characters of names and values in all, as JWTs travel in a header and servers refuse long ones: what is longer has the reason
	// ClaimsInvalid. A change issues all JWTs anew, beginning at once and spread out.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Claims []Claim `json:"claims,omitempty"`

	// key is the private key that signs.
	// +required
	Key SigningKey `json:"key"`
}

// Issuer is the issuer of JWTs, their claim iss.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=500
// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="issuer must be printable ASCII without spaces, such as https://id.acme.example"
type Issuer string

// SigningAlgorithm is an algorithm that signs JWTs.
type SigningAlgorithm string

// Claim is a claim that is the same in every JWT.
type Claim struct {
	// name of the claim, such as aud. Refused: iss, sub, exp, nbf, iat, jti and those of claimNames.
	// +required
	Name FurtherClaimName `json:"name"`

	// value is any JSON but null: a text, a number, true or false, a list such as [https://pay-api.gini.net], an object. The JWT has it
	// as it stands here. Write whole numbers beyond 64 bits as a text.
	// +required
	Value apiextensionsv1.JSON `json:"value"`
}

// FurtherClaimName is the name of a claim that is the same in every JWT.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_.:/-]+$')",message="a claim's name must be of letters, digits, '_', '-', '.', ':' and '/'"
// +kubebuilder:validation:XValidation:rule="!(self in ['iss', 'sub', 'exp', 'nbf', 'iat', 'jti'])",message="claims must not set iss, sub, exp, nbf, iat or jti: leave them out; for sub, set claimNames.userIdentifier to sub"
type FurtherClaimName string

// ClaimName is the name of a claim.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_.:/-]+$') && !(self in ['iss', 'exp', 'nbf', 'iat', 'jti', 'aud'])",message="a claim's name must be of letters, digits, '_', '-', '.', ':' and '/', and none of iss, exp, nbf, iat, jti and aud, which have a meaning of their own"
type ClaimName string

// ClaimNames are the names of the claims that say whose JWT it is.
//
// +kubebuilder:validation:XValidation:rule="(has(self.userIdentifier) ? self.userIdentifier : 'x-user-identifier') != (has(self.clientID) ? self.clientID : 'x-client-id') && (!has(self.clientSecret) || (self.clientSecret != (has(self.userIdentifier) ? self.userIdentifier : 'x-user-identifier') && self.clientSecret != (has(self.clientID) ? self.clientID : 'x-client-id')))",message="claimNames must differ from each other, and from the defaults x-user-identifier and x-client-id of those that are absent"
type ClaimNames struct {
	// userIdentifier is the claim with the user's identifier. Defaults to "x-user-identifier".
	// +optional
	UserIdentifier ClaimName `json:"userIdentifier,omitempty"`

	// clientID is the claim with Gini's client id. Defaults to "x-client-id".
	// +optional
	ClientID ClaimName `json:"clientID,omitempty"`

	// clientSecret is the claim with Gini's client secret, where Gini demands it: "x-client-secret". A JWT is signed and not encrypted:
	// whoever can read it then reads the secret too. Absent: JWTs do not hold it.
	// +optional
	ClientSecret ClaimName `json:"clientSecret,omitempty"`
}

// SigningKey is where the private key comes from.
//
// +kubebuilder:validation:XValidation:rule="has(self.managed) != has(self.secretRef)",message="set exactly one of managed and secretRef"
type SigningKey struct {
	// managed lets the operator make the key, keep it in a Secret, and replace it from time to time.
	// +optional
	Managed *ManagedKey `json:"managed,omitempty"`

	// secretRef names a key that you bring along and replace yourself.
	// +optional
	SecretRef *SigningKeyReference `json:"secretRef,omitempty"`
}

// ManagedKey is a key that the operator makes.
type ManagedKey struct {
	// secretName is the Secret, in this namespace, that the operator makes for the key. Immutable. It has no owner and stays when the
	// GiniClient is deleted, so that the same YAML goes on with the same key. Keep it in your backup. A Secret of this name
	// that the operator did not make is left alone, and the reason is SigningKeySecretConflict.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="key.managed.secretName is immutable, as another Secret would hold another key, which Gini does not know yet: set the former name"
	SecretName ObjectName `json:"secretName"`

	// rotationInterval is how long a key signs before another takes over. The next key is published 24 hours before it signs, and the
	// former one until its last JWT has expired and a day more, as Gini may cache the JWK Set. The annotation
	// credentials.gini.net/key-roll-requested-at replaces the key at once, in an emergency. At least 48h. Defaults to 2160h (90 days).
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('48h') && duration(self) <= duration('87600h')",message="rotationInterval must be between 48h and 87600h, such as 2160h: the next key is published for 24 hours before it signs"
	RotationInterval *metav1.Duration `json:"rotationInterval,omitempty"`
}

// SigningKeyReference names a private key in a Secret.
//
// +kubebuilder:validation:XValidation:rule="!has(self.nextKey) || self.nextKey != self.key",message="nextKey must differ from key: it is the key of the Secret whose value signs later",fieldPath=".nextKey"
type SigningKeyReference struct {
	// name of the Secret, in this namespace. It is watched.
	// +required
	Name ObjectName `json:"name"`

	// key in the Secret whose value is the private key that signs: PEM in PKCS#1, PKCS#8 or SEC 1, without a
	// passphrase; RSA of at least 2048 bits for RS256, RS384, RS512 and PS256, P-256 for ES256, P-384 for ES384. Another content
	// later signs at once: publish it by nextKey a day before, or JWTs are refused while Gini has the former JWK Set in its cache.
	// +required
	Key SecretKey `json:"key"`

	// nextKey is the key in the Secret whose value is the private key that will sign later. Its public half is published,
	// so that Gini knows it by the time its content moves to key. It may be absent from the Secret until there is one.
	// +optional
	NextKey SecretKey `json:"nextKey,omitempty"`
}

// OAuth2 is an identity provider of your own.
//
// +kubebuilder:validation:XValidation:rule="!has(self.parameters) || !((has(self.userIdentifierParameter) ? self.userIdentifierParameter : 'sub') in self.parameters)",message="parameters must not set the parameter of userIdentifierParameter (sub by default), which the operator sets for each user: leave it out",fieldPath=".parameters"
// +kubebuilder:validation:XValidation:rule="!has(self.parameters) || self.parameters.all(k, !self.tokenURL.contains('?' + k + '=') && !self.tokenURL.contains('&' + k + '='))",message="parameters must not set what tokenURL sets in its query: name it in one of the two",fieldPath=".parameters"
// +kubebuilder:validation:XValidation:rule="['?', '&'].all(c, !self.tokenURL.contains(c + (has(self.userIdentifierParameter) ? self.userIdentifierParameter : 'sub') + '='))",message="tokenURL must not set the parameter of userIdentifierParameter (sub by default) in its query, which the operator sets for each user: leave it out",fieldPath=".tokenURL"
type OAuth2 struct {
	// tokenURL is its token endpoint, such as https://id.acme.example/oauth2/token. A query is kept as it is. Its host must stand in the operator's list of
	// allowed hosts (flag --allowed-hosts), and its certificate is verified as spec.tls says. Plain http is for test servers,
	// and only where that list names the host with http://.
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=500
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['https', 'http'] && url(self).getHostname() != ''",message="tokenURL must be an absolute URL that begins with https://"
	// +kubebuilder:validation:XValidation:rule="!self.split('?')[0].contains('..')",message="tokenURL must not hold .. in its path"
	// +kubebuilder:validation:XValidation:rule="!self.split('?')[0].contains('@') && !self.contains('#')",message="tokenURL must not hold user info or a fragment: leave out everything from @ or # on"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[?&](scope|client_id|client_secret|client_assertion|client_assertion_type)=')",message="tokenURL must not set scope, client_id, client_secret, client_assertion or client_assertion_type in its query: use scopes, clientCredentialsSecretRef and clientAuthentication"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^?]*([?][!-~]*)?$')",message="tokenURL must have a query of printable ASCII without spaces: escape other characters by %"
	TokenURL string `json:"tokenURL"`

	// clientCredentialsSecretRef names the Secret, in this namespace, with the client id and client secret that the provider knows the
	// operator by. They are not Gini's. It is watched.
	// +required
	ClientCredentialsSecretRef ClientCredentialsReference `json:"clientCredentialsSecretRef"`

	// clientAuthentication is how these credentials are sent (RFC 6749, 2.3.1). Basic: as HTTP Basic, both form-encoded first, as the RFC
	// has it. RawBasic: as HTTP Basic, as they are, for providers that do not decode them; it differs where one holds other characters
	// than letters, digits, '-', '_', '.' and '~'. Post: as client_id and client_secret in the body. No other way is tried. Defaults to Basic.
	// +optional
	// +kubebuilder:validation:Enum=Basic;RawBasic;Post
	ClientAuthentication ClientAuthentication `json:"clientAuthentication,omitempty"`

	// userIdentifierParameter is the parameter of the token request that carries the user's identifier. Defaults to "sub".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_.:/-]+$') && !(self in ['grant_type', 'scope', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type'])",message="userIdentifierParameter must be of letters, digits, '_', '-', '.', ':' and '/', and none of grant_type, scope, client_id, client_secret, client_assertion and client_assertion_type, which OAuth uses"
	UserIdentifierParameter string `json:"userIdentifierParameter,omitempty"`

	// parameters are further parameters of the token request, the same for every user, such as audience: https://pay-api.gini.net. Up to
	// 16. They are no place for a credential. A change gets all JWTs anew, beginning at once and spread out.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[A-Za-z0-9_.:/-]{1,128}$'))",message="parameters must have names of up to 128 letters, digits, '_', '-', '.', ':' and '/'"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !(k in ['grant_type', 'scope', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type']))",message="parameters must not set grant_type, scope, client_id, client_secret, client_assertion or client_assertion_type: use scopes, clientCredentialsSecretRef and clientAuthentication"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !self[k].matches('\\\\p{Cc}'))",message="parameters must not have values with control characters, such as a newline at the end"
	Parameters map[string]ParameterValue `json:"parameters,omitempty"`

	// scopes to ask the provider for, up to 32. Absent: none is asked for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	Scopes []Scope `json:"scopes,omitempty"`

	// issuer that the JWTs must have in their claim iss. A JWT of another issuer is not handed on.
	// +required
	Issuer Issuer `json:"issuer"`

	// claimNames are the names of the claims in which the JWTs must have the user's identifier and Gini's client id. A JWT for another
	// user or another client is not handed on. clientSecret is refused here, as the provider decides what else its JWTs hold.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.clientSecret)",message="claimNames.clientSecret is for signer only, as your provider decides what its JWTs hold: leave it out",fieldPath=".clientSecret"
	ClaimNames *ClaimNames `json:"claimNames,omitempty"`
}

// ClientAuthentication is how the operator's credentials are sent to an identity provider.
type ClientAuthentication string

// The ways of sending credentials.
const (
	// BasicClientAuthentication is HTTP Basic with form-encoded values.
	BasicClientAuthentication ClientAuthentication = "Basic"
	// RawBasicClientAuthentication is HTTP Basic with the values as they are.
	RawBasicClientAuthentication ClientAuthentication = "RawBasic"
	// PostClientAuthentication puts the values into the body.
	PostClientAuthentication ClientAuthentication = "Post"
)

// ParameterValue is the value of a parameter of the token request.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=1024
type ParameterValue string

// Scope is an OAuth scope (RFC 6749, 3.3).
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:XValidation:rule="self.matches('^[!#-\\\\[\\\\]-~]+$')",message="a scope must be printable ASCII without spaces, quotes and backslashes"
type Scope string

// JWKSStatus is the JWK Set of a client whose JWTs the operator signs.
type JWKSStatus struct {
	// path at which every replica of the operator serves the JWK Set, on the port of --jwks-bind-address. Expose it to Gini by an Ingress
	// or HTTPRoute, and tell Gini the URL.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Path string `json:"path,omitempty"`

	// secretName is the Secret with the managed keys. Absent where the key is brought along.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// keys in the set.
	// +optional
	// +listType=map
	// +listMapKey=kid
	// +kubebuilder:validation:MaxItems=16
	Keys []SigningKeyStatus `json:"keys,omitempty"`
}

// KeyStage is what a key in a JWK Set is there for.
type KeyStage string

// What a key in a JWK Set is there for.
const (
	// NextStage is that of a key that is published and does not sign yet.
	NextStage KeyStage = "Next"
	// SigningStage is that of the key that signs.
	SigningStage KeyStage = "Signing"
	// RetiredStage is that of a key that signs no more, but whose JWTs may still be about.
	RetiredStage KeyStage = "Retired"
)

// SigningKeyStatus is one key of a JWK Set.
type SigningKeyStatus struct {
	// kid is the key's id: the RFC 7638 thumbprint of its public half.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Kid string `json:"kid"`

	// algorithm that the key signs with.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Algorithm SigningAlgorithm `json:"algorithm,omitempty"`

	// stage is Next for a key that is published and does not sign yet, Signing for the one that signs, and Retired for one that
	// signs no more, but whose JWTs may still be about.
	// +required
	// +kubebuilder:validation:Enum=Next;Signing;Retired
	Stage KeyStage `json:"stage"`

	// since is when the key came to this stage.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`

	// signsFrom is when a managed key in stage Next takes over.
	// +optional
	SignsFrom *metav1.Time `json:"signsFrom,omitempty"`

	// until is when a key in stage Retired leaves the set.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// longestLifetime is the longest lifetime that JWTs of this key have had.
	// +optional
	LongestLifetime *metav1.Duration `json:"longestLifetime,omitempty"`

	// publicKey is the public half as a JWK.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	PublicKey string `json:"publicKey,omitempty"`
}
