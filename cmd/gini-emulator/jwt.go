package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// jwtOptions are the flags about JWTs.
type jwtOptions struct {
	named    []jwtFlag
	audience string
	leeway   time.Duration
	cacheFor time.Duration
	err      error // of any --jwt
}

type jwtFlag struct{ id, issuer, jwksURL string }

func (j *jwtOptions) register(fs *flag.FlagSet) {
	fs.Func("jwt", "the identity provider of a --client, repeatable: `id=ISSUER,JWKS_URL` with the iss of its JWTs and the URL of its JWK Set "+
		"(claim names and more: POST /admin/jwt)", func(v string) error {
		f, err := parseJWT(v)
		j.named, j.err = append(j.named, f), errors.Join(j.err, err)
		return nil
	})
	fs.StringVar(&j.audience, "jwt-audience", "", "`audience` that the aud of every JWT must name (default: aud is not looked at)")
	fs.DurationVar(&j.leeway, "jwt-leeway", 0, "how much the clocks of Gini and of who signs JWTs may differ")
	fs.DurationVar(&j.cacheFor, "jwks-cache", 0, "how long a JWK Set is cached, whatever Cache-Control says; 0s is as long as that says")
}

func parseJWT(v string) (jwtFlag, error) {
	id, rest, _ := strings.Cut(v, "=")
	issuer, jwksURL, ok := strings.Cut(rest, ",")
	if id == "" || issuer == "" || !ok {
		return jwtFlag{}, errors.New("--jwt: expected id=ISSUER,JWKS_URL")
	}
	return jwtFlag{id, issuer, jwksURL}, nil
}

// providers are the identity providers by client id.
func (j *jwtOptions) providers() (map[string]emulator.JWT, error) {
	if len(j.named) == 0 && (j.audience != "" || j.leeway != 0 || j.cacheFor != 0) {
		return nil, errors.New("--jwt-audience, --jwt-leeway and --jwks-cache belong to --jwt")
	}
	providers := map[string]emulator.JWT{}
	for _, f := range j.named {
		if _, twice := providers[f.id]; twice {
			return nil, fmt.Errorf("--jwt %s: given twice", f.id)
		}
		config := emulator.JWT{Issuer: f.issuer, JWKSURL: f.jwksURL, Audience: j.audience, Leeway: j.leeway, CacheFor: j.cacheFor}
		if err := config.Validate(); err != nil {
			return nil, fmt.Errorf("--jwt %s: %w", f.id, err)
		}
		providers[f.id] = config
	}
	return providers, nil
}
