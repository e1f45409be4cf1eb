package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// kind is what a device shows Gini.
type kind string

const (
	byCredentials kind = "client credentials"
	byJWT         kind = "JWT"
	byToken       kind = "access token"
)

// credential is what a mounted Secret held at one moment.
type credential struct {
	kind        kind
	header      http.Header
	fingerprint string
	// written is when the kubelet wrote the file.
	written time.Time
}

// Format keeps the header out of logs and error texts.
func (credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

const basicFile = "authorization_basic"

// keys are the files that hold a credential, and the headers that take them. A Secret of the operator has one of them.
var keys = []struct {
	file, header string
	kind         kind
}{
	{"x_jwt_authorization", "X-Jwt-Authorization", byJWT},
	{basicFile, "Authorization", byCredentials},
	{"authorization", "Authorization", byToken},
}

var errNoCredential = errors.New("the folder holds no credential")

// readFiles reads a mounted Secret as a program without a library would: file by file, each time anew.
func readFiles(folder string) (credential, error) {
	for _, key := range keys {
		path := filepath.Join(folder, key.file)
		value, written, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return credential{}, err
		}
		found := credential{kind: key.kind, header: http.Header{key.header: {value}}, fingerprint: fingerprint(value), written: written}
		if key.kind == byCredentials {
			identifier, _, err := readFile(filepath.Join(folder, "user_identifier"))
			if err != nil {
				return credential{}, err
			}
			found.header["X-User-Identifier"] = []string{identifier}
		}
		return found, nil
	}
	return credential{}, errNoCredential
}

func readFile(path string) (string, time.Time, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", time.Time{}, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", time.Time{}, err
	}
	content, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err == nil && len(content) == 0 {
		err = fmt.Errorf("%s is empty", path)
	}
	return string(content), info.ModTime(), err
}

// fingerprint names a credential without giving it away, as the emulator's ledger does: the first 8 hex digits of its SHA-256, without the scheme.
func fingerprint(header string) string {
	_, value, ok := strings.Cut(header, " ")
	if !ok {
		value = header
	}
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:4])
}

// mode is how folders are read.
type mode string

const (
	// plainFiles reads the files before each use, and knows nothing of the operator but their names.
	plainFiles mode = "files"
	// tokenFile leaves that to pkg/tokenfile. Client credentials are no token, so their folders are read as plain files.
	tokenFile mode = "tokenfile"
)

var modes = []mode{plainFiles, tokenFile}

// gini sends one request with a folder's credential, and says which credential it was and how Gini answered.
type gini interface {
	documents(ctx context.Context) (answer, error)
}

// answer is what Gini said to a use, and to what.
type answer struct {
	status      int
	fingerprint string
}

// plain is a program that reads the files itself.
type plain struct {
	folder, url string
	http        *http.Client
}

func (p *plain) documents(ctx context.Context) (answer, error) {
	now, err := readFiles(p.folder)
	if err != nil {
		return answer{}, unreadableError{err}
	}
	used := answer{fingerprint: now.fingerprint}
	request, err := newRequest(ctx, p.url)
	if err != nil {
		return used, err
	}
	for name, values := range now.header {
		request.Header[name] = values
	}
	used.status, err = send(p.http, request)
	return used, err
}

// unreadableError tells a folder that holds no credential from a Gini that cannot be reached.
type unreadableError struct{ cause error }

func (e unreadableError) Error() string { return e.cause.Error() }
func (e unreadableError) Unwrap() error { return e.cause }

func newRequest(ctx context.Context, url string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/documents", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("request to Gini: %w", err)
	}
	request.Header.Set("Accept", "application/vnd.gini.v1+json")
	return request, nil
}

func send(client *http.Client, request *http.Request) (int, error) {
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	// Read to its end, so that the connection serves the next use.
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	_ = response.Body.Close()
	return response.StatusCode, err
}
