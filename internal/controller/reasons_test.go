package controller_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// trouble is one thing that can go wrong, what people see of it, and how it is mended.
type trouble struct {
	// condition of the GiniUser that turns False.
	condition string
	// kstatus is what the kstatus library makes of it.
	kstatus status.Status
	// says is a part of the message: what to do. clientSays is what the GiniClient says where a user is told to look there.
	says, clientSays string
	// event is on the GiniUser, or on its GiniClient.
	event string
	// clientCondition of the GiniClient that turns False; Ready by default.
	clientCondition string
	// arrange makes everything but the user.
	arrange func(ctx context.Context, w *world, user *api.GiniUser)
	// then happens after a first reconcile, for trouble that comes later.
	then func(ctx context.Context, w *world, user *api.GiniUser)
	// mend puts it right; nil where only another GiniUser helps.
	mend func(ctx context.Context, w *world)
	// of another namespace than the client's.
	foreign bool
	// anonymous user instead of a derived one.
	anonymous bool
	// tls serves Gini by HTTPS.
	tls bool
	// impatient does not wait long for Gini.
	impatient bool
}

const (
	onUser   = "user"
	onClient = "client"
)

func update[T client.Object](ctx context.Context, object T, key client.ObjectKey, change func(T)) {
	GinkgoHelper()
	Expect(k8s.Get(ctx, key, object)).To(Succeed())
	change(object)
	Expect(k8s.Update(ctx, object)).To(Succeed())
}

func (w *world) updateClient(ctx context.Context, change func(*api.GiniClient)) {
	GinkgoHelper()
	update(ctx, &api.GiniClient{}, w.key("acme"), change)
}

func (w *world) updateSecret(ctx context.Context, name string, data map[string]string) {
	GinkgoHelper()
	update(ctx, &corev1.Secret{}, w.key(name), func(object *corev1.Secret) { object.StringData = data })
}

func (w *world) delete(ctx context.Context, object client.Object, name string) {
	GinkgoHelper()
	object.SetName(name)
	object.SetNamespace(w.namespace)
	Expect(k8s.Delete(ctx, object)).To(Succeed())
}

func justClient(ctx context.Context, w *world, _ *api.GiniUser) { w.giniClient(ctx) }

func clientWith(change func(w *world, object *api.GiniClient)) func(context.Context, *world, *api.GiniUser) {
	return func(ctx context.Context, w *world, _ *api.GiniUser) {
		w.giniClient(ctx, func(object *api.GiniClient) { change(w, object) })
	}
}

func failing(effect emulator.Effect, operations ...emulator.Operation) func(context.Context, *world, *api.GiniUser) {
	return func(ctx context.Context, w *world, _ *api.GiniUser) {
		w.giniClient(ctx)
		w.gini.Script(emulator.Fault{Match: emulator.Match{Operations: operations}, Effect: effect})
	}
}

func noFault(_ context.Context, w *world) { w.gini.Reset() }

// troubles is what people see, written down apart from the table in the code.
var troubles = map[string]trouble{
	api.ReasonClientNotFound: {
		condition: api.ConditionClientResolved, kstatus: status.InProgressStatus, says: "Create it", event: onUser,
		arrange: func(context.Context, *world, *api.GiniUser) {},
		mend:    func(ctx context.Context, w *world) { w.giniClient(ctx) },
	},
	api.ReasonClientNotGranted: {
		condition: api.ConditionClientResolved, kstatus: status.InProgressStatus, says: "Ask its owner", event: onUser, foreign: true,
		arrange: justClient,
		mend: func(ctx context.Context, w *world) {
			w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = []api.Grant{grantAll("", api.UntrustedDevice)} })
		},
	},
	api.ReasonDeviceNotGranted: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "trusted devices", event: onUser, foreign: true,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			user.Spec.Devices.Trusted = trusted("backend")
			w.giniClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = []api.Grant{grantAll("")} })
		},
		mend: func(ctx context.Context, w *world) {
			w.updateClient(ctx, func(object *api.GiniClient) {
				object.Spec.Grants = []api.Grant{grantAll("", api.UntrustedDevice, api.TrustedDevice)}
			})
		},
	},
	api.ReasonIdentifierNotGranted: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "identifierPrefix", event: onUser, foreign: true,
		arrange: clientWith(func(_ *world, object *api.GiniClient) { object.Spec.Grants = []api.Grant{grantAll("team-b-")} }),
		mend: func(ctx context.Context, w *world) {
			w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Grants = []api.Grant{grantAll("")} })
		},
	},
	api.ReasonAnonymousUsersNotEnabled: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "spec.anonymousUsers", event: onUser, anonymous: true,
		arrange: clientWith(func(_ *world, object *api.GiniClient) { object.Spec.AnonymousUsers = nil }),
		mend: func(ctx context.Context, w *world) {
			w.updateClient(ctx, func(object *api.GiniClient) {
				object.Spec.AnonymousUsers = &api.AnonymousUsers{EmailDomain: "users.acme.example"}
			})
		},
	},
	api.ReasonHostNotAllowed: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "--allowed-hosts", event: onClient,
		arrange: clientWith(func(_ *world, object *api.GiniClient) { object.Spec.Endpoints.PayAPI.URL = "https://gini.example" }),
		mend: func(ctx context.Context, w *world) {
			w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Endpoints.PayAPI.URL = w.url })
		},
	},
	api.ReasonClientSecretNotFound: {
		condition: api.ConditionClientResolved, kstatus: status.InProgressStatus, says: "create the Secret", event: onClient,
		arrange: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.giniClient(ctx)
			w.delete(ctx, &corev1.Secret{}, "acme-gini")
		},
		mend: func(ctx context.Context, w *world) {
			w.secret(ctx, "acme-gini", map[string]string{"client-id": clientID, "client-secret": clientSecret})
		},
	},
	api.ReasonClientSecretInvalid: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "echo -n", event: onClient,
		arrange: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.giniClient(ctx)
			w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": clientSecret + "\n"})
		},
		mend: func(ctx context.Context, w *world) {
			w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": clientSecret})
		},
	},
	api.ReasonCABundleNotFound: {
		condition: api.ConditionClientResolved, kstatus: status.InProgressStatus, says: "caBundleRef", event: onClient, tls: true,
		arrange: clientWith(func(_ *world, object *api.GiniClient) {
			object.Spec.TLS = &api.TLS{CABundleRef: api.CABundleReference{Kind: "ConfigMap", Name: "ca"}}
		}),
		mend: func(ctx context.Context, w *world) {
			Expect(k8s.Create(ctx, &corev1.ConfigMap{ObjectMeta: w.objectMeta("ca"), Data: map[string]string{"ca.crt": string(w.gini.CertPEM())}})).
				To(Succeed())
		},
	},
	api.ReasonCABundleInvalid: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "PEM", event: onClient, tls: true,
		arrange: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.secret(ctx, "ca", map[string]string{"ca.crt": "no certificate"})
			w.giniClient(ctx, func(object *api.GiniClient) {
				object.Spec.TLS = &api.TLS{CABundleRef: api.CABundleReference{Kind: "Secret", Name: "ca"}}
			})
		},
		mend: func(ctx context.Context, w *world) {
			w.updateSecret(ctx, "ca", map[string]string{"ca.crt": string(w.gini.CertPEM())})
		},
	},
	api.ReasonIdentifierSecretNotFound: {
		condition: api.ConditionClientResolved, kstatus: status.InProgressStatus, says: "Create it with the identifier", event: onUser,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			w.giniClient(ctx)
			fromSecret(user)
		},
		mend: func(ctx context.Context, w *world) {
			w.secret(ctx, "identifier", map[string]string{"id": "alice-8f1c"})
		},
	},
	api.ReasonIdentifierInvalid: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "echo -n", event: onUser,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			w.giniClient(ctx)
			fromSecret(user)
			w.secret(ctx, "identifier", map[string]string{"id": "alice-8f1c\n"})
		},
		mend: func(ctx context.Context, w *world) {
			w.updateSecret(ctx, "identifier", map[string]string{"id": "alice-8f1c"})
		},
	},
	api.ReasonIdentifierChanged: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "Put the old one back", event: onUser,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			w.giniClient(ctx)
			fromSecret(user)
			w.secret(ctx, "identifier", map[string]string{"id": "alice-8f1c"})
		},
		then: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.updateSecret(ctx, "identifier", map[string]string{"id": "mallory"})
		},
		mend: func(ctx context.Context, w *world) {
			w.updateSecret(ctx, "identifier", map[string]string{"id": "alice-8f1c"})
		},
	},
	api.ReasonIdentifierInUse: {
		condition: api.ConditionClientResolved, kstatus: status.FailedStatus, says: "already used by GiniUser first", event: onUser,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			w.giniClient(ctx)
			first := w.derived("first")
			first.Spec.Derived.Identifier = user.Spec.Derived.Identifier
			Expect(ready(w.reconciled(ctx, first))).To(Equal("True CredentialsReady"))
		},
		mend: func(ctx context.Context, w *world) {
			w.delete(ctx, &api.GiniUser{}, "first")
			w.reconcile(ctx, "first")
			Expect(w.called()).To(ContainElement(w.key("alice")), "the other wakes when it is free")
		},
	},
	api.ReasonAccountInUse: {
		condition: api.ConditionAccountReady, kstatus: status.FailedStatus, says: "GiniUser first", event: onUser, anonymous: true,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			w.giniClient(ctx)
			first := w.anonymous("first")
			first.Spec.Anonymous = user.Spec.Anonymous
			Expect(ready(w.reconciled(ctx, first))).To(Equal("True CredentialsReady"))
			w.afterASecond(ctx, first)
		},
		mend: func(ctx context.Context, w *world) { // the account is not handed on
			w.delete(ctx, &api.GiniUser{}, "first")
			w.delete(ctx, &corev1.Secret{}, "alice-account")
		},
	},
	api.ReasonAccountSecretNotFound: {
		condition: api.ConditionAccountReady, kstatus: status.InProgressStatus, says: "Create it with the keys", event: onUser, anonymous: true,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			w.giniClient(ctx)
			user.Spec.Anonymous.AccountSecret.Mode = api.ExistingAccount
		},
		mend: func(ctx context.Context, w *world) {
			w.gini.AddAccount(clientID, "a@acme.example", "password-1")
			w.secret(ctx, "alice-account", map[string]string{"email": "a@acme.example", "password": "password-1"})
		},
	},
	api.ReasonAccountSecretInvalid: {
		condition: api.ConditionAccountReady, kstatus: status.FailedStatus, says: "lacks the key email or password", event: onUser, anonymous: true,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			w.giniClient(ctx)
			user.Spec.Anonymous.AccountSecret.Mode = api.ExistingAccount
			w.secret(ctx, "alice-account", map[string]string{"email": "a@acme.example"})
		},
		mend: func(ctx context.Context, w *world) {
			w.gini.AddAccount(clientID, "a@acme.example", "password-1")
			w.updateSecret(ctx, "alice-account", map[string]string{"password": "password-1"})
		},
	},
	api.ReasonAccountSecretMissing: {
		condition: api.ConditionAccountReady, kstatus: status.FailedStatus, says: "Restore it from a backup", event: onUser, anonymous: true,
		arrange: justClient,
		then:    func(ctx context.Context, w *world, _ *api.GiniUser) { w.delete(ctx, &corev1.Secret{}, "alice-account") },
	},
	api.ReasonAccountSecretConflict: {
		condition: api.ConditionAccountReady, kstatus: status.FailedStatus, says: "mode: Existing", event: onUser, anonymous: true,
		arrange: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.giniClient(ctx)
			w.secret(ctx, "alice-account", map[string]string{"email": "a@acme.example", "password": "password-1"})
		},
		mend: func(ctx context.Context, w *world) { w.delete(ctx, &corev1.Secret{}, "alice-account") },
	},
	api.ReasonAccountOfAnotherClient: {
		condition: api.ConditionAccountReady, kstatus: status.FailedStatus, says: "Set those back", event: onUser, anonymous: true,
		arrange: justClient,
		then: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.gini.AddClient("other", "other-secret")
			w.updateSecret(ctx, "acme-gini", map[string]string{"client-id": "other", "client-secret": "other-secret"})
		},
		mend: func(ctx context.Context, w *world) {
			w.updateSecret(ctx, "acme-gini", map[string]string{"client-id": clientID, "client-secret": clientSecret})
		},
	},
	api.ReasonAccountRejected: {
		condition: api.ConditionAccountReady, kstatus: status.FailedStatus, says: "Put the right ones in", event: onUser, anonymous: true,
		arrange: func(ctx context.Context, w *world, user *api.GiniUser) {
			w.giniClient(ctx)
			user.Spec.Anonymous.AccountSecret.Mode = api.ExistingAccount
			w.gini.AddAccount(clientID, "a@acme.example", "password-1")
			w.secret(ctx, "alice-account", map[string]string{"email": "a@acme.example", "password": "wrong-password"})
		},
		mend: func(ctx context.Context, w *world) {
			w.updateSecret(ctx, "alice-account", map[string]string{"password": "password-1"})
		},
	},
	api.ReasonEmailDomainRefused: {
		condition: api.ConditionAccountReady, kstatus: status.FailedStatus, says: "emailDomain", event: onUser, anonymous: true,
		arrange: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.gini.Configure(func(settings *emulator.Settings) { settings.EmailDomains = []string{"allowed.example"} })
			w.giniClient(ctx)
		},
		mend: func(ctx context.Context, w *world) {
			w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers.EmailDomain = "allowed.example" })
		},
	},
	api.ReasonAccountLost: {
		condition: api.ConditionAccountReady, kstatus: status.FailedStatus, says: "no longer knows", event: onUser, anonymous: true,
		arrange: clientWith(func(_ *world, object *api.GiniClient) {
			object.Spec.AnonymousUsers.OnAccountLost = api.StallOnLostAccount
		}),
		then: func(_ context.Context, w *world, user *api.GiniUser) {
			w.gini.DeleteAllAccounts()
			w.clock.SetTime(user.Status.Devices.Untrusted.RefreshAt.Add(time.Second))
		},
		mend: func(ctx context.Context, w *world) {
			w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.AnonymousUsers.OnAccountLost = api.RecreateLostAccount })
		},
	},
	api.ReasonConflict: {
		condition: api.ConditionSecretsWritten, kstatus: status.FailedStatus, says: "adopt-by=alice", event: onUser,
		arrange: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.giniClient(ctx)
			w.secret(ctx, "alice-token", map[string]string{"precious": "value"})
		},
		mend: func(ctx context.Context, w *world) {
			Expect(w.data(ctx, "alice-token")).To(Equal(map[string]string{"precious": "value"}))
			update(ctx, &corev1.Secret{}, w.key("alice-token"), func(object *corev1.Secret) {
				object.Labels = map[string]string{api.AdoptByLabel: "alice"}
			})
		},
	},
	api.ReasonNameClash: {
		condition: api.ConditionSecretsWritten, kstatus: status.FailedStatus, says: "Choose another name", event: onUser,
		arrange: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.giniClient(ctx)
			other := w.anonymous("other")
			other.Spec.Anonymous.AccountSecret = api.AccountSecret{Name: "alice-token", Mode: api.ExistingAccount}
			w.reconciled(ctx, other)
		},
		mend: func(ctx context.Context, w *world) { w.delete(ctx, &api.GiniUser{}, "other") },
	},
	api.ReasonContended: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "stop that writer", event: onUser,
		arrange: justClient,
		then: func(ctx context.Context, w *world, _ *api.GiniUser) {
			for range 3 {
				w.delete(ctx, &corev1.Secret{}, "alice-token")
				w.reconcile(ctx, "alice")
				Expect(w.data(ctx, "alice-token")).NotTo(BeNil())
			}
			w.delete(ctx, &corev1.Secret{}, "alice-token")
		},
		mend: func(_ context.Context, w *world) { w.clock.Step(time.Minute) },
	},
	api.ReasonSecretNotWritten: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "Forbidden", event: onUser,
		arrange: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.giniClient(ctx)
			w.forbidSecrets(ctx)
		},
		mend: func(ctx context.Context, w *world) {
			w.delete(ctx, &corev1.ResourceQuota{}, "no-secrets")
			w.clock.Step(time.Minute)
		},
	},
	api.ReasonLoginRefused: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "ask Gini with the request id", event: onUser,
		arrange: failing(emulator.Status(422, ""), emulator.Login),
		mend: func(_ context.Context, w *world) {
			w.gini.Reset()
			w.clock.Step(time.Minute)
		},
	},
	api.ReasonCredentialsRejected: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "see its status", clientSays: "put the right ones", event: onClient,
		arrange: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.giniClient(ctx)
			w.gini.RotateSecret(clientID, "rotated")
		},
		mend: func(ctx context.Context, w *world) {
			w.updateSecret(ctx, "acme-gini", map[string]string{"client-secret": "rotated"})
		},
	},
	api.ReasonAnonymousUsersRefused: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "ask Gini for that right", event: onClient, anonymous: true,
		clientCondition: api.ConditionAnonymousUsersAccepted, clientSays: "Ask Gini for that right",
		arrange: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.giniClient(ctx)
			w.gini.Restrict(clientID, emulator.Restriction{To: emulator.DerivedUsers})
			Expect(ready(w.reconciled(ctx, w.derived("first")))).To(Equal("True CredentialsReady"))
		},
		mend: unrestricted,
	},
	api.ReasonDerivedUsersRefused: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "ask Gini for that right", event: onClient,
		clientCondition: api.ConditionDerivedUsersAccepted, clientSays: "Ask Gini for that right",
		arrange: func(ctx context.Context, w *world, _ *api.GiniUser) {
			w.giniClient(ctx)
			w.gini.Restrict(clientID, emulator.Restriction{To: emulator.AnonymousUsers})
			Expect(ready(w.reconciled(ctx, w.anonymous("first")))).To(Equal("True CredentialsReady"))
		},
		mend: unrestricted,
	},
	api.ReasonRateLimited: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "see its status", clientSays: "spec.requests", event: onClient,
		arrange: failing(emulator.TooManyRequests(30*time.Second), emulator.Login), mend: noFault,
	},
	api.ReasonGiniUnreachable: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "see its status", clientSays: "DNS, proxies and network policies", event: onClient,
		arrange: clientWith(func(_ *world, object *api.GiniClient) { object.Spec.Endpoints.PayAPI.URL = "http://127.0.0.1:1" }),
		mend: func(ctx context.Context, w *world) {
			w.updateClient(ctx, func(object *api.GiniClient) { object.Spec.Endpoints.PayAPI.URL = w.url })
		},
	},
	api.ReasonTLSFailure: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "see its status", clientSays: "spec.tls.caBundleRef", event: onClient, tls: true,
		arrange: justClient,
		mend: func(ctx context.Context, w *world) {
			w.secret(ctx, "ca", map[string]string{"ca.crt": string(w.gini.CertPEM())})
			w.updateClient(ctx, func(object *api.GiniClient) {
				object.Spec.TLS = &api.TLS{CABundleRef: api.CABundleReference{Kind: "Secret", Name: "ca"}}
			})
		},
	},
	api.ReasonGiniTimeout: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "its status says so", clientSays: "do not answer in time", event: onClient, impatient: true,
		arrange: failing(emulator.Hang(), emulator.Login), mend: noFault,
	},
	api.ReasonGiniUnavailable: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "its status says so", clientSays: "server error", event: onClient,
		arrange: failing(emulator.Status(503, ""), emulator.Login), mend: noFault,
	},
	api.ReasonUnexpectedResponse: {
		condition: api.ConditionSecretsWritten, kstatus: status.InProgressStatus, says: "see its status", clientSays: "check spec.endpoints", event: onClient,
		arrange: failing(emulator.HTML(), emulator.Login), mend: noFault,
	},
}

// unrestricted lets the client have all users. The endpoint that refused it is tried every half hour.
func unrestricted(_ context.Context, w *world) {
	w.gini.Restrict(clientID, emulator.Restriction{})
	w.clock.Step(30 * time.Minute)
}

func grantAll(prefix string, devices ...api.DeviceKind) api.Grant {
	if prefix == "" {
		prefix = "alice"
	}
	return api.Grant{Devices: devices, IdentifierPrefix: prefix}
}

func fromSecret(user *api.GiniUser) {
	user.Spec.Derived.Identifier = ""
	user.Spec.Derived.IdentifierSecretRef = &api.SecretKeyReference{Name: "identifier", Key: "id"}
}

// forbidSecrets makes the API server refuse to create Secrets.
func (w *world) forbidSecrets(ctx context.Context) {
	GinkgoHelper()
	none := corev1.ResourceList{"count/secrets": resource.MustParse("0")}
	quota := &corev1.ResourceQuota{ObjectMeta: w.objectMeta("no-secrets"), Spec: corev1.ResourceQuotaSpec{Hard: none}}
	Expect(k8s.Create(ctx, quota)).To(Succeed())
	quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none}
	Expect(k8s.Status().Update(ctx, quota)).To(Succeed())
	Eventually(func() error {
		return k8s.Create(ctx, &corev1.Secret{ObjectMeta: w.objectMeta("probe")}, client.DryRunAll)
	}).Should(HaveOccurred(), "the quota is in force")
}

// afterASecond waits until an object made now is younger than the given one: creation times are whole seconds.
func (w *world) afterASecond(ctx context.Context, object client.Object) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, GenerateName: "clock-"}}
		g.Expect(k8s.Create(ctx, probe)).To(Succeed())
		created := object.GetCreationTimestamp()
		g.Expect(created.Before(&probe.CreationTimestamp)).To(BeTrue())
	}).WithTimeout(5 * time.Second).Should(Succeed())
}

// kstatus is what the kstatus library makes of an object.
func kstatus(object client.Object) status.Status {
	GinkgoHelper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	Expect(err).NotTo(HaveOccurred())
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	Expect(err).NotTo(HaveOccurred())
	return result.Status
}

// suffer reconciles a user until its client's trouble, if it is that, is known to be one.
func (w *world) suffer(ctx context.Context, name string) *api.GiniUser {
	GinkgoHelper()
	for try := 1; ; try++ {
		w.reconcile(ctx, name)
		user := w.user(ctx, name)
		told := ready(user)
		if told == "True CredentialsReady" { // the credential at hand outlives the trouble
			told = condition(user.Status.Conditions, api.ConditionSecretsWritten)
		}
		if reaction, ok := problem.Lookup(strings.Fields(told)[1]); !ok || reaction.Retry != problem.WithClient || try == 8 {
			return user
		}
		w.clock.Step(16 * time.Second)
	}
}

var _ = Describe("Every reason", func() {
	It("can be produced by a real exchange", func() {
		Expect(slices.Sorted(maps.Keys(troubles))).To(Equal(slices.Sorted(maps.Keys(problem.Reasons()))))
	})

	for _, reason := range slices.Sorted(maps.Keys(troubles)) {
		trouble := troubles[reason]
		It(reason+" is told, and its repair is acted on (R1.4, R3.8)", func(ctx SpecContext) {
			start := (*emulator.Server).Start
			if trouble.tls {
				start = (*emulator.Server).StartTLS
			}
			w := newWorldServedBy(ctx, start, emulator.WithSettings(func(settings *emulator.Settings) { settings.Marker = marker }))
			if trouble.impatient {
				w.requestTimeout = 500 * time.Millisecond
				w.restart()
			}
			var log bytes.Buffer
			reconciling := logf.IntoContext(ctx, zap.New(zap.WriteTo(&log), zap.Level(zapcore.DebugLevel)))
			w.log, w.context = &log, reconciling
			user := w.derived("alice")
			if trouble.anonymous {
				user = w.anonymous("alice")
			}
			home := w
			if trouble.foreign {
				home = w.inNamespaceOf(newNamespace(ctx))
				user.Namespace, user.Spec.ClientRef.Namespace = home.namespace, w.namespace
			}
			trouble.arrange(ctx, w, user)
			if trouble.then != nil {
				user = home.reconciled(ctx, user)
				Expect(ready(user)).To(Equal("True CredentialsReady"))
				home.told()
				trouble.then(ctx, w, user)
			} else {
				Expect(k8s.Create(ctx, user)).To(Succeed())
			}
			user = home.suffer(ctx, "alice")
			_, err := w.clients.Reconcile(ctx, ctrl.Request{NamespacedName: w.key("acme")})
			Expect(err).NotTo(HaveOccurred())

			By("saying what is wrong and what to do")
			Expect(ready(user)).To(Equal("False " + reason))
			found := meta.FindStatusCondition(user.Status.Conditions, trouble.condition)
			Expect(found).NotTo(BeNil())
			Expect(found.Status).To(Equal(metav1.ConditionFalse))
			Expect(found.Message).To(ContainSubstring(trouble.says))
			Expect(found.ObservedGeneration).To(Equal(user.Generation))
			Expect(kstatus(user)).To(Equal(trouble.kstatus))

			By("telling whom it concerns, once")
			told := strings.Join(home.told(), "\n")
			w.expectNoLeak(ctx, told, home)
			Expect(strings.Count(told, "Warning "+reason+" ")).To(Equal(1), told)
			if trouble.event == onClient {
				object := w.clientReconciled(ctx)
				turned := cmp.Or(trouble.clientCondition, api.ConditionReady)
				Expect(condition(object.Status.Conditions, turned)).To(Equal("False " + reason))
				Expect(meta.FindStatusCondition(object.Status.Conditions, turned).Message).To(ContainSubstring(cmp.Or(trouble.clientSays, trouble.says)))
			}

			By("not asking, writing or telling again")
			mark, version := w.gini.Mark(), user.ResourceVersion
			home.reconcile(ctx, "alice")
			w.clientReconciledIfAny(ctx)
			Expect(w.gini.Since(mark).Requests()).To(BeZero())
			Expect(home.user(ctx, "alice").ResourceVersion).To(Equal(version))
			Expect(home.told()).To(BeEmpty())

			if trouble.mend == nil {
				return
			}
			By("acting on its repair")
			trouble.mend(ctx, w)
			w.clock.Step(31 * time.Second)
			home.reconcile(ctx, "alice")
			user = home.user(ctx, "alice")
			Expect(ready(user)).To(Equal("True CredentialsReady"))
			Expect(kstatus(user)).To(Equal(status.CurrentStatus))
			w.clientReconciledIfAny(ctx)
			for _, event := range home.told() {
				Expect(event).NotTo(ContainSubstring("Warning "+reason), "recovery is no trouble")
			}
		})
	}
})

// marker is in everything that the emulator says beyond what the API has.
const marker = "LEAK-MARKER"

// expectNoLeak looks for credentials, and for anything that Gini answered, wherever people look.
func (w *world) expectNoLeak(ctx context.Context, told string, home *world) {
	GinkgoHelper()
	Expect(w.log.Len()).NotTo(BeZero())
	seen := told + w.log.String()
	for _, list := range []client.ObjectList{&api.GiniUserList{}, &api.GiniClientList{}} {
		Expect(k8s.List(ctx, list)).To(Succeed())
		encoded, err := json.Marshal(list)
		Expect(err).NotTo(HaveOccurred())
		seen += string(encoded)
	}
	hidden := []string{marker, clientSecret, "rotated"}
	for _, namespace := range []string{w.namespace, home.namespace} {
		var secrets corev1.SecretList
		Expect(k8s.List(ctx, &secrets, client.InNamespace(namespace))).To(Succeed())
		for _, object := range secrets.Items {
			for _, key := range []string{"password", "access_token", "client-secret", "authorization_basic"} {
				if value := object.Data[key]; len(value) > 0 {
					hidden = append(hidden, string(value))
				}
			}
		}
	}
	for _, credential := range hidden {
		Expect(seen).NotTo(ContainSubstring(credential))
	}
}

func (w *world) clientReconciledIfAny(ctx context.Context) {
	GinkgoHelper()
	_, err := w.clients.Reconcile(ctx, ctrl.Request{NamespacedName: w.key("acme")})
	Expect(errors.Join(err)).NotTo(HaveOccurred())
}
