package docs_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gini-operator/gini-operator/internal/problem"
)

// TestLinks follows the links between the pages, and from them to files.
func TestLinks(t *testing.T) {
	for path, page := range pages(t) {
		for _, target := range links(page) {
			if strings.HasPrefix(target, "https://") {
				continue
			}
			file, anchor, _ := strings.Cut(target, "#")
			linked := path
			if file != "" {
				linked = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(linked); err != nil {
				t.Errorf("%s: there is no %s", path, target)
				continue
			}
			if anchor != "" && !anchors(read(t, linked))[anchor] {
				t.Errorf("%s: there is no heading for %s", path, target)
			}
		}
	}
}

// reasons are the constants of the API that are reasons.
func reasons(t *testing.T) (values []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "api", "v1alpha1", "conditions.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
		return false
	})
	if len(values) < 40 {
		t.Fatalf("only %d reasons found", len(values))
	}
	return values
}

var row = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|.*\\| ([^|]*) \\|$")

// TestReasons holds the page on troubleshooting against the code: each reason, and when it is tried again.
func TestReasons(t *testing.T) {
	again := map[problem.Retry]string{
		problem.Wait:       "when it comes",
		problem.Stall:      "when something changes",
		problem.Backoff:    "after growing pauses",
		problem.WithClient: "with the client",
	}
	page := read(t, filepath.Join(root, "docs", "troubleshooting.md"))
	documented := map[string]string{}
	for _, match := range row.FindAllStringSubmatch(page, -1) {
		if _, twice := documented[match[1]]; twice {
			t.Errorf("%s is there twice", match[1])
		}
		documented[match[1]] = match[2]
	}
	for _, reason := range reasons(t) {
		last, ok := documented[reason]
		if !ok {
			t.Errorf("%s is not documented", reason)
		}
		if reaction, isProblem := problem.Lookup(reason); isProblem && last != again[reaction.Retry] {
			t.Errorf("%s is tried again %q, not %q", reason, again[reaction.Retry], last)
		}
		delete(documented, reason)
	}
	for reason := range documented {
		t.Errorf("%s is documented, but no reason", reason)
	}
}

// TestEmulatorHelp holds the flags of the emulator's page against the program.
func TestEmulatorHelp(t *testing.T) {
	program := exec.CommandContext(t.Context(), "go", "run", "./cmd/gini-emulator", "--help")
	program.Dir = root
	var help bytes.Buffer
	program.Stdout, program.Stderr = &help, &help
	if err := program.Run(); err != nil {
		t.Fatalf("%v\n%s", err, help.String())
	}
	for _, b := range blocks(read(t, filepath.Join(root, "docs", "emulator.md"))) {
		if b.text == help.String() {
			return
		}
	}
	t.Error("docs/emulator.md does not have what gini-emulator --help says")
}

var (
	flagOfHelp = regexp.MustCompile(`(?m)^  -([a-z-]+)`)
	flagOfPage = regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\|")
)

// TestManagerFlags holds the flags of the README against the operator.
func TestManagerFlags(t *testing.T) {
	program := exec.CommandContext(t.Context(), "go", "run", "./cmd/manager", "--help")
	program.Dir = root
	help, err := program.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	documented := map[string]bool{}
	for _, match := range flagOfPage.FindAllStringSubmatch(read(t, filepath.Join(root, "README.md")), -1) {
		documented[match[1]] = true
	}
	for _, match := range flagOfHelp.FindAllStringSubmatch(string(help), -1) {
		if !documented[match[1]] {
			t.Errorf("README.md lacks --%s", match[1])
		}
		delete(documented, match[1])
	}
	for name := range documented {
		t.Errorf("README.md has --%s, which the operator lacks", name)
	}
}
