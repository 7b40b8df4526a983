package meter

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tool runs a program of wabt on a file and returns its standard output.
func tool(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is needed: apt-get install wabt", name)
	}
	var out, stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, stderr.Bytes())
	}
	return out.Bytes()
}

// assemble turns text into a module, with every feature that wabt knows.
func assemble(t testing.TB, wat string) []byte {
	t.Helper()
	dir := t.TempDir()
	src, out := filepath.Join(dir, "m.wat"), filepath.Join(dir, "m.wasm")
	if err := os.WriteFile(src, []byte(wat), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "wat2wasm", "--enable-all", "--debug-names", "--no-check", src, "-o", out)
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func inFile(t testing.TB, module []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.wasm")
	if err := os.WriteFile(path, module, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
