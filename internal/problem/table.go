package problem

import api "github.com/gini-operator/gini-operator/api/v1alpha1"

// table maps a reason to its reaction. A test produces each of them by real requests, and fails for one that it cannot produce.
//
//nolint:lll // sentences for people are easier to review on one line each
var table = map[string]Reaction{
	// The way to the client.
	api.ReasonClientNotFound: {
		Condition: api.ConditionClientResolved, Event: true, Retry: Wait,
		Message: "GiniClient %s does not exist in this namespace. Create it, or make a new GiniUser that names another one in spec.clientRef",
	},
	api.ReasonClientNotGranted: {
		Condition: api.ConditionClientResolved, Event: true, Retry: Wait,
		Message: "GiniClient %s does not exist, or has no grant for this namespace. Ask its owner for an entry in its spec.grants",
	},
	api.ReasonDeviceNotGranted: {
		Condition: api.ConditionClientResolved, Event: true, Retry: Stall,
		Message: "GiniClient %s grants this namespace no %s devices. Ask its owner to add the device to spec.grants, or remove it from spec.devices",
	},
	api.ReasonIdentifierNotGranted: {
		Condition: api.ConditionClientResolved, Event: true, Retry: Stall,
		Message: "GiniClient %s grants this namespace only identifiers that begin with the identifierPrefix in its spec.grants. Use such an identifier in a new GiniUser, or ask its owner for another grant",
	},
	api.ReasonAnonymousUsersNotEnabled: {
		Condition: api.ConditionClientResolved, Event: true, Retry: Stall,
		Message: "GiniClient %s serves no anonymous users, as it has no spec.anonymousUsers. Set that, or use a derived user",
	},
	api.ReasonHostNotAllowed: {
		Condition: api.ConditionClientResolved, Retry: Stall,
		Message: "GiniClient %s uses a host that is not in the operator's --allowed-hosts: its status names the host and the field",
	},
	api.ReasonClientSecretNotFound: {
		Condition: api.ConditionClientResolved, Retry: Wait,
		Message: "The credentials Secret of GiniClient %s does not exist: create the Secret that its spec.credentialsSecretRef names",
	},
	api.ReasonClientSecretInvalid: {
		Condition: api.ConditionClientResolved, Retry: Stall,
		Message: "The credentials Secret of GiniClient %s lacks a key, or holds a value with a control character such as a trailing newline: write both keys anew (with `kubectl create secret`, or echo -n)",
	},
	api.ReasonCABundleNotFound: {
		Condition: api.ConditionClientResolved, Retry: Wait,
		Message: "The CA bundle of GiniClient %s does not exist or is empty: create the object and key that its spec.tls.caBundleRef names",
	},
	api.ReasonCABundleInvalid: {
		Condition: api.ConditionClientResolved, Retry: Stall,
		Message: "The CA bundle of GiniClient %s holds no certificate in PEM that can be read, or is too large: its status says what is wrong with it",
	},

	// The client's identity provider, for users with auth JWT.
	api.ReasonIdentityProviderNotConfigured: {
		Condition: api.ConditionClientResolved, Event: true, Retry: Stall,
		Message: "GiniClient %s has no identity provider, which auth: JWT needs: set its spec.identityProvider, or use auth: Basic",
	},
	api.ReasonSigningKeyNotFound: {
		Condition: api.ConditionClientResolved, Retry: Wait,
		Message: "The signing key of GiniClient %s does not exist yet: create the Secret and key that its signer.key.secretRef names",
	},
	api.ReasonSigningKeyInvalid: {
		Condition: api.ConditionClientResolved, Retry: Stall,
		Message: "The signing key of GiniClient %s cannot be used: its Secret must hold a private key in PEM, without a passphrase, that fits spec.identityProvider.signer.algorithm",
	},
	api.ReasonSigningKeySecretConflict: {
		Condition: api.ConditionClientResolved, Retry: Stall,
		Message: "The Secret for the managed signing key of GiniClient %s exists, and does not have the labels of one that was made for it, or is a copy: put the labels back, take the annotation credentials.gini.net/record of a copy away, delete the Secret, or make the GiniClient anew with another key.managed.secretName or with key.secretRef",
	},
	api.ReasonClaimsInvalid: {
		Condition: api.ConditionClientResolved, Retry: Stall,
		Message: "The further claims of GiniClient %s cannot be used: in its spec.identityProvider.signer.claims give each a value that is not null, and keep them under 4096 characters in all",
	},
	api.ReasonIdentityProviderSecretNotFound: {
		Condition: api.ConditionClientResolved, Retry: Wait,
		Message: "The Secret with the credentials for the identity provider of GiniClient %s does not exist: create the Secret that its oauth2.clientCredentialsSecretRef names",
	},
	api.ReasonIdentityProviderSecretInvalid: {
		Condition: api.ConditionClientResolved, Retry: Stall,
		Message: "The Secret with the credentials for the identity provider of GiniClient %s lacks a key, or holds a value with a control character such as a trailing newline, or with clientAuthentication RawBasic a client id with a colon: write both keys anew",
	},

	// The identifier of a derived user.
	api.ReasonIdentifierSecretNotFound: {
		Condition: api.ConditionClientResolved, Event: true, Retry: Wait,
		Message: "Secret %s, which spec.derived.identifierSecretRef names, does not exist or lacks the key %s. Create it with the identifier",
	},
	api.ReasonIdentifierInvalid: {
		Condition: api.ConditionClientResolved, Event: true, Retry: Stall,
		Message: "Key %[2]s of Secret %[1]s is no identifier. It must be 1 to 256 characters of printable ASCII, without a space or newline at its ends (use echo -n)",
	},
	api.ReasonIdentifierChanged: {
		Condition: api.ConditionClientResolved, Event: true, Retry: Stall,
		Message: "Secret %s holds another identifier than before, which is another user with other documents. Put the old one back, or create another GiniUser",
	},
	api.ReasonIdentifierInUse: {
		Condition: api.ConditionClientResolved, Event: true, Retry: Stall,
		Message: "This identifier is already used by %s. Use that GiniUser, or choose another identifier",
	},

	// The account of an anonymous user.
	api.ReasonAccountInUse: {
		Condition: api.ConditionAccountReady, Event: true, Retry: Stall,
		Message: "Account Secret %[1]s is already used by GiniUser %[2]s. Use that GiniUser, or name another account Secret in a new one",
	},
	api.ReasonAccountSecretNotFound: {
		Condition: api.ConditionAccountReady, Event: true, Retry: Wait,
		Message: "Account Secret %s does not exist. Create it with the keys email and password, or make a new GiniUser without mode: Existing",
	},
	api.ReasonAccountSecretMissing: {
		Condition: api.ConditionAccountReady, Event: true, Retry: Stall,
		Message: "Account Secret %s is gone, and with it the password of an account at Gini. Restore it from a backup, or create another GiniUser for another account",
	},
	api.ReasonAccountSecretInvalid: {
		Condition: api.ConditionAccountReady, Event: true, Retry: Stall,
		Message: "Account Secret %s lacks the key email or password, or one of them holds a control character such as a newline. Correct it",
	},
	api.ReasonAccountSecretConflict: {
		Condition: api.ConditionAccountReady, Event: true, Retry: Stall,
		Message: "Secret %s exists, and was not made for the account of a GiniUser of this name in this namespace: create a new GiniUser that names another account Secret, or uses this one as it is by mode: Existing; a copy that is to be used is handed over by taking its annotation credentials.gini.net/record away",
	},
	api.ReasonAccountOfAnotherClient: {
		Condition: api.ConditionAccountReady, Event: true, Retry: Stall,
		Message: "The account in Secret %s belongs to another client id or another User Center than GiniClient %s has now. Set those back, or create another GiniUser for another account",
	},
	api.ReasonAccountRejected: {
		Condition: api.ConditionAccountReady, Event: true, Retry: Stall,
		Message: "Gini refuses the e-mail address and password in account Secret %s. Put the right ones in, or create another GiniUser for another account",
	},
	api.ReasonEmailDomainRefused: {
		Condition: api.ConditionAccountReady, Event: true, Retry: Stall,
		Message: "Gini makes no account with the e-mail address in account Secret %s. Agree with Gini on spec.anonymousUsers.emailDomain of GiniClient %s and correct it; if it was right, delete that Secret, which holds no account yet",
	},
	api.ReasonAccountLost: {
		Condition: api.ConditionAccountReady, Event: true, Retry: Stall,
		Message: "Gini no longer knows the account in Secret %s. Create another GiniUser for another account, or set spec.anonymousUsers.onAccountLost: Recreate at its GiniClient",
	},

	// The devices' Secrets.
	api.ReasonConflict: {
		Condition: api.ConditionSecretsWritten, Event: true, Retry: Stall,
		Message: "Secret %[1]s is left alone, and nothing is written into it: %[2]s",
	},
	api.ReasonContended: {
		Condition: api.ConditionSecretsWritten, Event: true, Retry: Backoff,
		Message: "%[2]s keeps changing Secret %[1]s, and the operator repairs it less and less often: stop that writer, or choose another name",
	},
	api.ReasonNameClash: {
		Condition: api.ConditionSecretsWritten, Event: true, Retry: Stall,
		Message: "Secret %s already serves another purpose: %s. Choose another name for the device's Secret",
	},
	api.ReasonSecretNotWritten: {
		Condition: api.ConditionSecretsWritten, Event: true, Retry: Backoff,
		Message: "Secret %s cannot be written (%s): it is tried again at least every minute; where the API server refuses it, the audit log says more",
	},
	api.ReasonLoginRefused: {
		Condition: api.ConditionSecretsWritten, Event: true, Retry: Backoff,
		Message: "Gini accepts GiniClient %s, and refuses to log this user in. Check its identifier or account, or ask Gini with the request id; the operator tries again after growing pauses",
	},

	api.ReasonJWTNotIssued: {
		Condition: api.ConditionSecretsWritten, Event: true, Retry: Backoff,
		Message: "The identity provider of GiniClient %s gives no JWT for this user, or one for somebody else: check that it knows the identifier, and the claimNames; it is tried again after growing pauses",
	},

	// The client as a whole: its own Event, its own probe.
	api.ReasonCredentialsRejected: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message:  "Gini rejects the credentials of GiniClient %s; see its status",
		OfClient: "Gini rejects the client id or the client secret of GiniClient %s: put the right ones into the Secret of spec.credentialsSecretRef, and they are used within seconds. Until then the operator tries at most three times an hour",
	},
	api.ReasonAnonymousUsersRefused: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message:  "Gini does not let GiniClient %s have anonymous users: ask Gini for that right, or use a derived user",
		OfClient: "Gini does not let GiniClient %s have anonymous users: its User Center refuses the credentials, which /login accepts. Ask Gini for that right, or remove spec.anonymousUsers",
	},
	api.ReasonDerivedUsersRefused: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message:  "Gini does not let GiniClient %s have derived users: ask Gini for that right, or use an anonymous user",
		OfClient: "Gini does not let GiniClient %s have derived users: /login refuses the credentials, which the User Center accepts. Ask Gini for that right",
	},
	api.ReasonRateLimited: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message:  "Gini answers GiniClient %s with 429, too many requests; see its status",
		OfUser:   "Gini answers requests of GiniClient %s for this user alone with 429, too many requests. The operator tries again when Gini allows it",
		OfClient: "Gini answers GiniClient %s with 429, too many requests. The operator tries again when Gini allows it; lower spec.requests if this happens often",
	},
	api.ReasonGiniUnreachable: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message:  "The operator cannot connect to the hosts of GiniClient %s; see its status",
		OfClient: "The operator cannot connect to the hosts of GiniClient %s: check spec.endpoints, DNS, proxies and network policies. It tries again at least every 15 seconds",
	},
	api.ReasonTLSFailure: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message:  "The TLS certificate of a host of GiniClient %s cannot be verified; see its status",
		OfClient: "The TLS certificate of a host of GiniClient %s cannot be verified: name its certificate authority in spec.tls.caBundleRef. The operator tries again at least every 15 seconds",
	},
	api.ReasonGiniTimeout: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message:  "Gini did not answer a request of GiniClient %s for this user in time. If its other users meet that too, its status says so",
		OfClient: "The hosts of GiniClient %s do not answer in time: check the way to them, and Gini's status. The operator tries again at least every 15 seconds",
	},
	api.ReasonGiniUnavailable: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message:  "Gini answers a request of GiniClient %s for this user with a server error. If its other users meet that too, its status says so",
		OfClient: "Gini answers GiniClient %s with a server error. The operator tries again at least every 15 seconds",
	},
	api.ReasonUnexpectedResponse: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message:  "What answers at the hosts of GiniClient %s does not speak Gini's API; see its status",
		OfClient: "What answers at the hosts of GiniClient %s does not speak Gini's API: check spec.endpoints and proxies. The operator tries again at least every 15 seconds",
	},
	api.ReasonJWTRejected: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message: "Gini refuses the JWTs of GiniClient %s: check with Gini the issuer, the claim names, and that it can fetch the JWK Set (status.jwks.path); a new key is known to Gini only once it has fetched the set again; it is tried again after a minute, and then every half hour",
	},
	api.ReasonIdentityProviderRejected: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message: "The identity provider of GiniClient %s refuses the operator's credentials: put the right ones into the Secret of oauth2.clientCredentialsSecretRef, which is acted on at once, or check oauth2.clientAuthentication; else it is tried again after a minute, and then every half hour",
	},
	api.ReasonIdentityProviderUnreachable: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message: "No connection to the identity provider of GiniClient %s, or no answer in time: check its oauth2.tokenURL, DNS, proxy, network policies, and the certificate (spec.tls.caBundleRef); it is tried again at least every 15 seconds",
	},
	api.ReasonIdentityProviderUnavailable: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message: "The identity provider of GiniClient %s answers with a server error, or that it is asked too often: it is tried again when it allows it, or after growing pauses of up to a minute",
	},
	api.ReasonIdentityProviderUnexpected: {
		Condition: api.ConditionSecretsWritten, Retry: WithClient,
		Message: "The identity provider of GiniClient %s answers no JWT of the configured issuer for this client, or refuses the request though not the credentials: check its oauth2.tokenURL, parameters, scopes, issuer and claimNames; it is tried again at least every 15 seconds",
	},
}
