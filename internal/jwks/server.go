package jwks

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// The port is open to whoever the cluster lets in: what a connection may take is bounded.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 10 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 8 << 10
	maxConnections    = 512
	// shutdownGrace is how long requests under way may take to end, when the operator is stopped.
	shutdownGrace = 5 * time.Second
)

// Server serves Sets at a port of its own. It is a manager.Runnable.
type Server struct {
	// Address is where it listens, as in ":8082".
	Address string
	// Sets are what it serves.
	Sets *Sets
	// Requests counts the answers; NewRequests makes it.
	Requests *prometheus.CounterVec
	// Log is told where it listens, and what goes wrong with connections.
	Log logr.Logger
	// Listener is listened at in place of Address where it is given. Start closes it.
	Listener net.Listener
}

// NewRequests makes the counter of a Server's answers and registers it.
func NewRequests(registry prometheus.Registerer) *prometheus.CounterVec {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gini_jwks_requests_total",
		Help: "Requests for JWK Sets by HTTP status of the answer.",
	}, []string{"code"})
	// All that there are: a rate is only right for a series that begins with 0.
	for _, code := range []string{"200", "304", "404", "405", "503"} {
		requests.WithLabelValues(code)
	}
	registry.MustRegister(requests)
	return requests
}

// NeedLeaderElection says that every replica serves: which one answers is up to the Service before them.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until ctx ends, then lets requests finish.
func (s *Server) Start(ctx context.Context) error {
	listener := s.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", s.Address); err != nil {
			return fmt.Errorf("JWK Sets cannot be served at %q, choose another --jwks-bind-address: %w", s.Address, err)
		}
	}
	server := &http.Server{
		Handler:           promhttp.InstrumentHandlerCounter(s.Requests, s.Sets),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logr.ToSlogHandler(s.Log), slog.LevelWarn),
		// OPTIONS * is refused like everything else that is not a set.
		DisableGeneralOptionsHandler: true,
	}
	s.Log.Info("Serving JWK Sets", "address", listener.Addr().String())
	var failure error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failure = server.Serve(netutil.LimitListener(listener, maxConnections))
	}()
	select {
	case <-ended:
		return fmt.Errorf("JWK Sets are no longer served at %s (--jwks-bind-address): %w", listener.Addr(), failure)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if server.Shutdown(grace) != nil {
		_ = server.Close() // a client that reads slowly keeps nobody from stopping
	}
	<-ended
	return nil
}
