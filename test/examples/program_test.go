package examples_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	root = "../.."
	// patience is for a JVM that starts on a busy machine; the requests themselves take some seconds.
	patience = 3 * time.Minute
)

// program is an example.
type program struct {
	name    string
	command []string
	// runtimes must be on the PATH; packages are Debian's that have them.
	runtimes []string
	packages string
	// tells is whether its lines say until when the token is valid.
	tells bool
}

// programs are all examples. The one in Go is built into folder.
func programs(folder string) []program {
	return []program{
		{name: "go", command: []string{filepath.Join(folder, "documents")}, runtimes: []string{"go"}, packages: "golang"},
		{
			name: "java", command: []string{"java", "-XX:TieredStopAtLevel=1", filepath.Join(root, "examples", "java", "Documents.java")},
			runtimes: []string{"java", "javac"}, packages: "default-jdk-headless", tells: true,
		},
		{
			name: "python", command: []string{"python3", filepath.Join(root, "examples", "python", "documents.py")},
			runtimes: []string{"python3"}, packages: "python3", tells: true,
		},
		{
			name: "node", command: []string{"node", filepath.Join(root, "examples", "node", "documents.js")},
			runtimes: []string{"node"}, packages: "nodejs", tells: true,
		},
		{
			name: "curl", command: []string{"sh", filepath.Join(root, "examples", "curl", "documents.sh")},
			runtimes: []string{"sh", "curl"}, packages: "curl", tells: true,
		},
	}
}

// build builds the example in Go.
func build(t *testing.T, folder string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(folder, "documents"), "./examples/go")
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// present fails the test where a runtime is missing.
func (p program) present(t *testing.T) {
	t.Helper()
	for _, runtime := range p.runtimes {
		if _, err := exec.LookPath(runtime); err != nil {
			t.Fatalf("%s is missing, which Debian's %s has: %v", runtime, p.packages, err)
		}
	}
}

// line is what a program prints for a request.
type line struct {
	status int
	until  string
}

var printed = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (\d{3})(?: token valid until (\S+))?$`)

// result is how a program ended, and what it said.
type result struct {
	stdout, stderr string
	code           int
}

// start runs the program to its end with little of this machine's environment: a proxy in it would stand before the emulator.
func (p program) start(t *testing.T, w *world, environment ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, p.command[0], p.command[1:]...)
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, environment...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	command.WaitDelay = time.Second
	if err := command.Run(); err != nil && (command.ProcessState == nil || !command.ProcessState.Exited()) {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	w.discreet("stdout", stdout.String())
	w.discreet("stderr", stderr.String())
	return result{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// run lets the program make some requests.
func (p program) run(t *testing.T, w *world, requests int) result {
	t.Helper()
	front := httptest.NewServer(w)
	defer front.Close()
	begin := time.Now()
	r := p.start(t, w, "GINI_TOKEN_DIR="+w.dir, "GINI_URL="+front.URL, "GINI_REQUESTS="+strconv.Itoa(requests))
	if took := time.Since(begin); r.code == 0 && took < time.Duration(requests-1)*time.Second {
		t.Errorf("%d requests took %s: they should be a second apart", requests, took)
	}
	return r
}

// lines lets the program make some requests, and fails the test if it does not print a line for each, or ends with another exit code than these
// deserve: 0 if one of them succeeded, else 1.
func (p program) lines(t *testing.T, w *world, requests int) (lines []line) {
	t.Helper()
	r := p.run(t, w, requests)
	code := 1
	for text := range strings.Lines(r.stdout) {
		match := printed.FindStringSubmatch(strings.TrimSpace(text))
		if len(match) != 3 || p.tells != (match[2] != "") {
			t.Fatalf("the line %q", text)
		}
		status, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line{status, match[2]})
		if status == http.StatusOK {
			code = 0
		}
	}
	if len(lines) != requests {
		t.Fatalf("%d lines for %d requests: %+v", len(lines), requests, r)
	}
	if r.code != code {
		t.Errorf("exit code %d instead of %d: %+v", r.code, code, r)
	}
	return lines
}
