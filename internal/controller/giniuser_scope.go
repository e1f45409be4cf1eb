package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/credential"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/registry"
	"github.com/gini-operator/gini-operator/internal/renewal"
	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/target"
)

// scope is what one reconcile of a GiniUser has seen and done. Stages add to it; the status is made from it at the end.
type scope struct {
	user   *api.GiniUser
	before *api.GiniUser
	now    time.Time
	// setbacks are those of the clock.
	setbacks *setbacks

	giniClient  *api.GiniClient
	application *registry.Application
	// identity is where the JWTs of a user with auth JWT come from.
	identity   *registry.Identity
	identifier string

	untrusted *device
	trusted   *device

	// nudging is whether the operator may nudge pods, and readOnce are those who read a Secret in a way that shows no change, by its name.
	nudging  bool
	readOnce map[string]string
	// restarting is whether the operator may restart workloads.
	restarting bool

	// accountMeta is the account Secret as the cache has it; nil where there is none.
	accountMeta *metav1.PartialObjectMetadata

	// issuedFor is the hash of whom a token has to be for, as it was planned last.
	issuedFor string
	// verify is whether a verification of the token is due.
	verify bool
	// verifyAt is when the token is verified the next time, or was to be; zero where it is not.
	verifyAt time.Time
	// twice is whether the last answer of Gini's is about a client token that was asked for because a login was refused.
	twice bool
	// verifyPaused is until when a verification that came to no result keeps the next one away.
	verifyPaused time.Time

	// problem is what is wrong, nil where nothing is.
	problem *problem.Error
	// retryAt is when to come again after a token that ended at once, or for the next step; zero otherwise.
	retryAt time.Time
	// pacedAt is when the JWT is issued anew that could be used still; zero where none is.
	pacedAt time.Time
	// confirmed is whether the user was read from the API server, and gone whether it is no longer the one that this is about.
	confirmed bool
	gone      bool
	// certain is whether the user is known to be as the cache had it.
	certain bool
	// asked is whether Gini or the identity provider was asked anything for this user, and gini what the last request ended
	// with, nil if well.
	asked bool
	gini  error
	// held is whether problem is an earlier one, whose time to be tried again has not come.
	held bool
	// refused is whether no grant covers this user, or not all of it.
	refused bool
	// withdrawn is whether the client credentials that the trusted device was given are to be taken back.
	withdrawn bool
	// account is the account of an anonymous user, and grant of the login that proved it, where there was one.
	account credential.Account
	grant   *gini.Grant

	notices []notice
}

// notice is told, as an Event, after the status is written.
type notice struct {
	warning bool
	reason  string
	action  string
	message string
}

// device is one of the user's devices and what was seen of its Secret.
type device struct {
	// owner is the name of the GiniUser.
	owner    string
	template target.Template
	status   *api.DeviceStatus
	// expires is whether its credential is one that does: an access token or a JWT.
	expires bool

	// need is what has to be obtained for it, and renewAt when that is to be renewed; zero where nothing is.
	need    renewal.Verdict
	renewAt time.Time

	// meta is the Secret as the cache has it, and live as it was read from the API server; nil where there is none.
	meta metav1.Object
	live *corev1.Secret
	// read is whether live was read.
	read   bool
	record target.Record
	// readable is whether record could be read, and sealed whether it is bound to its Secret, as all are that are written now.
	readable, sealed bool
	// obtained is the access token that a login has just given; empty where there was none.
	obtained secret.Text
	// written is whether the Secret is as the spec wants it.
	written bool
	// tampered is whether the Secret is known not to hold what its record says.
	tampered bool
	// awaits is whether its Secret keeps what it holds until more is known of the client's credentials.
	awaits bool
	// problem keeps this device from being served, though perhaps not the other.
	problem *problem.Error
}

// refused reports whether the device cannot be served.
func (d *device) refused() bool { return d.problem != nil }

// due reports whether the user has the device, and something has to be obtained for it now.
func (d *device) due() bool { return d != nil && d.need.Due() }

// valid reports whether the Secret holds a token or JWT that has not expired.
func (d *device) valid(now time.Time) bool {
	return d != nil && d.meta != nil && d.expires && d.readable && now.Before(d.record.Token.ExpiresAt)
}

// credentialKey is the key of the Secret's data with the token or JWT.
func (d *device) credentialKey() string {
	if d.template.Device == api.TrustedDevice {
		return credential.KeyJWT
	}
	return credential.KeyAccessToken
}

// holding is what people call the credential.
func (d *device) holding() string {
	if d.template.Device == api.TrustedDevice {
		return "JWT"
	}
	return "token"
}

// valuesOf are the keys of a Secret with a token or JWT.
func (d *device) valuesOf(token secret.Text, expiresAt time.Time) credential.Values {
	if d.template.Device == api.TrustedDevice {
		return credential.ForTrustedJWT(token, expiresAt)
	}
	return credential.ForUntrusted(token, expiresAt)
}

// see takes note of a Secret as it is now.
func (d *device) see(secret metav1.Object) {
	d.meta = secret
	d.record, d.readable = target.ParseRecord(secret, d.owner, d.expires)
	d.sealed = target.Sealed(secret, d.owner)
}

// untouched reports whether the Secret is as the operator last wrote or checked it.
func (d *device) untouched() bool {
	return d.meta != nil && d.status.SecretName == d.template.Name && d.status.SecretResourceVersion == d.meta.GetResourceVersion()
}

// lost reports whether the Secret is gone, though it was there.
func (d *device) lost() bool {
	return d.meta == nil && d.status.SecretName == d.template.Name && d.status.SecretResourceVersion != ""
}

// mends reports whether what is written is to put right what somebody did to the Secret.
func (d *device) mends() bool {
	return d.lost() || d.need.Cause == renewal.TokenTampered || d.need.Cause == renewal.RecordUnreadable
}

func (s *scope) key() types.NamespacedName { return client.ObjectKeyFromObject(s.user) }

func (s *scope) anonymous() bool { return s.user.Spec.Anonymous != nil }

// jwt reports whether the user is authenticated by a JWT.
func (s *scope) jwt() bool { return usesJWT(s.user) }

func usesJWT(user *api.GiniUser) bool {
	return user.Spec.Derived != nil && user.Spec.Derived.Auth == api.JWTAuth
}

// subject is whom the credentials are for. user is the identifier of a derived user, or the e-mail address of an anonymous one.
func (s *scope) subject(user string) credential.Subject {
	host := s.application.PayAPI
	if s.anonymous() {
		host = s.application.UserCenter
	}
	return credential.Subject{ClientID: s.application.ClientID, Host: host, User: user}
}

func (s *scope) endpoint() lane.Endpoint { return endpointOf(s.user) }

// aged is now, by the clock that a device's token or JWT was obtained by.
func (s *scope) aged(wanted *device) time.Time {
	return s.now.Add(s.setbacks.since(wanted.record.Token.ObtainedAt))
}

// policy tunes the renewal of a device's tokens or JWTs.
func (s *scope) policy(wanted *device) renewal.Policy {
	policy := renewal.Policy{Spread: renewal.Spread(string(s.user.UID))}
	if s.user.Spec.Renewal != nil && s.user.Spec.Renewal.Before != nil {
		policy.Before = s.user.Spec.Renewal.Before.Duration
	}
	if s.application != nil && wanted == s.untrusted {
		behaviour := s.application.Lane.Behaviour(s.endpoint())
		policy.Sticky = behaviour.Sticky && !s.application.Lane.Looks(s.endpoint(), s.key(), s.now)
	}
	return policy
}

// refreshRequested is the request for a new token, as a status holds it.
func (s *scope) refreshRequested() string {
	return echoOf(s.user.Annotations[api.RefreshRequestedAnnotation])
}

// longestEcho is what a status holds of a request that a person made.
const longestEcho = 256

// echoOf is a request that a person made, as the status and a Secret's annotation echo it: two that differ anywhere have different
// echoes, so a long one is told by its hash.
func echoOf(request string) string {
	if len(request) <= longestEcho {
		return request
	}
	sum := sha256.Sum256([]byte(request))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// devices lists the devices that the spec wants.
func (s *scope) devices() []*device {
	var devices []*device
	for _, wanted := range []*device{s.trusted, s.untrusted} {
		if wanted != nil {
			devices = append(devices, wanted)
		}
	}
	return devices
}

// next is when something is to be done for the user the next time; zero where nothing is.
func (s *scope) next() time.Time {
	at := earlier(s.verifyAt, s.pacedAt)
	for _, wanted := range s.devices() {
		if !wanted.renewAt.IsZero() {
			at = earlier(at, wanted.renewAt.Add(-s.setbacks.since(wanted.record.Token.ObtainedAt)))
		}
	}
	return at
}

func (s *scope) tell(warning bool, reason, action, message string) {
	s.notices = append(s.notices, notice{warning: warning, reason: reason, action: action, message: message})
}
