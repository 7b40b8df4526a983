// Package toolchain builds programs with the compilers that payloads are
// written for, C, Go, Rust and AssemblyScript, and holds the ABI against what
// they link and do. Compilers come from make need-wasm, npm and Go itself.
package toolchain

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/wasm"
	"github.com/countersign/countersign/meter"
)

const pages = 256

// probes are the languages' programs of testdata, each built once.
var probes = map[string]func() ([]byte, error){
	"c":    sync.OnceValues(func() ([]byte, error) { return build(buildC) }),
	"rust": sync.OnceValues(func() ([]byte, error) { return build(buildRust) }),
	"go":   sync.OnceValues(func() ([]byte, error) { return build(buildGo) }),
	"as":   sync.OnceValues(func() ([]byte, error) { return build(buildAS) }),
}

// probe is a language's program as its compiler leaves it.
func probe(t *testing.T, lang string) []byte {
	t.Helper()
	source, err := probes[lang]()
	if err != nil {
		t.Fatalf("building the program in %s (make need-wasm installs what it needs): %v", lang, err)
	}
	return source
}

func metered(t *testing.T, lang string) []byte {
	t.Helper()
	module, _, err := meter.Rewrite(probe(t, lang), &meter.Options{MemoryPages: pages})
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func build(how func(dir, out string) error) ([]byte, error) {
	dir, err := os.MkdirTemp("", "countersign-toolchain")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "probe.wasm")
	if err := how(dir, out); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

func buildC(dir, out string) error {
	const lib, rt = "/usr/lib/wasm32-wasi", "/usr/lib/llvm-16/lib/clang/16/lib/wasi/libclang_rt.builtins-wasm32.a"
	object := filepath.Join(dir, "probe.o")
	if err := run("", nil, "clang-16", "--target=wasm32-wasi", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-c", "testdata/probe.c", "-o", object); err != nil {
		return err
	}
	return run("", nil, "wasm-ld-16", "-L"+lib, lib+"/crt1-command.o", object, "-lc", rt, "-o", out)
}

func buildRust(_, out string) error {
	return run("", nil, "/usr/bin/rustc", "--edition", "2021", "--target", "wasm32-wasi", "-C", "linker=wasm-ld-16", "-C", "opt-level=2",
		"-C", "strip=debuginfo", "testdata/probe.rs", "-o", out)
}

func buildGo(_, out string) error {
	return run("testdata/go", []string{"GOOS=wasip1", "GOARCH=wasm"}, "go", "build", "-trimpath", "-buildvcs=false", "-o", out, "main.go")
}

// buildAS uses the versions and options that projects of signer new have.
func buildAS(dir, out string) error {
	for to, from := range map[string]string{"index.ts": "testdata/as/index.ts", "package.json": example + "package.json", "asconfig.json": example + "asconfig.json"} {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, to), []byte(strings.ReplaceAll(string(text), "{{name}}", "probe")), 0o600); err != nil {
			return err
		}
	}
	if err := run(dir, nil, "npm", "install", "--no-audit", "--no-fund", "--prefer-offline"); err != nil {
		return err
	}
	return run(dir, nil, "node_modules/.bin/asc", "index.ts", "--config", "asconfig.json", "--outFile", out)
}

const example = "../../payloads/sdk/as/example/"

type failure struct {
	command, output string
	err             error
}

func (f *failure) Error() string { return f.command + ": " + f.err.Error() + "\n" + f.output }

func run(dir string, env []string, name string, args ...string) error {
	c := exec.Command(name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), env...)
	if out, err := c.CombinedOutput(); err != nil {
		return &failure{c.String(), string(out), err}
	}
	return nil
}

// TestImports makes sure that whatever the compilers link is in the ABI, with
// its type, and that what they are known to need is still looked at here.
func TestImports(t *testing.T) {
	needed := map[string]string{
		"c":    "clock_res_get poll_oneoff random_get path_open path_rename fd_readdir fd_seek args_get environ_get proc_exit",
		"rust": "clock_time_get poll_oneoff random_get path_open path_link sched_yield args_get environ_get proc_exit",
		"go":   "clock_time_get poll_oneoff random_get path_open path_rename fd_prestat_get fd_fdstat_get fd_fdstat_set_flags sched_yield args_get environ_get proc_exit",
		"as":   "clock_time_get random_get fd_read fd_write args_get environ_get proc_exit",
	}
	all := map[string]bool{}
	for lang, names := range needed {
		m, err := wasm.Decode(probe(t, lang))
		if err != nil {
			t.Fatal(err)
		}
		linked := map[string]bool{}
		for _, i := range m.Imports {
			linked[i.Name], all[i.Name] = true, true
			if f, ok := abi.Lookup(i.Module, i.Name); !ok || !f.Type.Equal(m.Types[i.Type]) {
				t.Errorf("%s links %q.%q, which the ABI has not, or with another type", lang, i.Module, i.Name)
			}
		}
		for _, name := range strings.Fields(names) {
			if !linked[name] {
				t.Errorf("the program in %s does not link %s", lang, name)
			}
		}
		t.Logf("%s: %d imports: %s", lang, len(m.Imports), strings.Join(slices.Sorted(maps.Keys(linked)), " "))
	}
	t.Logf("%d functions in all", len(all))
}
