package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPage compiles the Go code of the page on reading tokens.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "reading-tokens.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "\n```go\n")
	code, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed {
		t.Fatal("the page has no Go code")
	}
	program := "package main\n\nimport (\n\t\"net/http\"\n\t\"time\"\n\n\t\"github.com/gini-operator/gini-operator/pkg/tokenfile\"\n)\n\n" +
		"func main() { _ = documents() }\n\nfunc documents() error {\n" + code + "\n\tif err == nil {\n\t\terr = res.Body.Close()\n\t}\n\treturn err\n}\n"
	path := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, path)
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
