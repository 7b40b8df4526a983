package payloads_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// jobFile is what the commands of signer take from a job.toml.
type jobFile struct {
	Source, Module string
	MemoryPages    uint32 `toml:"memory-pages"`
	Build          struct{ Output string }
	Release        struct {
		Name, Purpose string
		Version       int
		TaskFuel      uint64 `toml:"task-fuel"`
		SegmentFuel   uint64 `toml:"segment-fuel"`
		Seconds       uint32
		OutputBytes   uint32 `toml:"output-bytes"`
	}
	Order struct {
		Release, Title, Lines, Range, Output string
		PerTask                              int `toml:"per-task"`
		Step                                 uint64
	}
	Submit struct{ Input string }
}

// TestJobs makes sure that each module has a job, and that it fits the module.
func TestJobs(t *testing.T) {
	var have []string
	for _, pattern := range []string{"*/job*.toml", "hostile/*/job*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			have = append(have, checkJob(t, f))
		}
	}
	if want := modules(t); !slices.Equal(slices.Sorted(slices.Values(have)), slices.Sorted(slices.Values(want))) {
		t.Errorf("there are jobs for %v, and the modules %v", have, want)
	}
}

func checkJob(t *testing.T, path string) (module string) {
	t.Helper()
	dir := filepath.Dir(path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var j jobFile
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&j); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, name := range []string{j.Source, j.Module, j.Order.Lines, j.Submit.Input} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	r := j.Release
	statement := fmt.Sprintf("%s-%d.release.json", strings.ReplaceAll(r.Name, "/", "-"), r.Version)
	if j.Build.Output != j.Module || j.Order.Release != statement || j.Order.Lines != j.Submit.Input || (j.Order.Lines == "") == (j.Order.Range == "") {
		t.Errorf("%s does not fit together: %+v", path, j)
	}
	if r.SegmentFuel > r.TaskFuel || r.SegmentFuel == 0 || r.OutputBytes > 1<<20 || len(r.Purpose) > 200 || len(j.Order.Title) > 200 {
		t.Errorf("%s is not within the bounds of a release: %+v", path, r)
	}
	for _, c := range readCases(t, dir) {
		if c.Module == j.Module && c.Limits.MemoryPages != j.MemoryPages {
			t.Errorf("%s has %d pages, the golden case %s %d", path, j.MemoryPages, c.Name, c.Limits.MemoryPages)
		}
	}
	return filepath.Join(dir, j.Module)
}
