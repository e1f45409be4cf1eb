// Package transport makes connections to hosts that people name: with roots of their own, through the environment's
// proxy, to checked addresses only. It follows no redirect, bounds what it reads, and sorts exchanges that break without
// passing on what the network, or a host, says about them.
package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// DefaultConnectTimeout is Config's.
const DefaultConnectTimeout = 15 * time.Second

const (
	maxRootCAs        = 512 << 10 // bytes of PEM: twice the whole bundle of a distribution
	maxResponseHeader = 64 << 10
	// maxIdlePerHost lets every request of a client that may have many in flight find its connection again (net/http
	// keeps 2). HTTP/2 needs one only.
	maxIdlePerHost = 32
	// pingAfter is how long an HTTP/2 connection may be silent before it is asked whether it is alive, and how long it
	// has for that: else requests go on into a dead connection until the kernel gives up, a quarter of an hour later.
	pingAfter = 15 * time.Second
)

// Config is what a transport is made of.
type Config struct {
	// RootCAs is a PEM bundle trusted in addition to the system's roots, 512 KiB at most. Nil: the system's only.
	RootCAs []byte
	// AllowAddress is asked with every address that is dialled, after name resolution, so that a name cannot lead
	// to an address nobody allowed. Where a proxy of the environment applies, this is the proxy's address. Nil:
	// every address.
	AllowAddress   func(netip.Addr) bool
	ConnectTimeout time.Duration // for the dial and for the TLS handshake, each; 0: DefaultConnectTimeout
}

// New is the only place where a transport is made. It starts from net/http's default, so that nothing of it gets lost
// when roots are added: proxy, HTTP/2, happy eyeballs. Its errors' texts are constant.
func New(config Config) (*http.Transport, error) {
	roots, err := rootCAs(config.RootCAs)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConns: 100, IdleConnTimeout: 90 * time.Second}
	if standard, ok := http.DefaultTransport.(*http.Transport); ok { // else the program has put something around it
		transport = standard.Clone()
	}
	transport.Proxy = proxyOf(httpproxy.FromEnvironment())
	transport.DialContext = dialer(config)
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	transport.TLSHandshakeTimeout = cmp.Or(config.ConnectTimeout, DefaultConnectTimeout)
	transport.ForceAttemptHTTP2 = true // else a TLS configuration of one's own turns it off
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter}
	transport.MaxIdleConnsPerHost = maxIdlePerHost
	transport.MaxResponseHeaderBytes = maxResponseHeader
	transport.DisableCompression = true // answers are small, and what is read is what was sent
	return transport, nil
}

// proxyOf takes HTTPS_PROXY, HTTP_PROXY and NO_PROXY as they are now; http.ProxyFromEnvironment remembers what they
// were at its first use in the process.
func proxyOf(environment *httpproxy.Config) func(*http.Request) (*url.URL, error) {
	proxy := environment.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return proxy(r.URL) }
}

// rootCAs returns nil, the system's roots, where there is nothing to add. The bundle is bounded before it is parsed.
func rootCAs(bundle []byte) (*x509.CertPool, error) {
	if len(bundle) == 0 {
		return nil, nil
	}
	if len(bundle) > maxRootCAs {
		return nil, errors.New("the CA bundle is too large")
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // an image without roots: the bundle may be all there is
	}
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, errors.New("the CA bundle holds no certificate in PEM form")
	}
	return roots, nil
}

func dialer(config Config) func(context.Context, string, string) (net.Conn, error) {
	dialer := &net.Dialer{
		Timeout:   cmp.Or(config.ConnectTimeout, DefaultConnectTimeout),
		KeepAlive: 30 * time.Second,
	}
	if allowed := config.AllowAddress; allowed != nil {
		// After name resolution, on the very address that is connected to: a name cannot change in between.
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			target, err := netip.ParseAddrPort(address)
			if err != nil || !allowed(target.Addr().Unmap()) {
				return errors.New("address not allowed")
			}
			return nil
		}
	}
	return dialer.DialContext
}
