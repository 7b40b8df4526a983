package countersign

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityPage: whatever SECURITY.md names as showing something is there.
func TestSecurityPage(t *testing.T) {
	page, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	all := readNames(t)
	counts := map[string]int{}
	for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllSubmatch(page, -1) {
		name := string(m[1])
		kind, there := all.has(name)
		if !there {
			t.Errorf("%q: there is no such %s", name, kind)
		}
		counts[kind]++
	}
	for _, kind := range []string{"Go test", "script", "vector or test in the browser", "make target", "path"} {
		if counts[kind] == 0 {
			t.Errorf("the page names no %s, so this test finds nothing", kind)
		}
	}
}

// names is what may be named.
type names struct {
	makefile, goTests, webTests string
	files                       map[string]bool // base names
}

func readNames(t *testing.T) *names {
	n := &names{files: map[string]bool{}}
	var goTests, webTests bytes.Buffer
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "node_modules" || d.Name() != "." && strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		n.files[d.Name()] = true
		switch {
		case strings.HasSuffix(path, "_test.go"):
			return add(&goTests, path)
		case strings.HasSuffix(path, ".test.ts"):
			return add(&webTests, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	n.makefile, n.goTests, n.webTests = string(makefile), goTests.String(), webTests.String()
	return n
}

func add(to *bytes.Buffer, path string) error {
	data, err := os.ReadFile(path)
	to.Write(data)
	return err
}

// prose is code of the page that names a thing, not what shows it.
var prose = map[string]bool{"ED": true, "threshold": true, "meter": true, "webworker": true, "meter.Check": true, "countersign/modules": true,
	"govulncheck": true, "npm audit": true, "node --test-name-pattern": true}

func (n *names) has(name string) (kind string, there bool) {
	word, rest, _ := strings.Cut(name, " ")
	switch {
	case prose[name] || strings.HasPrefix(name, "--"):
		return "word", true
	case word == "signer" || word == "hub" || word == "verifysim":
		return "command", rest != ""
	case word == "go":
		return "command", strings.HasPrefix(rest, "test ./")
	case word == "make":
		return "make target", strings.Contains(n.makefile, "\n"+rest+":")
	case strings.HasPrefix(name, "Test"):
		return "Go test", strings.Contains(n.goTests, "func "+name+"(")
	case strings.HasSuffix(name, ".txtar"):
		return "script", n.files[name]
	case rest != "":
		return "vector or test in the browser", n.files[strings.ReplaceAll(name, " ", "-")+".json"] ||
			strings.Contains(n.webTests, name)
	default:
		_, err := os.Stat(name)
		return "path", err == nil
	}
}
