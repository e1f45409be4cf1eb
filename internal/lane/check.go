package lane

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/gini"
)

// Check is what is known of a version of the client credentials, before they are handed to anybody.
type Check string

// What is known of credentials.
const (
	// CheckAccepted: an endpoint accepted them.
	CheckAccepted Check = "Accepted"
	// CheckRejected: an endpoint that accepted this client before refuses them.
	CheckRejected Check = "Rejected"
	// CheckPending: neither yet, and the time for it is not over.
	CheckPending Check = "Pending"
	// CheckUnverified: neither, and nobody waits for it any longer.
	CheckUnverified Check = "Unverified"
)

// checkWithin is how long credentials are withheld while nothing is known of them.
const checkWithin = time.Minute

// Check says what is known of the credentials in use, and until when a verdict is waited for. Credentials of a client that Gini never
// accepted for anything are not waited for: a refusal would say nothing of them.
func (l *Lane) Check() (known Check, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.check(), l.since.Add(checkWithin)
}

func (l *Lane) check() Check {
	if l.accepted(LoginEndpoint) {
		return CheckAccepted
	}
	for endpoint, before := range map[Endpoint]Acceptance{LoginEndpoint: AcceptedLogin, UserCenterEndpoint: AcceptedUserCenter} {
		if l.sides[endpoint].state.Trouble == gini.CredentialsRejected && l.given[before] {
			return CheckRejected
		}
	}
	if now := l.lanes.now(); len(l.given) > 0 && pending(l.since, l.since.Add(checkWithin), now) {
		return CheckPending
	}
	return CheckUnverified
}

// Await calls a user as soon as something else is known of the credentials, or the time for it is over.
func (l *Lane) Await(key types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.awaiting == nil {
		l.awaiting = map[types.NamespacedName]bool{}
	}
	l.awaiting[key], l.awaited = true, l.check()
	if l.awaited == CheckPending {
		l.callAt(l.since.Add(checkWithin))
	}
}

// callAwaiting calls those that wait for another verdict, if there is one. The lock is held.
func (l *Lane) callAwaiting() {
	if len(l.awaiting) == 0 || l.check() == l.awaited {
		return
	}
	for key := range l.awaiting {
		l.lanes.queue.Enqueue(key, agenda.Urgent, 0)
	}
	clear(l.awaiting)
}

// Try has a user renew its token early, to find out what Gini thinks of the credentials: one user for each version.
func (l *Lane) Try(key types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trial != (types.NamespacedName{}) || l.check() != CheckPending {
		return
	}
	l.trial = key
	l.lanes.queue.Enqueue(key, agenda.Urgent, 0)
}

// Tries reports whether a user is to renew its token early. If Gini refuses the credentials, it goes on trying, as rarely as anybody may.
func (l *Lane) Tries(key types.NamespacedName) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trial != key {
		return false
	}
	known := l.check()
	return known == CheckPending || known == CheckRejected
}

// GiveUp waits no longer for a verdict on the credentials in use: that was done before a restart.
func (l *Lane) GiveUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = time.Time{}
}
