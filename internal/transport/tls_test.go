package transport

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// testHost is a name that no proxy is bypassed for, as it would be for a loopback address.
const testHost = "host.test"

// authority is a CA, and a server certificate of it for testHost and 127.0.0.1.
type authority struct {
	bundle      []byte
	certificate tls.Certificate
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	sign := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return certificate, key
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootCertificate, rootKey := sign(root, root, nil)
	leaf, leafKey := sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{testHost}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, rootCertificate, rootKey)
	return authority{
		bundle:      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootCertificate.Raw}),
		certificate: tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey},
	}
}

func serveTLS(t testing.TB, ca authority, handler http.Handler, options ...func(*httptest.Server)) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.certificate}}
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, option := range options {
		option(server)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// connectProxy is a proxy that connects everybody to one address, whatever they ask for.
func connectProxy(t testing.TB, target string, connects *atomic.Int64) *httptest.Server {
	t.Helper()
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || !strings.HasPrefix(r.Host, testHost) {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		connects.Add(1)
		upstream, err := new(net.Dialer).DialContext(r.Context(), "tcp", target)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		downstream, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(downstream, "HTTP/1.1 200 Connected\r\n\r\n")
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(upstream, downstream); _ = upstream.Close() })
		both.Go(func() { _, _ = io.Copy(downstream, upstream); _ = downstream.Close() })
		both.Wait()
	}))
}

func withoutProxy(t *testing.T) {
	t.Helper()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"} {
		t.Setenv(name, "")
	}
}

func TestProxyAndRootsTogether(t *testing.T) {
	ca := newAuthority(t)
	var versions sync.Map
	server := serveTLS(t, ca, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		versions.Store(r.Proto, true)
		says(200, "{}")(w, r)
	}))
	for _, proxied := range []bool{false, true} {
		for _, roots := range [][]byte{nil, ca.bundle} {
			for _, noProxy := range []string{"", testHost, ".other.test"} {
				t.Run(fmt.Sprintf("proxy %t, CA %t, NO_PROXY %q", proxied, roots != nil, noProxy), func(t *testing.T) {
					withoutProxy(t)
					var connects, direct atomic.Int64
					if proxied {
						t.Setenv("HTTPS_PROXY", connectProxy(t, server.Listener.Addr().String(), &connects).URL)
					}
					t.Setenv("NO_PROXY", noProxy)
					connections := made(t, Config{RootCAs: roots})
					dial := connections.DialContext
					connections.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
						if strings.HasPrefix(address, testHost) { // what DNS would do
							direct.Add(1)
							address = server.Listener.Addr().String()
						}
						return dial(ctx, network, address)
					}
					_, broken := get(bounded(t), t, connections, "https://"+testHost)
					if want := map[bool]Failure{false: TLS, true: Complete}[roots != nil]; broken != want {
						t.Errorf("%q, want %q", broken, want)
					}
					viaProxy := proxied && noProxy != testHost
					if (connects.Load() > 0) != viaProxy || (direct.Load() > 0) == viaProxy {
						t.Errorf("%d through the proxy, %d direct", connects.Load(), direct.Load())
					}
				})
			}
		}
	}
	if _, ok := versions.Load("HTTP/2.0"); !ok {
		t.Error("HTTP/2 got lost")
	}
	if _, ok := versions.Load("HTTP/1.1"); ok {
		t.Error("HTTP/2 got lost on some way")
	}
}

func TestProxyThatRefuses(t *testing.T) {
	withoutProxy(t)
	proxy := serve(t, says(407, "", "Proxy-Authenticate", "Basic"))
	t.Setenv("HTTPS_PROXY", proxy.URL)
	if _, broken := get(bounded(t), t, made(t, Config{}), "https://"+testHost); broken != Unreachable {
		t.Errorf("%q", broken)
	}
}

func TestTLSFailures(t *testing.T) {
	ca := newAuthority(t)
	other := newAuthority(t)
	handler := says(200, "{}")
	old := func(s *httptest.Server) { s.TLS.MaxVersion = tls.VersionTLS11; s.TLS.MinVersion = tls.VersionTLS10 }
	demanding := func(s *httptest.Server) {
		s.TLS.ClientAuth = tls.RequireAnyClientCert
		s.TLS.MaxVersion = tls.VersionTLS12 // with 1.3 the handshake is over by then, and a reset may overtake the alert
	}
	plain := serve(t, handler)
	for name, test := range map[string]struct {
		address string
		roots   []byte
		want    Failure
	}{
		"trusted":              {serveTLS(t, ca, handler).URL, ca.bundle, Complete},
		"among several":        {serveTLS(t, ca, handler).URL, append(append([]byte("# comment\n"), other.bundle...), ca.bundle...), Complete},
		"HTTP/1.1 only":        {serveTLS(t, ca, handler, func(s *httptest.Server) { s.EnableHTTP2 = false }).URL, ca.bundle, Complete},
		"unknown authority":    {serveTLS(t, ca, handler).URL, other.bundle, TLS},
		"another name":         {strings.Replace(serveTLS(t, ca, handler).URL, "127.0.0.1", "localhost", 1), ca.bundle, TLS},
		"TLS 1.1":              {serveTLS(t, ca, handler, old).URL, ca.bundle, TLS},
		"demands certificates": {serveTLS(t, ca, handler, demanding).URL, ca.bundle, TLS},
		"no TLS at all":        {strings.Replace(plain.URL, "http:", "https:", 1), nil, TLS},
	} {
		t.Run(name, func(t *testing.T) {
			if _, broken := get(bounded(t), t, made(t, Config{RootCAs: test.roots}), test.address); broken != test.want {
				t.Errorf("%q, want %q", broken, test.want)
			}
		})
	}
}
