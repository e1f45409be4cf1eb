package v1alpha1_test

const group = "apiVersion: credentials.gini.net/v1alpha1\n"

// bases are valid objects, each with as little as it takes for what is changed in it.
var bases = map[string]string{
	"derived": group + `
kind: GiniUser
metadata: {generateName: alice-}
spec:
  clientRef: {name: acme}
  derived: {identifier: team-a-8f1c, auth: Basic}
  devices: {untrusted: {secret: {name: alice-token}}}`,

	"by Secret": group + `
kind: GiniUser
metadata: {generateName: alice-}
spec:
  clientRef: {name: acme, namespace: payments}
  derived: {identifierSecretRef: {name: alice-identifier, key: id}, auth: Basic}
  devices: {untrusted: {secret: {name: alice-token}}}`,

	"trusted": group + `
kind: GiniUser
metadata: {generateName: alice-}
spec:
  clientRef: {name: acme}
  derived: {identifier: team-a-8f1c, auth: Basic}
  devices: {trusted: {secret: {name: alice-backend}}}`,

	"JWT": group + `
kind: GiniUser
metadata: {generateName: alice-}
spec:
  clientRef: {name: acme}
  derived: {identifier: team-a-8f1c, auth: JWT}
  devices: {untrusted: {secret: {name: alice-token}}}`,

	"trusted JWT": group + `
kind: GiniUser
metadata: {generateName: alice-}
spec:
  clientRef: {name: acme}
  derived: {identifierSecretRef: {name: alice-identifier, key: id}, auth: JWT}
  devices: {trusted: {secret: {name: alice-backend, data: {GINI_JWT: $(jwt), header.txt: "X-JWT-Authorization: $(x_jwt_authorization)"}}}}`,

	"anonymous": group + `
kind: GiniUser
metadata: {generateName: alice-}
spec:
  clientRef: {name: acme}
  anonymous: {accountSecret: {name: alice-account}}
  devices: {untrusted: {secret: {name: alice-token}}}`,

	"client": group + `
kind: GiniClient
metadata: {generateName: acme-}
spec:
  credentialsSecretRef: {name: acme-gini}`,

	"signer": group + `
kind: GiniClient
metadata: {generateName: acme-}
spec:
  credentialsSecretRef: {name: acme-gini}
  identityProvider: {signer: {issuer: https://id.acme.example, key: {managed: {secretName: acme-signing-key}}}}`,

	"signer by Secret": group + `
kind: GiniClient
metadata: {generateName: acme-}
spec:
  credentialsSecretRef: {name: acme-gini}
  identityProvider: {signer: {issuer: https://id.acme.example, key: {secretRef: {name: acme-own-key, key: tls.key}}}}`,

	"oauth2": group + `
kind: GiniClient
metadata: {generateName: acme-}
spec:
  credentialsSecretRef: {name: acme-gini}
  identityProvider:
    oauth2: {tokenURL: https://id.acme.example/oauth2/token, clientCredentialsSecretRef: {name: acme-id}, issuer: https://id.acme.example}`,

	"full client": group + `
kind: GiniClient
metadata: {generateName: acme-}
spec:
  credentialsSecretRef: {name: acme-gini, clientIDKey: id, clientSecretKey: secret}
  endpoints:
    payAPI: {url: https://pay-api.gini.net/v1, mediaType: application/vnd.gini.v1+json}
    userCenter: {url: "https://user.gini.net:8443"}
  tls: {caBundleRef: {kind: ConfigMap, name: ca, key: ca.crt}}
  anonymousUsers: {emailDomain: users.acme.example, onAccountLost: Stall}
  grants:
  - namespaceSelector:
      matchLabels: {kubernetes.io/metadata.name: team-a}
      matchExpressions: [{key: acme.example/blocked, operator: DoesNotExist}]
    devices: [Untrusted, Trusted]
    identifierPrefix: team-a-
  requests: {ratePerSecond: 20, maxInFlight: 8}`,

	"full signer": group + `
kind: GiniClient
metadata: {generateName: acme-}
spec:
  credentialsSecretRef: {name: acme-gini}
  tls: {caBundleRef: {kind: Secret, name: acme-ca}}
  identityProvider:
    signer:
      issuer: https://id.acme.example
      algorithm: ES384
      tokenLifetime: 1h30m
      claimNames: {userIdentifier: sub, clientID: "https://acme.example/client_id", clientSecret: x-client-secret}
      claims: [{name: aud, value: [https://pay-api.gini.net]}, {name: x-user-identifier, value: unused}, {name: tier, value: ""}, {name: big, value: 9007199254740993}, {name: more, value: {b: [true, null], a: 1.5}}]
      key: {managed: {secretName: acme-signing-key, rotationInterval: 720h}}`,

	"full signer by Secret": group + `
kind: GiniClient
metadata: {generateName: acme-}
spec:
  credentialsSecretRef: {name: acme-gini}
  identityProvider:
    signer:
      issuer: acme
      algorithm: PS256
      tokenLifetime: 5m
      claimNames: {}
      claims: [{name: aud, value: https://pay-api.gini.net}]
      key: {secretRef: {name: acme-own-key, key: tls.key, nextKey: next.key}}`,

	"full oauth2": group + `
kind: GiniClient
metadata: {generateName: acme-}
spec:
  credentialsSecretRef: {name: acme-gini}
  tls: {caBundleRef: {kind: ConfigMap, name: acme-ca}}
  identityProvider:
    oauth2:
      tokenURL: https://id.acme.example:8443/realms/gini/token?policy=p1
      clientCredentialsSecretRef: {name: acme-id, clientIDKey: id, clientSecretKey: secret}
      clientAuthentication: RawBasic
      userIdentifierParameter: username
      parameters: {audience: https://pay-api.gini.net, resource: "urn:gini: €"}
      scopes: [gini, "urn:acme:read"]
      issuer: https://id.acme.example/realms/gini
      claimNames: {userIdentifier: preferred_username, clientID: azp}`,

	"full user": group + `
kind: GiniUser
metadata: {generateName: alice-}
spec:
  clientRef: {name: acme, namespace: payments}
  derived: {identifier: team-a-8f1c, auth: Basic}
  devices:
    untrusted:
      secret:
        name: alice-token
        type: credentials.gini.net/token
        labels: {team: a, acme.example/tier: gold, empty: ""}
        annotations: {acme.example/note: "anything at all: €"}
        data: {GINI_TOKEN: $(access_token), header.txt: "Authorization: $(authorization) $$(access_token)"}
        deletionPolicy: Retain
    trusted: {secret: {name: alice-backend, type: Opaque, data: {USER: $(user_identifier)}}}
  renewal: {before: 30m, verifyInterval: 1h}
  suspend: true`,

	"full anonymous user": group + `
kind: GiniUser
metadata: {generateName: alice-}
spec:
  clientRef: {name: acme}
  anonymous: {accountSecret: {name: alice-account, mode: Existing}}
  devices: {untrusted: {secret: {name: alice-token, deletionPolicy: Delete}}}
  renewal: {before: 1s}
  suspend: false`,
}
