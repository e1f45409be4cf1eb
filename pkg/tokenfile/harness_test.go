package tokenfile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
	"github.com/gini-operator/gini-operator/pkg/tokenfile"
	"github.com/gini-operator/gini-operator/pkg/tokenfile/tokenfiletest"
)

var expiry = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// mounted is a folder with an access token, as the kubelet mounts it.
func mounted(t *testing.T, token string) string {
	t.Helper()
	dir := t.TempDir()
	renew(t, dir, token)
	return dir
}

// renew puts another access token there.
func renew(t *testing.T, dir, token string) {
	t.Helper()
	write(t, dir, tokenfiletest.AccessToken(token, expiry))
}

func write(t *testing.T, dir string, data map[string]string) {
	t.Helper()
	if err := tokenfiletest.Write(dir, data); err != nil {
		t.Fatal(err)
	}
}

// plain writes files as a person would, without the kubelet's links.
func plain(t *testing.T, dir string, data map[string]string) {
	t.Helper()
	for name, text := range data {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func opened(t *testing.T, dir string, opts ...tokenfile.Option) *tokenfile.Source {
	t.Helper()
	source, err := tokenfile.Open(dir, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func current(t *testing.T, source *tokenfile.Source) tokenfile.Token {
	t.Helper()
	token, err := source.Current()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// client sends the token in dir to url.
func client(t *testing.T, dir, url string, opts ...tokenfile.TransportOption) *http.Client {
	t.Helper()
	transport, err := tokenfile.NewTransport(opened(t, dir), append([]tokenfile.TransportOption{tokenfile.WithOrigins(url)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: transport}
}

// gini is an emulator with one client.
func gini(t *testing.T) (server *emulator.Server, url string) {
	t.Helper()
	server = emulator.New(emulator.WithClient("acme", "s3cret"))
	url, err := server.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server, url
}

// login gets a new access token for alice.
func login(t *testing.T, url string) string {
	t.Helper()
	token, err := loggedIn(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func loggedIn(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/login", http.NoBody)
	if err != nil {
		return "", err
	}
	req.SetBasicAuth("acme", "s3cret")
	req.Header.Set("X-User-Identifier", "alice")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return "", fmt.Errorf("status %d: %w", res.StatusCode, err)
	}
	if answer.Token == "" {
		return "", errors.New("no token")
	}
	return answer.Token, nil
}

// get asks and closes the answer.
func get(t *testing.T, client *http.Client, url string) (status int) {
	t.Helper()
	status, err := ask(t.Context(), client, url)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func ask(ctx context.Context, client *http.Client, url string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	res.Body.Close()
	return res.StatusCode, nil
}

// must and check are for what the examples set up: a failure there is the test's.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
