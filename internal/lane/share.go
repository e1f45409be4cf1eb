package lane

import "github.com/gini-operator/gini-operator/internal/agenda"

// A user whose requests hang, or fail for its own sake, holds a permit until it gives up, and comes again. Many of them would hold all permits
// of a client that is well. So those that failed before get half of them, and they and new users together leave one to what
// is urgent: whoever may create users must not let the others' tokens expire.

// share is how many more may begin at an endpoint that is well: of those that failed before, and of new users and these together. What is not
// urgent does not take what new users leave.
func (l *Lane) share(endpoint Endpoint) (failed, doubtful int) {
	failed, doubtful = max(1, l.limits.MaxInFlight/2), max(1, l.limits.MaxInFlight-1)
	fresh := 0
	for _, side := range l.atHost(endpoint) {
		for _, turn := range side.turns {
			if turn.again {
				failed--
			}
			if turn.priority == agenda.First {
				fresh++
			}
			if turn.again || turn.priority <= agenda.First {
				doubtful--
			}
		}
	}
	if fresh == 0 { // there is nobody to leave anything to others
		return failed, l.limits.MaxInFlight
	}
	return min(failed, doubtful), doubtful
}

// crowded reports whether a user waits for others of its kind to end.
func (l *Lane) crowded(endpoint Endpoint, held retry, priority int) bool {
	if !l.sides[endpoint].state.Healthy() {
		return false
	}
	failed, doubtful := l.share(endpoint)
	return (held.row > 0 && failed < 1) || (priority <= agenda.First && doubtful < 1)
}

// atHost is what is known of the endpoints that share a host with one: an identity provider has its own.
func (l *Lane) atHost(endpoint Endpoint) []*side {
	if endpoint == ProviderEndpoint {
		return []*side{l.sides[ProviderEndpoint]}
	}
	return []*side{l.sides[LoginEndpoint], l.sides[UserCenterEndpoint], l.sides[JWTLoginEndpoint]}
}
