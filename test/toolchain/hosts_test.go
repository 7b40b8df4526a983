package toolchain

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/countersign/countersign/internal/sandbox"
)

type plan struct {
	Module      []byte     `json:"module"`
	Cases       []planCase `json:"cases"`
	Fuel        uint64     `json:"fuel"`
	OutputBytes uint32     `json:"outputBytes"`
}

type planCase struct {
	Args  []string `json:"args"`
	Input []byte   `json:"input"`
	Seed  []byte   `json:"seed"`
}

// voted is what of an outcome hosts must agree on.
type voted struct {
	End    sandbox.End
	Code   uint32
	Fuel   uint64
	Output []byte
}

// TestHosts runs every program with every argument on both hosts: wazero's, and
// the browser's on V8. They agree on end, code, output and fuel.
func TestHosts(t *testing.T) {
	engine, err := sandbox.New(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close(t.Context())
	runner := filepath.Join(t.TempDir(), "node.mjs")
	const esbuild = "../../webworker/node_modules/.bin/esbuild"
	if err := run("", nil, esbuild, "testdata/node.ts", "--bundle", "--platform=node", "--format=esm", "--log-level=warning", "--outfile="+runner); err != nil {
		t.Fatalf("bundling the browser's host (npm ci in webworker installs what it needs): %v", err)
	}
	for lang, all := range cases {
		t.Run(lang, func(t *testing.T) {
			p := plan{Module: metered(t, lang), Fuel: 1 << 34, OutputBytes: 1 << 16}
			seed := bytes.Repeat([]byte{7}, 32)
			for _, arg := range slices.Sorted(maps.Keys(all)) {
				p.Cases = append(p.Cases, planCase{[]string{arg, "two"}, input, seed})
			}
			theirs := onNode(t, runner, p)
			for i, c := range p.Cases {
				o := outcome(t, engine, sandbox.Task{Module: p.Module, Input: c.Input, Args: c.Args, Seed: [32]byte(c.Seed),
					Limits: sandbox.Limits{Fuel: p.Fuel, SegmentFuel: p.Fuel, MemoryPages: pages, OutputBytes: p.OutputBytes}})
				ours, theirs := voted{o.End, o.Code, o.Fuel, o.Output}, theirs[i]
				if ours.End != theirs.End || ours.Code != theirs.Code || ours.Fuel != theirs.Fuel || !bytes.Equal(ours.Output, theirs.Output) {
					t.Errorf("%s: %s with code %d, %d fuel, %.100q on wazero; %s, %d, %d, %.100q in the browser's host", c.Args[0],
						ours.End, ours.Code, ours.Fuel, ours.Output, theirs.End, theirs.Code, theirs.Fuel, theirs.Output)
				}
			}
			t.Logf("%d runs agree", len(theirs))
		})
	}
}

func onNode(t *testing.T, runner string, p plan) (all []voted) {
	t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("node", runner, file)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &all); err != nil || len(all) != len(p.Cases) {
		t.Fatalf("%d outcomes for %d cases: %v", len(all), len(p.Cases), err)
	}
	return all
}
