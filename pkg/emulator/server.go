package emulator

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Server is an emulated Gini. All methods may be called at any time from any goroutine.
type Server struct {
	clock    clock.PassiveClock
	log      *slog.Logger
	tlsNames []string
	keySets  *keySetCache

	mu          sync.Mutex // guards all below
	settings    Settings
	clients     map[string]*client
	everClients map[string]bool // so that the ledger keeps a removed client apart from a name that never was one
	accounts    *accountStore
	derived     map[userKey]bool
	tokens      *tokenStore
	rules       []*rule
	released    chan struct{}
	recorder    *recorder

	listening listening
}

// New makes an emulator that does not listen yet: call Start or StartTLS, or use it as an http.Handler. It knows no client until
// WithClient or AddClient names one.
func New(opts ...Option) *Server {
	s := &Server{
		clock:       clock.RealClock{},
		log:         slog.New(slog.DiscardHandler),
		keySets:     newKeySetCache(),
		settings:    defaultSettings(),
		clients:     map[string]*client{},
		everClients: map[string]bool{},
		accounts:    newAccountStore(),
		derived:     map[userKey]bool{},
		tokens:      newTokenStore(),
		released:    make(chan struct{}),
		recorder:    newRecorder(),
	}
	for _, o := range opts {
		o(s)
	}
	return s
}

// Configure changes settings while the emulator runs. The function runs under the emulator's lock: it must not call its methods. A
// value that Settings.Validate refuses panics, as it would make a test prove nothing.
func (s *Server) Configure(change func(*Settings)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.settings.clone()
	change(&changed)
	if err := changed.Validate(); err != nil {
		panic("emulator: " + err.Error())
	}
	s.settings = changed
}

// Settings is a copy of what holds now.
func (s *Server) Settings() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings.clone()
}

// ServeHTTP serves the Pay API, the User Center, and two endpoints that Gini does not have: GET /healthz, and GET /ledger with
// the ledger as JSON (?summary=true leaves out users, accounts and calls).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /healthz":
		_, _ = io.WriteString(w, "ok\n")
		return
	case "GET /ledger":
		s.serveLedger(w, r)
		return
	}
	began := time.Now()
	settings := s.Settings()
	c, err := read(r, &settings)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	effect, a := s.arrive(c)
	status := 0
	defer func() {
		s.leave(a, status)
		// No query, no header, no body: the line must be fit for anybody's eyes.
		s.log.Info("Request", "method", r.Method, "path", r.URL.Path, "status", status, "op", string(c.op), "duration", time.Since(began))
	}()
	status = s.reply(r.Context(), w, c, effect)
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
}

// arrive attributes and counts a call, and says what the script has for it.
func (s *Server) arrive(c *call) (*Effect, arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attribute(c)
	a := s.recorder.arrive(c, s.now())
	a.staleClientToken = s.isStaleClientToken(c)
	if f := s.fault(c, a); f != nil {
		s.recorder.fault(a, f.Name)
		return &f.Effect, a
	}
	return &Effect{}, a
}

func (s *Server) leave(a arrival, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recorder.leave(a, status)
}

// attribute finds out whose call it claims to be.
func (s *Server) attribute(c *call) {
	c.clientID = UnknownClient
	if id, _, ok := c.clientCredentials(); ok {
		if s.everClients[id] {
			c.clientID = id
		}
		c.wrongCredentials = s.authenticated(c) == nil
	}
	switch {
	case c.jwt != nil:
		s.attributeJWT(c)
	case c.hasBearer:
		if t := s.tokens.access.known[c.bearer]; t != nil {
			c.clientID, c.user = t.owner.client, t.owner
		}
	case c.op == Login || c.op == Documents:
		if c.identifier != "" {
			c.user = userKey{c.clientID, c.identifier}
		}
	case c.op == PasswordLogin:
		c.email = c.params.Get("username")
		c.user = userKey{c.clientID, c.email}
		if a := s.accounts.email(c.email); a != nil {
			c.user = userKey{a.clientID, a.id}
		}
	case c.op == Refresh:
		if rt := s.tokens.refresh.known[c.params.Get("refresh_token")]; rt != nil {
			c.user = rt.owner
		}
	}
	switch c.op {
	case CreateUser: // there is no user yet: the address is only for Match.User
		var in credentials
		_ = json.Unmarshal(c.body, &in)
		c.email = in.Email
	case GetUser, UpdateUser, DeleteUser:
		c.user = userKey{c.clientID, c.route.account}
	}
	if c.email == "" {
		if a := s.accounts.byID[c.user.name]; a != nil {
			c.email = a.email
		}
	}
}

func (s *Server) serveLedger(w http.ResponseWriter, r *http.Request) {
	l := s.Ledger()
	if r.URL.Query().Get("summary") == "true" {
		l = l.Summary()
	}
	w.Header().Set("Content-Type", jsonType)
	_ = json.NewEncoder(w).Encode(l)
}
