package lane

// A user whose requests hang, or fail for its own sake, holds a permit until it gives up, and comes again. Many of them would hold all permits
// of a client that is well. So those that failed before get half of them, and the others always find one.

// share is how many more of those that failed before may begin at an endpoint that is well.
func (l *Lane) share(endpoint Endpoint) int {
	share := max(1, l.limits.MaxInFlight/2)
	for _, side := range l.atHost(endpoint) {
		for _, turn := range side.turns {
			if turn.again {
				share--
			}
		}
	}
	return share
}

// atHost is what is known of the endpoints that share a host with one: an identity provider has its own.
func (l *Lane) atHost(endpoint Endpoint) []*side {
	if endpoint == ProviderEndpoint {
		return []*side{l.sides[ProviderEndpoint]}
	}
	return []*side{l.sides[LoginEndpoint], l.sides[UserCenterEndpoint], l.sides[JWTLoginEndpoint]}
}
