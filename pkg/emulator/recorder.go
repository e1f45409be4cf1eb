package emulator

import (
	"maps"
	"slices"
	"time"
)

// Bounds of what the ledger keeps: a soak runs for days.
const (
	defaultCallLog     = 10_000
	maxExpiredUses     = 1_000
	maxDeletedAccounts = 10_000
	maxUserRecords     = 200_000
)

// recorder is the ledger as it grows. Guarded by Server.mu.
type recorder struct {
	callLog int
	counts  Counts
	ledger  Ledger // its scalar counters and bounded lists; the maps and the calls are apart
	calls   []Call // a ring: the call with sequence n is at (n-1) % callLog

	users     map[userKey]*UserRecord
	userOrder []*UserRecord

	inFlight, maxInFlight map[string]int
	tokenRequests         map[userKey]int // under way; the key without name is for client tokens
	faults                map[string]int
	fetches               map[string]Fetches // of JWK Sets, by client
}

func newRecorder() *recorder {
	return &recorder{
		callLog: defaultCallLog,
		counts: Counts{
			ByOperation: map[Operation]int{}, ByStatus: map[int]int{}, ByClient: map[string]map[Operation]int{},
			WrongCredentials: map[string]map[Operation]int{}, Refused: map[string]map[Operation]int{},
		},
		users:         map[userKey]*UserRecord{},
		inFlight:      map[string]int{},
		maxInFlight:   map[string]int{},
		tokenRequests: map[userKey]int{},
		faults:        map[string]int{},
		fetches:       map[string]Fetches{},
	}
}

// arrival is what is known of a call when it arrives, and what has to be taken back when it leaves.
type arrival struct {
	sequence         int
	clientID         string
	op               Operation
	tokenKey         *userKey // of a token request
	overlapping      bool
	staleClientToken bool
}

func (r *recorder) arrive(c *call, now time.Time) arrival {
	r.counts.Total++
	r.counts.ByOperation[c.op]++
	countFor(r.counts.ByClient, c.clientID, c.op)
	if c.wrongCredentials {
		countFor(r.counts.WrongCredentials, c.clientID, c.op)
	}
	r.inFlight[c.clientID]++
	r.maxInFlight[c.clientID] = max(r.maxInFlight[c.clientID], r.inFlight[c.clientID])

	a := arrival{sequence: r.counts.Total, clientID: c.clientID, op: c.op}
	user := r.user(c.user, c.email)
	if user != nil {
		user.Requests++
	}
	switch {
	case c.op == ClientToken:
		a.tokenKey = &userKey{client: c.clientID}
	case c.op.isTokenRequest() && c.user.name != "":
		a.tokenKey = &userKey{c.user.client, c.user.name}
	}
	if a.tokenKey != nil {
		r.tokenRequests[*a.tokenKey]++
		a.overlapping = r.tokenRequests[*a.tokenKey] > 1
		r.countTokenRequest(a, user)
	}
	r.log(c, a, now)
	return a
}

// countFor adds one to a client's count of an operation.
func countFor(counts map[string]map[Operation]int, clientID string, op Operation) {
	if counts[clientID] == nil {
		counts[clientID] = map[Operation]int{}
	}
	counts[clientID][op]++
}

func (r *recorder) countTokenRequest(a arrival, user *UserRecord) {
	overlap := 0
	if a.overlapping {
		overlap = 1
	}
	if a.tokenKey.name == "" {
		r.ledger.OverlappingClientTokens += overlap
		return
	}
	r.ledger.OverlappingTokenRequests += overlap
	if user != nil {
		user.TokenRequests++
		user.Overlapping += overlap
		user.MaxTokenRequests = max(user.MaxTokenRequests, r.tokenRequests[*a.tokenKey])
	}
}

func (r *recorder) log(c *call, a arrival, now time.Time) {
	if r.callLog <= 0 {
		return
	}
	entry := Call{Sequence: a.sequence, Time: now, Operation: c.op, Method: c.method, ClientID: c.clientID, User: c.user.name,
		WrongCredentials: c.wrongCredentials}
	if c.route.methods != nil {
		entry.Path = c.path // a path that Gini does not have could hold anything
	}
	switch {
	case c.jwt != nil:
		entry.Token, entry.JWT = Fingerprint(c.jwt.raw), true
	case c.hasBearer:
		entry.Token = Fingerprint(c.bearer)
	}
	if len(r.calls) < r.callLog {
		r.calls = append(r.calls, entry)
	} else {
		r.calls[(a.sequence-1)%r.callLog] = entry
	}
}

// logged is the call's entry, nil once the ring has gone past it.
func (r *recorder) logged(a arrival) *Call {
	if r.callLog <= 0 {
		return nil
	}
	entry := &r.calls[(a.sequence-1)%r.callLog]
	if entry.Sequence != a.sequence {
		return nil
	}
	return entry
}

func (r *recorder) fault(a arrival, name string) {
	r.faults[name]++
	if entry := r.logged(a); entry != nil {
		entry.Fault = name
	}
}

func (r *recorder) leave(a arrival, status int) {
	r.counts.ByStatus[status]++
	if status >= 400 {
		countFor(r.counts.Refused, a.clientID, a.op)
	}
	r.inFlight[a.clientID]--
	if a.tokenKey != nil {
		if r.tokenRequests[*a.tokenKey]--; r.tokenRequests[*a.tokenKey] == 0 {
			delete(r.tokenRequests, *a.tokenKey)
		}
	}
	if entry := r.logged(a); entry != nil {
		entry.Status, entry.Done = status, true
	}
}

// use counts a use of a bearer token.
func (r *recorder) use(c *call, t *token, state tokenState, now time.Time) {
	forUser := c.op == Documents
	uses := &r.ledger.ClientTokenUses
	if t == nil && forUser || t != nil && !t.isClientToken() {
		uses = &r.ledger.TokenUses
	}
	all := []*Uses{uses}
	if forUser {
		if user := r.user(c.user, c.email); user != nil {
			all = append(all, &user.Uses)
		}
	}
	for _, u := range all {
		u.count(state, t != nil && t.isClientToken() == forUser)
	}
	if state == tokenExpired {
		r.ledger.ExpiredUseList = appendBounded(r.ledger.ExpiredUseList, maxExpiredUses, ExpiredUse{
			Token: Fingerprint(t.value), Operation: c.op, ClientID: t.owner.client, User: t.owner.name, Expired: t.expires, Used: now,
		})
	}
}

func (u *Uses) count(state tokenState, wrongKind bool) {
	if state == tokenValid && !wrongKind {
		u.Accepted++
		return
	}
	u.Refused++
	switch state {
	case tokenExpired:
		u.UsedExpired++
	case tokenEnded:
		u.UsedEnded++
	case tokenUnknown:
		u.UsedUnknown++
	case tokenValid:
		u.UsedWrongKind++
	}
}

// useJWT counts a use of a JWT that has been checked.
func (r *recorder) useJWT(c *call, now time.Time) {
	r.ledger.JWTUses.count(c.jwt.refused)
	if user := r.user(c.user, c.email); user != nil {
		user.JWTUses.count(c.jwt.refused)
	}
	if c.jwt.refused == errJWTExpired {
		r.ledger.ExpiredUseList = appendBounded(r.ledger.ExpiredUseList, maxExpiredUses, ExpiredUse{
			Token: Fingerprint(c.jwt.raw), Operation: c.op, ClientID: c.user.client, User: c.user.name, Expired: c.jwt.expires, Used: now,
		})
	}
}

func (u *JWTUses) count(refused *jwtError) {
	if refused == nil {
		u.Accepted++
		return
	}
	u.Refused++
	*refused.counter(u)++
}

func (r *recorder) fetched(clientID string, failed bool) {
	f := r.fetches[clientID]
	f.Total++
	if failed {
		f.Failed++
	}
	r.fetches[clientID] = f
}

func (r *recorder) loggedIn(key userKey, fresh bool) {
	if user := r.user(key, ""); user != nil {
		user.Logins++
		if fresh {
			user.TokensIssued++
		}
	}
}

func (r *recorder) refreshed(key userKey) {
	if user := r.user(key, ""); user != nil {
		user.Refreshes++
		user.TokensIssued++
	}
}

func (r *recorder) derived(key userKey) {
	r.ledger.DerivedUsers++
	if user := r.user(key, ""); user != nil {
		user.Derived = true
	}
}

func (r *recorder) accountCreated(a *account) {
	r.ledger.AccountsCreated++
	r.user(userKey{a.clientID, a.id}, a.email)
}

func (r *recorder) emailChanged(a *account) { r.user(userKey{a.clientID, a.id}, a.email) }

func (r *recorder) accountDeleted(a *account, now time.Time) {
	r.ledger.AccountsDeleted++
	entry := accountEntry(a)
	entry.Deleted = now
	r.ledger.DeletedAccounts = appendBounded(r.ledger.DeletedAccounts, maxDeletedAccounts, entry)
}

// user is the record of a user, nil for none and for one too many. An e-mail address that is given is kept.
func (r *recorder) user(key userKey, email string) *UserRecord {
	if key.name == "" {
		return nil
	}
	u := r.users[key]
	if u == nil {
		if len(r.users) >= maxUserRecords {
			return nil
		}
		u = &UserRecord{ID: key.name, ClientID: key.client}
		r.users[key] = u
		r.userOrder = append(r.userOrder, u)
	}
	if email != "" {
		u.Email = email
	}
	return u
}

func (r *recorder) snapshot() Ledger {
	l := r.ledger
	l.Counts = r.counts.clone()
	l.ExpiredUseList = slices.Clone(l.ExpiredUseList)
	l.DeletedAccounts = slices.Clone(l.DeletedAccounts)
	l.MaxInFlightByClient = maps.Clone(r.maxInFlight)
	l.Faults = maps.Clone(r.faults)
	l.JWKSetFetches = maps.Clone(r.fetches)
	l.Users = make([]UserRecord, len(r.userOrder))
	for i, u := range r.userOrder {
		l.Users[i] = *u
	}
	if start := r.counts.Total; len(r.calls) == r.callLog && r.callLog > 0 {
		l.Calls = append(slices.Clone(r.calls[start%r.callLog:]), r.calls[:start%r.callLog]...)
	} else {
		l.Calls = slices.Clone(r.calls)
	}
	return l
}

// appendBounded drops the older half when the list is full, so that the price of a drop is shared.
func appendBounded[T any](list []T, bound int, entry T) []T {
	if len(list) >= bound {
		list = slices.Clone(list[bound/2:])
	}
	return append(list, entry)
}
