package countersign

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namedTest is a test as pages name it: with its package, or without.
var namedTest = regexp.MustCompile("`(?:([a-z0-9]+): )?((?:Test|Fuzz)[A-Z][A-Za-z0-9_]*)`")

// TestSpecPages: every test that a page of docs/spec names is there, in the
// package that it names, and every invariant names one.
func TestSpecPages(t *testing.T) {
	pages, err := filepath.Glob("docs/spec/*.md")
	if err != nil || len(pages) < 7 {
		t.Fatalf("%d pages (%v)", len(pages), err)
	}
	tests := testsByPackage(t)
	named, invariants := 0, 0
	for _, path := range pages {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range namedTest.FindAllStringSubmatch(string(page), -1) {
			named++
			if !strings.Contains(tests[m[1]], "\nfunc "+m[2]+"(") {
				t.Errorf("%s: there is no test %s in %q", path, m[2], m[1])
			}
		}
		_, table, _ := strings.Cut(string(page), "| invariant | test |\n")
		table, _, _ = strings.Cut(table, "\n\n")
		for _, row := range strings.Split(table, "\n") {
			if !strings.HasPrefix(row, "| ") || strings.HasPrefix(row, "| ---") {
				continue
			}
			if invariants++; !namedTest.MatchString(row) {
				t.Errorf("%s: no test is named in %q", path, row)
			}
		}
	}
	if named < 40 || invariants < 40 {
		t.Errorf("%d tests and %d invariants found: the pages look different now", named, invariants)
	}
}

// testsByPackage has the text of all tests by the name of their folder, and under
// "" everything.
func testsByPackage(t *testing.T) map[string]string {
	all := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "node_modules" {
			if err == nil {
				err = filepath.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(path)
		name := filepath.Base(filepath.Dir(path))
		all[name] += "\n" + string(data)
		all[""] += "\n" + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
