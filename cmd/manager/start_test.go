package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
)

// asProgram makes the program of these tests the operator; "fast" lets its clock run faster.
const asProgram = "OPERATOR_UNDER_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "fast":
		wall = fast{begun: time.Now()}
		fallthrough
	case "plain":
		main()
		return
	}
	os.Exit(m.Run())
}

// fast is a clock on which a minute passes in two seconds.
type fast struct {
	clock.RealClock
	begun time.Time
}

func (f fast) Now() time.Time { return f.begun.Add(30 * time.Since(f.begun)) }

func (f fast) After(d time.Duration) <-chan time.Time { return f.RealClock.After(d / 30) }

// program is an operator that runs as a process of its own.
type program struct {
	process *os.Process
	ended   chan error // holds how it ended
	mu      sync.Mutex
	output  bytes.Buffer
}

// Write implements io.Writer.
func (p *program) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(text)
}

func (p *program) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// begin runs an operator until the test ends, with these variables as its environment.
func begin(t *testing.T, environment []string, flags ...string) *program {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{ended: make(chan error, 1)}
	command := exec.CommandContext(context.WithoutCancel(t.Context()), executable, flags...)
	command.Env, command.Stdout, command.Stderr = environment, p, p
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p.process = command.Process
	go func() { p.ended <- command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		if t.Failed() {
			t.Log(p.said())
		}
	})
	return p
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// get is what somebody answers at an address; empty if nobody does.
func get(ctx context.Context, url string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return ""
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %s", response.StatusCode, body)
}

// kubeconfig is a file that names a server.
func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	content := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": %q}}],
		"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {}}]}`, server)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRefused: what cannot be meant, or leads nowhere, is told in one sentence, before anything is connected to.
func TestRefused(t *testing.T) {
	t.Parallel()
	nowhere := []string{asProgram + "=plain", "HOME=" + t.TempDir()}
	for name, test := range map[string]struct {
		environment, flags []string
		want               string
	}{
		"outside of a cluster": {
			nil, nil, "no cluster to connect to: run the operator in a pod, or name a kubeconfig file with --kubeconfig",
		},
		"a kubeconfig that is not there": {
			nil, []string{"--kubeconfig=/nowhere/config"}, "no cluster to connect to: the kubeconfig /nowhere/config is not there, or names no cluster",
		},
		"a pod without a token": {
			[]string{"KUBERNETES_SERVICE_HOST=192.0.2.1", "KUBERNETES_SERVICE_PORT=443"}, nil,
			"no cluster to connect to: the pod's ServiceAccount cannot be used (see automountServiceAccountToken): " +
				"open /var/run/secrets/kubernetes.io/serviceaccount/token: no such file or directory",
		},
		"a host": {
			nil, []string{"--allowed-hosts=*.net"},
			`--allowed-hosts: allowed host "*.net": write it as host, host:port, *.domain, or http://host:port`,
		},
		"no namespace": {
			nil, []string{"--watch-namespaces=,"}, "--watch-namespaces names no namespace: leave it out to look at all",
		},
		"a namespace": {
			nil, []string{"--watch-namespaces=default,team_a"},
			`--watch-namespaces: "team_a" is no name of a namespace: write names, separated by commas`,
		},
		"an address": {
			nil, []string{"--metrics-bind-address=8080"},
			`--metrics-bind-address: "8080" is no address to listen at: write host:port, or :port, or 0 for none`,
		},
		"a port": {
			nil, []string{"--jwks-bind-address=:80822"},
			`--jwks-bind-address: ":80822" is no address to listen at: write host:port, or :port, or 0 for none`,
		},
		"a timeout": {
			nil, []string{"--request-timeout=-1s"}, "--request-timeout=-1s is no time that anything may take: write one such as 15s",
		},
		"a deadline": {
			nil, []string{"--leader-elect", "--leader-elect-namespace=default", "--leader-elect-renew-deadline=60s"},
			"--leader-elect-lease-duration (1m0s) must be longer than --leader-elect-renew-deadline (1m0s), " +
				"and that longer than 1.2 times --leader-elect-retry-period (2s)",
		},
		"a lease of nowhere": {
			nil, []string{"--leader-elect"}, "--leader-elect outside of a cluster needs --leader-elect-namespace",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			p := begin(t, append(test.environment, nowhere...), test.flags...)
			g.Eventually(p.ended).WithTimeout(time.Minute).Should(Receive(MatchError("exit status 1")))
			g.Expect(p.said()).To(Equal("manager: " + test.want + "\n"))
		})
	}
}

// TestUnasked: an API server that does not say what it serves is no reason to apply CustomResourceDefinitions. What came back is told, and
// NO_PROXY if a proxy stands between.
func TestUnasked(t *testing.T) {
	t.Parallel()
	const page = "<html>token-that-was-sent</html>"
	page502 := func(out http.ResponseWriter, _ *http.Request) {
		out.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(out, page)
	}
	text := func(content string) http.HandlerFunc {
		return func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, content) }
	}
	refuses := func(status int) http.HandlerFunc {
		return func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(status) }
	}
	for name, test := range map[string]struct {
		answers http.HandlerFunc // nil: nobody listens
		proxied bool
		want    string
	}{
		"a proxy that forbids":                {refuses(http.StatusForbidden), true, "Forbidden"},
		"a proxy that wants a password":       {refuses(http.StatusProxyAuthRequired), true, "Proxy Authentication Required"},
		"a proxy that does not get there":     {refuses(http.StatusBadGateway), true, "Bad Gateway"},
		"a proxy that is not there":           {nil, true, "connection refused"},
		"a server that answers with a page":   {text(page), false, "what answered is no Kubernetes API server: the answer is not JSON"},
		"a server that fails with a page":     {page502, false, "HTTP status 502 Bad Gateway: what answered is no Kubernetes API server"},
		"a server that says nothing":          {text("{}"), false, "what answered is no Kubernetes API server"},
		"a server that is not there":          {nil, false, "connection refused"},
		"a server that does not know the way": {http.NotFound, false, "HTTP status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			address := freeAddress(t)
			if test.answers != nil {
				server := httptest.NewServer(test.answers)
				t.Cleanup(server.Close)
				address = strings.TrimPrefix(server.URL, "http://")
			}
			probes, environment := freeAddress(t), []string{asProgram + "=plain"}
			server, remedy := "http://"+address, "Does it run, and may the operator connect to it?"
			if test.proxied {
				environment = append(environment, "HTTPS_PROXY=http://someone:pa55word@"+address)
				server, remedy = "https://api.cluster.test:6443", "Add api.cluster.test to NO_PROXY"
			}
			p := begin(t, environment, "--kubeconfig="+kubeconfig(t, server), "--health-probe-bind-address="+probes)
			g.Eventually(p.said).WithTimeout(time.Minute).Should(And(ContainSubstring(remedy), ContainSubstring(test.want)))
			g.Expect(p.said()).To(ContainSubstring("the API server " + server + " does not say what it serves"))
			g.Eventually(func() string { return get(t.Context(), "http://"+probes+"/readyz") }).WithTimeout(time.Minute).
				Should(And(HavePrefix("503 "), ContainSubstring(remedy)))
			g.Expect(get(t.Context(), "http://"+probes+"/healthz")).To(HavePrefix("200 "))
			g.Expect(p.said()).NotTo(Or(ContainSubstring("CustomResourceDefinitions"), ContainSubstring("pa55word"), ContainSubstring("token-that")))
			g.Expect(p.process.Signal(syscall.SIGTERM)).To(Succeed())
			g.Eventually(p.ended).WithTimeout(time.Minute).Should(Receive(BeNil()))
		})
	}
}
