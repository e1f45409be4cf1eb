// Package provider gets JWTs for Gini from a customer's own identity provider, by the client credentials grant of
// OAuth 2.0 (RFC 6749, 4.4): the user's identifier travels as one more parameter, and the access token that comes back
// is the JWT.
//
// A JWT is looked at before it is handed on, so that what is wrong with a provider's configuration is said here and
// not guessed from Gini's refusal. Its signature is not verified: Gini does that, with the keys that it knows.
//
// What the provider answers never reaches an error text, and neither does a credential; see gini.Error.
package provider

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/identity"
	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/transport"
)

// System is what gini.Error calls this server, and OperationClientCredentials the only thing that is asked of it.
const (
	System                     = "identity provider"
	OperationClientCredentials = "client credentials"
)

// DefaultUserIdentifierParameter is Config's.
const DefaultUserIdentifierParameter = "sub"

// Authentication is how the client's credentials are sent (RFC 6749, 2.3.1). Exactly one way is ever tried.
type Authentication string

// The ways.
const (
	// Basic is HTTP Basic with both values form-encoded first, as the RFC has it.
	Basic Authentication = "Basic"
	// RawBasic is HTTP Basic with both values as they are, for providers that do not decode them.
	RawBasic Authentication = "RawBasic"
	// Post puts them into the request's body.
	Post Authentication = "Post"
)

// Reserved are the parameters of the token request that have a meaning of their own here, or for the client's authentication.
var Reserved = []string{"grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type"}

// maxInput bounds what is taken as input, in bytes.
const maxInput = 4096

// Config is what a Client is made of. It is read once, by New.
type Config struct {
	// TokenURL is the provider's token endpoint, taken as it is; a query is allowed (RFC 6749, 3.2). Whether plain http
	// is, and which hosts are, is not decided here.
	TokenURL     *url.URL
	ClientID     string // at the provider
	ClientSecret secret.Text
	// Authentication is how these are sent; empty: Basic.
	Authentication Authentication
	// UserIdentifierParameter is the form parameter that names the user; empty: DefaultUserIdentifierParameter.
	UserIdentifierParameter string
	Scopes                  []string
	// Parameters are further ones, the same in every request.
	Parameters map[string]string

	// What a JWT must say: the issuer that Gini knows, and the client's id at Gini. Names without a value are identity's
	// defaults; whether the client secret is a claim as well is left to the provider.
	Issuer       string
	Names        identity.ClaimNames
	GiniClientID string

	RootCAs      []byte                // as in transport.Config
	AllowAddress func(netip.Addr) bool // as in transport.Config

	ConnectTimeout time.Duration // as in transport.Config
	// RequestTimeout bounds a whole request, its body included; 0: gini.DefaultRequestTimeout. Only this one yields
	// Kind Timeout: a deadline of the caller's own is Canceled.
	RequestTimeout time.Duration

	Limiter   gini.Limiter       // waited on before every request; nil: no limit
	Clock     clock.PassiveClock // what lifetimes count by; nil: the system's
	UserAgent string             // empty: gini.DefaultUserAgent
	Observe   func(gini.Observation)
}

// Client asks one identity provider with one client's credentials. It is safe for concurrent use. It follows no
// redirect and repeats nothing.
type Client struct {
	tokenURL       *url.URL
	clientID       string
	clientSecret   secret.Text
	authentication Authentication
	parameter      string
	scopes         []string
	parameters     map[string]string

	issuer       string
	names        identity.ClaimNames
	giniClientID string

	transport      *http.Transport
	requestTimeout time.Duration
	limiter        gini.Limiter
	clock          clock.PassiveClock
	userAgent      string
	observe        func(gini.Observation)

	served atomic.Bool // a JWT was handed on: credentials, parameters and claims are right
}

// New checks the configuration and returns its Client; it sends nothing. Its errors name the field and hold no value.
func New(config Config) (*Client, error) {
	if problem := urlProblem(config.TokenURL); problem != "" {
		return nil, errors.New("identity provider: token URL: " + problem)
	}
	client := &Client{
		tokenURL:       config.TokenURL,
		clientID:       config.ClientID,
		clientSecret:   config.ClientSecret,
		authentication: cmp.Or(config.Authentication, Basic),
		parameter:      cmp.Or(config.UserIdentifierParameter, DefaultUserIdentifierParameter),
		scopes:         slices.Clone(config.Scopes),
		parameters:     maps.Clone(config.Parameters),
		issuer:         config.Issuer,
		names: identity.ClaimNames{
			UserIdentifier: cmp.Or(config.Names.UserIdentifier, identity.DefaultUserIdentifierClaim),
			ClientID:       cmp.Or(config.Names.ClientID, identity.DefaultClientIDClaim),
		},
		giniClientID:   config.GiniClientID,
		requestTimeout: cmp.Or(config.RequestTimeout, gini.DefaultRequestTimeout),
		limiter:        config.Limiter,
		clock:          config.Clock,
		userAgent:      cmp.Or(config.UserAgent, gini.DefaultUserAgent),
		observe:        config.Observe,
	}
	if client.clock == nil {
		client.clock = clock.RealClock{}
	}
	if err := client.check(); err != nil {
		return nil, err
	}
	if min(config.ConnectTimeout, config.RequestTimeout) < 0 {
		return nil, errors.New("identity provider: a timeout is negative")
	}
	connections, err := transport.New(transport.Config{
		RootCAs: config.RootCAs, AllowAddress: config.AllowAddress, ConnectTimeout: config.ConnectTimeout,
	})
	if err != nil {
		return nil, errors.New("identity provider: " + err.Error())
	}
	client.transport = connections
	return client, nil
}

// check looks at every text that a request or a comparison is made of.
func (c *Client) check() error {
	for _, field := range []struct{ name, value string }{
		{"client id", c.clientID},
		{"client secret", c.clientSecret.Reveal()},
		{"user identifier parameter", c.parameter},
		{"issuer", c.issuer},
		{"user identifier claim", c.names.UserIdentifier},
		{"client id claim", c.names.ClientID},
		{"client id at Gini", c.giniClientID},
		{"user agent", c.userAgent},
	} {
		if problem := gini.InputProblem(field.value, maxInput); problem != "" {
			return errors.New("identity provider: " + field.name + " " + problem)
		}
	}
	switch c.authentication {
	case Basic, Post:
	case RawBasic:
		if strings.Contains(c.clientID, ":") {
			return errors.New("identity provider: client id holds a colon, which raw HTTP Basic cannot carry (RFC 7617)")
		}
	default:
		return errors.New("identity provider: no such way to authenticate")
	}
	if slices.Contains(Reserved, c.parameter) {
		return errors.New("identity provider: user identifier parameter is one of OAuth's own")
	}
	for name, value := range c.parameters {
		switch {
		case slices.Contains(Reserved, name) || name == c.parameter:
			return errors.New("identity provider: a parameter is one of those that are set anyway")
		case gini.InputProblem(name, maxInput) != "" || gini.InputProblem(value, maxInput) != "":
			return errors.New("identity provider: a parameter is empty, too long, or holds a control character")
		}
	}
	for _, scope := range c.scopes {
		if gini.InputProblem(scope, maxInput) != "" || strings.Contains(scope, " ") {
			return errors.New("identity provider: a scope is empty, or holds a blank or control character")
		}
	}
	return nil
}

// ParseTokenURL reads a token endpoint's URL. It is an endpoint as gini.ParseEndpoint has it, but for its path, which may end in
// a slash, and for a query (RFC 6749, 3.2): both are kept as they are. The error's text is constant.
func ParseTokenURL(raw string) (*url.URL, error) {
	base, query, hasQuery := strings.Cut(raw, "?")
	checked, err := gini.ParseEndpoint(base, true)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		return nil, errors.New("the query holds a blank or another character that must be escaped, or a fragment follows it")
	}
	parsed, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("not a URL") // cannot be
	}
	parsed.Host, parsed.RawQuery, parsed.ForceQuery = checked.Host, query, hasQuery && query == ""
	return parsed, nil
}

func urlProblem(tokenURL *url.URL) string {
	switch {
	case tokenURL == nil:
		return "missing"
	case tokenURL.Scheme != "https" && tokenURL.Scheme != "http":
		return "the scheme must be https"
	case tokenURL.Opaque != "" || tokenURL.Hostname() == "":
		return "the host is missing or malformed"
	case tokenURL.User != nil:
		return "user information is not allowed"
	case tokenURL.Fragment != "":
		return "a fragment is not allowed"
	}
	text := tokenURL.String()
	if _, err := url.Parse(text); err != nil || gini.InputProblem(text, maxInput) != "" {
		return "too long or malformed"
	}
	return ""
}

// Close closes the idle connections. Calls under way end as they would have, and the Client still works afterwards.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Format implements fmt.Formatter: whatever the verb, nothing of a Client's inside is printed.
func (c *Client) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, "provider.Client") }
