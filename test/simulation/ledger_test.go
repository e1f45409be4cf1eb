package simulation

import (
	"sync"
	"time"

	"github.com/gini-operator/gini-operator/internal/agenda"
	"github.com/gini-operator/gini-operator/internal/gini"
)

// job is something that was to be done, and was.
type job struct{ due, done time.Time }

// account is what the ledger has of one client.
type account struct {
	// firsts are first tokens, and renewals are further ones.
	firsts, renewals []job
	// expired are the times in which a Secret held a token that Gini takes no more.
	expired []job
	// waiting are new users that nothing was asked for yet, by when they were made.
	waiting map[int]time.Time
	// jumped counts renewals that were not urgent and went before a new user.
	jumped int
	// rejectedAt is when Gini first said that it rejects the credentials, and tries are the requests that began from then on.
	rejectedAt time.Time
	tries      []time.Time
	requests   int
	// needless are requests for users that were not due.
	needless []time.Time
}

// ledger takes note of what happens. It has a view of its own: what the operator believes does not count.
type ledger struct {
	mu       sync.Mutex
	accounts map[*application]*account
	// compared counts sweeps that were compared with a look at all users, and missed the users that they would have got wrong.
	compared, missed int
}

func (l *ledger) of(known *application) *account {
	book, ok := l.accounts[known]
	if !ok {
		book = &account{waiting: map[int]time.Time{}}
		l.accounts[known] = book
	}
	return book
}

// created notes a new user.
func (l *ledger) created(of *application, user int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(of).waiting[user] = now
}

// noticed is how long a new user may be under way to the lane.
const noticed = time.Second

// admitted notes that work for a user begins in the lane.
func (l *ledger) admitted(of *application, user, priority int, probe bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	book := l.of(of)
	delete(book.waiting, user)
	if priority == agenda.Rest && !probe {
		for _, since := range book.waiting {
			if now.Sub(since) > noticed {
				book.jumped++
				break
			}
		}
	}
	if !book.rejectedAt.IsZero() {
		book.tries = append(book.tries, now)
	}
}

// sent notes a request.
func (l *ledger) sent(known *record, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(known.of).requests++
	if known.secret != nil && known.secret.refreshAt.After(now) {
		l.of(known.of).needless = append(l.of(known.of).needless, now)
	}
}

// answered notes how Gini answered.
func (l *ledger) answered(of *application, kind gini.Kind, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	book := l.of(of)
	if kind == gini.CredentialsRejected && book.rejectedAt.IsZero() {
		book.rejectedAt = now
	}
	if kind != gini.None {
		return
	}
	for _, fault := range of.faults {
		if fault.mended.IsZero() && !now.Before(fault.to) {
			fault.mended = now
			if fault.kind == gini.CredentialsRejected {
				book.rejectedAt = time.Time{}
			}
		}
	}
}

// written notes a token that is written into a Secret.
func (l *ledger) written(known *record, token held, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	book, before := l.of(known.of), known.secret
	if before == nil {
		book.firsts = append(book.firsts, job{known.created, now})
		return
	}
	if before.grant.token == token.grant.token { // Gini gives the same one still
		return
	}
	due := before.refreshAt
	if known.of.sticky {
		due = before.grant.ends
	}
	book.renewals = append(book.renewals, job{due, now})
	if before.grant.ends.Before(now) {
		book.expired = append(book.expired, job{before.grant.ends, now})
	}
}

// ended notes the tokens that have expired at the end.
func (l *ledger) ended(users []record, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, known := range users {
		if known.secret != nil && known.secret.grant.ends.Before(now) {
			book := l.of(known.of)
			book.expired = append(book.expired, job{known.secret.grant.ends, now})
		}
	}
}
