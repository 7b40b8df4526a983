package toolchain

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/payloads/sdk"
)

// TestNative builds the projects of signer new for this machine, without a
// warning: payloads can be developed with the tools that their authors have. Go's
// is tested with the package.
func TestNative(t *testing.T) {
	for lang, build := range map[string][]string{
		"c":    {"clang-16", "-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "main.c", "-o", "native"},
		"rust": {"/usr/bin/rustc", "--edition", "2021", "-D", "warnings", "src/main.rs", "-o", "native"},
	} {
		t.Run(lang, func(t *testing.T) {
			dir := project(t, lang)
			if err := run(dir, nil, build[0], build[1:]...); err != nil {
				t.Fatal(err)
			}
			input, err := os.ReadFile(filepath.Join(dir, "input.txt"))
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join(dir, "expected.txt"))
			if err != nil {
				t.Fatal(err)
			}
			c := exec.Command(filepath.Join(dir, "native"))
			c.Stdin = bytes.NewReader(input)
			if got, err := c.Output(); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%v, %q, want %q", err, got, want)
			}
		})
	}
}

// TestCrate runs the Rust crate's own tests.
func TestCrate(t *testing.T) {
	out := filepath.Join(t.TempDir(), "tests")
	if err := run("", nil, "/usr/bin/rustc", "--edition", "2021", "-D", "warnings", "--crate-name", "countersign", "--test", "../../payloads/sdk/rust/src/lib.rs", "-o", out); err != nil {
		t.Fatal(err)
	}
	if err := run("", nil, out); err != nil {
		t.Fatal(err)
	}
}

// project writes the files of a new project.
func project(t *testing.T, lang string) (dir string) {
	t.Helper()
	l, err := sdk.ByName(lang)
	if err != nil {
		t.Fatal(err)
	}
	files, err := l.Project("ada/count", "ada-count-1.release.json")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name, text := range files {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
