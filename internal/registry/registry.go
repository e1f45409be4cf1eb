// Package registry turns GiniClients into applications that can be used: credentials read, endpoints checked, and one Gini
// client each. An application is cached until its GiniClient, its credentials Secret or its CA bundle changes; whether they did is seen by
// their metadata, and only then they are read.
package registry

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/lane"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/secret"
)

// Application is a GiniClient that can be used. It is immutable, but for its lane.
type Application struct {
	// Name and UID are the GiniClient's.
	Name types.NamespacedName
	UID  types.UID
	// Epoch changes whenever credentials, endpoints or certificate authorities do.
	Epoch string

	ClientID     string
	ClientSecret secret.Text
	// PayAPI and UserCenter are the URLs of the endpoints.
	PayAPI     string
	UserCenter string
	// UserCenterAllowed is whether the operator may send credentials to the User Center: a client without anonymous users is used though it may not.
	UserCenterAllowed bool

	// Gini talks to the endpoints with the credentials.
	Gini *gini.Client
	// Lane is where work that talks to Gini runs.
	Lane *lane.Lane

	mediaType   string
	authorities bundle
	// odd is what looks odd about the credentials; empty where nothing does.
	odd string
}

// Registry caches applications by the UIDs of their GiniClients.
type Registry struct {
	// Metadata reads the metadata of Secrets and ConfigMaps, from a cache.
	Metadata client.Reader
	// Live reads Secrets and ConfigMaps from the API server.
	Live client.Reader
	// Allowed is where credentials may be sent.
	Allowed AllowedHosts
	// Lanes has the lane of each client.
	Lanes *lane.Lanes
	// Clock is the wall clock.
	Clock clock.PassiveClock
	// ConnectTimeout and RequestTimeout bound requests to Gini; 0: 15 s and 60 s.
	ConnectTimeout, RequestTimeout time.Duration
	// Observe is called after each request to Gini.
	Observe func(name types.NamespacedName, observation gini.Observation)

	mu      sync.Mutex
	entries map[types.UID]*entry
}

// entry is what is cached of one GiniClient. Its lock is held while that is read, so that others are not held up.
type entry struct {
	mu      sync.Mutex
	version string
	// application was made last, and problem is what keeps it from being made of that version; nil where nothing does.
	application *Application
	problem     error
	identity    identityEntry
}

// usable is the application, unless a problem keeps it from being used.
func (e *entry) usable() (*Application, error) {
	if e.problem != nil {
		return nil, e.problem
	}
	return e.application, nil
}

// entryOf returns the entry of a GiniClient.
func (r *Registry) entryOf(uid types.UID) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries == nil {
		r.entries = map[types.UID]*entry{}
	}
	known, ok := r.entries[uid]
	if !ok {
		known = &entry{}
		r.entries[uid] = known
	}
	return known
}

// Forget drops what is cached of a GiniClient that is gone.
func (r *Registry) Forget(uid types.UID) {
	r.mu.Lock()
	known, ok := r.entries[uid]
	delete(r.entries, uid)
	r.mu.Unlock()
	if ok {
		known.mu.Lock()
		defer known.mu.Unlock()
		if known.application != nil {
			known.application.Gini.Close()
		}
		known.identity.identity.close()
	}
	r.Lanes.Forget(uid)
}

// Room is how many users of a GiniClient can be served in the time between two sweeps of the agenda.
func (r *Registry) Room(name types.NamespacedName) int {
	return r.Lanes.Room(name, agenda.Interval)
}

// Resolve returns the application of a GiniClient, or the problem that keeps it from being used.
func (r *Registry) Resolve(ctx context.Context, giniClient *api.GiniClient) (*Application, error) {
	name := client.ObjectKeyFromObject(giniClient)
	endpoints, err := r.endpoints(giniClient)
	if err != nil {
		return nil, err
	}
	version, err := r.version(ctx, giniClient, endpoints)
	if err != nil {
		return nil, err
	}
	lane := r.Lanes.For(giniClient.UID, name, limitsOf(giniClient))
	recallBehaviour(lane, giniClient) // each time: the cache that was seen first may have been behind

	known := r.entryOf(giniClient.UID)
	known.mu.Lock()
	defer known.mu.Unlock()
	if known.version == version {
		if known.problem == nil {
			recallAccepted(giniClient, known.application)
		}
		return known.usable()
	}
	fresh, err := r.read(ctx, giniClient, endpoints)
	if err != nil {
		if _, ok := problem.Of(err); ok {
			known.version, known.problem = version, err
		}
		return nil, err
	}
	if known.application != nil && known.application.sameAs(fresh) { // a label was edited, say
		renamed := *known.application
		renamed.Epoch, renamed.authorities = version, fresh.authorities
		lane.Rename(known.application.Epoch, version)
		known.version, known.problem, known.application = version, nil, &renamed
		return known.application, nil
	}
	fresh.Name, fresh.UID, fresh.Epoch, fresh.Lane = name, giniClient.UID, version, lane
	fresh.Gini, err = gini.New(gini.Config{
		Endpoints: endpoints, ClientID: fresh.ClientID, ClientSecret: fresh.ClientSecret, RootCAs: fresh.authorities.certificates,
		Limiter: lane.Limiter(), Clock: r.Clock, ConnectTimeout: r.ConnectTimeout, RequestTimeout: r.RequestTimeout,
		AllowAddress: mayDial, AllowHost: r.Allowed.Allow,
		Observe: func(observation gini.Observation) {
			if r.Observe != nil {
				r.Observe(name, observation)
			}
		},
	})
	if err != nil {
		return nil, problem.New(api.ReasonClientSecretInvalid, name)
	}
	first := known.application == nil
	if !first {
		known.application.Gini.Close()
	}
	known.version, known.problem, known.application = version, nil, fresh
	if accepted := giniClient.Status.Accepted; accepted != nil && (first || accepted.ClientID == fresh.ClientID) {
		lane.Remember(accepted.ClientID, acceptances(accepted.Requests))
	}
	lane.Remember(fresh.ClientID, nil)
	login, userCenter := recalled(giniClient, fresh.Epoch, r.Clock.Now().Round(0))
	lane.Use(fresh.Epoch, login, userCenter)
	if notVerified(giniClient, fresh.Epoch) {
		lane.GiveUp()
	}
	return fresh, nil
}

// mayDial refuses addresses that no Gini and no proxy has, but a cloud's metadata service: an allowed name may resolve to
// anything.
func mayDial(address netip.Addr) bool {
	return !address.IsLinkLocalUnicast() && !address.IsMulticast() && !address.IsUnspecified()
}

func (a *Application) sameAs(other *Application) bool {
	return a.ClientID == other.ClientID && a.ClientSecret.Equal(other.ClientSecret) &&
		a.PayAPI == other.PayAPI && a.UserCenter == other.UserCenter && a.mediaType == other.mediaType &&
		bytes.Equal(a.authorities.certificates, other.authorities.certificates)
}

func limitsOf(giniClient *api.GiniClient) lane.Limits {
	limits := lane.Limits{RatePerSecond: api.DefaultRatePerSecond, MaxInFlight: api.DefaultMaxInFlight}
	if wanted := giniClient.Spec.Requests; wanted != nil {
		if wanted.RatePerSecond > 0 {
			limits.RatePerSecond = int(wanted.RatePerSecond)
		}
		if wanted.MaxInFlight > 0 {
			limits.MaxInFlight = int(wanted.MaxInFlight)
		}
	}
	return limits
}

// version identifies everything that the application is made from, by metadata only.
func (r *Registry) version(ctx context.Context, giniClient *api.GiniClient, endpoints gini.Endpoints) (string, error) {
	name := client.ObjectKeyFromObject(giniClient)
	reference := giniClient.Spec.CredentialsSecretRef
	secretVersion, err := r.objectVersion(ctx, "Secret", name.Namespace, string(reference.Name))
	if err != nil {
		return "", missing(err, api.ReasonClientSecretNotFound, name)
	}
	parts := []string{
		string(giniClient.UID), endpoints.PayAPI.String(), endpoints.UserCenter.String(), endpoints.MediaType,
		secretVersion, string(reference.ClientIDKey), string(reference.ClientSecretKey),
	}
	if tls := giniClient.Spec.TLS; tls != nil {
		bundleVersion, err := r.objectVersion(ctx, tls.CABundleRef.Kind, name.Namespace, string(tls.CABundleRef.Name))
		if err != nil {
			return "", missing(err, api.ReasonCABundleNotFound, name)
		}
		parts = append(parts, tls.CABundleRef.Kind, bundleVersion, string(tls.CABundleRef.Key))
	}
	return hash(parts...), nil
}

func (r *Registry) objectVersion(ctx context.Context, kind, namespace, name string) (string, error) {
	var object metav1.PartialObjectMetadata
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	if err := r.Metadata.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &object); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s/%s/%s", name, object.UID, object.ResourceVersion), nil
}

// missing makes a problem of an object that is not there; other errors of the API server stay what they are.
func missing(err error, reason string, name types.NamespacedName) error {
	if apierrors.IsNotFound(err) {
		return problem.New(reason, name)
	}
	return err
}

// read reads credentials and certificate authorities.
func (r *Registry) read(ctx context.Context, giniClient *api.GiniClient, endpoints gini.Endpoints) (*Application, error) {
	name := client.ObjectKeyFromObject(giniClient)
	reference := giniClient.Spec.CredentialsSecretRef
	var credentials corev1.Secret
	if err := r.Live.Get(ctx, types.NamespacedName{Namespace: name.Namespace, Name: string(reference.Name)}, &credentials); err != nil {
		return nil, missing(err, api.ReasonClientSecretNotFound, name)
	}
	id := credentials.Data[keyOr(reference.ClientIDKey, api.DefaultClientIDKey)]
	password := credentials.Data[keyOr(reference.ClientSecretKey, api.DefaultClientSecretKey)]
	if len(id) > longestClientID || !credentialLike(id) || !credentialLike(password) || bytes.ContainsRune(id, ':') {
		return nil, problem.New(api.ReasonClientSecretInvalid, name)
	}
	application := &Application{
		ClientID: string(id), ClientSecret: secret.New(string(password)),
		odd:    secret.Remark(secret.Named{Name: "the client id", Value: string(id)}, secret.Named{Name: "the client secret", Value: string(password)}),
		PayAPI: endpoints.PayAPI.String(), UserCenter: endpoints.UserCenter.String(), mediaType: endpoints.MediaType,
		UserCenterAllowed: r.Allowed.Allow(endpoints.UserCenter),
	}
	if tls := giniClient.Spec.TLS; tls != nil {
		authorities, err := r.bundleOf(ctx, name, tls.CABundleRef)
		if err != nil {
			return nil, err
		}
		application.authorities = authorities
	}
	return application, nil
}

// longestClientID is what a status holds.
const longestClientID = 256

func keyOr(key api.SecretKey, fallback string) string {
	if key == "" {
		return fallback
	}
	return string(key)
}

// credentialLike refuses what cannot be a client id or secret: empty, overlong, or with a control character, such as the
// newline that echo leaves at the end.
func credentialLike(value []byte) bool {
	if len(value) == 0 || len(value) > 1024 {
		return false
	}
	return !bytes.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func recallBehaviour(to *lane.Lane, giniClient *api.GiniClient) {
	behaviours := giniClient.Status.TokenBehaviour
	if behaviours == nil {
		return
	}
	for endpoint, known := range map[lane.Endpoint]*api.TokenBehaviour{
		lane.LoginEndpoint: behaviours.Login, lane.UserCenterEndpoint: behaviours.UserCenter,
	} {
		if known != nil {
			to.Recall(endpoint, lane.Behaviour{Known: true, Sticky: known.Mode == api.StickyTokens, ObservedAt: known.ObservedAt.Time})
		}
	}
}
