// Command probe is what the cluster's smoke test runs in its pods: one of them serves, the other one looks at what a pod relies on.
//
//	probe serve                 answers every request on port 8080
//	probe check URL [FILE]      uses URL and the API server, and waits until FILE, which says "before", says "after"
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	answer = "ok\n"
	// account is where a pod finds what its service account speaks to the API server with.
	account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	review  = "https://kubernetes.default.svc/apis/authentication.k8s.io/v1/selfsubjectreviews"
	// tryAgain lies between two tries: a Service's rules may follow its pod by a second.
	tryAgain, timeout = 250 * time.Millisecond, 3 * time.Second
	// patience is for a machine that is busy; filePatience for a kubelet, which may take a minute and a half.
	patience, filePatience = time.Minute, 4 * time.Minute
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(arguments []string, out io.Writer) error {
	switch {
	case len(arguments) == 1 && arguments[0] == "serve":
		return serve()
	case len(arguments) >= 2 && len(arguments) <= 3 && arguments[0] == "check":
		return check(arguments[1], strings.Join(arguments[2:], ""), out)
	}
	return errors.New("usage: probe serve | probe check URL [FILE]")
}

func serve() error {
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: timeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, answer)
	})}
	return server.ListenAndServe()
}

// check says what it sees as it goes: the smoke test waits for those lines.
func check(url, file string, out io.Writer) error {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	if file != "" {
		if err := says(file, "before"); err != nil {
			return err
		}
		say("file: before")
	}
	if err := until(patience, func(ctx context.Context) error { return useService(ctx, url) }); err != nil {
		return fmt.Errorf("%s cannot be used: %w", url, err)
	}
	say("service: used %s", url)
	var name string
	err := until(patience, func(ctx context.Context) (err error) {
		name, err = whoAmI(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("the API server cannot be used: %w", err)
	}
	say("api server: knows this pod as %s", name)
	if file == "" {
		return nil
	}
	if err := until(filePatience, func(context.Context) error { return says(file, "after") }); err != nil {
		return err
	}
	say("file: after")
	return nil
}

func says(file, want string) error {
	got, err := os.ReadFile(file) //nolint:gosec // the manifest's path
	if err == nil && string(got) != want {
		err = fmt.Errorf("%s should say %q, and says %q", file, want, got)
	}
	return err
}

// until tries something until it works.
func until(patience time.Duration, try func(context.Context) error) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(tryAgain) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		err := try(ctx)
		cancel()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func useService(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) //nolint:gosec // the manifest's
	if err != nil {
		return err
	}
	got, err := send(http.DefaultClient, request, http.StatusOK)
	if err == nil && string(got) != answer {
		return fmt.Errorf("it answers %q", got)
	}
	return err
}

// whoAmI asks the API server, by its name in the cluster, whom it takes this pod for.
func whoAmI(ctx context.Context) (string, error) {
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return "", err
	}
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return "", err
	}
	namespace, err := os.ReadFile(account + "namespace")
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	body := []byte(`{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}`)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, review, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	request.Header.Set("Content-Type", "application/json")
	got, err := send(client, request, http.StatusCreated)
	if err != nil {
		return "", err
	}
	var answered struct {
		Status struct {
			UserInfo struct {
				Username string `json:"username"`
			} `json:"userInfo"`
		} `json:"status"`
	}
	if err := json.Unmarshal(got, &answered); err != nil {
		return "", err
	}
	name := answered.Status.UserInfo.Username
	if want := "system:serviceaccount:" + string(namespace) + ":default"; name != want {
		return "", fmt.Errorf("it takes this pod for %q, not for %q", name, want)
	}
	return name, nil
}

func send(client *http.Client, request *http.Request, want int) ([]byte, error) {
	response, err := client.Do(request) //nolint:gosec // to what the manifest names
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != want {
		return nil, fmt.Errorf("it answers with status %d", response.StatusCode)
	}
	return io.ReadAll(response.Body)
}
