// Package gini is the client for Gini's Pay API and User Center, as far as credentials need it: logging users in,
// making and looking at accounts, and finding out whether a credential works.
//
// A Client is one value for one set of credentials and endpoints, never changed: other credentials are another
// Client. What Gini answers never reaches an error text, and neither does a credential; see Error. Gini's clock
// decides nothing: every instant is this machine's.
package gini

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/transport"
)

// Defaults of Config.
const (
	DefaultConnectTimeout = transport.DefaultConnectTimeout
	DefaultRequestTimeout = 60 * time.Second
	DefaultOverlapPause   = time.Second
	DefaultUserAgent      = "gini-operator"
)

// Limiter holds requests back; *rate.Limiter of golang.org/x/time/rate is one. An error of Wait ends the call with
// Kind Canceled and can be found in it by errors.Is: nothing was sent, so nothing is known about the client.
type Limiter interface {
	Wait(context.Context) error
}

// Observation tells of one request that was sent, for metrics. It holds no credential and no text of Gini's.
type Observation struct {
	Operation string        // one of the Operation constants
	Status    int           // HTTP status; 0 where no answer came
	Kind      Kind          // None for a success
	Duration  time.Duration // from sending to the end of the body, without the wait for the Limiter
}

// Config is what a Client is made of. It is read once, by New.
type Config struct {
	Endpoints    Endpoints
	ClientID     string // without a colon, which HTTP Basic cannot carry
	ClientSecret secret.Text

	// RootCAs is a PEM bundle trusted in addition to the system's roots, 512 KiB at most. Nil: the system's only.
	RootCAs []byte
	// AllowAddress is asked with every address that is dialled, after name resolution, so that a name cannot lead
	// to an address nobody allowed. Where a proxy of the environment applies, this is the proxy's address. Nil:
	// every address.
	AllowAddress func(netip.Addr) bool
	// AllowHost is asked with the URL of every request, before anything is sent there: a request to another host is Invalid and
	// not sent. So an endpoint may stand here that nobody uses and nobody allowed. Nil: every host.
	AllowHost func(*url.URL) bool

	// Limiter is waited on before every request, those for client tokens and repetitions included. Nil: no limit.
	Limiter Limiter
	// Clock is the wall clock that lifetimes count by. Nil: the system's.
	Clock clock.PassiveClock

	ConnectTimeout time.Duration // for the dial and for the TLS handshake, each; 0: DefaultConnectTimeout
	// RequestTimeout bounds a whole request, its body included; 0: DefaultRequestTimeout. Only this one yields Kind
	// Timeout: a deadline of the caller's own may have been spent waiting in a queue, so it is Canceled. Callers
	// that want a hung host to count against the client give their context more time than this.
	RequestTimeout time.Duration
	// OverlapPause is how long to wait before a token request that was answered 500 is repeated, once; 0:
	// DefaultOverlapPause. The User Center answers 500 where two token requests for one user overlap.
	OverlapPause time.Duration

	UserAgent string            // empty: DefaultUserAgent
	Observe   func(Observation) // called after each request, maybe at the same time; nil: not called
}

// Client speaks to the Pay API and the User Center with one client's credentials. It is safe for concurrent use.
//
// It follows no redirect: the API has none, and none could take credentials to another host. It repeats nothing
// but what is said at Config.OverlapPause and for client tokens that Gini refuses (see clientTokens); net/http
// itself repeats a GET whose reused connection turns out to be dead.
type Client struct {
	payAPI, userCenter *url.URL
	mediaType          string
	clientID           string
	clientSecret       secret.Text

	transport      *http.Transport
	allowHost      func(*url.URL) bool
	limiter        Limiter
	clock          clock.PassiveClock
	requestTimeout time.Duration
	overlapPause   time.Duration
	userAgent      string
	observe        func(Observation)

	clientTokens clientTokens
	users        userLocks
}

// New checks the configuration and returns its Client; it sends nothing. Its errors name the field and hold no value.
func New(config Config) (*Client, error) {
	payAPI, err := checkEndpoint(config.Endpoints.PayAPI, true)
	if err != nil {
		return nil, errors.New("gini: Pay API endpoint: " + err.Error())
	}
	userCenter, err := checkEndpoint(config.Endpoints.UserCenter, true)
	if err != nil {
		return nil, errors.New("gini: User Center endpoint: " + err.Error())
	}
	mediaType := cmp.Or(config.Endpoints.MediaType, DefaultMediaType)
	for _, field := range []struct{ name, value string }{
		{"media type", mediaType},
		{"client id", config.ClientID},
		{"client secret", config.ClientSecret.Reveal()},
	} {
		if problem := InputProblem(field.value, maxInput); problem != "" {
			return nil, errors.New("gini: " + field.name + " " + problem)
		}
	}
	if strings.Contains(config.ClientID, ":") {
		return nil, errors.New("gini: client id holds a colon, which HTTP Basic cannot carry (RFC 7617)")
	}
	if min(config.ConnectTimeout, config.RequestTimeout, config.OverlapPause) < 0 {
		return nil, errors.New("gini: a timeout or pause is negative")
	}
	connections, err := transport.New(transport.Config{
		RootCAs: config.RootCAs, AllowAddress: config.AllowAddress, ConnectTimeout: config.ConnectTimeout,
	})
	if err != nil {
		return nil, errors.New("gini: " + err.Error())
	}
	client := &Client{
		payAPI:         payAPI,
		userCenter:     userCenter,
		mediaType:      mediaType,
		clientID:       config.ClientID,
		clientSecret:   config.ClientSecret,
		transport:      connections,
		allowHost:      config.AllowHost,
		limiter:        config.Limiter,
		clock:          config.Clock,
		requestTimeout: cmp.Or(config.RequestTimeout, DefaultRequestTimeout),
		overlapPause:   cmp.Or(config.OverlapPause, DefaultOverlapPause),
		userAgent:      cmp.Or(config.UserAgent, DefaultUserAgent),
		observe:        config.Observe,
	}
	if client.clock == nil {
		client.clock = clock.RealClock{}
	}
	if InputProblem(client.userAgent, maxInput) != "" {
		return nil, errors.New("gini: user agent is no header value")
	}
	return client, nil
}

// Close closes the idle connections. Calls under way end as they would have, and the Client still works afterwards.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Format implements fmt.Formatter: whatever the verb, nothing of a Client's inside is printed.
func (c *Client) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, "gini.Client") }
