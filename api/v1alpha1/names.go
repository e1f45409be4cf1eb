package v1alpha1

// ObjectName is the name of an object in the same namespace.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="name must be the name of a Kubernetes object: lower case letters, digits, '-' and '.'"
type ObjectName string

// SecretKey is a key in the data of a Secret or ConfigMap.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$')",message="key must be a key of a Secret: letters, digits, '-', '_' and '.'"
type SecretKey string

// Default keys and values, applied in code: a default written into the spec would differ from what was applied.
const (
	DefaultClientIDKey     = "client-id"
	DefaultClientSecretKey = "client-secret"
	DefaultCABundleKey     = "ca.crt"
	DefaultPayAPIURL       = "https://pay-api.gini.net"
	DefaultUserCenterURL   = "https://user.gini.net"
	DefaultMediaType       = "application/vnd.gini.v1+json"
	DefaultAlgorithm       = "RS256"
	DefaultIdentifierParam = "sub"
	DefaultRatePerSecond   = 5
	DefaultMaxInFlight     = 4
)
