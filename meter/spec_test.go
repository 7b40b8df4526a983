package meter

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/wasm"
)

// TestSpecSuiteRewrites rewrites every module of the WebAssembly specification's
// suite, as it ships in wazero's Go module: what comes out is valid.
func TestSpecSuiteRewrites(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "internal/integration_test/spectest")
	counts := map[string]int{}
	for _, version := range []string{"v1", "v2"} {
		files, err := filepath.Glob(filepath.Join(dir, version, "testdata", "*.json"))
		if err != nil || len(files) < 50 {
			t.Fatalf("%s: %d files (%v)", version, len(files), err)
		}
		for _, f := range files {
			for name, module := range specModules(t, f) {
				specModule(t, name, module, counts)
			}
		}
	}
	t.Log(counts)
	if counts["rewritten"] < 1500 {
		t.Errorf("only %d modules were rewritten", counts["rewritten"])
	}
}

func specModule(t *testing.T, name string, module []byte, counts map[string]int) {
	out, _, err := Rewrite(module, &Options{Library: true, MemoryPages: wasm.MaxPages})
	var e *Error
	switch {
	case errors.As(err, &e):
		counts["refused: "+string(e.Feature)]++
		return
	case err != nil:
		t.Errorf("%s: %v", name, err)
		return
	}
	counts["rewritten"]++
	m, err := wasm.Decode(out)
	if err == nil {
		err = m.Validate()
	}
	if err != nil {
		t.Errorf("%s: rewritten it is not valid: %v", name, err)
	}
}

// specModules has the modules that one file of the suite calls valid.
func specModules(t *testing.T, file string) map[string][]byte {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Commands []struct {
			Type, Filename string
		}
	}
	if err := json.Unmarshal(data, &suite); err != nil {
		t.Fatal(err)
	}
	modules := map[string][]byte{}
	for _, c := range suite.Commands {
		if c.Filename == "" || c.Type == "assert_invalid" || c.Type == "assert_malformed" {
			continue
		}
		module, err := os.ReadFile(filepath.Join(filepath.Dir(file), c.Filename))
		if err != nil {
			t.Fatal(err)
		}
		modules[filepath.Base(file)+":"+c.Filename] = module
	}
	return modules
}
