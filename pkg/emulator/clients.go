package emulator

// client is a registered Gini application.
type client struct {
	id     string
	secret string

	noClientCredentials bool
	noPassword          bool
	refresh             refreshGrant
	jwt                 JWT         // the zero value: none
	restriction         Restriction // the zero value: none
}

// refreshGrant is whether Gini configured this client for refresh tokens.
type refreshGrant int

const (
	refreshAsSettings refreshGrant = iota
	refreshAlways
	refreshNever
)

// ClientOption configures a registered application.
type ClientOption func(*client)

// WithoutClientCredentialsGrant makes a client that cannot have a client token: 401 invalid_client.
func WithoutClientCredentialsGrant() ClientOption {
	return func(c *client) { c.noClientCredentials = true }
}

// WithoutPasswordGrant makes a client whose anonymous users cannot log in: 401 invalid_client.
func WithoutPasswordGrant() ClientOption { return func(c *client) { c.noPassword = true } }

// WithRefreshTokens makes a client that gets refresh tokens, stable ones unless Behaviour.Refresh says rotating.
func WithRefreshTokens() ClientOption { return func(c *client) { c.refresh = refreshAlways } }

// WithoutRefreshTokens makes a client that never gets refresh tokens, whatever Behaviour.Refresh says.
func WithoutRefreshTokens() ClientOption { return func(c *client) { c.refresh = refreshNever } }

// refreshMode is how b treats this client.
func (c *client) refreshMode(b *Behaviour) RefreshMode {
	mode := b.Refresh
	if mode == "" {
		mode = RefreshAbsent
	}
	switch {
	case c.refresh == refreshNever:
		return RefreshAbsent
	case c.refresh == refreshAlways && mode == RefreshAbsent:
		return RefreshStable
	}
	return mode
}

// hasRefreshGrant tells whether either endpoint gives this client refresh tokens.
func (c *client) hasRefreshGrant(s *Settings) bool {
	return c.refreshMode(&s.Login) != RefreshAbsent || c.refreshMode(&s.UserCenter) != RefreshAbsent
}

// authenticated is the client whose credentials the call carries, or nil.
func (s *Server) authenticated(c *call) *client {
	id, secret, ok := c.clientCredentials()
	if !ok {
		return nil
	}
	registered := s.clients[id]
	if registered == nil || registered.secret != secret {
		return nil
	}
	return registered
}

// AddClient registers an application, or registers it anew, while the emulator runs.
func (s *Server) AddClient(id, secret string, opts ...ClientOption) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addClient(id, secret, opts...)
}

func (s *Server) addClient(id, secret string, opts ...ClientOption) {
	c := &client{id: id, secret: secret}
	for _, o := range opts {
		o(c)
	}
	s.clients[id] = c
	s.everClients[id] = true
}
