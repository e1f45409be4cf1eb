package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// requirements are how many there are of each group that the page on reliability speaks of: R1.1 to R1.10, and so on.
var requirements = map[int]int{1: 10, 2: 8, 3: 12, 4: 4, 5: 5, 11: 5, 12: 4, 13: 4, 14: 3, 16: 6, 17: 4}

var (
	number      = regexp.MustCompile(`R\d+\.\d+`)
	numbers     = regexp.MustCompile(`\s*\((R\d+\.\d+(?:,\s*R\d+\.\d+)*)\)`)
	numberedRow = regexp.MustCompile(`(?m)^\| (R\d+\.\d+) \| .* \| (.*) \|$`)
	plainRow    = regexp.MustCompile("(?m)^\\| [^|]+ \\| (`.*`) \\|$")
	namedTest   = regexp.MustCompile("`([^`:]+_test\\.go): ([^`]+)`")
)

// section is a page from a heading to the next one that is not below it.
func section(t *testing.T, page, title string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, "\n## "+title+"\n")
	if !found {
		t.Fatalf("there is no section %q", title)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

// testsIn are the tests and specs of a file, as the page names them: a function by its name, a spec by its text in quotes, in
// which "…" stands for what is not a constant. Each has the numbers that its doc comment or its text carries.
func testsIn(t *testing.T, path string) map[string][]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	add := func(name, text string) {
		for _, list := range numbers.FindAllStringSubmatch(text, -1) {
			found[name] = append(found[name], number.FindAllString(list[1], -1)...)
		}
		if found[name] == nil {
			found[name] = []string{}
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncDecl:
			if strings.HasPrefix(node.Name.Name, "Test") || strings.HasPrefix(node.Name.Name, "Fuzz") {
				add(node.Name.Name, node.Doc.Text())
			}
		case *ast.CallExpr:
			called, ok := node.Fun.(*ast.Ident)
			if ok && slices.Contains([]string{"It", "DescribeTable", "Entry"}, called.Name) && len(node.Args) > 0 {
				text := constant(node.Args[0])
				add(strconv.Quote(numbers.ReplaceAllString(text, "")), text)
			}
		}
		return true
	})
	return found
}

// constant is a text as far as it is one.
func constant(of ast.Expr) string {
	switch of := of.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(of.Value); err == nil && of.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		return constant(of.X) + constant(of.Y)
	}
	return "…"
}

// TestRequirements: the page promises or declines each of them, once.
func TestRequirements(t *testing.T) {
	page := read(t, filepath.Join(root, "docs", "reliability.md"))
	rows := map[string]int{}
	for _, title := range []string{"Promise and test", "Declined"} {
		for _, match := range numberedRow.FindAllStringSubmatch(section(t, page, title), -1) {
			rows[match[1]]++
		}
	}
	for group, count := range requirements {
		for i := range count {
			name := fmt.Sprintf("R%d.%d", group, i+1)
			if rows[name] != 1 {
				t.Errorf("%s is promised or declined %d times", name, rows[name])
			}
			delete(rows, name)
		}
	}
	for name := range rows {
		t.Errorf("%s is no requirement", name)
	}
}

// TestPromises: the tests that the page names for a requirement are there, and carry its number.
func TestPromises(t *testing.T) {
	page := section(t, read(t, filepath.Join(root, "docs", "reliability.md")), "Promise and test")
	files := map[string]map[string][]string{}
	named := func(cell string, check func(test string, carries []string)) {
		t.Helper()
		tests := namedTest.FindAllStringSubmatch(cell, -1)
		if len(tests) == 0 || len(tests) != strings.Count(cell, "<br/>")+1 {
			t.Errorf("not a list of tests: %s", cell)
		}
		for _, test := range tests {
			if files[test[1]] == nil {
				files[test[1]] = testsIn(t, filepath.Join(root, filepath.FromSlash(test[1])))
			}
			carries, ok := files[test[1]][test[2]]
			if !ok {
				t.Errorf("%s has no test %s", test[1], test[2])
				continue
			}
			check(test[1]+": "+test[2], carries)
		}
	}
	promised := map[string]bool{}
	for _, match := range numberedRow.FindAllStringSubmatch(page, -1) {
		named(match[2], func(test string, carries []string) {
			promised[match[1]+" "+test] = true
			if !slices.Contains(carries, match[1]) {
				t.Errorf("%s does not carry %s", test, match[1])
			}
		})
	}
	plain := plainRow.FindAllStringSubmatch(page, -1)
	if len(plain) == 0 {
		t.Error("there are no promises without a number")
	}
	for _, match := range plain {
		named(match[1], func(string, []string) {})
	}
	for _, carried := range carriedNumbers(t) {
		if !promised[carried] {
			t.Errorf("the page does not name %s", carried)
		}
	}
}

// carriedNumbers are the numbers that tests carry, each followed by the test.
func carriedNumbers(t *testing.T) []string {
	t.Helper()
	carried := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "bin", "dist", "testdata"}, entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for test, list := range testsIn(t, path) {
			for _, name := range list {
				carried[name+" "+filepath.ToSlash(relative)+": "+test] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(carried))
}
