package toolchain

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
)

// nodeRun is a run of testdata/node.ts.
type nodeRun struct {
	Args        []string       `json:"args"`
	Input       []byte         `json:"input"`
	Seed        []byte         `json:"seed"`
	Fuel        uint64         `json:"fuel"`
	SegmentFuel uint64         `json:"segmentFuel"`
	OutputBytes uint32         `json:"outputBytes"`
	From        nodeCheckpoint `json:"from"`
}

type nodeCheckpoint struct {
	Fuel   uint64 `json:"fuel"`
	Links  []byte `json:"links"`
	State  []byte `json:"state"`
	Output []byte `json:"output"`
}

// voted is what of an outcome hosts must agree on.
type voted struct {
	End    sandbox.End
	Code   uint32
	Fuel   uint64
	Output []byte
	Links  []byte
}

func votedOf(o sandbox.Outcome) voted {
	return voted{o.End, o.Code, o.Fuel, append([]byte{}, o.Output...), join(o.Links)}
}

func join(links []canon.Digest) []byte {
	all := []byte{}
	for _, l := range links {
		all = append(all, l[:]...)
	}
	return all
}

// onNode runs tasks of one module on the browser's host, under V8.
func onNode(t *testing.T, module []byte, tasks []sandbox.Task) (all []voted) {
	t.Helper()
	plan := struct {
		Module []byte    `json:"module"`
		Runs   []nodeRun `json:"runs"`
	}{Module: module}
	for _, task := range tasks {
		r := nodeRun{task.Args, task.Input, task.Seed[:], task.Limits.Fuel, task.Limits.SegmentFuel, task.Limits.OutputBytes, nodeCheckpoint{}}
		if r.Args == nil {
			r.Args = []string{}
		}
		r.From = nodeCheckpoint{Links: []byte{}, State: []byte{}, Output: []byte{}}
		if c := task.From; c != nil {
			r.From = nodeCheckpoint{c.Fuel, join(c.Links), c.State, append([]byte{}, c.Output...)}
		}
		plan.Runs = append(plan.Runs, r)
	}
	data, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, runner := filepath.Join(dir, "plan.json"), filepath.Join(dir, "node.mjs")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	const esbuild = "../../webworker/node_modules/.bin/esbuild"
	if err := run("", nil, esbuild, "testdata/node.ts", "--bundle", "--platform=node", "--format=esm", "--log-level=warning", "--outfile="+runner); err != nil {
		t.Fatalf("bundling the browser's host (npm ci in webworker installs what it needs): %v", err)
	}
	c := exec.Command("node", runner, file)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &all); err != nil || len(all) != len(tasks) {
		t.Fatalf("%d outcomes of %d runs: %v", len(all), len(tasks), err)
	}
	return all
}

// sameOnNode runs the tasks on the browser's host and compares with how they
// ended here.
func sameOnNode(t *testing.T, module []byte, tasks []sandbox.Task, here []voted) {
	t.Helper()
	for i, there := range onNode(t, module, tasks) {
		if !reflect.DeepEqual(there, here[i]) {
			t.Errorf("run %d, %q, in the browser's host: %s with code %d, %d fuel, %d segments, %.100q; here: %s, %d, %d, %d, %.100q", i, tasks[i].Args,
				there.End, there.Code, there.Fuel, len(there.Links)/32, there.Output, here[i].End, here[i].Code, here[i].Fuel, len(here[i].Links)/32, here[i].Output)
		}
	}
	t.Logf("%d runs on both hosts", len(tasks))
}

// TestHosts runs every program with every argument on both hosts: wazero's, and
// the browser's on V8. They agree on end, code, output, fuel and transcript.
func TestHosts(t *testing.T) {
	engine, err := sandbox.New(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close(t.Context())
	for lang, all := range cases {
		t.Run(lang, func(t *testing.T) {
			module := metered(t, lang)
			var tasks []sandbox.Task
			var here []voted
			for _, arg := range slices.Sorted(maps.Keys(all)) {
				task := sandbox.Task{Module: module, Input: input, Args: []string{arg, "two"}, Seed: [32]byte{7},
					Limits: sandbox.Limits{Fuel: 1 << 34, SegmentFuel: 1 << 34, MemoryPages: pages, OutputBytes: 1 << 16}}
				tasks, here = append(tasks, task), append(here, votedOf(outcome(t, engine, task)))
			}
			sameOnNode(t, module, tasks, here)
		})
	}
}
