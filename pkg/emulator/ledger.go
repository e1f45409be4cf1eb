package emulator

import (
	"slices"
	"time"
)

// UnknownClient stands in the ledger for requests without client credentials, or with those of an application that was never registered.
const UnknownClient = "(unknown)"

// Ledger is what the emulator has seen since it was made: a copy, which does not change any more. It holds no credential: tokens
// appear as fingerprints (see [Fingerprint]). Counters are complete; lists are bounded as noted and drop their oldest entries.
type Ledger struct {
	Counts

	// TokenUses are uses of users' access tokens at GET /documents, ClientTokenUses those of client tokens at /api/users.
	TokenUses       Uses `json:"token_uses"`
	ClientTokenUses Uses `json:"client_token_uses"`
	// JWTUses are uses of JWTs at POST /login and GET /documents.
	JWTUses JWTUses `json:"jwt_uses"`
	// JWKSetFetches counts the requests for JWK Sets, by the client for whose call they were made.
	JWKSetFetches map[string]Fetches `json:"jwk_set_fetches"`
	// ExpiredUseList tells of each use of an expired token, users' and clients', and of an expired JWT; the last 1,000.
	ExpiredUseList []ExpiredUse `json:"expired_uses"`

	// MaxInFlightByClient is the highest number of requests of a client that were under way at once.
	MaxInFlightByClient map[string]int `json:"max_in_flight"`
	// OverlappingTokenRequests counts token requests that arrived while another one for the same user was under way, OverlappingClientTokens
	// those for client tokens of the same client.
	OverlappingTokenRequests int `json:"overlapping_token_requests"`
	OverlappingClientTokens  int `json:"overlapping_client_tokens"`

	AccountsCreated int `json:"accounts_created"`
	AccountsDeleted int `json:"accounts_deleted"`
	// DerivedUsers counts derived users; they come to exist with their first request.
	DerivedUsers int `json:"derived_users"`
	// Existing are the accounts there are, DeletedAccounts the last 10,000 deleted ones; oldest first.
	Existing        []Account `json:"accounts,omitempty"`
	DeletedAccounts []Account `json:"deleted_accounts,omitempty"`

	// Users has one record for each user that requests named, existing or not; the first 200,000. In order of appearance.
	Users []UserRecord `json:"users,omitempty"`
	// Calls are the last 10,000 (see WithCallLog) calls in order of arrival.
	Calls []Call `json:"calls,omitempty"`
	// Faults counts the effects that scripted faults had, by their names.
	Faults map[string]int `json:"faults"`
}

// Counts are the counters of requests: all, or those between a Mark and Since. GET /ledger and GET /healthz do not count.
type Counts struct {
	Total       int               `json:"requests"`
	ByOperation map[Operation]int `json:"by_operation"`
	// ByStatus counts answers; 0 stands for a connection that was cut or that the client left.
	ByStatus map[int]int                  `json:"by_status"`
	ByClient map[string]map[Operation]int `json:"by_client"`
	// WrongCredentials counts, by client, the requests that came with a wrong secret (or a removed client's), and as those of UnknownClient
	// the ones that came with an id that never was a client's. JWTs are not among them, see JWTUses.
	WrongCredentials map[string]map[Operation]int `json:"wrong_credentials"`
	// Refused counts, by client, the answers with a status of 400 or more, scripted ones too.
	Refused map[string]map[Operation]int `json:"refused"`
}

// Uses are uses of access tokens. Refused is the sum of the reasons below it.
type Uses struct {
	Accepted int `json:"accepted"`
	Refused  int `json:"refused"`
	// UsedExpired: the token was known and its lifetime over.
	UsedExpired int `json:"used_expired"`
	// UsedEnded: it ended before its time, by another login, a refresh, or from outside.
	UsedEnded int `json:"used_ended"`
	// UsedUnknown: never issued here.
	UsedUnknown int `json:"used_unknown"`
	// UsedWrongKind: a valid client token in a user's place or the other way round.
	UsedWrongKind int `json:"used_wrong_kind"`
}

// JWTUses are uses of JWTs. Refused is the sum of the reasons below it.
type JWTUses struct {
	Accepted int `json:"accepted"`
	Refused  int `json:"refused"`
	// Malformed: garbage, oversized (8 KiB), without the scheme Bearer, or with crit.
	Malformed int `json:"malformed"`
	// UnknownIssuer: iss is missing or no client's.
	UnknownIssuer int `json:"unknown_issuer"`
	// WrongAlgorithm: alg is not an asymmetric one of RFC 7518, or not what the key is for.
	WrongAlgorithm int `json:"wrong_algorithm"`
	// UnknownKey: kid is missing or not in the JWK Set.
	UnknownKey int `json:"unknown_key"`
	// NoKeySet: the JWK Set could not be fetched, or was none, or held a private or symmetric key.
	NoKeySet int `json:"no_key_set"`
	// BadSignature: another key made it.
	BadSignature int `json:"bad_signature"`
	// UsedExpired: the signature is right and exp has passed.
	UsedExpired int `json:"used_expired"`
	// NotYetValid: iat or nbf is in the future.
	NotYetValid int `json:"not_yet_valid"`
	// WrongClaims: exp is missing, aud or a client credential is wrong, or no user is named.
	WrongClaims int `json:"wrong_claims"`
}

// Fetches are requests for a client's JWK Set that are over. Failed is how many of them brought none that could be used.
type Fetches struct {
	Total  int `json:"total"`
	Failed int `json:"failed"`
}

// ExpiredUse is one use of an expired token; Used − Expired is how late it was.
type ExpiredUse struct {
	Token     string    `json:"token"` // its Fingerprint, a JWT's too
	Operation Operation `json:"operation"`
	ClientID  string    `json:"client_id"`
	User      string    `json:"user,omitempty"` // account id or identifier; empty for a client token
	Expired   time.Time `json:"expired"`
	Used      time.Time `json:"used"`
}

// Account is an anonymous user's account.
type Account struct {
	ID       string    `json:"id"`
	Email    string    `json:"email"`
	ClientID string    `json:"client_id"`
	Created  time.Time `json:"created"`
	Deleted  time.Time `json:"deleted,omitzero"`
}

// UserRecord counts what happened for one user of one client.
type UserRecord struct {
	// ID is the account id of an anonymous user, the identifier of a derived one, and the e-mail address where a login named one that
	// does not exist.
	ID       string `json:"id"`
	Email    string `json:"email,omitempty"`
	ClientID string `json:"client_id"`
	Derived  bool   `json:"derived,omitempty"`

	Requests      int `json:"requests"`
	TokenRequests int `json:"token_requests"` // successful or not: password, refresh, /login
	Logins        int `json:"logins"`         // successful ones
	Refreshes     int `json:"refreshes"`      // successful ones
	// TokensIssued counts distinct access tokens: a sticky login that gives the same token again adds none.
	TokensIssued     int  `json:"tokens_issued"`
	MaxTokenRequests int  `json:"max_token_requests_in_flight"`
	Overlapping      int  `json:"overlapping_token_requests"`
	Uses             Uses `json:"uses"`
	// JWTUses are those of JWTs that name this user, whoever made them.
	JWTUses JWTUses `json:"jwt_uses"`
}

// Call is one request. Status is 0 while it is under way and where no answer was written.
type Call struct {
	Sequence  int       `json:"sequence"` // counts from 1
	Time      time.Time `json:"time"`
	Operation Operation `json:"operation"`
	Method    string    `json:"method"`
	Path      string    `json:"path"` // without prefix and query; empty where Gini has no such path
	ClientID  string    `json:"client_id"`
	User      string    `json:"user,omitempty"`
	Token     string    `json:"token,omitempty"` // the Fingerprint of the bearer token or the JWT
	JWT       bool      `json:"jwt,omitempty"`   // whether Token is that of a JWT
	// WrongCredentials: the request came with client credentials that were wrong then, see Counts.
	WrongCredentials bool   `json:"wrong_credentials,omitempty"`
	Status           int    `json:"status"`
	Fault            string `json:"fault,omitempty"`
	Done             bool   `json:"done"`
}

// Requests is the number of requests.
func (c Counts) Requests() int { return c.Total }

// Count is the number of requests for any of these operations.
func (c Counts) Count(ops ...Operation) (n int) {
	for _, op := range ops {
		n += c.ByOperation[op]
	}
	return n
}

// CountClient is the number of a client's requests for any of these operations, or of all its requests where none is named.
func (c Counts) CountClient(clientID string, ops ...Operation) int {
	return sum(c.ByClient[clientID], ops)
}

// CountWrongCredentials is CountClient for the requests with wrong client credentials.
func (c Counts) CountWrongCredentials(clientID string, ops ...Operation) int {
	return sum(c.WrongCredentials[clientID], ops)
}

// CountRefused is CountClient for the requests that were answered with a status of 400 or more.
func (c Counts) CountRefused(clientID string, ops ...Operation) int {
	return sum(c.Refused[clientID], ops)
}

// sum is that of these operations' counts, or of all where none is named.
func sum(counts map[Operation]int, ops []Operation) (n int) {
	for op, count := range counts {
		if len(ops) == 0 || slices.Contains(ops, op) {
			n += count
		}
	}
	return n
}

// CountStatus is the number of answers with this status; 0 for requests that got none.
func (c Counts) CountStatus(status int) int { return c.ByStatus[status] }

// ExpiredUses is how often an expired access token of a user was used: what must never happen.
func (l Ledger) ExpiredUses() int { return l.TokenUses.UsedExpired }

// ExpiredClientTokenUses is how often an expired client token was used. With sticky tokens that can happen to the best.
func (l Ledger) ExpiredClientTokenUses() int { return l.ClientTokenUses.UsedExpired }

// ExpiredJWTUses is how often an expired JWT was used: what must never happen either.
func (l Ledger) ExpiredJWTUses() int { return l.JWTUses.UsedExpired }

// Accounts are the accounts that exist, oldest first.
func (l Ledger) Accounts() []Account { return l.Existing }

// MaxInFlight is the highest number of a client's requests that were under way at once.
func (l Ledger) MaxInFlight(clientID string) int { return l.MaxInFlightByClient[clientID] }

// User is the record of a user, named by account id, e-mail address or identifier; the zero record where there is none. Where several
// fit (an identifier of two clients), it is the first.
func (l Ledger) User(user string) UserRecord {
	for _, u := range l.Users {
		if u.ID == user || u.Email == user {
			return u
		}
	}
	return UserRecord{}
}

// TokenRequests is how many token requests there were for a user, over all records that fit the name.
func (l Ledger) TokenRequests(user string) (n int) {
	for _, u := range l.Users {
		if u.ID == user || u.Email == user {
			n += u.TokenRequests
		}
	}
	return n
}

// CallsSince are the recorded calls that arrived after the mark.
func (l Ledger) CallsSince(m Mark) []Call {
	for i, c := range l.Calls {
		if c.Sequence > m.counts.Total {
			return l.Calls[i:]
		}
	}
	return nil
}

// Summary is the ledger without users, accounts and calls.
func (l Ledger) Summary() Ledger {
	l.Users, l.Existing, l.DeletedAccounts, l.Calls = nil, nil, nil, nil
	return l
}
