package wasm

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSpecSuite decodes and validates every module of the WebAssembly
// specification's suite that ships in wazero's Go module: what the suite calls
// invalid or malformed is refused, what it calls valid is accepted or refused
// for a reason that stands below.
func TestSpecSuite(t *testing.T) {
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
			specFile(t, f, counts)
		}
	}
	t.Log(counts)
	if counts["accepted"] < 2300 || counts["refused as it must be"] < 4500 || counts["wrong in 1.0, right in 2.0"] != 6 {
		t.Errorf("the suite is not what it was: %v", counts)
	}
}

func specFile(t *testing.T, file string, counts map[string]int) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Commands []struct {
			Type, Filename, Text string
			ModuleType           string `json:"module_type"`
			Line                 int
		}
	}
	if err := json.Unmarshal(data, &suite); err != nil {
		t.Fatal(err)
	}
	for _, c := range suite.Commands {
		if c.Filename == "" || c.ModuleType == "text" {
			continue
		}
		module, err := os.ReadFile(filepath.Join(filepath.Dir(file), c.Filename))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(module)
		if err == nil {
			err = m.Validate()
		}
		where := filepath.Base(file) + ":" + c.Filename
		switch c.Type {
		case "assert_invalid", "assert_malformed":
			if err == nil && strings.Contains(file, "/v1/") {
				counts["wrong in 1.0, right in 2.0"]++
				continue
			}
			if err == nil {
				t.Errorf("%s line %d: accepted, but is wrong: %s", where, c.Line, c.Text)
			}
			counts["refused as it must be"]++
		case "module", "assert_uninstantiable", "assert_unlinkable", "assert_trap", "assert_exhaustion":
			if err == nil {
				counts["accepted"]++
			} else if reason := outOfSubset(err); reason != "" {
				counts["refused: "+reason]++
			} else {
				t.Errorf("%s line %d: %v", where, c.Line, err)
			}
		default:
			t.Fatalf("%s: command %q", where, c.Type)
		}
	}
}

func outOfSubset(err error) string {
	var e *Error
	switch {
	case errors.As(err, &e) && e.Feature != "":
		return string(e.Feature)
	case strings.Contains(err.Error(), "at most"):
		return "limits"
	}
	return ""
}
