package toolchain

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/meter"
	"github.com/countersign/countersign/payloads/sdk"
)

// TestSegments builds the project of each language with its own Makefile, and
// runs it in segments of several lengths, on both hosts: the output is the expected
// one, all four calls reach the host, and a run that is cut here goes on there.
func TestSegments(t *testing.T) {
	engine, err := sandbox.New(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close(t.Context())
	for _, l := range sdk.Languages() {
		t.Run(l.Name, func(t *testing.T) {
			dir := project(t, l.Name)
			if err := run(dir, nil, "make", "count.wasm"); err != nil {
				t.Fatal(err)
			}
			read := func(name string) []byte {
				data, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				return data
			}
			module, _, err := meter.Rewrite(read("count.wasm"), &meter.Options{MemoryPages: l.Pages})
			if err != nil {
				t.Fatal(err)
			}
			var tasks []sandbox.Task
			var here []voted
			for _, segment := range []uint64{1 << 34, 100_000_000, 20_000_000} {
				reports := map[string]bool{}
				var middle *sandbox.Checkpoint
				task := sandbox.Task{Module: module, Input: read("input.txt"),
					Limits: sandbox.Limits{Fuel: 1 << 34, SegmentFuel: segment, MemoryPages: l.Pages, OutputBytes: 1 << 16}}
				tasks = append(tasks, task)
				task.Progress = func(permille int, text string, _ uint64) { reports[fmt.Sprint(permille, " ", text)] = true }
				task.Checkpoint = func(c *sandbox.Checkpoint) {
					if len(c.Links) == 3 {
						middle = c
					}
				}
				o := outcome(t, engine, task)
				here = append(here, votedOf(o))
				if o.End != sandbox.Exit || o.Code != 0 || !bytes.Equal(o.Output, read("expected.txt")) {
					t.Errorf("segments of %d: %s with code %d, %q (%s)", segment, o.End, o.Code, o.Output, o.Detail)
				}
				if least := min(4, int(1<<34/segment)); len(o.Links) < least {
					t.Errorf("segments of %d: there are %d, want at least %d", segment, len(o.Links), least)
				}
				if !reports["13 4096 of 300000"] || !reports["969 290816 of 300000"] || len(reports) != 300_000/4096 {
					t.Errorf("segments of %d: reports %v", segment, reports)
				}
				if middle != nil { // and there it goes on
					task.Progress, task.Checkpoint, task.From = nil, nil, middle
					tasks, here = append(tasks, task), append(here, votedOf(o))
				}
				t.Logf("segments of %d: %d of them, %d fuel", segment, len(o.Links), o.Fuel)
			}
			sameOnNode(t, module, tasks, here)
		})
	}
}
