// Command gini-emulator is an emulated Gini as a server: for a development cluster, for tests in other languages, for trying things out.
// What it does is described in the package github.com/gini-operator/gini-operator/pkg/emulator.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// version is set by the linker.
var version = "dev"

// shutdownGrace is how long requests under way may take after SIGTERM.
const shutdownGrace = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "gini-emulator:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. It writes to stdout only what somebody asked for; help and log go to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.printVersion {
		_, err = fmt.Fprintln(stdout, version)
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	gini, err := o.emulator(log)
	if err != nil {
		return err
	}
	tlsConfig, err := o.tls.config()
	if err != nil {
		return err
	}
	servers := []*http.Server{newServer(gini, log)}
	listeners := make([]net.Listener, 1, 2)
	if listeners[0], err = net.Listen("tcp", o.bindAddress); err != nil {
		return err
	}
	scheme := "http"
	if tlsConfig != nil {
		scheme = "https"
		tlsConfig.NextProtos = []string{"http/1.1"}
		listeners[0] = tls.NewListener(listeners[0], tlsConfig)
	}
	log.Info("Serving Pay API and User Center", "address", listeners[0].Addr().String(), "scheme", scheme)
	if o.adminBindAddress != "" {
		admin, err := net.Listen("tcp", o.adminBindAddress)
		if err != nil {
			return errors.Join(err, listeners[0].Close())
		}
		log.Info("Serving admin actions to anybody who can reach this", "address", admin.Addr().String())
		servers, listeners = append(servers, newServer(gini.AdminHandler(), log)), append(listeners, admin)
	}
	return serve(ctx, gini, servers, listeners)
}

func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
}

// serve runs the servers until ctx ends or one fails, then lets requests finish.
func serve(ctx context.Context, gini *emulator.Server, servers []*http.Server, listeners []net.Listener) error {
	failed := make(chan error, len(servers))
	for i, server := range servers {
		go func() { failed <- server.Serve(listeners[i]) }()
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	gini.Reset() // what a script lets hang would use the grace up
	for _, server := range servers {
		if shutdown := server.Shutdown(grace); shutdown != nil {
			_ = server.Close()
		}
	}
	return err
}
