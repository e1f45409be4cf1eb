package charts_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// withoutCRDs drops the CRDs from rendered documents: TestCRDs compares them, and golden files would drown in them.
func withoutCRDs(text string) string {
	documents := strings.Split(text, "\n---\n")
	return strings.Join(slices.DeleteFunc(documents, func(document string) bool {
		return strings.Contains(document, "\nkind: CustomResourceDefinition\n")
	}), "\n---\n")
}

// TestGolden compares what the chart renders to with files that people have looked at, a few for each kind of values (R5.4).
// UPDATE_GOLDEN=1 writes them anew.
func TestGolden(t *testing.T) {
	seen := map[string]bool{}
	for _, values := range valueFiles(t) {
		name := strings.TrimSuffix(filepath.Base(values), ".yaml")
		golden := filepath.Join("testdata", "golden", name+".golden")
		seen[golden] = true
		t.Run(name, func(t *testing.T) {
			text, err := helmTemplate(t, release, namespace, "--values", values)
			if err != nil {
				t.Fatal(err)
			}
			text = withoutCRDs(text)
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if difference := cmp.Diff(read(t, golden), text); difference != "" {
				t.Errorf("it is not as in %s; look at it, and run this with UPDATE_GOLDEN=1 where it is right:\n%s", golden, difference)
			}
		})
	}
	existing, err := filepath.Glob(filepath.Join("testdata", "golden", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range existing {
		if !seen[path] {
			t.Errorf("%s belongs to no file of values", path)
		}
	}
}
