package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GiniClientSpec is one registered Gini application.
//
// +kubebuilder:validation:XValidation:rule="!has(self.identityProvider) || !has(self.identityProvider.signer) || !has(self.identityProvider.signer.key.managed) || (self.identityProvider.signer.key.managed.secretName != self.credentialsSecretRef.name && (!has(self.tls) || self.tls.caBundleRef.kind != 'Secret' || self.identityProvider.signer.key.managed.secretName != self.tls.caBundleRef.name))",message="secretName must be another Secret than those of credentialsSecretRef and tls.caBundleRef: the operator makes it, for the key alone",fieldPath=".identityProvider.signer.key.managed.secretName"
type GiniClientSpec struct {
	// credentialsSecretRef names the Secret, in this namespace, that holds the client id and the client secret which
	// Gini gave you. The operator watches it: put new credentials in, and they are used within seconds.
	// +required
	CredentialsSecretRef ClientCredentialsReference `json:"credentialsSecretRef"`

	// endpoints are the hosts of Gini's APIs. Absent: Gini's production hosts, https://pay-api.gini.net and https://user.gini.net.
	// Each host that is used must stand in the operator's list of allowed hosts (flag --allowed-hosts), the User Center only with
	// anonymousUsers; otherwise the reason is HostNotAllowed.
	// +optional
	Endpoints *Endpoints `json:"endpoints,omitempty"`

	// tls says how the hosts' certificates are verified. Absent: by the certificate authorities of the operator's image.
	// +optional
	TLS *TLS `json:"tls,omitempty"`

	// anonymousUsers allows GiniUsers of type anonymous and says how their accounts are made. Absent: the client
	// serves derived users only, and an anonymous GiniUser gets the reason AnonymousUsersNotEnabled.
	// +optional
	AnonymousUsers *AnonymousUsers `json:"anonymousUsers,omitempty"`

	// identityProvider is where the JWTs of derived users with auth JWT come from. Absent: the client serves users with auth Basic and
	// anonymous ones only, and a GiniUser with auth JWT gets the reason IdentityProviderNotConfigured.
	// +optional
	IdentityProvider *IdentityProvider `json:"identityProvider,omitempty"`

	// grants let GiniUsers of other namespaces use this client. Absent: only GiniUsers of the client's own namespace may,
	// with any identifier and any kind of device. Withdrawing a grant ends renewals, and removes the client
	// credentials that trusted devices were given. A grant that selects nothing is told in the condition WithoutEffect.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Grants []Grant `json:"grants,omitempty"`

	// requests limits what the operator sends to Gini for this client.
	// +optional
	Requests *RequestLimits `json:"requests,omitempty"`
}

// ClientCredentialsReference names the Secret with a client's credentials.
type ClientCredentialsReference struct {
	// name of the Secret.
	// +required
	Name ObjectName `json:"name"`

	// clientIDKey is the key of the client id in the Secret. Defaults to "client-id".
	// +optional
	ClientIDKey SecretKey `json:"clientIDKey,omitempty"`

	// clientSecretKey is the key of the client secret in the Secret. Defaults to "client-secret". Its value must not
	// end in a newline: make it with `kubectl create secret`, or with `echo -n`.
	// +optional
	ClientSecretKey SecretKey `json:"clientSecretKey,omitempty"`
}

// Endpoints are the hosts of Gini's APIs.
type Endpoints struct {
	// payAPI is the Pay API, or another API of Gini's that derived users log in to. Defaults to https://pay-api.gini.net.
	// +optional
	PayAPI *PayAPIEndpoint `json:"payAPI,omitempty"`

	// userCenter is where anonymous users have their accounts. Defaults to https://user.gini.net.
	// +optional
	UserCenter *Endpoint `json:"userCenter,omitempty"`
}

// PayAPIEndpoint is where the Pay API is served.
type PayAPIEndpoint struct {
	Endpoint `json:",inline"`

	// mediaType is sent as Accept. Defaults to application/vnd.gini.v1+json, the Pay API's. The Health API at
	// https://health-api.gini.net uses other versions: application/vnd.gini.v5+json.
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^application/[A-Za-z0-9.+-]+$')",message="mediaType must be a media type such as application/vnd.gini.v1+json"
	MediaType string `json:"mediaType,omitempty"`
}

// Endpoint is where an API is served.
type Endpoint struct {
	// url of the API. A path prefix is allowed, for a proxy that stands before Gini; user info, query and fragment are not.
	// Plain http is for test servers, and only where the operator's list of allowed hosts names the host with http://.
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=500
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['https', 'http'] && url(self).getHostname() != ''",message="url must be an absolute URL that begins with https://"
	// +kubebuilder:validation:XValidation:rule="!self.contains('..')",message="url must not hold .. in its path"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@') && !self.contains('?') && !self.contains('#')",message="url must not hold user info, a query or a fragment: leave out everything from @, ? or # on"
	URL string `json:"url"`
}

// TLS says how certificates are verified.
type TLS struct {
	// caBundleRef names a ConfigMap or Secret, in this namespace, with certificate authorities in PEM that are trusted
	// in addition to those of the operator's image: for a proxy that opens TLS, or a test server. It is watched. What of it
	// cannot be read is told in the condition WithoutEffect.
	// +required
	CABundleRef CABundleReference `json:"caBundleRef"`
}

// CABundleReference names a bundle of certificate authorities.
type CABundleReference struct {
	// kind of the object: ConfigMap or Secret.
	// +required
	// +kubebuilder:validation:Enum=ConfigMap;Secret
	Kind string `json:"kind"`

	// name of the object.
	// +required
	Name ObjectName `json:"name"`

	// key of the PEM bundle in the object, of a ConfigMap's data or binaryData, with up to 512 KiB. Defaults to "ca.crt".
	// +optional
	Key SecretKey `json:"key,omitempty"`
}

// AnonymousUsers says how the accounts of anonymous users are made.
type AnonymousUsers struct {
	// emailDomain is the domain of the accounts' e-mail addresses, which are <random uuid>@<emailDomain>. Use one that
	// Gini has agreed to and that you own: users.acme.example. No mail is ever sent there.
	// Changing it applies to new accounts only.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",message="emailDomain must be a domain name in lower case, such as users.acme.example"
	EmailDomain string `json:"emailDomain"`

	// onAccountLost says what happens when Gini no longer knows an account that the operator made (GET /api/users/{id}
	// answers 404). Recreate makes another account, with another e-mail address, and an Event tells; the documents of
	// the lost account are not reachable by the new one. Stall leaves the GiniUser stalled with the reason AccountLost
	// until a person decides. Defaults to Recreate.
	// +optional
	// +kubebuilder:validation:Enum=Recreate;Stall
	OnAccountLost AccountLossPolicy `json:"onAccountLost,omitempty"`
}

// AccountLossPolicy says what happens when an account is lost.
type AccountLossPolicy string

// What happens when an account is lost.
const (
	// RecreateLostAccount makes another account.
	RecreateLostAccount AccountLossPolicy = "Recreate"
	// StallOnLostAccount leaves the decision to a person.
	StallOnLostAccount AccountLossPolicy = "Stall"
)

// Grant lets GiniUsers of other namespaces use a client.
type Grant struct {
	// namespaceSelector selects namespaces by their labels: whoever may label a namespace may grant it. The label kubernetes.io/metadata.name, which every
	// namespace has, selects one by its name. An empty selector selects every namespace.
	// +required
	NamespaceSelector NamespaceSelector `json:"namespaceSelector"`

	// devices that those namespaces may have credentials for. Trusted hands the client id and client secret over to
	// them; Untrusted hands over access tokens, and to anonymous users the client id. Defaults to [Untrusted].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Devices []DeviceKind `json:"devices,omitempty"`

	// identifierPrefix is what the identifiers of derived users in those namespaces must begin with, such as "team-a-":
	// whoever may choose any identifier may read the documents of any derived user. It does not concern anonymous users.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]([ -~]*)$')",message="identifierPrefix must be printable ASCII and must not begin with a space"
	IdentifierPrefix string `json:"identifierPrefix"`
}

// NamespaceSelector selects namespaces by their labels, as every label selector of Kubernetes does: all that it lists must hold. It is
// a type of its own because rules on admission need bounds.
type NamespaceSelector struct {
	// matchLabels are labels that a namespace must have, up to 32.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue())",message="matchLabels must have the names of labels, such as kubernetes.io/metadata.name"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.labelValue().validate(self[k]).hasValue())",message="matchLabels must have the values of labels: letters, digits, '-', '_' and '.', with a letter or digit at both ends"
	MatchLabels map[string]LabelValue `json:"matchLabels,omitempty"`

	// matchExpressions are demands on the labels of a namespace, up to 8.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	MatchExpressions []NamespaceSelectorRequirement `json:"matchExpressions,omitempty"`
}

// NamespaceSelectorRequirement is a demand on one label of a namespace.
//
// +kubebuilder:validation:XValidation:rule="(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",message="values must be set where operator is In or NotIn, and left out where it is Exists or DoesNotExist",fieldPath=".values"
type NamespaceSelectorRequirement struct {
	// key is the name of the label.
	// +required
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="!format.qualifiedName().validate(self).hasValue()",message="key must be the name of a label, such as kubernetes.io/metadata.name"
	Key string `json:"key"`

	// operator is In where the label must have one of values, NotIn where it must have none of them or be absent, Exists where
	// the label must be there with any value, and DoesNotExist where it must not.
	// +required
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
	Operator metav1.LabelSelectorOperator `json:"operator"`

	// values of the label, up to 50: for In and NotIn only.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Values []SelectedValue `json:"values,omitempty"`
}

// SelectedValue is a value that a label may have.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",message="values must have the values of labels: letters, digits, '-', '_' and '.', with a letter or digit at both ends"
type SelectedValue string

// DeviceKind is a kind of device in the words of Gini's documentation.
// +kubebuilder:validation:Enum=Untrusted;Trusted
type DeviceKind string

// Kinds of devices.
const (
	// UntrustedDevice gets an access token.
	UntrustedDevice DeviceKind = "Untrusted"
	// TrustedDevice holds the client secret.
	TrustedDevice DeviceKind = "Trusted"
)

// RequestLimits limits what is sent to Gini.
type RequestLimits struct {
	// ratePerSecond is how many requests a second the operator sends for this client, on average. Defaults to 5.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	RatePerSecond int32 `json:"ratePerSecond,omitempty"`

	// maxInFlight is how many requests may be under way at once for this client. Defaults to 4.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	MaxInFlight int32 `json:"maxInFlight,omitempty"`
}

// GiniClientStatus is what the operator observed of a client.
type GiniClientStatus struct {
	// observedGeneration is the generation of the spec that the conditions speak of. -1: not looked at yet.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions of the client. Ready sums the others up, CredentialsAccepted says what Gini thinks of the client credentials,
	// DerivedUsersAccepted and AnonymousUsersAccepted whether it lets the client have users of that kind, as far as it was asked;
	// IdentityProviderReady (only with spec.identityProvider) whether JWTs can be had and are accepted. Reconciling and Stalled
	// appear while there is something to do, or something that only a person can do; WithoutEffect where a part of the spec has no effect.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// checkedCredentials identifies the version of credentials and endpoints that CredentialsAccepted speaks of.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	CheckedCredentials string `json:"checkedCredentials,omitempty"`

	// accepted is what Gini has accepted this client for so far. From then on a refusal there is taken for one user's, unless others meet it too.
	// +optional
	Accepted *AcceptedRequests `json:"accepted,omitempty"`

	// tokenBehaviour is what the operator has learned of how Gini issues tokens to this client.
	// +optional
	TokenBehaviour *TokenBehaviours `json:"tokenBehaviour,omitempty"`

	// jwks is the JWK Set that the operator serves for this client. Absent without spec.identityProvider.signer.
	// +optional
	JWKS *JWKSStatus `json:"jwks,omitempty"`

	// lastHandledKeyRoll echoes the annotation credentials.gini.net/key-roll-requested-at as last handled, or is the hash of a long one.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledKeyRoll string `json:"lastHandledKeyRoll,omitempty"`

	// pausedUntil is when the operator next sends a request for this client, where it holds back after failures or
	// because Gini asked for it (Retry-After).
	// +optional
	PausedUntil *metav1.Time `json:"pausedUntil,omitempty"`
}

// AcceptedRequests are requests that Gini has accepted a client's credentials for.
type AcceptedRequests struct {
	// clientID is the client id that was accepted. Another one starts over.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	ClientID string `json:"clientID"`

	// requests are the kinds of request: Login is one for the token of a derived user, ClientToken one for a client token, and UserCenter
	// any at the User Center.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=3
	Requests []AcceptedRequest `json:"requests,omitempty"`
}

// AcceptedRequest is a kind of request that takes the client credentials.
// +kubebuilder:validation:Enum=Login;UserCenter;ClientToken
type AcceptedRequest string

// TokenBehaviours is how each of Gini's token endpoints issues tokens.
type TokenBehaviours struct {
	// login is the Pay API's /login, which derived users use.
	// +optional
	Login *TokenBehaviour `json:"login,omitempty"`

	// userCenter is the User Center's /oauth/token, which anonymous users use.
	// +optional
	UserCenter *TokenBehaviour `json:"userCenter,omitempty"`
}

// TokenBehaviour is how one token endpoint issues tokens.
type TokenBehaviour struct {
	// mode is Fresh where every login gives a new token, and Sticky where a login gives the same token with its
	// remaining lifetime until that has ended. Sticky tokens are renewed at the moment they end: there is a gap of
	// under two seconds in which no valid token can be had.
	// +required
	// +kubebuilder:validation:Enum=Fresh;Sticky
	Mode TokenMode `json:"mode"`

	// observedAt is when this was last seen. It is looked at again once a day.
	// +required
	ObservedAt metav1.Time `json:"observedAt"`
}

// TokenMode is how a token endpoint issues tokens.
type TokenMode string

// How a token endpoint issues tokens.
const (
	// FreshTokens are new at every login.
	FreshTokens TokenMode = "Fresh"
	// StickyTokens stay the same until they end.
	StickyTokens TokenMode = "Sticky"
)

// GiniClient is one application registered with Gini: its credentials, its hosts, and who may use it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=gini,shortName=gcl
// +kubebuilder:validation:XValidation:rule="!has(self.spec.identityProvider) || !has(self.spec.identityProvider.signer) || !has(self.spec.identityProvider.signer.key.managed) || self.metadata.name.size() <= 63",message="the name of a GiniClient with a managed key must have at most 63 characters: it becomes a label of the key's Secret"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Credentials",type=string,JSONPath=`.status.conditions[?(@.type=="CredentialsAccepted")].reason`
// +kubebuilder:printcolumn:name="Identity Provider",type=string,JSONPath=`.status.conditions[?(@.type=="IdentityProviderReady")].reason`
// +kubebuilder:printcolumn:name="JWK Set",type=string,priority=1,JSONPath=`.status.jwks.path`
// +kubebuilder:printcolumn:name="Pay API",type=string,priority=1,JSONPath=`.spec.endpoints.payAPI.url`
// +kubebuilder:printcolumn:name="Login",type=string,priority=1,JSONPath=`.status.tokenBehaviour.login.mode`
// +kubebuilder:printcolumn:name="User Center",type=string,priority=1,JSONPath=`.status.tokenBehaviour.userCenter.mode`
// +kubebuilder:printcolumn:name="Paused until",type=string,priority=1,JSONPath=`.status.pausedUntil`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type GiniClient struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is one application registered with Gini: its credentials, its hosts, and who may use it.
	// +required
	Spec GiniClientSpec `json:"spec"`

	// status is what the operator observed: whether Gini accepts the credentials, and how it issues tokens.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status GiniClientStatus `json:"status,omitempty"`
}

// GiniClientList is a list of GiniClients.
// +kubebuilder:object:root=true
type GiniClientList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GiniClient `json:"items"`
}
