package toolchain

import (
	"bytes"
	gobuild "go/build"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/meter"
)

// ordinary are programs that were not written for Countersign. Go's own is built
// from its sources, the other from the module proxy (testdata/ordinary).
var ordinary = []struct {
	name, pkg string
	args      []string
	input     string // pattern of files, below Go's root
	indented  bool   // whether the input loses its indentation first
	bad       string // an input that it refuses
	code      uint32 // then
}{
	{name: "gofmt", pkg: "cmd/gofmt", input: "src/go/printer/nodes.go", indented: true, bad: "package", code: 2},
	// A flag of the style keeps shfmt from looking for .editorconfig.
	{name: "shfmt", pkg: "mvdan.cc/sh/v3/cmd/shfmt", args: []string{"-i", "2", "-s"}, input: "src/*.bash", bad: "if (", code: 1},
}

// TestOrdinaryPrograms meters programs that read standard input and write
// standard output, unchanged, and wants of them what they do natively.
func TestOrdinaryPrograms(t *testing.T) {
	engine, err := sandbox.New(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close(t.Context())
	for _, p := range ordinary {
		t.Run(p.name, func(t *testing.T) {
			dir := t.TempDir()
			native, wasm := filepath.Join(dir, p.name), filepath.Join(dir, p.name+".wasm")
			for out, env := range map[string][]string{native: nil, wasm: {"GOOS=wasip1", "GOARCH=wasm"}} {
				if err := run("testdata/ordinary", env, "go", "build", "-trimpath", "-ldflags=-s", "-o", out, p.pkg); err != nil {
					t.Fatal(err)
				}
			}
			source, err := os.ReadFile(wasm)
			if err != nil {
				t.Fatal(err)
			}
			const pages = 1024
			module, report, err := meter.Rewrite(source, &meter.Options{MemoryPages: pages})
			if err != nil {
				t.Fatal(err)
			}
			input := goFiles(t, p.input)
			if p.indented {
				input = bytes.ReplaceAll(input, []byte("\n\t"), []byte("\n"))
			}
			c := exec.Command(native, p.args...)
			c.Stdin = bytes.NewReader(input)
			want, err := c.Output()
			if err != nil {
				t.Fatal(err)
			}
			task := sandbox.Task{Module: module, Input: input, Args: p.args,
				Limits: sandbox.Limits{Fuel: 1 << 34, MemoryPages: pages, OutputBytes: 1 << 20}}
			o := outcome(t, engine, task)
			if o.End != sandbox.Exit || o.Code != 0 || !bytes.Equal(o.Output, want) || len(want) == 0 {
				t.Errorf("%s with code %d, %d bytes of output, natively %d: %s%s", o.End, o.Code, len(o.Output), len(want), o.Detail, o.Log)
			}
			t.Logf("%s: %d bytes (metered %d), %d imports; %d bytes in, %d out as natively, %d fuel",
				p.pkg, len(source), len(module), len(report.Imports), len(input), len(o.Output), o.Fuel)
			task.Input = []byte(p.bad)
			if o := outcome(t, engine, task); o.End != sandbox.Exit || o.Code != p.code || len(o.Log) == 0 {
				t.Errorf("on bad input: %s with code %d, log %q, want code %d", o.End, o.Code, o.Log, p.code)
			}
		})
	}
}

// goFiles joins files of Go's sources.
func goFiles(t *testing.T, pattern string) (all []byte) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(gobuild.Default.GOROOT, filepath.FromSlash(pattern)))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: no such files: %v", pattern, err)
	}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	return all
}
