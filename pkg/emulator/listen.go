package emulator

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// listening is the server's own listener. Guarded by Server.mu.
type listening struct {
	server  *http.Server
	address string // kept over Close, so that a restart is at the same place
	caPEM   []byte
	pair    *tls.Certificate
}

// Start listens on 127.0.0.1 at a free port and gives the URL, without a slash at its end, for both hosts. After Close it listens at the
// same port again.
func (s *Server) Start() (url string, err error) { return s.start(false) }

// StartTLS is Start with HTTPS; CertPEM is what to trust. The certificate is for 127.0.0.1, ::1, localhost and the names of WithTLSNames.
func (s *Server) StartTLS() (url string, err error) { return s.start(true) }

// CertPEM is the certificate authority of StartTLS, nil before it.
func (s *Server) CertPEM() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listening.caPEM
}

func (s *Server) start(withTLS bool) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.listening
	if l.server != nil {
		return "", errors.New("emulator: started already")
	}
	if withTLS && l.pair == nil {
		pair, caPEM, err := SelfSignedCertificate(s.tlsNames...)
		if err != nil {
			return "", err
		}
		l.pair, l.caPEM = &pair, caPEM
	}
	address := l.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	l.address = listener.Addr().String()
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: 30 * time.Second,
		// Handshakes that clients give up are what TLS tests are about; they do not belong on stderr.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	l.server = server
	if !withTLS {
		go func() { _ = server.Serve(listener) }()
		return "http://" + l.address, nil
	}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*l.pair}, MinVersion: tls.VersionTLS12}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return "https://" + l.address, nil
}

// Close stops listening and closes all connections, hanging ones too. State stays: Start goes on with the same accounts and tokens, as
// after an outage. Without Start it does nothing.
func (s *Server) Close() {
	s.mu.Lock()
	server := s.listening.server
	s.listening.server = nil
	s.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}
