package gini

import (
	"context"
	"sync"
)

// userLocks lets one token request at a time through for each user. Identifiers and e-mails share one space: where a
// user of each kind has the same name, they wait for each other, which hurts nobody.
type userLocks struct {
	mu    sync.Mutex
	users map[string]*userLock
}

type userLock struct {
	held    chan struct{} // holds one element while somebody has the lock
	waiting int           // who has it or waits for it; at 0 the entry goes
}

// lock waits for the user's turn, or for the end of ctx, whose error it returns then.
func (l *userLocks) lock(ctx context.Context, user string) (unlock func(), err error) {
	l.mu.Lock()
	if l.users == nil {
		l.users = map[string]*userLock{}
	}
	entry := l.users[user]
	if entry == nil {
		entry = &userLock{held: make(chan struct{}, 1)}
		l.users[user] = entry
	}
	entry.waiting++
	l.mu.Unlock()

	select {
	case entry.held <- struct{}{}:
		return func() { <-entry.held; l.leave(user, entry) }, nil
	case <-ctx.Done():
		l.leave(user, entry)
		return nil, ctx.Err()
	}
}

func (l *userLocks) leave(user string, entry *userLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if entry.waiting--; entry.waiting == 0 {
		delete(l.users, user)
	}
}
