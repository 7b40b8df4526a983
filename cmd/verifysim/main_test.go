package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/release"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"verifysim": main})
}

// TestScripts runs the real command; see testdata/script.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := buildSigner(t)
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"stage": stage, "await": await, "hubfor": hubFor, "liars": liars},
		Setup: func(env *testscript.Env) error {
			env.Setenv("ROOT", root)
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("COUNTERSIGN_HUB", "")
			for _, name := range []string{"alice.key", "alice.pub", "bob.pub"} {
				data, err := os.ReadFile(filepath.Join(root, "testdata/keys", name))
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), data, 0o600); err != nil {
					return err
				}
			}
			return writeTightRelease(filepath.Join(env.WorkDir, "tight.release.json"))
		},
	})
}

// buildSigner builds the researcher's program, for scripts that need both, and
// returns its folder.
func buildSigner(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir, "../signer").CombinedOutput(); err != nil {
		t.Fatalf("building signer: %v\n%s", err, out)
	}
	return dir
}

// writeTightRelease writes a release of payloads/factor that allows almost no
// fuel. It is made here because it names the module's digest.
func writeTightRelease(path string) error {
	r := release.Release{Type: release.Type, Name: "alice/factor", Version: 1,
		ModuleSHA256: canon.Sum(payloads.FactorModule), ModuleLength: int64(len(payloads.FactorModule)), SourceSHA256: canon.Sum(payloads.FactorSource),
		ABI: release.ABI, CostTable: release.CostTable,
		Limits:  release.Limits{TaskFuel: 1000, SegmentFuel: 1000, MemoryPages: payloads.Pages, Seconds: 60, OutputBytes: 1000},
		Purpose: "Factors integers.", Expires: canon.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))}
	statement, err := r.Encode()
	if err != nil {
		return err
	}
	return os.WriteFile(path, statement, 0o600)
}
