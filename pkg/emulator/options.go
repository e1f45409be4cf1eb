package emulator

import (
	"log/slog"
	"time"

	"k8s.io/utils/clock"
)

// Option configures a new emulator.
type Option func(*Server)

// WithClock sets the clock that lifetimes, Match.Until and the ledger's instants go by. Default is the real one. Latency goes by
// the real one always.
func WithClock(c clock.PassiveClock) Option { return func(s *Server) { s.clock = c } }

// WithClient registers a Gini application. More than one may be registered.
func WithClient(id, secret string, opts ...ClientOption) Option {
	return func(s *Server) { s.addClient(id, secret, opts...) }
}

// WithSettings changes any settings; values that Settings.Validate refuses panic.
func WithSettings(change func(*Settings)) Option { return func(s *Server) { s.Configure(change) } }

// WithLifetime sets how long users' access tokens live. Default 12 h.
func WithLifetime(d time.Duration) Option {
	return WithSettings(func(c *Settings) { c.Lifetime = d })
}

// WithClientTokenLifetime sets how long client tokens live. Default 12 h.
func WithClientTokenLifetime(d time.Duration) Option {
	return WithSettings(func(c *Settings) { c.ClientToken.Lifetime = d })
}

// WithLogin sets how POST /login issues tokens.
func WithLogin(b Behaviour) Option { return WithSettings(func(c *Settings) { c.Login = b }) }

// WithUserCenter sets how the password grant issues tokens.
func WithUserCenter(b Behaviour) Option {
	return WithSettings(func(c *Settings) { c.UserCenter = b })
}

// WithClientToken sets how the client_credentials grant issues tokens.
func WithClientToken(b Behaviour) Option {
	return WithSettings(func(c *Settings) { c.ClientToken = b })
}

// WithEmailDomains sets the allow-list of domains for new e-mail addresses. Default all.
func WithEmailDomains(domains ...string) Option {
	return WithSettings(func(c *Settings) { c.EmailDomains = domains })
}

// WithPathPrefix sets what stands before every path of both hosts, such as "/gini", as with a proxy. /ledger and /healthz have none.
func WithPathPrefix(prefix string) Option {
	return WithSettings(func(c *Settings) { c.PayAPIPrefix, c.UserCenterPrefix = prefix, prefix })
}

// WithTLSNames adds DNS names and IP addresses to StartTLS's certificate.
func WithTLSNames(names ...string) Option {
	return func(s *Server) { s.tlsNames = append(s.tlsNames, names...) }
}

// WithLogger logs one line for each request, without credentials. Default none.
func WithLogger(l *slog.Logger) Option { return func(s *Server) { s.log = l } }

// WithCallLog sets how many calls the ledger keeps in detail. Default 10,000.
func WithCallLog(size int) Option { return func(s *Server) { s.recorder.callLog = size } }
