package lane

import (
	"slices"
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
	// CheckNone: Gini never accepted this client for anything, so that nothing can be expected of it.
	CheckNone Check = "None"
)

// checkWithin is how long credentials are withheld while nothing is known of them.
const checkWithin = time.Minute

// Check says what is known of the credentials in use, and until when a verdict is waited for. Credentials of a client that Gini never
// accepted for anything are not waited for: a refusal would say nothing of them. The time begins when somebody waits; it is zero before.
func (l *Lane) Check() (known Check, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() {
		return l.check(), time.Time{}
	}
	return l.check(), l.since.Add(checkWithin)
}

func (l *Lane) check() Check {
	if l.accepted(LoginEndpoint) {
		return CheckAccepted
	}
	for endpoint, before := range map[Endpoint]Acceptance{LoginEndpoint: AcceptedLogin, UserCenterEndpoint: AcceptedUserCenter} {
		if l.sides[endpoint].state.Trouble == gini.CredentialsRejected && (l.given[before] || l.former[before]) {
			return CheckRejected
		}
	}
	switch {
	case len(l.given) == 0 && len(l.former) == 0:
		return CheckNone
	case l.gaveUp:
		return CheckUnverified
	case l.since.IsZero(), pending(l.since, l.since.Add(checkWithin), l.lanes.now()):
		return CheckPending
	}
	return CheckUnverified
}

// Follow calls a user as soon as something else is known of the credentials than it is told here.
func (l *Lane) Follow(key types.NamespacedName) Check {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.follow(key)
}

func (l *Lane) follow(key types.NamespacedName) Check {
	l.callAwaiting()
	if l.awaiting == nil {
		l.awaiting = map[types.NamespacedName]bool{}
	}
	l.awaiting[key] = true
	return l.awaited
}

// Await is Follow for a user that cannot be served until a verdict comes, or the time for it is over.
func (l *Lane) Await(key types.NamespacedName) Check {
	l.mu.Lock()
	known := l.follow(key)
	first := (known == CheckPending || known == CheckRejected) && l.since.IsZero()
	if first {
		l.since = l.lanes.now()
	}
	if known == CheckPending {
		l.callAt(l.since.Add(checkWithin))
	}
	l.mu.Unlock()
	if first {
		l.lanes.notify(l.client) // who sees to it that they are tried
	}
	return known
}

// callAwaiting calls those that were told something else than is known now. The lock is held.
func (l *Lane) callAwaiting() {
	known := l.check()
	if known == l.awaited {
		return
	}
	for key := range l.awaiting {
		l.lanes.queue.Enqueue(key, agenda.Urgent, 0)
	}
	clear(l.awaiting)
	l.awaited = known
}

// Try has one of several users, the best of them first, renew its token early, to find out what Gini thinks of the credentials. It stays the
// same one, unless it is none of them any more, or met a refusal and there is another: it may be that user whom Gini refuses.
func (l *Lane) Try(users ...types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.check()
	if known != CheckPending && known != CheckRejected {
		return
	}
	refused := known == CheckRejected && (l.sides[LoginEndpoint].state.prober == l.trial || l.sides[UserCenterEndpoint].state.prober == l.trial)
	if slices.Contains(users, l.trial) && !refused {
		return
	}
	for _, user := range users {
		if user != l.trial {
			l.trial = user
			l.lanes.queue.Enqueue(user, agenda.Urgent, 0)
			return
		}
	}
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

// GiveUp waits no longer for a verdict on the credentials in use: that was done before a restart, or nobody can try them.
func (l *Lane) GiveUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gaveUp = true
	l.callAwaiting()
}
