package docs_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// TestEmulatorPage is the Go code of docs/emulator.md.
func TestEmulatorPage(t *testing.T) {
	gini := emulator.New(emulator.WithClient("acme", "s3cret"), emulator.WithLifetime(5*time.Minute))
	url, err := gini.Start() // serves both the Pay API and the User Center
	if err != nil {
		t.Fatal(err)
	}
	defer gini.Close()

	gini.Script(emulator.Fault{ // the next three logins are one too many
		Match:  emulator.Match{Operations: []emulator.Operation{emulator.Login}, Count: 3},
		Effect: emulator.TooManyRequests(30 * time.Second),
	})

	letYourProgramWork(url)

	if n := gini.Ledger().ExpiredUses(); n > 0 {
		t.Errorf("an expired token was used %d times", n)
	}
}

func letYourProgramWork(string) {}

// TestGoBlocks finds the Go code of the pages in this file, which is compiled and run.
func TestGoBlocks(t *testing.T) {
	file := strings.ReplaceAll(read(t, "emulator_test.go"), "\n\t", "\n")
	for path, page := range pages(t) {
		if filepath.Base(path) == "reading-tokens.md" { // test/examples compiles that
			continue
		}
		for _, b := range blocks(page) {
			if b.language == "go" && !strings.Contains(file, "\n"+b.text) {
				t.Errorf("%s:%d: this code is not compiled", filepath.Base(path), b.line)
			}
		}
	}
}
