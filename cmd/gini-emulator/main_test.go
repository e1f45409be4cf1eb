package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is what the server writes, while it writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// serving runs the command and gives its addresses, Gini's first; stop ends it as SIGTERM does.
func serving(t *testing.T, listeners int, args ...string) (addresses []string, out *output, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out = &output{}
	done := make(chan error, 1)
	go func() { done <- run(ctx, append(args, "--bind-address", "127.0.0.1:0"), io.Discard, out) }()
	find := regexp.MustCompile(`address=(127\.0\.0\.1:\d+)`)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		found := find.FindAllStringSubmatch(out.String(), -1)
		if len(found) == listeners {
			for _, f := range found {
				addresses = append(addresses, f[1])
			}
			return addresses, out, func() error { cancel(); return <-done }
		}
		select {
		case err := <-done:
			t.Fatalf("ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			cancel()
			t.Fatal("does not listen")
		}
	}
}

func clientToken(t *testing.T, c *http.Client, url, id, secret string) (status int, fields map[string]any) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/oauth/token?grant_type=client_credentials", nil)
	req.SetBasicAuth(id, secret)
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_ = json.NewDecoder(res.Body).Decode(&fields)
	return res.StatusCode, fields
}

func TestServe(t *testing.T) {
	dir := t.TempDir()
	file, settings := filepath.Join(dir, "secret"), filepath.Join(dir, "settings.json")
	write(t, file, "from-a-file\n")
	write(t, settings, `{"client_token":{"mode":"sticky","lifetime":"1h"},"lifetime":"1h"}`)
	t.Setenv("GAMMA_SECRET", "from-the-environment")
	addresses, out, stop := serving(t, 2, "--client", "acme:liter@l=1", "--client", "beta="+file, "--client", "gamma=env:GAMMA_SECRET",
		"--settings", settings, "--client-token-lifetime", "5m", "--admin-bind-address", "127.0.0.1:0")
	url := "http://" + addresses[0]
	for id, secret := range map[string]string{"acme": "liter@l=1", "beta": "from-a-file", "gamma": "from-the-environment"} {
		status, fields := clientToken(t, http.DefaultClient, url, id, secret)
		if status != 200 || fields["expires_in"] != 299.0 { // flags win over the file
			t.Errorf("%s: %d, %v", id, status, fields["expires_in"])
		}
		if _, again := clientToken(t, http.DefaultClient, url, id, secret); again["access_token"] != fields["access_token"] {
			t.Error("the settings file was not read")
		}
	}
	script := strings.NewReader(`{"effect":{"kind":"hang"}}`)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addresses[1]+"/admin/script", script)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Fatalf("script: %d", res.StatusCode)
	}
	hung := make(chan struct{})
	go func() { clientToken(t, http.DefaultClient, url, "acme", "liter@l=1"); close(hung) }()
	for !strings.Contains(ledger(t, url), `"requests":7`) {
		time.Sleep(time.Millisecond)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	<-hung // answered, not cut
	for _, secret := range []string{"liter@l", "from-a-file", "from-the-environment", "Basic"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%s was logged", secret)
		}
	}
	if n := strings.Count(out.String(), "path=/oauth/token status=200 op=ClientToken"); n != 7 {
		t.Errorf("%d lines for 7 requests:\n%s", n, out)
	}
}

func ledger(t *testing.T, url string) string {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/ledger?summary=true", nil)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, _ := io.ReadAll(res.Body)
	return string(data)
}

func TestSelfSigned(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.crt")
	addresses, _, stop := serving(t, 1, "--client", "acme:s", "--tls-self-signed", "--tls-ca-out", ca)
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	if status, _ := clientToken(t, c, "https://"+addresses[0], "acme", "s"); status != 200 {
		t.Errorf("status %d", status)
	}
	c.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestBadFlags(t *testing.T) {
	dir := t.TempDir()
	empty, bad := filepath.Join(dir, "empty"), filepath.Join(dir, "bad.json")
	write(t, empty, "\n")
	write(t, bad, `{"lifetim":"1h"}`)
	client := []string{"--client", "acme:s3cret"}
	for want, args := range map[string][]string{
		"at least one --client":  {},
		"expected id=FILE":       {"--client", "s3cret"},
		"the file is empty":      {"--client", "acme=" + empty},
		"cannot be read":         {"--client", "acme=s3cret"}, // = in place of :, the error must not repeat it
		"environment variable X": {"--client", "acme=env:X_NOT_SET"},
		"given twice":            {"--client", "acme:s3cret", "--client", "acme:s3cret"},
		"go together":            append(client, "--tls-cert", "x"),
		"exclude each other":     append(client, "--tls-cert", "x", "--tls-key", "y", "--tls-self-signed"),
		"belong to":              append(client, "--tls-name", "x"),
		"none of fresh":          append(client, "--login-mode", "stiky"),
		"none of absent":         append(client, "--refresh-tokens", "x"),
		"lifetim":                append(client, "--settings", bad),
		"arguments without":      append(client, "s3cret"),
		"no-such":                append(client, "--no-such"),
		"expected id=ISSUER":     append(client, "--jwt", "acme=s3cret"),
		"--jwt acme: jwks_url":   append(client, "--jwt", "acme=i,http://u:s3cret@a"),
		"--jwt acme: given":      append(client, "--jwt", "acme=i,http://a", "--jwt", "acme=j,http://b"),
		"no --client of this id": append(client, "--jwt", "beta=i,http://a"),
		"belong to --jwt":        append(client, "--jwks-cache", "1h"),
		"expected id=KIND":       append(client, "--restrict", "acme:s3cret"),
		"such as acme=derived":   append(client, "--restrict", "acme=derived,forbidden"),
		"none of derived":        append(client, "--restrict", "acme=both"),
		"none of 401":            append(client, "--restrict", "acme=derived,404"),
		"--restrict acme: given": append(client, "--restrict", "acme=derived", "--restrict", "acme=anonymous"),
		"--restrict beta: there": append(client, "--restrict", "beta=derived"),
		"leeway: -1s":            append(client, "--jwt", "acme=i,http://a", "--jwt-leeway", "-1s"),
	} {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"--bind-address", "127.0.0.1:0"}, args...), &out, &out)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v instead of: %s", err, want)
		}
		if err != nil && strings.Contains(err.Error()+out.String(), "s3cret") {
			t.Errorf("%s: the error repeats the secret", want)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, io.Discard, &out); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("%v", err)
	}
	for _, want := range []string{"Examples:", "--client id=FILE", "--tls-self-signed\n", "(default 12h0m0s)", "--email-domain domain"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// TestVersion: it is all that stdout gets, and it needs no other flag.
func TestVersion(t *testing.T) {
	version = "1.2.3"
	defer func() { version = "dev" }()
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"--version"}, &stdout, &stderr); err != nil {
		t.Error(err)
	}
	if stdout.String() != "1.2.3\n" || stderr.Len() > 0 {
		t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
	}
}

// TestRestrict: the flag reaches the emulator, for its client alone.
func TestRestrict(t *testing.T) {
	addresses, _, stop := serving(t, 1, "--client", "acme:s", "--client", "beta:s", "--client", "gamma:s", "--client", "free:s",
		"--restrict", "acme=derived,429", "--restrict", "beta=derived", "--restrict", "gamma=anonymous,401")
	for id, want := range map[string]int{"acme": 429, "beta": 403, "gamma": 200, "free": 200} {
		if status, _ := clientToken(t, http.DefaultClient, "http://"+addresses[0], id, "s"); status != want {
			t.Errorf("%s: a client token is %d instead of %d", id, status, want)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
