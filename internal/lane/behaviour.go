package lane

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Endpoint is where a client's work asks for tokens. Endpoints fail apart from each other, and issue tokens unlike each other.
type Endpoint string

// Token endpoints.
const (
	// LoginEndpoint is the Pay API's /login.
	LoginEndpoint Endpoint = "login"
	// UserCenterEndpoint is the User Center's /oauth/token.
	UserCenterEndpoint Endpoint = "userCenter"
	// JWTLoginEndpoint is the Pay API's /login as well, asked with a JWT instead of the client credentials.
	JWTLoginEndpoint Endpoint = "jwtLogin"
	// ProviderEndpoint is the token endpoint of the customer's identity provider.
	ProviderEndpoint Endpoint = "identityProvider"
)

// sibling is the other endpoint that takes the same credentials; itself where there is none.
func (e Endpoint) sibling() Endpoint {
	switch e {
	case LoginEndpoint:
		return UserCenterEndpoint
	case UserCenterEndpoint:
		return LoginEndpoint
	default:
		return e
	}
}

// issuer is the endpoint under which the way of issuing tokens is known: /login is one, however it is asked.
func (e Endpoint) issuer() Endpoint {
	if e == JWTLoginEndpoint {
		return LoginEndpoint
	}
	return e
}

// Behaviour is how an endpoint issues tokens to a client, as far as it is known.
type Behaviour struct {
	// Known is whether anything has been seen yet.
	Known bool
	// Sticky is whether a login gives the same token until that has ended.
	Sticky bool
	// ObservedAt is when that was last seen.
	ObservedAt time.Time
}

// lookAgain is how long what was seen of an endpoint is believed, before one user looks again.
const lookAgain = 24 * time.Hour

type behaviour struct {
	Behaviour
	looking types.NamespacedName // the user that looks again
	since   time.Time            // and since when: one that has gone away is not waited for
}

// Behaviour returns what is known of an endpoint.
func (l *Lane) Behaviour(endpoint Endpoint) Behaviour {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at(endpoint).Behaviour
}

// Recall tells the lane what was known of an endpoint before a restart. What has been seen since counts more.
func (l *Lane) Recall(endpoint Endpoint, known Behaviour) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.at(endpoint); !at.Known {
		at.Behaviour = known
	}
}

// Observe takes note of a login while the earlier token was still valid: sticky is whether it gave the same one.
func (l *Lane) Observe(endpoint Endpoint, key types.NamespacedName, sticky bool, now time.Time) {
	l.mu.Lock()
	at := l.at(endpoint)
	changed := !at.Known || at.Sticky != sticky || now.Sub(at.ObservedAt) >= lookAgain
	if changed {
		at.Behaviour = Behaviour{Known: true, Sticky: sticky, ObservedAt: now}
	}
	if at.looking == key {
		at.looking = types.NamespacedName{}
	}
	l.mu.Unlock()
	if changed {
		l.lanes.notify(l.client)
	}
}

// Looks reports whether this user is to renew its sticky token early once, to see whether it still is sticky: one user
// of the client, once a day.
func (l *Lane) Looks(endpoint Endpoint, key types.NamespacedName, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.at(endpoint)
	if !at.Known || !at.Sticky || now.Sub(at.ObservedAt) < lookAgain {
		return false
	}
	if at.looking == (types.NamespacedName{}) || now.Sub(at.since) >= lookAgain {
		at.looking, at.since = key, now
	}
	return at.looking == key
}

func (l *Lane) at(endpoint Endpoint) *behaviour {
	known, ok := l.behaviours[endpoint.issuer()]
	if !ok {
		known = &behaviour{}
		l.behaviours[endpoint.issuer()] = known
	}
	return known
}
