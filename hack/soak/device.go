package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const (
	// usePause lies between two uses of a Secret.
	usePause   = 500 * time.Millisecond
	useTimeout = 10 * time.Second
)

// kind is what a device shows Gini.
type kind string

const (
	byCredentials kind = "client credentials"
	byJWT         kind = "JWT"
	byToken       kind = "access token"
)

// device uses one Secret as a program would that reads it before each use.
type device struct {
	user   *user
	kind   kind
	secret string

	mu sync.Mutex
	// uses and renewals are from Gini's ledger: a renewal is the first accepted use of another token or JWT.
	uses, renewals int
	token          string
	// replaced are the tokens that were accepted before token.
	replaced map[string]bool
	// unplanned is how many renewals faults have asked for.
	unplanned int
	// held is the life of what the Secret held last, and late what was renewed too late, or not there for too long.
	held        life
	absentSince time.Time
	delays      []delay
}

// life is what a Secret's annotations say of its token.
type life struct {
	fingerprint                    string
	obtained, refreshAt, expiresAt time.Time
}

// third is a third of the lifetime.
func (l life) third() time.Duration { return l.expiresAt.Sub(l.obtained) / 3 }

// delay is something that was due at an instant and done at another one.
type delay struct {
	device    *device
	what      string
	due, done time.Time
	// allowed is how much later than due it may be done.
	allowed time.Duration
}

// user of Secrets: what all devices share.
type usage struct {
	reader client.Reader
	http   *http.Client
}

// run uses the Secret until ctx ends.
func (d *device) run(ctx context.Context, with *usage) {
	for pause := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		begin := time.Now()
		d.use(ctx, with)
		pause = max(0, usePause-time.Since(begin))
	}
}

// use reads the Secret and asks Gini for the documents of its user. What Gini makes of it stands in its ledger. That the API server or
// Gini cannot be reached is nothing that a Secret could help.
func (d *device) use(ctx context.Context, with *usage) {
	ctx, cancel := context.WithTimeout(ctx, useTimeout)
	defer cancel()
	var secret corev1.Secret
	err := with.reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: d.secret}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		d.absent(time.Now())
		return
	case err != nil:
		return
	}
	d.saw(d.lifeOf(&secret), time.Now())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.user.application.gini.url+"/documents", http.NoBody)
	if err != nil {
		return
	}
	request.Header.Set("Accept", api.DefaultMediaType)
	switch d.kind {
	case byCredentials:
		request.Header.Set("Authorization", string(secret.Data["authorization_basic"]))
		request.Header.Set("X-User-Identifier", d.user.identifier())
	case byJWT:
		d.shows(secret.Data["jwt"])
		request.Header.Set("X-JWT-Authorization", "Bearer "+string(secret.Data["jwt"]))
	case byToken:
		d.shows(secret.Data["access_token"])
		request.Header.Set("Authorization", "Bearer "+string(secret.Data["access_token"]))
	}
	if answer, err := with.http.Do(request); err == nil {
		_ = answer.Body.Close()
	}
}

func (d *device) shows(credential []byte) {
	d.user.application.gini.holds(emulator.Fingerprint(string(credential)), d)
}

// lifeOf reads a Secret's annotations; the zero life where nothing expires. The first tokens of a client may have been planned before it was
// known that they are sticky: then another one can be had, and is due, only once they have ended.
func (d *device) lifeOf(secret *corev1.Secret) life {
	at := func(annotation string) time.Time {
		parsed, err := time.Parse(time.RFC3339Nano, secret.Annotations[annotation])
		if err != nil {
			return time.Time{}
		}
		return parsed
	}
	l := life{
		fingerprint: secret.Annotations[api.FingerprintAnnotation],
		obtained:    at(api.ObtainedAtAnnotation), refreshAt: at(api.RefreshAtAnnotation), expiresAt: at(api.ExpiresAtAnnotation),
	}
	if d.kind == byToken && d.user.application.gini.mode == emulator.Sticky {
		l.refreshAt = later(l.refreshAt, at(api.EndsByAnnotation))
	}
	return l
}

// saw notes what the Secret holds.
func (d *device) saw(now life, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.absentSince.IsZero() {
		d.delays = append(d.delays, delay{device: d, what: "is absent", due: d.absentSince, done: at, allowed: repairLimit})
		d.absentSince = time.Time{}
	}
	if d.held.fingerprint != now.fingerprint {
		d.renewed(now.obtained)
	}
	d.held = now
}

// renewed notes when the token was renewed that the Secret held.
func (d *device) renewed(at time.Time) {
	if d.held.refreshAt.IsZero() {
		return
	}
	d.delays = append(d.delays, delay{
		device: d, what: "is not renewed", due: d.held.refreshAt, done: at, allowed: d.held.third(),
	})
}

// absent notes that there is no Secret.
func (d *device) absent(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.absentSince.IsZero() {
		d.absentSince = at
	}
}

// concluded are all delays, those included that last until the end.
func (d *device) concluded(end time.Time) []delay {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.renewed(end)
	if !d.absentSince.IsZero() {
		d.delays = append(d.delays, delay{device: d, what: "is absent", due: d.absentSince, done: end, allowed: repairLimit})
	}
	return d.delays
}

// accepted counts a use that Gini accepted.
func (d *device) accepted(token string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.uses++
	if d.token != "" && d.token != token {
		d.renewals++
		if d.replaced == nil {
			d.replaced = map[string]bool{}
		}
		d.replaced[d.token] = true
	}
	delete(d.replaced, token)
	d.token = token
}

// hasReplaced reports whether another token was accepted after this one.
func (d *device) hasReplaced(token string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.replaced[token]
}

// askAnew notes that a fault may have the device renewed so many times before it is due.
func (d *device) askAnew(times int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unplanned += times
}

// period is the shortest time between two renewals that are due, by the operator's own rule: a sticky token is renewed when it has ended, and
// anything else after a third of the lifetime of which the operator is sure. Of a token's it is not sure of two seconds: Gini says it in whole
// seconds, rounded down, and its end is taken to be the whole second before. A JWT is signed as if half a minute ago, in whole seconds.
func (d *device) period() time.Duration {
	switch {
	case d.kind == byJWT:
		return (jwtLifetime - 30*time.Second - time.Second) / 3
	case d.user.application.gini.mode == emulator.Sticky:
		return tokenLifetime
	}
	return (tokenLifetime - 2*time.Second) / 3
}

// mostRenewals is how often a device can have been due for renewal in a time: once in each period; once more, as the first may be due at
// once; and as often as faults have asked for another credential: once for a Secret that was deleted or edited, a refresh that was
// requested, a key that was rolled and an account that was deleted, and twice for a GiniUser that was made again (for itself, and for
// its Secret that was collected). No other fault makes anything due: what must wait for Gini or a leader is renewed less often, not more.
func (d *device) mostRenewals(during time.Duration) int {
	if d.kind == byCredentials {
		return 0 // they do not change
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return int(during/d.period()) + 1 + d.unplanned
}

func (d *device) counts() (uses, renewals int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.uses, d.renewals
}

func (d *device) String() string { return fmt.Sprintf("Secret %s (%s)", d.secret, d.kind) }
