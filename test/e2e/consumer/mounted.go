package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/gini-operator/gini-operator/pkg/tokenfile"
)

// mounted is a program that leaves reading, and repeating what was refused, to pkg/tokenfile. What that is not for goes the plain way.
type mounted struct {
	plain  *plain
	source *tokenfile.Source
	client *http.Client
}

func (m *mounted) documents(ctx context.Context) (answer, error) {
	if _, err := os.Stat(filepath.Join(m.plain.folder, basicFile)); err == nil {
		return m.plain.documents(ctx)
	}
	if m.client == nil {
		// Not at the start: a Secret that is optional may be mounted later.
		if err := m.open(); err != nil {
			return answer{}, unreadableError{err}
		}
	}
	current, err := m.source.Current()
	if err != nil {
		return answer{}, unreadableError{err}
	}
	used := answer{fingerprint: current.Fingerprint()}
	request, err := newRequest(ctx, m.plain.url)
	if err != nil {
		return used, err
	}
	used.status, err = send(m.client, request)
	return used, err
}

func (m *mounted) open() error {
	keys := tokenfile.AccessTokenKeys()
	if _, err := os.Stat(filepath.Join(m.plain.folder, tokenfile.JWTKeys().Token)); err == nil {
		keys = tokenfile.JWTKeys()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	source, err := tokenfile.Open(m.plain.folder, tokenfile.WithKeys(keys))
	if err != nil {
		return err
	}
	transport, err := tokenfile.NewTransport(source, tokenfile.WithOrigins(m.plain.url), tokenfile.WithBase(m.plain.http.Transport))
	if err != nil {
		return err
	}
	m.source, m.client = source, &http.Client{Transport: transport, CheckRedirect: m.plain.http.CheckRedirect}
	return nil
}
