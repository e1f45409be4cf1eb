package controller_test

import (
	"context"
	"net/http"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// jwtTroubles is what can go wrong with JWTs; see troubles.
var jwtTroubles = map[string]trouble{
	api.ReasonIdentityProviderNotConfigured: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "set its spec.identityProvider", event: onUser,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			w.giniClient(ctx)
			user.Spec.Derived.Auth = api.JWTAuth
			user.Spec.Devices = api.Devices{Trusted: trusted("alice-backend")}
		},
		mend: func(ctx context.Context, w *world) {
			w.updateClient(ctx, signs)
			w.clientReconciled(ctx)
		},
	},
	api.ReasonSigningKeyNotFound: {
		condition: api.ConditionClientResolved, kstatus: status.InProgressStatus, says: "create the Secret and key", event: onClient,
		arrange: signing(func(_ context.Context, _ *world, object *api.GiniClient) { bringsKey(object) }),
		mend: func(ctx context.Context, w *world) {
			w.secret(ctx, "brought", map[string]string{"now": keyPEM(identity.ES256)})
		},
	},
	api.ReasonSigningKeyInvalid: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "must hold a private key in PEM", event: onClient,
		arrange: signing(func(ctx context.Context, w *world, object *api.GiniClient) {
			bringsKey(object)
			w.secret(ctx, "brought", map[string]string{"now": marker})
		}),
		mend: func(ctx context.Context, w *world) {
			w.updateSecret(ctx, "brought", map[string]string{"now": keyPEM(identity.ES256)})
		},
	},
	api.ReasonSigningKeySecretConflict: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "put the labels back", event: onClient,
		arrange: signing(func(ctx context.Context, w *world, _ *api.GiniClient) {
			w.secret(ctx, "acme-key", map[string]string{"x": "y"})
		}),
		mend: func(ctx context.Context, w *world) {
			w.delete(ctx, &corev1.Secret{}, "acme-key")
			w.clientReconciled(ctx)
		},
	},
	api.ReasonClaimsInvalid: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "under 4096 characters", event: onClient,
		arrange: signing(func(_ context.Context, _ *world, object *api.GiniClient) {
			long := apiextensionsv1.JSON{Raw: []byte(`"` + strings.Repeat("v", 4096) + `"`)}
			object.Spec.IdentityProvider.Signer.Claims = []api.Claim{{Name: "note", Value: long}}
		}),
		mend: func(ctx context.Context, w *world) {
			w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.IdentityProvider.Signer.Claims = nil })
			w.clientReconciled(ctx)
		},
	},
	api.ReasonIdentityProviderSecretNotFound: {
		condition: api.ConditionClientResolved, kstatus: status.InProgressStatus, says: "clientCredentialsSecretRef", event: onClient,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			byProvider(nil)(ctx, w, user)
			w.delete(ctx, &corev1.Secret{}, "provider")
		},
		mend: func(ctx context.Context, w *world) {
			w.secret(ctx, "provider", map[string]string{"client-id": providerID, "client-secret": providerSecret})
		},
	},
	api.ReasonIdentityProviderSecretInvalid: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "write both keys anew", event: onClient,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			byProvider(nil)(ctx, w, user)
			w.updateSecret(ctx, "provider", map[string]string{"client-secret": providerSecret + "\n"})
		},
		mend: func(ctx context.Context, w *world) {
			w.updateSecret(ctx, "provider", map[string]string{"client-secret": providerSecret})
		},
	},
	api.ReasonJWTRejected: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "check with Gini the issuer", event: onClient,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			w.signingClient(ctx)
			w.gini.SetJWT(clientID, emulator.JWT{Issuer: "https://somebody.else.example", JWKSURL: w.url + "/keys"})
			user.Spec.Derived.Auth = api.JWTAuth
		},
		mend: func(ctx context.Context, w *world) { // what the operator can see: Gini's own repair is seen at the next probe
			p := newPublisher()
			w.gini.SetJWT(clientID, emulator.JWT{Issuer: issuer, JWKSURL: p.address(w)})
			w.updateClient(ctx, func(object *api.GiniClient) {
				metav1.SetMetaDataAnnotation(&object.ObjectMeta, api.KeyRollRequestedAnnotation, "now")
			})
			w.clientReconciled(ctx)
			p.publish(ctx, w)
		},
	},
	api.ReasonJWTNotIssued: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "check that it knows the identifier", event: onUser,
		arrange: byProvider(func(p *customersProvider) {
			p.claims = func(claims jwt.MapClaims) { claims["x-user-identifier"] = "somebody" }
		}),
		mend: wellProvider,
	},
	api.ReasonIdentityProviderRejected: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "oauth2.clientCredentialsSecretRef", event: onClient,
		arrange: byProvider(func(p *customersProvider) { p.secret = "rotated" }),
		mend: func(ctx context.Context, w *world) {
			w.updateSecret(ctx, "provider", map[string]string{"client-secret": "rotated"})
		},
	},
	api.ReasonIdentityProviderUnreachable: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "check its oauth2.tokenURL", event: onClient,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			byProvider(nil)(ctx, w, user)
			w.updateClient(ctx, func(object *api.GiniClient) {
				object.Spec.IdentityProvider.OAuth2.TokenURL = "http://127.0.0.1:1/token"
			})
		},
		mend: func(ctx context.Context, w *world) { w.updateClient(ctx, w.provider.spec) },
	},
	api.ReasonIdentityProviderUnavailable: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "tried again", event: onClient,
		arrange: byProvider(func(p *customersProvider) { p.status, p.body = http.StatusBadGateway, "server_error" }),
		mend:    wellProvider,
	},
	api.ReasonIdentityProviderUnexpected: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "issuer and claimNames", event: onClient,
		arrange: byProvider(func(p *customersProvider) {
			p.claims = func(claims jwt.MapClaims) { claims["iss"] = "https://somebody.else.example" }
		}),
		mend: wellProvider,
	},
}
