// Command consumer is a pod that uses Gini as the operator's users do: it mounts Secrets, reads the credential anew before each use, uses it once a
// second, and counts what Gini makes of it. The end-to-end test asks it for its counts.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const usage = `consumer uses mounted Gini credentials once a second, and serves counts of what Gini answered.

  consumer --gini-url http://gini-emulator --dir scanner=/var/run/gini/scanner --dir backend=/var/run/gini/backend
  curl http://127.0.0.1:8080/counts

What a folder holds says how it is used: x_jwt_authorization (a JWT), authorization_basic and user_identifier (the client's credentials), or
authorization (an access token).

Flags:
`

// version is set by the linker.
var version = "dev"

// options are the flags.
type options struct {
	giniURL, address, mode string
	folders                []folder
	interval, look         time.Duration
	printVersion           bool
}

// folder is a mounted Secret.
type folder struct{ name, path string }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, nil)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

func parse(arguments []string, getenv func(string) string, out io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("consumer", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		_, _ = io.WriteString(out, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.giniURL, "gini-url", getenv("GINI_URL"), "base `URL` of the Pay API (default $GINI_URL)")
	flags.StringVar(&o.address, "bind-address", ":8080", "`address` of /counts and /healthz")
	flags.StringVar(&o.mode, "mode", string(plainFiles), "how the folders are read: `files|tokenfile`")
	flags.DurationVar(&o.interval, "interval", time.Second, "time between two uses of a credential")
	flags.DurationVar(&o.look, "look-interval", 100*time.Millisecond, "time between two looks for a new token, used or not")
	flags.BoolVar(&o.printVersion, "version", false, "print the version and exit")
	flags.Func("dir", "a mounted Secret as `name=path`, repeatable", func(v string) error {
		name, path, ok := strings.Cut(v, "=")
		if !ok || name == "" || path == "" {
			return errors.New("expected name=path")
		}
		if slices.ContainsFunc(o.folders, func(f folder) bool { return f.name == name }) {
			return fmt.Errorf("the name %s is given twice", name)
		}
		o.folders = append(o.folders, folder{name, path})
		return nil
	})
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if err := o.check(flags.NArg()); err != nil {
		return nil, err
	}
	return o, nil
}

func (o *options) check(more int) error {
	if o.printVersion {
		return nil
	}
	base, err := url.Parse(o.giniURL)
	switch {
	case more > 0:
		return errors.New("arguments without a flag are not understood (see --help)")
	case len(o.folders) == 0:
		return errors.New("name at least one mounted Secret by --dir")
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		return errors.New("--gini-url or GINI_URL: expected a URL such as http://gini-emulator")
	case o.interval <= 0 || o.look <= 0:
		return errors.New("--interval and --look-interval must be above 0")
	case !slices.Contains(modes, mode(o.mode)):
		return errors.New("--mode is files or tokenfile")
	}
	o.giniURL = strings.TrimSuffix(o.giniURL, "/")
	return nil
}

// run uses the folders until ctx ends; listening, where it is not nil, is told the address of /counts.
func run(ctx context.Context, arguments []string, getenv func(string) string, out io.Writer, listening func(string)) error {
	o, err := parse(arguments, getenv, out)
	if err != nil {
		return err
	}
	if o.printVersion {
		_, err = fmt.Fprintln(out, version)
		return err
	}
	log := slog.New(slog.NewJSONHandler(out, nil))
	devices, err := o.devices(log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.address)
	if err != nil {
		return fmt.Errorf("serving counts: %w", err)
	}
	server := &http.Server{Handler: handler(devices), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.Info("Using credentials", "version", version, "mode", o.mode, "folders", len(devices), "address", listener.Addr().String())
	if listening != nil {
		listening(listener.Addr().String())
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var wait sync.WaitGroup
	for _, d := range devices {
		wait.Go(func() { every(working, o.look, d.look) })
		wait.Go(func() { every(working, o.interval, d.use) })
	}
	select {
	case <-ctx.Done():
	case err = <-served:
		err = fmt.Errorf("serving counts: %w", err)
	}
	stop()
	// The counts stay readable until the last use has ended, so that none is lost to whoever asks.
	wait.Wait()
	for _, d := range devices {
		total := d.counts()
		log.Info("Ended", "dir", d.name, "uses", total.Uses, "accepted", total.Accepted, "tokens", total.DistinctTokens)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(last))
}

// every does something at once and then once an interval, late rather than twice at a time.
func every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		do(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// handler serves the counts; they hold no credential, so anybody may read them.
func handler(devices []*device) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) {
		all := map[string]counts{}
		for _, d := range devices {
			all[d.name] = d.counts()
		}
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(all) // who went away while reading needs no answer
	})
	return mux
}
