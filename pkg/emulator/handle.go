package emulator

import (
	"net/http"
	"time"
)

// handle answers a call as Gini would, faults apart. Server.mu is held: a call takes effect at once and as a whole.
func (s *Server) handle(c *call) answer {
	if c.refused != 0 {
		return s.errorFor(c, c.refused)
	}
	if c.path == "/oauth/check_token" && s.settings.NoCheckToken {
		return s.errorFor(c, http.StatusNotFound)
	}
	switch c.op {
	case Login:
		return s.login(c)
	case Documents:
		return s.documents(c)
	case CheckToken:
		return s.checkToken(c)
	case CreateUser:
		return s.createUser(c)
	case GetUser:
		return s.getUser(c)
	case UpdateUser:
		return s.updateUser(c)
	case DeleteUser:
		return s.deleteUser(c)
	}
	return s.oauthToken(c)
}

// now is a wall-clock instant: lifetimes end by the wall clock, whatever the machine did meanwhile.
func (s *Server) now() time.Time { return s.clock.Now().Round(0) }

// terms are what the endpoint of this operation issues tokens under to this client.
func (s *Server) terms(from Operation, cl *client) terms {
	tm := terms{form: s.settings.TokenForm, refresh: RefreshAbsent}
	switch from {
	case ClientToken:
		tm.behaviour = &s.settings.ClientToken
		tm.lifetime = firstSet(tm.behaviour.Lifetime)
		return tm
	case Login:
		tm.behaviour = &s.settings.Login
	default:
		tm.behaviour = &s.settings.UserCenter
	}
	tm.lifetime = firstSet(tm.behaviour.Lifetime, s.settings.Lifetime)
	tm.refreshLifetime = firstSet(tm.behaviour.RefreshLifetime, DefaultRefreshLifetime)
	tm.refresh = cl.refreshMode(tm.behaviour)
	return tm
}

// use looks a presented access token up and counts its use.
func (s *Server) use(c *call) (*token, tokenState) {
	now := s.now()
	t := s.tokens.access.known[c.bearer]
	state := t.state(now)
	s.recorder.use(c, t, state, now)
	return t, state
}
