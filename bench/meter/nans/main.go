// Command nans compares random modules full of NaNs before and after metering.
// WebAssembly leaves the bits of a NaN that arithmetic makes to the engine, so
// that a module's own results are no measure; wasmtime has an option to make all
// of them canonical at once, which shares nothing with meter's. A source on
// wasmtime with that option, and its metered module on wazero's two engines, with
// plenty of fuel and with a little at a time, have to give the same results, traps,
// calls of the host and memory, in every bit: docs/spec/meter.md, "Canonical NaN".
//
// Even seeds are modules of Binaryen's, odd ones of a generator of this package.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/countersign/countersign/meter"
)

func main() {
	seeds := flag.Int("seeds", 1000, "random modules to try")
	first := flag.Int("first", 1, "the seed to begin with")
	out := flag.String("o", filepath.Join(os.TempDir(), "countersign-nans"), "folder for modules that differ")
	flag.Parse()
	if err := run(*first, *seeds, *out); err != nil {
		fmt.Fprintln(os.Stderr, "nans:", err)
		os.Exit(1)
	}
}

// counts is what has been seen, by what it is.
type counts map[string]int

const (
	nModules  = "modules compared"
	nResults  = "NaNs in results the same"
	nStored   = "NaNs left in memory the same"
	nPlain    = "modules that give other bits where NaNs are left as they are"
	nDeferred = "loops that make their stores canonical behind them"
)

func run(first, seeds int, out string) error {
	if _, err := exec.LookPath("wasm-opt"); err != nil {
		return fmt.Errorf("Binaryen makes modules up: apt-get install binaryen (%w)", err)
	}
	dir, err := os.MkdirTemp("", "nans")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	e, err := startEngines()
	if err != nil {
		return err
	}
	defer e.close()
	c := counts{}
	for seed := first; seed < first+seeds; seed++ {
		if err := try(e, c, dir, out, seed); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	return c.report()
}

// try makes the module of a seed, meters it and compares both.
func try(e *engines, c counts, dir, out string, seed int) error {
	p, err := makeProgram(dir, seed)
	if err != nil {
		return err
	}
	if p == nil {
		c["Binaryen's modules that are not valid WebAssembly 2.0"]++
		return nil
	}
	opt := &meter.Options{Library: true}
	if p.metered, _, err = meter.Rewrite(p.source, opt); err == nil {
		_, err = meter.Check(p.metered, opt)
	}
	if err == nil {
		c[nDeferred] += deferring(p.metered)
		err = e.compare(c, p)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.keep(out, seed))
	}
	return nil
}

// keep writes the modules where they can be looked at, and says where.
func (p *program) keep(out string, seed int) string {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err.Error()
	}
	source, metered := filepath.Join(out, fmt.Sprintf("%d.source.wasm", seed)), filepath.Join(out, fmt.Sprintf("%d.metered.wasm", seed))
	for path, code := range map[string][]byte{source: p.source, metered: p.metered} {
		if err := os.WriteFile(path, code, 0o644); err != nil {
			return err.Error()
		}
	}
	return source + "\n" + metered
}

// report prints what has been seen. Where nothing of a kind was, nothing is shown.
func (c counts) report() error {
	for _, n := range slices.Sorted(maps.Keys(c)) {
		fmt.Printf("%s: %d\n", n, c[n])
	}
	for _, n := range []string{nModules, nResults, nStored, nPlain, nDeferred} {
		if c[n] == 0 {
			return fmt.Errorf("%s: none, so this run shows nothing; try more seeds", n)
		}
	}
	return nil
}
