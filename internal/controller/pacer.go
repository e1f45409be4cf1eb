package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// paceStep sets the JWTs of one client apart that are issued anew because of another key or other claims: 20 a second.
const paceStep = 50 * time.Millisecond

// pacer hands out turns to the users of each client. It may forget them at any time: then they are handed out again.
type pacer struct {
	mu      sync.Mutex
	clients map[types.UID]*paced
}

type paced struct {
	issuedBy string
	next     time.Time
	turns    map[types.NamespacedName]time.Time
}

// turn is when it is a user's turn to have a JWT of issuedBy: the first at once, the others one after the other.
func (p *pacer) turn(client types.UID, user types.NamespacedName, issuedBy string, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients == nil {
		p.clients = map[types.UID]*paced{}
	}
	known, ok := p.clients[client]
	if !ok || known.issuedBy != issuedBy {
		known = &paced{issuedBy: issuedBy, turns: map[types.NamespacedName]time.Time{}}
		p.clients[client] = known
	}
	at, ok := known.turns[user]
	if !ok {
		at = now
		if known.next.After(now) {
			at = known.next
		}
		known.turns[user], known.next = at, at.Add(paceStep)
	}
	if !now.Before(at) { // taken; one that fails gets another
		delete(known.turns, user)
	}
	return at
}
