package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

const usage = `gini-emulator serves what the Gini Pay API and User Center offer for credentials, for tests and development.

Examples:
  # a client for trying things out; the secret is visible to anybody who can list processes
  gini-emulator --client acme:s3cret

  # as a pod: the secret from a mounted file or from the environment, short tokens, as sticky as Gini's framework makes them
  gini-emulator --client acme=/var/run/gini/client-secret --client beta=env:BETA_SECRET \
    --token-lifetime 5m --login-mode sticky --user-center-mode sticky

  # HTTPS; the authority to trust is written to a file
  gini-emulator --client acme:s3cret --tls-self-signed --tls-name gini.test.svc --tls-ca-out /tmp/ca.crt

  # faults by hand, at an address of their own
  gini-emulator --client acme:s3cret --admin-bind-address 127.0.0.1:8081
  curl -d '{"match":{"operations":["Login"],"count":3},"effect":{"status":429,"header":{"Retry-After":"30"}}}' \
    http://127.0.0.1:8081/admin/script

  # JWTs: who signs them, and where its JWK Set is; the set is cached for an hour whatever its server says
  gini-emulator --client acme:s3cret --jwt acme=https://id.acme.example,http://127.0.0.1:8082/default/acme/jwks.json --jwks-cache 1h

  # a client that may have derived users only: the User Center refuses it with 401
  gini-emulator --client acme:s3cret --restrict acme=derived,401

  # what it has seen
  curl http://127.0.0.1:8080/ledger?summary=true

Flags:
`

// options are the flags.
type options struct {
	bindAddress, adminBindAddress string
	tls                           tlsOptions
	jwt                           jwtOptions
	restrict                      restrictOptions
	printVersion                  bool
	clients                       []clientFlag
	apply                         []emulator.Option
}

type clientFlag struct{ id, secret string }

// parse reads the flags; errors never repeat a secret.
func parse(args []string, out io.Writer) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("gini-emulator", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the flag package would print a bad --client value, and with it a secret
	fs.StringVar(&o.bindAddress, "bind-address", ":8080", "`address` of Pay API, User Center, /ledger and /healthz")
	fs.StringVar(&o.adminBindAddress, "admin-bind-address", "", "`address` of POST /admin/…, which asks for no credentials (default off)")
	o.tls.register(fs)
	o.jwt.register(fs)
	o.restrict.register(fs)
	fs.BoolVar(&o.printVersion, "version", false, "print the version and exit")

	var clientErr error
	fs.Func("client", "a registered application, repeatable: `id=FILE` with the secret in a file, id=env:NAME with it in the environment, or "+
		"id:secret, for tests only as other processes can read it", func(v string) error {
		c, err := parseClient(v)
		o.clients, clientErr = append(o.clients, c), errors.Join(clientErr, err)
		return nil
	})
	lifetime := fs.Duration("token-lifetime", emulator.DefaultLifetime, "lifetime of users' access tokens")
	clientLifetime := fs.Duration("client-token-lifetime", emulator.DefaultLifetime, "lifetime of client tokens")
	loginMode := fs.String("login-mode", string(emulator.Fresh), "what POST /login does while a token is valid: `fresh|sticky|fresh-ends-old`")
	userCenterMode := fs.String("user-center-mode", string(emulator.Fresh), "the same for the password grant: `fresh|sticky|fresh-ends-old`")
	refresh := fs.String("refresh-tokens", string(emulator.RefreshAbsent), "refresh tokens of both: `absent|stable|rotating`")
	var domains []string
	fs.Func("email-domain", "a `domain` that new e-mail addresses may have, repeatable (default all)", func(v string) error {
		domains = append(domains, v)
		return nil
	})
	settingsFile := fs.String("settings", "", "`file` with settings as JSON; flags win over it (all settings: GET /admin/settings)")

	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			printUsage(fs, out)
			return nil, err
		}
		return nil, fmt.Errorf("%w (see --help)", err)
	}
	if fs.NArg() > 0 {
		return nil, errors.New("arguments without a flag are not understood (see --help)")
	}
	if o.printVersion {
		return o, nil
	}
	if err := errors.Join(clientErr, o.jwt.err, o.restrict.err); err != nil {
		return nil, err
	}
	if len(o.clients) == 0 && o.adminBindAddress == "" {
		return nil, errors.New("nobody could log in: name at least one --client, or --admin-bind-address to add some later (see --help)")
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	changes := map[string]func(*emulator.Settings){
		"token-lifetime":        func(c *emulator.Settings) { c.Lifetime = *lifetime },
		"client-token-lifetime": func(c *emulator.Settings) { c.ClientToken.Lifetime = *clientLifetime },
		"login-mode":            func(c *emulator.Settings) { c.Login.Mode = emulator.TokenMode(*loginMode) },
		"user-center-mode":      func(c *emulator.Settings) { c.UserCenter.Mode = emulator.TokenMode(*userCenterMode) },
		"refresh-tokens": func(c *emulator.Settings) {
			c.Login.Refresh, c.UserCenter.Refresh = emulator.RefreshMode(*refresh), emulator.RefreshMode(*refresh)
		},
		"email-domain": func(c *emulator.Settings) { c.EmailDomains = domains },
	}
	if err := o.readSettings(*settingsFile, given, changes); err != nil {
		return nil, err
	}
	return o, nil
}

// readSettings puts the file first and the flags that were given over it.
func (o *options) readSettings(file string, given map[string]bool, changes map[string]func(*emulator.Settings)) error {
	settings := emulator.New().Settings()
	if file != "" {
		data, err := os.ReadFile(file) //nolint:gosec // the one who starts the program names the file
		if err != nil {
			return err
		}
		if err := settings.UnmarshalJSON(data); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	for name, change := range changes {
		if given[name] {
			change(&settings)
		}
	}
	if err := settings.Validate(); err != nil {
		return err
	}
	o.apply = append(o.apply, emulator.WithSettings(func(c *emulator.Settings) { *c = settings }))
	return nil
}

// parseClient reads id=FILE, id=env:NAME or id:secret, whichever sign comes first.
func parseClient(v string) (clientFlag, error) {
	at := strings.IndexAny(v, "=:")
	if at <= 0 || at == len(v)-1 {
		return clientFlag{}, errors.New("--client: expected id=FILE, id=env:NAME or id:secret")
	}
	id, rest := v[:at], v[at+1:]
	if v[at] == ':' {
		return clientFlag{id, rest}, nil
	}
	if name, ok := strings.CutPrefix(rest, "env:"); ok {
		secret := os.Getenv(name)
		if secret == "" {
			return clientFlag{}, fmt.Errorf("--client %s: the environment variable %s is empty", id, name)
		}
		return clientFlag{id, secret}, nil
	}
	data, err := os.ReadFile(rest) //nolint:gosec // the one who starts the program names the file
	if err != nil {
		if at := new(os.PathError); errors.As(err, &at) {
			err = at.Err // without the path: it is the secret where somebody took = for :
		}
		return clientFlag{}, fmt.Errorf("--client %s: the file after = cannot be read: %w", id, err)
	}
	// Editors and echo end files with a newline, no secret does.
	secret := strings.TrimRight(string(data), "\r\n")
	if secret == "" {
		return clientFlag{}, fmt.Errorf("--client %s: the file is empty", id)
	}
	return clientFlag{id, secret}, nil
}

func (o *options) emulator(log *slog.Logger) (*emulator.Server, error) {
	providers, err := o.jwt.providers()
	if err != nil {
		return nil, err
	}
	opts := append([]emulator.Option{emulator.WithLogger(log)}, o.apply...)
	seen := map[string]bool{}
	for _, c := range o.clients {
		if seen[c.id] {
			return nil, fmt.Errorf("--client %s: given twice", c.id)
		}
		seen[c.id] = true
		opts = append(opts, emulator.WithClient(c.id, c.secret, emulator.WithJWT(providers[c.id]), emulator.WithRestriction(o.restrict.named[c.id])))
	}
	for id := range o.restrict.named {
		if !seen[id] {
			return nil, fmt.Errorf("--restrict %s: there is no --client of this id", id)
		}
	}
	for id := range providers {
		if !seen[id] {
			return nil, fmt.Errorf("--jwt %s: there is no --client of this id", id)
		}
	}
	return emulator.New(opts...), nil
}

// printUsage writes flags with two dashes, as the examples do.
func printUsage(fs *flag.FlagSet, out io.Writer) {
	_, _ = io.WriteString(out, usage)
	fs.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		if value != "" {
			value = " " + value
		}
		if f.DefValue != "" && f.DefValue != "false" {
			text += " (default " + f.DefValue + ")"
		}
		_, _ = fmt.Fprintf(out, "  --%s%s\n        %s\n", f.Name, value, text)
	})
}

// tlsOptions are the flags about HTTPS.
type tlsOptions struct {
	cert, key, caOut string
	selfSigned       bool
	names            []string
}

func (t *tlsOptions) register(fs *flag.FlagSet) {
	fs.StringVar(&t.cert, "tls-cert", "", "`file` with the certificate; serves HTTPS together with --tls-key")
	fs.StringVar(&t.key, "tls-key", "", "`file` with its key")
	fs.BoolVar(&t.selfSigned, "tls-self-signed", false, "serve HTTPS with a certificate made at the start, for localhost and --tls-name")
	fs.StringVar(&t.caOut, "tls-ca-out", "", "`file` to write the authority of --tls-self-signed to")
	fs.Func("tls-name", "another DNS `name` or IP address for --tls-self-signed, repeatable", func(v string) error {
		t.names = append(t.names, v)
		return nil
	})
}

// config is nil for plain HTTP.
func (t *tlsOptions) config() (*tls.Config, error) {
	var pair tls.Certificate
	var err error
	switch {
	case (t.cert == "") != (t.key == ""):
		return nil, errors.New("--tls-cert and --tls-key go together")
	case t.cert != "" && t.selfSigned:
		return nil, errors.New("--tls-self-signed and --tls-cert exclude each other")
	case (t.caOut != "" || len(t.names) > 0) && !t.selfSigned:
		return nil, errors.New("--tls-ca-out and --tls-name belong to --tls-self-signed")
	case t.cert != "":
		pair, err = tls.LoadX509KeyPair(t.cert, t.key)
	case t.selfSigned:
		var ca []byte
		if pair, ca, err = emulator.SelfSignedCertificate(t.names...); err == nil && t.caOut != "" {
			err = os.WriteFile(t.caOut, ca, 0o644) //nolint:gosec // a public certificate, for others to read
		}
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
