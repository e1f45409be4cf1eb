package v1alpha1

// Condition types. Each comment lists the reasons that the condition can have.
const (
	// ConditionReady sums the others up. For a GiniUser it is True while every Secret that the spec asks for holds a
	// credential that works, a failing renewal included as long as the token at hand has not expired.
	//
	// True: CredentialsReady, Suspended. False: the reason of what is wrong.
	// Unknown: Pending.
	//
	// For a GiniClient it is True while its users can get credentials. True: CredentialsAccepted, JWTsReady, NotYetUsed, NotVerified. False: the reason of
	// what is wrong with its credentials, its hosts or its identity provider.
	ConditionReady = "Ready"

	// ConditionClientResolved is True while the GiniClient exists, serves this user, and has usable credentials.
	//
	// True: ClientResolved. False: ClientNotFound, ClientNotGranted, DeviceNotGranted, IdentifierNotGranted,
	// AnonymousUsersNotEnabled, IdentifierSecretNotFound, IdentifierInvalid, IdentifierChanged, IdentifierInUse,
	// HostNotAllowed, ClientSecretNotFound, ClientSecretInvalid, CABundleNotFound, CABundleInvalid,
	// IdentityProviderNotConfigured, SigningKeyNotFound, SigningKeyInvalid, SigningKeySecretConflict, ClaimsInvalid,
	// IdentityProviderSecretNotFound, IdentityProviderSecretInvalid. Unknown: Pending.
	ConditionClientResolved = "ClientResolved"

	// ConditionAccountReady is True while an anonymous user has an account that the operator can log in to. Derived users do not have it.
	//
	// True: AccountReady. False: AccountInUse, AccountSecretNotFound, AccountSecretMissing, AccountSecretInvalid,
	// AccountSecretConflict, AccountOfAnotherClient, AccountRejected, EmailDomainRefused, AccountLost. Unknown: Pending.
	ConditionAccountReady = "AccountReady"

	// ConditionSecretsWritten is True while every Secret holds a credential that works.
	//
	// True: SecretsWritten, LifetimeUnknown, StickyTokens. False: Conflict, Contended, NameClash, SecretNotWritten,
	// LoginRefused, and the reasons of a client
	// that fails: CredentialsRejected, AnonymousUsersRefused, DerivedUsersRefused, RateLimited, GiniUnreachable, TLSFailure, GiniTimeout, GiniUnavailable,
	// UnexpectedResponse; and those of its identity provider: JWTRejected, JWTNotIssued, IdentityProviderRejected,
	// IdentityProviderUnreachable, IdentityProviderUnavailable, IdentityProviderUnexpected. Unknown: Pending, Suspended.
	ConditionSecretsWritten = "SecretsWritten"

	// ConditionCredentialsAccepted says what Gini thinks of the credentials of a GiniClient, as learned from what it is asked for its users.
	//
	// True: CredentialsAccepted. False: CredentialsRejected. Unknown: NotYetUsed, NotVerified, and while they cannot be asked about,
	// the reason why: HostNotAllowed, ClientSecretNotFound, ClientSecretInvalid, CABundleNotFound, CABundleInvalid,
	// RateLimited, GiniUnreachable, TLSFailure, GiniTimeout, GiniUnavailable, UnexpectedResponse.
	ConditionCredentialsAccepted = "CredentialsAccepted"

	// ConditionDerivedUsersAccepted says whether Gini lets a GiniClient have derived users, as far as it was asked: /login, with the client
	// credentials. It is absent until then, and while they cannot be used: CredentialsAccepted says why.
	//
	// True: CredentialsAccepted. False: DerivedUsersRefused, CredentialsRejected.
	ConditionDerivedUsersAccepted = "DerivedUsersAccepted"

	// ConditionAnonymousUsersAccepted says whether Gini lets a GiniClient have anonymous users, as far as it was asked: the User Center.
	// It is absent until then, and while the credentials cannot be used: CredentialsAccepted says why.
	//
	// True: CredentialsAccepted. False: AnonymousUsersRefused, CredentialsRejected.
	ConditionAnonymousUsersAccepted = "AnonymousUsersAccepted"

	// ConditionIdentityProviderReady says whether JWTs of a GiniClient with spec.identityProvider can be had, and are accepted by Gini
	// as far as it was asked. Clients without an identity provider do not have it.
	//
	// True: JWTsReady. False: SigningKeyNotFound, SigningKeyInvalid, SigningKeySecretConflict, ClaimsInvalid, SecretNotWritten, HostNotAllowed,
	// IdentityProviderSecretNotFound, IdentityProviderSecretInvalid, JWTRejected, IdentityProviderRejected,
	// IdentityProviderUnreachable, IdentityProviderUnavailable, IdentityProviderUnexpected. Unknown: NotYetUsed, and
	// the reason for which the client cannot be used at all.
	ConditionIdentityProviderReady = "IdentityProviderReady"

	// ConditionReconciling is True while the operator still has something to do; kstatus reads it as InProgress. It is absent otherwise.
	ConditionReconciling = "Reconciling"

	// ConditionArrivesLate is True as a warning, beside Ready: the Secrets are as they must be, but pods that read them may use an expired
	// credential. It is absent otherwise.
	//
	// True: ReadOnce, RestartsOff, NudgesOff, StickyTokens, LifetimeTooShort.
	ConditionArrivesLate = "ArrivesLate"

	// ConditionWithoutEffect is True as a warning, beside Ready: a part of a GiniClient's spec, or of what it names, has no effect. It is
	// absent otherwise.
	//
	// True: GrantWithoutEffect, CABundleIncomplete.
	ConditionWithoutEffect = "WithoutEffect"

	// ConditionStalled is True where only a person can help; kstatus reads it as Failed. It is absent otherwise.
	ConditionStalled = "Stalled"
)

// Reasons of conditions and Events in good times.
const (
	// ReasonPending: not looked at yet.
	ReasonPending = "Pending"
	// ReasonCredentialsReady: all Secrets hold credentials that work.
	ReasonCredentialsReady = "CredentialsReady"
	// ReasonSuspended: spec.suspend is set; nothing but the status is written.
	ReasonSuspended = "Suspended"
	// ReasonClientResolved: the client exists and serves this user.
	ReasonClientResolved = "ClientResolved"
	// ReasonAccountReady: the account exists.
	ReasonAccountReady = "AccountReady"
	// ReasonAccountCreated: an account was made at Gini (Event).
	ReasonAccountCreated = "AccountCreated"
	// ReasonAccountRecreated: an account that Gini no longer knows was replaced by another (Event).
	ReasonAccountRecreated = "AccountRecreated"
	// ReasonSecretsWritten: all Secrets are as the spec wants them.
	ReasonSecretsWritten = "SecretsWritten"
	// ReasonSecretDeleted: a device's Secret was deleted that the spec no longer asks for, or no grant covers (Event).
	ReasonSecretDeleted = "SecretDeleted"
	// ReasonSecretRenamed: a device's Secret was made under another name, and deleted under the old one (Event).
	ReasonSecretRenamed = "SecretRenamed"
	// ReasonSecretRepaired: a device's Secret that somebody changed or deleted was put right (Event).
	ReasonSecretRepaired = "SecretRepaired"
	// ReasonSecretRecreated: a device's Secret was deleted and made again, as its type cannot be changed (Event).
	ReasonSecretRecreated = "SecretRecreated"
	// ReasonSecretTakenOver: a device's Secret was handed over, or found again after a restore (Event).
	ReasonSecretTakenOver = "SecretTakenOver"
	// ReasonLifetimeUnknown: Gini did not say how long the token lives; an hour is assumed.
	ReasonLifetimeUnknown = "LifetimeUnknown"
	// ReasonStickyTokens: Gini gives a new token only once the old one has ended, so there are short gaps.
	ReasonStickyTokens = "StickyTokens"
	// ReasonReadOnce: a pod reads a Secret as environment variables or through a subPath, which never show a new credential.
	ReasonReadOnce = "ReadOnce"
	// ReasonLifetimeTooShort: the token lives too short for a kubelet to show each new one in time.
	ReasonLifetimeTooShort = "LifetimeTooShort"
	// ReasonNudgesOff: spec.devices asks for nudges, which the operator is not allowed to give.
	ReasonNudgesOff = "NudgesOff"
	// ReasonRestartsOff: spec.devices asks for restarts, which the operator is not allowed to make.
	ReasonRestartsOff = "RestartsOff"
	// ReasonRestarted: a workload was restarted, as what its pods read has changed (Event on the workload).
	ReasonRestarted = "Restarted"
	// ReasonRestartNotAllowed: a workload that spec.devices names in rolloutRestart does not exist, does not consent, or cannot be
	// restarted (Event).
	ReasonRestartNotAllowed = "RestartNotAllowed"
	// ReasonRestartTooOften: a credential lives too short for the restarts that a workload allows: it is not restarted at all (Event).
	ReasonRestartTooOften = "RestartTooOften"
	// ReasonTokenRefreshed: a new token was got because a person asked for one (Event).
	ReasonTokenRefreshed = "TokenRefreshed"
	// ReasonRefreshHadNoEffect: a person asked for a new token, but a login gives the same one, and Gini gave no refresh token (Event).
	ReasonRefreshHadNoEffect = "RefreshHadNoEffect"
	// ReasonCredentialsAccepted: Gini accepted the client credentials.
	ReasonCredentialsAccepted = "CredentialsAccepted"
	// ReasonJWTsReady: the operator signs JWTs with a key that is published, or the customer's identity provider gives them.
	ReasonJWTsReady = "JWTsReady"
	// ReasonSigningKeyCreated: a managed signing key was made, the first of its GiniClient (Event).
	ReasonSigningKeyCreated = "SigningKeyCreated"
	// ReasonSigningKeyPublished: a key is published that does not sign yet (Event).
	ReasonSigningKeyPublished = "SigningKeyPublished"
	// ReasonSigningKeyRotated: a published key began to sign (Event).
	ReasonSigningKeyRotated = "SigningKeyRotated"
	// ReasonSigningKeyReplaced: a key that was brought along signs at once, without having been published (Event).
	ReasonSigningKeyReplaced = "SigningKeyReplaced"
	// ReasonSigningKeyWithdrawn: a key that signs no more left the JWK Set (Event).
	ReasonSigningKeyWithdrawn = "SigningKeyWithdrawn"
	// ReasonSigningKeyLost: a managed signing key is gone, and another was made (Event).
	ReasonSigningKeyLost = "SigningKeyLost"
	// ReasonSigningKeyRolled: the signing key was replaced at once, as a person asked for it (Event).
	ReasonSigningKeyRolled = "SigningKeyRolled"
	// ReasonNotVerified: other client credentials are in use than Gini accepted before, and it has not said yet what it thinks of them.
	ReasonNotVerified = "NotVerified"
	// ReasonGrantWithoutEffect: a grant lets nobody use the client who could not without it.
	ReasonGrantWithoutEffect = "GrantWithoutEffect"
	// ReasonCABundleIncomplete: not everything in the CA bundle is a certificate that can be read; those that can be are used.
	ReasonCABundleIncomplete = "CABundleIncomplete"
	// ReasonNotYetUsed: nothing has been asked of Gini with these client credentials yet, or of the identity provider.
	ReasonNotYetUsed = "NotYetUsed"
)

// Reasons that belong to a GiniClient, or to the way from a GiniUser to it.
const (
	// ReasonClientNotFound: there is no such GiniClient in the user's own namespace.
	ReasonClientNotFound = "ClientNotFound"
	// ReasonClientNotGranted: no grant lets this namespace use the client; that it does not exist looks the same.
	ReasonClientNotGranted = "ClientNotGranted"
	// ReasonDeviceNotGranted: the grant does not cover this kind of device.
	ReasonDeviceNotGranted = "DeviceNotGranted"
	// ReasonIdentifierNotGranted: the identifier does not begin with the prefix that the grant demands.
	ReasonIdentifierNotGranted = "IdentifierNotGranted"
	// ReasonAnonymousUsersNotEnabled: the client has no spec.anonymousUsers.
	ReasonAnonymousUsersNotEnabled = "AnonymousUsersNotEnabled"
	// ReasonHostNotAllowed: the host of an endpoint that is used is not in the operator's list of allowed hosts.
	ReasonHostNotAllowed = "HostNotAllowed"
	// ReasonClientSecretNotFound: the credentials Secret does not exist.
	ReasonClientSecretNotFound = "ClientSecretNotFound"
	// ReasonClientSecretInvalid: the credentials Secret lacks a key, or a value of it cannot be a credential.
	ReasonClientSecretInvalid = "ClientSecretInvalid"
	// ReasonIdentityProviderNotConfigured: the client has no spec.identityProvider, which a user with auth JWT needs.
	ReasonIdentityProviderNotConfigured = "IdentityProviderNotConfigured"
	// ReasonSigningKeyNotFound: the Secret of the signing key, or its key, does not exist yet.
	ReasonSigningKeyNotFound = "SigningKeyNotFound"
	// ReasonSigningKeyInvalid: what stands in the Secret of the signing key is no private key that fits the algorithm.
	ReasonSigningKeyInvalid = "SigningKeyInvalid"
	// ReasonSigningKeySecretConflict: the key is to be managed, and somebody else made a Secret of that name.
	ReasonSigningKeySecretConflict = "SigningKeySecretConflict"
	// ReasonClaimsInvalid: a further claim of the signer has no value, or they are too long in all.
	ReasonClaimsInvalid = "ClaimsInvalid"
	// ReasonIdentityProviderSecretNotFound: the Secret with the credentials for the identity provider does not exist.
	ReasonIdentityProviderSecretNotFound = "IdentityProviderSecretNotFound"
	// ReasonIdentityProviderSecretInvalid: the Secret with the credentials for the identity provider lacks a key, or a
	// value of it cannot be a credential.
	ReasonIdentityProviderSecretInvalid = "IdentityProviderSecretInvalid"
	// ReasonJWTRejected: Gini refuses the client's JWTs.
	ReasonJWTRejected = "JWTRejected"
	// ReasonIdentityProviderRejected: the identity provider refuses the operator's credentials.
	ReasonIdentityProviderRejected = "IdentityProviderRejected"
	// ReasonIdentityProviderUnreachable: no connection to the identity provider, or no answer in time.
	ReasonIdentityProviderUnreachable = "IdentityProviderUnreachable"
	// ReasonIdentityProviderUnavailable: the identity provider answers with a server error, or that it is asked too often.
	ReasonIdentityProviderUnavailable = "IdentityProviderUnavailable"
	// ReasonIdentityProviderUnexpected: the identity provider answers something else than a JWT of its issuer for this client.
	ReasonIdentityProviderUnexpected = "IdentityProviderUnexpected"
	// ReasonCABundleNotFound: the ConfigMap or Secret of spec.tls.caBundleRef, or its key, does not exist.
	ReasonCABundleNotFound = "CABundleNotFound"
	// ReasonCABundleInvalid: the bundle holds no certificate that can be read, or is too large.
	ReasonCABundleInvalid = "CABundleInvalid"
	// ReasonCredentialsRejected: Gini refuses the client id or the client secret.
	ReasonCredentialsRejected = "CredentialsRejected"
	// ReasonAnonymousUsersRefused: Gini's User Center refuses this client, and /login accepts it: it may have derived users only.
	ReasonAnonymousUsersRefused = "AnonymousUsersRefused"
	// ReasonDerivedUsersRefused: Gini's /login refuses this client, and the User Center accepts it: it may have anonymous users only.
	ReasonDerivedUsersRefused = "DerivedUsersRefused"
	// ReasonRateLimited: Gini answers 429, too many requests.
	ReasonRateLimited = "RateLimited"
	// ReasonGiniUnreachable: no connection to the host.
	ReasonGiniUnreachable = "GiniUnreachable"
	// ReasonTLSFailure: the host's certificate cannot be verified, or TLS fails otherwise.
	ReasonTLSFailure = "TLSFailure"
	// ReasonGiniTimeout: no answer in time.
	ReasonGiniTimeout = "GiniTimeout"
	// ReasonGiniUnavailable: Gini answers with a server error.
	ReasonGiniUnavailable = "GiniUnavailable"
	// ReasonUnexpectedResponse: an answer that is not Gini's API: HTML, a redirect, an oversized or broken body.
	ReasonUnexpectedResponse = "UnexpectedResponse"
)

// Reasons that belong to a GiniUser.
const (
	// ReasonIdentifierSecretNotFound: the Secret of derived.identifierSecretRef, or its key, does not exist yet.
	ReasonIdentifierSecretNotFound = "IdentifierSecretNotFound"
	// ReasonIdentifierInvalid: the Secret's value cannot be an identifier.
	ReasonIdentifierInvalid = "IdentifierInvalid"
	// ReasonIdentifierChanged: the Secret holds another identifier than before.
	ReasonIdentifierChanged = "IdentifierChanged"
	// ReasonIdentifierInUse: another GiniUser is the same derived user.
	ReasonIdentifierInUse = "IdentifierInUse"
	// ReasonAccountInUse: another GiniUser uses the same account Secret.
	ReasonAccountInUse = "AccountInUse"
	// ReasonAccountSecretNotFound: mode is Existing, and the account Secret does not exist yet.
	ReasonAccountSecretNotFound = "AccountSecretNotFound"
	// ReasonAccountSecretMissing: the account Secret is gone, though its account was made.
	ReasonAccountSecretMissing = "AccountSecretMissing"
	// ReasonAccountSecretInvalid: the account Secret lacks the e-mail address or the password, or has unusable ones.
	ReasonAccountSecretInvalid = "AccountSecretInvalid"
	// ReasonAccountSecretConflict: mode is Managed, and somebody else made a Secret of that name.
	ReasonAccountSecretConflict = "AccountSecretConflict"
	// ReasonAccountOfAnotherClient: the account was made by another client id, or at another User Center.
	ReasonAccountOfAnotherClient = "AccountOfAnotherClient"
	// ReasonAccountRejected: Gini refuses the account's e-mail address and password, and does not make an account with them.
	ReasonAccountRejected = "AccountRejected"
	// ReasonEmailDomainRefused: Gini makes no account with a new e-mail address at the client's emailDomain.
	ReasonEmailDomainRefused = "EmailDomainRefused"
	// ReasonAccountLost: Gini no longer knows the account.
	ReasonAccountLost = "AccountLost"
	// ReasonLoginRefused: Gini refuses to log this user in, though it accepts the client.
	ReasonLoginRefused = "LoginRefused"
	// ReasonJWTNotIssued: the identity provider gives no JWT for this user, or one for somebody else.
	ReasonJWTNotIssued = "JWTNotIssued"
	// ReasonConflict: a Secret of the wanted name belongs to somebody else.
	ReasonConflict = "Conflict"
	// ReasonContended: somebody keeps changing the Secret.
	ReasonContended = "Contended"
	// ReasonSecretNotWritten: the API server refuses to write the Secret.
	ReasonSecretNotWritten = "SecretNotWritten"
	// ReasonNameClash: the Secret's name is that of a Secret which holds an account or client credentials.
	ReasonNameClash = "NameClash"
)
