package v1alpha1

// Labels and annotations that people set.
const (
	// RefreshRequestedAnnotation asks for a new access token now. Any value that differs from the one handled last
	// counts, however long it is. The time of day is customary:
	// kubectl annotate giniuser alice credentials.gini.net/refresh-requested-at="$(date)" --overwrite.
	RefreshRequestedAnnotation = "credentials.gini.net/refresh-requested-at"

	// KeyRollRequestedAnnotation, set on a GiniClient, replaces its managed signing key at once: for a key that somebody else may
	// have. The former keys leave the JWK Set, so that JWTs signed by them are refused once Gini has fetched it again; JWTs signed by the new key are refused
	// until then. Any value that differs from the one handled last counts, however long it is. Where the key is brought along, only keys that sign
	// no more leave the set.
	KeyRollRequestedAnnotation = "credentials.gini.net/key-roll-requested-at"

	// AdoptByLabel, set on a Secret by whoever owns it, lets the GiniUser named by its value take the Secret over,
	// with everything in it.
	AdoptByLabel = "credentials.gini.net/adopt-by"

	// AllowRestartAnnotation, set on a workload, lets the operator restart it where a GiniUser of its namespace names it in rolloutRestart:
	// "true" for at most one restart an hour, or a duration such as "15m" for at most one in that time.
	AllowRestartAnnotation = "credentials.gini.net/allow-restart"
)

// Annotations that the operator sets on pods and workloads, and the only thing of them that it changes.
const (
	// NudgedAtAnnotation says when, and for which credentials, a pod was nudged. A kubelet looks at a pod's Secrets when it changes.
	NudgedAtAnnotation = "credentials.gini.net/nudged-at"
	// RestartedAtAnnotation, in the template of a workload's pods, says when, and for which credentials, it was restarted.
	RestartedAtAnnotation = "credentials.gini.net/restarted-at"
)

// Labels and annotations that the operator sets on the Secrets it makes.
const (
	// ManagedByLabel says who made a Secret; its value is ManagedByValue.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	// ManagedByValue is the value of ManagedByLabel.
	ManagedByValue = "gini-operator"

	// UserLabel names the GiniUser, in the Secret's namespace, that a Secret was made for.
	UserLabel = "credentials.gini.net/gini-user"
	// ClientLabel names the GiniClient, in the Secret's namespace, whose signing keys a Secret holds.
	ClientLabel = "credentials.gini.net/gini-client"
	// DeviceLabel says what a Secret is: "untrusted" or "trusted" for a device's credential, "account" for the account of an
	// anonymous user, "signing-key" for the keys of a GiniClient.
	DeviceLabel = "credentials.gini.net/device"

	// ObtainedAtAnnotation is the instant just before the token was asked for (RFC 3339, to the millisecond).
	ObtainedAtAnnotation = "credentials.gini.net/obtained-at"
	// ExpiresAtAnnotation is the instant until which the token is certainly valid (RFC 3339).
	ExpiresAtAnnotation = "credentials.gini.net/expires-at"
	// EndsByAnnotation is the instant at which the token has certainly ended (RFC 3339, to the millisecond).
	EndsByAnnotation = "credentials.gini.net/ends-by"
	// RefreshAtAnnotation is the instant at which the operator renews the token (RFC 3339, to the millisecond).
	RefreshAtAnnotation = "credentials.gini.net/refresh-at"
	// IssuedForAnnotation is a hash of what the credential was issued for: client id, host, and user.
	IssuedForAnnotation = "credentials.gini.net/issued-for"
	// IssuedByAnnotation is a hash of what a JWT depends on beside the user: the key that signed it, issuer, lifetime and claims.
	IssuedByAnnotation = "credentials.gini.net/issued-by"
	// KeyRollHandledAnnotation echoes the value of KeyRollRequestedAnnotation that was handled last, on a key Secret, or its hash where it is long.
	KeyRollHandledAnnotation = "credentials.gini.net/key-roll-handled"
	// FingerprintAnnotation is the first 8 hex digits of the credential's SHA-256.
	FingerprintAnnotation = "credentials.gini.net/fingerprint"
	// TemplateAnnotation is a hash of the part of the spec that the Secret was rendered from.
	TemplateAnnotation = "credentials.gini.net/template"
	// RefreshHandledAnnotation echoes the value of RefreshRequestedAnnotation that was handled last, or its hash where it is long.
	RefreshHandledAnnotation = "credentials.gini.net/refresh-handled"
	// LifetimeAnnotation is "assumed" where Gini did not say how long the token lives.
	LifetimeAnnotation = "credentials.gini.net/lifetime"
	// RecordAnnotation is a checksum of the annotations above: where they were edited by hand, they are not believed.
	RecordAnnotation = "credentials.gini.net/record"
	// AppliedLabelsAnnotation names the labels that the spec set, so that they can be taken away later.
	AppliedLabelsAnnotation = "credentials.gini.net/applied-labels"
	// AppliedAnnotationsAnnotation names the annotations that the spec set, so that they can be taken away later.
	AppliedAnnotationsAnnotation = "credentials.gini.net/applied-annotations"
)
