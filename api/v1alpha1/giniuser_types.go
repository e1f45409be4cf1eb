package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GiniUserSpec is one user of Gini and the Secrets that its devices read.
//
// Immutable: clientRef, the choice between derived and anonymous, the identifier and the account Secret. Each of them
// makes another user of Gini, with other documents: create another GiniUser for it.
//
// +kubebuilder:validation:XValidation:rule="has(self.derived) != has(self.anonymous)",message="set exactly one of derived and anonymous"
// +kubebuilder:validation:XValidation:rule="self.clientRef == oldSelf.clientRef",message="clientRef is immutable: create another GiniUser"
// +kubebuilder:validation:XValidation:rule="has(self.derived) == has(oldSelf.derived)",message="a derived user cannot become anonymous, nor the other way round: create another GiniUser"
// +kubebuilder:validation:XValidation:rule="!has(self.derived) || !has(oldSelf.derived) || (has(self.derived.identifier) ? self.derived.identifier : \"\") == (has(oldSelf.derived.identifier) ? oldSelf.derived.identifier : \"\")",message="derived.identifier is immutable: create another GiniUser"
// +kubebuilder:validation:XValidation:rule="!has(self.derived) || !has(oldSelf.derived) || (has(self.derived.identifierSecretRef) ? self.derived.identifierSecretRef.name + '/' + self.derived.identifierSecretRef.key : \"\") == (has(oldSelf.derived.identifierSecretRef) ? oldSelf.derived.identifierSecretRef.name + '/' + oldSelf.derived.identifierSecretRef.key : \"\")",message="derived.identifierSecretRef is immutable: create another GiniUser"
// +kubebuilder:validation:XValidation:rule="!has(self.anonymous) || !has(oldSelf.anonymous) || (self.anonymous.accountSecret.name == oldSelf.anonymous.accountSecret.name && (has(self.anonymous.accountSecret.mode) ? self.anonymous.accountSecret.mode : 'Managed') == (has(oldSelf.anonymous.accountSecret.mode) ? oldSelf.anonymous.accountSecret.mode : 'Managed'))",message="anonymous.accountSecret is immutable: create another GiniUser"
// +kubebuilder:validation:XValidation:rule="!has(self.anonymous) || !has(self.devices.trusted)",message="an anonymous user has no trusted device: remove devices.trusted, or use derived"
// +kubebuilder:validation:XValidation:rule="!has(self.devices.untrusted) || !has(self.devices.trusted) || self.devices.untrusted.secret.name != self.devices.trusted.secret.name",message="devices.untrusted.secret and devices.trusted.secret must have different names, so that an untrusted device never sees what a trusted one may"
// +kubebuilder:validation:XValidation:rule="!has(self.anonymous) || !has(self.devices.untrusted) || self.anonymous.accountSecret.name != self.devices.untrusted.secret.name",message="anonymous.accountSecret and devices.untrusted.secret must have different names: the account's password is not for devices"
// +kubebuilder:validation:XValidation:rule="!has(self.derived) || !has(self.derived.identifierSecretRef) || ((!has(self.devices.untrusted) || self.derived.identifierSecretRef.name != self.devices.untrusted.secret.name) && (!has(self.devices.trusted) || self.derived.identifierSecretRef.name != self.devices.trusted.secret.name))",message="derived.identifierSecretRef and the devices' Secrets must have different names"
// +kubebuilder:validation:XValidation:rule="!has(self.derived) || self.derived.auth != 'Basic' || !has(self.devices.trusted) || !has(self.devices.trusted.secret.data) || self.devices.trusted.secret.data.all(k, self.devices.trusted.secret.data[k].matches('^([^$]|[$]+[^$(]|([$][$])+[(]|[$]([$][$])*[(](client_id|client_secret|user_identifier|authorization_basic)[)])*[$]*$'))",message="data of a trusted device with auth Basic may use $(client_id), $(client_secret), $(user_identifier) and $(authorization_basic); write $$( for a literal $(",fieldPath=".devices.trusted.secret.data"
// +kubebuilder:validation:XValidation:rule="!has(self.derived) || self.derived.auth != 'JWT' || !has(self.devices.trusted) || !has(self.devices.trusted.secret.data) || self.devices.trusted.secret.data.all(k, self.devices.trusted.secret.data[k].matches('^([^$]|[$]+[^$(]|([$][$])+[(]|[$]([$][$])*[(](jwt|jwt_expires_at|x_jwt_authorization)[)])*[$]*$'))",message="data of a trusted device with auth JWT may use $(jwt), $(jwt_expires_at) and $(x_jwt_authorization); write $$( for a literal $(",fieldPath=".devices.trusted.secret.data"
// +kubebuilder:validation:XValidation:rule="!has(self.renewal) || !has(self.renewal.verifyInterval) || has(self.devices.untrusted)",message="renewal.verifyInterval verifies the token of an untrusted device, which this user does not have: leave it out, or add devices.untrusted",fieldPath=".renewal.verifyInterval"
// +kubebuilder:validation:XValidation:rule="!has(self.renewal) || !has(self.renewal.before) || has(self.devices.untrusted) || !has(self.derived) || self.derived.auth != 'Basic'",message="renewal.before is for what expires, and a trusted device with auth Basic has nothing that does: leave it out, or add devices.untrusted",fieldPath=".renewal.before"
type GiniUserSpec struct {
	// clientRef names the GiniClient that the user belongs to. Immutable.
	// +required
	ClientRef ClientReference `json:"clientRef"`

	// derived is a user that is named by an identifier, and that Gini makes when the identifier is first used.
	// +optional
	Derived *DerivedUser `json:"derived,omitempty"`

	// anonymous is a user with an account in Gini's User Center: an e-mail address and a password.
	// +optional
	Anonymous *AnonymousUser `json:"anonymous,omitempty"`

	// devices are what the user's credentials are for. At least one; each kind has a Secret of its own.
	// +required
	Devices Devices `json:"devices"`

	// renewal tunes when access tokens are renewed. Absent: after about half to two thirds of their lifetime, and with
	// at least three minutes left where the lifetime allows it.
	// +optional
	Renewal *Renewal `json:"renewal,omitempty"`

	// suspend stops, when true, everything that the operator does for this user except its status, which says what
	// will expire and when. Secrets stay as they are; only client credentials of another namespace are still taken back when
	// their grant is withdrawn. Defaults to false.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// ClientReference names a GiniClient.
type ClientReference struct {
	// name of the GiniClient.
	// +required
	Name ObjectName `json:"name"`

	// namespace of the GiniClient. Another namespace than the GiniUser's needs a grant of that GiniClient (spec.grants).
	// Defaults to the GiniUser's namespace.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="namespace must be the name of a namespace"
	Namespace string `json:"namespace,omitempty"`
}

// DerivedUser is a user that is named by an identifier.
//
// +kubebuilder:validation:XValidation:rule="has(self.identifier) != has(self.identifierSecretRef)",message="set exactly one of identifier and identifierSecretRef"
type DerivedUser struct {
	// identifier names the user: unique for the client, never reused for somebody else, and hard to guess, as whoever
	// knows the client credentials and an identifier can read that user's documents. Printable ASCII, up to 256
	// characters. Immutable.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]([ -~]*[!-~])?$')",message="identifier must be printable ASCII without spaces or newlines at its ends (made with echo? use echo -n)"
	Identifier string `json:"identifier,omitempty"`

	// identifierSecretRef names a key of a Secret, in this namespace, that holds the identifier, under the same rules.
	// Another content later is refused with the reason IdentifierChanged: it would be another user's documents. Immutable.
	// +optional
	IdentifierSecretRef *SecretKeyReference `json:"identifierSecretRef,omitempty"`

	// auth is how the user is authenticated, in the words of Gini's documentation. Basic: with the client credentials
	// and the identifier. JWT: with a JWT of the GiniClient's spec.identityProvider that names the user. The same identifier is
	// the same user either way: another auth later keeps the user and its documents.
	// +required
	// +kubebuilder:validation:Enum=Basic;JWT
	Auth AuthMethod `json:"auth"`
}

// AuthMethod is how a derived user is authenticated.
type AuthMethod string

// How a derived user is authenticated.
const (
	// BasicAuth is by the client credentials and its identifier.
	BasicAuth AuthMethod = "Basic"
	// JWTAuth is by a JWT that names it.
	JWTAuth AuthMethod = "JWT"
)

// SecretKeyReference names a key of a Secret in the same namespace.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	Name ObjectName `json:"name"`

	// key in the Secret.
	// +required
	Key SecretKey `json:"key"`
}

// AnonymousUser is a user with an account in the User Center.
type AnonymousUser struct {
	// accountSecret names the Secret, in this namespace, with the account's e-mail address and password. Immutable.
	// +required
	AccountSecret AccountSecret `json:"accountSecret"`
}

// AccountSecret names the Secret of an account.
type AccountSecret struct {
	// name of the Secret. Keys: email, password and, once the account is made, user_id, client_id and user_center.
	// +required
	Name ObjectName `json:"name"`

	// mode is Managed where the operator makes the Secret, if it is absent, and then the account. The Secret has no owner:
	// it stays when the GiniUser is deleted, and the same YAML leads to the same account again. Keep it in your
	// backup, as the account is lost with it. Existing: you bring the Secret with an account of yours; the operator
	// waits for it and never writes it. Defaults to Managed.
	// +optional
	// +kubebuilder:validation:Enum=Managed;Existing
	Mode AccountMode `json:"mode,omitempty"`
}

// AccountMode says who makes an account Secret.
type AccountMode string

// Who makes an account Secret.
const (
	// ManagedAccount is made by the operator.
	ManagedAccount AccountMode = "Managed"
	// ExistingAccount is brought along.
	ExistingAccount AccountMode = "Existing"
)

// Devices are what a user's credentials are for.
//
// +kubebuilder:validation:XValidation:rule="has(self.untrusted) || has(self.trusted)",message="set at least one of devices.untrusted and devices.trusted"
type Devices struct {
	// untrusted devices get an access token, and nothing that outlives it.
	// +optional
	Untrusted *UntrustedDeviceSpec `json:"untrusted,omitempty"`

	// trusted devices need no login: with auth Basic they get the client credentials and the identifier, with auth JWT a JWT.
	// Derived users only.
	// +optional
	Trusted *TrustedDeviceSpec `json:"trusted,omitempty"`
}

// Delivery is how a changed Secret reaches those who use it.
type Delivery struct {
	// nudgePods makes a renewed credential arrive in the pods that mount the Secret within seconds, instead of at the kubelet's next
	// look, up to 90 s after the renewal: the operator touches one annotation of these pods. For tokens that live for a few minutes only,
	// or that end at the next login. Where it is absent, pods are nudged only if Gini's tokens are sticky; false never nudges.
	// Needs an operator that was started with --nudge-pods.
	// +optional
	NudgePods *bool `json:"nudgePods,omitempty"`

	// rolloutRestart names workloads of this namespace that read the Secret once, as environment variables or through a subPath, and are
	// restarted after it has changed. Each must consent with the annotation credentials.gini.net/allow-restart: "true", and is then
	// restarted at most once an hour, or with a duration as in "15m" at most so often. Changes that come together cause one restart. Needs an
	// operator that was started with --rollout-restarts.
	// +optional
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	RolloutRestart []WorkloadReference `json:"rolloutRestart,omitempty"`
}

// WorkloadReference names a workload of the same namespace.
type WorkloadReference struct {
	// kind is Deployment, StatefulSet or DaemonSet.
	// +required
	Kind WorkloadKind `json:"kind"`

	// name is that of the workload.
	// +required
	Name ObjectName `json:"name"`
}

// WorkloadKind is a kind of workload whose pods can be restarted one after the other.
// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet
type WorkloadKind string

// Kinds of workloads.
const (
	DeploymentKind  WorkloadKind = "Deployment"
	StatefulSetKind WorkloadKind = "StatefulSet"
	DaemonSetKind   WorkloadKind = "DaemonSet"
)

// UntrustedDeviceSpec is a device that gets an access token.
type UntrustedDeviceSpec struct {
	// secret is the Secret that the operator makes for the device to read. Its keys: access_token, token_type, expires_at (RFC 3339),
	// authorization (ready to be sent as a header), and those of data.
	// +required
	Secret UntrustedSecret `json:"secret"`

	Delivery `json:",inline"`
}

// TrustedDeviceSpec is a device that gets the client credentials or a JWT.
type TrustedDeviceSpec struct {
	// secret is the Secret that the operator makes for the device to read. Its keys with auth Basic: client_id, client_secret,
	// user_identifier, authorization_basic (ready to be sent as a header, beside X-User-Identifier); with auth JWT: jwt,
	// jwt_expires_at (RFC 3339), x_jwt_authorization (ready to be sent as the header X-JWT-Authorization); and those of data.
	// +required
	Secret TrustedSecret `json:"secret"`

	Delivery `json:",inline"`
}

// TargetSecret is what the Secrets of all kinds of device have in common.
type TargetSecret struct {
	// name of the Secret, in this namespace. A Secret of this name that the operator did not make is left alone, and the
	// reason is Conflict, unless the Secret itself consents by the label credentials.gini.net/adopt-by: <name of the
	// GiniUser>. Another name later makes the new Secret first and then deletes the old one.
	// +required
	Name ObjectName `json:"name"`

	// type of the Secret: Opaque, or a type in the domain credentials.gini.net. Defaults to Opaque. Another type later
	// deletes the Secret and makes it again from the data at hand.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=80
	// +kubebuilder:validation:XValidation:rule="self == 'Opaque' || self.matches('^credentials[.]gini[.]net/[a-z]([-a-z]{0,38}[a-z])?$')",message="type must be Opaque, or credentials.gini.net/<name> with a name of lower case letters and '-'"
	Type string `json:"type,omitempty"`

	// labels to set on the Secret, up to 32. Taken away again when removed here; labels that others set stay. Refused: those
	// that the operator sets itself (credentials.gini.net/..., app.kubernetes.io/managed-by), and those by which Argo CD, Flux
	// or Helm track what they own, as they would delete the Secret.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="labels must have valid names"
	// +kubebuilder:validation:XValidation:rule="self.all(k, self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))",message="labels must have valid values: letters, digits, '-', '_' and '.'"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('credentials.gini.net/') && k != 'app.kubernetes.io/managed-by')",message="labels credentials.gini.net/… and app.kubernetes.io/managed-by are set by the operator: leave them out"
	// +kubebuilder:validation:XValidation:rule="self.all(k, k != 'app.kubernetes.io/instance' && !k.matches('^([a-z0-9-]+[.])*(argoproj[.]io|fluxcd[.]io|helm[.]sh)/'))",message="labels by which Argo CD, Flux or Helm track what they own would make them delete the Secret: leave them out"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations to set on the Secret, up to 32 of up to 1024 characters each. Taken away again when removed here; annotations
	// that others set stay. Refused: credentials.gini.net/..., kubernetes.io and k8s.io, and those of Argo CD, Flux and Helm.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="annotations must have valid names"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('credentials.gini.net/'))",message="annotations credentials.gini.net/… are set by the operator: leave them out"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.matches('^([a-z0-9-]+[.])*(kubernetes|k8s)[.]io/'))",message="annotations of kubernetes.io and k8s.io have effects in the cluster: leave them out"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.matches('^([a-z0-9-]+[.])*(argoproj[.]io|fluxcd[.]io|helm[.]sh)/'))",message="annotations by which Argo CD, Flux or Helm track what they own would make them delete the Secret: leave them out"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// LabelValue is the value of a label.
// +kubebuilder:validation:MaxLength=63
type LabelValue string

// AnnotationValue is the value of an annotation.
// +kubebuilder:validation:MaxLength=1024
type AnnotationValue string

// Template is a value of a Secret in which $(name) is replaced by the value of that name; $$ stands for $, so that $$(name) stands for $(name) itself.
// +kubebuilder:validation:MaxLength=2048
type Template string

// UntrustedSecret is the Secret of an untrusted device. Its default keys: access_token, token_type, expires_at (RFC 3339),
// and authorization, which is ready to be sent as a header.
type UntrustedSecret struct {
	TargetSecret `json:",inline"`

	// data adds keys to the default ones. In a value, $(access_token), $(token_type), $(expires_at) and $(authorization) are
	// replaced, as in the args of a pod; $$ stands for $, so that $$(access_token) stands for $(access_token) itself. There is no other template language.
	// Example: GINI_TOKEN: "$(access_token)".
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))",message="data must have keys of letters, digits, '-', '_' and '.', other than . and those that begin with .."
	// +kubebuilder:validation:XValidation:rule="self.all(k, !(k in ['access_token', 'token_type', 'expires_at', 'authorization']))",message="data adds to the keys access_token, token_type, expires_at and authorization: choose other keys"
	// +kubebuilder:validation:XValidation:rule="self.all(k, self[k].matches('^([^$]|[$]+[^$(]|([$][$])+[(]|[$]([$][$])*[(](access_token|token_type|expires_at|authorization)[)])*[$]*$'))",message="data of an untrusted device may use $(access_token), $(token_type), $(expires_at) and $(authorization); write $$( for a literal $("
	Data map[string]Template `json:"data,omitempty"`

	// deletionPolicy says what becomes of the Secret when the GiniUser is deleted, or the device removed from it. Delete
	// deletes it. Retain leaves it, to a token that expires and is renewed no more. Defaults to Delete.
	// +optional
	// +kubebuilder:validation:Enum=Delete;Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// TrustedSecret is the Secret of a trusted device. Its default keys with auth Basic: client_id, client_secret,
// user_identifier, and authorization_basic, which is ready to be sent as a header beside X-User-Identifier. With auth JWT: jwt,
// jwt_expires_at, and x_jwt_authorization, which is ready to be sent as the header X-JWT-Authorization.
type TrustedSecret struct {
	TargetSecret `json:",inline"`

	// data adds keys to the default ones. In a value, as in the args of a pod, these are replaced: with auth Basic $(client_id),
	// $(client_secret), $(user_identifier) and $(authorization_basic), with auth JWT $(jwt), $(jwt_expires_at) and
	// $(x_jwt_authorization). $$ stands for $, so that $$(jwt) stands for $(jwt) itself.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))",message="data must have keys of letters, digits, '-', '_' and '.', other than . and those that begin with .."
	// +kubebuilder:validation:XValidation:rule="self.all(k, !(k in ['client_id', 'client_secret', 'user_identifier', 'authorization_basic', 'jwt', 'jwt_expires_at', 'x_jwt_authorization']))",message="data adds to the keys client_id, client_secret, user_identifier, authorization_basic, jwt, jwt_expires_at and x_jwt_authorization: choose other keys"
	Data map[string]Template `json:"data,omitempty"`
}

// DeletionPolicy says what becomes of a Secret when its GiniUser is deleted.
type DeletionPolicy string

// What becomes of a Secret.
const (
	// DeleteSecret deletes it.
	DeleteSecret DeletionPolicy = "Delete"
	// RetainSecret leaves it.
	RetainSecret DeletionPolicy = "Retain"
)

// Renewal tunes when access tokens are renewed.
type Renewal struct {
	// before is how long before its expiry a token is renewed, within bounds: after a third of its lifetime at the
	// earliest and two thirds at the latest, so that a third of it is left to get over an outage. With "6h", a token of
	// 12 hours is renewed after 6 hours, or a little earlier. Absent: at the latest three minutes before its expiry, within the same bounds.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('87600h')",message="before must be between 1s and 87600h, such as 90s or 6h"
	Before *metav1.Duration `json:"before,omitempty"`

	// verifyInterval asks Gini that often whether the token is still good (GET /documents, the answer is discarded), and
	// logs in again if not: for tokens that Gini may end early. At least 1m, and shorter than the time between renewals: a token that is
	// renewed before its turn comes is never verified. Only for users with an untrusted device. Absent: never.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('87600h')",message="verifyInterval must be between 1m and 87600h, such as 15m or 1h"
	VerifyInterval *metav1.Duration `json:"verifyInterval,omitempty"`
}

// GiniUserStatus is what the operator observed of a user.
type GiniUserStatus struct {
	// observedGeneration is the generation of the spec that the conditions speak of. -1: not looked at yet.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions of the user. Ready sums up ClientResolved, AccountReady (anonymous users) and SecretsWritten; Reconciling and Stalled
	// appear while there is something to do, or something that only a person can do.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// type is Derived or Anonymous.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Type string `json:"type,omitempty"`

	// userID is Gini's id of the account of an anonymous user, where it is known.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	UserID string `json:"userID,omitempty"`

	// identifierHash is a hash of the identifier that identifierSecretRef led to first.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	IdentifierHash string `json:"identifierHash,omitempty"`

	// account is what is known of the account of an anonymous user.
	// +optional
	Account *AccountStatus `json:"account,omitempty"`

	// lastHandledRefreshRequest echoes the annotation credentials.gini.net/refresh-requested-at as last handled, or is the hash of a long one.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledRefreshRequest string `json:"lastHandledRefreshRequest,omitempty"`

	// expiresAt is when the first of the devices' credentials expires. Absent where none expires.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// devices is the state of the devices' Secrets.
	// +optional
	Devices *DevicesStatus `json:"devices,omitempty"`

	// attempt is the last failed attempt to get this user's credentials, absent while there is none to repeat.
	// +optional
	Attempt *AttemptStatus `json:"attempt,omitempty"`
}

// AccountStatus is what is known of an account.
type AccountStatus struct {
	// clientID is the client id that the account belongs to.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	ClientID string `json:"clientID,omitempty"`

	// userCenter is the User Center that has the account.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	UserCenter string `json:"userCenter,omitempty"`

	// secretResourceVersion is the version of the account Secret that was read last.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	SecretResourceVersion string `json:"secretResourceVersion,omitempty"`
}

// AttemptStatus is a failed attempt.
type AttemptStatus struct {
	// reason of the failure.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// device is the kind of device that it was for.
	// +optional
	Device DeviceKind `json:"device,omitempty"`

	// failures in a row.
	// +optional
	Failures int32 `json:"failures,omitempty"`

	// inputs identifies what was tried: the spec, the client, and the Secrets that were read. Any change of them is tried at once.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Inputs string `json:"inputs,omitempty"`

	// nextAt is when it is tried again. Absent: when something has changed.
	// +optional
	NextAt *metav1.Time `json:"nextAt,omitempty"`
}

// DevicesStatus is the state of the devices' Secrets.
type DevicesStatus struct {
	// untrusted device.
	// +optional
	Untrusted *DeviceStatus `json:"untrusted,omitempty"`

	// trusted device.
	// +optional
	Trusted *DeviceStatus `json:"trusted,omitempty"`
}

// DeviceStatus is the state of one device's Secret.
type DeviceStatus struct {
	// secretName is the Secret that was written.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// secretUID is the UID of the Secret that was written. One that somebody makes under its name later has another.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	SecretUID string `json:"secretUID,omitempty"`

	// secretResourceVersion is the version of the Secret that the operator last wrote or checked.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	SecretResourceVersion string `json:"secretResourceVersion,omitempty"`

	// expiresAt is when the token expires. Absent for credentials that do not expire.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// refreshAt is when the operator renews the token.
	// +optional
	RefreshAt *metav1.Time `json:"refreshAt,omitempty"`

	// lastRefreshAt is when the operator last got a token.
	// +optional
	LastRefreshAt *metav1.Time `json:"lastRefreshAt,omitempty"`

	// lastVerifiedAt is when Gini was asked last whether the token is still good, where renewal.verifyInterval has it asked.
	// +optional
	LastVerifiedAt *metav1.Time `json:"lastVerifiedAt,omitempty"`
}

// GiniUser is one user of Gini, whose credentials the operator keeps fresh in Secrets.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=gini,shortName=gu
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="the name of a GiniUser must have at most 63 characters: it becomes a label of its Secrets"
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.status.type`
// +kubebuilder:printcolumn:name="Client",type=string,JSONPath=`.spec.clientRef.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expiresAt`
// +kubebuilder:printcolumn:name="Token expires",type=string,priority=1,JSONPath=`.status.devices.untrusted.expiresAt`
// +kubebuilder:printcolumn:name="JWT expires",type=string,priority=1,JSONPath=`.status.devices.trusted.expiresAt`
// +kubebuilder:printcolumn:name="Untrusted Secret",type=string,priority=1,JSONPath=`.spec.devices.untrusted.secret.name`
// +kubebuilder:printcolumn:name="Trusted Secret",type=string,priority=1,JSONPath=`.spec.devices.trusted.secret.name`
// +kubebuilder:printcolumn:name="Refresh",type=string,priority=1,JSONPath=`.status.devices.untrusted.refreshAt`
// +kubebuilder:printcolumn:name="User ID",type=string,priority=1,JSONPath=`.status.userID`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type GiniUser struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is one user of Gini, its client, and the Secrets that its devices read. Immutable: clientRef, the choice between
	// derived and anonymous, the identifier and the account Secret, as each of them makes another user with other
	// documents: create another GiniUser for it.
	// +required
	Spec GiniUserSpec `json:"spec"`

	// status is what the operator observed: whether the Secrets hold credentials that work, and until when.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status GiniUserStatus `json:"status,omitempty"`
}

// GiniUserList is a list of GiniUsers.
// +kubebuilder:object:root=true
type GiniUserList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GiniUser `json:"items"`
}
